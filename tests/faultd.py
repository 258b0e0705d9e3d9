"""A double of the API on raw sockets: it misbehaves as a script says, and records every request that arrives.

    with FaultServer([answer(200, {"projects": []}), rst_after_request()]) as server:
        ...  # talk to server.url
    # leaving fails the test if a reply was unused or a request unexpected

A script is a list of behaviours. One that acts at accept takes the next connection; any other takes the next request, on whatever
connection it comes. `handler` (request -> behaviour) replaces the script for doubles with a memory.
"""

import contextlib
import gzip
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

REQUEST_LIMIT = 1024 * 1024


class Request(NamedTuple):
    """One request that arrived; `at` is a `time.monotonic()` reading, `connection` counts connections from 1."""

    at: float
    connection: int
    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    sha256: str

    @property
    def json(self) -> object:
        """Parse the body as JSON."""
        return json.loads(self.body)


class Peer:
    """One accepted connection."""

    def __init__(self, sock: socket.socket, number: int, stop: threading.Event) -> None:
        self.sock = sock
        self.number = number
        self.stop = stop

    def send(self, data: bytes) -> bool:
        """Send `data`; False when the other side is gone."""
        try:
            self.sock.sendall(data)
        except OSError:
            return False
        return True

    def drip(self, data: bytes, interval: float) -> None:
        """Send `data` a byte at a time."""
        for byte in data:
            if not self.send(bytes([byte])) or self.stop.wait(interval):
                return

    def reset(self) -> None:
        """Close with a real RST."""
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()


class Behaviour(NamedTuple):
    """What to do with a connection (`at_accept`) or a request. `act` returns True when the connection goes on."""

    name: str
    act: Callable[[Peer, Request | None], bool]
    at_accept: bool = False


Handler = Callable[[Request], Behaviour]


def response(status: int, body: object = b"", headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a whole HTTP response; `body` is bytes or becomes JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in pairs}
    if "content-length" not in names and status != 204:
        pairs.append(("Content-Length", str(len(content))))
    if "content-type" not in names:
        pairs.append(("Content-Type", "application/octet-stream" if isinstance(body, bytes) else "application/json"))
    head = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode("latin-1") + content


def answer(
    status: int = 200,
    body: object = b"",
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
    *,
    delay: float = 0.0,
) -> Behaviour:
    """Answer properly; the connection goes on if the client wants it to."""
    data = response(status, body, headers)

    def act(peer: Peer, request: Request | None) -> bool:
        wants_close = request is not None and request.headers.get("connection", "").lower() == "close"
        return not peer.stop.wait(delay) and peer.send(data) and not wants_close

    return Behaviour(f"answer {status}", act)


def raw(data: bytes, name: str = "raw") -> Behaviour:
    """Send exactly these bytes, then close."""

    def act(peer: Peer, request: Request | None) -> bool:
        peer.send(data)
        return False

    return Behaviour(name, act)


def _ending(name: str, end: Callable[[Peer], None], at_accept: bool) -> Behaviour:
    def act(peer: Peer, request: Request | None) -> bool:
        end(peer)
        return False

    return Behaviour(name, act, at_accept)


def close_after_accept() -> Behaviour:
    """Close in order before anything is read."""
    return _ending("close_after_accept", lambda peer: peer.sock.close(), True)


def close_after_request() -> Behaviour:
    """Close in order instead of answering."""
    return _ending("close_after_request", lambda peer: peer.sock.close(), False)


def rst_at_accept() -> Behaviour:
    """Reset at once: the client may see its connect fail, or its request lost."""
    return _ending("rst_at_accept", Peer.reset, True)


def rst_before_read() -> Behaviour:
    """Reset once the client's bytes are there, without reading them."""

    def end(peer: Peer) -> None:
        peer.sock.recv(1, socket.MSG_PEEK)
        peer.reset()

    return _ending("rst_before_read", end, True)


def rst_after_request() -> Behaviour:
    """Reset instead of answering."""
    return _ending("rst_after_request", Peer.reset, False)


def hang() -> Behaviour:
    """Read the request and never answer, until the server stops."""
    return _ending("hang", lambda peer: _wait(peer.stop), False)


