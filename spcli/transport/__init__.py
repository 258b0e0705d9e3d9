"""One HTTP call to the service: send, bound, classify, redact.

Every failure comes out as `NotSent`, `Refused` or `Unclear`: whether a write may be repeated hangs on which of them it is.
httpcore is loaded by `network`, on the first call.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.models import Secret
from spcli.transport.request import Call, Origin, parse_origin, shown
from spcli.transport.response import (
    error_text,
    http_date,
    is_edge_page,
    masked,
    masked_body,
    parse_json,
    plain_message,
    retry_after_hint,
)

if TYPE_CHECKING:
    import ssl

    import httpcore

    from spcli.transport.connection import Wire
    from spcli.transport.exchange import Answer, Exchange
    from spcli.transport.proxies import Proxy

Headers = tuple[tuple[str, str], ...]

__all__ = ["Call", "Reached", "Reply", "Transport", "plain_message", "retry_after_hint"]


class Reply(NamedTuple):
    """A 2xx answer.

    `data` is the parsed JSON, `None` when the body is empty or not `readable` (cut short, not JSON, too large, compressed).
    `size` counts body bytes received; `headers` and `body` are as they came. `cut` tells an unreadable body that the network cut
    short: a read may be tried again. `sent_at` is the reading of `Clock.mono` when the request's first byte left.
    """

    status: int
    data: object
    readable: bool
    size: int
    headers: Headers
    body: bytes
    cut: bool = False
    sent_at: float | None = None

    @property
    def server_wall(self) -> float | None:
        """The `Date` header as Unix time. Worked out when asked for: what reads dates takes long to import."""
        return _server_wall(self.headers)


class Reached(NamedTuple):
    """How the service was reached: the address (a proxy's, where there is one), TLS version and certificate (as
    `ssl.getpeercert` gives it), and the last answer's `Date` as Unix time, whatever its status."""

    address: str
    tls_version: str | None
    certificate: Mapping[str, object]
    server_wall: float | None


