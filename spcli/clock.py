"""Time and chance: the only place that reads a clock, sleeps or draws a random number.

Everything else receives a `Clock`, so that tests replace waiting with arithmetic.

A decision that must not come too early compares instants on both clocks: the wall clock may be set while a command waits, and the
other one starts again at a reboot.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_SLICE = 1.0
"""Seconds that a sleep lasts before it looks at the clock again."""


class Instant(NamedTuple):
    """One moment read from two clocks, in seconds.

    `wall` is Unix time: it survives a reboot and may be stepped. `mono` counts from an arbitrary start, is never stepped, and
    starts again at a reboot. Stored together, each covers for the other (`ratelimit.window.seconds_left`).
    """

    wall: float
    mono: float


class Clock:
    """The machine's clocks."""

    wall: Callable[[], float] = staticmethod(time.time)
    """Return Unix time, in seconds."""
    mono: Callable[[], float] = staticmethod(time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME))
    """Return seconds on a clock that is never stepped and, where the system has one, runs during suspend.

    It is the same for every process on the machine, so it may be stored and compared until the next reboot. It is read dozens of
    times in each call, so it is no Python function.
    """

    def now(self) -> Instant:
        """Return both readings."""
        return Instant(self.wall(), self.mono())

    def sleep(self, seconds: float) -> None:
        """Wait `seconds`; a signal handler that raises ends it early. Negative is no wait.

        It sleeps in slices: a signal right before the system call is handled only after it, and a suspended system does not
        count that time.
        """
        until = self.mono() + seconds
        while (left := until - self.mono()) > 0:
            time.sleep(min(left, _SLICE))

    def chance(self) -> float:
        """Return a random number in [0, 1), for jitter."""
        import random  # 5 ms, and most commands need no jitter

        return random.random()
