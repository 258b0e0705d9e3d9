"""Tell which process wrote a row, and whether that process provably runs or is gone.

On POSIX a process of this machine can be looked up. Elsewhere, and for a process of another container, only the heartbeat does
(on Windows signal 0 would be Ctrl-C).
"""

import os
import socket
import sys
from contextlib import suppress
from functools import cache

_DEAD = "dead"


@cache
def process_space() -> str:
    """Return where process ids are valid: the machine, and on Linux its boot and the namespace."""
    boot = ""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", "rb") as file:
        boot = f"{file.read().strip().decode()}.{os.stat('/proc/self/ns/pid').st_ino}"
    return f"{socket.gethostname()}/{boot}"


def own_process(pid: int | None = None) -> str:
    """Return this process (or `pid`) as it is stored."""
    number = os.getpid() if pid is None else pid
    return f"{process_space()}/{number}/{_start_time(number)}"


def is_process_gone(stored: object) -> bool:
    """Return whether that process is provably dead; a doubt is no."""
    process = _parse_process(stored)
    if process is None:
        return False
    pid, started = process
    if not _process_exists(pid):
        return True
    now = _start_time(pid)
    return now == _DEAD or bool(started and now and started != now)


def is_process_running(stored: object) -> bool:
    """Return whether that very process provably runs."""
    process = _parse_process(stored)
    return process is not None and bool(process[1]) and _start_time(process[0]) == process[1]


def _parse_process(stored: object) -> tuple[int, str] | None:
    """Return process id and start time of a row written in this process space; None where processes can't be looked up."""
    if sys.platform == "win32" or not isinstance(stored, str) or not stored.startswith(f"{process_space()}/"):
        return None
    pid, _, started = stored.removeprefix(f"{process_space()}/").partition("/")
    # Nine digits: no system has larger ids, and a damaged row may hold a number without end.
    if not (pid.isascii() and pid.isdecimal() and len(pid) < 10) or int(pid) == 0:
        return None
    return int(pid), started


def _process_exists(pid: int) -> bool:
    # Another user's process may not be signalled: it exists.
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def _start_time(pid: int) -> str:
    """Return when the process started, in the kernel's ticks; empty if unknown."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as status:
            fields = status.read().rpartition(b")")[2].split()
        # A zombie is as dead as one that is gone.
        return _DEAD if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return ""
