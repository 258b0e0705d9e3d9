"""Webhook events as they were received, and whether a listener runs here.

The service delivers each event once, unsigned and without an id (https://docs.streampixel.io, webhook events): what is stored is
a hint, and the same event twice is one.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock, Instant
from spcli.ratelimit.window import Waiter, is_alive
from spcli.state.ledger import PRUNED_AT_ONCE, ROWS_KEPT, YEAR
from spcli.state.processes import is_process_gone, own_process
from spcli.state.schema import read_number, read_text, read_time

if TYPE_CHECKING:
    import sqlite3

    from spcli.state.database import Connection, Database

_ADD = (
    "INSERT OR IGNORE INTO events (event, project_id, upload_id, file_url, status, objection, timestamp, received)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_PRUNE = (
    f"DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT {PRUNED_AT_ONCE})"
    f" AND id <= (SELECT max(id) FROM events) - {ROWS_KEPT} AND received < ?"
)


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

    def __init__(self, database: "Database", clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add_events(self, events: Sequence[Event]) -> list[bool]:
        """Store events in one transaction, on the disk when this returns, and return for each whether it was new.

        Raises:
            SpcliError: `config`, when they can't be stored.
        """

        def store_events(connection: "Connection") -> list[bool]:
            added = [connection.run(_ADD, event).rowcount == 1 for event in events]
            connection.run(_PRUNE, (self._clock.wall() - YEAR,))
            return added

        return self._database.write(store_events, durable=True)

    def newest_event_id(self, upload_id: str) -> int:
        """Return a number that grows with each event stored for the build; 0 without any."""
        rows = self._database.read("SELECT max(id) AS newest FROM events WHERE upload_id = ?", (upload_id,))
        return int(rows[0]["newest"] or 0) if rows else 0

    def find_events(self, *, project_id: str | None = None, upload_id: str | None = None, limit: int = 1000) -> list[Event]:
        """Return the newest events, oldest first."""
        wanted = {name: value for name, value in (("project_id", project_id), ("upload_id", upload_id)) if value is not None}
        which = " AND ".join(f"{name} = ?" for name in wanted) or "true"
        rows = self._database.read(f"SELECT * FROM events WHERE {which} ORDER BY id DESC LIMIT ?", (*wanted.values(), limit))
        return [_event_of(row) for row in reversed(rows)]

    def refresh_listener(self) -> None:
        """Record that a listener runs in this process."""
        now = self._clock.now()
        self._database.attempt(
            lambda connection: connection.run("INSERT OR REPLACE INTO listeners VALUES (?, ?, ?)", (own_process(), *now))
        )

    def remove_listener(self) -> None:
        """Record that the listener of this process stops."""
        self._database.attempt(lambda connection: connection.run("DELETE FROM listeners WHERE owner = ?", (own_process(),)))

    def is_listener_alive(self) -> bool:
        """Return whether a listener on this machine has a recent heartbeat."""
        now = self._clock.now()
        rows = self._database.read("SELECT * FROM listeners")
        beats = [Instant(read_number(row["wall"]), read_number(row["mono"])) for row in rows if not is_process_gone(row["owner"])]
        return any(is_alive(Waiter("", beat), now) for beat in beats)


def _event_of(row: "sqlite3.Row") -> Event:
    fields = {name: read_text(row[name]) for name in Event._fields if name != "received"}
    return Event(**fields, received=read_time(row["received"]) or 0.0)
