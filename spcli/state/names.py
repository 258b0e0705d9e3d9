"""IDs and names for completion, remembered from the lists that commands have read.

`read_names` answers a TAB press, so this file imports nothing that a press can feel; the database is opened by those who write.
"""

import os

TYPE_CHECKING = False  # importing it from typing would cost more than the rest of a TAB press
if TYPE_CHECKING:
    from collections.abc import Sequence

    from spcli.clock import Clock
    from spcli.state.account import Account
    from spcli.state.connection import Connection
    from spcli.state.database import Database

    Name = tuple[str, str]
    Query = tuple[str, tuple[object, ...]]

PROJECTS_KEPT = 20_000
PROJECTS_READ = 5_000
UPLOADS_KEPT = 1_000
"""Those seen last; each list of builds adds its newest."""
UPLOADS_ADDED = 50
UPLOADS_READ = 100

_PUT = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)"
_CLEAR = "DELETE FROM names WHERE kind = 'project' AND account = ?"
_PRUNE = (
    "DELETE FROM names WHERE kind = 'upload' AND account = ? AND rowid NOT IN"
    " (SELECT rowid FROM names WHERE kind = 'upload' AND account = ? ORDER BY seen DESC, rowid LIMIT ?)"
)
_DIGEST = "SELECT id, name FROM names WHERE kind = 'projects' AND account = ?"
_NAMES = "SELECT id, name FROM names WHERE kind = ? AND account = ? ORDER BY seen DESC, rowid LIMIT ?"
# By the rows themselves, from the newest: by the index of accounts, all that an account ever sent would be sorted first.
_SENT = "SELECT upload_id, url FROM ledger NOT INDEXED WHERE account = ? AND upload_id IS NOT NULL ORDER BY id DESC LIMIT ?"


class Names:
    """Remember names. A state that can't be written is noted at most."""

    def __init__(self, database: "Database", clock: "Clock") -> None:
        self._database = database
        self._clock = clock

    def remember_projects(self, account: "Account", projects: "Sequence[Name]") -> None:
        """Keep IDs and names of all the account's projects, in place of those known before.

        The same list again costs one read-only look: opening the database to write would make `projects list` a tenth slower.
        """
        digest = _digest_of(projects)
        (rows,) = read_rows(str(self._database.path), [(_DIGEST, (account.user,))])
        if any(name == digest for _, name in rows):
            return
        user, seen = account.user, self._clock.wall()

        def work(connection: "Connection") -> None:
            connection.run(_CLEAR, (user,))
            for id_, name in projects[:PROJECTS_KEPT]:
                connection.run(_PUT, ("project", user, id_, name, seen))
            connection.run(_PUT, ("projects", user, "digest", digest, seen))

        self._database.attempt(work)

    def remember_uploads(self, account: "Account", uploads: "Sequence[Name]") -> None:
        """Keep recent upload IDs with their file names; what is known already costs no commit."""
        user, seen = account.user, self._clock.wall()
        rows = self._database.read("SELECT id, name FROM names WHERE kind = 'upload' AND account = ?", (user,))
        known = {(row["id"], row["name"]) for row in rows}
        fresh = [pair for pair in uploads[:UPLOADS_ADDED] if pair not in known]

        def work(connection: "Connection") -> None:
            for id_, name in fresh:
                connection.run(_PUT, ("upload", user, id_, name, seen))
            connection.run(_PRUNE, (user, user, UPLOADS_KEPT))

        if fresh:
            self._database.attempt(work)


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
    """Return the rows of each query without ever changing a file; no rows if the database can't be read."""
    nothing: list[list[Name]] = [[] for _query in queries]
    if not os.path.isfile(path):
        return nothing
    import sqlite3  # half of what a TAB press costs, and often there is no database yet

    # A path is quoted by hand: urllib would take longer than the query.
    quoted = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23").replace(os.sep, "/")
    try:
        connection = sqlite3.connect(f"file://{'' if quoted[0] == '/' else '/'}{quoted}?mode=ro", uri=True, timeout=0.1)
    except sqlite3.Error:
        return nothing
    try:
        connection.text_factory = _decode
        return [connection.execute(sql, values).fetchall() for sql, values in queries]
    except sqlite3.Error:
        return nothing
    finally:
        connection.close()


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _digest_of(projects: "Sequence[Name]") -> str:
    """Return a fingerprint of IDs and names in their order."""
    from hashlib import sha256  # not at the top: completion has no use for it

    return sha256("\n".join(map("\t".join, projects)).encode("utf-8", "surrogatepass")).hexdigest()
