"""Webhook deliveries as documented: one POST for each event, 10 seconds to answer, no retry.

Source: https://docs.streampixel.io (webhooks, webhook-events).
"""

import http.client
import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

TIMEOUT = 10.0
_LOOK_EVERY = 0.02


def check_webhook_url(url: str) -> str:
    """Return `url`. Raises ValueError unless it is http or https with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"not a webhook URL: {url!r}. Write http://HOST[:PORT]/PATH")
    return url


class Courier:
    """A thread that delivers the events from `due` to `url`, one after the other. `timeout` is in seconds."""

    def __init__(
        self,
        url: str,
        due: Callable[[], Sequence[Mapping[str, object]]],
        *,
        timeout: float = TIMEOUT,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._url = check_webhook_url(url)
        self._due = due
        self._timeout = timeout
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._deliver_due, name="sandbox-webhooks", daemon=True)
        self._calls: set[http.client.HTTPConnection] = set()

    def start(self) -> None:
        """Start to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and close the connection to a receiver that has not answered yet."""
        self._stopping.set()
        for call in list(self._calls):
            hang_up(call.sock)
        if self._thread.ident is not None:
            self._thread.join(2)

    def deliver(self, event: Mapping[str, object]) -> int:
        """POST `event` and return the receiver's status, or 0 without an answer."""
        parts = urlsplit(self._url)
        connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        call = connect(parts.hostname or "", parts.port, timeout=self._timeout)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._calls.add(call)
        try:
            call.request("POST", target, json.dumps(event), {"Content-Type": "application/json"})
            status = call.getresponse().status
        except (OSError, http.client.HTTPException, ValueError):
            status = 0
        finally:
            self._calls.discard(call)
            call.close()
        if self._log is not None:
            self._log(f"webhook {event['event']} {status or 'no answer'}")
        return status

    def _deliver_due(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY):
            for event in self._due():
                if self._stopping.is_set():
                    return
                self.deliver(event)


def hang_up(sock: socket.socket | None) -> None:
    """Wake the threads that read from or write to `sock`. Never raises."""
    if sock is None:
        return
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    if sys.platform == "win32":
        # Without this a thread may stay in `recv`, and the sandbox would wait for it.
        with suppress(OSError):
            socket.close(sock.detach())
