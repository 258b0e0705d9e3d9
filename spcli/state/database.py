"""The SQLite file as a thing that can be read and written, or that is damaged, full or in use.

Nothing here knows what is stored; `schema` does. SQLite's own busy handler would hold Ctrl-C back, so waiting for a lock happens
in slices of a tenth of a second. No transaction is ever open while the program sleeps or talks to the network.

A state that exists and can't be used is never replaced by an empty one elsewhere: that would know nothing of the windows, and the
next call would go out too early.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeVar

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.files import UnsafeFile, assert_private_folder, identify, make_private_file, replace_patiently
from spcli.state.connection import (
    Connection,
    clean_text,
    describe_error,
    is_damage,
    may_pass,
    result_code,
    roll_back,
    sqlite_error,
)
from spcli.state.place import (
    JOURNALS,
    PREFIX,
    access_hint,
    assert_private_database,
    config_error,
    find_spare_folder,
    folder_hint,
    follows_damage,
    has_state,
    prepare_folder,
    remove_journals,
    set_aside,
)
from spcli.state.reader import decode_text, open_read_only
from spcli.state.schema import SCHEMA_VERSION, create_schema, read_kind, record_loss

SLICE = 0.1
PATIENCE = 5.0
T = TypeVar("T")


class Database:
    """One process's way to the file; nothing is opened before it is needed."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        note: Callable[[str], None],
        patience: float = PATIENCE,
    ) -> None:
        self._wanted = folder
        self._clock = clock
        self._environ = environ
        self._note = note
        self._patience = patience
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._noted: set[str] = set()
        self._has_waited = False
        self.path = folder / "state.db"

    def close(self) -> None:
        """Close the file, if it was opened."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def write(self, work: Callable[[Connection], T], *, durable: bool = False) -> T:
        """Run `work` in one transaction; after damage, once more on a fresh file. A file in use is waited for.

        Args:
            durable: it is on the disk when this returns.

        Raises:
            SpcliError: `config`, not_sent: the file can't be written.
        """
        self._has_waited = False
        return self._use_patiently(lambda connection: self._run_transaction(connection, work, durable), self._patience)

    def attempt(self, work: Callable[[Connection], T], *, durable: bool = False, waits: bool = False) -> T | None:
        """Write optional data. On failure, print one note and return None.

        Args:
            durable: it is on the disk when this returns.
            waits: a file in use is waited for.
        """
        patience = self._patience if waits else 0.0
        try:
            return self._use_patiently(lambda connection: self._run_transaction(connection, work, durable), patience)
        except SpcliError as problem:
            self.note_once(problem.message)
            return None

    def require(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return rows that a decision depends on. A file in use is waited for.

        Raises:
            SpcliError: `config`, not_sent: the file can't be read.
        """
        rows = self.read_any(sql, values)
        return self._fetch_rows(sql, values, 0.0 if self._has_waited else self._patience) if rows is None else rows

    def read(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return rows; none, and one note, if the file can't be read: then nothing is known."""
        return self.read_any(sql, values) or []

    def note_once(self, text: str) -> None:
        """Print a note, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def read_any(self, sql: str, values: Sequence[object]) -> list[sqlite3.Row] | None:
        """Return rows; None, and one note, if the file can't be read. A file that can be read but not written is noted, too."""
        try:
            return self._fetch_rows(sql, values, 0.0)
        except SpcliError as problem:
            self.note_once(problem.message)
        with suppress(sqlite3.Error, OSError):
            assert_private_database(self.path)
            connection = open_read_only(str(self.path))
            connection.row_factory = sqlite3.Row
            try:
                if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                    return connection.execute(sql, [clean_text(value) for value in values]).fetchall()
            finally:
                connection.close()
        return None

    def _fetch_rows(self, sql: str, values: Sequence[object], patience: float) -> list[sqlite3.Row]:
        return self._use_patiently(lambda connection: self._run_patiently(connection, sql, values).fetchall(), patience)

    def _use_patiently(self, operation: Callable[[Connection], T], patience: float) -> T:
        """Run `operation`, again for `patience` seconds while the file is in use."""
        waited = 0.0
        while True:
            try:
                result = self._use_once(operation)
            except (sqlite3.Error, OSError) as error:
                if waited >= patience or not may_pass(error):
                    self._has_waited = self._has_waited or waited > 0
                    raise self._in_use_error(error) from None
            else:
                self._has_waited = False
                return result
            self.close()
            waited += SLICE
            self._clock.sleep(SLICE)

    def _use_once(self, operation: Callable[[Connection], T]) -> T:
        """Run `operation`; a damaged file is set aside, and a fresh one used instead."""
        connection = self._open_current()
        try:
            return operation(connection)
        except sqlite3.Error as error:
            is_moved = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED
            if not is_moved and not is_damage(error):
                raise
        self.close()
        self._connection = connection = self._open_somewhere() if is_moved else self._make_fresh(self._identity)
        return operation(connection)

    def _run_transaction(self, connection: Connection, work: Callable[[Connection], T], durable: bool) -> T:
        # A signal may have come between the beginning or the end of a transaction and the lines that see to it.
        roll_back(connection)
        try:
            self._run_patiently(connection, f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._run_patiently(connection, "BEGIN IMMEDIATE")
            if identify(self.path) != self._identity:
                # Another process put a fresh file there while this one waited for its lock.
                raise sqlite_error("the state file was moved", sqlite3.SQLITE_READONLY_DBMOVED)
            result = work(connection)
            self._run_patiently(connection, "COMMIT")
        except BaseException:
            roll_back(connection)
            raise
        return result

    def _run_patiently(self, connection: Connection, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._wait_for_lock(lambda: connection.run(sql, values))

    def _wait_for_lock(self, operation: Callable[[], T]) -> T:
        """Run `operation`, waiting for a lock in slices. After one vain wait, reads of the same command do not wait again."""
        waited, patience = 0.0, 0.0 if self._has_waited else self._patience
        while True:
            try:
                return operation()
            except sqlite3.OperationalError as error:
                if result_code(error) != sqlite3.SQLITE_BUSY or waited >= patience:
                    self._has_waited = self._has_waited or waited > 0
                    raise
            waited += SLICE
            # Where a lock cannot be waited for SQLite answers at once.
            self._clock.sleep(SLICE / 5)

    def _in_use_error(self, error: sqlite3.Error | OSError) -> SpcliError:
        where = error.path if isinstance(error, UnsafeFile) else f"the state file {self.path}"
        # Another program's hold on the file passes; on POSIX only a lock is one.
        is_held = result_code(error) == sqlite3.SQLITE_BUSY or (sys.platform == "win32" and may_pass(error))
        if is_held:
            hint = "run the command again once the other program has closed it"
        else:
            hint = "free some disk space" if result_code(error) == sqlite3.SQLITE_FULL else access_hint(self.path)
        return config_error(f"{where} cannot be used: {describe_error(error)}", hint=hint, retryable=is_held)

    def _open_current(self) -> Connection:
        """Return the open connection; another one when another process has set the file aside and begun a fresh one."""
        if self._connection is not None and identify(self.path) != self._identity:
            self.close()
        if self._connection is None:
            self._connection = self._open_somewhere()
        return self._connection

    def _open_somewhere(self) -> Connection:
        """Open the state in the wanted folder; in a spare one if there has never been one and none can be made."""
        try:
            return self._open_in(self._wanted)
        except (sqlite3.Error, OSError) as error:
            if self._is_in_use(error):
                raise
            reason = describe_error(error)
        try:
            spare = find_spare_folder(self._environ)
            connection = self._open_in(spare)
        except (sqlite3.Error, OSError) as error:
            if self._is_in_use(error):
                raise
            message = f"the state folder {self._wanted} cannot be used ({reason}), nor the temp dir ({describe_error(error)})"
            raise config_error(message, hint=folder_hint()) from None
        self.note_once(f"the state folder {self._wanted} cannot be used ({reason}); using {spare}, which the system may clear")
        return connection

    def _is_in_use(self, error: sqlite3.Error | OSError) -> bool:
        """Return whether a state exists, or may exist, behind this error. On Windows a denied access may be another's hold."""
        if isinstance(error, UnsafeFile) or result_code(error) == sqlite3.SQLITE_BUSY or has_state(self.path):
            return True
        return sys.platform == "win32" and isinstance(error, PermissionError)

    def _open_in(self, folder: Path) -> Connection:
        """Open or make the file in `folder`. Raises `sqlite3.Error`, `OSError`, and `SpcliError` for a newer schema."""
        self.path = folder / "state.db"
        prepare_folder(folder)
        try:
            return self._connect_own()
        except FileNotFoundError:
            return self._make_fresh()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        return self._make_fresh(self._identity)

    def _make_fresh(self, damaged: tuple[int, int] | None = None) -> Connection:
        """Make a fresh file, the `damaged` one set aside; or open the one that another process has put there meanwhile.

        Several may meet the same damaged or missing file at once: one of them acts, while it holds the lock of another file.
        """
        lock = self.path.with_name("state.lock")
        make_private_file(lock)
        guard = sqlite3.connect(lock, isolation_level=None, timeout=SLICE, factory=Connection)
        try:
            self._run_patiently(guard, "BEGIN EXCLUSIVE")
            if damaged is not None and identify(self.path) == damaged:
                self._set_aside()
            if identify(self.path) is None:
                self._create_file()
            return self._connect_own()
        finally:
            guard.close()

    def _set_aside(self) -> None:
        try:
            kept = set_aside(self.path, self._clock)
        except OSError as error:
            raise type(error)(error.errno, f"it is damaged and cannot be set aside: {describe_error(error)}") from None
        self.note_once(f"the state file was damaged; it is kept as {kept}, and the rate limits count as just used")

    def _create_file(self) -> None:
        """Make the file under another name and put it there whole: a state file without a schema is a damaged one.

        It begins as a copy of a state that was kept in the spare folder while this one could not be used.
        """
        path = self.path.with_name("state.new")
        for suffix in ("", *JOURNALS):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        make_private_file(path)
        now = self._clock.now()
        is_lost = follows_damage(self.path, now.wall)
        with self._hold_spare() as spare:
            connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
            try:
                # Where the filesystem has no shared memory the pragma fails or does not stick, and the rollback journal stays.
                with suppress(sqlite3.OperationalError):
                    connection.run("PRAGMA journal_mode=WAL")
                if isinstance(spare, Connection):
                    spare.backup(connection)
                connection.run("BEGIN IMMEDIATE")
                if not isinstance(spare, Connection):
                    create_schema(connection, now)
                if is_lost or spare == "damaged":
                    record_loss(connection, now)
                connection.run("COMMIT")
            finally:
                connection.close()
            remove_journals(self.path)
            replace_patiently(path, self.path, self._clock)

    @contextmanager
    def _hold_spare(self) -> Iterator[Connection | Literal["damaged"] | None]:
        """Yield the state in the spare folder, locked for other writers; it is removed when the block succeeds."""
        path = self._find_spare()
        if path is None:
            yield None
            return
        holder, spare = (sqlite3.connect(path, isolation_level=None, timeout=SLICE, factory=Connection) for _ in range(2))
        try:
            yield spare if self._lock_spare(holder) else "damaged"
            with suppress(OSError):
                path.unlink()
        finally:
            spare.close()
            holder.close()

    def _find_spare(self) -> Path | None:
        """Return the file of a private state in the spare folder, if there is one and this is not it."""
        with suppress(OSError):
            folder = find_spare_folder(self._environ)
            path = folder / self.path.name
            if path != self.path:
                assert_private_folder(folder, prefix=PREFIX)
                assert_private_database(path)
                return path
        return None

    def _lock_spare(self, holder: Connection) -> bool:
        """Lock the state in the spare folder; return False if it is damaged. Raises `sqlite3.Error` while it is in use."""
        try:
            if self._wait_for_lock(lambda: read_kind(holder)) == "own":
                self._run_patiently(holder, "BEGIN IMMEDIATE")
                return True
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        return False

    def _connect_own(self) -> Connection:
        """Open the database that is there. Raises `sqlite3.DatabaseError` with the code of a damaged one if it is foreign."""
        self._identity = identify(self.path)
        assert_private_database(self.path)
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=SLICE, factory=Connection)
        connection.row_factory = sqlite3.Row
        connection.text_factory = decode_text
        try:
            kind = self._wait_for_lock(lambda: read_kind(connection))
            if kind == "newer":
                raise config_error(f"{self.path} was written by a newer spcli", hint="upgrade spcli")
            if kind == "foreign":
                raise sqlite_error("not a state file", sqlite3.SQLITE_NOTADB)
        except BaseException:
            connection.close()
            raise
        return connection
