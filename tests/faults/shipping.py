"""The installed command as a process of its own, against a double with a build list on real sockets."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spcli.sandbox.seeds import MAIN, SHOWROOM
from tests.faultd import Behaviour, FaultServer, Request, answer

URL = "https://builds.example.com/Game-1.4.zip"
OLD = "665a00000000000000000001"
NEW = "665a00000000000000000002"
PATIENCE = 60.0


def command() -> list[str]:
    """Return the installed script, or the module where it is not installed."""
    script = Path(sys.executable).with_name("spcli.exe" if sys.platform == "win32" else "spcli")
    return [str(script)] if script.exists() else [sys.executable, "-m", "spcli"]


def eventually(happened: Callable[[], object], what: str) -> None:
    """Wait until `happened()`."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


class Service:
    """A handler: `on_write` and, when set, `on_read` decide; `builds` is the list."""

    def __init__(self, on_write: Callable[[Request], Behaviour]) -> None:
        self.on_write = on_write
        self.on_read: Callable[[Request], Behaviour] | None = None
        self.writes: list[Request] = []
        self.reads: list[Request] = []
        self.builds = [self.build(OLD, "https://builds.example.com/Old.zip", "Approved")]

    @staticmethod
    def build(upload_id: str, url: str, status: str = "pending") -> dict[str, str]:
        return {"_id": upload_id, "url": url, "status": status, "date": "2026-01-01T00:00:00Z"}

    def __call__(self, request: Request) -> Behaviour:
        if request.method == "POST":
            self.writes.append(request)
            return self.on_write(request)
        self.reads.append(request)
        return self.on_read(request) if self.on_read else answer(200, {"id": SHOWROOM.id, "files": list(self.builds)})


class Process:
    """One run of the command; a test can wait for its stderr."""

    def __init__(self, argv: list[str], environ: Mapping[str, str], program: list[str] | None = None, **streams: Any) -> None:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **streams}
        self.popen = subprocess.Popen([*(program or command()), *argv], env=dict(environ), **streams)
        self.err = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self.err += line.decode()

    def wait_for(self, text: str) -> None:
        """Wait until stderr holds `text`."""
        eventually(lambda: text in self.err or self.popen.poll() is not None, f"{text!r} in {self.err!r}")
        assert text in self.err, self.err

    def send(self, number: int) -> None:
        """Send a signal."""
        self.popen.send_signal(number)

    def end(self) -> "Process":
        """Wait for its end."""
        self.out = self.popen.stdout.read().decode() if self.popen.stdout else ""
        self.code = self.popen.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()
        return self

    @property
    def error(self) -> Any:
        """Parse the error object, stderr's last line."""
        return json.loads(self.err.splitlines()[-1])["error"]

    def __repr__(self) -> str:
        return f"exit {self.popen.poll()}\n--- stderr\n{self.err}"


class Shipper:
    """One user's machine: it starts processes against `server` and ends what is left of them."""

    def __init__(self, home: Path, server: FaultServer, *, window: float) -> None:
        self.home = home
        self.running: list[Process] = []
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "COVERAGE_PROCESS_START") if name in os.environ}
        self.environ = kept | {
            "HOME": str(home),
            "SPCLI_CONFIG": str(home / "config.toml"),
            "SPCLI_STATE_DIR": str(home / "state"),
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_BASE_URL": server.url,
            "STREAMPIXEL_PROJECT_ID": SHOWROOM.id,
            "SPCLI_WINDOW": str(window),
        }

    def start(self, *argv: str, **streams: Any) -> Process:
        """Start a command."""
        process = Process(list(argv), self.environ, **streams)
        self.running.append(process)
        return process

    def run(self, *argv: str, **streams: Any) -> Process:
        """Run a command to its end."""
        return self.start(*argv, **streams).end()

    def ledger(self, what: str = "phase") -> list[Any]:
        """Return one column of the ledger, in the order of the sends."""
        path = self.home / "state" / "state.db"
        if not path.exists():
            return []
        database = sqlite3.connect(path)
        try:
            return [row[0] for row in database.execute(f"SELECT {what} FROM ledger ORDER BY id")]
        finally:
            database.close()

    def close(self) -> None:
        """End every process that still runs."""
        for process in self.running:
            if process.popen.poll() is None:
                process.popen.kill()
            if process.popen.stderr is not None and not process.popen.stderr.closed:
                process.end()
