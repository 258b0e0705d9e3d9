"""Pure decisions: may I send, how long do I wait, do I try again, how often do I poll.

Time and chance come in as arguments and every result is a plain value, so the test suite searches these very functions
exhaustively. Durations are seconds.

The service allows one `upload-file` and one `distribute-file` per user in two minutes and blocks accounts that hammer
(https://docs.streampixel.io, rate limits and errors). A `Window` is that limit for one endpoint of one account; processes
queue for it as `Waiter`s, first come, first served.
"""

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from spcli.clock import Instant
from spcli.errors import Refused

# Two seconds over the documented 120: a 429 costs a whole window, being late costs two seconds.
WINDOW = 122.0
BEAT = 5.0
BEAT_LIMIT = 30.0
RETRY_AFTER_CAP = 6 * 3600.0
MESSAGE_CAP = 15 * 60.0
# A block page instead of the service's JSON means the edge has shut this account or address out.
BLOCKED = 15 * 60.0
MAX_TIMEOUT = 600.0
MAX_SENDS = 3
QUICK_RETRIES = (0.3, 1.0)
SETTLE_READS = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
READ_ATTEMPTS = 5
READ_BUDGET = 45.0

Ending = Literal["unsent", "ended", "unclear", "limited"]


class Rules(NamedTuple):
    """What one call is held to: the window that must lie between two calls, and the call's own total time."""

    window: float
    timeout: float


class Window(NamedTuple):
    """One endpoint's window.

    Nobody may send before `not_before`, which can make nobody wait longer than `bound`. `holder` is the ticket of a call that was
    committed and has not ended; `before` is the window as it was then, for a call that never left. `last_call` is Unix time.
    """

    not_before: Instant | None = None
    bound: float = 0.0
    holder: str | None = None
    last_call: float | None = None
    before: "Window | None" = None


class Waiter(NamedTuple):
    """One process in the queue and the last time it was heard of."""

    ticket: str
    beat: Instant


class Go(NamedTuple):
    """Send now: the window is committed to this ticket."""


class Gone(NamedTuple):
    """This ticket is not in the queue (purged while its process was stopped): enqueue again."""


class Wait(NamedTuple):
    """Not yet.

    `position` 0 is next; `left` is until the stored opening; `expected` until this ticket's turn, as far as can be known;
    `pause` until it is worth asking again. `sending` says that somebody's call is under way.
    """

    position: int
    left: float
    expected: float
    pause: float
    sending: bool


class Step(NamedTuple):
    """What a poll leaves behind: the window, the queue, and the answer."""

    window: Window
    queue: tuple[Waiter, ...]
    turn: Go | Gone | Wait


def later(now: Instant, seconds: float) -> Instant:
    """The moment `seconds` after `now`, on both clocks."""
    return Instant(now.wall + seconds, now.mono + seconds)


def usable_bound(bound: float) -> float:
    """`bound`, or the longest ordinary one where a damaged store holds nonsense."""
    return bound if 0 < bound <= RETRY_AFTER_CAP else MAX_TIMEOUT + WINDOW


def readings(window: Window, now: Instant) -> list[float]:
    """Time left by each clock, without those that a step or a reboot has made impossible."""
    if window.not_before is None:
        return []
    both = (window.not_before.wall - now.wall, window.not_before.mono - now.mono)
    # A millisecond of tolerance: the sum that made the value was rounded.
    return [left for left in both if left <= usable_bound(window.bound) + 0.001]


def seconds_left(window: Window, now: Instant) -> float:
    """Time until the window opens: the larger of the two clocks' readings, 0 when open."""
    if window.not_before is None:
        return 0.0
    return max(0.0, max(readings(window, now), default=usable_bound(window.bound)))


