"""Times, sizes and numbers in words, for people."""

import math
from datetime import datetime
from time import localtime, strftime
from typing import Literal

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def duration(seconds: float) -> str:
    """Return `93` as `1m33s`, rounded up to a second."""
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def opening_time(seconds_left: float, at: str) -> str:
    """Return when a rate limit allows the next call: `now`, or in how long and `at` which time of day."""
    return f"in {duration(seconds_left)}, at {at}" if seconds_left > 0 else "now"


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: `1 file`, `1,234 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(size: int) -> str:
    """Return bytes in decimal units, as storage services count them: `29.9 GB`."""
    if size < 1000:
        return count_of(size, "byte")
    power = 1
    while size >= 999.95 * 1000**power and power < len(_UNITS):
        power += 1
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"


def format_span(seconds: float) -> str:
    """Return a length of time in words: `45 minutes`, `3 h 20 min`, `6 days`."""
    minutes = int(seconds // 60)
    if minutes < 120:
        return count_of(minutes, "minute") if minutes else count_of(int(seconds), "second")
    hours, minutes = divmod(minutes, 60)
    if hours >= 72:
        return f"{hours // 24:,} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def local_time(iso: str | None, *, precision: Literal["minutes", "seconds"] = "minutes") -> str:
    """Return an ISO 8601 instant in local time, such as `2026-04-30 14:00`; "" for None, any other text as it is."""
    if not iso or len(iso) <= len("2026-04-30"):
        return iso or ""
    from spcli.models import unix_time  # not at the top: help does not need the models

    seconds = unix_time(iso)
    try:
        return iso if seconds is None else datetime.fromtimestamp(seconds).isoformat(" ", precision)
    except (ValueError, OverflowError, OSError):
        return iso  # not a time of this machine's calendar


def clock_time(wall: float) -> str:
    """Return a Unix time as the local time of day, `14:03:22`."""
    return strftime("%H:%M:%S", localtime(wall))
