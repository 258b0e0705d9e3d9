"""Pure: the window of one rate limit and the queue for it.

The service allows one `upload-file` and one `distribute-file` per user every two minutes and blocks accounts that call too often
(https://docs.streampixel.io, rate limits and errors). A `Window` is that limit for one endpoint of one account; processes queue
for it as `Waiter`s, first come, first served. Time comes in as an argument and every result is a plain value, so the tests search
these very functions exhaustively. Durations are seconds.
"""

import math
from typing import NamedTuple

from spcli.clock import Instant

WINDOW = 122.0
"""Two seconds over the documented 120: a 429 costs a whole window, being late costs two seconds."""
BEAT = 5.0
BEAT_LIMIT = 30.0
"""A waiter without a heartbeat for this long is dropped from the queue."""
RETRY_AFTER_CAP = 6 * 3600.0
MAX_TIMEOUT = 600.0
MAX_MARGIN = 15.0


class Rules(NamedTuple):
    """The rules for one call: the window between two calls, and the call's own total time."""

    window: float
    timeout: float

    @property
    def margin(self) -> float:
        """Return the seconds after a timeout in which a server may still take the request: a quarter of it, at most 15."""
        return min(self.timeout / 4, MAX_MARGIN)

    @property
    def bound(self) -> float:
        """Return the longest time for which a committed call closes its window."""
        return self.timeout + self.margin + self.window


class Window(NamedTuple):
    """One endpoint's window.

    A call may be sent from `not_before` on, which is never further away than `bound`. `holder` is the ticket of a call that was
    committed and has not ended; `before` is the window as it was then, for a call that never left. `last_call` is Unix time.
    """

    not_before: Instant | None = None
    bound: float = 0.0
    holder: str | None = None
    last_call: float | None = None
    before: "Window | None" = None


class Waiter(NamedTuple):
    """One process in the queue and its last heartbeat."""

    ticket: str
    beat: Instant


class Go(NamedTuple):
    """Send now: the window is committed to this ticket."""


class Gone(NamedTuple):
    """This ticket is not in the queue (dropped while its process was stopped): join again."""


class Wait(NamedTuple):
    """Not yet.

    `position` 0 is next; `left` is until the stored opening; `expected` is the estimate until this ticket's turn; `pause` is
    until it is worth asking again. `sending` says that another process's call is under way.
    """

    position: int
    left: float
    expected: float
    pause: float
    sending: bool


class Step(NamedTuple):
    """The result of asking for the turn: the window, the queue, and the answer."""

    window: Window
    queue: tuple[Waiter, ...]
    turn: Go | Gone | Wait


def add_seconds(now: Instant, seconds: float) -> Instant:
    """Return the moment `seconds` after `now`, on both clocks."""
    return Instant(now.wall + seconds, now.mono + seconds)


def usable_bound(bound: float) -> float:
    """Return `bound`, or the longest ordinary one where a damaged store holds nonsense."""
    return bound if 0 < bound <= RETRY_AFTER_CAP else Rules(WINDOW, MAX_TIMEOUT).bound


def clock_readings(window: Window, now: Instant) -> list[float]:
    """Return the time left by each clock, without those that a step or a reboot has made impossible."""
    if window.not_before is None:
        return []
    both = (window.not_before.wall - now.wall, window.not_before.mono - now.mono)
    # A millisecond of tolerance: the sum that made the value was rounded.
    return [left for left in both if left <= usable_bound(window.bound) + 0.001]


def seconds_left(window: Window, now: Instant) -> float:
    """Return the time until the window opens: the larger of the two clocks' readings, 0 when open."""
    if window.not_before is None:
        return 0.0
    return max(0.0, max(clock_readings(window, now), default=usable_bound(window.bound)))


def repair_window(window: Window, now: Instant) -> Window:
    """Return the window with a clock beyond its bound set by the other one, or to `now + bound` where both are.

    A value from the far future would be beyond its bound at every look and never run down; a clock that was stepped back would be
    ignored now, and believed as soon as its reading has come down to the bound.
    """
    if window.not_before is None or len(clock_readings(window, now)) == 2:
        return window
    return window._replace(not_before=add_seconds(now, seconds_left(window, now)), bound=usable_bound(window.bound))


