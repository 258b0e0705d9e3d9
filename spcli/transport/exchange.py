"""One call on the wire: until when it may take, and how far it got."""

from typing import NamedTuple

from spcli.clock import Clock
from spcli.errors import NotSent, SpcliError, Unclear
from spcli.transport.libraries import httpcore
from spcli.transport.response import status_of_head

_HEAD_KEPT = 4096


class Answer(NamedTuple):
    """A response as it came. `cut`: it broke off, or the deadline passed, before its end. `oversized`: given up past 8 MiB."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False
    oversized: bool = False

    def values(self, name: str) -> list[str]:
        """All values of the header `name` (lower case)."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str | None:
        """The first value of the header `name` (lower case)."""
        return next(iter(self.values(name)), None)


class Exchange:
    """The state of one call, kept by httpcore's trace hook and the connection under it.

    Args:
        where: `host:port` of the service, for messages.
        deadline: reading of `clock.mono()` by which everything is over.

    Attributes:
        sent_at: reading of `clock.mono()` when the request's first byte was about to leave, None before.
    """

    __slots__ = ("_clock", "_connecting", "_deadline", "_head", "_proxy_status", "_speaks_to_service", "sent_at", "where")

    def __init__(self, where: str, *, clock: Clock, deadline: float) -> None:
        self.where = where
        self.sent_at: float | None = None
        self._clock = clock
        self._deadline = deadline
        self._speaks_to_service = False
        self._head = b""
        self._connecting = False
        self._proxy_status: int | None = None

    def seconds_left(self) -> float:
        """What remains of the call's time; 0 or less when it is over."""
        return self._deadline - self._clock.mono()

    def trace(self, name: str, info: dict[str, object]) -> None:
        """httpcore's trace hook. A CONNECT speaks to the proxy only: the service's first byte comes after it."""
        if name == "http11.send_request_headers.started":
            self._connecting = getattr(info["request"], "method", b"") == b"CONNECT"
            if not self._connecting:
                self.begin_request()
        elif name == "http11.receive_response_headers.complete" and self._connecting:
            result = info["return_value"]
            self._proxy_status = result[1] if isinstance(result, tuple) else None

    def begin_request(self) -> None:
        """Count the next write as the request's first. Raises `NotSent` when the call's time is over."""
        if self.seconds_left() <= 0:
            raise self._too_late()
        self._speaks_to_service = True

    def _too_late(self) -> NotSent:
        return NotSent(f"the time for this call was over before it was sent to {self.where}")

    def about_to_write(self) -> float:
        """Return how many seconds the next write may take, and remember when the request's first one began."""
        # Read again here: the process may have been stopped since the request began.
        now = self._clock.mono()
        if now >= self._deadline:
            raise httpcore.WriteTimeout
        if self._speaks_to_service and self.sent_at is None:
            # Before the write, so that a signal that arrives during it finds the time.
            self.sent_at = now
        return self._deadline - now

    def received(self, data: bytes) -> None:
        """Keep the response's first bytes: its status counts even if the rest never comes."""
        if self._speaks_to_service and len(self._head) < _HEAD_KEPT:
            self._head += data

    def verdict(self, error: Exception) -> Answer | SpcliError:
        """What an error on the wire means for the call."""
        if self.sent_at is None:
            return self._not_sent(error)
        status = status_of_head(self._head)
        if status is not None:
            return Answer(status, cut=True)
        if isinstance(error, httpcore.TimeoutException):
            return Unclear(f"{self.where} did not answer in time")
        if self._head:
            return Unclear(f"the answer of {self.where} broke off or is not HTTP", is_over=True)
        return Unclear(f"{self.where} closed the connection without an answer", is_over=True)

    def _not_sent(self, error: Exception) -> NotSent:
        if self._proxy_status == 407:
            return proxy_login_missing()
        if self._connecting:
            status = "" if self._proxy_status is None else f": HTTP {self._proxy_status}"
            return NotSent(f"the proxy did not connect to {self.where}{status}", hint="check the proxy's settings")
        if isinstance(error, httpcore.TimeoutException):
            return self._too_late()
        transient = isinstance(error, (httpcore.NetworkError, OSError))
        return NotSent(f"nothing could be sent to {self.where}", transient=transient)


def proxy_login_missing() -> NotSent:
    """The failure for a proxy's 407."""
    hint = "put them into the proxy variable: http://USER:PASSWORD@HOST:PORT"
    return NotSent("the proxy asks for a user and password", hint=hint, transient=False)
