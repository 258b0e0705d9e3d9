"""What earlier runs left open: writes from this machine whose outcome nobody knows, settled before anything is sent again."""

from typing import TYPE_CHECKING

from spcli.models import Build, iso_utc
from spcli.output.words import local_time
from spcli.writes import evidence, outcomes

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime
    from spcli.state.account import Account
    from spcli.state.ledger import Attempt
    from spcli.writes.upload import ReleaseWrite, UploadWrite

# A list that lags behind: what was absent a moment ago may have appeared.
LATELY = 600.0


def settle_uploads(write: "UploadWrite") -> Build | None:
    """Settle earlier uploads of the same file; the build that one of them made after all.

    Raises:
        SpcliError: `unknown` when the list gives no clear answer and the request does not force it.
    """
    for attempt in open_uploads(write):
        found = _settle(write, attempt)
        if found.kind == "found":
            return _adopted(write, attempt, found.builds[0])
        if found.kind == "absent" and not attempt.accepted:
            write.state.ledger.record(attempt.id, "absent")
            _say(write.runtime, attempt, "did nothing, says the build list")
        else:
            _refuse_or_force(write, attempt, found)
    return None


def open_uploads(write: "UploadWrite") -> "list[Attempt]":
    """Earlier uploads of the same file that are open and that no live process handles; presigned URLs change on every run."""
    return write.state.ledger.find_unsettled("upload", write.account, write.project_id, url=write.bare)


def _settle(write: "UploadWrite", attempt: "Attempt") -> evidence.Finding:
    age, judge = attempt.age(write.runtime.clock.now()), _judge(write, attempt)
    return evidence.settle(write.runtime, write.project_id, judge, age=age, had_list=attempt.baseline is not None)


def _judge(write: "UploadWrite", attempt: "Attempt") -> evidence.Judge:
    def since(page: "ProjectPage") -> float | None:
        """When the attempt began by the server's clock; where that was not learned, as far apart as the clocks are now."""
        if attempt.server_wall is not None:
            return attempt.server_wall - write.clock_margin
        if page.server_wall is None:
            return None
        return attempt.started + page.server_wall - write.runtime.clock.wall() - write.clock_margin

    return evidence.upload_judge(
        attempt.digest or write.digest, attempt.url or write.bare, baseline=attempt.baseline, taken=write.taken(), since=since
    )


def _adopted(write: "UploadWrite", attempt: "Attempt", build: Build) -> Build:
    write.calls.attempt_id = attempt.id
    _say(
        write.runtime,
        attempt,
        f"had been accepted as {build.upload_id}: nothing was sent now; the same command again registers it once more",
    )
    return build


def _refuse_or_force(write: "UploadWrite", attempt: "Attempt", found: evidence.Finding) -> None:
    when, may = _when(write.runtime, attempt), "was accepted, its id unknown" if attempt.accepted else "may have been accepted"
    if not write.request.force:
        raise outcomes.unknown(write.endpoint, f"an earlier upload of this file, {when}, {may}", found, write.project_id)
    # Whoever forces it has decided: the runs after this one need not ask again.
    write.state.ledger.record(attempt.id, "superseded")
    _say(write.runtime, attempt, f"{may}; sending all the same (--force)")


def lately_absent(write: "UploadWrite", page: "ProjectPage") -> Build | None:
    """The build of an upload that seemed to have done nothing a moment ago, and has appeared since.

    Raises:
        SpcliError: `unknown` when what has appeared only may be it.
    """
    if write.request.force:
        return None
    for attempt in write.state.ledger.find_absent_uploads(write.account, write.project_id, write.bare, LATELY):
        match = _judge(write, attempt)(page)
        if match.kind == "found":
            return _adopted(write, attempt, match.builds[0])
        if match.kind == "doubtful":
            write.state.ledger.record(attempt.id, "unclear")
            _refuse_or_force(write, attempt, evidence.Finding("doubtful", match.builds))
    return None


def settle_releases(write: "ReleaseWrite") -> Build | None:
    """Settle earlier releases of the same build by its state: the build, when it is being distributed; else it is released again,
    which the service documents as harmless."""
    for attempt in open_releases(write):
        if write.before is not None and write.before.state == "distributing":
            write.calls.attempt_id = attempt.id
            _say(write.runtime, attempt, "had been accepted: the build is being distributed, nothing was sent now")
            return write.before
        write.state.ledger.record(attempt.id, "superseded")
        _say(write.runtime, attempt, "left no trace in the build's state: releasing it again is harmless")
    return None


def open_releases(write: "ReleaseWrite") -> "list[Attempt]":
    """Earlier releases of the same build that are open and that no live process handles."""
    return open_releases_of(write.runtime, write.account, write.project_id, write.request.upload_id)


def open_releases_of(runtime: "Runtime", account: "Account", project_id: str, upload_id: str) -> "list[Attempt]":
    """The same, for one build."""
    return [
        attempt
        for action in ("distribute", "rollback")
        for attempt in runtime.state.ledger.find_unsettled(action, account, project_id, upload_id=upload_id)
    ]


def _when(runtime: "Runtime", attempt: "Attempt") -> str:
    return local_time(iso_utc(attempt.started))


def _say(runtime: "Runtime", attempt: "Attempt", what: str) -> None:
    subject = "upload of this file" if attempt.action == "upload" else "release of this build"
    runtime.output.note(f"an earlier {subject}, {_when(runtime, attempt)}, {what}")
