"""The history of writes: one row for every write sent from here, durable before its first byte leaves.

A later run reads here whether an upload's outcome is unknown. It is the only build history where the service has none.
"""

import json
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock, Instant
from spcli.models import normalize_id
from spcli.ratelimit.window import BEAT_LIMIT, MAX_TIMEOUT, add_seconds
from spcli.state.account import Account
from spcli.state.processes import is_process_gone, is_process_running, own_process
from spcli.state.schema import read_instant, read_number, read_text, read_time

if TYPE_CHECKING:
    import sqlite3

    from spcli.state.database import Connection, Database

YEAR = 366 * 86400.0
PRUNED_AT_ONCE = 50
"""Rows that each write deletes at most: more than it adds, and too few to make the call that waits for it late."""
ROWS_KEPT = 1_000
"""Newest rows that are never deleted: a wall clock that is ahead for a moment must not cost the whole history."""
MESSAGE_KEPT = 500
LIVE_LIMIT = MAX_TIMEOUT + 4 * BEAT_LIMIT
"""Seconds that a process handles a call at most: a deadline beyond them is a damaged value or a stepped clock's."""
OPEN_PHASES = "('sending', 'settling', 'unclear')"
"""Phases of a write whose outcome is unknown. Such a row is never deleted, or the next run would send once more."""
_PRUNE = (
    "DELETE FROM ledger WHERE id IN (SELECT id FROM ledger WHERE started < ?"
    f" AND id <= (SELECT max(id) FROM ledger) - {ROWS_KEPT} AND phase NOT IN {OPEN_PHASES} LIMIT {PRUNED_AT_ONCE})"
)
KEPT = ("unclear", "absent")
"""Phases in which the columns `live_wall` and `live_mono` hold the call's end; before, they hold its process's deadline."""
SETTLING = 4 * BEAT_LIMIT
"""Seconds that a process looks for evidence at most."""


class WriteNote(NamedTuple):
    """Who sent a write and why, and the build that was live before a release; stored as a JSON list."""

    actor: str | None = None
    text: str | None = None
    previous_upload_id: str | None = None


class NewAttempt(NamedTuple):
    """A write about to be sent.

    `url` is bare, `digest` the fingerprint of the whole URL; `baseline` holds the ids that were in the build list (of a release:
    those in progress), `None` where it could not be read.
    """

    action: str
    account: Account
    project_id: str
    url: str | None
    digest: str | None
    upload_id: str | None
    auto_release: bool | None
    baseline: tuple[str, ...] | None
    note: WriteNote


class Attempt(NamedTuple):
    """A write that was sent or is being sent.

    `phase`: `sending`, `settling` (its process looks for evidence), `unclear` (given up), `done`, `refused`, `absent` (proven to
    have done nothing), `unsent`, `superseded` (unclear, sent again on purpose). `accepted` is a 2xx without an id. `is_live` says
    that its process still handles it. `state` is the build's state as last seen. Times are Unix seconds; `server_wall` is the
    call's begin by the server's clock. `over` is when the call had ended for certain, while its outcome is open or was absence.
    """

    id: int
    action: str
    project_id: str
    url: str | None
    digest: str | None
    upload_id: str | None
    auto_release: bool | None
    baseline: tuple[str, ...] | None
    note: WriteNote
    phase: str
    message: str | None
    started: float
    ended: float | None
    server_wall: float | None
    accepted: bool
    state: str | None
    is_live: bool
    over: Instant | None = None

    def age(self, now: Instant) -> float:
        """Return the seconds since the call was over, by the clock that has moved less: a step of the other must not age it."""
        over = self.over or Instant(self.ended or self.started, math.nan)
        return min((age for age in (now.wall - over.wall, now.mono - over.mono) if age >= 0), default=0.0)


def insert_attempt(connection: "Connection", ticket: str, attempt: NewAttempt, now: Instant, timeout: float) -> int:
    """Insert the row of a call that is about to be sent, in the transaction that commits its window; return its id."""
    baseline = None if attempt.baseline is None else json.dumps(attempt.baseline)
    live = now.wall + timeout + BEAT_LIMIT, now.mono + timeout + BEAT_LIMIT
    # A raw call sends the IDs as they are typed; the run after it compares them.
    project_id, upload_id = normalize_id(attempt.project_id), attempt.upload_id and normalize_id(attempt.upload_id)
    row = connection.run(
        "INSERT INTO ledger (ticket, action, origin, account, project_id, url, digest, upload_id, auto_release, baseline, note,"
        " phase, started, live_wall, live_mono, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ticket, attempt.action, attempt.account.origin, attempt.account.user, project_id, attempt.url, attempt.digest,
            upload_id, attempt.auto_release, baseline, json.dumps(attempt.note), "sending", now.wall, *live, own_process(),
        ),
    )  # fmt: skip
    connection.run(_PRUNE, (now.wall - YEAR,))
    return int(row.lastrowid or 0)


