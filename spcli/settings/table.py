"""The settings as data, and what each may hold: one table for `config list`, the README, the man page and the tests.

Every `parse_…` takes what a flag, the environment or TOML gave and returns the value, or raises `ValueError` with a text that
completes "KEY …" and never holds the value: a mistyped setting may be a key or a URL with a password in it.
"""

from typing import TYPE_CHECKING, NamedTuple

from spcli.errors import SpcliError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_BASE_URL = "https://api.streampixel.io/pixelStripeApi"
DEFAULT_PROFILE = "default"
WINDOW = 122.0
"""Seconds between limited calls: the service's two minutes and two seconds more, as a 429 costs more than that."""
NOMINAL_WINDOW = 120.0
# A stored bound over the longest Retry-After (six hours) counts as damage.
_LONGEST_WINDOW = 5 * 3600.0

# One strict form instead of a URL parser: what we take for the host must be what the HTTP library connects to.
# Kept as text: compiling it takes longer than everything else here, and the default service needs none of it.
_BASE_URL = (
    r"(https?)://([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?((?:/[A-Za-z0-9._~!$&'()*+,;=:%-]+)*)/*"
)
_PUNCTUATION = str.maketrans("._-", "xxx")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SettingSpec(NamedTuple):
    """One setting: its key in `config list`, where it may come from, and what holds when nobody sets it.

    Args:
        environment: the variables that set it, the first being the usual one.
        config_key: its key in the config file; `None` where the file cannot set it.
    """

    key: str
    environment: tuple[str, ...]
    config_key: str | None
    flag: str | None
    default: str | None
    description: str


SETTINGS = (
    SettingSpec(
        "api_key",
        ("STREAMPIXEL_API_KEY", "STREAMPIXEL_API_KEY_FILE"),
        "api_key",
        None,
        None,
        "the account's API key; the _FILE variable names a file that holds it, - is standard input",
    ),
    SettingSpec(
        "api_key_command", (), "api_key_command", None, None, "a program that prints the key, run without a shell, 10 s at most"
    ),
    SettingSpec("user_id", ("STREAMPIXEL_USER_ID",), "user_id", None, None, "the user id the key was issued to"),
    SettingSpec("project", ("STREAMPIXEL_PROJECT_ID",), "project", "--project", None, "the project to act on: an id or a name"),
    SettingSpec(
        "base_url",
        ("STREAMPIXEL_BASE_URL",),
        "base_url",
        None,
        DEFAULT_BASE_URL,
        "the service: https, or http on this machine only",
    ),
    SettingSpec(
        "on_limit", ("SPCLI_ON_LIMIT",), "on_limit", "--on-limit", "wait", "when the window is closed: wait, or fail at once"
    ),
    SettingSpec(
        "window", ("SPCLI_WINDOW",), "window", None, "122", "seconds between limited calls; only a local base_url may change it"
    ),
    SettingSpec("default_profile", ("SPCLI_PROFILE",), "default_profile", "--profile", DEFAULT_PROFILE, "the profile in force"),
    SettingSpec("config_file", ("SPCLI_CONFIG",), None, None, None, "the config file"),
    SettingSpec(
        "state_dir", ("SPCLI_STATE_DIR",), None, None, None, "the folder of state.db: windows, builds sent, received events"
    ),
)
SPEC_OF = {spec.key: spec for spec in SETTINGS}


def parse_text(raw: object) -> str:
    """A line of text without control characters; white space around it is dropped."""
    if not isinstance(raw, str):
        raise ValueError("must be text in quotes")
    text = raw.strip()
    for position, character in enumerate(text, 1):
        if not character.isprintable():
            raise ValueError(f"has a control or unreadable character at position {position}")
    return text


def parse_user_id(raw: object) -> str:
    """A user id: text without any white space."""
    text = parse_text(raw)
    for position, character in enumerate(text, 1):
        if character.isspace():
            raise ValueError(f"has white space at position {position}")
    return text


def parse_on_limit(raw: object) -> str:
    """`wait` or `fail`."""
    if raw not in ("wait", "fail"):
        raise ValueError("must be wait or fail")
    return str(raw)


