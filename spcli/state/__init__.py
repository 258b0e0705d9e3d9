"""What this machine remembers: the windows and who waits for them, every write sent from here, received events, names for TAB.

One SQLite file shared by all processes of the user. It holds no key and no URL query, and the user id only hashed. Instants are
pairs of wall and monotonic time (`clock.Instant`); what they mean is decided in `policy`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.state.connection import Connection
from spcli.state.database import PATIENCE, Database
from spcli.state.events import Event, Received
from spcli.state.ledger import Attempt, Ledger, NewAttempt, account
from spcli.state.names import Names
from spcli.state.windows import LIMITED_ENDPOINTS, Windows, WindowView, bucket

__all__ = ["LIMITED_ENDPOINTS", "Attempt", "Event", "NewAttempt", "State", "WindowView", "account", "bucket"]


class State(Windows, Ledger, Received, Names):
    """The state of one user on this machine; nothing is opened before it is needed.

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
        self._clock = clock

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def problem(self) -> SpcliError | None:
        """Why the state can't be used, once that was tried; reads give nothing then."""
        return self._database.problem

    def probe(self) -> Path:
        """Write to the disk, leave nothing behind; where the file lies. Raises `SpcliError` (config) when it can't be written."""

        def work(connection: Connection) -> None:
            connection.run("INSERT OR REPLACE INTO meta VALUES ('probe', 0, 0)")
            connection.run("DELETE FROM meta WHERE key = 'probe'")

        self._database.write(work, durable=True)
        return self._database.path