def mended(window: Window, now: Instant) -> Window:
    """The window as it is, or with a clock that puts it beyond its bound set by the other, or `now + bound` where both do.

    A value from the far future would be beyond its bound at every look and never run down; one clock stepped back would be
    ignored now, and believed as soon as its reading has come down to the bound.
    """
    if window.not_before is None or len(readings(window, now)) == 2:
        return window
    return window._replace(not_before=later(now, seconds_left(window, now)), bound=usable_bound(window.bound))


def raised(window: Window, now: Instant, seconds: float) -> Window:
    """The window closed for at least `seconds` from now by each clock, and never opened earlier than it was.

    By each: a clock that was stepped back shows a long wait, which would be gone as soon as it is set right again.
    """
    before = window.before and raised(window.before, now, seconds)
    least = later(now, seconds)
    kept = mended(window, now).not_before or least
    until = Instant(max(kept.wall, least.wall), max(kept.mono, least.mono))
    bound = max(until.wall - now.wall, until.mono - now.mono)
    # The difference was rounded: it may not exceed what a stored bound can be.
    return window._replace(not_before=until, bound=min(bound, RETRY_AFTER_CAP), before=before)


def is_alive(waiter: Waiter, now: Instant) -> bool:
    """Whether its heartbeat is recent by at least one clock that has not been stepped back since."""
    ages = (now.wall - waiter.beat.wall, now.mono - waiter.beat.mono)
    return min((age for age in ages if age >= -1.0), default=math.inf) <= BEAT_LIMIT


def enqueue(queue: tuple[Waiter, ...], ticket: str, now: Instant) -> tuple[Waiter, ...]:
    """The queue with `ticket` at its end; the dead are passed over."""
    return (*purge(cancel(queue, ticket), now), Waiter(ticket, now))


def cancel(queue: tuple[Waiter, ...], ticket: str) -> tuple[Waiter, ...]:
    """The queue without `ticket`: it costs nobody anything."""
    return tuple(waiter for waiter in queue if waiter.ticket != ticket)


def purge(queue: tuple[Waiter, ...], now: Instant) -> tuple[Waiter, ...]:
    """The queue without those not heard of for `BEAT_LIMIT`."""
    return tuple(waiter for waiter in queue if is_alive(waiter, now))


def poll(window: Window, queue: tuple[Waiter, ...], *, ticket: str, now: Instant, rules: Rules) -> Step:
    """Ask for the turn: the commit is part of the answer `Go`.

    Committing is pessimistic: until the call has ended, its process may die at any point, so the window is closed for the call's
    whole time and a window after it.
    """
    window = mended(window, now)
    beaten = tuple(waiter._replace(beat=now) if waiter.ticket == ticket else waiter for waiter in queue)
    queue = purge(beaten, now)
    tickets = [waiter.ticket for waiter in queue]
    if ticket not in tickets:
        return Step(window, queue, Gone())
    position = tickets.index(ticket)
    if position == 0 and seconds_left(window, now) <= 0:
        return Step(committed(window, ticket, now, rules), cancel(queue, ticket), Go())
    return Step(window, queue, waiting(window, position, now=now, rules=rules))


def committed(window: Window, ticket: str, now: Instant, rules: Rules) -> Window:
    """The window while `ticket`'s call is under way."""
    bound = rules.timeout + rules.window
    before = window._replace(holder=None, before=None)
    return Window(later(now, bound), bound, holder=ticket, last_call=now.wall, before=before)


def waiting(window: Window, position: int, *, now: Instant, rules: Rules) -> Wait:
    """How long this place in the queue takes, and when to look again."""
    left = seconds_left(window, now)
    sending = window.holder is not None and left > 0
    # A call under way may end this very moment, which leaves a window, and whatever was known before it or learned meanwhile.
    soonest = max(min(left, rules.window), seconds_left(window.before or Window(), now)) if sending else left
    often = min(0.25, rules.window / 10)
    # Those further back look a little later than the head, so that they don't hold the database when it commits.
    pause = often if sending or left <= 0 else min(BEAT, left + position * often / 10)
    return Wait(position, left, soonest + position * rules.window, pause, sending)


