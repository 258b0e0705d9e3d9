"""What is known of a project's builds without the service: uploads and releases sent from here, and received webhook events."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.builds.lifecycle import newest_first, state_of
from spcli.builds.live import Sources, unseen_releases
from spcli.errors import SpcliError
from spcli.models import Build, file_name, iso_utc

if TYPE_CHECKING:
    from spcli.api.client import Api
    from spcli.output import Output
    from spcli.state.account import Account
    from spcli.state.events import Event
    from spcli.state.ledger import Attempt
    from spcli.state.store import State

NO_LIST = "The service doesn't provide a build list. Showing builds uploaded from this machine and webhook events received here."
ROWS_READ = 1000
"""Uploads, and releases, that are looked at: the newest ones of the project."""


class LocalHistory(NamedTuple):
    """What this machine recorded of one project of an account."""

    state: "State"
    account: "Account"
    project_id: str

    def list_builds(self) -> list[Build]:
        """Return the builds uploaded from here and those of received events, newest first."""
        uploads = self.state.ledger.find_uploads(self.account, self.project_id, limit=ROWS_READ)
        builds = {attempt.upload_id: build_of_attempt(attempt) for attempt in reversed(uploads) if attempt.upload_id}
        for event in self.state.events.find_events(project_id=self.project_id):
            if event.upload_id:
                builds[event.upload_id] = build_of_event(event)
        return newest_first(builds.values())

    def list_releases(self) -> "list[Attempt]":
        """Return what was released from here, newest first."""
        return self.state.ledger.find_releases(self.account, self.project_id, limit=ROWS_READ)

    def read_sources(self, builds: Sequence[Build], *, is_listed: bool) -> Sources:
        """Return `builds` with every upload and release from here, and every received event: what the live build follows from."""
        rows = [
            *self.state.ledger.find_uploads(self.account, self.project_id, limit=ROWS_READ),
            *self.list_releases(),
            *self.state.ledger.find_open_releases(self.account, self.project_id),
        ]
        attempts = list({attempt.id: attempt for attempt in rows}.values())
        return Sources(builds, is_listed, attempts, self.state.events.find_events(project_id=self.project_id))

    def recent_releases(self, now: float, grace: float) -> dict[str, float]:
        """Return builds released from here less than `grace` seconds ago, with the seconds since: they may show an old state."""
        return unseen_releases(self.list_releases(), now, grace)


class KnownBuilds(NamedTuple):
    """The project's builds, newest first.

    `is_listed`: they are the service's own list. `is_proof`: a build missing from it does not exist.
    """

    builds: list[Build]
    is_listed: bool
    is_proof: bool


def known_builds(api: "Api", history: LocalHistory, output: "Output") -> KnownBuilds:
    """Read the service's build list, or what this machine knows instead; the ids are remembered for completion."""
    page = api.project(history.project_id)
    if page.builds is None:
        output.note(NO_LIST)
        return KnownBuilds(history.list_builds(), False, False)
    uploads = [(build.upload_id, file_name(build.file_url)) for build in page.builds]
    history.state.names.remember_uploads(history.account, uploads)
    return KnownBuilds(page.builds, True, page.whole and bool(page.builds))


def find_build(builds: Sequence[Build], project_id: str, upload_id: str) -> Build:
    """Return the build of that id. Raises `SpcliError` (no-target) if the project has none."""
    build = next((build for build in builds if build.upload_id == upload_id), None)
    if build is None:
        raise SpcliError(
            "no-target",
            f"project {project_id} has no build {upload_id}",
            hint="list its builds with `spcli builds`; choose another project with -p",
        )
    return build


def build_of_attempt(attempt: "Attempt") -> Build:
    """Return the build that an upload from here made."""
    state, date = attempt.state or "unknown", iso_utc(attempt.started)
    return Build(attempt.upload_id or "", attempt.project_id, None, state, attempt.url, date, None, "local")


def build_of_event(event: "Event") -> Build:
    """Return the build as a received event describes it."""
    return Build(
        event.upload_id or "", event.project_id or "", event.status, state_of(event.status), event.file_url, event.timestamp,
        event.objection, "webhook",
    )  # fmt: skip
