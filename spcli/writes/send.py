"""One write of a limited endpoint, sent until it is settled: send, classify, look for evidence, and perhaps once more.

The rules are those of conduct towards the service: a write is never sent again unless the service refused it or the build list
proves that it did nothing (https://docs.streampixel.io, rate limits and errors: "never retry without confirming").
"""

from typing import TYPE_CHECKING, NoReturn, TypeVar

from spcli.builds.lifecycle import Match
from spcli.errors import Interrupted, NotSent, Refused, SpcliError, Unclear
from spcli.models import Build
from spcli.output.words import clock_time
from spcli.ratelimit import window as policy
from spcli.writes import evidence, outcomes
from spcli.writes.turn import LimitedCalls, Patience, Request, keepable

if TYPE_CHECKING:
    from collections.abc import Callable

    from spcli.api.client import ProjectPage
    from spcli.api.parse import Accepted
    from spcli.runtime import Runtime
    from spcli.state.ledger import NewAttempt

QUICK_LOOK = 10.0
LOOKS_BEFORE_RESEND = 3
Result = TypeVar("Result")


class Write:
    """What upload and distribute have in common: send, classify, look for evidence, and perhaps once more."""

    endpoint = ""
    path = ""
    # A `Date` header is cut to seconds, and a round trip old.
    clock_margin = 2.0

    def __init__(self, runtime: "Runtime", project_id: str, patience: Patience) -> None:
        self.runtime = runtime
        self.api = runtime.api
        self.state = runtime.state
        self.project_id = project_id
        self.patience = patience
        self.account = runtime.account
        self.calls = LimitedCalls(runtime, self.endpoint, patience)
        self.looked_at = float("-inf")
        self.had_list = False
        self.clock_gap: float | None = None
        self.sends = 0
        self.unclear = 0
        self.is_open = False
        self.is_limited = True
        self.failure: SpcliError | None = None

    # What the two kinds of write answer for themselves.

    def body(self) -> dict[str, object]:
        raise NotImplementedError

    def attempt(self) -> "NewAttempt":
        raise NotImplementedError

    def read(self, page: "ProjectPage") -> Build | None:
        """Take the list as the new baseline; before a re-send, the build that the send before it made after all."""
        raise NotImplementedError

    def judge(self) -> evidence.Judge:
        raise NotImplementedError

    def id_of(self, accepted: "Accepted") -> str | None:
        """The build that the service's answer speaks of."""
        raise NotImplementedError

    def settle_earlier(self) -> Build | None:
        """Settle what earlier runs left open; the build that one of them made."""
        raise NotImplementedError

    def has_earlier(self) -> bool:
        """Whether an earlier run has left something open: its process may have died while we waited."""
        raise NotImplementedError

    def guarded(self, work: "Callable[[], Result]") -> "Result":
        """`work`, with Ctrl-C and SIGTERM turned into what they mean at that point; a second one ends the look that follows.

        Raises:
            Interrupted: nothing was sent.
            SpcliError: `unknown` after bytes have left, `interrupted` once the write is known to have happened or not.
        """
        signals = self.runtime.signals
        try:
            with signals.deliver():
                return work()
        except Interrupted as first:
            signal = first
        try:
            with signals.deliver():
                ended = self._stopped(signal)
        except Interrupted:
            ended = self._stopped_at_once(signal)
        raise ended

    def _stopped(self, signal: Interrupted) -> BaseException:
        """After bytes have left: one quick look at the build list."""
        accepted = self.calls.accepted
        known = self.runtime.output.write_happened or (None if accepted is None else self.id_of(accepted))
        if self.is_open and known is None:
            self.record("settling", "interrupted", accepted=accepted is not None)
            match = evidence.look(self.runtime, self.project_id, self.judge(), within=QUICK_LOOK)
            known = match.builds[0].upload_id if isinstance(match, Match) and match.kind == "found" else None
        if known:
            # Once more where it was said already: the ledger may not have come to hear of it.
            self.happened(known)
        return self._stopped_at_once(signal)

    def _stopped_at_once(self, signal: Interrupted) -> BaseException:
        happened = self.runtime.output.write_happened
        if happened is not None:
            return outcomes.interrupted(signal, "done", happened)
        if self.is_open:
            self.record("unclear", "interrupted")
            message, doubt = "interrupted while the request was under way", evidence.Finding("unreadable")
            return outcomes.unknown(self.endpoint, message, doubt, self.project_id)
        return outcomes.interrupted(signal, "refused", None) if self.sends else signal

    def send(self) -> "Accepted | Build":
        """Send until accepted, adopted or hopeless; at most three times. Raises `SpcliError` with its `outcome`."""
        while True:
            try:
                return self._send_once()
            except _Adopted as adopted:
                return adopted.build
            except _Earlier:
                found = self.settle_earlier()
            except (Refused, Unclear) as failure:
                if failure is self.failure:  # that of the send before, since nothing has left now
                    raise
                self.sends += 1
                found = self._refused(failure) if isinstance(failure, Refused) else self._unclear(failure)
            if found is not None:
                return found

    def _send_once(self) -> "Accepted":
        request = Request(self.path, self.body(), self.attempt, self._look_again, lambda: self.looked_at)
        self.calls.sent, self.is_open = False, True
        try:
            accepted = self.calls.send(request)
        except SpcliError as failure:
            if not self.calls.sent and failure.kind != "unknown":
                self._not_sent(failure)
            raise
        finally:
            self.is_open = self.is_open and self.calls.sent
        self.sends += 1
        self._set_clock(accepted.server_wall)
        return accepted

    def _not_sent(self, failure: SpcliError) -> None:
        """Nothing of this send has left; what is told is what became of the one before, if there was one."""
        if isinstance(failure, NotSent):
            self.record("unsent", failure.message)
        elif self.failure is not None:
            self._say_when(self.failure)
            raise self.failure from None
        failure.outcome = "refused" if self.sends else "not_sent"

    def look(self) -> Build | None:
        """Read the build list before a send; where it can't be read, go on without it. A re-send is worth some patience."""
        for left in reversed(range(LOOKS_BEFORE_RESEND if self.sends else 1)):
            page = evidence.glance(self.runtime, self.project_id)
            self.looked_at = self.runtime.clock.mono()
            if page == "gone":
                break
            if page is not None:
                return self.take(page)
            if left:
                self.runtime.clock.sleep(min(1.0, self.runtime.settings.scale))
        return None

    def take(self, page: "ProjectPage") -> Build | None:
        """Learn from a list that could be read."""
        self.had_list, self.looked_at = True, self.runtime.clock.mono()
        self.server_time(page)
        return self.read(page)

    def _look_again(self) -> None:
        """The look that belongs to the waiting: it may find that there is nothing to send any more."""
        if (found := self.look()) is not None:
            raise _Adopted(found)
        if self.has_earlier():
            raise _Earlier

    def server_time(self, page: "ProjectPage") -> float | None:
        """When the last send began, by the server's clock: a build's date is by it. `None` where the server tells no time.

        Compared with the clock that is never stepped, so that a wall clock set right in between misleads nobody.
        """
        self._set_clock(page.server_wall)
        return None if self.clock_gap is None else self.calls.sent_at + self.clock_gap - self.clock_margin

    def _set_clock(self, server_wall: float | None) -> None:
        if server_wall is not None:
            self.clock_gap = server_wall - self.runtime.clock.mono()

    def record(self, phase: str, message: str | None = None, upload_id: str | None = None, *, accepted: bool = False) -> None:
        """Note the last send's fate in the ledger; whatever the server quotes of our secrets stays out of it."""
        if self.calls.attempt_id is None:
            return
        began = self.calls.sent_at + self.clock_gap if self.clock_gap is not None and self.calls.sent_at else None
        text = message and keepable(self.runtime, message)
        self.calls.attempt_id = self.state.ledger.record(
            self.calls.attempt_id, phase, upload_id=upload_id, message=text, server_wall=began, accepted=accepted,
            anew=self.attempt(),
        )  # fmt: skip

    def happened(self, upload_id: str, message: str | None = None) -> None:
        """The write is known to have happened: from here on nothing may be reported as if it had not."""
        self.runtime.output.write_happened = upload_id
        self.is_open = False
        self.record("done", message, upload_id)

    def _settled(self, phase: str, failure: SpcliError) -> None:
        """The last send is known to have done nothing."""
        self.record(phase, failure.message)
        failure.outcome, self.failure, self.is_open = "refused", failure, False

    def _refused(self, refused: Refused) -> Build | None:
        """A status of 300 or more: refused for good, limited, or a 5xx that the build list must judge."""
        answer = policy.answer_of(refused)
        self.is_limited = self.is_limited and answer == "limited"
        if answer == "unclear":
            return self._unclear(refused)
        if answer == "failed":
            found = self.weigh(refused)
            if found.kind == "found":
                return found.builds[0]
            if found.kind == "doubtful":
                self._give_up(found, refused)
            # When the list can't be read the service is taken at its word: it said that it failed.
        self._settled("absent" if answer == "failed" else "refused", refused)
        self._say_when(refused)
        if answer == "refused" or not self._may_send_again():
            raise refused
        self._say_again(refused)
        return None

    def _may_send_again(self) -> bool:
        """Whether sends are left and patience reaches to the next window."""
        return self.sends < policy.MAX_SENDS and self.calls.can_wait(self._seconds_left())

    def _seconds_left(self) -> float:
        return self.state.windows.view_window(self.calls.bucket).seconds_left

    def _say_when(self, failure: SpcliError) -> None:
        left = self._seconds_left()
        outcomes.complete(failure, left, clock_time(self.runtime.clock.wall() + left))

    def _say_again(self, failure: SpcliError) -> None:
        self.runtime.output.note(f"{failure.message}; sending again at the next window (attempt {self.sends + 1})")

    def _unclear(self, failure: SpcliError) -> Build | None:
        """Bytes left and no usable answer came: only a proven absence allows one more send."""
        self.unclear, self.is_limited = self.unclear + 1, False
        found = self.weigh(failure)
        if found.kind == "found":
            return found.builds[0]
        if found.kind != "absent":
            self._give_up(found, failure)
        self._settled("absent", failure)
        if self.unclear > 1 or not self._may_send_again():
            self._say_when(failure)
            raise failure
        self._say_again(failure)
        return None

    def weigh(self, failure: SpcliError | None, *, accepted: bool = False) -> evidence.Finding:
        """What the build list says of the last send, over a minute."""
        message = "the service's answer does not say what became of it" if failure is None else failure.message
        self.record("settling", message, accepted=accepted)
        self.runtime.output.note(f"{message}; reading the build list to see what became of the {self.endpoint}")
        return evidence.settle(self.runtime, self.project_id, self.judge(), had_list=self.had_list)

    def _give_up(self, found: evidence.Finding, failure: SpcliError) -> NoReturn:
        self.record("unclear", failure.message)
        raise outcomes.unknown(self.endpoint, failure.message, found, self.project_id, failure.status) from None


class _Adopted(Exception):
    """The build of an earlier send appeared while we waited to send again."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build


class _Earlier(Exception):
    """An earlier run's write is open, and the process that handled it is gone."""
