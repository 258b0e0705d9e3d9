"""The receiver: Starlette on uvicorn, which come with the extra `server`.

An event is on the disk before its 2xx is sent. A thread writes the database and commits all queued events in one transaction, so
that a burst needs few commits.
"""

import asyncio
import contextlib
import functools
import logging
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from spcli.errors import SpcliError
from spcli.state.events import Event
from spcli.state.store import State
from spcli.webhooks.guard import HEAD_LIMIT, AccessRules, has_token, refusal
from spcli.webhooks.payload import BODY_LIMIT, InvalidPayload, parse_event

UNPROVEN_LIMIT = 32
PROOF_SECONDS = 2.0
PROVEN_LIMIT = 256
CONNECTION_SECONDS = 10.0
BATCH = 256
BACKLOG = 256
BEAT = 5.0
REMEMBERED = 10_000
NOTED_HOSTS = 8

Queued = tuple[Event, "asyncio.Future[bool]"]


class EventStore:
    """The thread that writes events. It opens `state`, because an SQLite connection belongs to its thread."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._queue: queue.SimpleQueue[Queued | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_events, name="spcli-webhook-store", daemon=True)
        self._thread.start()

    async def add_event(self, event: Event) -> bool:
        """Store an event and return whether it was new. Raises `SpcliError` if it could not be stored."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put((event, future))
        return await future

    def close(self) -> None:
        """Store the queued events and end the thread."""
        self._queue.put(None)
        self._thread.join(CONNECTION_SECONDS)

    def _write_events(self) -> None:
        state = self._state
        try:
            state.events.refresh_listener()
            while (batch := self._next_batch()) is not None:
                self._write_batch(batch)
                state.events.refresh_listener()
            state.events.remove_listener()
        finally:
            state.close()

    def _next_batch(self) -> list[Queued] | None:
        """Return the queued events, an empty list when a heartbeat is due, or None at the end."""
        batch: list[Queued] = []
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

    def _write_batch(self, batch: list[Queued]) -> None:
        if not batch:
            return
        try:
            answers: list[bool | SpcliError] = list(self._state.events.add_events([event for event, _future in batch]))
        except Exception as problem:  # noqa: BLE001 - the thread must live, and the senders must get an answer
            failure = problem if isinstance(problem, SpcliError) else SpcliError("internal", type(problem).__name__)
            answers = [failure] * len(batch)
        for (_event, future), answer in zip(batch, answers, strict=True):
            future.get_loop().call_soon_threadsafe(_resolve_future, future, answer)


def _resolve_future(future: "asyncio.Future[bool]", answer: bool | SpcliError) -> None:
    if future.done():
        return
    if isinstance(answer, SpcliError):
        future.set_exception(answer)
    else:
        future.set_result(answer)


class Sink(Protocol):
    """Takes each event that is new to this process, after it was stored. It must not block."""

    def put(self, event: Event, body: bytes) -> None:
        """Take an event and the body that it came in."""


