"""One call on the wire: until when it may take, and how far it got."""

from collections.abc import Callable
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
        gate: called right before the first byte leaves; what it raises stops the call with nothing sent.
    """

    __slots__ = ("_clock", "_connecting", "_deadline", "_gate", "_head", "_passed", "_proxy_status", "left", "where")

    def __init__(self, where: str, *, clock: Clock, deadline: float, gate: Callable[[], None] | None) -> None:
        self.where = where
        self.left = False
        self._clock = clock
        self._deadline = deadline
        self._gate = gate
        self._passed = False
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
                self.pass_gate()
        elif name == "http11.receive_response_headers.complete" and self._connecting:
            result = info["return_value"]
            self._proxy_status = result[1] if isinstance(result, tuple) else None

    def pass_gate(self) -> None:
        """Let the request's first byte leave. Raises `NotSent` when its time is over, and what the gate raises."""
        if self.seconds_left() <= 0:
            raise self._too_late()
        if self._gate is not None:
            self._gate()
        self._passed = True

    def _too_late(self) -> NotSent:
        return NotSent(f"the time for this call was over before it was sent to {self.where}")

    def about_to_write(self) -> float:
        """Seconds the next write may take. From the first write past the gate on, bytes count as left."""
        # Looked at again: the gate may have waited for a lock, or the process may have been stopped since.
        seconds = self.seconds_left()
        if seconds <= 0:
            raise httpcore.WriteTimeout
        self.left = self.left or self._passed
        return seconds

    def received(self, data: bytes) -> None:
        """Keep the response's first bytes: its status counts even if the rest never comes."""
        if self._passed and len(self._head) < _HEAD_KEPT:
            self._head += data

    def verdict(self, error: Exception) -> Answer | SpcliError:
        """What an error on the wire means for the call."""
        if not self.left:
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
