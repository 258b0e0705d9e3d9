"""Explicit-state search over the window machine of `spcli.policy`.

Every interleaving of a few processes is tried, in ticks of 16 s, so that the real heartbeat limit is two ticks: they queue, poll,
cancel, commit, send, are answered, answered with 429, get no answer, settle, settle late (a stopped process is one that does
nothing for a while), or die, and the wall clock is stepped. Requests arrive at any moment from their leaving to their deadline,
even if their process is dead by then. All instants are kept relative to one fixed `NOW`, and those too old to matter any more
are cut off, so the space is finite and there is no horizon.

The functions come in as a module, so that the same search judges a mutant.
"""

from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import pairwise
from types import ModuleType
from typing import Any, NamedTuple

from spcli.clock import Instant
from spcli.ratelimit import window as ratelimit
from tests.unit.window_model import (
    GHOST,
    MOVES,
    NOW,
    SILENT,
    TICK,
    Model,
    Process,
    State,
    Violation,
    become,
    demand,
    older,
    opened,
    orphaned,
    place,
    renamed,
    shifted,
)


class Report(NamedTuple):
    """How far the search went and which `words` happened; `broken` is the invariant that failed, `trace` a shortest way there.

    A number in the trace is a process's place in its state, which changes as the states are sorted.
    """

    states: int
    transitions: int
    words: frozenset[str]
    broken: str | None
    trace: tuple[str, ...]


