"""Register a build by URL, once: settle earlier attempts, send, and say how the upload id is known.

Documented at https://docs.streampixel.io, upload-file. The service has no idempotency key: the same request registers a second
build.
"""

from collections.abc import Mapping
from typing import NamedTuple

from spcli.api.client import ProjectPage
from spcli.api.parse import Accepted
from spcli.errors import Refused, SpcliError
from spcli.models import Build, UploadResult, bare_url, iso_utc, unix_time, url_digest
from spcli.output.words import local_time
from spcli.state.ledger import Attempt, NewAttempt, WriteNote
from spcli.writes.evidence import CLOCK_MARGIN, Evidence, UploadTraits, match_upload, place_of, settle_by_list
from spcli.writes.send import Sender, raise_unknown

RECENT = 600.0
"""Seconds within which the same file registered again is worth a note, and within which an absent build may still appear."""
FORGOTTEN = 24 * 3600.0
"""Seconds for which a listed build may be an upload that was forgotten with a damaged state file."""
_TELLING = (401, 403, 404)
"""Statuses that the upload itself would get, too: reported before the rate limit is spent."""


class UploadRequest(NamedTuple):
    """One build to register. `force` sends although an earlier attempt's outcome is unknown; `note` says who and why."""

    project_id: str
    file_url: str
    auto_release: bool
    force: bool = False
    note: WriteNote = WriteNote()


