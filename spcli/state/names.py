"""Ids and names for TAB, remembered from the lists that commands have read."""

from collections.abc import Sequence

from spcli.clock import Clock
from spcli.state.connection import Connection
from spcli.state.database import Database
from spcli.state.ledger import account

NAMES_KEPT = 20_000


class Names:
    """Stored names."""

    _database: Database
    _clock: Clock

    def remember_projects(self, origin: str, user_id: str, projects: Sequence[tuple[str, str]]) -> None:
        """Keep ids and names of the account's projects for completion; a state that can't be written is noted at most."""
        self._remember("project", account(origin, user_id), projects)

    def remember_uploads(self, origin: str, user_id: str, project_id: str, uploads: Sequence[tuple[str, str]]) -> None:
        """Keep recent upload ids with their file names for completion."""
        self._remember("upload", account(origin, user_id), uploads[:50])

    def _remember(self, kind: str, who: str, names: Sequence[tuple[str, str]]) -> None:
        """Write only what is new: reading a list must not cost a commit each time."""
        rows = self._database.read("SELECT id, name FROM names WHERE kind = ? AND account = ?", (kind, who))
        known = {(row["id"], row["name"]) for row in rows}
        fresh = [pair for pair in names[:NAMES_KEPT] if pair not in known]
        seen = self._clock.wall()

        def work(connection: Connection) -> None:
            for id_, name in fresh:
                connection.run("INSERT OR REPLACE INTO names VALUES (?, ?, ?, ?, ?)", (kind, who, id_, name, seen))

        if fresh:
            self._database.attempt(work)
