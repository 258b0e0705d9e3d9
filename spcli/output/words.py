"""Times in words, for people."""

import math


def duration(seconds: float) -> str:
    """Return `93` as `1m33s`, rounded up to a second."""
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def opening_time(seconds_left: float, at: str) -> str:
    """Return when a rate limit allows the next call: `now`, or in how long and `at` which time of day."""
    return f"in {duration(seconds_left)}, at {at}" if seconds_left > 0 else "now"
