"""A service on loopback for the measurements: just the answers that the measured commands need, and as fast as they come."""

import json
import re
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from email.utils import formatdate
from itertools import count
from pathlib import Path

PAGE = 50


def project(number: int) -> dict[str, object]:
    """A project as the newer list shows it."""
    return {
        "_id": f"{number:024x}",
        "name": f"Showroom {number}",
        "status": "active",
        "region": "Europe",
        "subscriptionStatus": "active",
        "createdAt": f"2026-01-04T10:00:00.{number % 1000:03}Z",
        "updatedAt": f"2026-04-04T10:{number % 60:02}:00.000Z",
    }


class StandIn:
    """The service with `projects` projects; `tls` is a certificate and its key."""

    def __init__(self, projects: int, tls: tuple[Path, Path] | None = None) -> None:
        total = -(-projects // PAGE)
        pages = [[project(n) for n in range(p * PAGE, min(projects, (p + 1) * PAGE))] for p in range(total)]
        answers = [_answer({"projects": page, "totalPages": total}) for page in pages]
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(answers))
        self._server.daemon_threads = True
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def _answer(value: object) -> bytes:
    body = json.dumps(value).encode()
    fields = [f"Date: {formatdate(usegmt=True)}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""]).encode() + body


def _handler(pages: list[bytes]) -> type[socketserver.BaseRequestHandler]:
    uploads = count(1)
    detail = _answer({**project(1), "files": []})

    class Handler(socketserver.BaseRequestHandler):
        # No http.server: its own work, on the same two cores, would be a third of what is measured.
        def setup(self) -> None:
            # As real servers do: else an answer waits 40 ms for the acknowledgement of the TLS session tickets before it.
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def handle(self) -> None:
            received = b""
            while piece := self.request.recv(65536):
                received += piece
                head, end, body = received.partition(b"\r\n\r\n")
                # A real server's work is done on another machine, so this one's is kept small: no GET here has a body.
                length = re.search(rb"(?i)content-length: ([0-9]+)", head) if head.startswith(b"POST") else None
                if end and len(body) >= int(length[1] if length else 0):
                    self.request.sendall(self._response(head))
                    received = b""

        def _response(self, head: bytes) -> bytes:
            if head.startswith(b"POST"):
                return _answer({"message": "accepted", "uploadId": f"{next(uploads):024x}"})
            page = re.match(rb"GET /projects\?page=([0-9]+)", head)
            return detail if page is None else pages[min(int(page[1]), len(pages)) - 1]

    return Handler


def certificate(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for 127.0.0.1 and its key; `folder`/ca holds it under its hash, as a system's folder of authorities does."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return None
    cert, key, trusted = folder / "cert.pem", folder / "key.pem", folder / "ca"
    names = ["-days", "2", "-subj", "/CN=stand-in", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), *names]
    subprocess.run(command, check=True, capture_output=True)
    asked = [openssl, "x509", "-hash", "-noout", "-in", str(cert)]
    digest = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    trusted.mkdir()
    shutil.copy(cert, trusted / f"{digest}.0")
    return cert, key
