"""The window machine with its real constants: whole runs of waiting processes, through clock steps and reboots.

Either the wall clock is stepped or the machine is rebooted: nobody could keep the spacing through both at once.
"""

import heapq
import math
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Literal, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.clock import Instant
from spcli.ratelimit import window as ratelimit


class Job(NamedTuple):
    """One process of a run with the real constants: shares are of its call's timeout, all else is seconds."""

    starts: float
    timeout: float
    lands: float
    ends: float
    how: Literal["unsent", "ended", "unclear", "limited", "dies"]
    late: float
    hint: float
    nap: float


JOBS = st.builds(
    Job,
    starts=st.floats(0, 900),
    timeout=st.sampled_from([20.0, 60.0, ratelimit.MAX_TIMEOUT]),
    lands=st.floats(0, 1) | st.just(1.0),
    ends=st.floats(0, 1),
    how=st.sampled_from(["unsent", "ended", "unclear", "limited", "dies"]),
    late=st.just(0.0) | st.floats(0, 1500),
    hint=st.floats(0, 1000) | st.floats(0, 1e9),
    nap=st.just(0.0) | st.floats(0, 200),
)
CLOCK_STEPS = st.lists(st.tuples(st.floats(0, 3000), st.floats(-800, 800) | st.floats(-1e8, 1e8)), max_size=4)
REBOOTS = st.lists(st.tuples(st.floats(0, 3000), st.floats(1, 1e5)), min_size=1, max_size=2)


class Run:
    """The jobs from start to end on one machine, with what nobody in it knows: true time, and when requests arrive."""

    machine: Any = ratelimit

    def __init__(self, jobs: list[Job], *, steps: list[tuple[float, float]], reboots: list[tuple[float, float]]) -> None:
        self.jobs = jobs
        self.true, self.offset, self.boot = 0.0, 1.7e9, -9e4
        self.window, self.queue = self.machine.Window(), ()
        self.order = count()
        self.events: list[Any] = []
        self.line: list[int] = []
        self.alive, self.shut, self.landed = set(range(len(jobs))), 0.0, -math.inf
        for number, job in enumerate(jobs):
            self.at(job.starts, self.enqueue, number)
        for moment, seconds in steps:
            self.at(moment, self.step, seconds)
        for moment, uptime in reboots:
            self.at(moment, self.reboot, uptime)
        calls = sum(
            job.timeout + 15 + ratelimit.WINDOW + min(job.hint, ratelimit.RETRY_AFTER_CAP) + job.late + job.nap for job in jobs
        )
        faults = (len(steps) + len(reboots)) * (ratelimit.RETRY_AFTER_CAP + ratelimit.BEAT_LIMIT)
        self.over = 3000 + calls + faults + 2 * ratelimit.BEAT_LIMIT * len(jobs)

    def at(self, moment: float, what: Callable[..., None], *arguments: object) -> None:
        heapq.heappush(self.events, (moment, next(self.order), partial(what, *arguments)))

    @property
    def now(self) -> Instant:
        return Instant(self.true + self.offset, self.true - self.boot)

    def go(self) -> None:
        while self.events:
            self.true, _, happen = heapq.heappop(self.events)
            assert self.true <= self.over, "somebody waits longer than the bound"
            happen()

    def step(self, seconds: float) -> None:
        self.offset += seconds

    def reboot(self, uptime: float) -> None:
        """Whoever runs dies; a request on its way may still arrive."""
        self.boot = self.true - uptime
        self.alive = {number for number in self.alive if self.jobs[number].starts > self.true}
        self.line = []

    def enqueue(self, number: int) -> None:
        self.queue = self.machine.join_queue(self.queue, str(number), self.now)
        self.line.append(number)
        self.ask(number)

    def ask(self, number: int) -> None:
        if number not in self.alive:
            return
        job = self.jobs[number]
        rules = ratelimit.Rules(ratelimit.WINDOW, job.timeout)
        self.window, self.queue, turn = self.machine.ask_turn(
            self.window, self.queue, ticket=str(number), now=self.now, rules=rules
        )
        if isinstance(turn, self.machine.Wait):
            assert 0 < turn.pause <= ratelimit.BEAT
            # While a call is under way asking four times a second would only take longer to compute.
            nap = job.nap if self.true == job.starts else 0.0
            self.at(self.true + max(nap, turn.pause, min(ratelimit.BEAT, turn.left)), self.ask, number)
            return
        ahead = self.line[: self.line.index(number)]
        self.line.remove(number)
        if isinstance(turn, self.machine.Gone):
            assert job.nap > ratelimit.BEAT_LIMIT
            self.enqueue(number)
            return
        assert all(self.jobs[other].nap > ratelimit.BEAT_LIMIT for other in ahead), "not first come, first served"
        assert self.true >= self.shut, "sent before the time a 429 named"
        self.call(number, job, rules)

    def call(self, number: int, job: Job, rules: ratelimit.Rules) -> None:
        # A server may take the request from its queue after the caller has given up.
        landing = self.true + job.lands * (job.timeout + (rules.margin if job.how in ("unclear", "dies") else 0.0))
        end = self.true + job.ends * job.timeout
        if job.how != "unsent":
            self.at(landing, self.land)
        if job.how != "dies":
            self.at((end if job.how in ("unsent", "unclear") else max(landing, end)) + job.late, self.settle, number, rules)

    def land(self) -> None:
        assert self.true - self.landed >= ratelimit.WINDOW - 0.001, "arrivals less than a window apart"
        self.landed = self.true

    def settle(self, number: int, rules: ratelimit.Rules) -> None:
        if number in self.alive:
            job = self.jobs[number]
            if job.how == "unsent":
                self.window = self.machine.give_back(self.window, str(number))
                return
            self.window = self.machine.settle_window(
                self.window, str(number), is_over=job.how != "unclear", now=self.now, rules=rules,
                closed_for=job.hint if job.how == "limited" else 0.0,
            )  # fmt: skip
            if job.how == "limited":
                self.shut = max(self.shut, self.true + min(job.hint, ratelimit.RETRY_AFTER_CAP) - 0.001)


RUNS = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@RUNS
@given(st.lists(JOBS, min_size=2, max_size=6), CLOCK_STEPS)
def test_a_run_with_the_real_constants_keeps_its_promises_through_clock_steps(
    jobs: list[Job], steps: list[tuple[float, float]]
) -> None:
    Run(jobs, steps=steps, reboots=[]).go()


@RUNS
@given(st.lists(JOBS, min_size=2, max_size=6), REBOOTS)
def test_a_run_with_the_real_constants_keeps_its_promises_through_reboots(
    jobs: list[Job], reboots: list[tuple[float, float]]
) -> None:
    Run(jobs, steps=[], reboots=reboots).go()
