"""The settings as data, and their parsers: one table for `config list`, the README, the man page and the tests.

Every `parse_…` takes a value from a flag, the environment or TOML and returns the setting, or raises `ValueError` with a text
that completes "KEY …" and never contains the value: a mistyped setting may be a key, or a URL with a password.
"""

import sys
from typing import TYPE_CHECKING, NamedTuple

from spcli.errors import SpcliError

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_BASE_URL = "https://api.streampixel.io/pixelStripeApi"
DEFAULT_PROFILE = "default"
WINDOW = 122.0
"""Seconds between limited calls: the service's two minutes, and two seconds more because a 429 costs more than that."""
NOMINAL_WINDOW = 120.0
# The state treats a bound over the longest Retry-After (six hours) as damage.
_LONGEST_WINDOW = 5 * 3600.0

# One strict form instead of a URL parser: the host read here must be the host that the HTTP library connects to.
# Kept as text: compiling it takes longer than everything else here, and the default service does not need it.
_BASE_URL = (
    r"(https?)://([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?((?:/[A-Za-z0-9._~!$&'()*+,;=:%-]+)*)/*"
)
_PUNCTUATION = str.maketrans("._-", "xxx")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class SettingSpec(NamedTuple):
    """One setting: its key in `config list`, its sources, and its default.

    Args:
        environment: the variables that set it, the usual one first.
        config_key: its key in the config file, None if the file cannot set it.
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
        "the account's API key; the _FILE variable names a file that contains it, - is standard input",
    ),
    SettingSpec(
        "api_key_command",
        (),
        "api_key_command",
        None,
        None,
        "a program that prints the key within 10s, run without a shell",
    ),
    SettingSpec("user_id", ("STREAMPIXEL_USER_ID",), "user_id", None, None, "the user ID that the key was issued to"),
    SettingSpec(
        "project", ("STREAMPIXEL_PROJECT_ID",), "project", "--project", None, "the project to act on: an ID, a name or a URL"
    ),
    SettingSpec(
        "base_url",
        ("STREAMPIXEL_BASE_URL",),
        "base_url",
        None,
        DEFAULT_BASE_URL,
        "the service's URL: https, or http on this machine only",
    ),
    SettingSpec("on_limit", ("SPCLI_ON_LIMIT",), "on_limit", "--on-limit", "wait", "at a rate limit: wait, or fail at once"),
    SettingSpec(
        "window",
        ("SPCLI_WINDOW",),
        "window",
        None,
        "122",
        "seconds between limited calls; changeable for a local base_url only",
    ),
    SettingSpec("default_profile", ("SPCLI_PROFILE",), "default_profile", "--profile", DEFAULT_PROFILE, "the profile to use"),
    SettingSpec("config_file", ("SPCLI_CONFIG",), None, None, None, "the config file"),
    SettingSpec(
        "state_dir",
        ("SPCLI_STATE_DIR",),
        None,
        None,
        None,
        "the folder of state.db: rate limits, history, received events",
    ),
)
SPEC_OF = {spec.key: spec for spec in SETTINGS}


def parse_text(raw: object) -> str:
    """Return a line of text without control characters, stripped of white space around it."""
    if not isinstance(raw, str):
        raise ValueError("must be a string")
    text = raw.strip()
    for position, character in enumerate(text, 1):
        if not character.isprintable():
            raise ValueError(f"has a control or unreadable character at position {position}")
    return text


def parse_user_id(raw: object) -> str:
    """Return a user ID: text without any white space."""
    text = parse_text(raw)
    for position, character in enumerate(text, 1):
        if character.isspace():
            raise ValueError(f"has white space at position {position}")
    return text


def parse_on_limit(raw: object) -> str:
    """Return `wait` or `fail`."""
    if raw not in ("wait", "fail"):
        raise ValueError("must be wait or fail")
    return str(raw)


def parse_window(raw: object) -> float:
    """Return seconds, more than 0 and at most five hours."""
    try:
        seconds = float(raw) if isinstance(raw, (str, int, float)) and not isinstance(raw, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_WINDOW:
        raise ValueError("must be a number of seconds, more than 0 and at most 18000")
    return seconds


def parse_command(raw: object) -> tuple[str, ...]:
    """Return a program and its arguments, from a list of strings."""
    if not isinstance(raw, (list, tuple)) or not raw or not all(isinstance(word, str) and "\0" not in word for word in raw):
        raise ValueError('must be a list of strings, such as ["op", "read", "op://vault/item/key"]')
    if not raw[0]:
        raise ValueError("must start with the name of a program")
    return tuple(raw)


def parse_command_line(text: object) -> tuple[str, ...]:
    """Return the same from a typed line: a JSON list, or words quoted as in a shell (on Windows, a backslash stays)."""
    import shlex  # only `config set` needs it

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
    import json  # only for a list in `config set`

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_base_url(raw: object) -> str:
    """Return an https URL, or an http URL on loopback, without user, query and fragment.

    Scheme and host become lower case; the scheme's default port and a slash at the end are dropped: rate limits are kept by URL.
    """
    if raw == DEFAULT_BASE_URL:
        return DEFAULT_BASE_URL
    if not isinstance(raw, str):
        raise ValueError("must be a string")
    import re  # heavy, and the default service needs none of it

    scheme, mark, rest = raw.strip().partition("://")
    host, slash, path = rest.partition("/")
    match = re.fullmatch(_BASE_URL, f"{scheme.lower()}{mark}{host.lower()}{slash}{path}")
    if match is None:
        raise ValueError("must look like https://host/path: without user, password, query and fragment, in ASCII")
    scheme, host, port, path = match.groups()
    if scheme == "http" and not _is_loopback_host(host):
        raise ValueError("must be https: with http the key could be read on the way (http is for this machine only)")
    if port and not 0 < int(port) < 65536:
        raise ValueError("has a port that is not between 1 and 65535")
    shown_port = "" if not port or int(port) == _DEFAULT_PORTS[scheme] else f":{int(port)}"
    return f"{scheme}://{host}{shown_port}{path}"


def _is_loopback_host(host: str) -> bool:
    numbers = host.split(".")
    # Only the plain spelling: libraries disagree about 127.1 and 0177.0.0.1.
    is_plain = len(numbers) == 4 and all(map(_is_octet, numbers))
    return host in ("localhost", "[::1]") or (is_plain and numbers[0] == "127")


def _is_octet(part: str) -> bool:
    return part.isdecimal() and len(part) < 4 and part == str(int(part)) and int(part) < 256


def is_loopback_url(base_url: str) -> bool:
    """Return whether a `base_url` from `parse_base_url` is on this machine."""
    host = origin_of(base_url).partition("://")[2]
    return _is_loopback_host(host if host.endswith("]") else host.rpartition(":")[0] or host)


def origin_of(base_url: str) -> str:
    """Return scheme, host and port of a `base_url` from `parse_base_url`; a stored key is bound to them."""
    return "/".join(base_url.split("/", 3)[:3])


def parse_profile_name(raw: object) -> str:
    """Return a name of 1 to 64 letters, digits, dots, dashes and underscores."""
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
"""The parsers of `config set`, for each setting it may write."""


def unset_hint(variable: str, platform: str = sys.platform) -> str:
    """Return how to unset an environment variable in the shells of this system, one a line."""
    lines = [f"in bash: unset {variable}", f"in PowerShell: Remove-Item Env:{variable}"]
    return "\n".join([*lines[::-1], f"in cmd: set {variable}="] if platform == "win32" else lines)


def spec_of(key: str) -> SettingSpec:
    """Return the setting of that name. Raises `SpcliError` (usage) with the nearest name, without repeating the typed one."""
    if key in SPEC_OF:
        return SPEC_OF[key]
    from difflib import get_close_matches  # loads re

    near = get_close_matches(key.lower().replace("-", "_"), SPEC_OF, n=1)
    question = f"; did you mean {near[0]}?" if near else ""
    raise SpcliError("usage", f"no such setting{question}", hint="use one of " + ", ".join(SPEC_OF))


def typed_value(key: str, text: str) -> object:
    """Return the value that `config set KEY TEXT` stores.

    Raises:
        SpcliError: `usage`, for a setting that is not in the file, an API key (others can read argv), or an invalid value.
    """
    spec = spec_of(key)
    if key == "api_key":
        raise SpcliError(
            "usage",
            "the API key cannot be set on the command line: other programs and the shell's history could read it",
            hint="run spcli auth login",
        )
    if spec.config_key is None:
        raise SpcliError("usage", f"{key} cannot be set in the config file", hint=f"set the variable {spec.environment[0]}")
    try:
        value = TYPED[key](text)
    except ValueError as problem:
        raise SpcliError("usage", f"{key} {problem}", hint=f"{key}: {spec.description}") from None
    if value == "":
        raise SpcliError("usage", f"{key} is empty", hint=f"remove it with spcli config unset {key}")
    return int(value) if isinstance(value, float) and value.is_integer() else value
