"""The sandbox's HTTP server: a `World` on a loopback address, with faults to order."""

import json
import os
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from shlex import quote
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from spcli.sandbox.faults import MESSAGES, Fault, FaultPlan
from spcli.sandbox.page import render_page
from spcli.sandbox.request import Request
from spcli.sandbox.seeds import Account
from spcli.sandbox.webhooks import Courier, hang_up
from spcli.sandbox.world import BASE_PATH, Payload, Ping, World

_LARGEST_BODY = 1 << 20
_SLOW_BYTE = 0.2
_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"


class Record(NamedTuple):
    """One request that arrived. `path` begins after the API's base path, or is whole for other pages.

    `status` is the one sent, 0 if none was; `time` is the sandbox's clock.
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
        world: decides the answers.
        host: a loopback address, or `localhost`.
        port: 0 for a free one.
        now: the clock, Unix seconds.
        faults: specs such as `upload:500x2` (`faults.ENDPOINTS`, `faults.KINDS`).
        webhook: receives the build events.
        log: receives one line for each request and delivery, without keys and queries.

    Raises ValueError for a host that is not loopback and for a bad fault or webhook; OSError if the port is taken.
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
        """Return `http://HOST:PORT`, the address of the sandbox's own page."""
        host, port = self._listener.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"

    @property
    def base_url(self) -> str:
        """Return the base URL for a client."""
        return self.origin + BASE_PATH

    @property
    def faults_left(self) -> list[Fault]:
        """Return the faults that have not happened yet."""
        with self._lock:
            return list(self._plan.left)

    def start(self) -> "Sandbox":
        """Serve on a background thread, and return the sandbox."""
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
        """Stop serving and close every connection, hanging ones too. May be called twice."""
        self._listener.stopping.set()
        # On the serving thread (Ctrl-C ended it) nothing is left to shut down, and `shutdown` could wait for ever.
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
        """Return the lines that point a client at this sandbox as `account`, for bash and for PowerShell."""
        values = self._client_variables(account)
        bash = "\n".join(f"export {name}={quote(value)}" for name, value in values.items())
        doubled = {name: value.replace("'", "''") for name, value in values.items()}
        return bash, "\n".join(f"$env:{name} = '{value}'" for name, value in doubled.items())

    def cmd_exports(self, account: Account) -> str:
        """Return the same lines for cmd."""
        return "\n".join(f'set "{name}={value}"' for name, value in self._client_variables(account).items())

    def _client_variables(self, account: Account) -> dict[str, str]:
        return {
            "STREAMPIXEL_API_KEY": account.api_key,
            "STREAMPIXEL_USER_ID": account.user_id,
            "STREAMPIXEL_BASE_URL": self.base_url,
            "STREAMPIXEL_PROJECT_ID": account.projects[0].id,
            # A client does not accept a window of 0.
            "SPCLI_WINDOW": f"{max(self.world.window, 0.001):.3f}".rstrip("0").rstrip("."),
        }

    def strip_base_path(self, request: Request) -> Request | None:
        """Return `request` with its path below the API's base path, or None if it is not for the API."""
        if request.path != BASE_PATH and not request.path.startswith(BASE_PATH + "/"):
            return None
        return request._replace(path=request.path.removeprefix(BASE_PATH))

    def take_fault(self, request: Request) -> Fault | None:
        """Return the fault of `request`, if any, and count it."""
        with self._lock:
            return self._plan.next_fault(request.method, request.path)

    def answer(self, request: Request) -> tuple[int, Payload]:
        """Return the world's answer. A test event is delivered first, without the lock: the receiver may call the sandbox."""
        with self._lock:
            status, payload = self.world.handle(request, self.now())
        if isinstance(payload, Ping) and self._courier is not None:
            return status, self.world.ping_report(self._courier.deliver(payload))
        return status, payload

    def record_request(self, request: Request, status: int, *, fault: str | None = None) -> None:
        """Record a request before its answer leaves, so that a client with the answer finds the record."""
        self.requests.append(Record(self.now(), request.method, request.path, tuple(request.query), request.body, status))
        if self._log is not None:
            path = "".join(char if char.isprintable() else "?" for char in request.path)
            self._log(f"{request.method} {path} {status or 'no answer'}" + (f" (fault {fault})" if fault else ""))

    def own_page(self) -> str:
        """Return the sandbox's own page."""
        with self._lock:
            return render_page(self.world, self.now(), base_url=self.base_url, faults=self._plan.left)

    def _due_events(self) -> list[Payload]:
        with self._lock:
            return self.world.due_events(self.now())


