"""Webhook events as they were received, and whether a listener runs here.

The service delivers each event once, unsigned and without an id (https://docs.streampixel.io, webhook events): what is stored is
a hint, and the same event twice is one.
"""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from spcli.clock import Clock
from spcli.ratelimit.window import is_alive
from spcli.state import stored
from spcli.state.connection import Connection
from spcli.state.database import Database
from spcli.state.ledger import PRUNED_AT_ONCE, YEAR
from spcli.state.processes import is_gone, owner

_ADD = (
    "INSERT OR IGNORE INTO events (event, project_id, upload_id, file_url, status, objection, timestamp, received)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_PRUNE = "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?) AND received < ?"


class Event(NamedTuple):
    """One received event; `received` is Unix time, the rest is the payload's (`file_url` without its query)."""

    event: str | None
    project_id: str | None
    upload_id: str | None
    file_url: str | None
    status: str | None
    objection: str | None
    timestamp: str | None
    received: float


class Events:
    """Read and store events, and the heartbeats of listeners."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Store events in one transaction, on the disk when this returns; for each whether it was new.

        Raises:
            SpcliError: `config`, when they can't be stored.
        """

        def work(connection: Connection) -> list[bool]:
            added = [connection.run(_ADD, event).rowcount == 1 for event in events]
            connection.run(_PRUNE, (PRUNED_AT_ONCE, self._clock.wall() - YEAR))
            return added

        return self._database.write(work, durable=True)

    def newest_event_id(self, upload_id: str) -> int:
        """A number that grows with each event stored for the build; 0 without any."""
        rows = self._database.read("SELECT max(id) AS newest FROM events WHERE upload_id = ?", (upload_id,))
        return int(rows[0]["newest"] or 0) if rows else 0

    def find_events(self, *, project_id: str | None = None, upload_id: str | None = None, limit: int = 1000) -> list[Event]:
        """The newest events, oldest first."""
        wanted = {name: value for name, value in (("project_id", project_id), ("upload_id", upload_id)) if value is not None}
        which = " AND ".join(f"{name} = ?" for name in wanted) or "true"
        rows = self._database.read(f"SELECT * FROM events WHERE {which} ORDER BY id DESC LIMIT ?", (*wanted.values(), limit))
        return [_event(row) for row in reversed(rows)]

    def refresh_listener(self) -> None:
        """Say that a listener runs in this process."""
        now = self._clock.now()
        self._database.attempt(
            lambda connection: connection.run("INSERT OR REPLACE INTO listeners VALUES (?, ?, ?)", (owner(), *now))
        )

    def remove_listener(self) -> None:
        """Say that it stops."""
        self._database.attempt(lambda connection: connection.run("DELETE FROM listeners WHERE owner = ?", (owner(),)))

    def is_listener_alive(self) -> bool:
        """Whether a listener on this machine was heard of lately."""
        now = self._clock.now()
        rows = self._database.read("SELECT * FROM listeners")
        return any(is_alive(stored.waiter("", row["wall"], row["mono"]), now) and not is_gone(row["owner"]) for row in rows)


def _event(row: sqlite3.Row) -> Event:
    known = {name: stored.text(row[name]) for name in Event._fields if name != "received"}
    return Event(**known, received=stored.moment(row["received"]) or 0.0)
