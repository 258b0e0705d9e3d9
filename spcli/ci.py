"""Pure: which CI system runs us, and how it wants values, problems and files written.

Each system obeys lines that a step prints, so every value is escaped by that system's own rules: GitHub's workflow commands,
Azure Pipelines' logging commands, TeamCity's service messages. What no system has rules for (dotenv files that people source)
is percent-encoded down to letters that mean nothing to any shell.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

System = Literal["github", "azure", "teamcity"]
Level = Literal["error", "warning"]
_CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-")


class Facts(NamedTuple):
    """What later steps of a job need to know of a build."""

    upload_id: str
    project_id: str
    state: str
    share_url: str

    def named(self) -> dict[str, str]:
        """By the names of the environment variables."""
        return {
            "STREAMPIXEL_UPLOAD_ID": self.upload_id,
            "STREAMPIXEL_PROJECT_ID": self.project_id,
            "STREAMPIXEL_STATE": self.state,
            "STREAMPIXEL_SHARE_URL": self.share_url,
        }


def facts_of(upload_id: str, project_id: str, state: str) -> Facts:
    """The facts of a build in that state, or with what is assumed of one that was not waited for."""
    from spcli.models import share_url

    return Facts(upload_id, project_id, state, share_url(project_id))


def system_of(environ: Mapping[str, str]) -> System | None:
    """The system that says of itself, in the environment, that it runs this step."""
    if environ.get("GITHUB_ACTIONS", "").lower() == "true":
        return "github"
    if environ.get("TF_BUILD", "").lower() == "true":
        return "azure"
    return "teamcity" if environ.get("TEAMCITY_VERSION") else None


def is_ci(environ: Mapping[str, str]) -> bool:
    """Return whether a CI system runs this process: nobody can answer a question, and logs are UTF-8."""
    return any(environ.get(name, "").lower() not in ("", "0", "false") for name in _CI_VARIABLES)


def plain(value: str) -> str:
    """`value` with everything but plain letters percent-encoded: safe in a dotenv file, also one that a shell sources."""
    return "".join(letter if letter in _PLAIN else _percent(letter) for letter in value)


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace"))


def dotenv(facts: Facts) -> str:
    """`KEY=value` lines, for GitLab's dotenv report, Jenkins' readProperties and `source`."""
    return "".join(f"{name}={plain(value)}\n" for name, value in facts.named().items())


def github_output(facts: Facts, delimiter: str) -> str:
    """Lines for the file `$GITHUB_OUTPUT`; `delimiter` must be unguessable, so that no value can end its own block."""
    named = {"upload-id": facts.upload_id, "state": facts.state, "project-id": facts.project_id, "share-url": facts.share_url}
    return "".join(f"{name}<<{delimiter}\n{plain(value)}\n{delimiter}\n" for name, value in named.items())


def github_summary(title: str, facts: Facts) -> str:
    """A table for the file `$GITHUB_STEP_SUMMARY`."""
    rows = [("build", facts.upload_id), ("state", facts.state), ("project", facts.project_id), ("share", facts.share_url)]
    body = "".join(f"| {name} | {_markdown(value)} |\n" for name, value in rows)
    return f"### {_markdown(title)}\n\n| | |\n| --- | --- |\n{body}\n"


def _markdown(text: str) -> str:
    """Text that Markdown and HTML leave alone: all punctuation but what ids and URLs are made of as numeric entities."""
    return "".join(
        letter if letter.isalnum() or letter in " .:/-" else f"&#{ord(letter)};" for letter in text if letter.isprintable()
    )


def variable_lines(system: System, facts: Facts) -> list[str]:
    """The lines that hand the facts to later steps, where a system takes them from the log."""
    if system == "azure":
        return [f"##vso[task.setvariable variable={name};isOutput=true]{plain(value)}" for name, value in facts.named().items()]
    if system == "teamcity":
        # A percent sign begins a reference to another parameter there, and the README's steps put the value into a command line.
        values = {name: plain(value).replace("%", "%%") for name, value in facts.named().items()}
        return [f"##teamcity[setParameter name='env.{name}' value='{_teamcity(value)}']" for name, value in values.items()]
    return []


def problem_line(system: System, level: Level, message: str) -> str:
    """The line that shows a problem beside the step."""
    if system == "github":
        return f"::{level} title=spcli::{_github(message)}"
    if system == "azure":
        return f"##vso[task.logissue type={level}]{_azure(message)}"
    # Not as a build problem, which would fail the build whatever the script makes of the exit code.
    return f"##teamcity[message text='{_teamcity(message)}' status='{level.upper()}']"


def _visible(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\r\n" else " " for letter in text)


def _github(message: str) -> str:
    escaped = _visible(message).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    # The runner looks for the older form of its commands, `##[`, anywhere in a line.
    while "##" in escaped:
        escaped = escaped.replace("##", "# #")
    return escaped


def _azure(message: str) -> str:
    escapes = {"%": "%AZP25", "\r": "%0D", "\n": "%0A", ";": "%3B", "]": "%5D", "#": "%23"}
    return "".join(escapes.get(letter, letter) for letter in _visible(message))


def _teamcity(text: str) -> str:
    escapes = {"|": "||", "'": "|'", "\n": "|n", "\r": "|r", "[": "|[", "]": "|]"}
    return "".join(escapes.get(letter) or (letter if letter.isascii() else _wide(letter)) for letter in _visible(text))


def _wide(letter: str) -> str:
    units = letter.encode("utf-16-be", "replace")
    return "".join(f"|0x{units[at] << 8 | units[at + 1]:04X}" for at in range(0, len(units), 2))
