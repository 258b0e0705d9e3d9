"""A connection that takes and gives any text, and says of every kind of damage the same."""

import sqlite3
from collections.abc import Sequence


class Connection(sqlite3.Connection):
    """`run` is `execute` for values that came from outside: JSON may hold lone surrogates, a damaged page any bytes."""

    def run(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Execute one statement."""
        try:
            return self.execute(sql, [_storable(value) for value in values])
        except UnicodeDecodeError:
            # SQLite quotes what it found in a damaged schema, and the module cannot read the message.
            raise damage() from None


def damage() -> sqlite3.DatabaseError:
    """The error of a file that is not ours, as SQLite would raise it."""
    error = sqlite3.DatabaseError("not ours")
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def readable(text: bytes) -> str:
    """Stored text, for a connection's `text_factory`."""
    return text.decode("utf-8", "replace")


def _storable(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
