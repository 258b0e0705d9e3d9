"""The decisions one by one: tables for what is documented, hypothesis for whatever a store or a server may hold."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.clock import Instant
from spcli.ratelimit import window as ratelimit
from spcli.ratelimit.window import BEAT, MAX_TIMEOUT, RETRY_AFTER_CAP, WINDOW, Go, Gone, Rules, Wait, Waiter, Window

NOW = Instant(1.7e9, 5e4)
RULES = Rules(window=WINDOW, timeout=60.0)
FRESH = 1e-3
LONGEST = MAX_TIMEOUT + 15 + WINDOW

# A busy machine is no failure.
UNHURRIED = settings(deadline=None)

ANYTHING = st.floats() | st.floats(-1e5, 2e9)
NEAR = st.builds(Instant, st.floats(NOW.wall - 1e5, NOW.wall + 1e5), st.floats(NOW.mono - 4e4, NOW.mono + 1e5))
STORED = NEAR | st.builds(Instant, ANYTHING, ANYTHING)
BOUNDS = st.floats() | st.floats(0, RETRY_AFTER_CAP)
CLOSED = st.builds(Window, STORED, BOUNDS, st.none() | st.just("other"), st.none(), st.none())
WINDOWS = st.just(Window()) | CLOSED | st.builds(Window, STORED, BOUNDS, st.sampled_from(["me", "other"]), st.none(), CLOSED)
QUEUES = st.lists(st.builds(Waiter, st.sampled_from("abcde"), STORED), max_size=5, unique_by=lambda waiter: waiter.ticket).map(
    tuple
)
SECONDS = st.floats(0, RETRY_AFTER_CAP)


def at(seconds: float) -> Instant:
    return ratelimit.add_seconds(NOW, seconds)


def left(window: Window, now: Instant = NOW) -> float:
    return ratelimit.seconds_left(window, now)


def waiters(*tickets: str) -> tuple[Waiter, ...]:
    return tuple(Waiter(ticket, NOW) for ticket in tickets)


def ask(window: Window, queue: tuple[Waiter, ...], ticket: str = "me", now: Instant = NOW) -> ratelimit.Step:
    return ratelimit.ask_turn(window, queue, ticket=ticket, now=now, rules=RULES)


# How long a window is closed


@pytest.mark.parametrize(
    ("window", "seconds"),
    [
        (Window(), 0),
        (Window(at(50), 182), 50),
        (Window(at(-50), 182), 0),
        (Window(Instant(NOW.wall + 50, NOW.mono + 20), 182), 50),
        (Window(Instant(NOW.wall + 20, NOW.mono + 50), 182), 50),
        # A clock beyond the bound was set back, or began again: the other one counts.
        (Window(Instant(NOW.wall + 9000, NOW.mono + 20), 182), 20),
        (Window(Instant(NOW.wall + 20, NOW.mono + 9000), 182), 20),
        (Window(Instant(NOW.wall + 9000, NOW.mono + 9000), 182), 182),
        (Window(Instant(math.nan, math.inf), 182), 182),
        (Window(at(21_600), 21_600), 21_600),
        # An impossible bound is replaced by that of the longest ordinary call.
        (Window(at(9000), math.nan), LONGEST),
        (Window(at(9000), -1.0), LONGEST),
        (Window(at(9000), 0.0), LONGEST),
        (Window(at(9000), 30_000), LONGEST),
    ],
)
def test_the_time_left_is_the_larger_possible_reading(window: Window, seconds: float) -> None:
    assert left(window) == pytest.approx(seconds)


@UNHURRIED
@given(WINDOWS)
def test_no_stored_value_closes_a_window_beyond_its_bound(window: Window) -> None:
    assert 0 <= left(window) <= ratelimit.usable_bound(window.bound) + FRESH <= RETRY_AFTER_CAP + FRESH


@UNHURRIED
@given(WINDOWS)
def test_repair_changes_no_wait_and_leaves_two_possible_clocks(window: Window) -> None:
    repaired = ratelimit.repair_window(window, NOW)
    assert left(repaired) == pytest.approx(left(window), abs=FRESH)
    assert len(ratelimit.clock_readings(repaired, NOW)) == (0 if window.not_before is None else 2)
    assert ratelimit.repair_window(repaired, NOW) == repaired


@UNHURRIED
@given(WINDOWS, st.floats(-1e6, 1e6))
def test_after_repair_no_step_of_the_wall_clock_opens_or_prolongs_beyond_the_bound(window: Window, step: float) -> None:
    repaired = ratelimit.repair_window(window, NOW)
    assert left(repaired, Instant(NOW.wall + step, NOW.mono)) <= ratelimit.usable_bound(window.bound) + FRESH
    assert left(repaired, at(left(window) + 0.01)) == 0


@UNHURRIED
@given(WINDOWS, SECONDS)
def test_closing_lasts_long_enough_and_no_longer(window: Window, seconds: float) -> None:
    closed = ratelimit.close_window(window, NOW, seconds)
    assert left(closed) == pytest.approx(max(seconds, left(window)), abs=FRESH)
    assert (closed.before is None) == (window.before is None)
    if window.before and closed.before:
        assert left(closed.before) == pytest.approx(max(seconds, left(window.before)), abs=FRESH)


@UNHURRIED
@given(WINDOWS, SECONDS, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_clock_steps_before_and_after_closing_do_not_open_it_early(
    window: Window, seconds: float, one: float, two: float
) -> None:
    closed = ratelimit.close_window(window, Instant(NOW.wall + one, NOW.mono), seconds)
    assert left(closed, Instant(NOW.wall + one + two, NOW.mono)) >= seconds - FRESH


def test_rounding_does_not_make_the_longest_hint_look_damaged() -> None:
    for wall in (0.1, 1.7e9 + 0.1, 4e9 + 1 / 3):
        now = Instant(wall, wall / 7)
        assert left(ratelimit.close_window(Window(), now, RETRY_AFTER_CAP), now) == pytest.approx(RETRY_AFTER_CAP)


# The queue


@pytest.mark.parametrize(
    ("wall", "mono", "alive"),
    [
        (0, 0, True),
        (30, 30, True),
        (31, 31, False),
        (31, 30, True),
        (30, 31, True),
        (86_400, 10, True),
        (-86_400, 10, True),
        (-86_400, 31, False),
        (10, -5000, True),
        (-86_400, -5000, False),
        (math.nan, math.nan, False),
    ],
)
def test_a_waiter_is_alive_for_thirty_seconds_by_a_possible_clock(wall: float, mono: float, alive: bool) -> None:
    assert ratelimit.is_alive(Waiter("a", Instant(NOW.wall - wall, NOW.mono - mono)), NOW) is alive


@UNHURRIED
@given(QUEUES)
def test_a_newcomer_is_last_and_the_living_keep_their_order(queue: tuple[Waiter, ...]) -> None:
    living = tuple(waiter for waiter in queue if ratelimit.is_alive(waiter, NOW))
    assert ratelimit.drop_dead(queue, NOW) == living
    assert ratelimit.join_queue(queue, "me", NOW) == (*living, Waiter("me", NOW))
    assert ratelimit.leave_queue(ratelimit.join_queue(queue, "me", NOW), "me") == living


def test_a_waiter_that_queues_again_goes_to_the_end() -> None:
    assert ratelimit.join_queue(waiters("a", "b"), "a", NOW) == waiters("b", "a")


# Asking for the turn


@UNHURRIED
@given(WINDOWS, QUEUES)
def test_the_first_waiter_goes_as_soon_as_the_window_is_open(window: Window, queue: tuple[Waiter, ...]) -> None:
    queue = ratelimit.join_queue(queue, "me", NOW)
    after, rest, turn = ask(window, queue)
    if len(queue) == 1 and left(ratelimit.repair_window(window, NOW)) == 0:
        assert isinstance(turn, Go)
        assert (after.holder, after.last_call, rest) == ("me", NOW.wall, ())
        assert left(after) == pytest.approx(60 + 15 + WINDOW)
    else:
        assert isinstance(turn, Wait)
        assert (turn.position, rest) == (len(queue) - 1, queue)
        assert turn.left == pytest.approx(left(window), abs=FRESH)
        assert 0 < turn.pause <= BEAT
        assert turn.expected >= turn.position * WINDOW


@UNHURRIED
@given(WINDOWS, st.floats(-1e6, 1e6))
def test_no_stored_value_and_no_clock_step_makes_a_waiter_wait_longer_than_the_bound(window: Window, step: float) -> None:
    queue, seconds, bound = waiters("me"), 0.0, ratelimit.usable_bound(window.bound)
    window, queue, turn = ask(window, queue)
    while isinstance(turn, Wait):
        seconds += max(turn.pause, min(turn.left, BEAT))
        assert seconds <= bound + BEAT
        window, queue, turn = ask(window, queue, now=Instant(NOW.wall + step + seconds, NOW.mono + seconds))


def test_asking_is_a_heartbeat_and_drops_dead_waiters() -> None:
    queue = (Waiter("dead", at(-31)), Waiter("me", at(-29)), Waiter("next", at(-29)))
    window, rest, turn = ask(Window(at(60), 182), queue)
    assert rest == (Waiter("me", NOW), Waiter("next", at(-29)))
    assert (window, turn) == (Window(at(60), 182), Wait(0, 60, 60, BEAT, False))


def test_a_stopped_waiter_that_was_not_dropped_keeps_its_place() -> None:
    assert isinstance(ask(Window(), (Waiter("me", at(-500)),)).turn, Go)


def test_a_ticket_that_is_not_in_the_queue_is_gone() -> None:
    assert ask(Window(), waiters("a")) == (Window(), waiters("a"), Gone())


@pytest.mark.parametrize(
    ("window", "position", "expected", "sending"),
    [
        (Window(at(60), 182), 0, 60, False),
        (Window(at(60), 182), 2, 60 + 2 * WINDOW, False),
        (Window(), 1, WINDOW, False),
        # Under way for 10 s: should it end now, the next window begins now.
        (Window(at(172), 182, "x", None, Window()), 0, WINDOW, True),
        # Over its time, so it has died: nothing will shorten what it reserved.
        (Window(at(50), 182, "x", None, Window()), 1, 50 + WINDOW, True),
        # A 429 that somebody else reported meanwhile holds whatever becomes of this call.
        (Window(at(900), 900, "x", None, Window(at(900), 900)), 0, 900, True),
        (Window(at(-1), 182, "x", None, Window()), 1, WINDOW, False),
        (Window(at(172), 182, "x"), 0, WINDOW, True),
    ],
)
def test_the_expected_time_counts_the_call_under_way_and_those_ahead(
    window: Window, position: int, expected: float, sending: bool
) -> None:
    turn = ratelimit.estimate_wait(window, position, now=NOW, rules=RULES)
    assert (turn.position, turn.sending) == (position, sending)
    assert turn.expected == pytest.approx(expected)


def test_waiters_ask_often_only_while_something_may_change() -> None:
    sending, closed = Window(at(172), 182, "x"), Window(at(60), 182)
    assert ratelimit.estimate_wait(sending, 0, now=NOW, rules=RULES).pause == 0.25
    assert ratelimit.estimate_wait(Window(), 1, now=NOW, rules=RULES).pause == 0.25
    assert ratelimit.estimate_wait(closed, 0, now=NOW, rules=RULES).pause == BEAT
    head, second = (ratelimit.estimate_wait(Window(at(2), 182), place, now=NOW, rules=RULES).pause for place in (0, 1))
    assert head == pytest.approx(2)
    assert head < second < head + 0.25
    assert ratelimit.estimate_wait(sending, 0, now=NOW, rules=Rules(0.5, 0.5)).pause == 0.05


# Settling


def commit(window: Window, timeout: float = RULES.timeout) -> Window:
    return ratelimit.commit_window(window, "me", NOW, Rules(WINDOW, timeout))


@pytest.mark.parametrize(
    ("is_over", "closed_for", "seconds"),
    [
        (True, 0, WINDOW),
        (True, 600, 600),
        (True, 1e9, RETRY_AFTER_CAP),
        (True, math.inf, RETRY_AFTER_CAP),
        (True, math.nan, WINDOW),
        # It may still arrive: the rest of its time, the margin and a window.
        (False, 0, 60 - 10 + 15 + WINDOW),
    ],
)
def test_the_next_call_is_anchored_at_the_end_of_this_one(is_over: bool, closed_for: float, seconds: float) -> None:
    committed = commit(Window(at(-5), 182))
    after = ratelimit.settle_window(committed, "me", is_over=is_over, now=at(10), rules=RULES, closed_for=closed_for)
    assert left(after, at(10)) == pytest.approx(seconds)
    assert (after.holder, after.before, after.last_call) == (None, None, NOW.wall + 10)


@pytest.mark.parametrize(("timeout", "margin"), [(60.0, 15.0), (20.0, 5.0), (0.4, 0.1), (MAX_TIMEOUT, 15.0)])
def test_a_timed_out_call_keeps_a_margin_for_a_server_that_takes_it_late(timeout: float, margin: float) -> None:
    rules = Rules(WINDOW, timeout)
    after = ratelimit.settle_window(commit(Window(), timeout), "me", is_over=False, now=at(timeout), rules=rules)
    assert left(after, at(timeout)) == pytest.approx(margin + WINDOW)


@UNHURRIED
@given(WINDOWS)
def test_a_call_that_never_left_gives_back_the_window_as_it_was(window: Window) -> None:
    given_back = ratelimit.give_back(commit(window), "me")
    assert repr(given_back) == repr(window._replace(holder=None, before=None))


@UNHURRIED
@given(WINDOWS, SECONDS, st.booleans())
def test_a_ticket_that_does_not_hold_the_window_never_opens_it_earlier(window: Window, hint: float, is_over: bool) -> None:
    assert ratelimit.give_back(window, "stranger") is window
    after = ratelimit.settle_window(window, "stranger", is_over=is_over, now=NOW, rules=RULES, closed_for=hint)
    assert left(after) >= max(WINDOW, hint, left(window)) - FRESH
    assert after.holder == window.holder


@UNHURRIED
@given(CLOSED)
def test_a_holder_without_a_past_keeps_its_reservation_but_can_end(window: Window) -> None:
    held = window._replace(holder="me")
    assert ratelimit.give_back(held, "me") is held
    assert left(ratelimit.settle_window(held, "me", is_over=True, now=NOW, rules=RULES)) == pytest.approx(WINDOW)


def test_a_429_that_others_met_during_a_call_outlasts_it() -> None:
    learned = ratelimit.settle_window(commit(Window()), "late", is_over=True, now=at(5), rules=RULES, closed_for=900)
    assert left(ratelimit.give_back(learned, "me"), at(10)) == pytest.approx(895)
    for is_over in (True, False):
        after = ratelimit.settle_window(learned, "me", is_over=is_over, now=at(10), rules=RULES)
        assert left(after, at(10)) == pytest.approx(895)