class Ledger:
    """Read and write the rows; reads return nothing where the state can't be read."""

    def __init__(self, database: "Database", clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        attempt_id: int,
        phase: str,
        *,
        upload_id: str | None = None,
        message: str | None = None,
        server_wall: float | None = None,
        accepted: bool = False,
        anew: NewAttempt | None = None,
    ) -> int:
        """Store the outcome of a write and return its row's id.

        If the state can't be written, print a note: the row stays open, which is the safe side.

        Args:
            anew: makes another row where this one is gone, with a damaged file that another process set aside.
        """
        now = self._clock.now()
        live = add_seconds(now, SETTLING) if phase == "settling" else now if phase in KEPT else (None, None)
        # A service that repeats the URL it objects to would bring its signature in here.
        words = message and re.sub(r"[?#]\S+", "?…", message)[:MESSAGE_KEPT]

        def update_row(connection: "Connection", row_id: int) -> bool:
            done = connection.run(
                "UPDATE ledger SET phase = ?, upload_id = coalesce(?, upload_id), message = coalesce(?, message),"
                " server_wall = coalesce(?, server_wall), accepted = max(accepted, ?), ended = coalesce(ended, ?),"
                f" live_wall = {_ended_sql('live_wall', phase)}, live_mono = {_ended_sql('live_mono', phase)} WHERE id = ?",
                (phase, upload_id, words, server_wall, accepted, now.wall, *live, row_id),
            )
            return done.rowcount > 0

        def store_outcome(connection: "Connection") -> int:
            row_id = attempt_id
            if not update_row(connection, row_id) and anew is not None:
                row_id = insert_attempt(connection, "", anew, now, 0.0)
                update_row(connection, row_id)
            return row_id

        # A row that stays open makes the next run doubt: worth waiting for a file in use.
        return self._database.attempt(store_outcome, durable=True, waits=True) or attempt_id

    def find_unsettled(
        self,
        action: str,
        account: Account,
        project_id: str,
        *,
        url: str | None = None,
        upload_id: str | None = None,
        is_live: bool = False,
    ) -> list[Attempt]:
        """Return writes of unknown outcome that no live process handles (or those that one does), newest first.

        Uploads match by bare URL.

        Raises:
            SpcliError: `config`, not_sent: the state can't be read, so nothing may be sent.
        """
        column, value, index = ("url", url, "file") if action == "upload" else ("upload_id", upload_id, "upload")
        # The index is named: for the sake of the order SQLite would otherwise go through all that the project ever had.
        rows = self._database.require(
            f"SELECT * FROM ledger INDEXED BY ledger_of_{index}"
            f" WHERE account = ? AND project_id = ? AND {column} = ? AND phase IN {OPEN_PHASES}"
            " AND action = ? AND origin = ? ORDER BY id DESC",
            (account.user, project_id, value, action, account.origin),
        )
        return [attempt for row in rows if (attempt := self._attempt_of(row)).is_live == is_live]

    def find_open_releases(self, account: Account, project_id: str) -> list[Attempt]:
        """Return the project's releases of unknown outcome that no live process handles, newest first."""
        rows = self._database.read(
            f"SELECT * FROM ledger WHERE account = ? AND project_id = ? AND phase IN {OPEN_PHASES}"
            " AND action <> 'upload' AND origin = ? ORDER BY id DESC",
            (account.user, project_id, account.origin),
        )
        return [attempt for row in rows if not (attempt := self._attempt_of(row)).is_live]

    def find_recent_upload(self, account: Account, project_id: str, url: str, within: float) -> Attempt | None:
        """Return the newest registered upload of that bare URL in the last `within` seconds."""
        now = self._clock.wall()
        rows = self._database.read(
            "SELECT * FROM ledger WHERE account = ? AND project_id = ? AND url = ? AND phase = 'done' AND action = 'upload'"
            " AND origin = ? AND started BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
            (account.user, project_id, url, account.origin, now - within, now),
        )
        return self._attempt_of(rows[0]) if rows else None

    def find_absent_uploads(self, account: Account, project_id: str, url: str, within: float) -> list[Attempt]:
        """Return uploads of that bare URL that were found to have done nothing in the last `within` seconds, newest first.

        Raises:
            SpcliError: `config`, not_sent: the state can't be read, so nothing may be sent.
        """
        rows = self._database.require(
            "SELECT * FROM ledger WHERE account = ? AND project_id = ? AND url = ? AND phase = 'absent' AND action = 'upload'"
            " AND origin = ? ORDER BY id DESC LIMIT 20",
            (account.user, project_id, url, account.origin),
        )
        return [attempt for row in rows if (attempt := self._attempt_of(row)).age(self._clock.now()) <= within]

    def recorded_uploads(self, account: Account, project_id: str) -> dict[str, str | None]:
        """Return the upload IDs recorded for attempts, each with its bare URL: no other attempt made these builds."""
        rows = self._database.read(
            "SELECT upload_id, url FROM ledger WHERE account = ? AND project_id = ? AND origin = ?"
            " AND action = 'upload' AND upload_id IS NOT NULL",
            (account.user, project_id, account.origin),
        )
        return {str(row["upload_id"]): read_text(row["url"]) for row in rows}

    def find_uploads(self, account: Account, project_id: str, *, limit: int) -> list[Attempt]:
        """Return registered uploads, newest first."""
        return self._find_done(account, project_id, "action = 'upload'", limit)

    def find_releases(self, account: Account, project_id: str, *, limit: int) -> list[Attempt]:
        """Return what was released from here, newest first: distributes, rollbacks, and uploads that release themselves."""
        return self._find_done(account, project_id, "(action <> 'upload' OR auto_release = 1)", limit)

    def _find_done(self, account: Account, project_id: str, which: str, limit: int) -> list[Attempt]:
        rows = self._database.read(
            f"SELECT * FROM ledger WHERE account = ? AND project_id = ? AND origin = ? AND phase = 'done' AND {which}"
            " ORDER BY id DESC LIMIT ?",
            (account.user, project_id, account.origin, limit),
        )
        return [self._attempt_of(row) for row in rows]

    def find_writes(self, account: Account, *, project_id: str | None, limit: int | None) -> list[Attempt]:
        """Return every write of the account from here, newest first; of one project, and at most `limit`, where given.

        Raises:
            SpcliError: `config`: the state can't be read.
        """
        which, values = ("", ()) if project_id is None else (" AND project_id = ?", (project_id,))
        rows = self._database.require(
            f"SELECT * FROM ledger WHERE account = ? AND origin = ?{which} ORDER BY id DESC LIMIT ?",
            (account.user, account.origin, *values, -1 if limit is None else limit),
        )
        return [self._attempt_of(row) for row in rows]

    def record_state(self, upload_id: str, state: str) -> None:
        """Remember a build's last seen state, for services without a build list."""

        def store_state(connection: "Connection") -> None:
            connection.run("UPDATE ledger SET state = ? WHERE upload_id = ?", (state, upload_id))

        if self._database.read("SELECT 1 FROM ledger WHERE upload_id = ? AND state IS NOT ? LIMIT 1", (upload_id, state)):
            self._database.attempt(store_state)

    def _attempt_of(self, row: "sqlite3.Row") -> Attempt:
        def text(name: str) -> str | None:
            return read_text(row[name])

        return Attempt(
            row["id"], text("action") or "", text("project_id") or "", text("url"), text("digest"), text("upload_id"),
            None if row["auto_release"] is None else bool(row["auto_release"]), _parse_ids(text("baseline")),
            _parse_note(text("note")), text("phase") or "unclear", text("message"), read_time(row["started"]) or 0.0,
            read_time(row["ended"]), read_time(row["server_wall"]), bool(row["accepted"]), text("state"), self._is_live(row),
            _ended_at(row),
        )  # fmt: skip

    def _is_live(self, row: "sqlite3.Row") -> bool:
        """Return whether the process that sent it still handles it: looked up where that is possible, else by its deadline."""
        if row["phase"] not in ("sending", "settling") or is_process_gone(row["owner"]):
            return False
        if is_process_running(row["owner"]):
            return True
        now = self._clock.now()
        left = (read_number(row["live_wall"]) - now.wall, read_number(row["live_mono"]) - now.mono)
        return any(0 < one <= LIVE_LIMIT for one in left)


