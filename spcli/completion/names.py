"""Names for TAB: projects and builds from this machine's own record, profiles from the config file. Never the network.

`settings` reads the same files with more care and takes three times as long to import as a TAB press may; this reads, changes
nothing, and where anything is odd it offers no names.
"""

import os
import sys

from spcli.state.account import Account

TYPE_CHECKING = False  # importing it from typing would be felt
if TYPE_CHECKING:
    from collections.abc import Mapping

    Offer = tuple[str, str]

_LARGEST_CONFIG = 1 << 20
_LONGEST_WORD = 200
_LONGEST_NOTE = 80
_DEFAULT_URL = "https://api.streampixel.io/pixelStripeApi"
_DEFAULT_PROFILE = "default"


def live_offers(kind: str, environ: "Mapping[str, str]", profile: "str | None") -> "list[Offer]":
    """Return the words to offer, each with its meaning; `profile` is the value of `--profile`.

    `kind` is `project` (names and IDs), `project-id`, `upload` or `profile`.
    """
    config = _read_config(environ)
    profiles = config.get("profiles")
    profiles = profiles if isinstance(profiles, dict) else {}
    if kind == "profile":
        return [(name, "") for name in profiles if is_safe_word(name)]
    chosen = profile or environ.get("SPCLI_PROFILE") or config.get("default_profile") or _DEFAULT_PROFILE
    settings = profiles.get(chosen) if isinstance(chosen, str) else None
    account = _find_account(environ, settings if isinstance(settings, dict) else {})
    if account is None:
        return []
    from spcli.state.reader import read_names  # loads sqlite3

    rows = read_names(_state_file(environ), "upload" if kind == "upload" else "project", account)
    ids = [(id_, describe(name)) for id_, name in rows if is_safe_word(id_)]
    return [*_project_names(rows), *ids] if kind == "project" else ids


def _project_names(rows: "list[Offer]") -> "list[Offer]":
    """Return each name once, with an ID that has it."""
    names: dict[str, str] = {}
    for id_, name in rows:
        if is_safe_word(name):
            names.setdefault(name.strip(), describe(id_))
    return list(names.items())


def describe(text: str) -> str:
    """Return `text` as one line for a person, without any character that a terminal obeys."""
    return _printable(text)[:_LONGEST_NOTE]


def is_safe_word(word: str) -> bool:
    """Return whether a shell may insert the word: it can be typed, is no option, and shows all that it says.

    The whole word counts: what follows the visible part reaches the shell as well.
    """
    return bool(word.strip()) and not word.startswith("-") and len(word) <= _LONGEST_WORD and _printable(word) == word


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable() or letter == "\u3000")


def _read_config(environ: "Mapping[str, str]") -> "dict[str, object]":
    """Return the config file's content; empty if there is none, or it can't be read."""
    path = environ.get("SPCLI_CONFIG") or _own_place(environ, "XDG_CONFIG_HOME", ".config", "config.toml")
    try:
        if not os.path.isfile(path):
            return {}
        with open(path, "rb") as file:
            text = file.read(_LARGEST_CONFIG).decode("utf-8").removeprefix("\ufeff")
        import tomllib  # only where there is a config file

        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}


def _state_file(environ: "Mapping[str, str]") -> str:
    folder = environ.get("SPCLI_STATE_DIR")
    return os.path.join(folder, "state.db") if folder else _own_place(environ, "XDG_STATE_HOME", ".local/state", "state.db")


def _own_place(environ: "Mapping[str, str]", variable: str, folder: str, file: str) -> str:
    """Return the platform's place for `file`: worked out here where that is plain, else by `places`, which takes longer."""
    base = environ.get(variable) or os.path.join(environ.get("HOME") or "", folder)
    if sys.platform.startswith(("linux", "freebsd")) and os.path.isabs(base):
        return os.path.join(base, "spcli", file)
    from spcli.settings import places  # loads platformdirs

    if variable == "XDG_CONFIG_HOME":
        return str(places.config_path(environ))
    return str(places.state_dir(environ) / file)


def _find_account(environ: "Mapping[str, str]", settings: "dict[str, object]") -> "Account | None":
    """Return the account in force; None where no user is set."""
    user_id = environ.get("STREAMPIXEL_USER_ID") or settings.get("user_id")
    base_url = environ.get("STREAMPIXEL_BASE_URL") or settings.get("base_url") or _DEFAULT_URL
    if not isinstance(user_id, str) or not isinstance(base_url, str):
        return None
    base_url = base_url.strip()
    host = base_url.partition("://")[2].partition("/")[0]
    is_plain = host == host.lower() and not host.endswith((":443", ":80")) and not base_url.endswith("/")
    if not is_plain or not base_url.startswith(("https://", "http://")):
        from spcli.settings.table import parse_base_url  # loads re and the table of all settings

        try:
            base_url = parse_base_url(base_url)
        except ValueError:
            return None
    return Account(base_url, user_id)
