"""The windows and their queues, stored; `ratelimit.window` decides what they mean.

A window that is not in the file is open, or, in a fresh file after a damaged one, as if a call had just been committed: with the
default timeout, for every caller. How long a window is closed must not depend on who asks.
"""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock, Instant
from spcli.errors import Interrupted
from spcli.models import Limit, iso_utc
from spcli.ratelimit.window import (
    BEAT,
    Go,
    Gone,
    Rules,
    Wait,
    Waiter,
    Window,
    add_seconds,
    ask_turn,
    give_back,
    is_alive,
    seconds_left,
    settle_window,
)
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt, insert_attempt
from spcli.state.processes import is_process_gone, own_process
from spcli.state.schema import read_instant, read_number, read_text, read_time

if TYPE_CHECKING:
    import sqlite3

    from spcli.state.database import Connection, Database

_WAITERS = "SELECT ticket, wall, mono, owner FROM waiters WHERE bucket = ? ORDER BY seq"
# A place may be taken in a file that is not the one it is from.
_ENQUEUE = (
    "INSERT INTO waiters (seq, bucket, ticket, wall, mono, owner) "
    "VALUES ((SELECT ? WHERE NOT EXISTS (SELECT 1 FROM waiters WHERE seq = ?)), ?, ?, ?, ?, ?)"
)
_BEAT = "UPDATE waiters SET wall = ?, mono = ? WHERE ticket = ?"
_WINDOW = "SELECT * FROM windows WHERE bucket = ?"
_REBORN = "SELECT wall, mono FROM meta WHERE key = 'reborn'"
DEFAULT_TIMEOUT = 60.0
"""Seconds of one write, as `--timeout` has it when it is not given."""
LIMITED_ENDPOINTS = ("upload", "distribute")


class WindowView(NamedTuple):
    """A window as it is shown: `seconds_left` 0 is open; `queued` counts waiting processes; `last_call` is Unix time."""

    seconds_left: float
    queued: int
    last_call: float | None


class Windows:
    """Read and change stored windows and their queues; `key` is an account's bucket for an endpoint.

    Args:
        window: seconds between two calls, as the settings have it.
    """

    def __init__(self, database: "Database", clock: Clock, window: float) -> None:
        self._database = database
        self._clock = clock
        self._rules = Rules(window, DEFAULT_TIMEOUT)

    def enqueue(self, key: str, place: int | None = None) -> str:
        """Join the queue of the window `key` and return the ticket.

        Args:
            place: that of an earlier ticket (`place_of`), to rejoin the queue after a turn that sent nothing.

        Raises:
            SpcliError: `config`, not_sent: the state can't be written.
        """
        ticket = uuid.uuid4().hex
        row = (place, place, key, ticket, *self._clock.now(), own_process())
        try:
            self._database.write(lambda connection: connection.run(_ENQUEUE, row))
        except Interrupted:
            self.leave_queue(key, ticket)
            raise
        return ticket

    def list_limits(self, account: Account) -> list[Limit]:
        """Return the rate limit of each limited endpoint. Raises `SpcliError` (config) if it can't be read."""
        self._database.require(_WINDOW, ("",))
        now, limits = self._clock.wall(), []
        for endpoint in LIMITED_ENDPOINTS:
            view = self.view_window(account.bucket(endpoint))
            allowed = iso_utc(now + view.seconds_left) if view.seconds_left > 0 else None
            last = None if view.last_call is None else iso_utc(view.last_call)
            limits.append(Limit(endpoint, allowed, round(view.seconds_left, 1), view.queued, last))
        return limits

    def place_of(self, ticket: str) -> int | None:
        """Return the place of a ticket in the queue, None if it is not there; earlier waiters have smaller ones."""
        rows = self._database.read("SELECT seq FROM waiters WHERE ticket = ?", (ticket,))
        return rows[0]["seq"] if rows else None

    def poll(
        self, key: str, ticket: str, *, rules: Rules, attempt: NewAttempt | None = None, is_ready: bool = True
    ) -> tuple[Go | Gone | Wait, int | None]:
        """Ask for the turn, and return the id of the attempt with it.

        On `Go` the window is committed and `attempt` is in the ledger, both on the disk.

        Args:
            is_ready: False for a waiter that must read the build list first: it gets a short `Wait` instead of the turn.

        Raises:
            SpcliError: `config`, not_sent: the state can't be written, so nothing may be sent.
        """

        def ask_and_commit(connection: "Connection") -> tuple[Go | Gone | Wait, int | None]:
            now = self._clock.now()
            queue = _purge_queue(connection, key)
            step = ask_turn(self._find_window(connection, key), queue, ticket=ticket, now=now, rules=rules)
            if isinstance(step.turn, Go) and not is_ready:
                return Wait(0, 0.0, 0.0, min(0.25, rules.window / 10), sending=False), None
            _store_queue(connection, queue, step.queue)
            _store_window(connection, key, step.window)
            if not isinstance(step.turn, Go) or attempt is None:
                return step.turn, None
            return step.turn, insert_attempt(connection, ticket, attempt, now, rules.timeout)

        waiting = self._ask_without_writing(key, ticket, rules)
        return self._database.write(ask_and_commit, durable=True) if waiting is None else (waiting, None)

    def _ask_without_writing(self, key: str, ticket: str, rules: Rules) -> Wait | None:
        """Return the answer if it is plainly "wait": a dozen waiters that only read leave the disk to the one that sends."""
        now = self._clock.now()
        # The window first: a head that commits between the two readings is then still counted as waiting, or its window as open.
        windows = self._database.read(_WINDOW, (key,))
        rows = self._database.read(_WAITERS, (key,))
        mine = next((row for row in rows if row["ticket"] == ticket), None)
        if not windows or mine is None or any(is_process_gone(row["owner"]) for row in rows):
            return None
        window, queue = _window_of(windows[0]), _read_waiters(rows)
        step = ask_turn(window, queue, ticket=ticket, now=now, rules=rules)
        is_changed = step.window != window or len(step.queue) != len(queue)
        if is_changed or not isinstance(step.turn, Wait):
            return None
        if not 0 <= now.mono - read_number(mine["mono"]) < BEAT / 2:
            self.refresh_heartbeat(ticket)
        return step.turn

    def refresh_heartbeat(self, ticket: str) -> None:
        """Refresh this waiter's heartbeat without polling."""
        self._database.attempt(lambda connection: connection.run(_BEAT, (*self._clock.now(), ticket)))

    def settle(self, key: str, ticket: str, *, is_over: bool, rules: Rules, closed_for: float = 0.0) -> None:
        """End a committed call. If the state can't be written, print a note: the commit was pessimistic."""

        def settle_stored(connection: "Connection") -> None:
            window, now = self._find_window(connection, key), self._clock.now()
            settled = settle_window(window, ticket, is_over=is_over, now=now, rules=rules, closed_for=closed_for)
            _store_window(connection, key, settled)

        # The service may ask for longer than was committed: other processes must know, and after a power cut, too.
        self._database.attempt(settle_stored, durable=closed_for > 0, waits=closed_for > 0)

    def leave_queue(self, key: str, ticket: str) -> None:
        """Leave the queue before a byte has left; a window that was committed is given back, and its attempt with it."""

        def remove_waiter(connection: "Connection") -> None:
            connection.run("DELETE FROM waiters WHERE ticket = ?", (ticket,))
            row = connection.run(_WINDOW, (key,)).fetchone()
            if row is not None and row["holder"] == ticket:
                _store_window(connection, key, give_back(_window_of(row), ticket))
                connection.run("UPDATE ledger SET phase = 'unsent' WHERE ticket = ? AND phase = 'sending'", (ticket,))

        self._database.attempt(remove_waiter)

    def view_window(self, key: str) -> WindowView:
        """Return the window. If it can't be read, show it closed for a whole window: it may have just been used."""
        now = self._clock.now()
        rows = self._database.read_any(_WINDOW, (key,))
        if rows is None:
            return WindowView(self._rules.window, 0, None)
        waiters = _read_waiters([row for row in self._database.read(_WAITERS, (key,)) if not is_process_gone(row["owner"])])
        window = _window_of(rows[0]) if rows else self._unknown_window(self._database.read(_REBORN))
        queued = sum(is_alive(one, now) for one in waiters)
        return WindowView(seconds_left(window, now), queued, window.last_call)

    def reset_limits(self, account: Account) -> None:
        """Open the account's windows: the next calls go out at once. Raises `SpcliError` (config)."""
        for endpoint in LIMITED_ENDPOINTS:
            self.reset_window(account.bucket(endpoint))

    def reset_window(self, key: str) -> None:
        """Open the window: the next call goes out at once. Raises `SpcliError` (config) if the state can't be written."""
        self._database.write(lambda connection: _store_window(connection, key, Window()), durable=True)

    def _find_window(self, connection: "Connection", key: str) -> Window:
        row = connection.run(_WINDOW, (key,)).fetchone()
        return self._unknown_window(connection.run(_REBORN).fetchall()) if row is None else _window_of(row)

    def _unknown_window(self, reborn: Sequence["sqlite3.Row"]) -> Window:
        """Return a window that is not in the file: open, or as if a call had been committed when the file was made."""
        moment = read_instant(reborn[0]["wall"], reborn[0]["mono"]) if reborn else None
        if moment is None:
            return Window()
        return Window(add_seconds(moment, self._rules.bound), self._rules.bound)


