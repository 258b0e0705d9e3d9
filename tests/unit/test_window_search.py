"""The window machine proved: no interleaving of the production functions breaks a promise, and the search would notice."""

import inspect
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spcli import policy
from spcli.clock import Instant
from tests.unit.window_model import Model
from tests.unit.window_search import MOVES, Search

PAIR = Model(2)
DAMAGED = Model(2, damaged=True)
STEPS = Model(1, steps=(-2, 2), budget=2)
STEPPED_PAIR = Model(2, steps=(-2, 2), budget=1, crashes=False)

# Each with the fewest states it is known to have: a search that stops early proves nothing.
MODELS = {
    "two processes": (PAIR, 4_000),
    "a call as long as the window": (Model(2, timeout=2), 6_000),
    "a longer window": (Model(2, window=3), 6_000),
    "damaged store": (DAMAGED, 7_000),
    "three processes": (Model(3), 30_000),
    "clock steps": (STEPS, 13_000),
    "small clock steps": (Model(1, steps=(-1, 1), budget=2), 8_000),
    "clock steps between two": (STEPPED_PAIR, 13_000),
}

SOON = "arrivals less than a window apart"
TWO = "two calls in flight"
LIMIT = "sent before the time a 429 named"
ORDER = "not first come, first served"
BOUND = "somebody waits longer than the bound"
COST = "a call that cost nothing keeps the window closed"
LEFT = "somebody who left is still queued"

# What the mutant is searched with, the promise it breaks, and the one place of policy.py that is changed.
MUTANTS = {
    "anchored at the start": (
        PAIR,
        SOON,
        "    if not mine:\n",
        "    if mine and how == 'ended':\n        seconds = seconds_left(window, now) - rules.timeout\n    if not mine:\n",
    ),
    "a window too short": (PAIR, SOON, "seconds = rules.window if", "seconds = rules.window / 2 if"),
    "committed for a window only": (PAIR, SOON, "    bound = rules.timeout + rules.window\n", "    bound = rules.window\n"),
    "committed for the call only": (PAIR, TWO, "    bound = rules.timeout + rules.window\n", "    bound = rules.timeout\n"),
    "not committed before the end": (
        PAIR,
        TWO,
        "Window(later(now, bound), bound, holder=ticket,",
        "window._replace(holder=ticket,",
    ),
    "refunded after sending": (PAIR, TWO, 'if how == "unsent":', 'if how in ("unsent", "unclear"):'),
    "refunded by anybody": (PAIR, TWO, "return window.before if mine and window.before", "return window.before if window.before"),
    "unclear taken for ended": (
        PAIR,
        SOON,
        'base = window if how == "unclear" else window.before or Window()',
        "base = window.before or Window()",
    ),
    "unsent keeps the window": (
        PAIR,
        COST,
        "return window.before if mine and window.before is not None else window",
        "return window",
    ),
    "ended keeps the reservation": (
        PAIR,
        COST,
        'base = window if how == "unclear" else window.before or Window()',
        "base = window",
    ),
    "hint not heard": (PAIR, LIMIT, "max(rules.window, min(hint, RETRY_AFTER_CAP))", "rules.window"),
    "a late 429 forgotten": (PAIR, LIMIT, "        return raised(window, now, seconds)\n    #", "        return window\n    #"),
    "a 429 lost by a refund": (
        PAIR,
        LIMIT,
        "before = window.before and raised(window.before, now, seconds)",
        "before = window.before",
    ),
    "a 429 lost by an end": (PAIR, LIMIT, "else window.before or Window()", "else Window()"),
    "a 429 shortened": (PAIR, SOON, "kept = mended(window, now).not_before or least", "kept = least"),
    "closed window ignored": (PAIR, TWO, "if position == 0 and seconds_left(window, now) <= 0:", "if position == 0:"),
    "last come, first served": (
        PAIR,
        ORDER,
        "return (*purge(cancel(queue, ticket), now), Waiter(ticket, now))",
        "return (Waiter(ticket, now), *purge(cancel(queue, ticket), now))",
    ),
    "whoever asks first": (
        PAIR,
        ORDER,
        "if position == 0 and seconds_left(window, now) <= 0:",
        "if seconds_left(window, now) <= 0:",
    ),
    "nobody purged": (PAIR, BOUND, "return tuple(waiter for waiter in queue if is_alive(waiter, now))", "return queue"),
    "asking is no heartbeat": (
        PAIR,
        BOUND,
        "waiter._replace(beat=now) if waiter.ticket == ticket",
        "waiter if waiter.ticket == ticket",
    ),
    "heartbeat limit too short": (PAIR, ORDER, "default=math.inf) <= BEAT_LIMIT", "default=math.inf) <= 0"),
    "heartbeat by the wall clock alone": (
        STEPPED_PAIR,
        ORDER,
        "ages = (now.wall - waiter.beat.wall, now.mono - waiter.beat.mono)",
        "ages = (now.wall - waiter.beat.wall,)",
    ),
    "cancelling does nothing": (
        PAIR,
        LEFT,
        "return tuple(waiter for waiter in queue if waiter.ticket != ticket)",
        "return queue",
    ),
    "a damaged value believed": (DAMAGED, BOUND, "if left <= usable_bound(window.bound) + 0.001]", "]"),
    "a damaged value kept": (DAMAGED, BOUND, "if window.not_before is None or len(readings(window, now)) == 2:", "if True:"),
    "a damaged value counted from its clock": (
        DAMAGED,
        BOUND,
        "not_before=later(now, seconds_left(window, now))",
        "not_before=window.not_before",
    ),
    "the smaller reading": (STEPS, TWO, "return max(0.0, max(readings", "return max(0.0, min(readings"),
    "the wall clock alone": (
        STEPS,
        TWO,
        "both = (window.not_before.wall - now.wall, window.not_before.mono - now.mono)",
        "both = (window.not_before.wall - now.wall,) * 2",
    ),
    "a stepped clock believed later": (STEPS, BOUND, "len(readings(window, now)) == 2", "readings(window, now)"),
    "a stepped clock taken for a wait": (
        STEPS,
        SOON,
        "    least = later(now, seconds)\n",
        "    if seconds_left(window, now) >= seconds:\n        return window._replace(before=before)\n"
        "    least = later(now, seconds)\n",
    ),
}


