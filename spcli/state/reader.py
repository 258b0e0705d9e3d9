"""Read the database without ever changing a file: for completion, and where the state can't be written.

Light to import: `state.database` opens the same file with more care and takes longer than a TAB press may.
"""

import os
import stat

TYPE_CHECKING = False  # importing it from typing would cost more than the rest of a TAB press
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from spcli.state.account import Account

    Name = tuple[str, str]
    Query = tuple[str, tuple[object, ...]]

PROJECTS_READ = 5_000
UPLOADS_READ = 100

_NAMES = "SELECT id, name FROM names WHERE kind = ? AND account = ? ORDER BY seen DESC, rowid LIMIT ?"
# By the rows themselves, from the newest: by the index of accounts, all that an account ever sent would be sorted first.
_SENT = "SELECT upload_id, url FROM ledger NOT INDEXED WHERE account = ? AND upload_id IS NOT NULL ORDER BY id DESC LIMIT ?"


def read_names(path: str, kind: str, account: "Account") -> "list[Name]":
    """Return IDs and names of kind `project` or `upload` from the database at `path`, newest first; none if it can't be read."""
    queries: list[Query] = [(_NAMES, (kind, account.user, UPLOADS_READ if kind == "upload" else PROJECTS_READ))]
    if kind == "upload":
        queries.append((_SENT, (account.user, UPLOADS_READ)))
    rows, sent = (*read_rows(path, queries), [])[:2]
    files = [(id_, url.rpartition("/")[2]) for id_, url in sent if isinstance(url, str)]
    names = {id_: name if isinstance(name, str) else "" for id_, name in [*files, *rows] if isinstance(id_, str)}
    return list(names.items())


def read_rows(path: str, queries: "Sequence[Query]") -> "list[list[Name]]":
    """Return the rows of each query; no rows if the database can't be read."""
    nothing: list[list[Name]] = [[] for _query in queries]
    if not _are_regular_files(path):
        return nothing
    import sqlite3  # half of what a TAB press costs, and often there is no database yet

    try:
        connection = open_read_only(path)
        try:
            return [connection.execute(sql, values).fetchall() for sql, values in queries]
        finally:
            connection.close()
    except sqlite3.Error:
        return nothing


def open_read_only(path: str) -> "sqlite3.Connection":
    """Open the database for reading. Raises `sqlite3.Error`.

    In a folder that can't be written SQLite refuses a database without its journal files, unless it knows that nothing changes
    it; without a journal the file itself holds all that was stored.
    """
    import sqlite3

    if not _are_regular_files(path):
        raise sqlite3.OperationalError("not a regular file")
    # A path is quoted by hand: urllib would take longer than the query.
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23").replace(os.sep, "/")
    uri = f"file://{'' if quoted[0] == '/' else '/'}{quoted}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=0.1)
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if os.path.exists(f"{path}-wal"):
            raise
        connection = sqlite3.connect(f"{uri}&immutable=1", uri=True, timeout=0.1)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")  # a damaged page may hold any bytes
    return connection


def _are_regular_files(path: str) -> bool:
    """Return whether the database is there, and neither it nor a journal is a link or a FIFO, which would block SQLite."""
    for name in (path, f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        try:
            if not stat.S_ISREG(os.lstat(name).st_mode):
                return False
        except OSError:
            if name == path:
                return False
    return True