class Search:
    """One machine under one model."""

    def __init__(self, machine: ModuleType, model: Model) -> None:
        self.machine: Any = machine
        self.model = model
        # The real margin is less than a tick.
        margin = {"margin": property(lambda _self: model.margin * TICK)}
        self.rules = type("Rules", (self.machine.Rules,), margin)(window=model.window * TICK, timeout=model.timeout * TICK)
        # A state is met by many ways: the machine's answer for the same values is asked once.
        self.poll = lru_cache(None)(self._poll)
        self.settle = lru_cache(None)(self._settle)
        self.aged = lru_cache(None)(self._aged)
        self.check_patience = lru_cache(None)(self._check_patience)

    @property
    def call_ticks(self) -> int:
        """The longest time for which one call closes the window."""
        return self.model.timeout + self.model.margin + self.model.window

    def _poll(self, window: Any, queue: tuple[Any, ...], ticket: str) -> Any:
        step = self.machine.ask_turn(window, queue, ticket=ticket, now=NOW, rules=self.rules)
        return step._replace(window=step.window._replace(last_call=None))

    def _settle(self, window: Any, ticket: str, how: str) -> Any:
        if how == "unsent":
            return self.machine.give_back(window, ticket)._replace(last_call=None)
        closed_for = self.model.hint * TICK if how == "limited" else 0.0
        after = self.machine.settle_window(
            window, ticket, is_over=how != "unclear", now=NOW, rules=self.rules, closed_for=closed_for
        )
        return after._replace(last_call=None)

    def _aged(self, window: Any, queue: tuple[Any, ...], wall: int, mono: int) -> tuple[Any, tuple[Any, ...]]:
        """The store seen after both clocks went on by so many ticks."""
        reach = self.model.reach
        beats = (shifted(waiter.beat, wall, mono) for waiter in queue)
        floor = Instant(NOW.wall - (SILENT + reach) * TICK, NOW.mono - SILENT * TICK)
        aged = (waiter._replace(beat=Instant(*map(max, beat, floor))) for waiter, beat in zip(queue, beats, strict=True))
        return opened(window, wall, mono, reach), tuple(aged)

    def starts(self) -> Iterator[State]:
        """The states to begin with: an empty store, and damaged ones."""
        idle = (Process(),) * self.model.processes
        far, bound = float("inf"), self.rules.bound
        windows = [self.machine.Window()]
        if self.model.damaged:
            later = NOW.wall + 3 * bound
            damage = (Instant(later, NOW.mono + 3 * bound), Instant(NOW.wall, far), Instant(far, NOW.mono))
            windows += [self.machine.Window(instant, bound, GHOST) for instant in damage]
            windows.append(self.machine.Window(Instant(far, far), far))
        for window in windows:
            yield State(window, (), idle, (), (), self.model.window, 0, 0, self.model.budget)

    def run(self) -> Report:
        """Breadth first, so that a counterexample is a shortest one."""
        seen: dict[State, tuple[State | None, str]] = dict.fromkeys(self.starts(), (None, "start"))
        waiting, words = deque(seen), set()
        state, label, transitions = None, "start", 0
        try:
            while waiting:
                state, label = waiting.popleft(), "wait"
                self.check(state)
                for label, happen in self.followers(state):
                    key = self.canonical(happen())
                    transitions += 1
                    words.add(label.rpartition(" ")[0])
                    if key not in seen:
                        seen[key] = (state, label)
                        waiting.append(key)
        except Violation as broken:
            return Report(len(seen), transitions, frozenset(words), str(broken), (*path(seen, state), label))
        return Report(len(seen), transitions, frozenset(words), None, ())

    # What may happen next

    def followers(self, state: State) -> Iterator[tuple[str, Callable[[], State]]]:
        """Everything that may happen next, by name."""
        yield "tick 1", partial(self.tick, state)
        for index, process in enumerate(state.processes):
            for what in MOVES[process.phase]:
                if what != "crash" or self.may_crash(state, process):
                    yield f"{what} {index}", partial(getattr(self, what), state, index)
        for index, left in enumerate(state.wire):
            wire = state.wire[:index] + state.wire[index + 1 :]
            yield f"orphan {left}", partial(self.arrived, state._replace(wire=wire))
        for step in self.model.steps if state.budget else ():
            yield f"step {step:+}", partial(self.step, state, step)

    def step(self, state: State, ticks: int) -> State:
        """Somebody sets the wall clock."""
        window, queue = self.aged(state.window, state.queue, ticks, 0)
        return state._replace(window=window, queue=queue, budget=state.budget - 1)

    def may_crash(self, state: State, process: Process) -> bool:
        """One dead ticket in the queue at a time keeps the space finite; the queue treats each the same."""
        is_alone = all(waiter.ticket != GHOST for waiter in state.queue)
        return self.model.crashes and (process.phase != "queued" or is_alone)

    def tick(self, state: State) -> State:
        """One tick passes: at its deadline a caller gives up; its request may arrive for a margin, and never after that."""
        window, queue = self.aged(state.window, state.queue, 1, 1)
        timed_out = [self.model.margin for process in state.processes if process.phase == "sent" and process.ticks == 0]
        return state._replace(
            window=window,
            queue=queue,
            processes=tuple(older(process) for process in state.processes),
            wire=tuple(sorted(left - 1 for left in (*state.wire, *timed_out) if left > 0)),
            since=min(state.since + 1, self.model.window),
            shut=max(state.shut - 1, 0),
            reason=max(state.reason - 1, 0),
        )

    def enqueue(self, state: State, index: int) -> State:
        queue = self.machine.join_queue(state.queue, str(index), NOW)
        return become(state._replace(queue=queue, line=(*state.line, index)), index, "queued")

    def ask(self, state: State, index: int) -> State:
        step = self.poll(state.window, state.queue, str(index))
        after = state._replace(window=step.window, queue=step.queue)
        if isinstance(step.turn, self.machine.Wait):
            demand(step.turn.left > 0 or step.turn.position > 0, "the head waits before an open window")
            return become(after, index, "queued")
        out = after._replace(line=tuple(other for other in state.line if other != index))
        if isinstance(step.turn, self.machine.Gone):
            demand(state.processes[index].ticks >= SILENT, "a living waiter was passed over")
            return become(out, index, "idle")
        ahead = state.line[: state.line.index(index)]
        demand(all(state.processes[other].ticks >= SILENT for other in ahead), "not first come, first served")
        demand(state.shut <= 0, "sent before the time a 429 named")
        return become(out, index, "committed", self.model.timeout, self.call_ticks)

    def cancel(self, state: State, index: int) -> State:
        queue = self.machine.leave_queue(state.queue, str(index))
        return become(state._replace(queue=queue, line=tuple(other for other in state.line if other != index)), index, "idle")

    def leave(self, state: State, index: int) -> State:
        process = state.processes[index]
        busy = state.wire or any(other.phase in ("sent", "arrived") for other in state.processes)
        demand(not busy, "two calls in flight")
        return become(state, index, "sent", process.ticks, process.reason)

    def arrive(self, state: State, index: int) -> State:
        process = state.processes[index]
        return become(self.arrived(state), index, "arrived", process.ticks, process.reason)

    def arrived(self, state: State) -> State:
        demand(state.since >= self.model.window, "arrivals less than a window apart")
        return state._replace(since=0)

    def answer(self, state: State, index: int) -> State:
        return become(state, index, "ended", 0, state.processes[index].reason)

    def refuse(self, state: State, index: int) -> State:
        return become(state, index, "limited", 0, state.processes[index].reason)

    def give_up(self, state: State, index: int) -> State:
        return become(orphaned(state, index, self.model.margin), index, "unclear", 0, state.processes[index].reason)

    def keep(self, state: State, index: int) -> State:
        """The call never left: its window is given back."""
        return become(state._replace(window=self.settle(state.window, str(index), "unsent")), index, "idle")

    def record(self, state: State, index: int) -> State:
        """The call's end is settled, as late as it likes: what it justifies is now known."""
        process = state.processes[index]
        justified = self.model.window
        if process.phase == "limited":
            justified = max(justified, self.model.hint)
            state = state._replace(shut=max(state.shut, self.model.hint))
        if process.phase == "unclear":
            justified = max(justified, process.reason)
        window = self.settle(state.window, str(index), process.phase)
        return become(state._replace(window=window, reason=max(state.reason, justified)), index, "idle")

    def crash(self, state: State, index: int) -> State:
        """The process dies, or its settling is lost: its ticket stays behind, its request may still arrive."""
        state = orphaned(state, index, self.model.margin)
        reason = max(state.reason, state.processes[index].reason)
        line = tuple(other for other in state.line if other != index)
        return become(renamed(state, {str(index): GHOST})._replace(line=line, reason=reason), index, "idle")

    def is_pristine(self, state: State) -> bool:
        """Whether no clock step and no damage may have lengthened a wait."""
        return state.budget == self.model.budget and not self.model.damaged

    # What must hold in every state

    def check(self, state: State) -> None:
        queued = {str(index) for index, process in enumerate(state.processes) if process.phase == "queued"}
        demand(all(waiter.ticket in {GHOST, *queued} for waiter in state.queue), "somebody who left is still queued")
        if self.is_pristine(state):
            justified = max([state.reason, *(process.reason for process in state.processes)])
            left = self.machine.seconds_left(state.window, NOW)
            demand(left <= justified * TICK, "a call that cost nothing keeps the window closed")
        if queued:
            self.check_patience(state.window, state.queue, tuple(sorted(queued)))

    def _check_patience(self, window: Any, queue: tuple[Any, ...], tickets: tuple[str, ...]) -> None:
        """With no new fault each waiter alone goes in time though all others fall silent, and all go if all keep asking."""
        call = self.call_ticks
        bound = window.bound if 0 < window.bound <= ratelimit.RETRY_AFTER_CAP else ratelimit.usable_bound(0)
        ticks = int(-(-bound // TICK)) if window.not_before else 0
        for ticket in tickets:
            is_head = bool(queue) and queue[0].ticket == ticket
            limit = ticks if is_head else max(ticks, call) + SILENT
            demand(self.outwait(window, queue, (ticket,), limit), "somebody waits longer than the bound")
        demand(self.outwait(window, queue, tickets, ticks + len(tickets) * call + SILENT), "not all waiters had their turn")

    def outwait(self, window: Any, queue: tuple[Any, ...], tickets: tuple[str, ...], limit: int) -> bool:
        """Whether all of `tickets` have gone after `limit` ticks in which only they act."""
        left = list(tickets)
        for _ in range(limit + 1):
            for ticket in tuple(left):
                window, queue, turn = self.poll(window, queue, ticket)
                if isinstance(turn, self.machine.Go):
                    left.remove(ticket)
                elif isinstance(turn, self.machine.Gone):
                    queue = self.machine.join_queue(queue, ticket, NOW)
            if not left:
                return True
            window, queue = self.aged(window, queue, 1, 1)
        return False

    def canonical(self, state: State) -> State:
        """The processes are alike: those that differ only in their number are the same state."""
        if state.window.holder in (None, GHOST) and state.window.before:
            # Only the holder could ever have it back.
            state = state._replace(window=state.window._replace(before=None))
        if not self.is_pristine(state):
            state = state._replace(processes=tuple(process._replace(reason=0) for process in state.processes), reason=0)
        if all(one < other for one, other in pairwise(state.processes)):
            return state
        order = sorted(range(len(state.processes)), key=lambda index: place(state, index))
        if order == list(range(len(order))):
            return state
        number = {old: new for new, old in enumerate(order)}
        named = renamed(state, {str(old): str(new) for old, new in number.items()})
        return named._replace(
            processes=tuple(state.processes[old] for old in order), line=tuple(number[old] for old in state.line)
        )


def path(seen: dict[State, tuple[State | None, str]], state: State | None) -> tuple[str, ...]:
    """What happened on the way to `state`."""
    labels = []
    while state is not None:
        state, label = seen[state]
        labels.append(label)
    return tuple(reversed(labels))
