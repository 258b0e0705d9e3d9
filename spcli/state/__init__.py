"""What this machine remembers: the windows and who waits for them, every write sent from here, received events, names for TAB.

One SQLite file shared by all processes of the user. It holds no key and no URL query, and the user id only hashed. Instants are
pairs of wall and monotonic time (`clock.Instant`); what they mean is decided in `policy`.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from spcli import policy
from spcli.clock import Clock, Instant
from spcli.policy import Ending, Go, Gone, Rules, Wait, Waiter, Window
from spcli.state.database import Database
from spcli.state.ledger import Attempt, Ledger, NewAttempt, account
from spcli.state.owner import is_gone, owner
from spcli.state.received import Event, Received

__all__ = ["Attempt", "Event", "NewAttempt", "State", "WindowView", "account", "bucket"]

NAMES_KEPT = 20_000


class WindowView(NamedTuple):
    """A window for people: `seconds_left` 0 is open; `queued` counts waiting processes; `last_call` is Unix time."""

    seconds_left: float
    queued: int
    last_call: float | None


def bucket(base_url: str, user_id: str, endpoint: str) -> str:
    """The window's key. Not the API key: a new one must not open a fresh window."""
    import hashlib

    return hashlib.sha256("\0".join((base_url, user_id, endpoint)).encode("utf-8", "surrogatepass")).hexdigest()


