"""Which process wrote a row, and whether it is provably gone.

On POSIX a process of this machine can be looked up; elsewhere, and for another container's, only the heartbeat tells (on Windows
signal 0 would be Ctrl-C).
"""

import os
import sys
from contextlib import suppress
from functools import cache

_DEAD = "dead"


@cache
def here() -> str:
    """The place process ids are valid in: the machine, and on Linux its boot and the namespace."""
    import socket

    boot = ""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        boot = f"{file.read().strip().decode()}.{os.stat('/proc/self/ns/pid').st_ino}"
    return f"{socket.gethostname()}/{boot}"


def owner(pid: int | None = None) -> str:
    """This process (or `pid`), as stored."""
    number = os.getpid() if pid is None else pid
    return f"{here()}/{number}/{_start(number)}"


def is_gone(stored: object) -> bool:
    """Whether that process is provably dead; a doubt is no."""
    known = _known(stored)
    if known is None:
        return False
    pid, started = known
    if not _exists(pid):
        return True
    now = _start(pid)
    return now == _DEAD or bool(started and now and started != now)


def is_running(stored: object) -> bool:
    """Whether that very process provably runs."""
    known = _known(stored)
    return known is not None and bool(known[1]) and _start(known[0]) == known[1]


def _known(stored: object) -> tuple[int, str] | None:
    """Process id and start time of a row written in the place we are in, where processes can be looked up."""
    if sys.platform == "win32" or not isinstance(stored, str) or not stored.startswith(f"{here()}/"):
        return None
    pid, _, started = stored.removeprefix(f"{here()}/").partition("/")
    # Nine digits: no system has larger ids, and a damaged row may hold a number without end.
    if not (pid.isascii() and pid.isdecimal() and len(pid) < 10) or int(pid) == 0:
        return None
    return int(pid), started


def _exists(pid: int) -> bool:
    # Another user's process may not be signalled: it exists.
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _start(pid: int) -> str:
    """When the process started, in the kernel's ticks; empty where that cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            fields = status.read().rpartition(b")")[2].split()
        # A zombie is as dead as one that is gone.
        return _DEAD if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return ""
