"""Stored windows under clocks that are stepped or restarted, and values that are damaged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli.ratelimit.window import BEAT, WINDOW, Rules, Wait
from spcli.state.store import State
from tests.unit.machine import DAY, RULES, Caller, Machine, called


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path / "state")
    yield found
    found.close()
    assert found.notes == []


@pytest.mark.parametrize("step", [-DAY, DAY, -3600.0, 3600.0])
def test_stepped_wall_clock_changes_nothing(machine: Machine, step: float) -> None:
    called(machine)
    caller, other = Caller(machine), Caller(machine)
    machine.clock.sleep(10)
    machine.clock.stepped = step
    turn = caller.wait()
    assert turn.left == pytest.approx(WINDOW - 10)
    assert other.wait().position == 1
    assert caller.until_go() == pytest.approx(WINDOW - 10, abs=0.3)


@pytest.mark.parametrize("step", [-DAY, DAY])
def test_clock_stepped_there_and_back_changes_nothing(machine: Machine, step: float) -> None:
    called(machine)
    caller = Caller(machine)
    for moment in (step, 0.0):
        machine.clock.sleep(20)
        machine.clock.stepped = moment
        caller.wait()
    assert caller.until_go() == pytest.approx(WINDOW - 40, abs=0.3)


def test_after_a_restart_the_wall_clock_decides(machine: Machine) -> None:
    called(machine)
    machine.clock.sleep(50)
    machine.clock.booted = machine.clock.mono() - 5
    assert Caller(machine).until_go() == pytest.approx(WINDOW - 50, abs=0.3)


FAR = {
    "1970": 0.0,
    "2200": 7.26e9,
    "nan": float("nan"),
    "inf": float("inf"),
    "-inf": float("-inf"),
    "text": "soon",
    "blob": b"\0",
}


@pytest.mark.parametrize("wall", FAR)
@pytest.mark.parametrize("mono", [*FAR, None])
def test_damaged_opening_never_makes_a_waiter_wait_beyond_the_bound(machine: Machine, wall: str, mono: str | None) -> None:
    called(machine)
    columns = {"wall": FAR[wall]} | ({} if mono is None else {"mono": FAR[mono]})
    machine.set("windows", **columns)
    assert Caller(machine).until_go(limit=RULES.bound + BEAT) <= RULES.bound + BEAT


@pytest.mark.parametrize("bound", [None, float("inf"), -1.0, 0.0, 1e300, "x", b"\0"])
def test_damaged_bound_is_the_longest_ordinary_one(machine: Machine, bound: object) -> None:
    called(machine)
    machine.set("windows", bound=bound, wall=7e9, mono=7e9)
    assert Caller(machine).until_go() <= 600 + 15 + WINDOW + BEAT


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "x", b"\0", 1e300, -5.0, 3e11])
def test_damaged_values_are_read_as_unknown(machine: Machine, value: object) -> None:
    called(machine)
    waiting = Caller(machine)
    machine.set("windows", last_call=value, before_last_call=value, before_wall=value, before_mono=value, before_bound=value)
    machine.set("waiters", owner=value)
    view = machine.process().windows.view_window("b")
    assert view.last_call is None
    assert view.queued == 1
    machine.set("waiters", wall=value, mono=value)
    assert machine.process().windows.view_window("b").queued == 0
    assert waiting.until_go() <= WINDOW


def test_damaged_holder_is_ignored(machine: Machine) -> None:
    Caller(machine).go()
    machine.set("windows", holder=b"\0\xff")
    assert not Caller(machine).wait().sending


def test_window_lost_with_a_damaged_file_does_not_depend_on_who_asks(machine: Machine) -> None:
    state = State(machine.folder, clock=machine.clock, environ={}, note=machine.notes.append, window=1.0)
    state._database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('reborn', ?, ?)", machine.clock.now()))
    for timeout in (2.0, 600.0):
        assert state.windows.view_window("b").seconds_left == pytest.approx(76)
        ticket = state.windows.enqueue("b")
        turn, _ = state.windows.poll("b", ticket, rules=Rules(1.0, timeout))
        assert isinstance(turn, Wait)
        assert turn.left == pytest.approx(76)
        state.windows.leave_queue("b", ticket)
    machine.set("windows", bucket="other")
    machine.set("meta", wall=None, mono=None)
    assert state.windows.view_window("c").seconds_left == 0
    state.close()