def hang_at_accept() -> Behaviour:
    """Accept and do nothing, until the server stops."""
    return _ending("hang_at_accept", lambda peer: _wait(peer.stop), True)


def _wait(stop: threading.Event) -> None:
    stop.wait()


def drip_headers(interval: float = 0.05, *, status: int | None = None) -> Behaviour:
    """Send endless headers, a byte at a time; with `status`, its line comes at once."""
    line = b"" if status is None else f"HTTP/1.1 {status} Status\r\n".encode()

    def act(peer: Peer, request: Request | None) -> bool:
        peer.send(line)
        peer.drip((b"" if line else b"HTTP/1.1 200 OK" + b"K" * 40 + b"\r\n") + b"X-Slow: 1\r\n" * 1000, interval)
        return False

    return Behaviour("drip_headers", act)


def drip_body(interval: float = 0.05, *, status: int = 200) -> Behaviour:
    """Send proper headers, then a body a byte at a time."""
    head, data = response(status, b"", {"Content-Length": "100000"}), b" " * 100000

    def act(peer: Peer, request: Request | None) -> bool:
        peer.send(head)
        peer.drip(data, interval)
        return False

    return Behaviour("drip_body", act)


def truncate(status: int = 200, body: object = None) -> Behaviour:
    """Promise more body than is sent."""
    whole = json.dumps({"uploadId": "665a2b3c4d5e6f7a8b9c0e1f"} if body is None else body).encode()
    return raw(response(status, whole[: len(whole) // 2], {"Content-Length": str(len(whole))}), "truncate")


def garbage() -> Behaviour:
    """Send bytes that are not HTTP."""
    return raw(b"\x00\xff\x16\x03garbage\r\n\r\n", "garbage")


def http09() -> Behaviour:
    """Send a page without status line or headers."""
    return raw(b"<html><body>hello</body></html>", "http09")


def gzip_body(status: int = 200, body: object = None) -> Behaviour:
    """Send a compressed answer that was not asked for."""
    data = gzip.compress(json.dumps({"uploadId": "1"} if body is None else body).encode())
    return answer(status, data, {"Content-Encoding": "gzip", "Content-Type": "application/json"})


def huge_headers(status: int = 200, size: int = 200_000) -> Behaviour:
    """Send a proper status line and too many headers."""
    return raw(f"HTTP/1.1 {status} Status\r\nX-Huge: {'x' * size}\r\n\r\n".encode(), "huge_headers")


def huge_body(status: int = 200, size: int = 9 * 1024 * 1024) -> Behaviour:
    """Send a body over every limit."""
    return raw(response(status, b" " * size), "huge_body")


def no_content() -> Behaviour:
    """Answer 204."""
    return answer(204)


def redirect(location: str, status: int = 302) -> Behaviour:
    """Answer with a redirect."""
    return answer(status, b"", {"Location": location})


def after_interim(*statuses: int, then: Behaviour) -> Behaviour:
    """Send 1xx answers first, then `then`."""

    def act(peer: Peer, request: Request | None) -> bool:
        for status in statuses:
            peer.send(f"HTTP/1.1 {status} Interim\r\nX-Interim: 1\r\n\r\n".encode())
        return then.act(peer, request)

    return Behaviour("after_interim", act)


def tunnel(port: int, pause: float = 0.0) -> Behaviour:
    """Act as a proxy: take a CONNECT and relay everything to `port` of this machine; with a `pause`, back byte by byte."""

    def act(peer: Peer, request: Request | None) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as far:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_relay, args=(far, peer.sock, pause), daemon=True)
            back.start()
            _relay(peer.sock, far)
            back.join(5)
        return False

    return Behaviour("tunnel", act)


def _relay(source: socket.socket, sink: socket.socket, pause: float = 0.0) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 if pause else 65536):
            sink.sendall(data)
            time.sleep(pause)
    for sock in (source, sink):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


class FaultServer:
    """The double on 127.0.0.1, one thread a connection.

    Args:
        script: behaviours in the order they are used up.
        handler: decides each request instead.
        unread_for: how many seconds a connection's first request stays unread, as in a busy server's queue; its first four bytes
            are the argument.
        tls: certificate and key file, for https.
        strict: leaving the context fails for unused behaviours, unexpected requests and errors in the handler.
    """

    def __init__(
        self,
        script: Sequence[Behaviour] = (),
        *,
        handler: Handler | None = None,
        unread_for: Callable[[bytes], float] | None = None,
        tls: tuple[str, str] | None = None,
        strict: bool = True,
    ) -> None:
        self.ledger: list[Request] = []
        self.unexpected: list[Request] = []
        self.problems: list[BaseException] = []
        self.connections = 0
        self.handler = handler
        self.unread_for = unread_for
        self._script = list(script)
        self._strict = strict
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._open: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._tls = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*tls)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def unused(self) -> list[str]:
        """Return the names of unused behaviours."""
        with self._lock:
            return [behaviour.name for behaviour in self._script]

    def add(self, *behaviours: Behaviour) -> None:
        """Append to the script."""
        with self._lock:
            self._script.extend(behaviours)

    def close(self) -> None:
        """Stop at once: end every connection and thread."""
        if self._stop.is_set():
            return
        self._stop.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._acceptor.join(10)
        self._listener.close()
        with self._lock:
            open_now = list(self._open.values())
        for sock in open_now:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> "FaultServer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.close()
        if kind is None and self._strict:
            self.check()

    def check(self) -> None:
        """Raise AssertionError for unused behaviours, unexpected requests or errors in the handler."""
        odd = [f"{request.method} {request.path}" for request in self.unexpected]
        assert not odd, f"unexpected requests: {odd}"
        assert not self.unused, f"unused replies: {self.unused}"
        assert not self.problems, f"errors in the double: {self.problems!r}"

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._stop.is_set():
                sock.close()
                return
            self.connections += 1
            with self._lock:
                self._open[self.connections] = sock
            thread = threading.Thread(target=self._serve, args=(Peer(sock, self.connections, self._stop),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._talk(peer)
        except OSError:
            pass  # the client went away, or refused our certificate
        except Exception as error:  # noqa: BLE001  (told at the end of the test)
            self.problems.append(error)
        finally:
            with self._lock:
                self._open.pop(peer.number, None)
            peer.sock.close()

    def _talk(self, peer: Peer) -> None:
        first = self._next(at_accept=True)
        if first is not None:
            first.act(peer, None)
            return
        if self._tls is not None:
            peer.sock = self._tls.wrap_socket(peer.sock, server_side=True)
            with self._lock:
                self._open[peer.number] = peer.sock
        if self.unread_for is not None:
            peer.stop.wait(self.unread_for(peer.sock.recv(4, socket.MSG_PEEK)))
        while (request := self._read(peer)) is not None:
            if not self._behaviour_for(request).act(peer, request):
                return

    def _next(self, *, at_accept: bool) -> Behaviour | None:
        with self._lock:
            if self._script and self._script[0].at_accept == at_accept:
                return self._script.pop(0)
        return None

    def _behaviour_for(self, request: Request) -> Behaviour:
        if self.handler is not None:
            return self.handler(request)
        behaviour = self._next(at_accept=False)
        if behaviour is None:
            self.unexpected.append(request)
            return answer(500, {"message": "unexpected request"})
        return behaviour

    def _read(self, peer: Peer) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = peer.sock.recv(65536)
            if not chunk or len(data) > REQUEST_LIMIT:
                return None
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        missing = int(headers.get("content-length", "0")) - len(body)
        while missing > 0:
            chunk = peer.sock.recv(65536)
            if not chunk:
                break
            body += chunk
            missing -= len(chunk)
        return self._record(peer, first, headers, body)

    def _record(self, peer: Peer, first: str, headers: dict[str, str], body: bytes) -> Request:
        method, target, _ = first.split(" ", 2)
        parts = urlsplit(target) if method != "CONNECT" else urlsplit("")
        request = Request(
            at=time.monotonic(),
            connection=peer.number,
            method=method,
            host=headers.get("host", ""),
            path=target if method == "CONNECT" else parts.path,
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers=headers,
            body=body,
            sha256=hashlib.sha256(body).hexdigest(),
        )
        self.ledger.append(request)
        return request
