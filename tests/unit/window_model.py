"""The values that `window_search` moves between: the store, the processes, and what an onlooker who sees everything knows."""

from typing import Any, NamedTuple

from spcli.clock import Instant
from spcli.ratelimit import window as ratelimit

TICK = 16.0
NOW = Instant(2.0**20, 2.0**16)
# Two ticks without a beat are over the limit of 30 s, one is not.
SILENT = int(ratelimit.BEAT_LIMIT // TICK) + 1
GHOST = "ghost"

# What a process may do in each of its phases.
MOVES = {
    "idle": ("enqueue",),
    "queued": ("ask", "cancel", "crash"),
    "committed": ("leave", "keep", "crash"),
    # The transport refuses to send a first byte after the deadline.
    "late": ("keep", "crash"),
    "sent": ("arrive", "give_up", "crash"),
    "arrived": ("answer", "refuse", "give_up", "crash"),
    "ended": ("record", "crash"),
    "limited": ("record", "crash"),
    "unclear": ("record", "crash"),
}


class Model(NamedTuple):
    """What is searched: how many processes, their call and window in ticks, and what may go wrong.

    `margin` is how long after its deadline a request may still arrive; `steps` are the sizes of wall clock steps, `budget` how
    many may happen; `damaged` starts from nonsense in the store as well.
    """

    processes: int
    window: int = 2
    timeout: int = 1
    margin: int = 0
    hint: int = 4
    steps: tuple[int, ...] = ()
    budget: int = 0
    damaged: bool = False
    crashes: bool = True

    @property
    def reach(self) -> int:
        """Ticks by which the wall clock could still be set back in all."""
        return self.budget * max(0, 0, *(-step for step in self.steps))


class Process(NamedTuple):
    """One process: `ticks` is its silence while queued, the time to its call's deadline after that.

    `reason` is until when its call justifies a closed window.
    """

    phase: str = "idle"
    ticks: int = 0
    reason: int = 0


class State(NamedTuple):
    """The store, the processes, and what an onlooker who sees everything knows.

    `line` is the true order of arrival; `wire` the deadlines of requests without a living caller that have not arrived; `since`
    the last arrival; `shut` the time for which a recorded 429 forbids sending; `reason` is that of calls nobody will settle.
    """

    window: Any
    queue: tuple[Any, ...]
    processes: tuple[Process, ...]
    line: tuple[int, ...]
    wire: tuple[int, ...]
    since: int
    shut: int
    reason: int
    budget: int


class Violation(Exception):
    """An invariant does not hold."""


def demand(holds: bool, invariant: str) -> None:
    if not holds:
        raise Violation(invariant)


def become(state: State, index: int, phase: str, ticks: int = 0, reason: int = 0) -> State:
    changed = Process(phase, ticks, reason)
    return state._replace(processes=(*state.processes[:index], changed, *state.processes[index + 1 :]))


def older(process: Process) -> Process:
    reason = max(process.reason - 1, 0)
    match process.phase, process.ticks:
        case "queued", silence:
            return Process("queued", min(silence + 1, SILENT), reason)
        case "committed", 0:
            return Process("late", 0, reason)
        case (("sent" | "arrived"), 0):
            return Process("unclear", 0, reason)
        case phase, left:
            return Process(phase, max(left - 1, 0), reason)


def orphaned(state: State, index: int, margin: int) -> State:
    """The caller is gone: its request is on its way if it has not arrived."""
    process = state.processes[index]
    return state._replace(wire=tuple(sorted((*state.wire, process.ticks + margin)))) if process.phase == "sent" else state


def renamed(state: State, names: dict[str, str]) -> State:
    queue = tuple(waiter._replace(ticket=names.get(waiter.ticket, waiter.ticket)) for waiter in state.queue)
    return state._replace(window=state.window._replace(holder=names.get(state.window.holder, state.window.holder)), queue=queue)


def place(state: State, index: int) -> tuple[object, ...]:
    tickets = [waiter.ticket for waiter in state.queue]
    in_queue = tickets.index(str(index)) if str(index) in tickets else -1
    return (
        state.processes[index],
        state.line.index(index) if index in state.line else -1,
        in_queue,
        state.window.holder == str(index),
    )


def shifted(instant: Instant, wall: int, mono: int) -> Instant:
    return Instant(instant.wall - wall * TICK, instant.mono - mono * TICK)


def opened(window: Any, wall: int, mono: int, reach: int) -> Any:
    """The window after both clocks went on; one that no step can close again is as good as new."""
    before = window.before and opened(window.before, wall, mono, reach)
    if window.not_before is None:
        return window._replace(before=before)
    instant = shifted(window.not_before, wall, mono)
    # How long ago does not matter, nor for the wall clock what no step can bring back.
    instant = Instant(max(instant.wall, NOW.wall - reach * TICK), max(instant.mono, NOW.mono))
    if instant == (NOW.wall - reach * TICK, NOW.mono):
        return window._replace(not_before=None, bound=0.0, before=before)
    return window._replace(not_before=instant, before=before)
