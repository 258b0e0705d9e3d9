"""One write of a limited endpoint, sent until it is settled: send, classify, look for evidence, and perhaps once more.

The rules are those of conduct towards the service: a write is never sent again unless the service refused it or the build list
proves that it did nothing (https://docs.streampixel.io, rate limits and errors: "never retry without confirming").
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from spcli import evidence, policy
from spcli.errors import Interrupted, NotSent, Refused, SpcliError, Unclear
from spcli.lifecycle import Match
from spcli.limited import COMPETITION, LimitedCalls, Patience, Request, duration
from spcli.models import Build, bare_url
from spcli.state import account

if TYPE_CHECKING:
    from spcli.api import Accepted, ProjectPage
    from spcli.runtime import Runtime
    from spcli.state import NewAttempt

MAX_WAIT = 600.0
QUICK_LOOK = 10.0
CHECKS_FIRST = "run the same command again with the same state folder: it checks the build list before it sends anything"


def patience(runtime: "Runtime", max_wait: float | None) -> Patience:
    """How long the command may wait for windows, from its options and settings."""
    return Patience(runtime.settings.on_limit, MAX_WAIT if max_wait is None else max_wait)


def print_request(runtime: "Runtime", path: str, body: Mapping[str, object]) -> None:
    """What would be sent, for `--dry-run`: the key as stars, the file's URL without its query."""
    shown = {
        name: "****" if name == "apiKey" else bare_url(str(value)) if name == "fileUrl" else value for name, value in body.items()
    }
    request = {"method": "POST", "url": f"{runtime.settings.base_url}{path}", "body": shown}
    lines: list[str | tuple[str, str]] = [f"POST {request['url']}", *((name, str(value)) for name, value in shown.items())]
    runtime.output.result(request, lines=lines, bare="")
    runtime.output.note("nothing was sent (--dry-run)")