def _ended_sql(column: str, phase: str) -> str:
    """Return SQL for a reading's new value: once it says when the call was over, it stays as it is."""
    if phase not in KEPT:
        return "?"
    ended = f"WHEN phase = 'settling' THEN {column} - {SETTLING}"
    return f"CASE {ended} WHEN phase = 'sending' OR {column} IS NULL THEN ? ELSE {column} END"


def _ended_at(row: "sqlite3.Row") -> Instant | None:
    """Return when the call had certainly ended: one that its process did not settle, at its own deadline."""
    late = {"sending": BEAT_LIMIT, "settling": SETTLING}.get(row["phase"], 0.0)
    live = read_instant(row["live_wall"], row["live_mono"])
    return None if live is None else Instant(live.wall - late, live.mono - late)


def _parse_ids(baseline: str | None) -> tuple[str, ...] | None:
    try:
        ids = None if baseline is None else json.loads(baseline)
    except (ValueError, RecursionError):
        return None
    return tuple(map(str, ids)) if isinstance(ids, list) else None


def _parse_note(stored: str | None) -> WriteNote:
    """Return a stored note; version 0.1.0 stored plain text."""
    try:
        values = json.loads(stored or "[]")
    except (ValueError, RecursionError):
        return WriteNote(text=stored)
    if not isinstance(values, list) or len(values) > 3:
        return WriteNote(text=stored)
    return WriteNote(*map(read_text, values))
