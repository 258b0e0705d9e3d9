"""The place of the state file: its folder, a spare one, the files beside it, and damaged ones that were set aside."""

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spcli.clock import Clock, Instant
from spcli.errors import SpcliError
from spcli.files import assert_private_folder, make_private_folder, replace_patiently

PREFIX = "state."
"""Every file of the state has a name that begins with this."""
JOURNALS = ("-wal", "-shm", "-journal")
"""The files that SQLite keeps beside a database; it writes to them as to the database itself."""
KEPT_DAMAGED = 3
MEMORY_LOST = 86400.0
"""Seconds for which a lost history makes the build list doubtful."""


def config_error(message: str, *, hint: str, retryable: bool = False) -> SpcliError:
    """Return the error of a limited call without a state: it is refused before it is sent."""
    return SpcliError("config", message, hint=hint, outcome="not_sent", retryable=retryable)


def folder_hint() -> str:
    """Return the lines to type that give the state another folder."""
    return (
        "choose a private folder on a local disk, in bash: export SPCLI_STATE_DIR=$HOME/.spcli-state\n"
        'in PowerShell: $env:SPCLI_STATE_DIR = "$HOME\\.spcli-state"'
    )


def access_hint(path: Path) -> str:
    """Return how to look at a state that exists and can't be used. Another folder would forget the rate limits."""
    look = f'Get-Acl "{path}"' if sys.platform == "win32" else f"ls -la {shlex.quote(str(path.parent))}"
    warning = "a new folder starts without the rate limits and history of this one"
    return f"check the owner and permissions: {look}\n{warning}: {folder_hint()}"


def find_spare_folder(environ: Mapping[str, str]) -> Path:
    """Return the path of a private folder under the temp dir.

    Raises:
        OSError: there is none. On Windows the machine's own temp dir is shared by all services, and the owner of a folder in it
            is only in its access list: only a temp dir inside the user's profile is used.
    """
    import tempfile  # slow to import, and seldom needed

    temporary = next((environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)), None) or tempfile.gettempdir()
    if sys.platform == "win32":
        # Either may be written with short names, such as C:/Users/RUNNER~1.
        folder, profile = (os.path.normcase(os.path.realpath(one)) for one in (temporary, environ.get("USERPROFILE") or os.sep))
        if profile == os.path.dirname(profile) or not folder.startswith(profile + os.sep):
            raise OSError(0, "the temp dir is shared by all users of this machine")
        return Path(temporary) / "spcli"
    return Path(temporary) / f"spcli-{os.getuid()}"


def prepare_folder(folder: Path) -> None:
    """Make the state's folder, or make sure that the one which is there is private. Raises `OSError`."""
    if not os.path.lexists(folder):
        make_private_folder(folder)
    assert_private_folder(folder, prefix=PREFIX)


def set_aside(path: Path, clock: Clock) -> Path:
    """Rename a damaged database, journals included, and return its new name; the oldest of those kept makes room."""
    numbers = sorted(int(one.name.rpartition("-")[2]) for one in list_damaged(path))
    for old in numbers[: max(0, len(numbers) - KEPT_DAMAGED + 1)]:
        for suffix in ("", *JOURNALS):
            Path(f"{_damaged_name(path, old)}{suffix}").unlink(missing_ok=True)
    kept = _damaged_name(path, max(numbers, default=0) + 1)
    # The shared memory first: a fresh database that met the old one's would take it for its own.
    Path(f"{path}-shm").unlink(missing_ok=True)
    replace_patiently(path, kept, clock)
    with suppress(OSError):
        os.utime(kept, (clock.wall(), clock.wall()))
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            replace_patiently(Path(f"{path}{suffix}"), Path(f"{kept}{suffix}"), clock)
    return kept


def list_damaged(path: Path) -> list[Path]:
    """Return the damaged databases that were kept."""
    return [one for one in path.parent.glob(f"{path.name}.damaged-*") if one.name.rpartition("-")[2].isdecimal()]


def follows_damage(path: Path, now: float) -> bool:
    """Return whether a database was set aside in the last day, so that a new one takes the place of a memory that is lost.

    The process that set it aside may have died before it made the new one. Set aside in the future is a stepped clock: lately.
    """
    return any(now - one.stat().st_mtime < MEMORY_LOST for one in list_damaged(path))


def is_recent_loss(lost: Instant, now: Instant) -> bool:
    """Return whether a memory lost at `lost` still counts: unless each clock that can tell shows that a day has passed."""
    ages = [age for age in (now.wall - lost.wall, now.mono - lost.mono) if age >= 0]
    return not ages or min(ages) < MEMORY_LOST


def remove_journals(path: Path) -> None:
    """Remove journals beside the place of a new database: SQLite would replay those of another one into it."""
    for suffix in JOURNALS:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _damaged_name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}")
