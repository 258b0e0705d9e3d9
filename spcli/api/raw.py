"""Pure: a raw call as it was typed: method, path and fields checked, rate-limited endpoints recognised.

The service's routes: https://docs.streampixel.io, api-reference.
"""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from spcli.errors import SpcliError

READS = ("GET", "HEAD")
WITH_BODY = ("POST", "PUT", "PATCH")
METHODS = (*READS, *WITH_BODY, "DELETE")
_LIMITED = {"upload-file": "upload", "distribute-file": "distribute"}
_LIMITED_NAME = re.compile(rf"(?<![\w-])(?:{'|'.join(_LIMITED)})(?![\w-])")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_ID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_CREDENTIALS = ("apikey", "userid")

Pair = tuple[str, str]


class RawCall(NamedTuple):
    """A raw call. `path` begins with a slash and has no query; `query` is the typed one, `fields` are those of -f, in order."""

    method: str
    path: str
    query: tuple[Pair, ...]
    fields: tuple[Pair, ...]

    @property
    def is_read(self) -> bool:
        """Return whether it changes nothing at the service, and may be retried."""
        return self.method in READS

    @property
    def endpoint(self) -> str | None:
        """Return `upload` or `distribute` if the call is rate-limited, in any spelling that a server may accept."""
        if self.method not in WITH_BODY:
            return None
        return _LIMITED.get(_decoded(self.path).casefold().rstrip("/. ").rpartition("/")[2].strip())

    @property
    def body(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        return {name: field_value(text) for name, text in self.fields}


def raw_call(method: str, target: str, fields: Sequence[str], *, base_url: str) -> RawCall:
    """Return the call that was typed. Raises `SpcliError` (usage), never repeating what may be a key."""
    verb = method.upper()
    if verb not in METHODS:
        raise SpcliError("usage", "no such method", hint=f"use one of {', '.join(METHODS)}")
    path, query = _split_target(target, base_url)
    given = [_parse_field(field) for field in fields]
    if any(name.lower().replace("_", "") in _CREDENTIALS for name, _ in (*query, *given)):
        raise SpcliError(
            "usage", "spcli adds apiKey and userId itself", hint="omit them; use another account with --profile NAME"
        )
    if verb in WITH_BODY and len({name for name, _ in given}) < len(given):
        raise SpcliError("usage", "a field of the JSON body is given twice", hint="give each field once")
    call = RawCall(verb, path, tuple(query), tuple(given))
    if call.endpoint is not None and query:
        raise SpcliError("usage", "a limited endpoint takes no query", hint="give its fields with -f")
    if call.endpoint is None and verb in WITH_BODY and _names_limited(path):
        hint = "write it as documented, such as /projects/upload-file"
        raise SpcliError("usage", "PATH looks like a rate-limited path, but is another one", hint=hint)
    return call


def _split_target(target: str, base_url: str) -> tuple[str, list[Pair]]:
    """Return path and query of the typed target; the path is below the base URL."""
    if _DRIVE.match(target):
        raise SpcliError(
            "usage",
            "PATH is a path of this machine: Git Bash replaces the slash at the start of an argument",
            hint="omit the slash: spcli api GET projects",
        )
    path = _path_below(target, base_url) if "://" in target.partition("?")[0] else target
    if path[:1].isalnum():
        path = f"/{path}"
    if not path.startswith("/") or path.startswith("//"):
        raise SpcliError("usage", "PATH begins with one slash or with a letter", hint="write it like /projects")
    if "#" in path or not path.isprintable() or " " in path:
        raise SpcliError("usage", "PATH has an invalid character", hint="percent-encode it, such as %20 for a space")
    path, _, query = path.partition("?")
    _refuse_ambiguous(path)
    return path, parse_qsl(query, keep_blank_values=True)


def _refuse_ambiguous(path: str) -> None:
    """Refuse a path that a server may cut or decode to another one, a rate-limited one included. Raises `SpcliError` (usage)."""
    decoded, hint = _decoded(path), "write the path as documented, such as /projects"
    if "\ufffd" in decoded:
        raise SpcliError("usage", "PATH has percent-encoded bytes that are not UTF-8", hint=hint)
    if decoded.count("/") > path.count("/"):
        raise SpcliError("usage", "PATH has an encoded slash", hint=hint)
    if not unquote(path).isprintable():
        raise SpcliError("usage", "PATH has an encoded control character", hint=hint)
    if mark := next((mark for mark in ";?#%\\" if mark in decoded), None):
        raise SpcliError("usage", f"PATH has {mark!r}, plain or encoded", hint=hint)
    if any(part in (".", "..") for part in decoded.split("/")):
        raise SpcliError("usage", "PATH has . or .. in it", hint="write the path below the base URL")


def _names_limited(path: str) -> bool:
    """Return whether a rate-limited name is anywhere in the path: routers match prefixes, and servers cut paths."""
    return _LIMITED_NAME.search(_decoded(path).casefold()) is not None


def _decoded(path: str) -> str:
    """Return the path as the most lenient server may read it: percent-decoded, with compatible characters as ASCII."""
    return unicodedata.normalize("NFKC", unquote(path))


def _path_below(url: str, base_url: str) -> str:
    """Return the part of a full URL below the base URL."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    same = f"{scheme.lower()}://{host.lower()}{slash}{path}"
    if same.startswith((f"{base_url}/", f"{base_url}?")):
        return same.removeprefix(base_url)
    raise SpcliError(
        "usage", f"the URL is not below {base_url}, and the key goes nowhere else", hint="give only the path, such as /projects"
    )


def _parse_field(text: str) -> Pair:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise SpcliError("usage", "-f takes KEY=VALUE", hint="write it like -f limit=5")
    return name.strip(), value


def field_value(text: str) -> object:
    """Return a field's text as a JSON value: `true`, `false`, `null` or a number; anything else is a string.

    24 hex digits are an ID, even if they look like a number.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _ID.fullmatch(text) or not _NUMBER.fullmatch(text):
        return text
    import json  # not at the top: help and usage errors load this module

    number: float = json.loads(text)
    return number if isinstance(number, int) or math.isfinite(number) else text
