"""Webhook receivers: parse their URLs, and send one payload as the service does (one POST, no redirects)."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.transport import Call, Transport


class ReceiverUrl(NamedTuple):
    """A webhook receiver's URL in parts; `netloc` is host and port as written."""

    scheme: str
    host: str
    netloc: str
    path: str
    query: str


def parse_receiver_url(url: str, option: str) -> ReceiverUrl:
    """Parse a URL that was given with `option`.

    Raises:
        SpcliError: `usage`, if the URL is not http(s), has a user or can't be sent as it is.
    """
    try:
        parts = urlsplit(url)
        is_sendable = url.isascii() and url.isprintable() and " " not in url and parts.port != 0
        if parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc and is_sendable:
            return ReceiverUrl(parts.scheme, parts.hostname, parts.netloc, parts.path or "/", parts.query)
    except ValueError:
        pass
    raise SpcliError(
        "usage", f"{option} must be an http(s) URL without a user", hint=f"write it like {option} https://hooks.example.com/TOKEN"
    )


def parse_public_url(url: str) -> ReceiverUrl:
    """Parse the `--public-url` of a tunnel. Raises `SpcliError` (usage) if it is not https or has a query."""
    public = parse_receiver_url(url, "--public-url")
    if public.scheme != "https" or public.query:
        raise SpcliError(
            "usage",
            "--public-url must be an https URL without a query",
            hint="write it like --public-url https://hooks.example.com",
        )
    return public


def deliver(url: ReceiverUrl, payload: dict[str, object], *, seconds: float, clock: Clock, environ: Mapping[str, str]) -> int:
    """POST `payload` to `url` within `seconds`, and return the receiver's 2xx status.

    Raises:
        SpcliError: `receiver`, if it can't be reached or its answer is not 2xx.
    """
    transport = Transport(f"{url.scheme}://{url.netloc}", clock=clock, environ=environ)
    call = Call("POST", url.path, query=tuple(parse_qsl(url.query, keep_blank_values=True)), body=payload)
    try:
        return transport.send(call, deadline=clock.mono() + seconds, fresh=True).status
    except Refused as refused:
        message = f"the receiver answered {refused.status}: {refused.message}"
    except (NotSent, Unclear) as failure:
        message = failure.message
    finally:
        transport.close()
    raise SpcliError("receiver", message, hint="a receiver must answer 2xx within 10s, without a redirect")
