"""Private, atomic files: written whole or not at all, readable only by their owner, never written through a link."""

import os
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress

from spcli.clock import Clock

_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Seconds between tries on Windows, where a virus scanner or a backup may hold the file open for a moment."""


class UnsafeFile(OSError):
    """A file or folder that must not be used: a link, another user's, or open to others."""

    def __init__(self, path: "str | os.PathLike[str]", reason: str) -> None:
        super().__init__(0, reason)
        self.path = path
        self.reason = reason


def replace_patiently(source: "str | os.PathLike[str]", target: "str | os.PathLike[str]", clock: Clock) -> None:
    """Replace `target`, trying again for under a second while Windows reports that another program has the file open.

    Its errors 5, 32 and 33 are all a `PermissionError`; elsewhere that is final. Raises `OSError`.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            return os.replace(source, target)
        except PermissionError:
            clock.sleep(pause)
    return os.replace(source, target)


def replace_file(target: str, content: bytes) -> None:
    """Make `target` a file with `content`, mode 0600 from its first byte under any umask; missing folders are made 0700.

    The old file stays until the new one is on the disk. Root leaves the file to the owner of the old one, or of the folder: it
    may be in another user's home, as with sudo or in a container. Raises `OSError`.
    """
    folder = os.path.dirname(target)
    owner = _owner_to_keep(target)
    make_private_folder(folder, owner)
    temporary = os.path.join(folder, f".{os.path.basename(target)}.{os.urandom(6).hex()}.tmp")
    # Created anew and never through a link: a file planted under that name is an error, not a place for the key.
    descriptor = _create_exclusively(temporary)
    try:
        with open(descriptor, "wb") as file:
            if owner is not None and sys.platform != "win32":
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        replace_patiently(temporary, target, Clock())
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _owner_to_keep(target: str) -> tuple[int, int] | None:
    """Return user and group of `target`, or of the nearest folder above it, if root is about to write another user's file."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    path = target
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    info = os.stat(path)
    return (info.st_uid, info.st_gid) if info.st_uid != 0 else None


def make_private_folder(folder: "str | os.PathLike[str]", owner: tuple[int, int] | None = None) -> None:
    """Make `folder` and its missing parents, mode 0700 each under any umask; an existing one stays as it is.

    Args:
        owner: user and group that get the new folders, instead of this user.

    Raises:
        OSError: it can't be made.
    """
    folder = os.fspath(folder)
    if os.path.isdir(folder):
        return
    if os.path.dirname(folder) != folder:
        make_private_folder(os.path.dirname(folder), owner)
    try:
        os.mkdir(folder, 0o700)
        if sys.platform != "win32":
            os.chmod(folder, 0o700)  # the umask may have taken the owner's own bits
            if owner is not None:
                os.chown(folder, *owner, follow_symlinks=False)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def make_private_file(path: "str | os.PathLike[str]") -> None:
    """Make an empty `path` unless it exists, mode 0600 under any umask. Raises as `assert_private_file`."""
    with suppress(FileExistsError):
        os.close(_create_exclusively(path))
        os.chmod(path, 0o600)
    assert_private_file(path)


def assert_private_file(path: "str | os.PathLike[str]") -> None:
    """Make sure that `path` is a plain file of this user, and close it to others.

    Raises:
        UnsafeFile: it is a link (also a hard one), another user's, or no plain file: a FIFO would block the one who opens it.
        OSError: it does not exist, or can't be looked at.
    """
    info = os.lstat(path)
    if stat.S_ISLNK(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink > 1):
        raise UnsafeFile(path, "is a link")
    if not stat.S_ISREG(info.st_mode):
        raise UnsafeFile(path, "is not a regular file")
    _assert_own(path, info)
    if sys.platform != "win32" and info.st_mode & 0o077:
        os.chmod(path, info.st_mode & 0o700)


def assert_private_files(path: "str | os.PathLike[str]", suffixes: Sequence[str]) -> None:
    """Make sure that `path` is private, and the files of that name with one of `suffixes` where they exist.

    Raises as `assert_private_file`.
    """
    assert_private_file(path)
    for suffix in suffixes:
        with suppress(FileNotFoundError):
            assert_private_file(f"{os.fspath(path)}{suffix}")


def assert_private_folder(folder: "str | os.PathLike[str]", *, prefix: str) -> None:
    """Make sure that `folder` is a folder of this user that no other user can write to.

    It is closed to others if it holds only files named `prefix…`: the path may be that of a home, or of /tmp.

    Raises:
        UnsafeFile: it is a link, another user's, or holds other files while others may write to it.
        OSError: it is no folder, or can't be looked at.
    """
    info = os.lstat(folder)
    if stat.S_ISLNK(info.st_mode):
        raise UnsafeFile(folder, "is a link")
    if not stat.S_ISDIR(info.st_mode):
        raise NotADirectoryError(0, f"{os.path.basename(folder)} is not a folder")
    _assert_own(folder, info)
    if sys.platform == "win32" or not info.st_mode & 0o077:
        return
    if all(name.startswith(prefix) for name in os.listdir(folder)):
        os.chmod(folder, info.st_mode & 0o700)
    elif info.st_mode & 0o022:
        raise UnsafeFile(folder, "holds other files and others may write to it")


def _assert_own(path: "str | os.PathLike[str]", info: os.stat_result) -> None:
    if sys.platform != "win32" and info.st_uid != os.geteuid():
        raise UnsafeFile(path, "belongs to another user")


def _create_exclusively(path: "str | os.PathLike[str]") -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    return os.open(path, flags, 0o600)


def _sync_folder(folder: str) -> None:
    # Without this a power cut may undo the rename. Windows cannot open a folder, some file systems cannot sync one.
    if sys.platform != "win32":
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
