"""Take a turn at a rate limit: queue, wait, commit, send once, settle.

Every `upload-file` and `distribute-file` that this program sends goes through a `Turn`. The service allows one of each per user
every two minutes and blocks accounts that call too often (https://docs.streampixel.io, rate limits and errors).
"""

from collections.abc import Mapping
from typing import NamedTuple

from spcli.api.client import Api
from spcli.api.parse import Accepted
from spcli.api.retry import QUICK_RETRIES
from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.output import Output
from spcli.output.words import clock_time, duration
from spcli.ratelimit.refusal import classify_refusal, resend_spread
from spcli.ratelimit.window import BEAT, RETRY_AFTER_CAP, Go, Gone, Rules, Wait
from spcli.state.ledger import NewAttempt
from spcli.state.store import State

MAX_WAIT = 600.0
"""Seconds a command waits for rate limits, all its waits together, unless `--max-wait` says otherwise."""
LOOK_AHEAD = 5.0
"""Seconds before a send within which the build list must have been read."""
LEAST_AHEAD = 0.25
"""The minimum of these seconds in a quick sandbox, where reading the list takes time, too."""
NEAR = 0.9
HEARTBEAT = 60.0

Reply = Accepted | NotSent | Refused | Unclear
"""How one call ended: values, because the loop decides what they mean."""


class RateLimit(NamedTuple):
    """One endpoint's limit for one account: `endpoint` is `upload` or `distribute`; `scale` is 1, less for a quick sandbox."""

    endpoint: str
    bucket: str
    rules: Rules
    scale: float

    @property
    def action(self) -> str:
        """Return the call's name for people: `upload` or `release`."""
        return "upload" if self.endpoint == "upload" else "release"

    @property
    def look_ahead(self) -> float:
        """Return how recent, in seconds, a reading of the build list must be when the call is committed."""
        return max(LOOK_AHEAD * self.scale, min(LOOK_AHEAD, LEAST_AHEAD))


class Patience(NamedTuple):
    """How long a command may wait for rate limits: `on_limit` is `wait` or `fail`, `max_wait` is seconds for all its waits."""

    on_limit: str
    max_wait: float = MAX_WAIT


