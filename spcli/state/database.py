"""The SQLite file: where it lies, who may read it, what happens when it is damaged, full or locked.

Nothing here knows what is stored; `state` does. SQLite's own busy handler would hold Ctrl-C back, so waiting for a lock happens
in slices of a tenth of a second. No transaction is ever open while the program sleeps or talks to the network.
"""

import os
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from spcli.clock import Clock
from spcli.errors import SpcliError

APPLICATION_ID = 0x53504349
SCHEMA_VERSION = 1
SLICE = 0.1
PATIENCE = 5.0
KEPT_DAMAGED = 3
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, wall REAL, mono REAL);
CREATE TABLE windows (
  bucket TEXT PRIMARY KEY, wall REAL, mono REAL, bound REAL, holder TEXT, last_call REAL,
  before_wall REAL, before_mono REAL, before_bound REAL, before_last_call REAL);
CREATE TABLE waiters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, ticket TEXT NOT NULL UNIQUE, wall REAL, mono REAL, owner TEXT);
CREATE INDEX waiters_of_bucket ON waiters (bucket, seq);
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY AUTOINCREMENT, ticket TEXT, action TEXT, origin TEXT, account TEXT, project_id TEXT, url TEXT,
  digest TEXT, upload_id TEXT, auto_release INTEGER, baseline TEXT, note TEXT, phase TEXT, message TEXT, started REAL, ended REAL,
  server_wall REAL, accepted INTEGER DEFAULT 0, state TEXT, live_wall REAL, live_mono REAL, owner TEXT);
CREATE INDEX ledger_of_project ON ledger (account, project_id, id);
CREATE INDEX ledger_of_file ON ledger (account, project_id, url, phase);
CREATE INDEX ledger_of_upload ON ledger (upload_id);
CREATE INDEX ledger_of_age ON ledger (started);
CREATE INDEX ledger_open ON ledger (ticket) WHERE phase = 'sending';
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT, project_id TEXT, upload_id TEXT, file_url TEXT, status TEXT, objection TEXT,
  timestamp TEXT, received REAL);
CREATE UNIQUE INDEX events_once ON events (
  event, ifnull(project_id, ''), ifnull(upload_id, ''), ifnull(status, ''), ifnull(timestamp, ''));
