"""One call as somebody typed it: method, path and fields judged, limited endpoints recognised. Pure.

The service's routes: https://docs.streampixel.io, api-reference.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spcli.errors import SpcliError

READS = ("GET", "HEAD")
WITH_BODY = ("POST", "PUT", "PATCH")
METHODS = (*READS, *WITH_BODY, "DELETE")
_LIMITED = {"upload-file": "upload", "distribute-file": "distribute"}
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_ID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)
_WORDS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_CREDENTIALS = ("apikey", "userid")

Pair = tuple[str, str]


class RawCall(NamedTuple):
    """`path` begins with a slash and has no query; `query` is what was typed there, `fields` what was given with -f, in order."""

    method: str
    path: str
    query: tuple[Pair, ...]
    fields: tuple[Pair, ...]

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing at the service, and may be tried again."""
        return self.method in READS

    @property
    def endpoint(self) -> str | None:
        """`upload` or `distribute`, where the call is limited: however the route is spelt, a server may take it for it."""
        from urllib.parse import unquote

        if self.method not in WITH_BODY:
            return None
        return _LIMITED.get(unquote(self.path).lower().rstrip("/").rpartition("/")[2].strip())

    @property
    def body(self) -> dict[str, object]:
        """The fields as JSON."""
        return {name: typed(text) for name, text in self.fields}


def raw_call(method: str, target: str, fields: Sequence[str], *, base_url: str) -> RawCall:
    """The call that was typed. Raises `SpcliError` (usage), never repeating what may be a key."""
    verb = method.upper()
    if verb not in METHODS:
        raise SpcliError("usage", "no such method", hint=f"one of {', '.join(METHODS)}")
    path, query = _split(target, base_url)
    given = [_field(field) for field in fields]
    if any(name.lower().replace("_", "") in _CREDENTIALS for name, _ in (*query, *given)):
        raise SpcliError(
            "usage", "apiKey and userId are added by spcli", hint="leave them out; --profile NAME uses another account"
        )
    if verb in WITH_BODY and len({name for name, _ in given}) < len(given):
        raise SpcliError("usage", "a field of the JSON body is given twice", hint="give each field once")
    call = RawCall(verb, path, tuple(query), tuple(given))
    if call.endpoint is not None and query:
        raise SpcliError("usage", "a limited endpoint takes no query", hint="give its fields with -f")
    return call


def _split(target: str, base_url: str) -> tuple[str, list[Pair]]:
    """Path and query of what was typed, the path being below the base URL."""
    from urllib.parse import parse_qsl, unquote

    path = _below(target, base_url) if "://" in target.partition("?")[0] else target
    if not path.startswith("/") or path.startswith("//"):
        raise SpcliError("usage", "PATH begins with one slash", hint="such as /projects")
    if "#" in path or not path.isprintable() or " " in path:
        raise SpcliError("usage", "PATH has a character that no path has", hint="percent-encode it, such as %20 for a space")
    path, _, query = path.partition("?")
    if any(part in (".", "..") for part in unquote(path).replace("\\", "/").split("/")):
        raise SpcliError("usage", "PATH has . or .. in it", hint="write the path below the base URL")
    return path, parse_qsl(query, keep_blank_values=True)


def _below(url: str, base_url: str) -> str:
    """The part of a full URL below the base URL."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    same = f"{scheme.lower()}://{host.lower()}{slash}{path}"
    if same.startswith((f"{base_url}/", f"{base_url}?")):
        return same.removeprefix(base_url)
    raise SpcliError(
        "usage", f"that is not below {base_url}: the key goes to no other place", hint="give the path alone, such as /projects"
    )


def _field(text: str) -> Pair:
    name, mark, value = text.partition("=")
    if not mark or not name.strip():
        raise SpcliError("usage", "-f takes KEY=VALUE", hint="such as -f limit=5")
    return name.strip(), value


def typed(text: str) -> object:
    """A field's text as JSON takes it: `true`, `false`, `null` and numbers are themselves, all else is a string.

    24 hex digits are an id, whatever number they look like.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _ID.fullmatch(text) or not _NUMBER.fullmatch(text):
        return text
    import json
    import math

    number: float = json.loads(text)
    return number if isinstance(number, int) or math.isfinite(number) else text
