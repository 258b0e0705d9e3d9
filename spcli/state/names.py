"""Remember IDs and names for completion from the lists that commands have read; `reader.read_names` gives them back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spcli.clock import Clock
from spcli.state.account import Account
from spcli.state.reader import read_rows

if TYPE_CHECKING:
    from spcli.state.database import Connection, Database

PROJECTS_KEPT = 20_000
UPLOADS_KEPT = 1_000
"""Those seen last; each list of builds adds its newest."""
UPLOADS_ADDED = 50

_PUT = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)"
_CLEAR = "DELETE FROM names WHERE kind = 'project' AND account = ?"
_PRUNE = (
    "DELETE FROM names WHERE kind = 'upload' AND account = ? AND rowid NOT IN"
    " (SELECT rowid FROM names WHERE kind = 'upload' AND account = ? ORDER BY seen DESC, rowid LIMIT ?)"
)
_DIGEST = "SELECT id, name FROM names WHERE kind = 'projects' AND account = ?"


class Names:
    """Remember names. A state that can't be written is noted at most."""

    def __init__(self, database: "Database", clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def remember_projects(self, account: Account, projects: Sequence[tuple[str, str]]) -> None:
        """Keep IDs and names of all the account's projects, in place of those known before.

        The same list again costs one read-only look: opening the database to write would make `projects list` a tenth slower.
        """
        digest = _digest_of(projects)
        (rows,) = read_rows(str(self._database.path), [(_DIGEST, (account.user,))])
        if any(name == digest for _, name in rows):
            return
        user, seen = account.user, self._clock.wall()

        def store_projects(connection: "Connection") -> None:
            connection.run(_CLEAR, (user,))
            for id_, name in projects[:PROJECTS_KEPT]:
                connection.run(_PUT, ("project", user, id_, name, seen))
            connection.run(_PUT, ("projects", user, "digest", digest, seen))

        self._database.attempt(store_projects)

    def remember_uploads(self, account: Account, uploads: Sequence[tuple[str, str]]) -> None:
        """Keep recent upload IDs with their file names; what is known already costs no commit."""
        user, seen = account.user, self._clock.wall()
        rows = self._database.read("SELECT id, name FROM names WHERE kind = 'upload' AND account = ?", (user,))
        known = {(row["id"], row["name"]) for row in rows}
        fresh = [pair for pair in uploads[:UPLOADS_ADDED] if pair not in known]

        def store_uploads(connection: "Connection") -> None:
            for id_, name in fresh:
                connection.run(_PUT, ("upload", user, id_, name, seen))
            connection.run(_PRUNE, (user, user, UPLOADS_KEPT))

        if fresh:
            self._database.attempt(store_uploads)


def _digest_of(projects: Sequence[tuple[str, str]]) -> str:
    """Return a fingerprint of IDs and names in their order."""
    from hashlib import sha256  # 2 ms, and not every command lists projects

    return sha256("\n".join(map("\t".join, projects)).encode("utf-8", "surrogatepass")).hexdigest()
