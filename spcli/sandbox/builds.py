"""A build's way through the seven states: a pure function of its events and the time.

Source: https://docs.streampixel.io (build-lifecycle, webhook-events).
"""

from datetime import UTC, datetime
from typing import NamedTuple

PENDING = "pending"
DOWNLOADING = "Downloading Files"
EXTRACTING = "Extracting & Scanning"
SAVING = "Saving to Repository"
DISTRIBUTE = "Distribute"
APPROVED = "Approved"
REJECT = "Reject"

EVENTS = {
    PENDING: "build.uploaded",
    DOWNLOADING: "build.downloading",
    EXTRACTING: "build.extracting",
    SAVING: "build.saving",
    DISTRIBUTE: "build.distributing",
    APPROVED: "build.approved",
    REJECT: "build.rejected",
}
OBJECTION = "The build contains unsupported file formats."
# The start of every build in the seeded history, so that it is finished when the world begins.
LONG_AGO = float("-inf")


class Change(NamedTuple):
    """The build enters `status` at `at` (Unix seconds)."""

    at: float
    status: str


class Build:
    """One build: when it was registered (`began`) and released (`releases`, in order), in Unix seconds.

    `created` is the date shown; `events_sent` counts the changes whose webhook event was handed out.
    """

    __slots__ = ("auto_release", "began", "created", "events_sent", "id", "project_id", "rejected", "releases", "url")

    def __init__(self, upload_id: str, project_id: str, *, url: str, created: float) -> None:
        self.id = upload_id
        self.project_id = project_id
        self.url = url
        self.created = created
        self.began = created
        self.auto_release = True
        self.rejected = False
        self.releases: list[float] = []
        self.events_sent = 0


def timeline(build: Build, stage: float) -> list[Change]:
    """Return every change of `build`, past and future, in order.

    A stage takes `stage` seconds, `pending` a quarter of one. After a release the old `Approved` stays for a quarter of a stage,
    because the service also shows a stale one first.
    """
    downloading = build.began + stage / 4
    changes = [Change(build.began, PENDING), Change(downloading, DOWNLOADING), Change(downloading + stage, EXTRACTING)]
    for count, status in enumerate(_final_states(build), start=2):
        changes.append(Change(downloading + count * stage, status))
    for release in build.releases:
        start = release + stage / 4
        changes = [change for change in changes if change.at <= start]
        changes += [Change(start, DISTRIBUTE), Change(start + stage, APPROVED)]
    return changes


def status_at(build: Build, stage: float, now: float) -> str:
    """Return the build's status at `now`, in the service's spelling."""
    past = [change.status for change in timeline(build, stage) if change.at <= now]
    return past[-1] if past else PENDING


def iso_time(seconds: float) -> str:
    """Format Unix seconds as the service does: ISO 8601, milliseconds, `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _final_states(build: Build) -> tuple[str, ...]:
    if build.rejected:
        return (REJECT,)
    return (SAVING, DISTRIBUTE, APPROVED) if build.auto_release else (SAVING, APPROVED)