CREATE INDEX events_of_upload ON events (upload_id);
CREATE TABLE listeners (owner TEXT PRIMARY KEY, wall REAL, mono REAL);
CREATE TABLE names (kind TEXT, account TEXT, id TEXT, name TEXT, seen REAL, PRIMARY KEY (kind, account, id));
"""


class _Unfit(Exception):
    """The folder can't be used; another one may."""


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
        self._connection: sqlite3.Connection | None = None
        self._noted: set[str] = set()
        self.problem: SpcliError | None = None
        self.path: Path | None = None

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- transactions --------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """A write transaction; `durable` ones are on the disk when they end.

        Raises:
            SpcliError: `config`, the file can't be written (now).
        """
        connection = self._open()
        try:
            self._run(connection, f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._run(connection, "BEGIN IMMEDIATE")
            try:
                yield connection
                self._run(connection, "COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def read(self, sql: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Rows, or none at all where the file can't be read: what was remembered is then simply not known."""
        try:
            return self._run(self._open(), sql, values).fetchall()
        except SpcliError:
            return []
        except sqlite3.Error as error:
            self._failed(error)
            return []

    def attempt(self, work: Callable[[sqlite3.Connection], object], *, durable: bool = False) -> None:
        """Write something that may be lost; a failure is noted once and hurts nobody."""
        try:
            with self.writing(durable=durable) as connection:
                work(connection)
        except SpcliError as problem:
            self.tell(problem.message)

    def tell(self, text: str) -> None:
        """Note something once."""
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    def _run(self, connection: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        """Execute, waiting for a lock in slices."""
        waited = 0.0
        while True:
            try:
                return connection.execute(sql, values)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or waited >= self._patience:
                    raise
                waited += SLICE

    def _failed(self, error: sqlite3.Error) -> SpcliError:
        """The failure as ours. A damaged file is set aside, so that the next use starts a fresh one."""
        if _code(error) in _DAMAGE and self.path is not None:
            self.close()
            self._set_aside(self.path)
        reasons = {
            sqlite3.SQLITE_BUSY: "another process holds it locked",
            sqlite3.SQLITE_FULL: "the disk is full",
            sqlite3.SQLITE_READONLY: "it cannot be written",
            sqlite3.SQLITE_IOERR: "the disk fails",
            sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
        }
        why = reasons.get(_code(error), "it is damaged" if _code(error) in _DAMAGE else type(error).__name__)
        return self.unusable(f"the state file {self.path} cannot be used: {why}", retryable=_code(error) == sqlite3.SQLITE_BUSY)

    def unusable(self, message: str, *, retryable: bool = False) -> SpcliError:
        """The error of a limited call without a state: it is refused before it is sent."""
        return SpcliError("config", message, hint=state_hint(), outcome="not_sent", retryable=retryable)

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if self.problem is not None:
                raise self.problem
            try:
                self._connection = self._open_somewhere()
            except SpcliError as problem:
                self.problem = problem
                raise
        return self._connection

    def _open_somewhere(self) -> sqlite3.Connection:
        try:
            return self._open_in(self._wanted)
        except _Unfit as reason:
            first = str(reason)
        spare = _spare_folder()
        try:
            connection = self._open_in(spare)
        except _Unfit as reason:
            raise self.unusable(f"no state folder can be used: {first}; {reason}") from None
        self.tell(f"the state folder {self._wanted} cannot be used ({first}); using {spare}, which this machine may clear")
        return connection

    def _open_in(self, folder: Path) -> sqlite3.Connection:
        """Open or make the file in `folder`.

        Raises:
            _Unfit: the folder can't be used.
            SpcliError: it must not be used: a link, a foreign owner, a newer schema.
        """
        try:
            self._private_folder(folder)
            path = folder / "state.db"
            self.path = path
            self._private_file(path)
            try:
                return self._connect(path)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGE:
                    raise
            self._set_aside(path)
            self._private_file(path)
            return self._connect(path, after_damage=True)
        except sqlite3.Error as error:
            raise _Unfit(f"{type(error).__name__} {_code(error)}") from None
        except OSError as error:
            raise _Unfit(error.strerror or type(error).__name__) from None

    def _private_folder(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = os.lstat(folder)
        self._refuse_foreign(folder, found, stat.S_ISDIR(found.st_mode))
        if sys.platform != "win32" and found.st_mode & 0o077:
            folder.chmod(0o700)

    def _private_file(self, path: Path) -> None:
        """The file exists, is ours alone, and is no link; made with its mode from the first byte."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        with suppress(FileExistsError):
            os.close(os.open(path, flags, 0o600))
        found = os.lstat(path)
        self._refuse_foreign(path, found, stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
        if sys.platform != "win32" and found.st_mode & 0o077:
            path.chmod(0o600)

    def _refuse_foreign(self, path: Path, found: os.stat_result, fits: bool) -> None:
        if stat.S_ISLNK(found.st_mode) or (not fits and stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
            raise self.unusable(f"{path} is a link: the state is never written through one")
        if not fits:
            raise NotADirectoryError(0, f"{path.name} is not what it should be")
        if sys.platform != "win32" and found.st_uid != os.geteuid():
            raise self.unusable(f"{path} belongs to another user")

    def _connect(self, path: Path, *, after_damage: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, timeout=SLICE)
        connection.row_factory = sqlite3.Row
        try:
            self._prepare(connection, after_damage)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection, after_damage: bool) -> None:
        version = self._run(connection, "PRAGMA user_version").fetchone()[0]
        alien = self._run(connection, "PRAGMA application_id").fetchone()[0] not in (0, APPLICATION_ID)
        if alien or (version == 0 and self._run(connection, "SELECT count(*) FROM sqlite_master").fetchone()[0]):
            raise _damage()
        if version > SCHEMA_VERSION:
            raise self.unusable(f"{self.path} was written by a newer spcli (schema {version}): upgrade this one")
        if version == SCHEMA_VERSION:
            return
        # Where the filesystem has no shared memory the pragma does not stick, and the rollback journal stays.
        self._run(connection, "PRAGMA journal_mode=WAL")
        self._run(connection, "BEGIN IMMEDIATE")
        if self._run(connection, "PRAGMA user_version").fetchone()[0] == 0:
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            if after_damage:
                now = self._clock.now()
                connection.execute("INSERT INTO meta VALUES ('reborn', ?, ?)", now)
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._run(connection, "COMMIT")

    def _set_aside(self, path: Path) -> None:
        """Keep the damaged file under another name; the oldest of those kept makes room."""
        kept = sorted(path.parent.glob("state.db.damaged-*"), key=lambda one: one.stat().st_mtime)
        for old in kept[: max(0, len(kept) - KEPT_DAMAGED + 1)]:
            old.unlink(missing_ok=True)
        target = path.with_name(f"state.db.damaged-{int(self._clock.wall())}-{os.getpid()}")
        try:
            os.replace(path, target)
            for suffix in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except FileNotFoundError:
            return
        self.tell(f"the state file was damaged; it is kept as {target}, and the windows count as just used")


def _damage() -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError("not ours")
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def _code(error: sqlite3.Error) -> int:
    """The primary result code; 0 for an error of the module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _spare_folder() -> Path:
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    return Path(tempfile.gettempdir()) / f"spcli{user}"


def state_hint() -> str:
    """The line to type that gives the state another folder."""
    return (
        "name a private folder on a local disk; in bash: export SPCLI_STATE_DIR=$HOME/.spcli-state\n"
        'in PowerShell: $env:SPCLI_STATE_DIR = "$HOME\\.spcli-state"'
    )
