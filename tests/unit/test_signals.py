"""Signals as exceptions: one at a time, only while they are heard, and none is forgotten that came too early."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spcli.clock import Clock
from spcli.errors import Interrupted, SpcliError
from spcli.signals import TOGETHER, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    caught = Signals()
    caught.catch()
    yield caught
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook


def come(number: int) -> None:
    signal.raise_signal(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_is_raised_where_it_is_heard(signals: Signals, number: int, code: int) -> None:
    signals.hear()
    with pytest.raises(Interrupted) as raised:
        come(number)
    assert raised.value.exit_code == code


def test_signal_that_came_too_early_is_raised_at_the_first_hearing_and_once(signals: Signals) -> None:
    come(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised:
        signals.hear()
    assert raised.value.exit_code == 143
    signals.hear()


def test_signals_that_come_together_are_one_and_a_later_one_is_raised_again(
    signals: Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    signals.hear()
    with pytest.raises(Interrupted):
        come(signal.SIGINT)
    come(signal.SIGTERM)
    now[0] += TOGETHER + 0.1
    with pytest.raises(Interrupted):
        come(signal.SIGINT)


class Fickle:
    """Raises in its finalizer, where an exception goes nowhere."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens

    def __del__(self) -> None:
        self.happens()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_that_gets_lost_in_a_finalizer_comes_once_more(
    signals: Signals, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    signals.hear()
    Fickle(lambda: come(number))
    with pytest.raises(Interrupted) as raised:
        Clock().sleep(30)
    assert raised.value.exit_code == code
    assert capsys.readouterr().err == ""


def test_any_other_error_in_a_finalizer_is_told_as_ever(signals: Signals, capsys: pytest.CaptureFixture[str]) -> None:
    signals.hear()
    Fickle(lambda: print(1 // 0))
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_next_hearing_takes_a_signal_that_follows_at_once(signals: Signals) -> None:
    signals.hear()
    with pytest.raises(Interrupted):
        come(signal.SIGINT)
    signals.hear()
    with pytest.raises(Interrupted):
        come(signal.SIGINT)


def test_no_signal_replaces_a_failure_that_is_decided(signals: Signals) -> None:
    def fail() -> None:
        raise SpcliError("unknown", "who knows")

    signals.hear()
    with pytest.raises(SpcliError, match="who knows"):
        signals.deaf_once_decided(fail)
    come(signal.SIGINT)


def test_a_success_is_followed_by_hearing_on(signals: Signals) -> None:
    signals.hear()
    assert signals.deaf_once_decided(lambda: 7) == 7
    with pytest.raises(Interrupted):
        come(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_shell_ignores_for_its_background_jobs_stays_ignored(signals: Signals, number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    signals.catch()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_ctrl_break_is_caught_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", lambda number, _handler: caught.append(number))
    Signals().catch()
    assert caught == [signal.SIGINT, signal.SIGTERM, 21]
