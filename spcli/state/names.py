"""Ids and names for TAB, remembered from the lists that commands have read."""

from collections.abc import Sequence

from spcli.clock import Clock
from spcli.state.account import Account
from spcli.state.connection import Connection
from spcli.state.database import Database

PROJECTS_KEPT = 20_000
UPLOADS_KEPT = 1_000
"""Those seen last; each list of builds adds its newest."""
_UPLOADS_ADDED = 50

_PUT = "INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)"
_CLEAR = "DELETE FROM names WHERE kind = 'project' AND account = ?"
_PRUNE = (
    "DELETE FROM names WHERE kind = 'upload' AND account = ? AND rowid NOT IN"
    " (SELECT rowid FROM names WHERE kind = 'upload' AND account = ? ORDER BY seen DESC, rowid LIMIT ?)"
)


class Names:
    """Store names."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def remember_projects(self, account: Account, projects: Sequence[tuple[str, str]], *, digest: str = "") -> None:
        """Keep ids and names of all the account's projects for completion, in place of those known before.

        `digest` is kept beside them, so that whoever has the same list again can tell without reading it. A state that can't be
        written is noted at most.
        """
        who, seen = account.user, self._clock.wall()

        def work(connection: Connection) -> None:
            connection.run(_CLEAR, (who,))
            for id_, name in projects[:PROJECTS_KEPT]:
                connection.run(_PUT, ("project", who, id_, name, seen))
            connection.run(_PUT, ("projects", who, "digest", digest, seen))

        self._database.attempt(work)

    def remember_uploads(self, account: Account, uploads: Sequence[tuple[str, str]]) -> None:
        """Keep recent upload ids with their file names for completion; what is known already costs no commit."""
        who, seen = account.user, self._clock.wall()
        rows = self._database.read("SELECT id, name FROM names WHERE kind = 'upload' AND account = ?", (who,))
        known = {(row["id"], row["name"]) for row in rows}
        fresh = [pair for pair in uploads[:_UPLOADS_ADDED] if pair not in known]

        def work(connection: Connection) -> None:
            for id_, name in fresh:
                connection.run(_PUT, ("upload", who, id_, name, seen))
            connection.run(_PRUNE, (who, who, UPLOADS_KEPT))

        if fresh:
            self._database.attempt(work)
