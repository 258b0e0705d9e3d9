"""Webhook events as they were received, and whether a listener runs here.

The service delivers each event once, unsigned and without an id (https://docs.streampixel.io, webhook events): what is stored is
a hint, and the same event twice is one.
"""

import sqlite3
from typing import NamedTuple

from spcli.clock import Clock, Instant
from spcli.policy import Waiter, is_alive
from spcli.state.database import Database
from spcli.state.owner import is_gone, owner


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


class Received:
    """Stored events."""

    _database: Database
    _clock: Clock

    def add_event(self, event: Event) -> bool:
        """Store an event, on the disk when this returns; whether it was new. Raises `SpcliError` (config) when it can't be."""
        with self._database.writing(durable=True) as connection:
            row = connection.execute(
                "INSERT OR IGNORE INTO events (event, project_id, upload_id, file_url, status, objection, timestamp, received)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                event,
            )
            return row.rowcount == 1

    def events(self, *, project_id: str | None = None, upload_id: str | None = None, limit: int = 1000) -> list[Event]:
        """The newest events, oldest first."""
        rows = self._database.read(
            "SELECT * FROM events WHERE (?1 IS NULL OR project_id = ?1) AND (?2 IS NULL OR upload_id = ?2)"
            " ORDER BY id DESC LIMIT ?3",
            (project_id, upload_id, limit),
        )
        return [Event(*(row[name] for name in Event._fields)) for row in reversed(rows)]

    def listener_beat(self) -> None:
        """Say that a listener runs in this process."""
        now = self._clock.now()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO listeners VALUES (?, ?, ?)", (owner(), *now))

        self._database.attempt(work)

    def listener_gone(self) -> None:
        """Say that it stops."""
        self._database.attempt(lambda connection: connection.execute("DELETE FROM listeners WHERE owner = ?", (owner(),)))

    def listener_alive(self) -> bool:
        """Whether a listener on this machine was heard of lately."""
        now = self._clock.now()
        rows = self._database.read("SELECT * FROM listeners")
        return any(is_alive(Waiter("", Instant(row["wall"], row["mono"])), now) and not is_gone(row["owner"]) for row in rows)
