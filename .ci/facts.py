"""What a man page says of exit codes, settings and files: as much as touches its command, from the command tree."""

from command_tree import Node

from spcli.commands import TABLE, Entry
from spcli.errors import EXIT_CODES, ExitCode
from spcli.settings.table import SETTINGS, SPEC_OF, SettingSpec

WITHOUT_CONFIG = {"exit-codes", "completion", "demo", "sandbox"}
# With a --timeout that is not the service's.
ELSEWHERE = ("webhooks", "send")
LISTEN = ("webhooks", "listen")
# `--timeout` where only the credentials are tried: nothing is remembered.
WITHOUT_STATE = {"auth"}
EVERY = {0, 1, 2, 130, 141, 143}
CONFIG = "~/.config/spcli/config.toml"
STATE = "~/.local/state/spcli/state.db"
PLACES = {
    CONFIG: "Settings and stored keys, mode 0600, on Linux; `spcli config path` prints where it is.",
    STATE: "On Linux, the windows, a ledger of what was sent from here, received events, and names for TAB. No key is in it.",
}

# What the table says of writes, in the words of a command that has none.
OF_READS = {
    49: "The service answered 429 to every attempt. The same command again: yes, after retryAfter.",
    50: "The service answered 5xx to every attempt. The same command again: yes.",
    130: "Ctrl-C.",
    143: "SIGTERM.",
}
BEFORE_SENT = "With nothing sent yet, the reader of standard output went away. The same command again: yes."
DONE = "It is done, but the reader of standard output went away."
DONE_ALL_THE_SAME = {
    ("auth", "login"),
    ("auth", "logout"),
    ("config", "set"),
    ("config", "unset"),
    ("projects", "use"),
    ("webhooks", "send"),
    ("webhooks", "test"),
}


def codes(node: Node) -> set[int]:
    """The codes that follow from the command's options; what else it ends with stands in its hand-written file."""
    if not node.path:
        return {row.code for row in EXIT_CODES}
    found = set(EVERY) - ({0} if node.path == ("sandbox",) else set())
    if is_group(node):
        return found
    found |= {3} if reads_config(node) else set()
    kinds = {option.kind for option in node.options} | {argument.kind for argument in node.arguments}
    found |= {13} if kinds & {"project", "upload"} and calls(node) else set()
    found |= {40, 41, 43, 44, 48, 49, 50, 60, 62} if calls(node) else set()
    found |= {19, 45, 61} if has(node, "--on-limit") else set()
    return found | ({10, 11, 17} if has(node, "--deadline") else set())


def variables(node: Node) -> list[SettingSpec]:
    """The settings that the command takes from the environment, in the order of the table."""
    wanted = set(SPEC_OF) if _reads_all(node) else _wanted(node)
    return [spec for spec in SETTINGS if spec.key in wanted and spec.environment]


def files(node: Node) -> dict[str, str]:
    """The files that the command reads or writes, and what they hold."""
    places = [*([CONFIG] if reads_config(node) else []), *([STATE] if uses_state(node) else [])]
    return {path: PLACES[path] for path in places}


def is_group(node: Node) -> bool:
    """Whether it only leads to the commands below it."""
    return bool(node.commands) and not node.default


def reads_config(node: Node) -> bool:
    """Whether settings are read at all."""
    return not node.path or (node.path[0] not in WITHOUT_CONFIG and not is_group(node))


def calls(node: Node) -> bool:
    """Whether it calls the service."""
    return has(node, "--timeout") and node.path != ELSEWHERE


def writes(node: Node) -> bool:
    """Whether it may send a write to the service."""
    entry = TABLE[node.path[0]] if node.path else None
    return isinstance(entry, Entry) and entry.writes


def uses_state(node: Node) -> bool:
    """Whether it opens the state database."""
    is_called = calls(node) and node.path[0] not in WITHOUT_STATE
    return not node.path or is_called or node.path in (("limits",), LISTEN, ("webhooks", "events"))


def has(node: Node, spelling: str) -> bool:
    """Whether the command has that option."""
    return any(spelling in option.spellings for option in node.options)


def _reads_all(node: Node) -> bool:
    return not node.path or node.path in (("config", "list"), ("config", "get"), ("doctor",))


def _wanted(node: Node) -> set[str]:
    wanted = {"default_profile", "config_file"} if reads_config(node) else set()
    wanted |= {"api_key", "user_id", "base_url"} if calls(node) or node.path == LISTEN else set()
    wanted |= {"project"} if has(node, "--project") or node.path in (LISTEN, ("projects", "use"), ("auth", "status")) else set()
    wanted |= {"on_limit"} if writes(node) else set()
    # Against a sandbox every pause follows the window.
    wanted |= {"window"} if writes(node) or has(node, "--interval") or node.path == LISTEN else set()
    wanted |= {"user_id", "base_url", "window"} if node.path == ("limits",) else set()
    wanted |= {"base_url"} if node.path == ("check",) else set()
    return wanted | ({"state_dir"} if uses_state(node) else set())


def meaning(node: Node, row: ExitCode, said: str = "") -> str:
    """What a code means for that command, in sentences; `said` is what its hand-written file says of it."""
    if said:
        return said
    if row.code == 141 and (writes(node) or node.path in DONE_ALL_THE_SAME):
        return BEFORE_SENT if writes(node) else DONE
    if node.path and not writes(node) and row.code in OF_READS:
        return OF_READS[row.code]
    answer = row.safe_to_retry
    if answer.startswith("no: "):
        again = f" What to type then: `spcli {answer[4:]}`."
    elif answer == "report it":
        again = " Report it."
    else:
        again = f" The same command again: {answer}." if answer and answer != "no" else ""
    return f"{row.meaning[0].upper()}{row.meaning[1:]}.{again}"
