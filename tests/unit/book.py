"""A state for tests with short ways to write rows of its history."""

from pathlib import Path
from typing import Any

from spcli.ratelimit.window import WINDOW, Go, Rules
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt, WriteNote
from spcli.state.store import State
from tests.front import FakeClock

RULES = Rules(WINDOW, 60.0)
WHO = Account("https://api", "user")
FILE = "https://builds.example.com/Game.zip"


class Book:
    """A state with its clock and short ways to write rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.notes: list[str] = []
        self.state = State(folder, clock=self.clock, environ={}, note=self.notes.append)
        self._window = 0

    def begin(self, action: str = "upload", **fields: Any) -> int:
        """Commit a call in a window of its own."""
        self._window += 1
        known = {"account": WHO, "project_id": "p", "url": FILE, "digest": "d", "upload_id": None}
        known |= {"auto_release": True, "baseline": ("1", "2"), "note": WriteNote()} | fields
        ticket = self.state.windows.enqueue(f"b{self._window}")
        turn, number = self.state.windows.poll(f"b{self._window}", ticket, rules=RULES, attempt=NewAttempt(action, **known))
        assert isinstance(turn, Go)
        assert number is not None
        return number

    def unsettled(self, url: str = FILE) -> list[int]:
        return [one.id for one in self.state.ledger.find_unsettled("upload", WHO, "p", url=url)]

    def orphan(self, *attempts: int) -> None:
        """As if the process that sent them had died elsewhere, long ago."""
        marks = ", ".join("?" * len(attempts))
        sql = f"UPDATE ledger SET owner = 'elsewhere', live_wall = 1, live_mono = 1 WHERE id IN ({marks})"
        self.state._database.write(lambda connection: connection.execute(sql, attempts))

    def set(self, **columns: object) -> None:
        sql = ", ".join(f"{name} = ?" for name in columns)
        self.state._database.write(lambda connection: connection.execute(f"UPDATE ledger SET {sql}", tuple(columns.values())))
