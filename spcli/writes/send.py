"""Send one write to a rate-limited endpoint until it is settled: send, classify, look for evidence, and perhaps send once more.

The rules are those of conduct towards the service: a write is never sent again unless the service refused it or the build list
proves that it did nothing (https://docs.streampixel.io, rate limits and errors: "never retry without confirming").
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, Protocol

from spcli.api.client import Api, ProjectPage
from spcli.api.parse import Accepted
from spcli.clock import Clock
from spcli.errors import Interrupted, NotSent, Outcome, Refused, SpcliError, Unclear
from spcli.models import Build, dashboard_url
from spcli.output import Output
from spcli.output.words import clock_time, duration
from spcli.ratelimit.refusal import MAX_SENDS, classify_refusal
from spcli.signals import Signals
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt
from spcli.state.store import State
from spcli.writes.evidence import Evidence, read_list, settle_by_list
from spcli.writes.turn import Patience, RateLimit, Turn

QUICK_LOOK = 10.0
LOOKS_BEFORE_RESEND = 3
LEAST_HIDDEN = 4
"""Shorter user ids are not hidden in messages: they would hide ordinary words."""
OTHER_CLIENT = (
    "another client probably uses this account: a CI job on another machine, a script or the dashboard; "
    "run shipping jobs one at a time (one concurrency group), or share SPCLI_STATE_DIR between them"
)
BLOCK_PAGE = "the answer is a page, not the service's JSON: a proxy or CDN in front of the service may be blocking you"


class Write(Protocol):
    """An upload or a release, as the loop needs it.

    `upload_id` is the build of a release, None for an upload; `looked_at` is when the build list was last read (`Clock.mono`).
    """

    project_id: str
    path: str
    upload_id: str | None
    looked_at: float

    def request_body(self) -> Mapping[str, object]:
        """Return the documented fields."""

    def history_row(self) -> NewAttempt:
        """Return the row of the next send."""

    def read_list_again(self) -> Build | None:
        """Read the build list before a send; return the build that an earlier send has made after all."""

    def judge(self, page: ProjectPage) -> Evidence:
        """Return what a build list says about the last send."""


class Sender:
    """Sends one command's write. It owns the turns at the rate limit and everything known about the last send.

    Attributes:
        sends: calls of which a byte left.
        is_limited: every send so far was answered with 429, so none was processed.
        had_list: this service has a build list: it could be read before the send.
        failure: why the last send is known to have done nothing.
    """

    def __init__(
        self,
        api: Api,
        state: State,
        clock: Clock,
        output: Output,
        signals: Signals,
        *,
        account: Account,
        limit: RateLimit,
        patience: Patience,
    ) -> None:
        self.api = api
        self.state = state
        self.clock = clock
        self.output = output
        self.signals = signals
        self.account = account
        self.limit = limit
        self.turn = Turn(api, state, clock, output, limit=limit, patience=patience)
        self.sends = 0
        self.is_limited = True
        self.had_list = False
        self.failure: SpcliError | None = None
        self._write: Write | None = None
        self._is_unsettled = False
        self._unclear = 0
        self._clock_gap: float | None = None

    def begin(self, write: Write) -> None:
        """Make `write` the one that is recorded and explained."""
        self._write = write

    def send_until_settled(self, write: Write) -> Accepted | Build:
        """Send `write` until it is accepted, found in the build list or hopeless; at most three times.

        Raises:
            SpcliError: with its `outcome`.
        """
        while True:
            if (found := self._wait_for_turn(write)) is not None:
                return found
            self._is_unsettled = True
            reply = self.turn.send_call("POST", write.path, write.request_body())
            if isinstance(reply, NotSent):
                self._is_unsettled = False
                self.record("unsent", reply.message)
                reply.outcome = "refused" if self.sends else "not_sent"
                raise reply
            self.sends += 1
            if isinstance(reply, Accepted):
                self.learn_clock(reply.server_wall)
                return reply
            if (found := self._settle(write, reply)) is not None:
                return found
            self.output.note(f"{reply.message}; retrying when the rate limit allows (attempt {self.sends + 1})")

    @contextmanager
    def settle_interruptions(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into what they mean at that point; a second one ends the look that follows.

        Raises:
            Interrupted: nothing was sent.
            SpcliError: `unknown` after bytes have left, `interrupted` once it is known whether the write happened.
        """
        try:
            # A block that fails leaves signals held back: no later one replaces its failure.
            with self.signals.deliver():
                yield
        except Interrupted as signal:
            raise self._explain_signal(signal) from None

    def record(self, phase: str, message: str | None = None, upload_id: str | None = None, *, accepted: bool = False) -> None:
        """Record the last send's outcome in the history, without secrets that a server may quote."""
        if self.turn.attempt_id is None or self._write is None:
            return
        sent_at = self.turn.sent_at
        began = sent_at + self._clock_gap if self._clock_gap is not None and sent_at else None
        self.turn.attempt_id = self.state.ledger.record(
            self.turn.attempt_id, phase, upload_id=upload_id, message=message and self.redact(message), server_wall=began,
            accepted=accepted, anew=self._write.history_row(),
        )  # fmt: skip

    def redact(self, text: str) -> str:
        """Return a server's text as it may be stored: no key, no query of a presigned URL, no user id."""
        words = self.output.redactor.redact(text)
        return words.replace(self.api.user_id, "****") if len(self.api.user_id) >= LEAST_HIDDEN else words

    def confirm(self, upload_id: str, message: str | None = None) -> None:
        """Record that the write happened: from here on no failure may be reported as if it had not."""
        self.output.remember_write(upload_id)
        self._is_unsettled = False
        self.record("done", message, upload_id)

    def deny(self, failure: SpcliError, phase: str = "refused") -> None:
        """Record that the last send did nothing."""
        self.record(phase, failure.message)
        failure.outcome, self.failure, self._is_unsettled = "refused", failure, False

    def look(self, write: Write) -> ProjectPage | None:
        """Read the build list before a send; None where it can't be read. A re-send is worth some patience."""
        for left in reversed(range(LOOKS_BEFORE_RESEND if self.sends else 1)):
            page = read_list(self.api, write.project_id)
            write.looked_at = self.clock.mono()
            if page == "gone" and not self.had_list:
                return None
            if page is not None and page != "gone":
                self.had_list = True
                self.learn_clock(page.server_wall)
                return page
            if left:
                self.clock.sleep(min(1.0, self.limit.scale))
        return None

    def learn_clock(self, server_wall: float | None) -> None:
        """Remember how the service's clock differs from the one here that is never stepped."""
        if server_wall is not None:
            self._clock_gap = server_wall - self.clock.mono()

    def sent_since(self) -> float | None:
        """Return when the last send began by the service's clock (Unix seconds), None where that is not known."""
        sent_at = self.turn.sent_at
        return None if self._clock_gap is None or sent_at is None else sent_at + self._clock_gap

    def gather_evidence(self, write: Write, message: str, *, accepted: bool = False) -> Evidence:
        """Return what the build list says of the last send, over a minute."""
        self.record("settling", message, accepted=accepted)
        self.output.note(f"{message}; reading the build list to see whether the {self.limit.action} happened")
        return settle_by_list(self.api, self.clock, write.project_id, write.judge, scale=self.limit.scale, had_list=self.had_list)

    def unknown_error(self, message: str, found: Evidence, project_id: str, status: int | None = None) -> SpcliError:
        """Return the error for a write that may have happened; `found` is what the build list says."""
        action = self.limit.action
        hint = (
            f"the {action} may have been accepted. Run the same command again with the same state folder: "
            "it checks the build list before sending"
        )
        if ids := ", ".join(build.upload_id for build in found.builds):
            hint += f". The build list shows builds that may be it: {ids}"
        if action == "upload":
            hint += f". If the dashboard ({dashboard_url(project_id)}) doesn't show the build, add --force"
        return SpcliError("unknown", message, status=status, outcome="unknown", hint=hint)

    def _wait_for_turn(self, write: Write) -> Build | None:
        """Wait until the call is committed; return the build of an earlier send that appeared meanwhile.

        Raises:
            SpcliError: `rate-limited` or `config`; after a send, the failure of that send.
        """
        try:
            while not self.turn.wait_and_commit(write.history_row(), write.looked_at):
                if (found := write.read_list_again()) is not None:
                    self.turn.end_turn()
                    return found
        except BaseException as failure:
            self.turn.end_turn()
            if isinstance(failure, SpcliError) and failure.outcome != "unknown":
                if self.failure is not None:
                    self._complete(self.failure)
                    raise self.failure from None
                failure.outcome = "refused" if self.sends else "not_sent"
            raise
        return None

    def _settle(self, write: Write, failure: Refused | Unclear) -> Build | None:
        """Settle a send that was not accepted: return the build it made, or None when it may be sent again.

        Raises:
            SpcliError: it is refused for good, nothing more may be sent, or its outcome stays unknown.
        """
        meaning = classify_refusal(failure).meaning if isinstance(failure, Refused) else "unclear"
        self.is_limited = self.is_limited and meaning == "limited"
        phase = "refused"
        if meaning in ("failed", "unclear"):
            phase, found = "absent", self.gather_evidence(write, failure.message)
            if found.kind == "found":
                return found.builds[0]
            # The service said itself that it failed: without a list that shows otherwise it is believed.
            is_believed = meaning == "failed" and found.kind in ("unreadable", "unproven")
            if found.kind != "absent" and not is_believed:
                self.record("unclear", failure.message)
                self._is_unsettled = False
                raise self.unknown_error(failure.message, found, write.project_id, failure.status) from None
        self._unclear += meaning == "unclear"
        self.deny(failure, phase)
        is_final = meaning == "refused" or self._unclear > 1 or self.sends >= MAX_SENDS
        if is_final or not self.turn.can_wait(self.turn.seconds_left()):
            self._complete(failure)
            raise failure
        return None

    def _complete(self, failure: SpcliError) -> None:
        """Add to the failure of a write that did nothing when the rate limit allows the next call."""
        seconds = self.turn.seconds_left()
        refusal = classify_refusal(failure) if isinstance(failure, Refused) else None
        if refusal is None or refusal.meaning == "unclear":
            failure.hint = f"retry in {duration(seconds)}: the build list shows that nothing was created"
            failure.retry_after = max(1.0, seconds) if seconds > 0 else None
        elif isinstance(failure, Refused) and (refusal.meaning == "limited" or refusal.closed_for):
            at = clock_time(self.clock.wall() + seconds)
            failure.retry_after = max(1.0, seconds)
            reason = BLOCK_PAGE if failure.is_page else OTHER_CLIENT
            failure.hint = f"try again at {at} (in {duration(seconds)}); {reason}"
        elif refusal.meaning == "failed":
            failure.hint = failure.hint or "retry later: nothing was created"

    def _explain_signal(self, signal: Interrupted) -> BaseException:
        """Return what the signal means; after bytes have left, look once at the build list. A second signal ends that look."""
        self.turn.end_turn()
        try:
            with self.signals.deliver():
                known = self._look_once()
        except Interrupted:
            known = None
        if known is not None:
            # Once more where it was recorded already: the signal may have come in between.
            self.confirm(known)
        if (happened := self.output.write_happened) is not None:
            return _interrupted_error(signal, "done", happened)
        if self._is_open() and self._write is not None:
            message = "interrupted while the request was under way"
            self.record("unclear", "interrupted")
            return self.unknown_error(message, Evidence("unreadable"), self._write.project_id)
        return _interrupted_error(signal, "refused", None) if self.sends else signal

    def _look_once(self) -> str | None:
        """Return the id of the build that the interrupted write made, as far as one quick look can tell."""
        write, known = self._write, self.output.write_happened
        accepted = self.turn.reply if isinstance(self.turn.reply, Accepted) else None
        if known is None and accepted is not None and write is not None and not (accepted.is_foreign or accepted.is_denied):
            known = write.upload_id or accepted.upload_id
        if known is None and write is not None and self._is_open():
            self.record("settling", "interrupted", accepted=accepted is not None)
            page = read_list(self.api, write.project_id, QUICK_LOOK)
            found = Evidence("unreadable") if page is None or page == "gone" else write.judge(page)
            known = found.builds[0].upload_id if found.kind == "found" else None
        return known

    def _is_open(self) -> bool:
        """Return whether a byte of the last send has left and its outcome is not known."""
        return self._is_unsettled and self.turn.sent_at is not None


def _interrupted_error(signal: Interrupted, outcome: Outcome, upload_id: str | None) -> SpcliError:
    """Return the error of a command that was interrupted once it is known what the write did."""
    if upload_id is None:
        error = SpcliError("interrupted", "interrupted; nothing was created", outcome=outcome)
    else:
        hint = f"resume: spcli builds wait {upload_id}" if upload_id else "find the build with `spcli builds`"
        message = "interrupted; the build is still processing"
        error = SpcliError("interrupted", message, hint=hint, outcome=outcome, upload_id=upload_id or None)
    error.code = signal.exit_code
    return error


def raise_unknown(sender: Sender, message: str, found: Evidence, project_id: str) -> NoReturn:
    """Record that the last send's outcome is unknown, and raise the error that says so."""
    sender.record("unclear", message)
    raise sender.unknown_error(message, found, project_id)
