"""Processes of the command against one service, and what arrived there."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from spcli.sandbox.request import Request
from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World

ROOT = Path(__file__).parents[1]


class SlowSandbox(Sandbox):
    """A sandbox that answers an upload late, once it is stored: long enough for a kill."""

    pause = 0.2

    def answer(self, request: Request) -> tuple[int, dict[str, object]]:
        answer = super().answer(request)
        if request.path.endswith("/upload-file"):
            threading.Event().wait(self.pause)
        return answer


def service(window: float, kind: type[Sandbox] = Sandbox) -> Sandbox:
    """Return a sandbox in real time."""
    return kind(World(window=window, stage=3600))


class Jobs:
    """Processes that share one state folder."""

    def __init__(self, server: Sandbox, home: Path, window: float) -> None:
        self.server = server
        self.home = home
        self._environ = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "TEMP", "COVERAGE")}
        self._environ |= {
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_BASE_URL": server.base_url,
            "STREAMPIXEL_PROJECT_ID": MAIN.projects[0].id,
            "SPCLI_WINDOW": str(window),
            "SPCLI_CONFIG": str(home / "config.toml"),
            "SPCLI_STATE_DIR": str(home / "state"),
            "HOME": str(home),
            "PYTHONPATH": str(ROOT),
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *argv: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a command; its output goes to pipes that are small enough to hold it."""
        command = [sys.executable, "-m", "spcli", *argv]
        process = subprocess.Popen(
            command, env=self._environ | dict(env or {}), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._running.append(process)
        return process

    def upload(self, name: str, *argv: str) -> "subprocess.Popen[bytes]":
        """Start the upload of a file of that name."""
        return self.start("upload", f"https://builds.example.com/{name}.zip", "-q", *argv)

    def ship(self, name: str) -> None:
        """Upload a file and check that it succeeds."""
        process = self.upload(name)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()

    def queued(self) -> int:
        """Return the number of waiters in the state's table."""
        return len(self.rows("SELECT 1 FROM waiters"))

    def rows(self, sql: str) -> list[Any]:
        """Return rows of the state as another program reads them; none before it exists."""
        import sqlite3

        path = self.home / "state" / "state.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(path, timeout=5, isolation_level=None)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def sender(self) -> int | None:
        """Return the process whose call is under way."""
        rows = self.rows("SELECT owner FROM ledger WHERE phase = 'sending'")
        return int(rows[-1][0].split("/")[-2]) if rows else None

    def finish(self, timeout: float = 60) -> None:
        """Wait for all processes."""
        until = time.monotonic() + timeout
        for process in self._running:
            process.wait(max(0.1, until - time.monotonic()))

    def finish_one(self, process: "subprocess.Popen[bytes]", timeout: float = 60) -> None:
        """Wait for one process."""
        process.wait(timeout)

    @property
    def project(self) -> str:
        """Return the project of the uploads."""
        return MAIN.projects[0].id

    def close(self) -> None:
        """End and reap everything."""
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.communicate()


def until(holds: Callable[[], bool], timeout: float = 60) -> None:
    """Wait until `holds()` is true."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        threading.Event().wait(0.01)


def arrivals(server: Sandbox) -> list[float]:
    """Return when the uploads arrived."""
    return [record.time for record in server.requests if record.path.endswith("/upload-file")]


def names(server: Sandbox) -> list[str]:
    """Return the file names of the uploads, in the order they arrived."""
    import json

    found = [json.loads(record.body)["fileUrl"] for record in server.requests if record.path.endswith("/upload-file")]
    return [url.rpartition("/")[2].removesuffix(".zip") for url in found]


def gaps(server: Sandbox) -> list[float]:
    """Return the seconds between one upload and the next."""
    return [later - earlier for earlier, later in pairwise(arrivals(server))]
