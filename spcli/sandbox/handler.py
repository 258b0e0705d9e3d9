"""One connection to the sandbox: reads requests, writes answers, and misbehaves where a fault says so."""

import json
import socket
import struct
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from spcli.sandbox.faults import MESSAGES, Fault
from spcli.sandbox.request import Request

if TYPE_CHECKING:
    from spcli.sandbox.server import Listener

_LARGEST_BODY = 1 << 20
_DRIP = 0.2
_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=utf-8"


class Handler(BaseHTTPRequestHandler):
    """Serves one connection, kept alive as HTTP/1.1 has it."""

    protocol_version = "HTTP/1.1"
    server_version = "spcli-sandbox"
    sys_version = ""
    # Head and body leave in two writes; without this the second waits for a delayed acknowledgement.
    disable_nagle_algorithm = True
    server: "Listener"

    def do_GET(self) -> None:
        """Answer any method: the world tells which exist."""
        body = self._read_body()
        if body is None:
            return
        target, _, query = self.path.partition("?")
        pairs = tuple(parse_qsl(query, keep_blank_values=True))
        request = Request(self.command, unquote(target), pairs, self.headers.get("Content-Type"), body)
        sandbox = self.server.sandbox
        inside = sandbox.inside(request)
        if inside is None:
            self._outside(request)
            return
        fault = sandbox.take_fault(inside)
        if fault is not None:
            self._misbehave(fault, inside)
            return
        status, payload = sandbox.answer(inside)
        sandbox.record(inside, status)
        self._send(status, _as_json(payload))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header, from the sandbox's clock."""
        return super().date_time_string(self.server.sandbox.now() if timestamp is None else timestamp)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the sandbox writes its own lines, without queries, as those hold keys."""

    def _read_body(self) -> bytes | None:
        """The request's body; `None` when it can't be had, and the connection is about to end."""
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
        self._send(status, _as_json({"message": message}))

    def _outside(self, request: Request) -> None:
        """Requests beside the API: the sandbox's page, and the login page a redirect points to."""
        pages: dict[str, Callable[[], str]] = {"/": self.server.sandbox.page, "/login": lambda: _page("Sign in")}
        page = pages.get(request.path) if request.method in ("GET", "HEAD") else None
        status = 200 if page else 404
        self.server.sandbox.record(request, status)
        self._send(status, (page() if page else _page("404 Not Found")).encode("utf-8", "replace"), kind=_HTML)

    def _misbehave(self, fault: Fault, request: Request) -> None:
        sandbox = self.server.sandbox
        status, payload = sandbox.answer(request) if fault.stores else (0, {})
        sends: dict[str, tuple[int, Callable[[], None]]] = {
            "hang": (0, self._hang),
            "reset": (0, self._reset),
            "close": (0, self._close),
            "truncate": (status, lambda: self._truncate(status, _as_json(payload))),
            "no-id": (status, lambda: self._send(status, _as_json({k: v for k, v in payload.items() if k != "uploadId"}))),
            "slow": (status, lambda: self._drip(status, _as_json(payload))),
            "204": (204, lambda: self._send(204, b"")),
            "html": (200, lambda: self._send(200, _page("Sign in").encode(), kind=_HTML)),
            "redirect": (302, self._redirect),
        }
        wire_status, send = sends.get(fault.shape) or self._refusal(fault.shape)
        sandbox.record(request, wire_status, fault=fault.kind)
        send()

    def _refusal(self, shape: str) -> tuple[int, Callable[[], None]]:
        """A fault that is a status: the documented JSON, or a gateway's page."""
        status = int(shape[:3])
        phrase = self.responses.get(status, ("Error", ""))[0]
        if shape.endswith("html"):
            return status, lambda: self._send(status, _page(f"{status} {phrase}").encode(), kind=_HTML)
        message = self.server.sandbox.world.limit_message() if status == 429 else MESSAGES.get(status, phrase)
        return status, lambda: self._send(status, _as_json({"message": message}))

    def _send(self, status: int, body: bytes, *, kind: str = _JSON, location: str | None = None) -> None:
        self._head(status, len(body), kind=kind, location=location)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, *, kind: str = _JSON, location: str | None = None) -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
        if location:
            self.send_header("Location", location)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _truncate(self, status: int, body: bytes) -> None:
        self._head(status, len(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def _drip(self, status: int, body: bytes) -> None:
        self._head(status, len(body))
        for place in range(len(body)):
            if self.server.stopping.wait(_DRIP):
                self.close_connection = True
                return
            self.wfile.write(body[place : place + 1])

    def _redirect(self) -> None:
        # Another host name to every client, though the same machine: a client that follows is caught in `requests`.
        port = self.server.server_address[1]
        self._send(302, _page("Moved").encode(), kind=_HTML, location=f"http://localhost:{port}/login")

    def _hang(self) -> None:
        while self.connection.recv(4096):
            pass
        self.close_connection = True

    def _close(self) -> None:
        self.close_connection = True

    def _reset(self) -> None:
        # Closing with a linger time of 0 sends RST; `finish` closes the file object that still holds the socket.
        shape = "hh" if sys.platform == "win32" else "ii"
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(shape, 1, 0))
        self.connection.close()
        self.close_connection = True


def _as_json(payload: dict[str, object]) -> bytes:
    return json.dumps(payload).encode("ascii")


def _page(title: str) -> str:
    return f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
