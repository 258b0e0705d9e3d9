"""Open, read and write the SQLite file, which may be damaged, full or in use.

`schema` has its tables, `place` its location. SQLite's own busy handler would hold Ctrl-C back, so waiting for a lock
happens in slices of a tenth of a second. No transaction is ever open while the program sleeps or talks to the network.

A state that exists and can't be used is never replaced by an empty one elsewhere: that would know nothing of the windows, and the
next call would go out too early.
"""

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from spcli.clock import Clock, Instant
from spcli.errors import SpcliError
from spcli.files import UnsafeFile, assert_private_files, assert_private_folder, make_private_file, replace_patiently
from spcli.state.place import (
    JOURNALS,
    PREFIX,
    access_hint,
    config_error,
    find_spare_folder,
    folder_hint,
    follows_damage,
    prepare_folder,
    remove_journals,
    set_aside,
)
from spcli.state.reader import open_read_only
from spcli.state.schema import APPLICATION_ID, SCHEMA_VERSION, STATEMENTS, clean_text

SLICE = 0.1
PATIENCE = 5.0
T = TypeVar("T")
Kind = Literal["own", "newer", "foreign"]
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MAY_PASS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
_REASONS = {
    sqlite3.SQLITE_BUSY: "another process holds it locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}


class Patience:
    """How long a statement waits for a lock, in seconds. After one vain wait, reads of the same command do not wait again."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds
        self.is_over = False


class Connection(sqlite3.Connection):
    """A connection that stores and returns any text, and waits for locks."""

    patience: Patience

    def run(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute one statement with values from outside; wait for a lock in slices."""
        storable, waited, most = _storable(values), 0.0, 0.0 if self.patience.is_over else self.patience.seconds
        while True:
            try:
                return self.execute(sql, storable)
            except UnicodeDecodeError:
                # SQLite quotes what it found in a damaged schema, and the module cannot read the message.
                raise sqlite_error("not a state file", sqlite3.SQLITE_NOTADB) from None
            except sqlite3.OperationalError as error:
                if result_code(error) != sqlite3.SQLITE_BUSY or waited >= most:
                    self.patience.is_over = self.patience.is_over or waited > 0
                    raise
            waited += SLICE
            # Where SQLite cannot wait for a lock it answers at once.
            self.patience.clock.sleep(SLICE / 5)

    def roll_back(self) -> None:
        """End what is open. A disk that fails even now leaves the rest to the next process that opens the file."""
        if self.in_transaction:
            with suppress(sqlite3.Error):
                self.execute("ROLLBACK")


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
        self._patience = Patience(clock, patience)
        self._connection: Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._noted: set[str] = set()
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
        self._patience.is_over = False
        return self._use_patiently(partial(self._run_transaction, work, durable), self._patience.seconds)

    def attempt(self, work: Callable[[Connection], T], *, durable: bool = False, waits: bool = False) -> T | None:
        """Write optional data. On failure, print one note and return None.

        Args:
            durable: it is on the disk when this returns.
            waits: a file in use is waited for.
        """
        try:
            return self._use_patiently(partial(self._run_transaction, work, durable), self._patience.seconds if waits else 0.0)
        except SpcliError as problem:
            self.note_once(problem.message)
            return None

    def require(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Return rows that a decision depends on. A file in use is waited for.

        Raises:
            SpcliError: `config`, not_sent: the file can't be read.
        """
        rows = self.read_any(sql, values)
        if rows is None:
            rows = self._use_patiently(
                partial(_fetch_rows, sql, values), 0.0 if self._patience.is_over else self._patience.seconds
            )
        return rows

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
            return self._use_patiently(partial(_fetch_rows, sql, values), 0.0)
        except SpcliError as problem:
            self.note_once(problem.message)
        with suppress(sqlite3.Error, OSError):
            assert_private_files(self.path, JOURNALS)
            connection = open_read_only(str(self.path))
            connection.row_factory = sqlite3.Row
            try:
                if connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                    return connection.execute(sql, _storable(values)).fetchall()
            finally:
                connection.close()
        return None

    def _use_patiently(self, operation: Callable[[Connection], T], patience: float) -> T:
        """Run `operation`, again for `patience` seconds while the file is in use."""
        waited = 0.0
        while True:
            try:
                result = self._use_once(operation)
            except (sqlite3.Error, OSError) as error:
                if waited >= patience or not may_pass(error):
                    self._patience.is_over = self._patience.is_over or waited > 0
                    raise self._in_use_error(error) from None
            else:
                self._patience.is_over = False
                return result
            self.close()
            waited += SLICE
            self._clock.sleep(SLICE)

    def _use_once(self, operation: Callable[[Connection], T]) -> T:
        """Run `operation`; a damaged file is set aside, and a fresh one used instead."""
        if self._connection is not None and identify(self.path) != self._identity:
            # Another process has set the file aside and begun a fresh one.
            self.close()
        connection = self._connection = self._connection or self._open_somewhere()
        try:
            return operation(connection)
        except sqlite3.Error as error:
            is_moved = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_READONLY_DBMOVED
            if not is_moved and not is_damage(error):
                raise
        self.close()
        self._connection = connection = self._open_somewhere() if is_moved else self._make_fresh(self._identity)
        return operation(connection)

    def _run_transaction(self, work: Callable[[Connection], T], durable: bool, connection: Connection) -> T:
        # A signal may have come between the beginning or the end of a transaction and the lines that see to it.
        connection.roll_back()
        try:
            connection.run(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.run("BEGIN IMMEDIATE")
            if identify(self.path) != self._identity:
                # Another process put a fresh file there while this one waited for its lock.
                raise sqlite_error("the state file was moved", sqlite3.SQLITE_READONLY_DBMOVED)
            result = work(connection)
            connection.run("COMMIT")
        except BaseException:
            connection.roll_back()
            raise
        return result

    def _in_use_error(self, error: sqlite3.Error | OSError) -> SpcliError:
        where = error.path if isinstance(error, UnsafeFile) else f"the state file {self.path}"
        # Another program's hold on the file passes; on POSIX only a lock is one.
        is_held = result_code(error) == sqlite3.SQLITE_BUSY or (sys.platform == "win32" and may_pass(error))
        if is_held:
            hint = "run the command again once the other program has closed it"
        else:
            hint = "free some disk space" if result_code(error) == sqlite3.SQLITE_FULL else access_hint(self.path)
        return config_error(f"{where} cannot be used: {describe_error(error)}", hint=hint, retryable=is_held)

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
        guard = self._connect(lock)
        try:
            guard.run("BEGIN EXCLUSIVE")
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
        path, now = self.path.with_name("state.new"), self._clock.now()
        is_lost = follows_damage(self.path, now.wall)
        path.unlink(missing_ok=True)
        remove_journals(path)
        make_private_file(path)
        with self._hold_spare() as spare:
            connection = self._connect(path)
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
        holder, spare = self._connect(path), self._connect(path)
        try:
            yield spare if self._lock_spare(holder) else "damaged"
            with suppress(OSError):
                path.unlink()
        finally:
            spare.close()
            holder.close()
        # Windows removes a file only once it is closed.
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _find_spare(self) -> Path | None:
        """Return the file of a private state in the spare folder, if there is one and this is not it."""
        with suppress(OSError):
            folder = find_spare_folder(self._environ)
            path = folder / self.path.name
            if path != self.path:
                assert_private_folder(folder, prefix=PREFIX)
                assert_private_files(path, JOURNALS)
                return path
        return None

    def _lock_spare(self, holder: Connection) -> bool:
        """Lock the state in the spare folder; return False if it is damaged. Raises `sqlite3.Error` while it is in use."""
        try:
            if read_kind(holder) == "own":
                holder.run("BEGIN IMMEDIATE")
                return True
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
        return False

    def _connect(self, path: Path) -> Connection:
        connection = sqlite3.connect(path, isolation_level=None, timeout=SLICE, factory=Connection)
        connection.row_factory = sqlite3.Row
        # A damaged page may hold any bytes. A Python function would be called for each text.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        connection.patience = self._patience
        return connection

    def _connect_own(self) -> Connection:
        """Open the database that is there. Raises `sqlite3.DatabaseError` with the code of a damaged one if it is foreign."""
        self._identity = identify(self.path)
        assert_private_files(self.path, JOURNALS)
        connection = self._connect(self.path)
        try:
            kind = read_kind(connection)
            if kind == "newer":
                raise config_error(f"{self.path} was written by a newer spcli", hint="upgrade spcli")
            if kind == "foreign":
                raise sqlite_error("not a state file", sqlite3.SQLITE_NOTADB)
        except BaseException:
            connection.close()
            raise
        return connection


def _storable(values: Sequence[object]) -> list[object]:
    return [clean_text(value) if isinstance(value, str) and not value.isascii() else value for value in values]


def _fetch_rows(sql: str, values: Sequence[object], connection: Connection) -> list[sqlite3.Row]:
    return connection.run(sql, values).fetchall()


def read_kind(connection: Connection) -> Kind:
    """Return what kind of database this is, from one consistent read; an empty one is foreign."""
    connection.run("BEGIN")
    version = connection.run("PRAGMA user_version").fetchone()[0]
    application = connection.run("PRAGMA application_id").fetchone()[0]
    query = "SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    statements = {row[0] for row in connection.run(query)}
    connection.run("COMMIT")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        return "newer"
    is_own = (application, version) == (APPLICATION_ID, SCHEMA_VERSION) and statements == set(STATEMENTS)
    return "own" if is_own else "foreign"


def create_schema(connection: Connection, now: Instant) -> None:
    """Make an empty database the state's own, in the caller's transaction."""
    for statement in STATEMENTS:
        connection.run(statement)
    # A process that still knows a row of the damaged file by its id must not meet another row under it.
    connection.run("INSERT INTO sqlite_sequence VALUES ('ledger', ?)", (max(0, int(now.wall)),))
    connection.run(f"PRAGMA application_id={APPLICATION_ID}")
    connection.run(f"PRAGMA user_version={SCHEMA_VERSION}")


def record_loss(connection: Connection, now: Instant) -> None:
    """Record that the database takes the place of a damaged one, whose windows are unknown and count as just used."""
    connection.run("INSERT OR REPLACE INTO meta VALUES ('reborn', ?, ?)", now)


def identify(path: Path) -> tuple[int, int] | None:
    """Return the file's identity (device, inode), or None if it does not exist. Raises `OSError` where that can't be known."""
    try:
        info = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return info.st_dev, info.st_ino


def has_state(path: Path) -> bool:
    """Return whether a state file exists or may exist. Only a path that leads nowhere means that there has never been one."""
    try:
        return identify(path) is not None
    except OSError:
        return True


def sqlite_error(message: str, code: int) -> sqlite3.DatabaseError:
    """Return an error as SQLite would raise it."""
    error = sqlite3.DatabaseError(message)
    error.sqlite_errorcode = code
    return error


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is damaged, or not SQLite's at all."""
    return result_code(error) in _DAMAGE


def result_code(error: BaseException) -> int:
    """Return the primary result code; 0 for an error that is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def may_pass(error: sqlite3.Error | OSError) -> bool:
    """Return whether the file may be usable a moment later, though waiting for a lock does not help."""
    return result_code(error) in _MAY_PASS or (isinstance(error, OSError) and not isinstance(error, UnsafeFile))


def describe_error(error: sqlite3.Error | OSError) -> str:
    """Return the reason in words, lower case."""
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return reason[:1].lower() + reason[1:]
    return _REASONS.get(result_code(error), type(error).__name__)