def parse_window(raw: object) -> float:
    """Seconds, more than 0 and at most a day."""
    try:
        seconds = float(raw) if isinstance(raw, (str, int, float)) and not isinstance(raw, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_WINDOW:
        raise ValueError("must be a number of seconds, more than 0 and at most 18000")
    return seconds


def parse_command(raw: object) -> tuple[str, ...]:
    """A program and its arguments, as a list of texts."""
    if not isinstance(raw, (list, tuple)) or not raw or not all(isinstance(word, str) and "\0" not in word for word in raw):
        raise ValueError('must be a list of texts, such as ["op", "read", "op://vault/item/key"]')
    if not raw[0]:
        raise ValueError("must begin with the name of a program")
    return tuple(raw)


def parse_command_line(text: object) -> tuple[str, ...]:
    """The same, as typed after `config set`: a JSON list, or words quoted as in a shell (a backslash of a Windows path stays)."""
    import shlex
    import sys

    if not isinstance(text, str) or not text.isprintable():
        raise ValueError("must be one line of text")
    if text.lstrip().startswith("["):
        return parse_command(_json_list(text))
    words = shlex.shlex(text, posix=True)
    words.whitespace_split, words.commenters = True, ""
    if sys.platform == "win32":
        words.escape = ""
    try:
        return parse_command(list(words))
    except ValueError:
        raise ValueError("must be a program and its arguments, with every quote closed") from None


def _json_list(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_base_url(raw: object) -> str:
    """An https URL, or an http one on loopback, without user, query and fragment.

    Scheme and host come out in lower case, the scheme's own port and a slash at the end dropped: windows are kept by this text.
    """
    if raw == DEFAULT_BASE_URL:
        return DEFAULT_BASE_URL
    if not isinstance(raw, str):
        raise ValueError("must be text in quotes")
    import re

    scheme, mark, rest = raw.strip().partition("://")
    host, slash, path = rest.partition("/")
    found = re.fullmatch(_BASE_URL, f"{scheme.lower()}{mark}{host.lower()}{slash}{path}")
    if found is None:
        raise ValueError("must look like https://host/path: no user or password, no query, no fragment, ASCII only")
    scheme, host, port, path = found.groups()
    if scheme == "http" and not _is_loopback_host(host):
        raise ValueError("must be https: over http the key could be read on the way (http is for this machine only)")
    if port and not 0 < int(port) < 65536:
        raise ValueError("has a port that is not between 1 and 65535")
    shown_port = "" if not port or int(port) == _DEFAULT_PORTS[scheme] else f":{int(port)}"
    return f"{scheme}://{host}{shown_port}{path}"


def _is_loopback_host(host: str) -> bool:
    numbers = host.split(".")
    # Only the plain spelling: 127.1 or 0177.0.0.1 mean different machines to different libraries.
    is_plain = len(numbers) == 4 and all(map(_is_octet, numbers))
    return host in ("localhost", "[::1]") or (is_plain and numbers[0] == "127")


def _is_octet(part: str) -> bool:
    return part.isdecimal() and len(part) < 4 and part == str(int(part)) and int(part) < 256


def is_loopback(base_url: str) -> bool:
    """Whether a `base_url` from `parse_base_url` is on this machine."""
    host = origin(base_url).partition("://")[2]
    return _is_loopback_host(host if host.endswith("]") else host.rpartition(":")[0] or host)


def origin(base_url: str) -> str:
    """Scheme, host and port of a `base_url` from `parse_base_url`: what a stored key is bound to."""
    return "/".join(base_url.split("/", 3)[:3])


def parse_profile_name(raw: object) -> str:
    """1 to 64 of letters, digits, dot, dash and underscore."""
    if isinstance(raw, str) and 0 < len(raw) <= 64 and raw.isascii() and raw.translate(_PUNCTUATION).isalnum():
        return raw
    raise ValueError("must be 1 to 64 letters, digits, dots, dashes or underscores")


TYPED: "dict[str, Callable[[object], object]]" = {
    "api_key_command": parse_command_line,
    "user_id": parse_user_id,
    "project": parse_text,
    "base_url": parse_base_url,
    "on_limit": parse_on_limit,
    "window": parse_window,
    "default_profile": parse_profile_name,
}
"""How `config set` reads the text of each setting it may write."""


def spec_of(key: str) -> SettingSpec:
    """The setting of that name; `usage` with the nearest name where there is none (never repeating what was typed)."""
    if key in SPEC_OF:
        return SPEC_OF[key]
    from difflib import get_close_matches

    near = get_close_matches(key.lower().replace("-", "_"), SPEC_OF, n=1)
    question = f"; did you mean {near[0]}?" if near else ""
    raise SpcliError("usage", f"no such setting{question}", hint="settings: " + ", ".join(SPEC_OF))


def typed_value(key: str, text: str) -> object:
    """What `config set KEY TEXT` stores.

    Raises:
        SpcliError: `usage`, for a setting the file does not hold, an API key (argv can be read by others), or an unfit value.
    """
    spec = spec_of(key)
    if key == "api_key":
        raise SpcliError(
            "usage",
            "an API key is not set on the command line, where other programs and the shell's history can read it",
            hint="type: spcli auth login",
        )
    if spec.config_key is None:
        raise SpcliError("usage", f"{key} is not kept in the config file", hint=f"set {spec.environment[0]} in the environment")
    try:
        value = TYPED[key](text)
    except ValueError as problem:
        raise SpcliError("usage", f"{key} {problem}", hint=f"{key}: {spec.description}") from None
    if value == "":
        raise SpcliError("usage", f"{key} is empty", hint=f"to remove it: spcli config unset {key}")
    return int(value) if isinstance(value, float) and value.is_integer() else value