def close_window(window: Window, now: Instant, seconds: float) -> Window:
    """Return the window closed for at least `seconds` from now by each clock, and never opened earlier than it was.

    By each clock: one that was stepped back shows a long wait, which disappears as soon as it is set right again.
    """
    before = window.before and close_window(window.before, now, seconds)
    least = add_seconds(now, seconds)
    kept = repair_window(window, now).not_before or least
    until = Instant(max(kept.wall, least.wall), max(kept.mono, least.mono))
    bound = max(until.wall - now.wall, until.mono - now.mono)
    # The difference was rounded: it may not exceed the largest bound that is stored.
    return window._replace(not_before=until, bound=min(bound, RETRY_AFTER_CAP), before=before)


def is_alive(waiter: Waiter, now: Instant) -> bool:
    """Return whether the heartbeat is recent by at least one clock that has not been stepped back since."""
    ages = (now.wall - waiter.beat.wall, now.mono - waiter.beat.mono)
    return min((age for age in ages if age >= -1.0), default=math.inf) <= BEAT_LIMIT


def join_queue(queue: tuple[Waiter, ...], ticket: str, now: Instant) -> tuple[Waiter, ...]:
    """Return the queue with `ticket` at its end, without dead waiters."""
    return (*drop_dead(leave_queue(queue, ticket), now), Waiter(ticket, now))


def leave_queue(queue: tuple[Waiter, ...], ticket: str) -> tuple[Waiter, ...]:
    """Return the queue without `ticket`."""
    return tuple(waiter for waiter in queue if waiter.ticket != ticket)


def drop_dead(queue: tuple[Waiter, ...], now: Instant) -> tuple[Waiter, ...]:
    """Return the queue without waiters whose heartbeat is older than `BEAT_LIMIT`."""
    return tuple(waiter for waiter in queue if is_alive(waiter, now))


def ask_turn(window: Window, queue: tuple[Waiter, ...], *, ticket: str, now: Instant, rules: Rules) -> Step:
    """Ask for the turn: `Go` commits the window.

    Committing is pessimistic: until the call has ended, its process may die at any point, so the window is closed for the call's
    whole time, the margin and a window after it.
    """
    window = repair_window(window, now)
    beaten = tuple(waiter._replace(beat=now) if waiter.ticket == ticket else waiter for waiter in queue)
    queue = drop_dead(beaten, now)
    tickets = [waiter.ticket for waiter in queue]
    if ticket not in tickets:
        return Step(window, queue, Gone())
    position = tickets.index(ticket)
    if position == 0 and seconds_left(window, now) <= 0:
        return Step(commit_window(window, ticket, now, rules), leave_queue(queue, ticket), Go())
    return Step(window, queue, estimate_wait(window, position, now=now, rules=rules))


def commit_window(window: Window, ticket: str, now: Instant, rules: Rules) -> Window:
    """Return the window while `ticket`'s call is under way."""
    before = window._replace(holder=None, before=None)
    return Window(add_seconds(now, rules.bound), rules.bound, holder=ticket, last_call=now.wall, before=before)


def estimate_wait(window: Window, position: int, *, now: Instant, rules: Rules) -> Wait:
    """Return how long this place in the queue takes, and when to ask again."""
    left = seconds_left(window, now)
    sending = window.holder is not None and left > 0
    # A call under way may end this very moment; then a window follows, and the waits known before it or learned meanwhile.
    soonest = max(min(left, rules.window), seconds_left(window.before or Window(), now)) if sending else left
    often = min(0.25, rules.window / 10)
    # Those further back ask a little later than the head, so that they don't hold the database when it commits.
    pause = often if sending or left <= 0 else min(BEAT, left + position * often / 10)
    return Wait(position, left, soonest + position * rules.window, pause, sending)


def give_back(window: Window, ticket: str) -> Window:
    """Return the window after a call that never left this machine: as it was before the commit."""
    return window.before if window.holder == ticket and window.before is not None else window


def settle_window(window: Window, ticket: str, *, is_over: bool, now: Instant, rules: Rules, closed_for: float = 0.0) -> Window:
    """Return the window after a call's end.

    The next call is anchored at the **end** of this one, since nothing says when the service counted it.

    Args:
        is_over: nothing of the call is on its way any more. Otherwise (a timeout, a signal) the reservation of the commit stays:
            it covers the call's time and the margin in which a server may still take the request from its queue.
        closed_for: seconds that a refusal closes the window for (`refusal.classify_refusal`).
    """
    seconds = max(rules.window, min(closed_for, RETRY_AFTER_CAP))
    if window.holder != ticket:
        return close_window(window, now, seconds)
    # The commit's reservation ends here unless the call may still arrive; a 429 that others met meanwhile stays.
    base = window.before or Window() if is_over else window
    return close_window(base._replace(holder=None, last_call=now.wall, before=None), now, seconds)
