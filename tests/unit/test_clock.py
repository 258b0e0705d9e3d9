"""The machine's clocks, as far as they can be told from outside."""

import time

import pytest

from spcli.clock import Clock


class Suspended(Clock):
    """A machine on which `time.sleep` is the only thing that takes time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def mono(self) -> float:
        return self.seconds

    def doze(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.mark.parametrize(("seconds", "slices"), [(-1.0, []), (0.0, []), (0.25, [0.25]), (2.5, [1.0, 1.0, 0.5])])
def test_long_sleep_is_split_so_that_a_signal_is_handled(
    monkeypatch: pytest.MonkeyPatch, seconds: float, slices: list[float]
) -> None:
    clock = Suspended()
    monkeypatch.setattr(time, "sleep", clock.doze)
    clock.sleep(seconds)
    assert clock.slept == slices


def test_sleep_counts_time_during_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Suspended()
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.doze(seconds + 600))
    clock.sleep(60)
    assert len(clock.slept) == 1


def test_sleep_never_ends_early() -> None:
    clock = Clock()
    before = clock.mono()
    clock.sleep(0.02)
    assert clock.mono() - before >= 0.02
