"""The sandbox on a socket: a `World` behind a real HTTP server, on this machine only."""

import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from http.server import ThreadingHTTPServer
from typing import NamedTuple

from spcli.sandbox.faults import Fault, FaultPlan
from spcli.sandbox.handler import Handler
from spcli.sandbox.page import render
from spcli.sandbox.request import Request
from spcli.sandbox.seeds import Account
from spcli.sandbox.webhooks import Courier, hang_up
from spcli.sandbox.world import BASE_PATH, Payload, Ping, World


class Record(NamedTuple):
    """One request that arrived. `path` begins after the API's base path, or is whole for one beside the API.

    `status` is what went on the wire, 0 where nothing did; `time` is the sandbox's clock.
    """

    time: float
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    status: int


class Sandbox:
    """A local Streampixel.

    Args:
        world: what answers.
        host: a loopback address, or `localhost`.
        port: 0 takes a free one.
        now: the clock, Unix seconds.
        faults: specs as `upload:500x2` (`faults.ENDPOINTS`, `faults.KINDS`).
        webhook: where build events are delivered.
        log: receives one line a request and delivery; no key and no query is ever in it.

    Raises ValueError for a host that is not loopback, a bad fault or webhook; OSError when the port is taken.
    """

    def __init__(
        self,
        world: World,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        now: Callable[[], float] = time.time,
        faults: Iterable[str] = (),
        webhook: str | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        if not _is_loopback(host):
            raise ValueError(f"the sandbox listens on this machine only, not on {host!r}")
        self.world = world
        self.now = now
        self.requests: list[Record] = []
        self._log = log
        self._plan = FaultPlan(faults)
        self._lock = threading.Lock()
        self._courier = None if webhook is None else Courier(webhook, self._due_events, log=log)
        world.webhook_url = webhook
        self._listener = Listener(host, port, self)
        self._thread: threading.Thread | None = None
        self._runner: threading.Thread | None = None

    @property
    def origin(self) -> str:
        """`http://HOST:PORT`: the sandbox's own page."""
        host, port = self._listener.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    @property
    def base_url(self) -> str:
        """What a client's base URL is set to."""
        return self.origin + BASE_PATH

    @property
    def faults_left(self) -> list[Fault]:
        """The faults that have not happened yet."""
        with self._lock:
            return list(self._plan.left)

    def start(self) -> "Sandbox":
        """Serve on a background thread; returns itself."""
        self._runner = self._thread = threading.Thread(target=self.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve on this thread until `stop()` is called from another, or an exception (Ctrl-C) ends it."""
        self._runner = threading.current_thread()
        if self._courier is not None:
            self._courier.start()
        self._listener.serve_forever(poll_interval=0.01)

    def stop(self) -> None:
        """End it: every connection is closed, hanging ones too. May be called twice."""
        self._listener.stopping.set()
        # On the serving thread itself (Ctrl-C ended it) there is nothing to shut down, and `shutdown` might wait for ever.
        if self._runner not in (None, threading.current_thread()):
            self._listener.shutdown()
        if self._courier is not None:
            self._courier.stop()
        self._listener.server_close()
        self._listener.hang_up()
        if self._thread is not None:
            self._thread.join(2)

    def __enter__(self) -> "Sandbox":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def exports(self, account: Account) -> tuple[str, str]:
        """The lines that point a client at this sandbox as `account`: for bash, and for PowerShell."""
        from shlex import quote

        values = {
            "STREAMPIXEL_API_KEY": account.api_key,
            "STREAMPIXEL_USER_ID": account.user_id,
            "STREAMPIXEL_BASE_URL": self.base_url,
            "STREAMPIXEL_PROJECT_ID": account.projects[0].id,
            # A client has no window of 0.
            "SPCLI_WINDOW": f"{max(self.world.window, 0.001):.3f}".rstrip("0").rstrip("."),
        }
        bash = "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
        doubled = {name: value.replace("'", "''") for name, value in values.items()}
        return bash, "\n".join(f"$env:{name} = '{value}'" for name, value in doubled.items())

    def inside(self, request: Request) -> Request | None:
        """`request` with its path after the API's base path; `None` when it lies beside the API."""
        if request.path != BASE_PATH and not request.path.startswith(BASE_PATH + "/"):
            return None
        return request._replace(path=request.path.removeprefix(BASE_PATH))

    def take_fault(self, request: Request) -> Fault | None:
        """The fault that `request` gets, if any."""
        with self._lock:
            return self._plan.take(request.method, request.path)

    def answer(self, request: Request) -> tuple[int, Payload]:
        """The world's answer now; a test delivery is made first, outside the lock: the receiver may ask us back."""
        with self._lock:
            status, payload = self.world.handle(request, self.now())
        if isinstance(payload, Ping) and self._courier is not None:
            return status, self.world.ping_report(self._courier.deliver(payload))
        return status, payload

    def record(self, request: Request, status: int, *, fault: str | None = None) -> None:
        """Note what arrived, before its answer leaves: whoever has the answer finds the record."""
        self.requests.append(Record(self.now(), request.method, request.path, tuple(request.query), request.body, status))
        if self._log is not None:
            path = "".join(char if char.isprintable() else "?" for char in request.path)
            self._log(f"{request.method} {path} {status or 'no answer'}" + (f" (fault {fault})" if fault else ""))

    def page(self) -> str:
        """The sandbox's own page."""
        with self._lock:
            return render(self.world, self.now(), base_url=self.base_url, faults=self._plan.left)

    def _due_events(self) -> list[Payload]:
        with self._lock:
            return self.world.due_events(self.now())


class Listener(ThreadingHTTPServer):
    """The listening socket and its connections, each on a daemon thread that ends when the sandbox does."""

    daemon_threads = True
    request_queue_size = 64
    # On Windows the option would let a second sandbox share the port silently.
    allow_reuse_address = os.name != "nt"

    def __init__(self, host: str, port: int, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind, without the reverse look-up of HTTPServer, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve one connection on its own thread."""
        assert isinstance(request, socket.socket)
        thread = threading.Thread(target=self._serve, args=(request, client_address), name="sandbox-connection", daemon=True)
        self._connections[thread] = request
        thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nothing to report; anything else is a defect, and is shown by the interpreter's hook."""
        import sys

        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None and not isinstance(error, OSError):
            sys.excepthook(kind, error, trace)

    def hang_up(self) -> None:
        """Close every connection and wait for its thread."""
        open_now = list(self._connections.items())
        for _, connection in open_now:
            hang_up(connection)
        for thread, _ in open_now:
            thread.join(2)

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            del self._connections[threading.current_thread()]


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
