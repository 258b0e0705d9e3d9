"""Upload and distribute as a whole: what was sent before, what is there, the window, the call, and what became of it.

The rules are those of conduct towards the service: a write is never sent again unless the service refused it or the build list
proves that it did nothing (https://docs.streampixel.io, rate limits and errors: "never retry without confirming").
"""

from typing import TYPE_CHECKING, NamedTuple

from spcli import evidence
from spcli.limited import Patience
from spcli.models import Build, DistributeResult, UploadResult, bare_url, iso_utc, url_digest
from spcli.sending import Write
from spcli.state import NewAttempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from spcli.api import Accepted, ProjectPage
    from spcli.runtime import Runtime
    from spcli.state import Attempt

RECENT = 600.0


class UploadRequest(NamedTuple):
    """One build to register. `force` sends although an earlier attempt's outcome is unknown."""

    project_id: str
    file_url: str
    auto_release: bool
    patience: Patience
    force: bool = False


class ReleaseRequest(NamedTuple):
    """One processed build to put live. `action` is the ledger's word: `distribute` or `rollback`; `note` says who and why."""

    project_id: str
    upload_id: str
    patience: Patience
    action: str = "distribute"
    note: str | None = None


def upload(runtime: "Runtime", request: UploadRequest, check: "Callable[[], None] | None" = None) -> UploadResult:
    """Register a build by URL, once.

    `check` looks at the file once earlier attempts are settled: a link that expired since then says nothing about them.

    Raises:
        SpcliError: with `outcome` not_sent, refused or unknown; `upload_id` never, since then it would have succeeded.
        Interrupted: before the first byte left.
    """
    write = UploadWrite(runtime, request)
    earlier = write.settle_earlier()
    if earlier is not None:
        return write.result(earlier.upload_id, None, "build-list")
    if check is not None:
        check()
    write.look()
    write.tell_recent()
    return write.run()


def distribute(runtime: "Runtime", request: ReleaseRequest, before: Build | None) -> DistributeResult:
    """Release one processed build, `before` being what the list said of it. Raises as `upload`."""
    return ReleaseWrite(runtime, request, before).run()


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
        return NewAttempt(
            "upload", self.origin, self.account, self.project_id, url=self.bare, digest=self.digest, upload_id=None,
            auto_release=self.request.auto_release, baseline=None if self.baseline is None else tuple(sorted(self.baseline)),
            note=None,
        )  # fmt: skip

    def judge(self) -> evidence.Judge:
        """Finds our build among those that were not there before."""
        return evidence.upload_judge(
            self.digest, self.bare, baseline=self.baseline, taken=self._taken(), since=self.began + self.clock_gap - 2.0
        )

    def _taken(self) -> frozenset[str]:
        return self.state.taken_ids(self.origin, self.account, self.project_id)

    def read(self, page: "ProjectPage") -> None:
        """Take the list as the new baseline; before a re-send, adopt the build that the send before it made after all."""
        self.note_server_time(page.server_wall)
        ids = frozenset(build.upload_id for build in page.builds or ())
        if self.sends == 0:
            self.baseline = ids
            return
        match = self.judge()(page)
        if match.kind == "found":
            self.adopted = match.builds[0]
        elif match.kind == "doubtful":
            raise self.unknown(
                "a build that may be ours appeared before the second send", evidence.Finding("doubtful", match.builds)
            )
        elif self.baseline is not None:
            self.baseline |= ids

    def run(self) -> UploadResult:
        """Send, and say how the id is known."""
        sent = self.send()
        if isinstance(sent, Build):
            self.record("done", upload_id=sent.upload_id)
            return self.result(sent.upload_id, None, "build-list")
        if sent.upload_id is not None:
            self.record("done", sent.message, sent.upload_id)
            return self.result(sent.upload_id, sent.message, "response")
        return self._without_id(sent)

    def _without_id(self, accepted: "Accepted") -> UploadResult:
        """A 2xx without an id was accepted: its id is looked up, and it is never sent again."""
        self.record("settling", accepted.message, accepted=True)
        self.note_server_time(accepted.server_wall)
        found = self.weigh()
        if found.kind == "found":
            self.record("done", accepted.message, found.builds[0].upload_id)
            return self.result(found.builds[0].upload_id, accepted.message, "build-list")
        message = "the service accepted the upload but did not say its id, and the build list does not show it"
        raise self.unknown(message, found)

    def result(self, upload_id: str | None, message: str | None, confirmed_by: str) -> UploadResult:
        """The result of an accepted upload."""
        return UploadResult(upload_id, self.project_id, self.bare, self.request.auto_release, message, confirmed_by)

    # What this machine remembers.

    def settle_earlier(self) -> "Attempt | None":
        """Settle earlier attempts at the same file whose outcome is unknown; the one that was accepted after all.

        Raises:
            SpcliError: `unknown` when the list gives no clear answer and `force` is not set.
        """
        for attempt in self.state.unsettled("upload", self.origin, self.account, self.project_id, url=self.bare):
            found = self._settle_one(attempt)
            if found.kind == "found":
                upload_id = found.builds[0].upload_id
                self.state.record(attempt.id, "done", upload_id=upload_id)
                self._say_earlier(attempt, f"had been accepted as {upload_id}: nothing was sent (--force sends it once more)")
                return attempt._replace(upload_id=upload_id)
            if found.kind == "absent" and not attempt.accepted:
                self.state.record(attempt.id, "absent")
                self._say_earlier(attempt, "did nothing, says the build list")
            elif not self.request.force:
                raise self.unknown(f"an earlier upload of this file, {self._when(attempt)}, may have been accepted", found)
        return None

    def _settle_one(self, attempt: "Attempt") -> evidence.Finding:
        now = self.runtime.clock.wall()
        judge = evidence.upload_judge(
            attempt.digest or self.digest,
            attempt.url or self.bare,
            baseline=attempt.baseline,
            taken=self._taken(),
            since=(attempt.server_wall or attempt.started) - 2.0,
        )
        return evidence.settle(self.runtime, self.project_id, judge, age=max(0.0, now - (attempt.ended or attempt.started)))

    def _when(self, attempt: "Attempt") -> str:
        return self.runtime.output.local_time(iso_utc(attempt.started))

    def _say_earlier(self, attempt: "Attempt", what: str) -> None:
        self.runtime.output.note(f"an earlier upload of this file, {self._when(attempt)}, {what}")

    def tell_recent(self) -> None:
        """A CI job that was run again: say that this file was registered a moment ago, and go on."""
        recent = self.state.recent_upload(self.origin, self.account, self.project_id, self.bare, RECENT)
        if recent is not None:
            self._say_earlier(recent, f"was registered as {recent.upload_id}; registering it once more")


