"""Signals as exceptions: delivered one at a time inside `deliver`, held back outside, and never lost."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from spcli.clock import Clock
from spcli.errors import Interrupted, SpcliError
from spcli.signals import MERGE_WITHIN, Postponement, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    for number in before:
        # The parent of the tests may have started them with SIGINT ignored (nohup, a shell's background job).
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
    installed = Signals()
    installed.install_handlers()
    yield installed
    for number, handler in before.items():
        signal.signal(number, handler)
    sys.unraisablehook = hook


def send(number: int) -> None:
    signal.raise_signal(number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_is_raised_inside_deliver(signals: Signals, number: int, code: int) -> None:
    with pytest.raises(Interrupted) as raised, signals.deliver():
        send(number)
    assert raised.value.exit_code == code


def test_signal_before_deliver_is_raised_once_when_the_block_begins(signals: Signals) -> None:
    ran = []
    send(signal.SIGTERM)
    with pytest.raises(Interrupted) as raised, signals.deliver():
        ran.append("first")
    assert raised.value.exit_code == 143
    with signals.deliver():
        ran.append("second")
    assert ran == ["second"]


def test_signals_in_quick_succession_count_as_one(signals: Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with signals.deliver():
        with pytest.raises(Interrupted):
            send(signal.SIGINT)
        send(signal.SIGTERM)
        now[0] += MERGE_WITHIN + 0.1
        with pytest.raises(Interrupted):
            send(signal.SIGINT)


class Fickle:
    """Raises in its finalizer, where an exception is lost."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens

    def __del__(self) -> None:
        self.happens()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_lost_in_a_finalizer_is_sent_again(
    signals: Signals, capsys: pytest.CaptureFixture[str], number: int, code: int
) -> None:
    def wait() -> None:
        with signals.deliver():
            Fickle(lambda: send(number))
            Clock().sleep(30)

    with pytest.raises(Interrupted) as raised:
        wait()
    assert raised.value.exit_code == code
    assert capsys.readouterr().err == ""


def test_other_errors_in_a_finalizer_are_reported_by_python(signals: Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with signals.deliver():
        Fickle(lambda: print(1 // 0))
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_second_block_is_interrupted_by_a_signal_right_after_the_first_one(signals: Signals) -> None:
    for _ in range(2):
        with pytest.raises(Interrupted), signals.deliver():
            send(signal.SIGINT)


@pytest.mark.parametrize("failure", [SpcliError("unknown", "decided"), Interrupted(130)], ids=["error", "interrupted"])
def test_no_signal_replaces_the_failure_of_a_block(signals: Signals, failure: BaseException) -> None:
    with signals.deliver():
        with pytest.raises(type(failure)) as raised, signals.deliver():
            raise failure
        send(signal.SIGINT)
    assert raised.value is failure


def test_signals_are_delivered_after_an_inner_block_that_succeeded(signals: Signals) -> None:
    with signals.deliver():
        with signals.deliver():
            pass
        with pytest.raises(Interrupted):
            send(signal.SIGINT)


def test_signals_are_held_back_after_the_last_block_and_after_hold(signals: Signals) -> None:
    with signals.deliver():
        pass
    send(signal.SIGINT)
    with pytest.raises(Interrupted), signals.deliver():
        pytest.fail("the signal from before must come first")
    with signals.deliver():
        signals.hold()
        send(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ignored_signals_stay_ignored(signals: Signals, number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    signals.install_handlers()
    assert signal.getsignal(number) is signal.SIG_IGN


def test_ctrl_break_is_handled_where_it_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[Any] = []
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    monkeypatch.setattr(signal, "getsignal", lambda _number: signal.SIG_DFL)
    monkeypatch.setattr(signal, "signal", lambda number, _handler: handled.append(number))
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    Signals().install_handlers()
    assert handled == [signal.SIGINT, signal.SIGTERM, 21]


def test_a_signal_in_a_postponement_is_handled_at_its_end(signals: Signals) -> None:
    steps: list[str] = []

    def work() -> None:
        with Postponement():
            send(signal.SIGTERM)
            steps.append("end of block")
        steps.append("after the block")

    with pytest.raises(Interrupted) as caught, signals.deliver():
        work()
    assert (steps, caught.value.exit_code) == (["end of block"], 143)
