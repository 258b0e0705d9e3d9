"""Names for TAB: projects and builds from this machine's own record, profiles from the config file. Never the network.

`state` and `settings` read the same files with more care and take three times as long to import as a TAB press may; this reads,
changes nothing, and where anything is odd it knows no names.
"""

import os
import sys

from spcli.state.account import Account

TYPE_CHECKING = False  # importing it from typing would be felt
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Offer = tuple[str, str]
    Question = tuple[str, tuple[object, ...]]

NEWEST = 100
MOST = 5000
_LARGEST = 1 << 20
_LONGEST = 80
_DEFAULT_URL = "https://api.streampixel.io/pixelStripeApi"
_DEFAULT_PROFILE = "default"


def live(kind: str, environ: "Mapping[str, str]", profile: "str | None") -> "list[Offer]":
    """Words to offer, each with what it means: of kind `project`, `upload` or `profile`; `profile` is what `--profile` says."""
    config = _config(environ)
    profiles = config.get("profiles")
    profiles = profiles if isinstance(profiles, dict) else {}
    if kind == "profile":
        return [(name, "") for name in profiles if _fits(name)]
    chosen = profile or environ.get("SPCLI_PROFILE") or config.get("default_profile") or _DEFAULT_PROFILE
    settings = profiles.get(chosen) if isinstance(chosen, str) else None
    account = _account(environ, settings if isinstance(settings, dict) else {})
    if account is None:
        return []
    rows = _known(kind, environ, account)
    return _projects(rows) if kind == "project" else [(id_, shown(name)) for id_, name in rows if _fits(id_)]


def _projects(rows: "list[Offer]") -> "list[Offer]":
    """Names first, each once, then the ids with their names."""
    named: dict[str, str] = {}
    for id_, name in rows:
        if _fits(name):
            named.setdefault(name.strip(), shown(id_))
    return [*named.items(), *((id_, shown(name)) for id_, name in rows if _fits(id_))]


def shown(text: str) -> str:
    """The text as a description: one line without anything a terminal would obey."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\u3000")[:_LONGEST]


def _fits(word: str) -> bool:
    """Whether a word can be typed and says only what it shows; others are left out."""
    return bool(word.strip()) and not word.startswith("-") and len(word) <= 200 and shown(word[:_LONGEST]) == word[:_LONGEST]


def _config(environ: "Mapping[str, str]") -> "dict[str, object]":
    path = environ.get("SPCLI_CONFIG") or _place(environ, "XDG_CONFIG_HOME", ".config", "config.toml")
    try:
        if not os.path.isfile(path):
            return {}
        with open(path, "rb") as file:
            text = file.read(_LARGEST).decode("utf-8").removeprefix("\ufeff")
        import tomllib

        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return {}


def _place(environ: "Mapping[str, str]", variable: str, folder: str, file: str) -> str:
    """The platform's place for `file`: worked out here where that is plain, else by `places`, which takes longer."""
    base = environ.get(variable) or os.path.join(environ.get("HOME") or "", folder)
    if sys.platform.startswith(("linux", "freebsd")) and os.path.isabs(base):
        return os.path.join(base, "spcli", file)
    from spcli.settings import places

    if variable == "XDG_CONFIG_HOME":
        return str(places.config_path(environ))
    return str(places.state_dir(environ) / file)


def _account(environ: "Mapping[str, str]", settings: "dict[str, object]") -> "str | None":
    """The account's key in the database; `None` where no user is set."""
    user_id = environ.get("STREAMPIXEL_USER_ID") or settings.get("user_id")
    base_url = environ.get("STREAMPIXEL_BASE_URL") or settings.get("base_url") or _DEFAULT_URL
    if not isinstance(user_id, str) or not isinstance(base_url, str):
        return None
    base_url = base_url.strip()
    host = base_url.partition("://")[2].partition("/")[0]
    is_plain = host == host.lower() and not host.endswith((":443", ":80")) and not base_url.endswith("/")
    if not is_plain or not base_url.startswith(("https://", "http://")):
        from spcli.settings.table import parse_base_url

        try:
            base_url = parse_base_url(base_url)
        except ValueError:
            return None
    return Account(base_url, user_id).user


def digest_of(projects: "Sequence[Offer]") -> str:
    """A fingerprint of ids and names in their order."""
    from hashlib import sha256

    return sha256("\n".join(map("\t".join, projects)).encode("utf-8", "surrogatepass")).hexdigest()


def are_remembered(path: str, account: Account, digest: str) -> bool:
    """Whether the database at `path` holds the very projects of `digest`, so that listing them has nothing to write.

    Asked of `state` itself, a list of projects would take a tenth longer.
    """
    (rows,) = _answers(path, [(_DIGEST, (account.user,))])
    return any(name == digest for _, name in rows)


_DIGEST = "SELECT id, name FROM names WHERE kind = 'projects' AND account = ?"
_NAMES = "SELECT id, name FROM names WHERE kind = ? AND account = ? ORDER BY seen DESC, rowid LIMIT ?"
# By the rows themselves, from the newest: by the index of accounts, all that an account ever sent would be sorted first.
_SENT = "SELECT upload_id, url FROM ledger NOT INDEXED WHERE account = ? AND upload_id IS NOT NULL ORDER BY id DESC LIMIT ?"


def _known(kind: str, environ: "Mapping[str, str]", account: str) -> "list[Offer]":
    """Ids and names as remembered, the newest first; none where the file can't be read."""
    folder = environ.get("SPCLI_STATE_DIR")
    path = os.path.join(folder, "state.db") if folder else _place(environ, "XDG_STATE_HOME", ".local/state", "state.db")
    questions: list[Question] = [(_NAMES, (kind, account, NEWEST if kind == "upload" else MOST))]
    if kind == "upload":
        questions.append((_SENT, (account, NEWEST)))
    rows, sent = (*_answers(path, questions), [])[:2]
    files = [(id_, url.rpartition("/")[2]) for id_, url in sent if isinstance(url, str)]
    found = {id_: name or "" for id_, name in [*files, *rows] if isinstance(id_, str)}
    return list(found.items())


def _answers(path: str, questions: "Sequence[Question]") -> "list[list[Offer]]":
    """The rows of each question; none for any where the file can't be read."""
    nothing: list[list[Offer]] = [[] for _question in questions]
    if not os.path.isfile(path):
        return nothing
    import sqlite3

    # A path is quoted by hand: urllib would take longer than the question.
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23").replace(os.sep, "/")
    try:
        connection = sqlite3.connect(f"file://{'' if quoted[0] == '/' else '/'}{quoted}?mode=ro", uri=True, timeout=0.1)
    except sqlite3.Error:
        return nothing
    try:
        return [connection.execute(sql, values).fetchall() for sql, values in questions]
    except sqlite3.Error:
        return nothing
    finally:
        connection.close()