class Listener(ThreadingHTTPServer):
    """The listening socket and its connections, each on a daemon thread that ends with the sandbox."""

    daemon_threads = True
    request_queue_size = 64
    # On Windows the option would let a second sandbox share the port without an error.
    allow_reuse_address = os.name != "nt"

    def __init__(self, host: str, port: int, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.stopping = threading.Event()
        self._connections: dict[threading.Thread, socket.socket] = {}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        """Bind without the reverse look-up of HTTPServer, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Serve one connection on its own thread."""
        assert isinstance(request, socket.socket)
        thread = threading.Thread(
            target=self._serve_connection, args=(request, client_address), name="sandbox-connection", daemon=True
        )
        self._connections[thread] = request
        thread.start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Show a defect by the interpreter's hook. A client that went away is not reported."""
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

    def _serve_connection(self, request: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            del self._connections[threading.current_thread()]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Handler(BaseHTTPRequestHandler):
    """Serve one connection, kept alive as in HTTP/1.1."""

    protocol_version = "HTTP/1.1"
    server_version = "spcli-sandbox"
    sys_version = ""
    # Head and body are two writes. Without this the second one waits for a delayed acknowledgement.
    disable_nagle_algorithm = True
    server: "Listener"

    def do_GET(self) -> None:
        """Answer any method: the world knows which exist."""
        body = self._read_body()
        if body is None:
            return
        target, _, query = self.path.partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        request = Request(self.command, unquote(target), pairs, self.headers.get("Content-Type"), body)
        sandbox = self.server.sandbox
        call = sandbox.strip_base_path(request)
        if call is None:
            self._answer_outside(request)
            return
        fault = sandbox.take_fault(call)
        if fault is not None:
            self._send_fault(fault, call)
            return
        status, payload = sandbox.answer(call)
        sandbox.record_request(call, status)
        self._send_answer(status, _as_json(payload))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def date_time_string(self, timestamp: float | None = None) -> str:
        """Return the `Date` header by the sandbox's clock."""
        return super().date_time_string(self.server.sandbox.now() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the sandbox writes its own lines without queries, which hold keys."""

    def _read_body(self) -> bytes | None:
        """Return the request's body, or None if it can't be read and the connection ends."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._give_up(411, "Content-Length required")
            return None
        if len(length) > 9 or int(length) > _LARGEST_BODY:
            self._give_up(413, "Request entity too large")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _give_up(self, status: int, message: str) -> None:
        self.close_connection = True
        self._send_answer(status, _as_json({"message": message}))

    def _answer_outside(self, request: Request) -> None:
        """Answer a request outside the API: the sandbox's page, or the login page that a redirect points to."""
        pages: dict[str, Callable[[], str]] = {"/": self.server.sandbox.own_page, "/login": lambda: _html_page("Sign in")}
        page = pages.get(request.path) if request.method in ("GET", "HEAD") else None
        status = 200 if page else 404
        self.server.sandbox.record_request(request, status)
        self._send_answer(status, (page() if page else _html_page("404 Not Found")).encode("utf-8", "replace"), kind=_HTML)

    def _send_fault(self, fault: Fault, request: Request) -> None:
        sandbox = self.server.sandbox
        status, payload = sandbox.answer(request) if fault.reaches_service else (0, {})
        sends: dict[str, tuple[int, Callable[[], None]]] = {
            "hang": (0, self._never_answer),
            "reset": (0, self._reset_connection),
            "close": (0, self._close_silently),
            "truncate": (status, lambda: self._send_half(status, _as_json(payload))),
            "no-id": (status, lambda: self._send_answer(status, _as_json({k: v for k, v in payload.items() if k != "uploadId"}))),
            "slow": (status, lambda: self._send_slowly(status, _as_json(payload))),
            "204": (204, lambda: self._send_answer(204, b"")),
            "html": (200, lambda: self._send_answer(200, _html_page("Sign in").encode(), kind=_HTML)),
            "redirect": (302, self._send_redirect),
        }
        wire_status, send = sends.get(fault.shape) or self._status_fault(fault.shape)
        sandbox.record_request(request, wire_status, fault=fault.kind)
        send()

    def _status_fault(self, shape: str) -> tuple[int, Callable[[], None]]:
        """Return how to answer with a fault that is a status: the documented JSON, or a gateway's page."""
        status = int(shape[:3])
        phrase = self.responses.get(status, ("Error", ""))[0]
        if shape.endswith("html"):
            return status, lambda: self._send_answer(status, _html_page(f"{status} {phrase}").encode(), kind=_HTML)
        message = self.server.sandbox.world.limit_message() if status == 429 else MESSAGES.get(status, phrase)
        return status, lambda: self._send_answer(status, _as_json({"message": message}))

    def _send_answer(self, status: int, body: bytes, *, kind: str = _JSON, location: str | None = None) -> None:
        self._send_head(status, len(body), kind=kind, location=location)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_head(self, status: int, length: int, *, kind: str = _JSON, location: str | None = None) -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
        if location:
            self.send_header("Location", location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_half(self, status: int, body: bytes) -> None:
        self._send_head(status, len(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def _send_slowly(self, status: int, body: bytes) -> None:
        self._send_head(status, len(body))
        for place in range(len(body)):
            if self.server.stopping.wait(_SLOW_BYTE):
                self.close_connection = True
                return
            self.wfile.write(body[place : place + 1])

    def _send_redirect(self) -> None:
        # Another host name on the same machine: a client that follows the redirect shows up in `requests`.
        port = self.server.server_address[1]
        self._send_answer(302, _html_page("Moved").encode(), kind=_HTML, location=f"http://localhost:{port}/login")

    def _never_answer(self) -> None:
        while self.connection.recv(4096):
            pass
        self.close_connection = True

    def _close_silently(self) -> None:
        self.close_connection = True

    def _reset_connection(self) -> None:
        # Closing with a linger time of 0 sends RST. `finish` closes the file object that still holds the socket.
        shape = "hh" if sys.platform == "win32" else "ii"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(shape, 1, 0))
        self.connection.close()
        self.close_connection = True


def _as_json(payload: dict[str, object]) -> bytes:
    return json.dumps(payload).encode("ascii")


def _html_page(title: str) -> str:
    return f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