class State(Ledger, Received):
    """The state of one user on this machine; nothing is opened before it is needed.

    Args:
        folder: where `state.db` lies; a private folder under the temp dir stands in where it can't be used.
        note: receives a line, once, about a damaged file or another folder.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, environ: Mapping[str, str], note: Callable[[str], None], patience: float = 5.0
    ) -> None:
        database = Database(folder, clock=clock, environ=environ, note=note, patience=patience)
        super().__init__(database, clock)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- the window ----------------------------------------------------------------------------------------------------

    def enqueue(self, key: str) -> str:
        """Queue for the window `key`; the ticket. Raises `SpcliError` (config, not_sent) when the state can't be written."""
        import uuid

        ticket, now = uuid.uuid4().hex, self._clock.now()
        with self._database.writing() as connection:
            connection.execute(
                "INSERT INTO waiters (bucket, ticket, wall, mono, owner) VALUES (?, ?, ?, ?, ?)", (key, ticket, *now, owner())
            )
        return ticket

    def poll(
        self, key: str, ticket: str, *, rules: Rules, attempt: NewAttempt | None = None
    ) -> tuple[Go | Gone | Wait, int | None]:
        """Ask for the turn; on `Go` the window is committed and `attempt` is in the ledger, both on the disk; its id is given.

        Raises:
            SpcliError: `config`, not_sent: the state can't be written, so nothing may be sent.
        """
        turn = self._look(key, ticket, rules)
        if turn is not None:
            return turn, None
        with self._database.writing(durable=True) as connection:
            now = self._clock.now()
            queue = self._queue(connection, key)
            step = policy.poll(self._window(connection, key, rules), queue, ticket=ticket, now=now, rules=rules)
            self._store_queue(connection, queue, step.queue)
            self._store_window(connection, key, step.window)
            attempt_id = None
            if isinstance(step.turn, Go) and attempt is not None:
                attempt_id = self.insert(connection, ticket, attempt, now, rules.timeout)
        return step.turn, attempt_id

    def _look(self, key: str, ticket: str, rules: Rules) -> Wait | None:
        """Whether the answer is plainly "wait": polling by reading alone, as a dozen waiters must not hammer the disk."""
        now = self._clock.now()
        rows = self._database.read("SELECT ticket, wall, mono, owner FROM waiters WHERE bucket = ? ORDER BY seq", (key,))
        mine = next((row for row in rows if row["ticket"] == ticket), None)
        if mine is None or not -1 < now.mono - _number(mine["mono"]) < policy.BEAT:
            return None
        queue = tuple(_waiter(row) for row in rows)
        if any(not policy.is_alive(waiter, now) for waiter in queue) or is_gone(rows[0]["owner"]):
            return None
        found = self._database.read("SELECT * FROM windows WHERE bucket = ?", (key,))
        if not found:
            return None
        step = policy.poll(_window_of(found[0]), queue, ticket=ticket, now=now, rules=rules)
        return step.turn if isinstance(step.turn, Wait) else None

    def settle(self, key: str, ticket: str, how: Ending, *, rules: Rules, hint: float = 0.0) -> None:
        """End a committed call (`policy.settle`). A state that can't be written is only noted: the commit was pessimistic."""

        def work(connection: sqlite3.Connection) -> None:
            now = self._clock.now()
            window = self._window(connection, key, rules)
            self._store_window(connection, key, policy.settle(window, ticket, how, now=now, rules=rules, hint=hint))

        self._database.attempt(work)

    def cancel(self, key: str, ticket: str) -> None:
        """Leave the queue before a byte has left; a window that was committed is given back, and its attempt with it."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM waiters WHERE ticket = ?", (ticket,))
            row = connection.execute("SELECT * FROM windows WHERE bucket = ?", (key,)).fetchone()
            if row is not None and row["holder"] == ticket:
                rules = Rules(policy.WINDOW, 0)
                window = policy.settle(_window_of(row), ticket, "unsent", now=self._clock.now(), rules=rules)
                self._store_window(connection, key, window)
                connection.execute("UPDATE ledger SET phase = 'unsent' WHERE ticket = ? AND phase = 'sending'", (ticket,))

        self._database.attempt(work)

    def window(self, key: str) -> WindowView:
        """The window as it stands; open where nothing is known."""
        now = self._clock.now()
        rows = self._database.read("SELECT * FROM windows WHERE bucket = ?", (key,))
        waiters = self._database.read("SELECT ticket, wall, mono, owner FROM waiters WHERE bucket = ?", (key,))
        queued = sum(policy.is_alive(_waiter(row), now) and not is_gone(row["owner"]) for row in waiters)
        reborn = self._database.read("SELECT wall, mono FROM meta WHERE key = 'reborn'")
        if rows:
            window = _window_of(rows[0])
        else:
            window = _reborn_window(reborn[0] if reborn else None, Rules(policy.WINDOW, policy.MAX_TIMEOUT / 10))
        return WindowView(policy.seconds_left(window, now), queued, window.last_call)

    def reset(self, key: str) -> None:
        """Forget the window: the next call goes out at once. Raises `SpcliError` (config) when the state can't be written."""
        with self._database.writing(durable=True) as connection:
            self._store_window(connection, key, Window())

    def _window(self, connection: sqlite3.Connection, key: str, rules: Rules) -> Window:
        row = connection.execute("SELECT * FROM windows WHERE bucket = ?", (key,)).fetchone()
        if row is not None:
            return _window_of(row)
        reborn = connection.execute("SELECT wall, mono FROM meta WHERE key = 'reborn'").fetchone()
        return _reborn_window(reborn, rules)

    def _store_window(self, connection: sqlite3.Connection, key: str, window: Window) -> None:
        before = window.before
        connection.execute(
            "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key,
                *(window.not_before or (None, None)),
                window.bound,
                window.holder,
                window.last_call,
                *((before.not_before if before else None) or (None, None)),
                before.bound if before else None,
                before.last_call if before else None,
            ),
        )

    def _queue(self, connection: sqlite3.Connection, key: str) -> tuple[Waiter, ...]:
        """The waiters in order of arrival, without those whose process is provably gone."""
        rows = connection.execute(
            "SELECT ticket, wall, mono, owner FROM waiters WHERE bucket = ? ORDER BY seq", (key,)
        ).fetchall()
        for row in rows:
            if is_gone(row["owner"]):
                connection.execute("DELETE FROM waiters WHERE ticket = ?", (row["ticket"],))
        return tuple(_waiter(row) for row in rows if not is_gone(row["owner"]))

    def _store_queue(self, connection: sqlite3.Connection, before: Sequence[Waiter], after: Sequence[Waiter]) -> None:
        kept = {waiter.ticket: waiter for waiter in after}
        for waiter in before:
            if waiter.ticket not in kept:
                connection.execute("DELETE FROM waiters WHERE ticket = ?", (waiter.ticket,))
            elif kept[waiter.ticket].beat != waiter.beat:
                connection.execute(
                    "UPDATE waiters SET wall = ?, mono = ? WHERE ticket = ?", (*kept[waiter.ticket].beat, waiter.ticket)
                )

    # -- names for TAB -------------------------------------------------------------------------------------------------

    def remember_projects(self, origin: str, user_id: str, projects: Sequence[tuple[str, str]]) -> None:
        """Keep ids and names of the account's projects for completion; a state that can't be written is noted at most."""
        self._remember("project", account(origin, user_id), projects)

    def remember_uploads(self, origin: str, user_id: str, project_id: str, uploads: Sequence[tuple[str, str]]) -> None:
        """Keep recent upload ids with their file names for completion."""
        self._remember("upload", account(origin, user_id), uploads[:50])

    def _remember(self, kind: str, who: str, names: Sequence[tuple[str, str]]) -> None:
        """Write only what is new: reading a list must not cost a commit each time."""
        known = {
            (row["id"], row["name"])
            for row in self._database.read("SELECT id, name FROM names WHERE kind = ? AND account = ?", (kind, who))
        }
        fresh = [pair for pair in names[:NAMES_KEPT] if pair not in known]
        if not fresh:
            return
        seen = self._clock.wall()

        def work(connection: sqlite3.Connection) -> None:
            rows = [(kind, who, id_, name, seen) for id_, name in fresh]
            connection.executemany("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)", rows)

        self._database.attempt(work)


def _number(value: object) -> float:
    """A stored number; anything else is no number, which `policy` takes for a damaged value."""
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _instant(wall: object, mono: object) -> Instant | None:
    return None if wall is None and mono is None else Instant(_number(wall), _number(mono))


def _waiter(row: sqlite3.Row) -> Waiter:
    return Waiter(str(row["ticket"]), Instant(_number(row["wall"]), _number(row["mono"])))


def _optional(value: object) -> float | None:
    number = _number(value)
    return number if abs(number) < 1e12 else None


def _window_of(row: sqlite3.Row) -> Window:
    before = Window(
        _instant(row["before_wall"], row["before_mono"]), _number(row["before_bound"]), None, _optional(row["before_last_call"])
    )
    holder = row["holder"] if isinstance(row["holder"], str) else None
    not_before = _instant(row["wall"], row["mono"])
    return Window(not_before, _number(row["bound"]), holder, _optional(row["last_call"]), before if holder else None)


def _reborn_window(row: sqlite3.Row | None, rules: Rules) -> Window:
    """A window nobody knows: open, or in a fresh file after a damaged one as if a call had just been committed."""
    moment = None if row is None else _instant(row["wall"], row["mono"])
    if moment is None:
        return Window()
    bound = rules.timeout + rules.window
    return Window(policy.later(moment, bound), bound)
