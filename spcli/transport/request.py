"""Calls: what they look like on the wire and in the log."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

from spcli import __version__
from spcli.errors import SpcliError
from spcli.models import Secret, bare_url

_PATH_SAFE = "/%:@!$&'()*+,;=~"


class Call(NamedTuple):
    """One call. `path` is appended to the base URL; `query` and `body` may hold the key, also as a `Secret` in `body`."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, object] | None = None


class Origin(NamedTuple):
    """The parts of a base URL; `port` is always set, `prefix` has no slash at its end.

    `stated_port` is None if the port is the scheme's default, `host_port` the text `host:port` for messages, `host_header` the
    value of the `Host` header.
    """

    scheme: str
    host: str
    port: int
    prefix: str
    stated_port: int | None
    host_port: str
    host_header: str


def bracketed_host(host: str) -> str:
    """Return `host` as a URL writes it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_origin(base_url: str) -> Origin:
    """Split a base URL into its parts.

    Raises:
        SpcliError: `config`, for a URL that no request can be sent to.
    """
    try:
        parts = urlsplit(base_url)
        default = 443 if parts.scheme == "https" else 80
        port = parts.port or default
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        raise SpcliError("config", "base_url is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise SpcliError("config", "base_url is not an http or https URL")
    prefix = quote(parts.path.rstrip("/"), safe=_PATH_SAFE, errors="replace")
    stated_port, name = None if port == default else port, bracketed_host(host)
    host_port = f"{name}:{port}"
    return Origin(parts.scheme, host, port, prefix, stated_port, host_port, name if stated_port is None else host_port)


def _ascii_host(host: str) -> str:
    ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    if not all(letter.isalnum() or letter in "-._:%" for letter in ascii_host):
        raise ValueError("not a host name")
    return ascii_host


def encode_target(call: Call, prefix: str) -> bytes:
    """Return the request target: path and query, percent-encoded. A path segment that is already encoded stays as it is."""
    query = "&".join([f"{_quote_value(name)}={_quote_value(value)}" for name, value in call.query])
    return f"{prefix}{_quote_path(call.path)}{query and '?'}{query}".encode("ascii")


# The two hundred pages of a long list differ in one number; everything else is quoted once.
@lru_cache(32)
def _quote_value(text: str) -> str:
    return quote_plus(text, errors="replace")


@lru_cache(8)
def _quote_path(text: str) -> str:
    return quote(text, safe=_PATH_SAFE, errors="replace")


def request_headers(origin: Origin, body: bytes | None, fresh: bool) -> list[tuple[str, str]]:
    """Return the headers of a call. They never ask for compression: a few kilobytes can expand to gigabytes."""
    fields = [
        ("Host", origin.host_header),
        ("Accept", "application/json"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close" if fresh else "keep-alive"),
        ("User-Agent", f"streampixel-cli/{__version__}"),
    ]
    # The service answers 415 to any other type.
    return fields if body is None else [*fields, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]


def encode_body(call: Call) -> bytes | None:
    """Return the body as compact ASCII JSON, with its secrets revealed."""
    if call.body is None:
        return None
    return json.dumps(call.body, separators=(",", ":"), default=_reveal_secret).encode("ascii")


def _reveal_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"{type(value).__name__} is not JSON")


def describe_call(call: Call) -> str:
    """Return the call as a log may show it: without its query, with keys masked and file URLs without their query."""
    return f"{call.method} {call.path}" + ("" if call.body is None else f" {json.dumps(_mask_value(call.body))}")


def _mask_value(value: object, name: str = "") -> object:
    if isinstance(value, Secret) or name.lower().replace("_", "") == "apikey":
        return "****"
    if isinstance(value, Mapping):
        return {str(key): _mask_value(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mask_value(item, name) for item in value]
    return bare_url(value) if isinstance(value, str) and name.lower() == "fileurl" else value
