"""Processes of one user for tests: several states over one file, on one clock."""

from pathlib import Path
from typing import Any

from spcli.ratelimit.window import WINDOW, Go, Gone, Rules, Wait
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt, WriteNote
from spcli.state.store import State
from tests.front import FakeClock

RULES = Rules(WINDOW, 60.0)
DAY = 86400.0
ATTEMPT = NewAttempt("upload", Account("o", "a"), "p", "https://h/a.zip", "d", None, True, (), WriteNote())


class SteppedClock(FakeClock):
    """A clock whose wall may be set, and whose machine may be started again."""

    def __init__(self) -> None:
        super().__init__()
        self.stepped = 0.0
        self.booted = 0.0

    def wall(self) -> float:
        return super().wall() + self.stepped

    def mono(self) -> float:
        return super().mono() - self.booted


class Machine:
    """Processes of one user: each is a `State` over the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SteppedClock()
        self.notes: list[str] = []
        self._states: list[State] = []

    def process(self) -> State:
        state = State(self.folder, clock=self.clock, environ={}, note=self.notes.append, patience=0.1)
        self._states.append(state)
        return state

    def set(self, table: str, **columns: object) -> None:
        sql = ", ".join(f"{name} = ?" for name in columns)
        state = self.process()
        state._database.write(lambda connection: connection.execute(f"UPDATE {table} SET {sql}", tuple(columns.values())))

    def rows(self, table: str) -> list[Any]:
        return self.process()._database.read(f"SELECT * FROM {table}")

    def close(self) -> None:
        for state in self._states:
            state.close()


class Caller:
    """One process in the queue."""

    def __init__(self, machine: Machine) -> None:
        self.state = machine.process()
        self.clock = machine.clock
        self.ticket = self.state.windows.enqueue("b")

    def ask(self) -> Go | Gone | Wait:
        turn, self.attempt = self.state.windows.poll("b", self.ticket, rules=RULES, attempt=ATTEMPT)
        return turn

    def wait(self) -> Wait:
        turn = self.ask()
        assert isinstance(turn, Wait)
        return turn

    def go(self) -> int:
        assert isinstance(self.ask(), Go)
        assert self.attempt is not None
        return self.attempt

    def settle(self, how: Any = "ended", hint: float = 0.0) -> None:
        closed_for = max(WINDOW, hint) if how == "limited" else 0.0
        self.state.windows.settle("b", self.ticket, is_over=how != "unclear", rules=RULES, closed_for=closed_for)

    def until_go(self, limit: float = 1e9) -> float:
        """Seconds waited until the turn comes."""
        began = self.clock.seconds
        while not isinstance(turn := self.ask(), Go):
            assert isinstance(turn, Wait)
            assert self.clock.seconds - began <= limit
            self.clock.sleep(turn.pause)
        return self.clock.seconds - began


def called(machine: Machine) -> Caller:
    """A call that has just ended."""
    caller = Caller(machine)
    caller.go()
    caller.settle()
    return caller


def left(machine: Machine) -> float:
    return machine.process().windows.view_window("b").seconds_left


def waiting_together(machine: Machine, callers: list[Caller], seconds: float) -> None:
    """Let time pass while all of them wait."""
    for _ in range(10):
        machine.clock.sleep(seconds / 10)
        for caller in callers:
            caller.wait()
