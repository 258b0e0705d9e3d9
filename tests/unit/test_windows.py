"""Stored windows: the queue, the order, heartbeats. Several states over one file are several processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.errors import Interrupted
from spcli.ratelimit.window import BEAT, BEAT_LIMIT, RETRY_AFTER_CAP, WINDOW, Go, Gone, Wait
from spcli.state.processes import own_process
from tests.front import START
from tests.unit.machine import RULES, Caller, Machine, SteppedClock, called, left, waiting_together


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path / "state")
    yield found
    found.close()
    assert found.notes == []


def test_three_waiters_are_served_in_order_a_window_after_each_call(machine: Machine) -> None:
    callers = [Caller(machine) for _ in range(3)]
    callers[0].go()
    waiting = callers[2].wait()
    assert (waiting.position, waiting.sending) == (1, True)
    machine.clock.sleep(7)
    callers[0].settle()
    second, third = callers[1].wait(), callers[2].wait()
    assert (second.position, second.left, second.expected) == (0, WINDOW, WINDOW)
    assert (third.position, third.expected) == (1, 2 * WINDOW)
    waiting_together(machine, callers[1:], WINDOW - 0.001)
    assert callers[1].wait().left == pytest.approx(0.001)
    machine.clock.sleep(0.002)
    callers[2].wait()
    callers[1].go()
    callers[1].settle()
    assert callers[2].until_go() == pytest.approx(WINDOW)


def test_two_waiters_that_ask_at_once_make_one_call(machine: Machine) -> None:
    first, second = Caller(machine), Caller(machine)
    assert isinstance(second.ask(), Wait)
    first.go()
    assert second.wait().left == RULES.bound
    assert isinstance(first.ask(), Gone)


def test_window_and_history_row_are_committed_together(machine: Machine) -> None:
    number = Caller(machine).go()
    (row,) = machine.rows("ledger")
    assert (row["id"], row["phase"], row["started"]) == (number, "sending", START)
    assert machine.rows("windows")[0]["holder"] == row["ticket"]
    assert machine.rows("waiters") == []


def test_commits_that_others_depend_on_are_synchronous(machine: Machine) -> None:
    caller = Caller(machine)
    connection = caller.state._database._connection
    assert connection is not None
    said: list[str] = []
    connection.set_trace_callback(said.append)

    def levels() -> list[str]:
        found = [sql.rpartition("=")[2] for sql in said if sql.startswith("PRAGMA synchronous=")]
        said.clear()
        return found

    number = caller.go()
    assert levels() == ["FULL"]
    caller.settle("limited", 900)
    assert levels() == ["FULL"]
    caller.state.ledger.record(number, "refused")
    assert levels() == ["FULL"]
    caller.state.windows.reset_window("b")
    assert levels() == ["FULL"]
    caller.ticket = caller.state.windows.enqueue("b")
    assert levels() == ["NORMAL"]
    connection.set_trace_callback(None)


def test_turn_without_an_attempt_makes_no_row(machine: Machine) -> None:
    state = machine.process()
    assert state.windows.poll("b", state.windows.enqueue("b"), rules=RULES) == (Go(), None)
    assert machine.rows("ledger") == []


def test_unsent_call_gives_its_window_back_and_marks_its_row(machine: Machine) -> None:
    called(machine)
    machine.clock.sleep(WINDOW)
    caller = Caller(machine)
    caller.go()
    caller.state.windows.leave_queue("b", caller.ticket)
    assert left(machine) == 0
    assert [row["phase"] for row in machine.rows("ledger")] == ["sending", "unsent"]
    Caller(machine).go()


def test_waiter_that_leaves_costs_nothing_and_the_next_moves_up(machine: Machine) -> None:
    called(machine)
    first, second = Caller(machine), Caller(machine)
    assert second.wait().position == 1
    first.state.windows.leave_queue("b", first.ticket)
    first.state.windows.leave_queue("b", first.ticket)
    assert second.wait().position == 0
    assert left(machine) == WINDOW
    assert isinstance(first.ask(), Gone)


def test_signal_while_waiting_for_a_lock_leaves_no_waiter(machine: Machine) -> None:
    class Signalled(SteppedClock):
        def sleep(self, seconds: float) -> None:
            blocker.rollback()
            raise Interrupted(130)

    Caller(machine)
    blocker = sqlite3.connect(machine.folder / "state.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    machine.clock = Signalled()
    with pytest.raises(Interrupted):
        machine.process().windows.enqueue("b")
    blocker.close()
    assert len(machine.rows("waiters")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the test needs a signal in the midst of a call")
def test_signal_while_queueing_leaves_no_waiter(tmp_path: Path) -> None:
    code = """
        import signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from spcli.clock import Clock
        from spcli.errors import Interrupted
        from spcli.state.store import State
        def interrupt(*_):
            raise Interrupted(130)
        signal.signal(signal.SIGALRM, interrupt)
        state = State(Path(sys.argv[2]), clock=Clock(), environ={}, note=print)
        state.windows.leave_queue("b", state.windows.enqueue("b"))
        interrupted = 0
        for number in range(600):
            ticket = None
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + number * 0.000001)
                ticket = state.windows.enqueue("b")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                interrupted += 1
            if ticket is not None:
                state.windows.leave_queue("b", ticket)
        print(interrupted > 20, state.windows.view_window("b").queued)
        state.close()
    """
    root = str(Path(__file__).parents[2])
    argv = [sys.executable, "-c", textwrap.dedent(code), root, str(tmp_path / "state")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.stdout == "True 0\n", done.stderr


def test_unclear_end_never_shortens_what_was_committed(machine: Machine) -> None:
    caller = Caller(machine)
    caller.go()
    machine.clock.sleep(10)
    caller.settle("unclear")
    assert left(machine) == RULES.bound - 10


def test_death_between_commit_and_end_holds_the_others_for_timeout_and_window(machine: Machine) -> None:
    Caller(machine).go()
    waited = Caller(machine).until_go()
    assert waited == pytest.approx(RULES.bound, abs=0.3)


@pytest.mark.parametrize(("hint", "seconds"), [(0, WINDOW), (30, WINDOW), (900, 900), (10**9, RETRY_AFTER_CAP)])
def test_429_closes_the_window_for_all_processes_for_the_longest_wait(machine: Machine, hint: float, seconds: float) -> None:
    caller, other = Caller(machine), Caller(machine)
    caller.go()
    caller.settle("limited", hint)
    assert other.wait().left == pytest.approx(seconds)
    assert other.until_go() == pytest.approx(seconds, abs=0.3)


def test_late_429_closes_the_window_of_the_next_call_too(machine: Machine) -> None:
    late = Caller(machine)
    late.go()
    machine.clock.sleep(RULES.bound)
    Caller(machine).go()
    late.settle("limited", 900)
    assert left(machine) == pytest.approx(900)


def test_windows_of_different_keys_are_independent(machine: Machine) -> None:
    called(machine)
    state = machine.process()
    assert isinstance(state.windows.poll("other", state.windows.enqueue("other"), rules=RULES)[0], Go)


def test_view_shows_the_time_left_the_queue_and_the_last_call(machine: Machine) -> None:
    state = machine.process()
    assert state.windows.view_window("b") == (0.0, 0, None)
    called(machine)
    Caller(machine)
    machine.clock.sleep(22)
    assert state.windows.view_window("b") == (100.0, 1, START)
    machine.clock.sleep(BEAT_LIMIT)
    assert state.windows.view_window("b").queued == 0


def test_reset_opens_the_window_at_once(machine: Machine) -> None:
    called(machine)
    machine.process().windows.reset_window("b")
    assert left(machine) == 0
    Caller(machine).go()


def test_waiter_that_keeps_to_its_pauses_never_loses_its_place(machine: Machine) -> None:
    called(machine).settle("limited", 3600)
    callers = [Caller(machine) for _ in range(3)]
    began, oldest = machine.clock.seconds, 0.0
    while machine.clock.seconds - began < 300:
        turns = [caller.wait() for caller in callers]
        assert [turn.position for turn in turns] == [0, 1, 2]
        machine.clock.sleep(min(turn.pause for turn in turns))
        oldest = max(oldest, *(machine.clock.mono() - row["mono"] for row in machine.rows("waiters")))
    assert oldest <= 1.5 * BEAT + 0.1


def test_polling_by_the_second_does_not_write_each_time(machine: Machine) -> None:
    called(machine)
    caller = Caller(machine)
    connection = caller.state._database._connection
    assert connection is not None
    before = connection.total_changes
    for _ in range(60):
        caller.wait()
        machine.clock.sleep(1)
    assert connection.total_changes - before <= 20


def test_heartbeat_that_cannot_be_written_is_noted_and_the_wait_goes_on(machine: Machine) -> None:
    called(machine)
    caller = Caller(machine)
    blocker = machine.process()

    def work(connection: Any) -> None:
        machine.clock.sleep(4)
        assert isinstance(caller.ask(), Wait)

    blocker._database.write(work)
    assert len(machine.notes) == 1
    machine.notes.clear()


def test_waiter_without_a_heartbeat_is_passed_over_and_queues_again(machine: Machine) -> None:
    called(machine)
    stopped, other = Caller(machine), Caller(machine)
    waiting_together(machine, [other], WINDOW - 1)
    assert other.wait().position == 0
    assert isinstance(stopped.ask(), Gone)
    stopped.ticket = stopped.state.windows.enqueue("b")
    assert stopped.wait().position == 1
    assert other.until_go() == pytest.approx(1, abs=0.3)


def test_place_of_another_waiter_is_not_reused(machine: Machine) -> None:
    state = machine.process()
    first = state.windows.enqueue("b")
    second = state.windows.enqueue("b", state.windows.place_of(first))
    assert (state.windows.place_of(first), state.windows.place_of(second)) == (1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows only the heartbeat tells")
@pytest.mark.parametrize("place", [0, 1])
def test_waiter_whose_process_was_killed_is_passed_over_at_once(machine: Machine, place: int) -> None:
    called(machine)
    callers = [Caller(machine) for _ in range(3)]
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    state = machine.process()
    sql = "UPDATE waiters SET owner = ? WHERE ticket = ?"
    state._database.write(lambda connection: connection.execute(sql, (own_process(process.pid), callers[place].ticket)))
    assert callers[2].wait().position == 2
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert state.windows.view_window("b").queued == 2
    assert callers[2].wait().position == 1


def test_first_waiter_goes_as_soon_as_the_window_opens(machine: Machine) -> None:
    called(machine)
    caller = Caller(machine)
    caller.wait()
    machine.clock.sleep(WINDOW)
    caller.go()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_runs_of_four_keep_order_and_distance(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Whoever asks when: the turn comes to the first in the queue, no less than a window after the end of the call before."""
    machine, random = Machine(tmp_path_factory.mktemp("run") / "state"), Random(seed)
    try:
        queue, sending, ended = [Caller(machine) for _ in range(4)], None, -1e9
        while queue or sending is not None:
            machine.clock.sleep(random.choice([0.0, 0.25, 1.0, 4.0]))
            if sending is not None and random.random() < 0.3:
                sending.settle()
                sending, ended = None, machine.clock.seconds
            is_open = sending is None and machine.clock.seconds - ended >= WINDOW
            for caller in random.sample(queue, len(queue)):
                is_due = is_open and caller is queue[0]
                assert isinstance(caller.ask(), Go if is_due else Wait)
                if is_due:
                    queue.remove(caller)
                    sending, is_open = caller, False
    finally:
        machine.close()
