"""Which process wrote a row, and whether it is provably gone.

On POSIX a process of this machine can be looked up; elsewhere, and for another container's, only the heartbeat tells (on Windows
signal 0 would be Ctrl-C).
"""

import os
import sys


def here() -> str:
    """The place process ids are valid in: the machine, and on Linux the namespace."""
    import socket

    try:
        namespace = str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"


def owner(pid: int | None = None) -> str:
    """This process (or `pid`), as stored."""
    number = os.getpid() if pid is None else pid
    return f"{here()}/{number}/{_start(number)}"


def is_gone(text: str | None) -> bool:
    """Whether that process is provably dead; a doubt is no."""
    known = _known(text)
    if known is None:
        return False
    pid, started = known
    if not _exists(pid):
        return True
    now = _start(pid)
    return bool(started and now and started != now)


def is_running(text: str | None) -> bool:
    """Whether that very process provably runs."""
    known = _known(text)
    return known is not None and bool(known[1]) and _start(known[0]) == known[1]


def _known(text: str | None) -> tuple[int, str] | None:
    """Process id and start time of a row written in the place we are in, where processes can be looked up."""
    place, _, rest = (text or "").rpartition("/")
    place, _, pid = place.rpartition("/")
    if sys.platform == "win32" or place != here() or not pid.isdigit() or int(pid) <= 0:
        return None
    return int(pid), rest


def _exists(pid: int) -> bool:
    if sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _start(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where that cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            fields = status.read().rpartition(b")")[2].split()
        # A zombie is as dead as one that is gone.
        return "dead" if fields[0] == b"Z" else fields[19].decode()
    except (OSError, IndexError):
        return ""
