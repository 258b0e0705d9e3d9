"""Sending a forged payload to a receiver, as the service would: one POST, no redirects."""

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from spcli.errors import NotSent, Refused, SpcliError, Unclear

if TYPE_CHECKING:
    from spcli.runtime import Runtime


def deliver(runtime: "Runtime", url: str, body: dict[str, object], timeout: float) -> int:
    """POST `body` to `url` within `timeout` seconds; the receiver's 2xx status.

    Raises:
        SpcliError: `usage` for a URL that is none; `receiver` when it can't be reached or answers anything but 2xx.
    """
    from spcli.transport import Call, Transport

    origin, path, query = _parts(url)
    transport = Transport(origin, clock=runtime.clock, environ=runtime.environ)
    try:
        reply = transport.send(Call("POST", path, query=query, body=body), deadline=runtime.clock.mono() + timeout, fresh=True)
    except Refused as refused:
        raise _failed(f"the receiver answered {refused.status}: {refused.message}") from None
    except (NotSent, Unclear) as failure:
        raise _failed(failure.message) from None
    finally:
        transport.close()
    return reply.status


def _failed(message: str) -> SpcliError:
    return SpcliError("receiver", message, hint="a receiver must answer 2xx within 10 s, at once and without a redirect")


def _parts(url: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise SpcliError("usage", "--to must be an http(s) URL without a user", hint="--to http://127.0.0.1:8080/hooks/TOKEN")
    bracketed = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
    return origin, parts.path or "/", tuple(parse_qsl(parts.query, keep_blank_values=True))
