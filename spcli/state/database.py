"""The SQLite file as a thing that can be read and written, or that is damaged, full or locked.

Nothing here knows what is stored; `state` does. SQLite's own busy handler would hold Ctrl-C back, so waiting for a lock happens
in slices of a tenth of a second. No transaction is ever open while the program sleeps or talks to the network.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.files import replace_patiently
from spcli.state.connection import Connection, damage, readable
from spcli.state.place import (
    Unfit,
    identity,
    kept_aside,
    private_file,
    private_folder,
    refuse_foreign_file,
    set_aside,
    spare_folder,
    unusable,
)
from spcli.state.schema import create, kind_of

SLICE = 0.1
PATIENCE = 5.0
KEPT_DAMAGED = 3
_FAILING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_REASONS = {
    sqlite3.SQLITE_BUSY: "another process holds it locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it cannot be written",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}

T = TypeVar("T")


class Database:
    """One process's way to the file. `problem` is why it can't be used, once that is known."""

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
        self.problem: SpcliError | None = None
        self.path = folder / "state.db"

    def close(self) -> None:
        """Close the file, if it was opened."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def write(self, work: Callable[[Connection], T], *, durable: bool = False) -> T:
        """Do `work` in one transaction, which a `durable` one puts on the disk; after damage, once more on a fresh file.

        Raises:
            SpcliError: `config`, the file can't be written (now).
        """
        return self._using(lambda connection: self._transact(connection, work, durable))

    def read(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Rows, or none at all where the file can't be read: what was remembered is then simply not known, and noted once."""
        try:
            return self._using(lambda connection: self._run(connection, sql, values).fetchall())
        except SpcliError as problem:
            self.tell(problem.message)
            return []

    def attempt(self, work: Callable[[Connection], T], *, durable: bool = False) -> T | None:
        """Write something that may be lost; a failure is noted once, hurts nobody, and gives `None`."""
        try:
            return self.write(work, durable=durable)
        except SpcliError as problem:
            self.tell(problem.message)
            return None

    def tell(self, text: str) -> None:
        """Note something once."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def _transact(self, connection: Connection, work: Callable[[Connection], T], durable: bool) -> T:
        # A signal may have come between the beginning or the end of a transaction and the lines that see to it.
        _roll_back(connection)
        try:
            self._run(connection, f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._run(connection, "BEGIN IMMEDIATE")
            result = work(connection)
            self._run(connection, "COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return result

    def _using(self, operation: Callable[[Connection], T]) -> T:
        """Do `operation`; a damaged file is set aside, and a fresh one used instead."""
        connection = self._open()
        try:
            return operation(connection)
        except sqlite3.Error as error:
            if _code(error) not in _DAMAGE:
                raise self._refusal(error) from None
        self.close()
        try:
            self._connection = connection = self._fresh(self._identity)
            return operation(connection)
        except sqlite3.Error as error:
            raise self._refusal(error) from None
        except OSError as error:
            raise unusable(f"the state file {self.path} is damaged and cannot be set aside: {_words(error)}") from None

    def _run(self, connection: Connection, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        return self._patiently(lambda: connection.run(sql, values))

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Do `operation`, waiting for a lock in slices."""
        waited = 0.0
        while True:
            try:
                return operation()
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or waited >= self._patience:
                    raise
            waited += SLICE
            # Where a lock cannot be waited for SQLite answers at once.
            self._clock.sleep(SLICE / 5)

    def _refusal(self, error: sqlite3.Error) -> SpcliError:
        message = f"the state file {self.path} cannot be used: {_reason(error)}"
        return unusable(message, retryable=_code(error) == sqlite3.SQLITE_BUSY)

    def _open(self) -> Connection:
        """The open connection; another one when another process has set the file aside and begun a fresh one."""
        if self._connection is not None and identity(self.path) != self._identity:
            self.close()
        if self._connection is None:
            if self.problem is not None:
                raise self.problem
            try:
                self._connection = self._open_somewhere()
            except SpcliError as problem:
                self.problem = None if problem.retryable else problem
                raise
        return self._connection

    def _open_somewhere(self) -> Connection:
        try:
            return self._open_in(self._wanted)
        except Unfit as reason:
            first = str(reason)
        try:
            spare = spare_folder(self._environ)
            connection = self._open_in(spare)
        except (Unfit, OSError) as reason:
            raise unusable(f"the state folder {self._wanted} cannot be used ({first}), nor the temp dir ({reason})") from None
        self.tell(f"the state folder {self._wanted} cannot be used ({first}); using {spare}, which this machine may clear")
        return connection

    def _open_in(self, folder: Path) -> Connection:
        """Open or make the file in `folder`.

        Raises:
            Unfit: the folder can't be used.
            SpcliError: it must not be used, or no other may stand in for it: a link, a foreign owner, a newer schema, a lock.
        """
        self.path = folder / "state.db"
        try:
            private_folder(folder)
            is_stored = identity(self.path) is not None
            try:
                return self._existing() if is_stored else self._fresh()
            except sqlite3.Error as error:
                # Another folder would know nothing of the windows that are stored in this one.
                if _code(error) == sqlite3.SQLITE_BUSY or (is_stored and _code(error) in _FAILING):
                    raise self._refusal(error) from None
                raise Unfit(_reason(error)) from None
        except OSError as error:
            raise Unfit(_words(error)) from None

    def _existing(self) -> Connection:
        """The file that is there, or a fresh one in the place of a damaged one."""
        try:
            return self._connected(self.path)
        except FileNotFoundError:
            return self._fresh()
        except sqlite3.DatabaseError as error:
            if _code(error) not in _DAMAGE:
                raise
        return self._fresh(self._identity)

    def _fresh(self, damaged: tuple[int, int] | None = None) -> Connection:
        """A fresh file, the `damaged` one set aside; or the one that another process has put there meanwhile.

        Several may meet the same damaged or missing file at once: one of them acts, while it holds the lock of another file.
        """
        lock = self.path.with_name("state.lock")
        private_file(lock)
        guard = sqlite3.connect(lock, isolation_level=None, timeout=SLICE, factory=Connection)
        try:
            self._run(guard, "BEGIN EXCLUSIVE")
            if damaged is not None and identity(self.path) == damaged:
                kept = set_aside(self.path, KEPT_DAMAGED, self._clock)
                self.tell(f"the state file was damaged; it is kept as {kept}, and the windows count as just used")
            if identity(self.path) is None:
                self._create()
            return self._connected(self.path)
        finally:
            guard.close()

    def _create(self) -> None:
        """Make the file under another name and put it there whole: a state file without a schema is a damaged one."""
        path = self.path.with_name("state.new")
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        private_file(path)
        connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
        try:
            # Where the filesystem has no shared memory the pragma fails or does not stick, and the rollback journal stays.
            with suppress(sqlite3.OperationalError):
                connection.run("PRAGMA journal_mode=WAL")
            connection.run("BEGIN IMMEDIATE")
            create(connection, self._clock.now(), reborn=bool(kept_aside(self.path)))
            connection.run("COMMIT")
        finally:
            connection.close()
        replace_patiently(path, self.path, self._clock)

    def _connected(self, path: Path) -> Connection:
        """The database at `path`. Raises `sqlite3.DatabaseError` with the code of a damaged one where it is not ours."""
        refuse_foreign_file(path)
        self._identity = identity(path)
        connection = sqlite3.connect(path, isolation_level=None, timeout=SLICE, factory=Connection)
        connection.row_factory = sqlite3.Row
        connection.text_factory = readable
        try:
            kind = self._patiently(lambda: kind_of(connection))
            if kind == "newer":
                raise unusable(f"{path} was written by a newer spcli: upgrade this one")
            if kind == "alien":
                raise damage()
        except BaseException:
            connection.close()
            raise
        return connection


def _roll_back(connection: Connection) -> None:
    """End what is open. A disk that fails even now leaves the rest to the next process that opens the file."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for an error of the module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _reason(error: sqlite3.Error) -> str:
    return _REASONS.get(_code(error), type(error).__name__)


def _words(error: OSError) -> str:
    return error.strerror or type(error).__name__
