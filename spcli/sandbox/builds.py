"""A build's way through the seven states, as a function of what happened to it and the time asked about.

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
# A build of the seeded history went through all its states before the world began.
LONG_AGO = float("-inf")


class Change(NamedTuple):
    """The build enters `status` at `at` (Unix seconds)."""

    at: float
    status: str


class Build:
    """What happened to one build: registered (`began`), perhaps released (`releases`, Unix seconds, in order).

    `created` is the date shown; `told` counts the changes whose webhook event has been handed out.
    """

    __slots__ = ("auto_release", "began", "created", "id", "project_id", "rejected", "releases", "told", "url")

    def __init__(self, upload_id: str, project_id: str, *, url: str, created: float) -> None:
        self.id = upload_id
        self.project_id = project_id
        self.url = url
        self.created = created
        self.began = created
        self.auto_release = True
        self.rejected = False
        self.releases: list[float] = []
        self.told = 0


def timeline(build: Build, stage: float) -> list[Change]:
    """Every change of `build`, past and future, in order; a stage takes `stage` seconds, `pending` a quarter of one.

    A release leaves the old `Approved` standing for a quarter of a stage: the service, too, shows a stale one first.
    """
    downloading = build.began + stage / 4
    changes = [Change(build.began, PENDING), Change(downloading, DOWNLOADING), Change(downloading + stage, EXTRACTING)]
    for count, status in enumerate(_verdict(build), start=2):
        changes.append(Change(downloading + count * stage, status))
    for release in build.releases:
        start = release + stage / 4
        changes = [change for change in changes if change.at <= start]
        changes += [Change(start, DISTRIBUTE), Change(start + stage, APPROVED)]
    return changes


def status_at(build: Build, stage: float, now: float) -> str:
    """The build's status at `now`, in the service's own spelling."""
    past = [change.status for change in timeline(build, stage) if change.at <= now]
    return past[-1] if past else PENDING


def iso(seconds: float) -> str:
    """Unix seconds as the service writes a time: ISO 8601, milliseconds, `Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _verdict(build: Build) -> tuple[str, ...]:
    if build.rejected:
        return (REJECT,)
    return (SAVING, DISTRIBUTE, APPROVED) if build.auto_release else (SAVING, APPROVED)
