"""One call of a limited endpoint: queue for its window, commit, send, settle.

Every `upload-file` and `distribute-file` this program sends goes through `LimitedCalls.send`. The service allows one of each per
user in two minutes and blocks accounts that hammer (https://docs.streampixel.io, rate limits and errors).
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.output.words import clock_time, duration
from spcli.ratelimit import window as policy

if TYPE_CHECKING:
    from spcli.api.parse import Accepted
    from spcli.clock import Clock
    from spcli.output import Output
    from spcli.runtime import Runtime
    from spcli.state.ledger import NewAttempt

# Before each send the build list is read again, so close to it that nothing else can have happened. The least is for a quick
# sandbox: a reading takes its time there, too.
MAX_WAIT = 600.0
LEAST_HIDDEN = 4
LOOK_AHEAD = 5.0
LEAST_AHEAD = 0.25
NEAR = 0.9
HEARTBEAT = 60.0
COMPETITION = (
    "another client uses this account: a CI job on another machine, a script or the dashboard; "
    "run shipping jobs one at a time (one concurrency group), or let them share SPCLI_STATE_DIR"
)


class Patience(NamedTuple):
    """How long a command may wait for windows: `on_limit` is `wait` or `fail`, `max_wait` seconds for all its waits together."""

    on_limit: str
    max_wait: float


def patience(runtime: "Runtime", max_wait: float | None) -> Patience:
    """How long the command may wait for windows, from its options and settings."""
    return Patience(runtime.settings.on_limit, MAX_WAIT if max_wait is None else max_wait)


def keepable(runtime: "Runtime", text: str) -> str:
    """What a server said, as the ledger may keep it: no key, no query of a presigned URL, no user id."""
    words = runtime.output.redactor.redact(text)
    return words.replace(runtime.api.user_id, "****") if len(runtime.api.user_id) >= LEAST_HIDDEN else words


class Request(NamedTuple):
    """What is to be sent: `attempt` makes the ledger's row for it, `look` reads the build list again (what it raises ends the
    waiting, with nothing sent), `looked_at` says when that was last done (`Clock.mono`)."""

    path: str
    body: Mapping[str, object]
    attempt: Callable[[], "NewAttempt"]
    look: Callable[[], None]
    looked_at: Callable[[], float]
    method: str = "POST"


class LimitedCalls:
    """A command's limited calls of one endpoint, with what is left of its patience.

    Of the last call: `attempt_id` is its row in the ledger, `sent` says whether a byte of it may have left, `sent_at` when
    (`Clock.mono`), and `accepted` is the service's answer.
    """

    def __init__(self, runtime: "Runtime", endpoint: str, patience: Patience) -> None:
        self._clock = runtime.clock
        self._output = runtime.output
        self._state = runtime.state
        self._api = runtime.api
        scale = runtime.settings.scale
        self._ahead = max(LOOK_AHEAD * scale, min(LOOK_AHEAD, LEAST_AHEAD))
        self._patience = patience
        self._endpoint = endpoint
        self._waited = 0.0
        self.bucket = runtime.account.bucket(endpoint)
        self.rules = policy.Rules(window=runtime.settings.window, timeout=runtime.api.write_timeout)
        self.attempt_id: int | None = None
        self.sent = False
        self.sent_at = 0.0
        self._call_began: float | None = None
        self.accepted: Accepted | None = None
        self._ticket = ""
        self._place: int | None = None
        self._limits = 0
        self._closed_until = float("-inf")

    def send(self, request: Request) -> "Accepted":
        """Wait for the window, send once (connection failures are retried quickly within it), settle the window.

        Raises:
            SpcliError: `rate-limited` (not_sent) when patience does not reach; `config` when the state can't be written.
            NotSent, Refused, Unclear: as the call ended; the window is settled accordingly, the ledger is not.
            Interrupted: at any point; what it means follows from `sent`.
        """
        self.sent, self.accepted, self._call_began = False, None, None
        self._queue_up(self._place)
        try:
            accepted = self.accepted = self._send_in_turn(request, self._turn(request))
            self._note_sent()
        except BaseException as failure:
            self._note_sent()
            self._settle_failure(self._ticket, failure)
            raise
        self._state.windows.settle(self.bucket, self._ticket, "ended", rules=self.rules)
        return accepted

    def _settle_failure(self, ticket: str, failure: BaseException) -> None:
        """Give the window back if nothing left this machine, else settle it by how the call ended."""
        if not self.sent:
            self._state.windows.leave_queue(self.bucket, ticket)
        elif isinstance(failure, Refused):
            how, hint = policy.ending_of(failure)
            if how == "limited":
                hint = self._closed_for(hint)
                self._closed_until = self._clock.mono() + hint
            self._state.windows.settle(self.bucket, ticket, how, rules=self.rules, hint=hint)
        else:
            is_over = isinstance(failure, Unclear) and failure.is_over
            self._state.windows.settle(self.bucket, ticket, "ended" if is_over else "unclear", rules=self.rules)

    def _closed_for(self, hint: float) -> float:
        """How long the window stays closed after a 429, for everybody on this machine."""
        self._limits += 1
        spread = policy.resend_spread(self._limits, self.rules.window, self._clock.chance())
        return min(max(self.rules.window, hint) + spread, policy.RETRY_AFTER_CAP)

    def _turn(self, request: Request) -> float:
        """Queue until the window is committed to us; the reading of `Clock.mono` from before the commit."""
        shown = _Shown(self._output, self._clock, self._endpoint)
        turn: policy.Go | policy.Gone | policy.Wait = policy.Gone()
        while True:
            began = self._clock.mono()
            self._look_if_near(turn, request)
            started = self._clock.mono()
            turn, attempt_id = self._ask(request)
            if isinstance(turn, policy.Go):
                self.attempt_id = attempt_id
                shown.done()
                return started
            if isinstance(turn, policy.Gone):
                self._queue_up()
            else:
                self._check_patience(turn)
                self._wait(turn, shown)
            self._waited += max(0.0, self._clock.mono() - began)

    def _queue_up(self, place: int | None = None) -> None:
        """Queue, where a turn brought nothing in the place that led to it: whoever came later waits behind."""
        self._ticket = self._state.windows.enqueue(self.bucket, place)
        self._place = self._state.windows.place_of(self._ticket)

    def _ask(self, request: Request) -> "tuple[policy.Go | policy.Gone | policy.Wait, int | None]":
        """Ask for the turn, which nobody gets on an old look at the list: those before us may have left this very moment."""
        left = self._closed_until - self._clock.mono()
        if left > 0:
            # What the service told this process holds though the state, full or locked at that moment, does not know of it.
            self._state.windows.refresh_heartbeat(self._ticket)
            return policy.Wait(0, left, left, min(left, policy.BEAT), sending=False), None
        is_ready = self._is_fresh(request)
        return self._state.windows.poll(self.bucket, self._ticket, rules=self.rules, attempt=request.attempt(), is_ready=is_ready)

    def _is_fresh(self, request: Request) -> bool:
        return self._clock.mono() - request.looked_at() <= self._ahead

    def _look_if_near(self, turn: policy.Go | policy.Gone | policy.Wait, request: Request) -> None:
        """Read the build list when the last reading is old and the next poll, or one soon after it, may be our turn."""
        is_far_back = isinstance(turn, policy.Wait) and turn.position > 1
        if is_far_back or self._is_fresh(request):
            return
        if self._state.windows.view_window(self.bucket).seconds_left <= self._ahead * NEAR:
            request.look()

    def _wait(self, turn: policy.Wait, shown: "_Shown") -> None:
        """Sleep until the next poll, or until it is time to read the build list once more."""
        pause = shown.show(turn)
        far = turn.left - self._ahead * NEAR
        self._clock.sleep(min(pause, far) if far > 0 else pause)

    def can_wait(self, seconds: float) -> bool:
        """Whether patience reaches for `seconds` more."""
        # A hundredth of tolerance: the wait was allowed at its beginning, and what is left of it is a sum of rounded numbers.
        return self._patience.on_limit != "fail" and seconds <= self._patience.max_wait - self._waited + 0.01

    def _check_patience(self, turn: policy.Wait) -> None:
        """Raise at once when the wait is known to be longer than allowed: nothing is reserved, nothing was sent."""
        if self.can_wait(turn.expected):
            return
        wait = max(1.0, turn.expected)
        hint = "--on-limit wait waits for it" if self._patience.on_limit == "fail" else "a longer --max-wait waits for it"
        raise SpcliError(
            "rate-limited",
            f"the {self._endpoint} window is closed: the next {self._endpoint} is allowed in {duration(wait)}"
            + (f", {turn.position} waiting before this one" if turn.position else ""),
            hint=f"{hint}; `spcli limits` shows both windows",
            retry_after=wait,
            outcome="not_sent",
        )

    def _send_in_turn(self, request: Request, started: float) -> "Accepted":
        """The call, with quick retries while nothing has left; `deadline` counts from before the commit.

        A process that was stopped in between may therefore not send any more: by then the window is the next one's.
        """
        deadline = started + self.rules.timeout
        for pause in (*policy.QUICK_RETRIES, None):
            try:
                self._call_began = self._clock.mono()
                return self._api.write(request.path, request.body, deadline=deadline, method=request.method)
            except NotSent as failure:
                if pause is None or not failure.transient or self._clock.mono() + pause >= deadline:
                    raise
                self._output.detail(f"{request.method} {request.path}: {failure.message}; again in {pause} s")
                self._clock.sleep(pause)
        raise AssertionError("unreachable")

    def _note_sent(self) -> None:
        """Remember when the call's first byte left, before another call of the same transport begins."""
        sent_at, began = self._api.transport.last_sent_at, self._call_began
        if sent_at is not None and began is not None and sent_at >= began:
            self.sent, self.sent_at = True, sent_at