def settle(window: Window, ticket: str, how: Ending, *, now: Instant, rules: Rules, hint: float = 0.0) -> Window:
    """The window after a call's end.

    Args:
        how: `unsent` gives the window back as it was; `ended` anchors the next call at the **end** of this one, since
            nobody knows when the service counted it; `unclear` never shortens what the commit reserved, since the request
            may still be on its way; `limited` (a 429) closes it for the larger of the window and `hint`.
    """
    mine = window.holder == ticket
    if how == "unsent":
        return window.before if mine and window.before is not None else window
    seconds = rules.window if how != "limited" else max(rules.window, min(hint, RETRY_AFTER_CAP))
    if not mine:
        return raised(window, now, seconds)
    # What the commit reserved ends here, unless the call may still arrive; what others learned meanwhile (a 429) stays.
    base = window if how == "unclear" else window.before or Window()
    return raised(base._replace(holder=None, last_call=now.wall, before=None), now, seconds)


def limit_hint(message: str, hinted: float | None, *, is_block: bool) -> float:
    """Seconds a 429 or a block page asks for: the largest of `Retry-After`, what the message says, and a block's quarter hour."""
    return max(hinted or 0.0, seconds_in(message), BLOCKED if is_block else 0.0)


def seconds_in(message: str) -> float:
    """The wait named in a message such as "Try again in 2 minutes.", 0 if none, at most `MESSAGE_CAP`."""
    units = {"s": 1, "m": 60, "h": 3600}
    found = re.findall(
        r"(?<![\d.])(\d{1,4})\s*(s|m|h)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?)?\b", message[:4096], re.IGNORECASE | re.ASCII
    )
    return min(MESSAGE_CAP, max((int(number) * units[unit.lower()] for number, unit in found), default=0.0))


def is_retryable(status: int) -> bool:
    """Whether a read answered with this status is worth another attempt: 429 and 5xx, and nothing else."""
    return status == 429 or 500 <= status < 600


def read_delay(attempt: int, chance: float, hinted: float | None = None) -> float:
    """Pause after the failed read `attempt` (1 is the first): full jitter over 1, 2, 4, 8 s; a hint only lengthens it."""
    return max(hinted or 0.0, chance * min(60.0, float(2 ** (attempt - 1))))


def resend_spread(limits: int, window: float, chance: float) -> float:
    """Extra wait after a command's second 429: another client uses this account, so don't meet it in step once more.

    None after the first, which a call of that client explains, nor after the last, as nothing is sent again.
    """
    return chance * min(window / 4, 600.0) if 1 < limits < MAX_SENDS else 0.0


def scaled(moments: Sequence[float], scale: float, least: float) -> list[float]:
    """`moments` times `scale`, the last at least `least` (or as it is, if that is less): a sandbox is quick, but not instant."""
    factor = max(scale, min(1.0, least / moments[-1]))
    return [moment * factor for moment in moments]


def ending_of(refused: Refused) -> tuple[Ending, float]:
    """How a refused write ended, for its window, and the seconds it must stay closed.

    A page instead of the service's JSON on a 403, 429 or 503 comes from the edge in front of it, which blocks clients that
    hammer; one that says with `Retry-After` for how long is taken at its word.
    """
    is_block = refused.is_page and refused.hinted is None and refused.status in (403, 429, 503)
    if refused.status != 429 and not is_block:
        return "ended", 0.0
    return "limited", limit_hint(refused.message, refused.hinted, is_block=is_block)


Answer = Literal["limited", "failed", "unclear", "refused"]


def answer_of(refused: Refused) -> Answer:
    """What a refused write means: `limited` (not processed, again at the next window), `failed` (the service's own 5xx),
    `unclear` (a gateway's 5xx: what stands behind it may have processed it), or `refused` for good."""
    status = refused.status or 0
    if status >= 500:
        return "failed" if refused.documented else "unclear"
    return "limited" if status == 429 else "refused"
