"""Values as they come back from the file. A damaged row may hold anything: what is not of its kind is not known."""

from spcli.clock import Instant
from spcli.ratelimit.window import Waiter

YEAR_9000 = 2.2e11


def number(value: object) -> float:
    """A number; anything else is none, which `policy` takes for a damaged value."""
    return float(value) if isinstance(value, (int, float)) else float("nan")


def instant(wall: object, mono: object) -> Instant | None:
    """A moment; `None` where neither reading was stored."""
    return None if wall is None and mono is None else Instant(number(wall), number(mono))


def moment(value: object) -> float | None:
    """Unix seconds that a calendar can show."""
    seconds = number(value)
    return seconds if 0 <= seconds < YEAR_9000 else None


def text(value: object) -> str | None:
    """Text."""
    return value if isinstance(value, str) else None


def waiter(ticket: object, wall: object, mono: object) -> Waiter:
    """One process and when it was last heard of."""
    return Waiter(str(ticket), Instant(number(wall), number(mono)))
