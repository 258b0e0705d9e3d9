"""Where the file lies, and who may read it: a folder and files of this user alone, never through a link."""

import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.files import replace_patiently

OWN = "state."
"""Every file of ours begins so."""


class Unfit(Exception):
    """The folder can't be used; another one may."""


def unusable(message: str, *, retryable: bool = False) -> SpcliError:
    """The error of a limited call without a state: it is refused before it is sent."""
    return SpcliError("config", message, hint=state_hint(), outcome="not_sent", retryable=retryable)


def state_hint() -> str:
    """The line to type that gives the state another folder."""
    return (
        "name a private folder on a local disk; in bash: export SPCLI_STATE_DIR=$HOME/.spcli-state\n"
        'in PowerShell: $env:SPCLI_STATE_DIR = "$HOME\\.spcli-state"'
    )


def spare_folder(environ: Mapping[str, str]) -> Path:
    """A private folder's place under the temp dir. Raises `OSError` where there is none."""
    import tempfile

    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
    temporary = next((environ[name] for name in ("TMPDIR", "TEMP", "TMP") if environ.get(name)), None)
    return Path(temporary or tempfile.gettempdir()) / f"spcli{user}"


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there, whatever it is called; `None` for none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def private_folder(folder: Path) -> None:
    """Make `folder` and its missing parents, mode 0700 each whatever the umask; one that was there is closed to others.

    Raises:
        OSError: it can't be made.
        SpcliError: it must not be used: a link, a foreign owner, a folder of many things that others write to.
    """
    for one in (*reversed(folder.parents), folder):
        if not os.path.lexists(one):
            with suppress(FileExistsError):
                one.mkdir(mode=0o700)
                one.chmod(0o700)
    found = os.lstat(folder)
    _refuse_foreign(folder, found, stat.S_ISDIR(found.st_mode))
    if sys.platform != "win32" and found.st_mode & 0o077:
        _close_to_others(folder, found.st_mode)


def private_file(path: Path) -> None:
    """Make `path` unless it is there, mode 0600 from its first byte whatever the umask. Raises as `private_folder`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    with suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))
        path.chmod(0o600)
    refuse_foreign_file(path)


def refuse_foreign_file(path: Path) -> None:
    """Refuse `path` when it is a link or not ours, and close it to others. Raises as `private_folder`."""
    found = os.lstat(path)
    _refuse_foreign(path, found, stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
    if found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)


def set_aside(path: Path, keep: int, clock: Clock) -> Path:
    """Rename a damaged database, journals included; the oldest of those kept makes room. Its new name."""
    numbers = sorted(int(one.name.rpartition("-")[2]) for one in kept_aside(path))
    for old in numbers[: max(0, len(numbers) - keep + 1)]:
        for suffix in ("", "-wal", "-journal"):
            _aside(path, old, suffix).unlink(missing_ok=True)
    number = max(numbers, default=0) + 1
    # The shared memory first: a fresh database that met the old one's would take it for its own.
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    for suffix in ("", "-wal", "-journal"):
        with suppress(FileNotFoundError):
            replace_patiently(path.with_name(path.name + suffix), _aside(path, number, suffix), clock)
    return _aside(path, number, "")


def kept_aside(path: Path) -> list[Path]:
    """The damaged databases that were kept."""
    return [one for one in path.parent.glob(f"{path.name}.damaged-*") if one.name.rpartition("-")[2].isdecimal()]


def _aside(path: Path, number: int, suffix: str) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}{suffix}")


def _close_to_others(folder: Path, mode: int) -> None:
    """Only a folder that holds nothing but the state is ours to close: the name may be that of a home or of /tmp."""
    if all(name.startswith(OWN) for name in os.listdir(folder)):
        folder.chmod(mode & 0o700)
    elif mode & 0o022:
        raise unusable(f"{folder} holds other files and others may write to it")


def _refuse_foreign(path: Path, found: os.stat_result, fits: bool) -> None:
    if stat.S_ISLNK(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink > 1):
        raise unusable(f"{path} is a link: the state is never written through one")
    if not fits:
        raise NotADirectoryError(0, f"{path.name} is not what it should be")
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise unusable(f"{path} belongs to another user")
