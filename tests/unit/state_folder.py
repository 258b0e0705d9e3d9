"""A state folder for tests: states and databases over it, and what they noted."""

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spcli.errors import SpcliError
from spcli.ratelimit.window import WINDOW, Rules
from spcli.state.account import Account
from spcli.state.database import Database
from spcli.state.store import State
from tests.front import FakeClock

RULES = Rules(WINDOW, 60.0)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX matters")
ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="giving files away needs root")


class Opened:
    """States and databases over one folder, with what they noted; all are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.notes: list[str] = []
        self.spare = folder.parent / "temp"
        self.spare.mkdir(exist_ok=True)
        self._open: list[Any] = []

    def _options(self, patience: float) -> dict[str, Any]:
        return {
            "clock": self.clock,
            # On Windows only a temp dir inside the profile may take the state.
            "environ": {"TMPDIR": str(self.spare), "USERPROFILE": str(self.spare.parent)},
            "note": self.notes.append,
            "patience": patience,
        }

    def state(self, folder: Path | None = None, patience: float = 0.1) -> State:
        self._open.append(State(folder or self.folder, **self._options(patience)))
        return self._open[-1]

    def database(self, folder: Path | None = None, patience: float = 0.1) -> Database:
        self._open.append(Database(folder or self.folder, **self._options(patience)))
        return self._open[-1]

    @property
    def file(self) -> Path:
        return self.folder / "state.db"

    def close(self) -> None:
        for one in self._open:
            one.close()


def make(opened: Opened) -> None:
    """A state file with something in it, closed again."""
    state = opened.state()
    state.names.remember_projects(Account("o", "u"), [("1", "one")])
    state.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def raw(path: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def refusal(call: Callable[[], object]) -> SpcliError:
    """Return the error of a call that is refused before anything is sent."""
    with pytest.raises(SpcliError) as caught:
        call()
    assert (caught.value.kind, caught.value.exit_code, caught.value.outcome) == ("config", 3, "not_sent")
    assert caught.value.hint
    return caught.value


DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.ratelimit.window import Rules
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt, WriteNote
from spcli.state.store import State
notes = []
state = State(Path(sys.argv[1]), clock=Clock(), environ={{"TMPDIR": sys.argv[2]}}, note=notes.append, patience=0.2)
rules = Rules(0.01, 60.0)
attempt = NewAttempt("upload", Account("o", "a"), "p", "u", "d", None, True, tuple("x" * 24 for _ in range(400)), WriteNote())
"""


def script(body: str, *argv: str) -> str:
    root = str(Path(__file__).parents[2])
    code = DISK.format(root=root) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
