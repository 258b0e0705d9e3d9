"""Upload and distribute as a whole: what was sent before, what is there, the window, the call, and what became of it.

The rules are those of conduct towards the service: a write is never sent again unless the service refused it or the build list
proves that it did nothing (https://docs.streampixel.io, rate limits and errors: "never retry without confirming").
"""

from typing import TYPE_CHECKING, NamedTuple

from spcli.builds.lifecycle import is_final
from spcli.errors import Refused, SpcliError
from spcli.models import Build, DistributeResult, UploadResult, bare_url, iso_utc, url_digest
from spcli.output.words import local_time
from spcli.writes import earlier, evidence, outcomes
from spcli.writes.send import Write
from spcli.writes.turn import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spcli.api.client import ProjectPage
    from spcli.api.parse import Accepted
    from spcli.runtime import Runtime
    from spcli.state.ledger import NewAttempt

RECENT = 600.0
# What a read may answer that the upload itself would be answered, too: told before a window is spent.
_TELLING = (401, 403, 404)


class UploadRequest(NamedTuple):
    """One build to register. `force` sends although an earlier attempt's outcome is unknown."""

    project_id: str
    file_url: str
    auto_release: bool
    patience: Patience
    force: bool = False


class ReleaseRequest(NamedTuple):
    """One processed build to put live.

    `action` is the ledger's word: `distribute` or `rollback`; `note` says who and why; `in_progress` are the builds still being
    processed, `None` where nobody knows: they may release themselves later.
    """

    project_id: str
    upload_id: str
    patience: Patience
    action: str = "distribute"
    note: str | None = None
    in_progress: tuple[str, ...] | None = None


def upload(runtime: "Runtime", request: UploadRequest, check: "Callable[[], None] | None" = None) -> UploadResult:
    """Register a build by URL, once.

    `check` looks at the file once earlier attempts are settled: a link that expired since then says nothing about them.

    Raises:
        SpcliError: with `outcome` not_sent, refused or unknown; done only when it was interrupted after the service had it.
        Interrupted: before the first byte left.
    """
    write = UploadWrite(runtime, request)
    return write.guarded(lambda: write.run(check))


def distribute(runtime: "Runtime", request: ReleaseRequest, before: Build | None) -> DistributeResult:
    """Release one processed build, `before` being what the list said of it. Raises as `upload`."""
    write = ReleaseWrite(runtime, request, before)
    return write.guarded(write.run)


def in_progress(builds: "Sequence[Build] | None") -> tuple[str, ...] | None:
    """Which of the listed builds are still being processed."""
    return None if builds is None else tuple(build.upload_id for build in builds if not is_final(build.state))


def is_release_open(runtime: "Runtime", project_id: str, upload_id: str) -> bool:
    """Whether an earlier release of this build from here has an unknown outcome: its state is then judged by `distribute`."""
    return bool(earlier.open_releases_of(runtime, runtime.account, project_id, upload_id))


class UploadWrite(Write):
    """`POST /projects/upload-file`."""

    endpoint = "upload"
    path = "/projects/upload-file"

    def __init__(self, runtime: "Runtime", request: UploadRequest) -> None:
        super().__init__(runtime, request.project_id, request.patience)
        self.request = request
        self.bare = bare_url(request.file_url)
        self.digest = url_digest(request.file_url)
        self.baseline: frozenset[str] | None = None

    def body(self) -> dict[str, object]:
        """The documented fields."""
        return self.api.upload_body(self.project_id, self.request.file_url, self.request.auto_release)

    def attempt(self) -> "NewAttempt":
        """The ledger's row for the next send."""
        from spcli.state.ledger import NewAttempt

        return NewAttempt(
            "upload", self.account, self.project_id, url=self.bare, digest=self.digest, upload_id=None,
            auto_release=self.request.auto_release, baseline=None if self.baseline is None else tuple(sorted(self.baseline)),
            note=None,
        )  # fmt: skip

    def judge(self) -> evidence.Judge:
        """Finds our build among those that were not there before."""
        return evidence.upload_judge(self.digest, self.bare, baseline=self.baseline, taken=self.taken(), since=self.server_time)

    def taken(self) -> frozenset[str]:
        """Ids recorded for other attempts."""
        return self.state.ledger.recorded_upload_ids(self.account, self.project_id)

    def id_of(self, accepted: "Accepted") -> str | None:
        """The new build's id, where the answer says it."""
        return accepted.upload_id

    def read(self, page: "ProjectPage") -> Build | None:
        """Take the list as the new baseline; adopt the build that an earlier send made after all."""
        ids = frozenset(build.upload_id for build in page.builds or ())
        if self.sends == 0:
            # What a list has left out must not count as new once it shows it.
            self.baseline = ids if page.whole else None
            return earlier.lately_absent(self, page)
        match = self.judge()(page)
        if match.kind == "found":
            return match.builds[0]
        if match.kind == "doubtful" and not self.is_limited:
            self.record("unclear")
            message = "a build that may be ours appeared before the second send"
            raise outcomes.unknown(self.endpoint, message, evidence.Finding("doubtful", match.builds), self.project_id)
        if self.baseline is not None:
            self.baseline |= ids
        return None

    def run(self, check: "Callable[[], None] | None") -> UploadResult:
        """Settle what is open, look, send, and say how the id is known."""
        sent: Accepted | Build | None = self._first_look() or self.settle_earlier()
        if sent is None:
            if check is not None:
                check()
            self._tell_recent()
            sent = self.send()
        if not isinstance(sent, Build):
            if sent.upload_id is not None:
                self.happened(sent.upload_id, sent.message)
                return self._result(sent.upload_id, sent.message, "response")
            sent = self._without_id(sent)
        self.happened(sent.upload_id)
        return self._result(sent.upload_id, None, "build-list")

    def _first_look(self) -> Build | None:
        """The baseline. It also proves key, owner and project before a window is spent; else it may fail."""
        self.looked_at = self.runtime.clock.mono()
        try:
            page = self.api.project(self.project_id)
        except SpcliError as failure:
            if not failure.may_pass and (not isinstance(failure, Refused) or failure.status in _TELLING):
                raise
            self.runtime.output.note(f"could not read the build list: {failure.message}; going on without it")
            return None
        return None if page.builds is None else self.take(page)

    def _without_id(self, accepted: "Accepted") -> Build:
        """A 2xx without an id was accepted: its id is looked up, and it is never sent again."""
        found = self.weigh(None, accepted=True)
        if found.kind == "found":
            return found.builds[0]
        shows = "could not be read" if found.kind == "unreadable" else "does not show it"
        message = f"the service accepted the upload but did not say its id, and the build list {shows}"
        self.record("unclear", accepted.message or message, accepted=True)
        said = f"{accepted.message}\n" if accepted.message else ""
        raise outcomes.unknown(self.endpoint, said + message, found, self.project_id)

    def _result(self, upload_id: str, message: str | None, confirmed_by: str) -> UploadResult:
        return UploadResult(upload_id, self.project_id, self.bare, self.request.auto_release, message, confirmed_by)

    # What this machine remembers.

    def has_earlier(self) -> bool:
        """Whether an earlier upload of this file is open."""
        return not self.request.force and bool(earlier.open_uploads(self))

    def settle_earlier(self) -> Build | None:
        """Settle earlier uploads of this file. Raises `SpcliError` (unknown)."""
        if not earlier.open_uploads(self):
            return None
        # It takes its time: the list is read again before anything is sent.
        self.looked_at = float("-inf")
        return earlier.settle_uploads(self)

    def _tell_recent(self) -> None:
        """A CI job that was run again: say that this file was registered a moment ago, and go on."""
        recent = self.state.ledger.find_recent_upload(self.account, self.project_id, self.bare, RECENT)
        if recent is not None:
            when = local_time(iso_utc(recent.started))
            self.runtime.output.note(
                f"an earlier upload of this file, {when}, was registered as {recent.upload_id}; registering it once more"
            )


