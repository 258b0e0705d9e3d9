"""The state of one user on this machine: one SQLite file, shared by all processes.

It holds no key and no URL query, and the user id only hashed. Instants are pairs of wall and monotonic time (`clock.Instant`);
`ratelimit.window` decides what they mean.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from spcli.clock import Clock, Instant
from spcli.ratelimit.window import WINDOW
from spcli.state.database import PATIENCE, Connection, Database
from spcli.state.events import Events
from spcli.state.ledger import Ledger
from spcli.state.names import Names
from spcli.state.place import is_recent_loss
from spcli.state.schema import read_instant
from spcli.state.windows import Windows


class State:
    """The parts of the state over one database; nothing is opened before it is needed.

    Args:
        folder: the folder of `state.db`. If there has never been one and none can be made, a folder under the temp dir is used.
        environ: names the temp dir.
        note: receives a line, once, about a damaged file, a file in use, or another folder.
        window: seconds between two limited calls.
        patience: seconds to wait for a file that is in use.
    """

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        note: Callable[[str], None],
        window: float = WINDOW,
        patience: float = PATIENCE,
    ) -> None:
        self._clock = clock
        self._database = Database(folder, clock=clock, environ=environ, note=note, patience=patience)
        self.windows = Windows(self._database, clock, window)
        self.ledger = Ledger(self._database, clock)

    @cached_property
    def events(self) -> Events:
        """Return the received webhook events."""
        return Events(self._database, self._clock)

    @cached_property
    def names(self) -> Names:
        """Return the names remembered for completion."""
        return Names(self._database, self._clock)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def lost_memory_at(self) -> Instant | None:
        """Return when a damaged file was set aside, with all attempts of unknown outcome in it; None if that is a day ago.

        Raises:
            SpcliError: `config`, not_sent: the state can't be read, so nothing may be sent.
        """
        rows = self._database.require("SELECT wall, mono FROM meta WHERE key = 'reborn'")
        lost = read_instant(rows[0]["wall"], rows[0]["mono"]) if rows else None
        return lost if lost is not None and is_recent_loss(lost, self._clock.now()) else None

    def probe(self) -> Path:
        """Write to the disk, leave nothing behind, and return where the file is. Raises `SpcliError` (config)."""

        def write_and_delete(connection: Connection) -> None:
            connection.run("INSERT OR REPLACE INTO meta VALUES ('probe', 0, 0)")
            connection.run("DELETE FROM meta WHERE key = 'probe'")

        self._database.write(write_and_delete, durable=True)
        return self._database.path