class Transport:
    """Sends calls to one base URL. Not for several threads at once.

    Args:
        base_url: `https://host/prefix`, or http on this machine.
        environ: where proxies and CA certificates are named.
        log: receives the lines of `-v`; without it none are made.
        secrets: replaced by stars wherever a message or log line would show them.

    Attributes:
        refused: the answer of the last call as it came, but for secrets, where it was 300 or more.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        log: Callable[[str], None] | None = None,
        secrets: Sequence[Secret] = (),
    ) -> None:
        self._base_url = base_url
        self._clock = clock
        self._environ = environ
        self._log = log
        self._secrets = tuple(secrets)
        self._route: tuple[Origin, Proxy | None, ssl.SSLContext | None] | None = None
        self._kept: Wire | None = None
        self._last_get: httpcore.Request | None = None
        self._headers: Headers = ()
        self._exchange: Exchange | None = None
        self.refused: Reply | None = None

    @property
    def reached(self) -> Reached | None:
        """How the kept connection reached the service; `None` before one did."""
        wire = self._kept
        if wire is None or not wire.address:
            return None
        return Reached(wire.address, *wire.tls, _server_wall(self._headers))

    @property
    def last_sent_at(self) -> float | None:
        """The reading of `Clock.mono` when the first byte of the last call left; None if nothing of it has left.

        It is set before that byte leaves and until the next call begins, so it also holds after an interruption.
        """
        return None if self._exchange is None else self._exchange.sent_at

    def send(self, call: Call, *, deadline: float, fresh: bool = False) -> Reply:
        """Send `call` and return its 2xx answer.

        Every failure tells by its `sent_at` (a reading of `Clock.mono`) when the first byte left; it is None for `NotSent`.

        Args:
            deadline: reading of `clock.mono()` by which everything is over, name look-up to last body byte.
            fresh: use a connection of its own, closed afterwards (writes: on a kept one a stale connection looks like a lost
                answer).

        Raises:
            NotSent: nothing reached the service.
            Refused: it answered with 300 or more. Redirects are never followed: their target would get the key.
            Unclear: bytes had left, and no status came back.
            SpcliError: `config`, for a base URL, proxy or CA variable that can't be used.
        """
        self._exchange = None
        route = self._find_route()
        if self._log is not None:
            self._note(f"> {shown(call)}")
        self.refused = None
        started = self._clock.mono()
        outcome = self._fetch(call, route[0], deadline, fresh)
        milliseconds = round((self._clock.mono() - started) * 1000)
        if isinstance(outcome, SpcliError):
            self._note(f"< {'no answer' if isinstance(outcome, Unclear) else 'nothing sent'} {milliseconds} ms")
            judged: Reply | SpcliError = self._redacted(outcome)
        else:
            self._note(f"< {outcome.status} {len(outcome.body)} bytes {milliseconds} ms")
            judged = self._judge(outcome, proxied=route[1] is not None)
        if isinstance(judged, Reply):
            return judged._replace(sent_at=self.last_sent_at)
        if isinstance(judged, NotSent):
            # A proxy's refusal is an answer, but none of the service's: it knows nothing of the call.
            self._exchange = None
        judged.sent_at = self.last_sent_at
        raise judged from None

    def close(self) -> None:
        """Close the kept connection, if any. A later `send` opens another."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _find_route(self) -> "tuple[Origin, Proxy | None, ssl.SSLContext | None]":
        if self._route is None:
            from spcli.transport.proxies import proxy_for

            origin = parse_origin(self._base_url)
            proxy = proxy_for(origin.scheme, origin.host, origin.port, self._environ)
            self._route = (origin, proxy, self._tls("https" in (origin.scheme, proxy and proxy.scheme)))
        return self._route

    def _tls(self, needed: bool) -> "ssl.SSLContext | None":
        if not needed:
            return None
        from spcli.transport.tls import tls_context

        return tls_context(self._environ)

    def _fetch(self, call: Call, origin: Origin, deadline: float, fresh: bool) -> "Answer | SpcliError":
        from spcli.transport.connection import build_request
        from spcli.transport.exchange import Exchange

        exchange = self._exchange = Exchange(origin.where, clock=self._clock, deadline=deadline)
        wire = self._wire(fresh)
        if not fresh and call.method == "GET" and call.body is None:
            return wire.fetch(self._get(call, origin), exchange)
        try:
            return wire.fetch(build_request(call, origin, fresh), exchange)
        finally:
            if fresh:
                wire.close()

    def _get(self, call: Call, origin: Origin) -> "httpcore.Request":
        from spcli.transport.connection import aim, build_request

        self._last_get = build_request(call, origin, False) if self._last_get is None else aim(self._last_get, call, origin)
        return self._last_get

    def _wire(self, fresh: bool) -> "Wire":
        if not fresh and self._kept is not None:
            return self._kept
        from spcli.transport.connection import Wire

        _, proxy, tls = self._find_route()
        wire = Wire(tls=tls, proxy=proxy)
        if not fresh:
            self._kept = wire
        return wire

    def _judge(self, answer: "Answer", *, proxied: bool) -> Reply | SpcliError:
        self._headers = answer.headers
        if 200 <= answer.status < 300:
            # What an answer quotes of the key must not come into the state file, where project and file names are kept.
            return _reply(answer._replace(body=masked_body(answer.body, self._secrets)))
        if answer.status < 200:
            return Unclear(f"HTTP {answer.status} where an answer was expected")
        if answer.status == 407 and proxied:
            from spcli.transport.exchange import proxy_login_missing

            return proxy_login_missing()
        self.refused = _reply(answer._replace(body=masked_body(answer.body, self._secrets)))
        return self._refused(answer)

    def _refused(self, answer: "Answer") -> Refused:
        if answer.status < 400:
            return self._redirected(answer)
        # Before any excerpt is cut, or half a key could be left at its end.
        text = "" if _is_encoded(answer) else answer.body.decode("utf-8", "surrogateescape")
        body = masked(text, self._secrets).encode("utf-8", "surrogateescape")
        message, documented = error_text(answer.status, body, answer.value("content-type"))
        hinted = retry_after_hint(answer.values("retry-after"), _server_wall(answer.headers), self._clock.wall())
        is_page = is_edge_page(body, answer.value("content-type"))
        return Refused(answer.status, masked(message, self._secrets), documented=documented, hinted=hinted, is_page=is_page)

    def _redirected(self, answer: "Answer") -> Refused:
        host = _location_host(answer.value("location"))
        target = f"to {masked(host, self._secrets)}" if host else "elsewhere"
        error = Refused(answer.status, f"HTTP {answer.status}: the service redirects {target}", documented=False)
        error.hint = "redirects are never followed, because they would carry the key along; check the base URL"
        return error

    def _redacted(self, error: SpcliError) -> SpcliError:
        error.message = masked(error.message, self._secrets)
        error.args = (error.message,)
        return error

    def _note(self, line: str) -> None:
        if self._log is not None:
            self._log(masked(line, self._secrets))


def _reply(answer: "Answer") -> Reply:
    data: object = None
    readable = not (answer.cut or answer.oversized or _is_encoded(answer))
    if readable and answer.body:
        try:
            data = parse_json(answer.body)
        except ValueError:
            readable = False
    return Reply(answer.status, data, readable, len(answer.body), answer.headers, answer.body, answer.cut)


def _is_encoded(answer: "Answer") -> bool:
    return any(value.strip().lower() not in ("", "identity") for value in answer.values("content-encoding"))


def _server_wall(headers: Headers) -> float | None:
    text = next((value for name, value in headers if name.lower() == "date"), None)
    return None if text is None else http_date(text)


def _location_host(location: str | None) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(location or "").hostname
    except ValueError:
        return None