class ReleaseWrite(Write):
    """`POST /projects/distribute-file`."""

    endpoint = "distribute"
    path = "/projects/distribute-file"

    def __init__(self, runtime: "Runtime", request: ReleaseRequest, before: Build | None) -> None:
        super().__init__(runtime, request.project_id, request.patience)
        self.request = request
        self.before = before
        self.in_progress = request.in_progress
        self.had_list = before is not None
        self.looked_at = runtime.clock.mono()

    def body(self) -> dict[str, object]:
        """The documented fields."""
        return self.api.distribute_body(self.project_id, self.request.upload_id)

    def attempt(self) -> "NewAttempt":
        """The ledger's row for the next send."""
        from spcli.state.ledger import NewAttempt

        return NewAttempt(
            self.request.action, self.account, self.project_id, url=self._file(), digest=None,
            upload_id=self.request.upload_id, auto_release=None, baseline=self.in_progress, note=self.request.note,
        )  # fmt: skip

    def _file(self) -> str | None:
        return None if self.before is None else self.before.file_url

    def judge(self) -> evidence.Judge:
        """Sees whether the build has left the state it was in."""
        return evidence.release_judge(self.request.upload_id, None if self.before is None else self.before.status)

    def id_of(self, accepted: "Accepted") -> str | None:
        """The build named in the request: the answer is optional in every field, unless it is no answer of the service."""
        return None if accepted.is_foreign else self.request.upload_id

    def read(self, page: "ProjectPage") -> Build | None:
        """Take the build's state as the new baseline; before a re-send, see that the release has begun after all."""
        if self.sends:
            match = self.judge()(page)
            return match.builds[0] if match.kind == "found" else None
        self.before = next((build for build in page.builds or () if build.upload_id == self.request.upload_id), self.before)
        self.in_progress = in_progress(page.builds)
        return None

    def run(self) -> DistributeResult:
        """Settle what is open, send, and say what the service answered."""
        sent: Accepted | Build | None = self.settle_earlier()
        if sent is None:
            sent = self.send()
        message = region = None
        if not isinstance(sent, Build):
            message, region = sent.message, sent.region
            if sent.is_denied:
                # Answered like a success, and none: the service's words count as those of any refusal.
                denied = SpcliError(
                    "protocol", message or "the service answered that it did not succeed", status=sent.reply.status
                )
                self._settled("refused", denied)
                raise denied
            if sent.is_foreign:
                self._confirm()
        self.happened(self.request.upload_id, "confirmed by the build list" if isinstance(sent, Build) else message)
        return DistributeResult(self.request.upload_id, self.project_id, message, region)

    def _confirm(self) -> None:
        """A 2xx that is not the service's JSON may come from a login page in between: the build's state must show the release."""
        found = self.weigh(None, accepted=True)
        if found.kind != "found":
            message = "the answer to the release is not the documented JSON, and the build's state does not show that it began"
            self.record("unclear", message, accepted=True)
            raise outcomes.unknown(self.endpoint, message, found, self.project_id)

    def has_earlier(self) -> bool:
        """Whether an earlier release of this build is open."""
        return bool(earlier.open_releases(self))

    def settle_earlier(self) -> Build | None:
        """Settle earlier releases of this build."""
        return earlier.settle_releases(self)
