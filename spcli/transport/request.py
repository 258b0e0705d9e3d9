"""What a call looks like on the wire, and in the log."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from spcli import __version__
from spcli.errors import SpcliError
from spcli.models import Secret, bare_url

_PATH_SAFE = "/%:@!$&'()*+,;=~"


class Call(NamedTuple):
    """One call. `path` is appended to the base URL; `query` and `body` may hold the key (as text, or a `Secret` in the body)."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, object] | None = None


class Origin(NamedTuple):
    """The base URL in parts; `port` is explicit, `prefix` has no slash at its end."""

    scheme: str
    host: str
    port: int
    prefix: str

    @property
    def where(self) -> str:
        """`host:port`, for messages."""
        return f"{self._bracketed}:{self.port}"

    @property
    def stated_port(self) -> int | None:
        """The port where it is not the scheme's own."""
        return None if self.port == (443 if self.scheme == "https" else 80) else self.port

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        return self._bracketed if self.stated_port is None else self.where

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def parse_origin(base_url: str) -> Origin:
    """The base URL in parts.

    Raises:
        SpcliError: `config`, for one no request can be sent to.
    """
    from urllib.parse import quote, urlsplit

    try:
        parts = urlsplit(base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        raise SpcliError("config", "the base URL is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SpcliError("config", "the base URL is not an http or https URL")
    return Origin(parts.scheme, host, port, quote(parts.path.rstrip("/"), safe=_PATH_SAFE, errors="replace"))


def _ascii_host(host: str) -> str:
    ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    if not all(letter.isalnum() or letter in "-._:%" for letter in ascii_host):
        raise ValueError("not a host name")
    return ascii_host


def target(call: Call, prefix: str) -> bytes:
    """The request target: path and query, percent-encoded. A path segment the caller encoded stays as it is."""
    query = "&".join([f"{_in_query(name)}={_in_query(value)}" for name, value in call.query])
    return f"{prefix}{_in_path(call.path)}{query and '?'}{query}".encode("ascii")


# Two hundred pages of a list differ in one number: what is the same in all of them is quoted once.
@lru_cache(32)
def _in_query(text: str) -> str:
    from urllib.parse import quote_plus

    return quote_plus(text, errors="replace")


@lru_cache(8)
def _in_path(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe=_PATH_SAFE, errors="replace")


def headers(origin: Origin, body: bytes | None, fresh: bool) -> list[tuple[str, str]]:
    """The headers every call bears. Compressed answers are never asked for: a few kilobytes may unfold to gigabytes."""
    fields = [
        ("Host", origin.authority),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close" if fresh else "keep-alive"),
        ("User-Agent", f"streampixel-cli/{__version__}"),
    ]
    # The service answers 415 to any other type.
    return fields if body is None else [*fields, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]


def content(call: Call) -> bytes | None:
    """The body as compact ASCII JSON, with the secrets in it revealed."""
    import json

    if call.body is None:
        return None
    return json.dumps(call.body, separators=(",", ":"), default=_revealed).encode("ascii")


def _revealed(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")


def shown(call: Call) -> str:
    """The call as a log may show it: no query, the key starred by its field, file URLs without their query."""
    import json

    return f"{call.method} {call.path}" + ("" if call.body is None else f" {json.dumps(_shown(call.body))}")


def _shown(value: object, name: str = "") -> object:
    if isinstance(value, Secret) or name.lower().replace("_", "") == "apikey":
        return "****"
    if isinstance(value, Mapping):
        return {str(key): _shown(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item, name) for item in value]
    return bare_url(value) if isinstance(value, str) and name.lower() == "fileurl" else value