class Turn:
    """One command's turns at one rate limit, with the rest of its patience.

    Attributes:
        attempt_id: the history row of the last committed call.
        reply: how the last call ended, None if that is not known.
    """

    def __init__(self, api: Api, state: State, clock: Clock, output: Output, *, limit: RateLimit, patience: Patience) -> None:
        self._api = api
        self._windows = state.windows
        self._clock = clock
        self._output = output
        self.limit = limit
        self._patience = patience
        self._waited = 0.0
        self._ticket: str | None = None
        self._place: int | None = None
        self._committed_at = 0.0
        self._limits = 0
        self._closed_until = float("-inf")
        self._shown_at: float | None = None
        self._shown_opening = 0.0
        self._is_calling = False
        self._sent_at: float | None = None
        self.attempt_id: int | None = None
        self.reply: Reply | None = None

    def wait_and_commit(self, row: NewAttempt, looked_at: float) -> bool:
        """Wait for the turn and commit it, with `row` in the history; return False when the build list must be read first.

        It must be when the last reading (`looked_at`, by `Clock.mono`) is old and the turn may come soon.

        Raises:
            SpcliError: `rate-limited` when patience does not reach, `config` when the state can't be written; nothing was sent.
        """
        self._sent_at, self._is_calling, self.reply = None, False, None
        self._api.transport.forget_last_call()
        if self._ticket is None:
            self._join_queue(self._place)
        turn: Go | Gone | Wait = Gone()
        while True:
            asked_at = self._clock.mono()
            is_fresh = asked_at - looked_at <= self.limit.look_ahead
            if not is_fresh and self._is_near(turn):
                return False
            turn, attempt_id = self._ask_turn(row, is_fresh)
            if isinstance(turn, Go):
                self.attempt_id, self._committed_at = attempt_id, asked_at
                self._output.clear()
                return True
            if isinstance(turn, Gone):
                self._join_queue()
            else:
                self._check_patience(turn)
                self._pause(turn)
            self._waited += max(0.0, self._clock.mono() - asked_at)

    @property
    def sent_at(self) -> float | None:
        """Return `Clock.mono()` when the last call's first byte left, None if it has not left."""
        return self._api.transport.last_sent_at if self._is_calling else self._sent_at

    def send_call(self, method: str, path: str, body: Mapping[str, object]) -> Reply:
        """Send the committed call once and settle its window in any case.

        Connection failures are retried quickly, within the call's own time, which counts from before the commit: a process that
        was stopped in between may not send any more, since by then the window belongs to the next one.
        """
        self._is_calling = True
        try:
            self.reply = self._send_quickly(method, path, body, self._committed_at + self.limit.rules.timeout)
        finally:
            self.end_turn()
        return self.reply

    def end_turn(self) -> None:
        """Leave the queue; settle a window that was committed, or give it back if nothing left this machine.

        Safe to repeat: a signal that interrupts it must not cost what the answer said.
        """
        reply = self.reply
        self._sent_at, self._is_calling = self.sent_at, False
        if self._ticket is None:
            return
        if self._sent_at is None:
            self._windows.leave_queue(self.limit.bucket, self._ticket)
        else:
            closed_for = self._time_closed(reply) if isinstance(reply, Refused) else 0.0
            is_over = isinstance(reply, (Accepted, Refused)) or (isinstance(reply, Unclear) and reply.is_over)
            self._windows.settle(self.limit.bucket, self._ticket, is_over=is_over, rules=self.limit.rules, closed_for=closed_for)
        self._ticket = None

    def can_wait(self, seconds: float) -> bool:
        """Return whether patience reaches for `seconds` more."""
        # A hundredth of tolerance: the wait was allowed at its beginning, and the rest of it is a sum of rounded numbers.
        return self._patience.on_limit != "fail" and seconds <= self._patience.max_wait - self._waited + 0.01

    def seconds_left(self) -> float:
        """Return the seconds until the window opens."""
        return self._windows.view_window(self.limit.bucket).seconds_left

    def _send_quickly(self, method: str, path: str, body: Mapping[str, object], deadline: float) -> Reply:
        for pause in (*QUICK_RETRIES, None):
            try:
                return self._api.send_write(path, body, deadline=deadline, method=method)
            except NotSent as failure:
                if pause is None or not failure.transient or self._clock.mono() + pause >= deadline:
                    return failure
                self._output.detail(f"{method} {path}: {failure.message}; retrying in {pause} s")
                self._clock.sleep(pause)
            except (Refused, Unclear) as failure:
                return failure
        raise AssertionError("unreachable")

    def _time_closed(self, refused: Refused) -> float:
        """Return how long a refusal closes the window for every process on this machine, 0 for the ordinary window."""
        refusal = classify_refusal(refused)
        if refusal.meaning != "limited" and not refusal.closed_for:
            return 0.0
        self._limits += 1
        window = self.limit.rules.window
        spread = resend_spread(self._limits, window, self._clock.chance())
        seconds = min(max(window, refusal.closed_for) + spread, RETRY_AFTER_CAP)
        self._closed_until = self._clock.mono() + seconds
        return seconds

    def _join_queue(self, place: int | None = None) -> None:
        """Queue, at the old place after a turn that sent nothing."""
        self._ticket = self._windows.enqueue(self.limit.bucket, place)
        self._place = self._windows.place_of(self._ticket)

    def _ask_turn(self, row: NewAttempt, is_fresh: bool) -> tuple[Go | Gone | Wait, int | None]:
        """Ask for the turn. An old reading of the list gets none: the waiters before us may have left just now."""
        ticket = self._ticket or ""
        left = self._closed_until - self._clock.mono()
        if left > 0:
            # This process knows the wait even if the state (full or locked at that moment) could not be written.
            self._windows.refresh_heartbeat(ticket)
            return Wait(0, left, left, min(left, BEAT), sending=False), None
        return self._windows.poll(self.limit.bucket, ticket, rules=self.limit.rules, attempt=row, is_ready=is_fresh)

    def _is_near(self, turn: Go | Gone | Wait) -> bool:
        """Return whether the next ask, or one soon after it, may bring the turn."""
        is_far_back = isinstance(turn, Wait) and turn.position > 1
        return not is_far_back and self.seconds_left() <= self.limit.look_ahead * NEAR

    def _check_patience(self, turn: Wait) -> None:
        """Raise at once if the wait is longer than allowed: spcli has reserved and sent nothing."""
        if self.can_wait(turn.expected):
            return
        wait = max(1.0, turn.expected)
        option = "--on-limit wait" if self._patience.on_limit == "fail" else "a longer --max-wait"
        queued = f", {turn.position} waiting before this one" if turn.position else ""
        raise SpcliError(
            "rate-limited",
            f"rate limit: the next {self.limit.action} is allowed in {duration(wait)}{queued}",
            hint=f"wait for it with {option}; see both rate limits with `spcli limits`",
            retry_after=wait,
            outcome="not_sent",
        )

    def _pause(self, turn: Wait) -> None:
        """Show the wait, and sleep until the next ask or until it is time to read the build list again."""
        pause = self._show_wait(turn)
        far = turn.left - self.limit.look_ahead * NEAR
        # Never a zero pause: a loop that polls always sleeps.
        self._clock.sleep(max(min(pause, far) if far > 0 else pause, 0.001))

    def _show_wait(self, turn: Wait) -> float:
        """Show a countdown on a terminal, elsewhere one line and a heartbeat each minute; return the pause until the next ask."""
        place = f", {turn.position} before this one" if turn.position else ""
        action = {"upload": "uploading", "release": "releasing"}[self.limit.action]
        now, opening = self._clock.mono(), self._clock.wall() + turn.expected
        if self._output.live:
            reason = "another call is under way, " if turn.sending else ""
            self._output.draw(f"Rate limit: {reason}{action} in {duration(turn.expected)}{place}")
            return min(turn.pause, 1.0)
        is_moved = self._shown_at is None or abs(opening - self._shown_opening) > 5
        quiet_for = float("inf") if self._shown_at is None else now - self._shown_at
        if turn.expected >= 1 and quiet_for >= (5.0 if is_moved else HEARTBEAT):
            self._shown_at, self._shown_opening = now, opening
            at = clock_time(opening)
            self._output.status(f"Rate limit: {action} at {at} (in {duration(turn.expected)}){place}")
        return turn.pause
