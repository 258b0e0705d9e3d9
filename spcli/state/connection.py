"""A connection to SQLite that stores any text, and what SQLite's errors mean."""

import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from spcli.files import UnsafeFile

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


class Connection(sqlite3.Connection):
    """A connection that stores and returns any text."""

    def run(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute one statement with values from outside."""
        try:
            return self.execute(sql, [clean_text(value) for value in values])
        except UnicodeDecodeError:
            # SQLite quotes what it found in a damaged schema, and the module cannot read the message.
            raise sqlite_error("not a state file", sqlite3.SQLITE_NOTADB) from None


def roll_back(connection: Connection) -> None:
    """End what is open. A disk that fails even now leaves the rest to the next process that opens the file."""
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


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


def clean_text(value: object) -> object:
    """Return a value that SQLite can store: JSON may hold lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
