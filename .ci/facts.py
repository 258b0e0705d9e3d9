"""List the exit codes, settings and files that concern a command, from the command tree."""

from command_tree import Node
from sources import describe_retry

from spcli.commands import TABLE, Entry
from spcli.errors import EXIT_CODES, ExitCode
from spcli.settings.table import SETTINGS, SPEC_OF, SettingSpec

WITHOUT_CONFIG = {"exit-codes", "completion", "demo", "sandbox", "help"}
# Its --timeout is for a receiver, not for the service.
ELSEWHERE = ("webhooks", "send")
LISTEN = ("webhooks", "listen")
# Their --timeout is for a check of the credentials: no state is kept.
WITHOUT_STATE = {"auth"}
EVERY = {0, 1, 2, 130, 141, 143}
CONFIG = "~/.config/spcli/config.toml"
STATE = "~/.local/state/spcli/state.db"
PLACES = {
    CONFIG: "Settings and stored keys, with mode 0600, on Linux. `spcli config path` prints the path on this system.",
    STATE: "On Linux, the rate limits, the history of this machine, received events, and names for TAB. It holds no key.",
}

# The table's words are about writes; these are for commands that only read.
OF_READS = {
    49: "The service answered 429 to every attempt. Safe to retry after `retryAfter` seconds.",
    50: "The service answered 5xx to every attempt. Safe to retry.",
    130: "Ctrl-C.",
    143: "SIGTERM.",
}
BEFORE_SENT = "The reader of standard output went away before anything was sent. Safe to retry."
DONE = "The command has done its work, but the reader of standard output went away."
WITH_LOCAL_EFFECT = {
    ("auth", "login"),
    ("auth", "logout"),
    ("config", "set"),
    ("config", "unset"),
    ("projects", "use"),
    ("webhooks", "send"),
    ("webhooks", "test"),
}


def list_codes(node: Node) -> set[int]:
    """Return the codes that follow from the command's options; its source may name more."""
    if not node.path:
        return {row.code for row in EXIT_CODES}
    found = set(EVERY) - ({0} if node.path == ("sandbox",) else set())
    if is_group(node):
        return found
    found |= {3} if reads_config(node) else set()
    kinds = {option.kind for option in node.options} | {argument.kind for argument in node.arguments}
    found |= {13} if kinds & {"project", "upload"} and calls_service(node) else set()
    found |= {40, 41, 43, 44, 48, 49, 50, 60, 62} if calls_service(node) else set()
    found |= {19, 45, 61} if has_option(node, "--on-limit") else set()
    return found | ({10, 11, 17} if has_option(node, "--deadline") else set())


def list_variables(node: Node) -> list[SettingSpec]:
    """Return the settings that the command takes from the environment, in the order of the table."""
    wanted = set(SPEC_OF) if _reads_all_settings(node) else _wanted_settings(node)
    return [spec for spec in SETTINGS if spec.key in wanted and spec.environment]


def list_files(node: Node) -> dict[str, str]:
    """Return the files that the command reads or writes, and what they hold."""
    places = [*([CONFIG] if reads_config(node) else []), *([STATE] if uses_state(node) else [])]
    return {path: PLACES[path] for path in places}


def is_group(node: Node) -> bool:
    """Return whether the word only leads to the commands below it."""
    return bool(node.commands) and not node.default


def reads_config(node: Node) -> bool:
    """Return whether the command reads settings."""
    return not node.path or (node.path[0] not in WITHOUT_CONFIG and not is_group(node))


def calls_service(node: Node) -> bool:
    """Return whether the command calls the service."""
    return has_option(node, "--timeout") and node.path != ELSEWHERE


def writes_to_service(node: Node) -> bool:
    """Return whether the command may send a write to the service."""
    entry = TABLE[node.path[0]] if node.path else None
    return isinstance(entry, Entry) and entry.writes


def uses_state(node: Node) -> bool:
    """Return whether the command opens the state database."""
    is_called = calls_service(node) and node.path[0] not in WITHOUT_STATE
    return not node.path or is_called or node.path in (("limits",), LISTEN, ("webhooks", "events"))


def has_option(node: Node, spelling: str) -> bool:
    """Return whether the command has that option."""
    return any(spelling in option.spellings for option in node.options)


def _reads_all_settings(node: Node) -> bool:
    return not node.path or node.path in (("config", "list"), ("config", "get"), ("doctor",))


def _wanted_settings(node: Node) -> set[str]:
    wanted = {"default_profile", "config_file"} if reads_config(node) else set()
    wanted |= {"api_key", "user_id", "base_url"} if calls_service(node) or node.path == LISTEN else set()
    names_project = has_option(node, "--project") or node.path in (LISTEN, ("projects", "use"), ("auth", "status"))
    wanted |= {"project"} if names_project else set()
    wanted |= {"on_limit"} if writes_to_service(node) else set()
    # Against a sandbox every pause follows the window.
    wanted |= {"window"} if writes_to_service(node) or has_option(node, "--interval") or node.path == LISTEN else set()
    wanted |= {"user_id", "base_url", "window"} if node.path == ("limits",) else set()
    wanted |= {"base_url"} if node.path == ("check",) else set()
    return wanted | ({"state_dir"} if uses_state(node) else set())


def describe_code(node: Node, row: ExitCode, own: str = "") -> str:
    """Return what a code means for the command, in sentences; `own` is what its source says."""
    if own:
        return own
    if row.code == 141 and (writes_to_service(node) or node.path in WITH_LOCAL_EFFECT):
        return BEFORE_SENT if writes_to_service(node) else DONE
    if node.path and not writes_to_service(node) and row.code in OF_READS:
        return OF_READS[row.code]
    meaning = f"{row.meaning[0].upper()}{row.meaning[1:]}."
    return meaning + describe_retry(row.safe_to_retry)
