"""The receiver: Starlette on uvicorn. The only importer of both; they come with the extra `server`.

An event is on the disk before its 2xx goes out. The database is written by a thread of its own, which commits what has queued up
in one transaction, so that a burst costs few commits.
"""

import asyncio
import contextlib
import logging
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from spcli.errors import SpcliError
from spcli.webhooks.guard import Rules, refusal
from spcli.webhooks.payload import BODY_LIMIT, Unreadable, parse

if TYPE_CHECKING:
    from spcli.state.events import Event
    from spcli.state.store import State

CONNECTIONS = 32
CONNECTION_SECONDS = 10.0
HEADER_LIMIT = 16 * 1024
BATCH = 256
BACKLOG = 256
BEAT = 5.0
REMEMBERED = 10_000


class Store:
    """The thread that writes events; `open_state` is called in it, since a connection belongs to its thread."""

    def __init__(self, open_state: "Callable[[], State]") -> None:
        self._open = open_state
        self._queue: queue.SimpleQueue[tuple[Event, asyncio.Future[bool]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spcli-webhook-store", daemon=True)
        self._thread.start()

    async def add(self, event: "Event") -> bool:
        """Store an event; whether it was new. Raises `SpcliError` (config) when it could not be stored."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put((event, future))
        return await future

    def close(self) -> None:
        """Store what is queued and end."""
        self._queue.put(None)
        self._thread.join(CONNECTION_SECONDS)

    def _run(self) -> None:
        state = self._open()
        try:
            state.events.refresh_listener()
            while (batch := self._batch()) is not None:
                self._write(state, batch)
                state.events.refresh_listener()
            state.events.remove_listener()
        finally:
            state.close()

    def _batch(self) -> "list[tuple[Event, asyncio.Future[bool]]] | None":
        """What has queued up, possibly nothing when it is time for a heartbeat; `None` at the end."""
        batch: list[tuple[Event, asyncio.Future[bool]]] = []
        try:
            item = self._queue.get(timeout=BEAT)
            while item is not None:
                batch.append(item)
                if len(batch) >= BATCH:
                    return batch
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch
        if batch:
            self._queue.put(None)
            return batch
        return None

    def _write(self, state: "State", batch: "list[tuple[Event, asyncio.Future[bool]]]") -> None:
        if not batch:
            return
        try:
            answers: list[bool | SpcliError] = list(state.events.add_events([event for event, _future in batch]))
        except Exception as problem:  # noqa: BLE001 - whatever it is, the thread must live and the senders must hear of it
            unstored = problem if isinstance(problem, SpcliError) else SpcliError("internal", type(problem).__name__)
            answers = [unstored] * len(batch)
        for (_event, future), answer in zip(batch, answers, strict=True):
            future.get_loop().call_soon_threadsafe(_resolve, future, answer)


def _resolve(future: "asyncio.Future[bool]", answer: bool | SpcliError) -> None:
    if future.done():
        return
    if isinstance(answer, SpcliError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


class Receiver:
    """The ASGI application: guard, parse, store, answer.

    Args:
        accept: hears of each event that this process has not seen before, after it is stored; it must not take its time.
        tell: receives a line for each delivery that is not taken.
    """

    def __init__(
        self,
        rules: Rules,
        store: Store,
        *,
        accept: "Callable[[Event, bytes], None]",
        tell: Callable[[str], None],
        wall: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._store = store
        self._accept = accept
        self._tell = tell
        self._wall = wall
        self._seen: dict[tuple[str | None, ...], None] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            response = await self._answer(Request(scope, receive))
            if response.status_code >= 400:
                self._tell(f"a delivery was not taken: {response.status_code} {bytes(response.body).decode()}")
            await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        refused = refusal(request.method, request.scope["path"], headers, self._rules)
        if refused is not None:
            return _said(refused.status, refused.reason)
        body = await _body(request)
        if body is None:
            return _said(413, "too large")
        try:
            event = parse(body, self._wall())
            is_new = await self._store.add(event)
        except Unreadable as problem:
            return _said(400, str(problem))
        except SpcliError:
            return _said(503, "the event could not be stored")
        # Another listener on this machine may have stored it first; who listens here has not heard of it yet.
        if self._is_first(event):
            self._accept(event, body)
        return _said(200, "stored" if is_new else "known")

    def _is_first(self, event: "Event") -> bool:
        key = event[:-1]
        is_first = key not in self._seen
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return is_first


def _said(status: int, message: str) -> Response:
    headers = {"connection": "close"} if status >= 400 else None
    return JSONResponse({"message": message}, status, headers)


async def _body(request: Request) -> bytes | None:
    """The whole body, `None` when it is too large: it may come in chunks without an end."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return body


class _Bounded(H11Protocol):
    """A connection lives 10 s at most, whatever it sends or does not send, and there are 32 at most."""

    def connection_made(self, transport: Any) -> None:
        if len(self.server_state.connections) >= CONNECTIONS:
            transport.abort()
            return
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        end = getattr(self, "_end", None)
        if end is not None:
            end.cancel()
            super().connection_lost(exc)


def bound_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # From here on a delivery is queued by the system, also while the server is starting.
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


class _Uvicorn(uvicorn.Server):
    """Leaves alone the signals that this process was started to ignore, as a shell's background job is: it lives on after a
    Ctrl-C that is meant for others, and so does what it runs, which inherits no handler but that."""

    @contextlib.contextmanager
    def capture_signals(self) -> "Iterator[None]":
        """As uvicorn's, but for those signals."""
        ignored = [number for number in uvicorn.server.HANDLED_SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
        with super().capture_signals():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield


class Server:
    """uvicorn over a socket that is bound already, without its own logs."""

    def __init__(self, app: Receiver) -> None:
        config = uvicorn.Config(
            app,
            http=_Bounded,
            loop="asyncio",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=HEADER_LIMIT,
        )
        # What uvicorn would log says nothing about events, and holds tracebacks.
        logging.getLogger("uvicorn.error").disabled = True
        self._server = _Uvicorn(config)

    def run(self, listening: socket.socket) -> None:
        """Serve until `stop`, or until a signal, which is raised again afterwards."""
        self._server.run(sockets=[listening])

    def stop(self) -> None:
        """End soon; may be called from any thread."""
        self._server.should_exit = True