class Receiver:
    """The ASGI application: check the request, parse, store, answer.

    Args:
        note: receives a line about lost deliveries.
        detail: receives a line for each refused request.
        wall: returns the time, in Unix seconds.
    """

    def __init__(
        self,
        rules: AccessRules,
        store: EventStore,
        sink: Sink,
        *,
        note: Callable[[str], None],
        detail: Callable[[str], None],
        wall: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._store = store
        self._sink = sink
        self._note = note
        self._detail = detail
        self._wall = wall
        self._seen: dict[tuple[str | None, ...], None] = {}
        self._noted_hosts: set[str] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            response = await self._answer_request(Request(scope, receive))
            if response.status_code >= 400:
                self._detail(f"request refused: {response.status_code} {bytes(response.body).decode()}")
            await response(scope, receive, send)

    async def _answer_request(self, request: Request) -> Response:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        refused = refusal(request.method, request.scope["path"], headers, self._rules)
        if refused is not None:
            self._note_lost_host(refused.lost_host)
            return _json_answer(refused.status, refused.reason)
        body = await _read_body(request)
        if body is None:
            return _json_answer(413, "too large")
        try:
            event = parse_event(body, self._wall())
            is_new = await self._store.add_event(event)
        except InvalidPayload as problem:
            return _json_answer(400, str(problem))
        except SpcliError:
            return _json_answer(503, "the event could not be stored")
        # Another listener on this machine may have stored it first, but this one has not shown it yet.
        if self._is_first(event):
            self._sink.put(event, body)
        return _json_answer(200, "stored" if is_new else "known")

    def _note_lost_host(self, host: str | None) -> None:
        """Tell the operator of a tunnel that its deliveries are lost, once for each name."""
        if host is None or host in self._noted_hosts or len(self._noted_hosts) >= NOTED_HOSTS:
            return
        self._noted_hosts.add(host)
        name = host[:100]
        self._note(
            f"a delivery with the right token was refused because it is addressed to {name}: add --public-url https://{name}"
        )

    def _is_first(self, event: Event) -> bool:
        key = event[:-1]
        is_first = key not in self._seen
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return is_first


def _json_answer(status: int, message: str) -> Response:
    headers = {"connection": "close"} if status >= 400 else None
    return JSONResponse({"message": message}, status, headers)


async def _read_body(request: Request) -> bytes | None:
    """Return the whole body, or None if it is too large: it may come in chunks without an end."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return body


class Connections:
    """The open connections: those that have sent the token, and the unproven rest.

    Unproven ones never keep a delivery out: they end after 2 s, and a new connection replaces the oldest of them.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._unproven: dict[BoundedProtocol, None] = {}
        self._proven: set[BoundedProtocol] = set()

    def add(self, connection: "BoundedProtocol") -> None:
        """Add a new connection."""
        if len(self._unproven) >= UNPROVEN_LIMIT:
            next(iter(self._unproven)).abort()
        self._unproven[connection] = None

    def prove(self, connection: "BoundedProtocol") -> bool:
        """Count a connection that has sent the token; return whether there is room for it."""
        self._unproven.pop(connection, None)
        self._proven.add(connection)
        return len(self._proven) <= PROVEN_LIMIT

    def remove(self, connection: "BoundedProtocol") -> None:
        """Forget a connection that has ended."""
        self._unproven.pop(connection, None)
        self._proven.discard(connection)


class BoundedProtocol(H11Protocol):
    """A connection with a limited life: 2 s until it has sent the token, 10 s after that."""

    def __init__(self, *args: Any, group: Connections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._group = group
        self._is_proven = False
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._group.add(self)
        self._end = self.loop.call_later(PROOF_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_proven and self.scope is not None and has_token(self.scope["path"], self._group.token):
            self._is_proven = True
            if not self._group.prove(self):
                self.abort()
            elif self._end is not None:
                self._end.cancel()
                self._end = self.loop.call_later(CONNECTION_SECONDS, self.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is not None:
            self._end.cancel()
        self._group.remove(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection at once."""
        self._group.remove(self)
        self.transport.abort()


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        # The system now queues deliveries, also while the server is still starting.
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


class _Uvicorn(uvicorn.Server):
    """uvicorn that ends with an event, and ignores the signals that this process was started to ignore.

    A background job of a shell ignores Ctrl-C, which is meant for others, and so do the programs that it runs.
    """

    def __init__(self, config: uvicorn.Config, stop: threading.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; uvicorn asks ten times a second."""
        return await super().on_tick(counter) or self._stop.is_set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals like uvicorn, except for the ignored ones."""
        ignored = [number for number in uvicorn.server.HANDLED_SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
        with super().capture_signals():
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)
            yield


def serve_until(listening: socket.socket, app: Receiver, token: str, stop: threading.Event) -> None:
    """Serve `app` until `stop` is set, or until a signal, which is raised again afterwards."""
    config = uvicorn.Config(
        app,
        http=functools.partial(BoundedProtocol, group=Connections(token)),  # type: ignore[arg-type]
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
        h11_max_incomplete_event_size=HEAD_LIMIT,
    )
    # uvicorn's own log lines are not about events, and may hold tracebacks.
    logging.getLogger("uvicorn.error").disabled = True
    _Uvicorn(config, stop).run(sockets=[listening])
