"""The command table: every command, its purpose, and where its function is.

Help, suggestions and TAB read it alone; a command's module is imported when the command is invoked.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """One command: its one-line help, where its function is, and whether it may write to the service."""

    help: str
    function: str
    writes: bool = False


class Group(NamedTuple):
    """A word with subcommands; `default` is the one that is run if none is named."""

    help: str
    commands: Mapping[str, Entry]
    default: str | None = None


TABLE: dict[str, Entry | Group] = {
    "projects": Group(
        "List the account's projects, show one, set the default.",
        {
            "list": Entry("List every project of the account.", "projects:list_projects"),
            "show": Entry("Show one project: region, status, users.", "projects:show"),
            "stats": Entry("Show live and queued users.", "projects:stats"),
            "use": Entry("Make a project this profile's default.", "projects:use"),
        },
    ),
    "check": Entry("Check whether Streampixel would accept a zip.", "check:check"),
    "upload": Entry("Register a build by URL.", "upload:upload", writes=True),
    "builds": Group(
        "List builds, show one, wait until they are processed.",
        {
            "list": Entry("List the project's builds, newest first.", "builds:list_builds"),
            "show": Entry("Show one build.", "builds:show"),
            "wait": Entry("Wait until builds are processed; the exit code is the result.", "builds:wait"),
        },
        default="list",
    ),
    "distribute": Entry("Release a processed build, or release it again.", "distribute:distribute", writes=True),
    "rollback": Entry("Release the previous good build again.", "rollback:rollback", writes=True),
    "status": Entry("Show account, project, rate limits and builds at a glance.", "status:status"),
    "open": Entry("Open the project's page in the browser, or print its address.", "open:open_page"),
    "history": Entry("List uploads, releases and rollbacks sent from this machine.", "history:history"),
    "limits": Entry("Show when the next upload and distribute are allowed.", "limits:limits"),
    "webhooks": Group(
        "Receive, simulate, test and list build events.",
        {
            "listen": Entry("Receive webhook events on this machine.", "webhooks:listen"),
            "events": Entry("List the webhook events received on this machine.", "webhooks:events"),
            "send": Entry("Send a fake event to test your receiver.", "webhooks:send"),
            "test": Entry("Ask the service to send a test event.", "webhooks:probe"),
        },
    ),
    "api": Entry("Make one authenticated API call.", "api:api", writes=True),
    "auth": Group(
        "Store, delete and verify credentials.",
        {
            "login": Entry("Store the user ID and API key of a profile.", "auth:login"),
            "logout": Entry("Delete the stored credentials of a profile.", "auth:logout"),
            "status": Entry("Show which credentials are used, and verify them.", "auth:status"),
        },
    ),
    "config": Group(
        "Read and write settings.",
        {
            "list": Entry("List all settings and their sources.", "config:list_settings"),
            "get": Entry("Print one setting.", "config:get"),
            "set": Entry("Write a setting to the profile.", "config:set_setting"),
            "unset": Entry("Remove a setting from the profile.", "config:unset"),
            "path": Entry("Print the config file's path.", "config:path"),
            "profiles": Entry("List the profiles.", "config:profiles"),
        },
    ),
    "doctor": Entry("Check the setup, and suggest fixes.", "doctor:doctor"),
    "sandbox": Entry("Run a local Streampixel on loopback.", "sandbox:sandbox"),
    "demo": Entry("Show the whole pipeline against a sandbox, in a few seconds.", "demo:demo"),
    "help": Entry("Show help on a topic or a command.", "help:show_help"),
    "exit-codes": Entry("List the exit codes and what they mean, or explain one.", "exit_codes:exit_codes"),
    "completion": Entry("Print the completion script of a shell.", "completion:completion"),
}

SECTIONS = {
    "Ship": ("check", "upload", "distribute", "rollback"),
    "Look": ("status", "builds", "projects", "open", "history", "limits", "webhooks", "api"),
    "Set up": ("auth", "config", "doctor", "completion"),
    "Try and learn": ("demo", "sandbox", "help", "exit-codes"),
}
"""The headings of `spcli --help`, each with its commands."""