class Write:
    """What upload and distribute have in common: send, classify, look for evidence, and perhaps once more."""

    endpoint = ""
    path = ""

    def __init__(self, runtime: "Runtime", project_id: str, patience: Patience) -> None:
        self.runtime = runtime
        self.api = runtime.api
        self.state = runtime.state
        self.project_id = project_id
        self.patience = patience
        self.origin = runtime.settings.base_url
        self.account = account(self.origin, self.api.user_id)
        self.calls = LimitedCalls(runtime, self.endpoint, patience)
        self.looked_at = float("-inf")
        self.clock_gap = 0.0
        self.began = 0.0
        self.sends = 0
        self.unclear = 0
        self.adopted: Build | None = None

    # What the two kinds of write answer for themselves.

    def body(self) -> dict[str, object]:
        raise NotImplementedError

    def attempt(self) -> "NewAttempt":
        raise NotImplementedError

    def read(self, page: "ProjectPage") -> None:
        raise NotImplementedError

    def judge(self) -> evidence.Judge:
        raise NotImplementedError

    def look(self) -> None:
        """Read the build list before a send; where it can't be read, go on without it."""
        page = evidence.glance(self.runtime, self.project_id)
        self.looked_at = self.runtime.clock.mono()
        if page is not None and page != "gone":
            self.read(page)

    def note_server_time(self, server_wall: float | None) -> None:
        """Remember how far the server's clock is from ours: a build's date is by the server's."""
        if server_wall is not None:
            self.clock_gap = server_wall - self.runtime.clock.wall()

    # The loop.

    def send(self) -> "Accepted | Build":
        """Send until accepted, adopted or hopeless; at most three times.

        Raises:
            SpcliError: with its `outcome`.
            Interrupted: nothing was sent.
        """
        try:
            return self._send_until_settled()
        except Interrupted as signal:
            stopped = self._stopped(signal)
        raise stopped

    def _send_until_settled(self) -> "Accepted | Build":
        while True:
            try:
                accepted = self._send_once()
            except _Adopted as adopted:
                return adopted.build
            except NotSent as failure:
                failure.outcome = "not_sent"
                self.record("unsent", failure.message)
                raise
            except Refused as refused:
                found = self._refused(refused)
            except Unclear as failure:
                found = self._unclear(failure)
            else:
                return accepted
            if found is not None:
                return found

    def _send_once(self) -> "Accepted":
        request = Request(self.path, self.body(), self.attempt, self._look_again, lambda: self.looked_at)
        self.began = self.runtime.clock.wall()
        accepted = self.calls.send(request)
        self.sends += 1
        return accepted

    def _look_again(self) -> None:
        self.look()
        if self.adopted is not None:
            raise _Adopted(self.adopted)

    def record(self, phase: str, message: str | None = None, upload_id: str | None = None, *, accepted: bool = False) -> None:
        if self.calls.attempt_id is not None:
            began = self.began + self.clock_gap
            self.state.record(
                self.calls.attempt_id, phase, upload_id=upload_id, message=message, server_wall=began, accepted=accepted
            )

    def _refused(self, refused: Refused) -> Build | None:
        """A status of 300 or more: refused for good, limited, or a 5xx that the build list must judge."""
        self.sends += 1
        answer = policy.answer_of(refused)
        refused.outcome = "refused"
        if answer == "unclear":
            return self._unclear(refused)
        if answer == "failed":
            self.record("settling", refused.message)
            found = self.weigh()
            if found.kind == "found":
                return found.builds[0]
            if found.kind == "doubtful":
                self._give_up(found, refused)
            # When the list can't be read the service is taken at its word: it said that it failed.
        self.record("refused", refused.message)
        if answer == "limited":
            self._limited(refused)
        if answer == "refused" or not self._may_send_again():
            raise refused
        self._say_again(refused)
        if answer == "limited" and self.sends > 1:
            self.calls.rest(policy.resend_spread(self.sends, self.calls.rules.window, self.runtime.clock.chance()))
        return None

    def _limited(self, refused: Refused) -> None:
        """A 429 although the spacing was kept: after the third, or where waiting is not wanted, say what probably competes."""
        view = self.state.window(self.calls.bucket)
        refused.kind, refused.retry_after = "rate-limited", max(1.0, view.seconds_left)
        at = self.runtime.output.clock_time(self.runtime.clock.wall() + view.seconds_left)
        refused.hint = f"try again at {at}, in {duration(view.seconds_left)}; {COMPETITION}"

    def _may_send_again(self) -> bool:
        """Whether sends are left and patience reaches to the next window."""
        return self.sends < policy.MAX_SENDS and self.calls.can_wait(self.state.window(self.calls.bucket).seconds_left)

    def _say_again(self, failure: SpcliError) -> None:
        self.runtime.output.note(f"{failure.message}; sending again at the next window (attempt {self.sends + 1})")

    def _unclear(self, failure: SpcliError) -> Build | None:
        """Bytes left and no usable answer came: only a proven absence allows one more send."""
        self.sends += isinstance(failure, Unclear)
        self.unclear += 1
        self.record("settling", failure.message)
        self.runtime.output.note(f"{failure.message}; reading the build list to see what became of the {self.endpoint}")
        found = self.weigh()
        if found.kind == "found":
            return found.builds[0]
        if found.kind != "absent":
            self._give_up(found, failure)
        self.record("absent", failure.message)
        failure.outcome = "refused"
        if self.unclear > 1 or not self._may_send_again():
            failure.hint = "the build list proves that nothing was created: the same command again is safe"
            raise failure
        self._say_again(failure)
        return None

    def weigh(self) -> evidence.Finding:
        """What the build list says of the last send, over a minute."""
        return evidence.settle(self.runtime, self.project_id, self.judge())

    def _stopped(self, signal: Interrupted) -> BaseException:
        """What Ctrl-C or SIGTERM means now: after bytes have left, one quick look, which a second signal ends."""
        if not self.calls.sent:
            return signal
        self.record("settling", "interrupted")
        try:
            match = evidence.look(self.runtime, self.project_id, self.judge(), within=QUICK_LOOK)
        except Interrupted:
            match = None
        if isinstance(match, Match) and match.kind == "found":
            upload_id = match.builds[0].upload_id
            self.record("done", upload_id=upload_id)
            return interrupted_after(signal, upload_id)
        return self.unknown("interrupted while the request was under way", evidence.Finding("unreadable"))

    def _give_up(self, found: evidence.Finding, failure: SpcliError) -> NoReturn:
        raise self.unknown(failure.message, found, failure.status) from None

    def unknown(self, message: str, found: evidence.Finding, status: int | None = None) -> SpcliError:
        """The error for a write that may have happened."""
        self.record("unclear", message)
        ids = ", ".join(build.upload_id for build in found.builds)
        candidates = f"the build list shows what may be it: {ids}; " if ids else ""
        hint = f"the {self.endpoint} may have been processed; {candidates}{CHECKS_FIRST}"
        return SpcliError("unknown", message, status=status, outcome="unknown", hint=hint)


class _Adopted(Exception):
    """The build of an earlier send appeared while we waited to send again."""

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build = build


def interrupted_after(signal: Interrupted, upload_id: str) -> SpcliError:
    """Ctrl-C or SIGTERM after a write is known to have happened."""
    error = SpcliError(
        "interrupted", "interrupted", hint=f"it goes on: spcli builds wait {upload_id}", outcome="done", upload_id=upload_id
    )
    error.code = signal.exit_code
    return error
