"""The state of one user on this machine: one SQLite file, shared by all processes.

It holds no key and no URL query, and the user id only hashed. Instants are pairs of wall and monotonic time (`clock.Instant`);
`ratelimit.window` decides what they mean.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.state.connection import Connection
from spcli.state.database import PATIENCE, Database
from spcli.state.events import Events
from spcli.state.ledger import Ledger
from spcli.state.names import Names
from spcli.state.windows import Windows


class State:
    """The parts of the state over one database; nothing is opened before it is needed.

    Args:
        folder: where `state.db` lies; a private folder under the temp dir stands in where it can't be used.
        environ: says where the temp dir is.
        note: receives a line, once, about a damaged file or another folder.
        patience: seconds to wait for a lock that another process holds.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, environ: Mapping[str, str], note: Callable[[str], None], patience: float = PATIENCE
    ) -> None:
        self._database = Database(folder, clock=clock, environ=environ, note=note, patience=patience)
        self.windows = Windows(self._database, clock)
        self.ledger = Ledger(self._database, clock)
        self.events = Events(self._database, clock)
        self.names = Names(self._database, clock)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def problem(self) -> SpcliError | None:
        """Return why the state can't be used, once that was tried; reads return nothing then."""
        return self._database.problem

    def probe(self) -> Path:
        """Write to the disk, leave nothing behind, and return where the file is. Raises `SpcliError` (config)."""

        def work(connection: Connection) -> None:
            connection.run("INSERT OR REPLACE INTO meta VALUES ('probe', 0, 0)")
            connection.run("DELETE FROM meta WHERE key = 'probe'")

        self._database.write(work, durable=True)
        return self._database.path