def mutant(old: str, new: str) -> ModuleType:
    """The production text with one place changed, as a module of its own."""
    source = inspect.getsource(policy)
    assert source.count(old) == 1, f"{source.count(old)} places in policy.py read {old!r}"
    module = ModuleType("mutant")
    exec(compile(source.replace(old, new), "mutant.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    model, least = MODELS[name]
    report = Search(policy, model).run()
    assert (report.broken, report.trace) == (None, ())
    assert report.states >= least


def test_the_search_tries_every_kind_of_event() -> None:
    words = Search(policy, Model(2, window=1, steps=(1,), budget=1)).run().words
    assert words == {"tick", "orphan", "step"}.union(*MOVES.values())


@pytest.mark.parametrize("name", MUTANTS)
def test_the_search_notices_when_policy_is_mutated(name: str) -> None:
    model, broken, old, new = MUTANTS[name]
    assert Search(mutant(old, new), model).run().broken == broken


class Job(NamedTuple):
    """A process of the run with real constants; times are true seconds, which no process knows."""

    ticket: str
    rules: policy.Rules
    deadline: float = 0.0
    sent: bool = False


class RealTime(RuleBasedStateMachine):
    """The same machine with its real constants, floats, unequal timeouts, a real clock's resolution, and reboots.

    Either the wall clock is stepped or the machine is rebooted: nobody could keep the spacing through both at once.
    """

    machine: Any = policy

    @initialize(rebooted=st.booleans())
    def begin(self, rebooted: bool) -> None:
        self.rebooted, self.offset, self.boot, self.true, self.count = rebooted, 1.7e9, -9e4, 0.0, 0
        self.window, self.queue = self.machine.Window(), ()
        self.queued: list[Job] = []
        self.committed: list[Job] = []
        self.arrivals: list[float] = []

    @property
    def now(self) -> Instant:
        return Instant(self.true + self.offset, self.true - self.boot)

    @rule(timeout=st.sampled_from([20.0, 60.0, 600.0]))
    def enqueue(self, timeout: float) -> None:
        self.count += 1
        self.queued.append(Job(str(self.count), policy.Rules(policy.WINDOW, timeout)))
        self.queue = self.machine.enqueue(self.queue, str(self.count), self.now)

    @rule(seconds=st.one_of(st.floats(0, 40), st.floats(0, 800)))
    def time_passes(self, seconds: float) -> None:
        self.true += seconds

    @rule()
    def time_passes_to_the_opening(self) -> None:
        self.true += self.machine.seconds_left(self.window, self.now)

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def ask(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queued))
        step = self.machine.poll(self.window, self.queue, ticket=job.ticket, now=self.now, rules=job.rules)
        self.window, self.queue = step.window, step.queue
        if isinstance(step.turn, self.machine.Wait):
            assert 0 < step.turn.pause <= policy.BEAT
            return
        self.queued.remove(job)
        if isinstance(step.turn, self.machine.Go):
            self.committed.append(job._replace(deadline=self.true + job.rules.timeout))

    @precondition(lambda self: any(not job.sent and job.deadline >= self.true for job in self.committed))
    @rule(data=st.data(), share=st.floats(0, 1))
    def leave(self, data: st.DataObject, share: float) -> None:
        """The request leaves now and arrives somewhere between now and its deadline, whatever becomes of its sender."""
        job = data.draw(st.sampled_from([job for job in self.committed if not job.sent and job.deadline >= self.true]))
        arrival = self.true + share * (job.deadline - self.true)
        assert all(abs(arrival - other) >= policy.WINDOW - 0.001 for other in self.arrivals), "arrivals less than a window apart"
        self.arrivals.append(arrival)
        self.committed[self.committed.index(job)] = job._replace(sent=True)

    @precondition(lambda self: self.committed)
    @rule(data=st.data(), hint=st.floats(0, 30_000))
    def end(self, data: st.DataObject, hint: float) -> None:
        job = data.draw(st.sampled_from(self.committed))
        self.committed.remove(job)
        is_over = job.sent and all(arrival <= self.true for arrival in self.arrivals[-1:])
        how = "unsent" if not job.sent else data.draw(st.sampled_from(["ended", "limited"])) if is_over else "unclear"
        self.window = self.machine.settle(self.window, job.ticket, how, now=self.now, rules=job.rules, hint=hint)
        if how == "limited":
            assert self.machine.seconds_left(self.window, self.now) >= min(hint, policy.RETRY_AFTER_CAP) - 0.001

    @precondition(lambda self: self.queued or self.committed)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queued + self.committed))
        (self.queued if job in self.queued else self.committed).remove(job)

    @precondition(lambda self: self.rebooted)
    @rule(down=st.floats(5, 900), uptime=st.floats(1, 90_000))
    def reboot(self, down: float, uptime: float) -> None:
        self.true += down
        self.boot = self.true - uptime
        self.queued, self.committed = [], []

    @precondition(lambda self: not self.rebooted)
    @rule(seconds=st.one_of(st.floats(-700, 700), st.floats(-1e7, 1e7)))
    def wall_clock_is_set(self, seconds: float) -> None:
        self.offset += seconds

    @invariant()
    def a_newcomer_goes_within_the_bound(self) -> None:
        """All others fall silent; it asks again as often as it is told to."""
        started, window = self.true, self.window
        longest = self.machine.usable_bound(window.bound) if window.not_before else 0.0
        rules = policy.Rules(policy.WINDOW, 60.0)
        queue = self.machine.enqueue(self.queue, "newcomer", self.now)
        turn: object = None
        while not isinstance(turn, self.machine.Go):
            window, queue, turn = self.machine.poll(window, queue, ticket="newcomer", now=self.now, rules=rules)
            assert self.true - started <= max(longest, 2 * policy.BEAT_LIMIT) + policy.BEAT, (
                "somebody waits longer than the bound"
            )
            # As long as nothing moves, asking more often would only take longer to compute.
            self.true += max(getattr(turn, "pause", 0.0), min(5.0, getattr(turn, "left", 0.0)), 0.0)
        self.true = started


RealTime.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, database=None)
TestRealTime = RealTime.TestCase
