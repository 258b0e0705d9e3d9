"""Wait for the build that `webhooks listen --until` names.

An event is only a hint: it is not signed and is not sent twice. If the service reports build status, spcli polls it
before, while and after listening.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

from spcli import lookup
from spcli.api.client import Api
from spcli.builds.lifecycle import is_final, poll_pause, state_of
from spcli.builds.local import build_of_event, find_listed
from spcli.builds.wait import Ended
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.models import Build
from spcli.state.events import Event

ENDING = {"build.approved": "approved", "build.rejected": "rejected"}
"""The events that end a build, and the state that it is in then."""


class Wanted(NamedTuple):
    """The event to wait for, of one build or of any. `project` is the ID or name in force, if there is one."""

    event: str
    upload_id: str | None
    project: str | None


class Unconfirmed(NamedTuple):
    """A build that an event calls finished and the service does not. The service decides, so it must be waited for."""

    project_id: str
    upload_id: str


class ServiceWatch:
    """A thread that polls the service for the build, because a delivery may be lost, or sent before anyone listens.

    Args:
        api: used by this thread only.
        scale: shortens the pauses against a sandbox.
        note: receives a line for people.
        stop: set once the service reports the end of the build.
    """

    def __init__(
        self, wanted: Wanted, api: Api, *, clock: Clock, scale: float, note: Callable[[str], None], stop: threading.Event
    ) -> None:
        self._wanted = wanted
        self._api = api
        self._clock = clock
        self._scale = scale
        self._note = note
        self._stop = stop
        self._closed = threading.Event()
        self.build: Build | None = None
        threading.Thread(target=self._poll_service, name="spcli-webhook-until", daemon=True).start()

    def close(self) -> None:
        """Stop polling. The thread ends after its current call."""
        self._closed.set()

    def _poll_service(self) -> None:
        started = self._clock.mono()
        while not self._closed.is_set():
            build = self._read_build()
            if build is not None and is_final(build.state):
                self.build = build
                self._note(f"the service reports {build.status}")
                self._stop.set()
                return
            elapsed = self._clock.mono() - started
            self._closed.wait(poll_pause(elapsed, self._clock.chance(), longest=None, failures=0, scale=self._scale))

    def _read_build(self) -> Build | None:
        try:
            return listed_build(self._api, find_project(self._api, self._wanted.project), self._wanted.upload_id or "")
        except SpcliError:
            return None


class UntilEvent:
    """The event that ends the listening, and what the service reports about its build.

    Args:
        api: None without credentials.
        note: receives a line for people.
        stop: set once the event has come.
    """

    def __init__(self, wanted: Wanted, api: Api | None, *, note: Callable[[str], None], stop: threading.Event) -> None:
        self._wanted = wanted
        self._api = api
        self._note = note
        self._stop = stop
        self.event: Event | None = None

    def put(self, event: Event) -> None:
        """End the listening if this is the event, or a rejection."""
        if event.event in (self._wanted.event, "build.rejected"):
            self.event = event
            self._stop.set()

    def confirm(self) -> Ended | Unconfirmed | None:
        """Return how the event's build ended, confirmed by the service if it reports status; None if it is still processing.

        Raises:
            SpcliError: `deadline`, if the event did not come; the service's refusal to report the build.
        """
        event = self.event
        if event is None:
            upload_id = self._wanted.upload_id or "UPLOAD_ID"
            raise SpcliError(
                "deadline",
                f"{self._wanted.event} did not arrive before the deadline",
                hint=f"ask the service instead: spcli builds wait {upload_id}",
            )
        if event.event not in ENDING:
            return None
        build = build_of_event(event)
        if self._api is None or event.upload_id is None:
            return ended_build(build)
        try:
            project_id = self._project_of(event)
            listed = None if project_id is None else listed_build(self._api, project_id, event.upload_id)
        except SpcliError as failure:
            if not failure.may_pass and failure.kind != "unreadable":
                raise
            if failure.kind != "unreadable":
                self._note(f"the event could not be confirmed: {failure.message}")
            return ended_build(build)
        if project_id is None:
            return ended_build(build)
        if listed is not None and is_final(listed.state):
            return ended_build(listed)
        # Either the event is fake, or the build list is behind.
        report = "does not list that build" if listed is None else f"reports {listed.status}"
        self._note(f"the service {report}, but the event reported {event.status or state_of(event.status)}")
        return Unconfirmed(project_id, event.upload_id)

    def _project_of(self, event: Event) -> str | None:
        """Return the project in force, or else the event's: an event must not choose the project."""
        assert self._api is not None
        try:
            return find_project(self._api, self._wanted.project)
        except SpcliError:
            return event.project_id


def ended_build(build: Build) -> Ended | None:
    """Return the end of a build that is approved or rejected, or None for any other."""
    if build.state == "approved":
        return Ended(build, "approved")
    return Ended(build, "rejected") if build.state == "rejected" else None


def find_project(api: Api, project: str | None) -> str:
    """Return the ID of the project in force, or of the account's only one. Raises `SpcliError`."""
    if project is not None and (project_id := lookup.parse_project_id(project)) is not None:
        return project_id
    return lookup.choose_project(api.read_projects(), project).id


def listed_build(api: Api, project_id: str, upload_id: str) -> Build | None:
    """Return the build from the service's list. Raises `SpcliError`; `unreadable` if this service has no list."""
    builds = api.read_project(project_id).builds
    if builds is None:
        raise SpcliError("unreadable", "this service does not report build status")
    return find_listed(builds, upload_id)
