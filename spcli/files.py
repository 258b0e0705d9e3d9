"""Private, atomic files: written whole or not at all, readable only by their owner."""

import os
import sys
from contextlib import suppress

from spcli.clock import Clock

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds between tries on Windows, where a virus scanner or a backup may hold the file open for a moment."""


def replace_patiently(source: "str | os.PathLike[str]", target: "str | os.PathLike[str]", clock: Clock) -> None:
    """`os.replace`, tried again for under a second while Windows says that another program has the file open.

    Its errors 5, 32 and 33 are all a `PermissionError`; elsewhere that is final. Raises `OSError`.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            return os.replace(source, target)
        except PermissionError:
            clock.sleep(pause)
    return os.replace(source, target)


def replace_file(target: str, content: bytes) -> None:
    """Make `target` a file with `content`, mode 0600 from its first byte whatever the umask; missing folders are made 0700.

    The old file stays until the new one is on the disk. Raises `OSError`.
    """
    folder = os.path.dirname(target)
    make_private_folder(folder)
    temporary = os.path.join(folder, f".{os.path.basename(target)}.{os.urandom(6).hex()}.tmp")
    # Created anew and never through a link: a file planted under that name is an error, not a place for the key.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        replace_patiently(temporary, target, Clock())
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def make_private_folder(folder: str) -> None:
    """Make `folder` and its missing parents, mode 0700 each (os.makedirs leaves the parents to the umask)."""
    if os.path.isdir(folder):
        return
    if os.path.dirname(folder) != folder:
        make_private_folder(os.path.dirname(folder))
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def _sync_folder(folder: str) -> None:
    # Without this a power cut may undo the rename. Windows cannot open a folder, some file systems cannot sync one.
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
