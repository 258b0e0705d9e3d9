"""A project's builds as this machine knows them: uploads and releases sent from here, and received webhook events."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from spcli.builds.lifecycle import newest_first, stage_rank, state_of
from spcli.builds.live import ReleaseRecord, unseen_releases
from spcli.models import Build, file_name, iso_utc

if TYPE_CHECKING:
    from spcli.api.client import Api
    from spcli.output import Output
    from spcli.state.account import Account
    from spcli.state.events import Event
    from spcli.state.ledger import Attempt
    from spcli.state.store import State

NO_LIST = "the service doesn't provide a build list. Showing builds uploaded from this machine and webhook events received here"
ROWS_READ = 1000
"""Uploads, and releases, that are read: the newest ones of the project."""
RECENT_ROWS = 20
"""Releases that are read to find those of the last minutes."""


class LocalHistory(NamedTuple):
    """What this machine recorded of one project of an account."""

    state: "State"
    account: "Account"
    project_id: str

    def list_builds(self) -> list[Build]:
        """Return the builds uploaded from here and those of received events, newest first."""
        events: dict[str, list[Event]] = {}
        for event in self.state.events.find_events(project_id=self.project_id):
            if event.upload_id:
                events.setdefault(event.upload_id, []).append(event)
        uploads = {attempt.upload_id: attempt for attempt in reversed(self._list_uploads()) if attempt.upload_id}
        ids = dict.fromkeys([*uploads, *events])
        return newest_first(self._merge(one, uploads.get(one), events.get(one, [])) for one in ids)

    def find_build(self, upload_id: str) -> Build:
        """Return one build as its newest event or its upload from here describes it; of an unknown one, only the id."""
        upload = next((attempt for attempt in self._list_uploads() if attempt.upload_id == upload_id), None)
        return self._merge(upload_id, upload, self.state.events.find_events(upload_id=upload_id))

    def _merge(self, upload_id: str, upload: "Attempt | None", events: "Sequence[Event]") -> Build:
        """Return a build as its upload from here and the received events describe it together."""
        state, file_url, date = ("unknown", None, None)
        if upload is not None:
            state, file_url, date = upload.state or state, upload.url, iso_utc(upload.started)
        if not events:
            return Build(upload_id, self.project_id, None, state, file_url, date, None, "local")
        newest = max(events, key=lambda event: (event.timestamp or "", stage_rank(state_of(event.status))))
        build = build_of_event(newest)
        return build._replace(file_url=build.file_url or file_url, project_id=build.project_id or self.project_id)

    def _list_uploads(self) -> "list[Attempt]":
        return self.state.ledger.find_uploads(self.account, self.project_id, limit=ROWS_READ)

    def release_record(self, builds: Sequence[Build], *, is_listed: bool) -> ReleaseRecord:
        """Return `builds` with the uploads and releases from here, and the received events, which together show what is live."""
        rows = [
            *self._list_uploads(),
            *self.state.ledger.find_releases(self.account, self.project_id, limit=ROWS_READ),
            *self.state.ledger.find_open_releases(self.account, self.project_id),
        ]
        attempts = list({attempt.id: attempt for attempt in rows}.values())
        return ReleaseRecord(builds, is_listed, attempts, self.state.events.find_events(project_id=self.project_id))

    def recent_releases(self, now: float, grace: float) -> dict[str, float]:
        """Return builds released from here less than `grace` seconds ago, with the seconds since: they may show an old state."""
        releases = self.state.ledger.find_releases(self.account, self.project_id, limit=RECENT_ROWS)
        return unseen_releases(releases, now, grace)


class KnownBuilds(NamedTuple):
    """The project's builds, newest first.

    `is_listed`: they are the service's own list. `is_proof`: a build missing from it does not exist.
    """

    builds: list[Build]
    is_listed: bool
    is_proof: bool


def known_builds(api: "Api", history: LocalHistory, output: "Output") -> KnownBuilds:
    """Read the service's build list, or what this machine knows instead; the ids are remembered for completion."""
    page = api.read_project(history.project_id)
    if page.builds is None:
        output.note(NO_LIST)
        return KnownBuilds(history.list_builds(), False, False)
    uploads = [(build.upload_id, file_name(build.file_url)) for build in page.builds]
    history.state.names.remember_uploads(history.account, uploads)
    return KnownBuilds(page.builds, True, page.whole and bool(page.builds))


def find_listed(builds: Sequence[Build], upload_id: str) -> Build | None:
    """Return the build of that id, or None if it is not among `builds`."""
    return next((build for build in builds if build.upload_id == upload_id), None)


def build_of_event(event: "Event") -> Build:
    """Return the build as a received event describes it."""
    return Build(
        event.upload_id or "", event.project_id or "", event.status, state_of(event.status), event.file_url, event.timestamp,
        event.objection, "webhook",
    )  # fmt: skip