class UploadWrite:
    """`POST /projects/upload-file`, as `send.Write`."""

    path = "/projects/upload-file"
    upload_id: str | None = None

    def __init__(self, sender: Sender, request: UploadRequest) -> None:
        self._sender = sender
        self._request = request
        self.project_id = request.project_id
        self._bare_url = bare_url(request.file_url)
        self._digest = url_digest(request.file_url)
        self._baseline: frozenset[str] | None = None
        self.looked_at = float("-inf")
        sender.begin(self)

    def resume_earlier(self) -> UploadResult | None:
        """Read the build list and settle earlier attempts at this file; return the build that one of them made.

        The first reading is the baseline. It also proves key, owner and project before the rate limit is spent.

        Raises:
            SpcliError: `unknown` when an earlier attempt's outcome stays unknown and the request does not force it.
        """
        self.looked_at = self._sender.clock.mono()
        try:
            page = self._sender.api.read_project(self.project_id)
        except SpcliError as failure:
            if not failure.may_pass and (not isinstance(failure, Refused) or failure.status in _TELLING):
                raise
            self._sender.output.note(f"could not read the build list: {failure.message}; continuing without it")
            found = None
        else:
            self._sender.had_list = page.builds is not None
            found = None if page.builds is None else self._learn_baseline(page)
        found = found or self._settle_earlier()
        return None if found is None else self._confirm_build(found)

    def send(self) -> UploadResult:
        """Send until settled. Raises `SpcliError` with its `outcome`."""
        self._note_recent()
        sent = self._sender.send_until_settled(self)
        if isinstance(sent, Build):
            return self._confirm_build(sent)
        if sent.upload_id is None:
            return self._confirm_build(self._find_accepted(sent))
        self._sender.confirm(sent.upload_id, sent.message)
        return self._result(sent.upload_id, sent.message, "response")

    def request_body(self) -> Mapping[str, object]:
        """Return the documented fields."""
        return self._sender.api.upload_body(self.project_id, self._request.file_url, self._request.auto_release)

    def history_row(self) -> NewAttempt:
        """Return the row of the next send."""
        baseline = None if self._baseline is None else tuple(sorted(self._baseline))
        return NewAttempt(
            "upload", self._sender.account, self.project_id, url=self._bare_url, digest=self._digest, upload_id=None,
            auto_release=self._request.auto_release, baseline=baseline, note=self._request.note,
        )  # fmt: skip

    def read_list_again(self) -> Build | None:
        """Read the build list before a send; return the build that an earlier send or an earlier run made after all."""
        page = self._sender.look(self)
        found = None
        if page is not None:
            found = self._learn_baseline(page) if self._sender.sends == 0 else self._find_resent(page)
        if found is None and not self._request.force and self._open_attempts():
            # Its process ended while we waited. Settling takes up to a minute, so others may go first meanwhile.
            self._sender.turn.end_turn()
            found = self._settle_earlier()
        return found

    def judge(self, page: ProjectPage) -> Evidence:
        """Return whether a new build in the list is the last send's."""
        self._sender.learn_clock(page.server_wall)
        traits = self._traits(self._bare_url, self._digest, self._baseline)
        return match_upload(traits, page, self._sender.sent_since())

    def _learn_baseline(self, page: ProjectPage) -> Build | None:
        """Take the list as the baseline.

        Return the build of an upload that seemed to have done nothing and has appeared since.
        """
        # A build that a list has left out must not count as new once it is shown.
        self._baseline = frozenset(build.upload_id for build in page.builds or ()) if page.whole else None
        return self._find_late(page) or self._find_forgotten(page)

    def _find_resent(self, page: ProjectPage) -> Build | None:
        """Return the build of the send before this one, if it has appeared. Raises `SpcliError` (unknown) on a doubt."""
        match = self.judge(page)
        if match.kind == "found":
            return match.builds[0]
        if match.kind == "doubtful" and not self._sender.is_limited:
            raise_unknown(self._sender, "a build that may be this upload appeared before the next send", match, self.project_id)
        if self._baseline is not None:
            self._baseline |= {build.upload_id for build in page.builds or ()}
        return None

    def _find_accepted(self, accepted: Accepted) -> Build:
        """Find the build of a 2xx without an upload id: it was accepted and is never sent again."""
        found = self._sender.gather_evidence(self, "the service's answer does not name the upload", accepted=True)
        if found.kind == "found":
            return found.builds[0]
        reason = "could not be read" if found.kind == "unreadable" else "does not show it"
        message = f"the service accepted the upload without an upload ID, and the build list {reason}"
        self._sender.record("unclear", accepted.message or message, accepted=True)
        said = f"{accepted.message}\n" if accepted.message else ""
        raise self._sender.unknown_error(said + message, found, self.project_id)

    def _confirm_build(self, build: Build) -> UploadResult:
        self._sender.confirm(build.upload_id)
        return self._result(build.upload_id, None, "build-list")

    def _result(self, upload_id: str, message: str | None, confirmed_by: str) -> UploadResult:
        return UploadResult(upload_id, self.project_id, self._bare_url, self._request.auto_release, message, confirmed_by)

    # Earlier attempts at the same file, remembered on this machine.

    def _traits(self, url: str, digest: str, baseline: frozenset[str] | None) -> UploadTraits:
        recorded = self._sender.state.ledger.recorded_uploads(self._sender.account, self.project_id)
        return UploadTraits(url, digest, baseline, recorded, self._sender.api.host)

    def _open_attempts(self) -> list[Attempt]:
        """Return earlier uploads of the same file that are open and that no live process handles.

        Presigned URLs differ by run.
        """
        return self._sender.state.ledger.find_unsettled("upload", self._sender.account, self.project_id, url=self._bare_url)

    def _settle_earlier(self) -> Build | None:
        """Settle earlier uploads of the same file; return the build that one of them made."""
        attempts = self._open_attempts()
        if attempts:
            # Settling takes its time: the list is read again before anything is sent.
            self.looked_at = float("-inf")
        for attempt in attempts:
            found = self._settle_attempt(attempt)
            if found is not None:
                return found
        return None

    def _settle_attempt(self, attempt: Attempt) -> Build | None:
        sender = self._sender
        found = settle_by_list(
            sender.api, sender.clock, self.project_id, lambda page: self._judge_attempt(attempt, page), scale=sender.limit.scale,
            age=attempt.age(sender.clock.now()), had_list=attempt.baseline is not None,
        )  # fmt: skip
        if found.kind == "found":
            return self._adopt(attempt, found.builds[0])
        if found.kind == "absent" and not attempt.accepted:
            sender.state.ledger.record(attempt.id, "absent")
            self._note_attempt(attempt, "did nothing: the build list doesn't show it")
            return None
        self._refuse_unless_forced(attempt, found)
        return None

    def _judge_attempt(self, attempt: Attempt, page: ProjectPage) -> Evidence:
        baseline = None if attempt.baseline is None else frozenset(attempt.baseline)
        traits = self._traits(attempt.url or self._bare_url, attempt.digest or self._digest, baseline)
        return match_upload(traits, page, attempt.server_wall or self._server_time(attempt, page))

    def _server_time(self, attempt: Attempt, page: ProjectPage) -> float | None:
        """Return when the attempt began by the service's clock, None unless both clocks here agree on the time since it ended."""
        now = self._sender.clock.now()
        if attempt.over is None or page.server_wall is None:
            return None
        # A clock that was set in between, or a reboot, makes the two differ: then nothing orders builds and attempts.
        is_sure = abs((now.wall - attempt.over.wall) - (now.mono - attempt.over.mono)) <= CLOCK_MARGIN
        return attempt.started + page.server_wall - now.wall if is_sure else None

    def _adopt(self, attempt: Attempt, build: Build) -> Build:
        self._sender.turn.attempt_id = attempt.id
        self._note_attempt(
            attempt, f"was accepted as {build.upload_id}. Nothing was sent now; run the command again to register it once more"
        )
        return build

    def _refuse_unless_forced(self, attempt: Attempt, found: Evidence) -> None:
        outcome = "was accepted, but its upload ID is not known" if attempt.accepted else "may have been accepted"
        if not self._request.force:
            message = f"an earlier upload of this file ({self._local_time(attempt)}) {outcome}"
            raise self._sender.unknown_error(message, found, self.project_id)
        # --force decides for the runs after this one, too.
        self._sender.state.ledger.record(attempt.id, "superseded")
        self._note_attempt(attempt, f"{outcome}; uploading anyway (--force)")

    def _find_late(self, page: ProjectPage) -> Build | None:
        """Return the build of an upload that was absent a moment ago and has appeared since: the list may lag behind.

        Raises:
            SpcliError: `unknown` when a build that has appeared may be it.
        """
        ledger = self._sender.state.ledger
        if self._request.force:
            return None
        for attempt in ledger.find_absent_uploads(self._sender.account, self.project_id, self._bare_url, RECENT):
            match = self._judge_attempt(attempt, page)
            if match.kind == "found":
                return self._adopt(attempt, match.builds[0])
            if match.kind == "doubtful" and match.builds:
                ledger.record(attempt.id, "unclear")
                self._refuse_unless_forced(attempt, match)
        return None

    def _find_forgotten(self, page: ProjectPage) -> Build | None:
        """Return the build of an upload that this machine forgot with a damaged state file less than a day ago.

        Raises:
            SpcliError: `unknown` when more than one build may be it, the list is not this project's alone, or another process is
                uploading the same file.
        """
        sender = self._sender
        if self._request.force or sender.state.lost_memory_at() is None:
            return None
        recorded = sender.state.ledger.recorded_uploads(sender.account, self.project_id)
        listed_at = page.server_wall or sender.clock.wall()
        candidates = [
            build
            for build in page.builds or ()
            if build.upload_id not in recorded
            and place_of(build.file_url or "") == place_of(self._bare_url)
            and listed_at - (unix_time(build.date) or listed_at) < FORGOTTEN
        ]
        if not candidates:
            return None
        is_handled = sender.state.ledger.find_unsettled(
            "upload", sender.account, self.project_id, url=self._bare_url, is_live=True
        )
        if len(candidates) > 1 or is_handled or page.is_other:
            message = "the state file was damaged less than a day ago: an earlier upload of this file may be forgotten"
            raise sender.unknown_error(message, Evidence("doubtful", tuple(candidates)), self.project_id)
        (build,) = candidates
        # Recorded, so that the same command again registers the file once more.
        sender.state.ledger.record(0, "done", upload_id=build.upload_id, anew=self.history_row())
        sender.output.note(
            f"the state file was damaged: build {build.upload_id} is taken for an upload that was forgotten with it. "
            "Nothing was sent now; run the command again to register the file once more"
        )
        return build

    def _note_recent(self) -> None:
        """Note that this file was registered a moment ago, as when a CI job is run again; the upload goes on."""
        recent = self._sender.state.ledger.find_recent_upload(self._sender.account, self.project_id, self._bare_url, RECENT)
        if recent is not None:
            self._note_attempt(recent, f"was registered as {recent.upload_id}; registering it once more")

    def _note_attempt(self, attempt: Attempt, text: str) -> None:
        self._sender.output.note(f"an earlier upload of this file ({self._local_time(attempt)}) {text}")

    def _local_time(self, attempt: Attempt) -> str:
        return local_time(iso_utc(attempt.started))