def _store_window(connection: "Connection", key: str, window: Window) -> None:
    before = window.before or Window()
    connection.run(
        "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key,
            *(window.not_before or (None, None)),
            window.bound,
            window.holder,
            window.last_call,
            *(before.not_before or (None, None)),
            before.bound,
            before.last_call,
        ),
    )


def _purge_queue(connection: "Connection", key: str) -> tuple[Waiter, ...]:
    """Return the waiters in order of arrival, and remove those whose process is provably gone."""
    rows = connection.run(_WAITERS, (key,)).fetchall()
    gone = [row["ticket"] for row in rows if is_process_gone(row["owner"])]
    for ticket in gone:
        connection.run("DELETE FROM waiters WHERE ticket = ?", (ticket,))
    return _read_waiters([row for row in rows if row["ticket"] not in gone])


def _store_queue(connection: "Connection", before: Sequence[Waiter], after: Sequence[Waiter]) -> None:
    kept = {waiter.ticket: waiter for waiter in after}
    for waiter in before:
        if waiter.ticket not in kept:
            connection.run("DELETE FROM waiters WHERE ticket = ?", (waiter.ticket,))
        elif kept[waiter.ticket].beat != waiter.beat:
            beat = kept[waiter.ticket].beat
            connection.run(_BEAT, (*beat, waiter.ticket))


def _read_waiters(rows: Sequence["sqlite3.Row"]) -> tuple[Waiter, ...]:
    return tuple(Waiter(str(row["ticket"]), Instant(read_number(row["wall"]), read_number(row["mono"]))) for row in rows)


def _window_of(row: "sqlite3.Row") -> Window:
    before = Window(
        read_instant(row["before_wall"], row["before_mono"]),
        read_number(row["before_bound"]),
        None,
        read_time(row["before_last_call"]),
    )
    holder = read_text(row["holder"])
    opening, bound = read_instant(row["wall"], row["mono"]), read_number(row["bound"])
    return Window(opening, bound, holder, read_time(row["last_call"]), before if holder else None)
