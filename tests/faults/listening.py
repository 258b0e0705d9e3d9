"""`spcli webhooks listen` as a process of its own, and the deliveries that it gets."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from spcli.clock import Clock
from spcli.sandbox.seeds import MAIN
from tests.faultd import Behaviour, FaultServer, Request, answer
from tests.front import Front

TOKEN = "t0ken-t0ken-t0ken-t0ken"
UNREACHABLE = "http://127.0.0.1:9"


# Windows has no signals for other processes: a line on standard input raises one. Main ends without the thread.
RAISES_SIGNALS = """
import _thread, sys, threading
raise_signal = lambda: _thread.interrupt_main(int(sys.stdin.readline()))
threading.Thread(target=raise_signal, daemon=True).start()
from spcli.__main__ import run
run()
"""


class Listener:
    """One running listener. Polls and grace periods are scaled by a window of one second."""

    def __init__(
        self,
        home: Path,
        *words: str,
        token: str | None = TOKEN,
        base_url: str = UNREACHABLE,
        under: tuple[str, ...] = (),
        project_id: str | None = None,
        is_json: bool = True,
    ) -> None:
        self.home = home
        environ = {**os.environ, "SPCLI_CONFIG": str(home / "config.toml"), "SPCLI_STATE_DIR": str(home / "state")}
        environ |= {
            "STREAMPIXEL_API_KEY": "listen-key-c4n4ry",
            "STREAMPIXEL_USER_ID": "u" * 24,
            "STREAMPIXEL_BASE_URL": base_url,
            "SPCLI_WINDOW": "1",
        }
        environ |= {} if project_id is None else {"STREAMPIXEL_PROJECT_ID": project_id}
        program = ["-c", RAISES_SIGNALS] if sys.platform == "win32" else ["-m", "spcli"]
        argv = [*under, sys.executable, *program, "webhooks", "listen", *(["--json"] if is_json else []), *words]
        self.process = subprocess.Popen(
            argv + (["--path-token", token] if token else []),
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # `communicate` would not return what a buffer had read ahead of the first line.
            bufsize=0,
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/hooks/(\S+)", first)
        assert found is not None, first + self.process.communicate()[1].decode()
        self.port, self.token = int(found[1]), found[2]

    def post(self, body: bytes, **headers: str) -> int:
        """Deliver on a connection of its own; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", f"/hooks/{self.token}", body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    def stored(self) -> list[str]:
        """Return the upload IDs of the stored events, in the order they came."""
        listed = Front(self.home, Clock())("webhooks", "events", "--limit", "0", "--json")
        return [one["uploadId"] for one in listed.json]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """Send a signal; return exit code, standard output and standard error."""
        self.send(number)
        return self.ended()

    def send(self, number: int) -> None:
        """Send a signal."""
        if sys.platform == "win32":
            assert self.process.stdin is not None
            self.process.stdin.write(f"{number}\n".encode())
        else:
            self.process.send_signal(number)

    def ended(self) -> tuple[int, str, str]:
        """Wait for the end; return exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode().replace("\r\n", "\n"), err.decode().replace("\r\n", "\n")


def event(upload_id: str, name: str = "build.approved", objection: str | None = None) -> bytes:
    """Return a delivery's body."""
    status = "Reject" if name == "build.rejected" else "Approved"
    fields = {"event": name, "projectId": "p", "uploadId": upload_id, "status": status, "timestamp": "2026-09-21T13:33:20Z"}
    return json.dumps(fields | ({"objection": objection} if objection else {})).encode()


def project(status: str, upload_id: str = "u1") -> dict[str, object]:
    """Return a project's page that lists one build."""
    files = [{"_id": upload_id, "url": "https://x/G.zip", "status": status, "date": "2026-09-21T13:33:20Z"}]
    return {"id": MAIN.projects[0].id, "name": "P", "files": files}


def answering(status: int, body: object) -> FaultServer:
    """Return a service that lists one project and answers like this when asked for its builds."""
    listed = {"projects": [{"_id": "p" * 24, "name": "P"}], "totalPages": 1}

    def handler(request: Request) -> Behaviour:
        return answer(200, listed) if request.path == "/projects" else answer(status, body)

    return FaultServer(handler=handler, strict=False)


def take_script(tmp_path: Path, body: str) -> str:
    """Return the words for `--exec` that run a Python script; `got` in it is the path of `tmp_path/got`."""
    script = tmp_path / "take.py"
    script.write_text(f"import json, os, pathlib, signal, sys, time\ngot = {str(tmp_path / 'got')!r}\n{body}")
    return f"'{sys.executable}' '{script}'"