class _Shown:
    """What the operator sees while waiting: a countdown on a terminal, elsewhere one line and a heartbeat each minute."""

    def __init__(self, output: "Output", clock: "Clock", endpoint: str) -> None:
        self._output = output
        self._clock = clock
        self._endpoint = endpoint
        self._told: float | None = None
        self._opening = 0.0

    def show(self, turn: policy.Wait) -> float:
        """Tell about `turn`; how long to sleep until the next poll (a countdown ticks each second)."""
        place = f", {turn.position} before this one" if turn.position else ""
        if self._output.live:
            why = "another one is being sent" if turn.sending else "window closed"
            self._output.draw(f"{self._endpoint}: {why}{place}, sending in {duration(turn.expected)}")
            return min(turn.pause, 1.0)
        if turn.expected >= 1 and self._is_news(turn):
            self._told, self._opening = self._clock.mono(), self._clock.wall() + turn.expected
            at = clock_time(self._opening)
            self._output.status(f"{self._endpoint} window closed{place}: sending at {at}, in {duration(turn.expected)}")
        return turn.pause

    def _is_news(self, turn: policy.Wait) -> bool:
        if self._told is None:
            return True
        moved = abs(self._clock.wall() + turn.expected - self._opening) > 5
        return self._clock.mono() - self._told >= (5.0 if moved else HEARTBEAT)

    def done(self) -> None:
        """Take the countdown away."""
        self._output.clear()
