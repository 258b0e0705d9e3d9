"""One HTTP call to the service: send it within a deadline, classify what came of it, redact its secrets.

Every failure is `NotSent`, `Refused` or `Unclear`, which decides whether a write may be repeated. `connection`, which imports
httpcore, is loaded on the first call.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.transport.proxies import Proxy, Route, find_route, login_error
from spcli.transport.request import Call, Origin, bracketed_host, describe_call, parse_origin
from spcli.transport.response import (
    Answer,
    error_text,
    is_edge_page,
    parse_json,
    plain_message,
    retry_after_hint,
    server_time,
)

if TYPE_CHECKING:
    import httpcore

    from spcli.transport.connection import Exchange, HttpConnection

Headers = tuple[tuple[str, str], ...]

__all__ = ["Call", "ConnectionFacts", "Reply", "Transport", "plain_message", "retry_after_hint"]


class Reply(NamedTuple):
    """A 2xx answer.

    `data` is the parsed JSON; None if the body is empty or not `readable` (cut short, not JSON, too large, compressed). `size`
    counts body bytes received; `headers` and `body` are as they came. `cut`: the network cut the body short, so a read may be
    repeated. `encoding` is how the body is compressed, although spcli asks for none. `sent_at` is the reading of `Clock.mono`
    when the request's first byte left.
    """

    status: int
    data: object
    readable: bool
    size: int
    headers: Headers
    body: bytes
    cut: bool = False
    encoding: str = ""
    sent_at: float | None = None

    @property
    def server_wall(self) -> float | None:
        """Return the `Date` header as Unix time. Read on demand: the parser of dates takes long to import."""
        return server_time(self.headers)


class ConnectionFacts(NamedTuple):
    """How the service was reached.

    `address` is a proxy's if there is one, `certificate` as `ssl.getpeercert` returns it, `server_wall` the last answer's `Date`
    as Unix time, whatever its status.
    """

    address: str
    tls_version: str | None
    certificate: Mapping[str, object]
    server_wall: float | None


class Transport:
    """Sends calls to one base URL. Not for use by several threads at once.

    Args:
        base_url: `https://host/prefix`, or http on this machine.
        environ: names proxies and CA certificates.
        log: receives the lines of `-v`.
        note: receives settings that are ignored, on the first call.
        redact: replaces secrets in messages and log lines, before any of them is cut.
        redact_body: replaces the key in bodies.

    Attributes:
        last_refusal: the last call's answer, without the key, if its status was 300 or more.
    """

    def __init__(
        self,
        base_url: str,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        log: Callable[[str], None] | None = None,
        note: Callable[[str], None] | None = None,
        redact: Callable[[str], str] = str,
        redact_body: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._base_url = base_url
        self._note = note
        self._clock = clock
        self._environ = environ
        self._log = log
        self._redact = redact
        self._redact_body = redact_body
        self._route: tuple[Origin, Route] | None = None
        self._kept: HttpConnection | None = None
        self._last_get: httpcore.Request | None = None
        self._headers: Headers = ()
        self._exchange: Exchange | None = None
        self.last_refusal: Reply | None = None

    @property
    def connection_facts(self) -> ConnectionFacts | None:
        """Return how the kept connection reached the service; None before it did."""
        kept = self._kept
        if kept is None or not kept.address:
            return None
        return ConnectionFacts(kept.address, *kept.tls_session, server_time(self._headers))

    @property
    def host(self) -> str:
        """Return the base URL's host, in lower case and without brackets."""
        return parse_origin(self._base_url).host

    @property
    def last_sent_at(self) -> float | None:
        """Return the reading of `Clock.mono` when the first byte of the last call left; None if nothing of it has left.

        It is set before that byte leaves and until the next call begins, so it also holds after an interruption.
        """
        return None if self._exchange is None else self._exchange.sent_at

    def forget_last_call(self) -> None:
        """Reset `last_sent_at`, so that an interruption before the next call is not taken for one of the last call."""
        self._exchange = None

    def send(self, call: Call, *, deadline: float, fresh: bool = False) -> Reply:
        """Send `call` and return its 2xx answer.

        The `sent_at` of every failure is the reading of `Clock.mono` when the first byte left; it is None for `NotSent`.

        Args:
            deadline: reading of `clock.mono()` by which everything is over, from name look-up to the last body byte.
            fresh: use a new connection and close it afterwards. Writes do: on a kept one, a stale connection looks like a lost
                answer.

        Raises:
            NotSent: nothing reached the service.
            Refused: the status was 300 or more. Redirects are never followed: their target would get the key.
            Unclear: bytes had left, and no status came back.
            SpcliError: `config`, for a base URL, proxy or CA variable that cannot be used.
        """
        self._exchange = self.last_refusal = None
        origin, route = self._find_route()
        if self._log is not None:
            self._log_line(f"> {describe_call(call)}")
        started = self._clock.mono()
        answer = self._fetch(call, origin, route, deadline, fresh)
        if self._log is not None:
            self._log_answer(answer, self._clock.mono() - started)
        outcome = self._redact_error(answer) if isinstance(answer, SpcliError) else self._classify(answer, route.proxy)
        if isinstance(outcome, Reply):
            return outcome._replace(sent_at=self.last_sent_at)
        if isinstance(outcome, NotSent):
            # A proxy's refusal is an answer, but not the service's, which knows nothing of the call.
            self._exchange = None
        outcome.sent_at = self.last_sent_at
        raise outcome from None

    def close(self) -> None:
        """Close the kept connection, if any. A later `send` opens another."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _find_route(self) -> tuple[Origin, Route]:
        if self._route is None:
            origin = parse_origin(self._base_url)
            self._route = origin, find_route(origin, self._environ)
            if self._note is not None:
                for note in self._route[1].notes:
                    self._note(note)
        return self._route

    def _fetch(self, call: Call, origin: Origin, route: Route, deadline: float, fresh: bool) -> Answer | SpcliError:
        from spcli.transport.connection import Exchange, HttpConnection, build_request, retarget_get

        exchange = self._exchange = Exchange(origin.host_port, clock=self._clock, deadline=deadline)
        if fresh:
            connection = HttpConnection(route)
            try:
                return connection.fetch(build_request(call, origin, fresh), exchange)
            finally:
                connection.close()
        self._kept = self._kept or HttpConnection(route)
        if call.method != "GET" or call.body is not None:
            return self._kept.fetch(build_request(call, origin, fresh), exchange)
        last = self._last_get
        self._last_get = build_request(call, origin, fresh) if last is None else retarget_get(last, call, origin)
        return self._kept.fetch(self._last_get, exchange)

    def _classify(self, answer: Answer, proxy: Proxy | None) -> Reply | SpcliError:
        """Return the reply, or the failure that the answer's status means."""
        self._headers = answer.headers
        if answer.status < 200:
            return Unclear(f"HTTP {answer.status} where an answer was expected")
        if answer.status == 407 and proxy is not None:
            return login_error(proxy, answer.values("proxy-authenticate"))
        # Redacted here, so that a key which an answer quotes never reaches the state file with project and file names.
        reply = _reply_of(answer._replace(body=self._redact_body(answer.body)))
        if answer.status < 300:
            return reply
        self.last_refusal = reply
        return self._redirect_error(answer) if answer.status < 400 else self._refusal(answer)

    def _refusal(self, answer: Answer) -> Refused:
        # Redacted before an excerpt is cut, so that no half of a secret is left at its end.
        text = "" if answer.encoding else answer.body.decode("utf-8", "surrogateescape")
        body = self._redact(text).encode("utf-8", "surrogateescape")
        message, documented = error_text(answer.status, body, answer.value("content-type"), answer.encoding)
        hinted = retry_after_hint(answer.values("retry-after"), server_time(answer.headers), self._clock.wall())
        is_page = is_edge_page(body, answer.value("content-type"))
        return Refused(answer.status, self._redact(message), documented=documented, hinted=hinted, is_page=is_page)

    def _redirect_error(self, answer: Answer) -> Refused:
        host = answer.location_host
        target = f"to {self._redact(bracketed_host(host))}" if host else "elsewhere"
        error = Refused(answer.status, f"HTTP {answer.status}: the service redirects {target}", documented=False)
        error.hint = "check base_url; spcli never follows redirects, because their target would get the key"
        return error

    def _redact_error(self, error: SpcliError) -> SpcliError:
        error.message = self._redact(error.message)
        error.args = (error.message,)
        return error

    def _log_answer(self, answer: Answer | SpcliError, seconds: float) -> None:
        if isinstance(answer, Answer):
            result = f"{answer.status} {len(answer.body)} bytes"
        else:
            result = "no answer" if isinstance(answer, Unclear) else "nothing sent"
        self._log_line(f"< {result} {round(seconds * 1000)} ms")

    def _log_line(self, line: str) -> None:
        if self._log is not None:
            self._log(self._redact(line))


def _reply_of(answer: Answer) -> Reply:
    data: object = None
    encoding = answer.encoding
    readable = not (answer.cut or answer.oversized or encoding)
    if readable and answer.body:
        try:
            data = parse_json(answer.body)
        except ValueError:
            readable = False
    return Reply(answer.status, data, readable, len(answer.body), answer.headers, answer.body, answer.cut, encoding)
