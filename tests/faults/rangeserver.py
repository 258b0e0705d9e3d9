"""A storage host on loopback: serves one file by ranges, records the requests, and misbehaves on demand."""

import io
import os
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

_PIECE = 1024 * 1024


class Seen(NamedTuple):
    """One request that arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]


class Reply(NamedTuple):
    """An answer in place of the file's. `drop`: send the headers, and close the connection in the middle of the body."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    drop: bool = False


Fault = Callable[[Seen, int], Reply | None]
"""Takes a request and its number from 1. None serves the file; an `OSError` closes the connection."""


class RangeServer:
    """Serves `source` under every path: `with RangeServer(data) as host: host.url("Game.zip")`; `tls`: certificate, key."""

    def __init__(
        self, source: bytes | Path, *, ranges: bool = True, fault: Fault | None = None, tls: tuple[str, str] | None = None
    ) -> None:
        self.source = source
        self.ranges = ranges
        self.fault = fault
        self.seen: list[Seen] = []
        self.sent = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.host = self
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "RangeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        """The link to the file under this path, query included."""
        return f"{self._scheme}://127.0.0.1:{self.port}/{path}"

    def opened(self) -> io.BufferedIOBase:
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    @property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else os.stat(self.source).st_size


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    host: RangeServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def host(self) -> RangeServer:
        assert isinstance(self.server, _Server)
        return self.server.host

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        self.host.seen.append(seen)
        try:
            reply = self.host.fault(seen, len(self.host.seen)) if self.host.fault else None
            if reply is None:
                self._serve(seen.headers.get("range"))
            else:
                self._send(reply)
        except OSError:
            self.close_connection = True

    def do_HEAD(self) -> None:
        # As S3 does with a URL signed for GET.
        self.host.seen.append(Seen("HEAD", self.path, {}))
        self._send(Reply(403))

    def _send(self, reply: Reply) -> None:
        if "Date" in reply.headers:
            self.send_response_only(reply.status)
        else:
            self.send_response(reply.status)
        headers = {"Content-Length": str(len(reply.body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if reply.drop else reply.body)
        self.close_connection = self.close_connection or reply.drop

    def _serve(self, wanted: str | None) -> None:
        size, found = self.host.size, re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", wanted or "")
        first, last = (int(found[1]), min(int(found[2]), size - 1)) if found and self.host.ranges else (0, size - 1)
        if found and self.host.ranges and first >= size:
            self._send(Reply(416, {"Content-Range": f"bytes */{size}"}))
            return
        self.send_response(206 if found and self.host.ranges else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(last - first + 1))
        if found and self.host.ranges:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        self._copy(first, last)

    def _copy(self, first: int, last: int) -> None:
        with self.host.opened() as file:
            file.seek(first)
            while first <= last:
                piece = file.read(min(_PIECE, last - first + 1))
                self.wfile.write(piece)
                self.host.sent += len(piece)
                first += len(piece)