class ReleaseWrite(Write):
    """`POST /projects/distribute-file`."""

    endpoint = "distribute"
    path = "/projects/distribute-file"

    def __init__(self, runtime: "Runtime", request: ReleaseRequest, before: Build | None) -> None:
        super().__init__(runtime, request.project_id, request.patience)
        self.request = request
        self.before = before
        self.looked_at = runtime.clock.mono()

    def body(self) -> dict[str, object]:
        """The documented fields."""
        return self.api.distribute_body(self.project_id, self.request.upload_id)

    def attempt(self) -> "NewAttempt":
        """The ledger's row for the next send."""
        return NewAttempt(
            self.request.action, self.origin, self.account, self.project_id, url=self._file(), digest=None,
            upload_id=self.request.upload_id, auto_release=None, baseline=None, note=self.request.note,
        )  # fmt: skip

    def _file(self) -> str | None:
        return None if self.before is None else self.before.file_url

    def judge(self) -> evidence.Judge:
        """Sees whether the build has left the state it was in."""
        return evidence.release_judge(self.request.upload_id, None if self.before is None else self.before.status)

    def read(self, page: "ProjectPage") -> None:
        """Take the build's state as the new baseline; before a re-send, see that the release has begun after all."""
        self.note_server_time(page.server_wall)
        if self.sends:
            match = self.judge()(page)
            self.adopted = match.builds[0] if match.kind == "found" else None
        elif page.builds is not None:
            self.before = next((build for build in page.builds if build.upload_id == self.request.upload_id), self.before)

    def run(self) -> DistributeResult:
        """Send; the service's answer is optional in every field."""
        sent = self.send()
        is_found = isinstance(sent, Build)
        message, region = (None, None) if isinstance(sent, Build) else (sent.message, sent.region)
        self.record("done", "confirmed by the build list" if is_found else message, self.request.upload_id)
        return DistributeResult(self.request.upload_id, self.project_id, message, region)
