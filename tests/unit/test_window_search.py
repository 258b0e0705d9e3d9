"""The window machine proved: no interleaving of the production functions breaks a promise, and the search would notice."""

import inspect
from types import ModuleType

import pytest

from spcli.ratelimit import window as ratelimit
from tests.unit.window_model import MOVES, Model
from tests.unit.window_search import Search

PAIR = Model(2)
LATE = Model(2, margin=1)
DAMAGED = Model(2, damaged=True)
STEPS = Model(1, steps=(-2, 2), budget=2)
STEPPED_PAIR = Model(2, steps=(-2, 2), budget=1, crashes=False)

# Each with the fewest states it is known to have: a search that stops early proves nothing.
MODELS = {
    "two processes": (PAIR, 4_000),
    "a call as long as the window": (Model(2, timeout=2), 6_000),
    "a longer window": (Model(2, window=3), 6_000),
    "a server that takes requests late": (Model(2, margin=1), 4_000),
    "damaged store": (DAMAGED, 7_000),
    "three processes": (Model(3, window=1, hint=2), 15_000),
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

# What the mutant is searched with, the promise it breaks, and the one place of window.py that is changed.
MUTANTS = {
    "anchored at the start": (
        PAIR,
        SOON,
        "    if window.holder != ticket:\n",
        "    if window.holder == ticket and is_over and not closed_for:\n"
        "        seconds = seconds_left(window, now) - rules.timeout - rules.margin\n    if window.holder != ticket:\n",
    ),
    "a window too short": (PAIR, SOON, "seconds = max(rules.window,", "seconds = max(rules.window / 2,"),
    "committed for a window only": (PAIR, SOON, "return self.timeout + self.margin + self.window", "return self.window"),
    "committed for the call only": (PAIR, TWO, "return self.timeout + self.margin + self.window", "return self.timeout"),
    "not committed before the end": (
        PAIR,
        TWO,
        "Window(add_seconds(now, rules.bound), rules.bound, holder=ticket,",
        "window._replace(holder=ticket,",
    ),
    "committed without a margin": (
        LATE,
        SOON,
        "return self.timeout + self.margin + self.window",
        "return self.timeout + self.window",
    ),
    "refunded after sending": (
        PAIR,
        TWO,
        "    if window.holder != ticket:\n",
        "    if not is_over:\n        return give_back(window, ticket)\n    if window.holder != ticket:\n",
    ),
    "refunded by any ticket": (
        PAIR,
        TWO,
        "return window.before if window.holder == ticket and window.before",
        "return window.before if window.before",
    ),
    "unclear taken for ended": (
        PAIR,
        SOON,
        "base = window.before or Window() if is_over else window",
        "base = window.before or Window()",
    ),
    "unsent keeps the window": (
        PAIR,
        COST,
        "return window.before if window.holder == ticket and window.before is not None else window",
        "return window",
    ),
    "ended keeps the reservation": (
        PAIR,
        COST,
        "base = window.before or Window() if is_over else window",
        "base = window",
    ),
    "a hint ignored": (PAIR, LIMIT, "max(rules.window, min(closed_for, RETRY_AFTER_CAP))", "rules.window"),
    "a late 429 forgotten": (
        PAIR,
        LIMIT,
        "        return close_window(window, now, seconds)\n    #",
        "        return window\n    #",
    ),
    "a 429 lost by a refund": (
        PAIR,
        LIMIT,
        "before = window.before and close_window(window.before, now, seconds)",
        "before = window.before",
    ),
    "a 429 lost by an end": (PAIR, LIMIT, "window.before or Window() if is_over", "Window() if is_over"),
    "a 429 shortened": (PAIR, SOON, "kept = repair_window(window, now).not_before or least", "kept = least"),
    "closed window ignored": (PAIR, TWO, "if position == 0 and seconds_left(window, now) <= 0:", "if position == 0:"),
    "last come, first served": (
        PAIR,
        ORDER,
        "return (*drop_dead(leave_queue(queue, ticket), now), Waiter(ticket, now))",
        "return (Waiter(ticket, now), *drop_dead(leave_queue(queue, ticket), now))",
    ),
    "the first to ask goes": (
        PAIR,
        ORDER,
        "if position == 0 and seconds_left(window, now) <= 0:",
        "if seconds_left(window, now) <= 0:",
    ),
    "dead waiters kept": (PAIR, BOUND, "return tuple(waiter for waiter in queue if is_alive(waiter, now))", "return queue"),
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
    "a damaged value kept": (
        DAMAGED,
        BOUND,
        "if window.not_before is None or len(clock_readings(window, now)) == 2:",
        "if True:",
    ),
    "a damaged value counted from its clock": (
        DAMAGED,
        BOUND,
        "not_before=add_seconds(now, seconds_left(window, now))",
        "not_before=window.not_before",
    ),
    "the smaller reading": (STEPS, TWO, "return max(0.0, max(clock_readings", "return max(0.0, min(clock_readings"),
    "the wall clock alone": (
        STEPS,
        TWO,
        "both = (window.not_before.wall - now.wall, window.not_before.mono - now.mono)",
        "both = (window.not_before.wall - now.wall,) * 2",
    ),
    "a stepped clock believed later": (STEPS, BOUND, "len(clock_readings(window, now)) == 2", "clock_readings(window, now)"),
    "a stepped clock taken for a wait": (
        STEPS,
        SOON,
        "    least = add_seconds(now, seconds)\n",
        "    if seconds_left(window, now) >= seconds:\n        return window._replace(before=before)\n"
        "    least = add_seconds(now, seconds)\n",
    ),
}


def mutant(old: str, new: str) -> ModuleType:
    """The production text with one place changed, as a module of its own."""
    source = inspect.getsource(ratelimit)
    assert source.count(old) == 1, f"{source.count(old)} places in window.py read {old!r}"
    module = ModuleType("mutant")
    exec(compile(source.replace(old, new), "mutant.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("name", MODELS)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    model, least = MODELS[name]
    report = Search(ratelimit, model).run()
    assert (report.broken, report.trace) == (None, ())
    assert report.states >= least


def test_the_search_tries_every_kind_of_event() -> None:
    words = Search(ratelimit, Model(2, window=1, hint=1, steps=(1,), budget=1)).run().words
    assert words == {"tick", "orphan", "step"}.union(*MOVES.values())


@pytest.mark.parametrize("name", MUTANTS)
def test_the_search_notices_a_mutant(name: str) -> None:
    model, broken, old, new = MUTANTS[name]
    assert Search(mutant(old, new), model).run().broken == broken
