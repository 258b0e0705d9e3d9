"""What `webhooks listen --until` waits for. An event is a hint: nothing is signed and none comes twice, so the service is asked
before, while and after listening, wherever it tells a build's status.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from spcli import lookup
from spcli.builds.lifecycle import is_final, state_of
from spcli.builds.local import build_of_event
from spcli.builds.wait import Ended, failure_of
from spcli.errors import SpcliError
from spcli.models import Build, is_id, normalize_id
from spcli.ratelimit import window as policy

if TYPE_CHECKING:
    from spcli.api.client import Api
    from spcli.runtime import Runtime
    from spcli.state.events import Event

ENDING = {"build.approved": "approved", "build.rejected": "rejected"}


class Until:
    """The event to wait for, of one build or of any.

    Args:
        name: the event, such as `build.approved`; a rejection ends the wait as well.
        deadline: seconds, counted from now.
        note: receives a line for people.
    """

    def __init__(
        self, runtime: "Runtime", name: str, upload_id: str | None, *, deadline: float, note: Callable[[str], None]
    ) -> None:
        self._runtime = runtime
        self._name = name
        self._upload_id = upload_id
        self._ends = runtime.clock.mono() + deadline
        self._note = note
        self._event: Event | None = None
        self._build: Build | None = None
        self._over = threading.Event()

    def start(self, stop: Callable[[], None]) -> None:
        """Look at the service now and from time to time, since a delivery that fails is not repeated, and one may have been
        before anybody listened; `stop` is called when the build has ended."""
        if self._upload_id is None or self._name not in ENDING:
            return
        try:
            user_id, key = self._runtime.settings.require_credentials()
        except SpcliError:
            return
        self._runtime.output.secrets.append(key)
        # With connections of its own, and left behind when all is over.
        api = self._runtime.api_for(user_id, key)
        threading.Thread(target=self._reconcile, args=(api, stop), name="spcli-webhook-until", daemon=True).start()

    def hears(self, event: "Event") -> bool:
        """Take an event; whether it ends the wait."""
        if event.event not in (self._name, "build.rejected"):
            return False
        self._event = event
        return True

    def verdict(self) -> None:
        """Say how it ended. Raises `SpcliError`: the verdict of the build, or `deadline`."""
        self._over.set()
        if self._build is None and self._event is None:
            again = f"spcli builds wait {self._upload_id or 'UPLOAD_ID'} asks the service"
            raise SpcliError("deadline", f"{self._name} did not come in time", hint=again)
        build = self._build or self._confirmed(self._event)
        if build is not None and build.state in ENDING.values():
            failure = failure_of([Ended(build, "approved" if build.state == "approved" else "rejected")], build.project_id, None)
            if failure is not None:
                raise failure

    def _reconcile(self, api: "Api", stop: Callable[[], None]) -> None:
        clock, scale = self._runtime.clock, self._runtime.settings.scale
        started = clock.mono()
        while not self._over.is_set():
            build = self._look(api)
            if build is not None and is_final(build.state):
                self._build = build
                self._note(f"the service says {build.status}")
                stop()
                return
            pause = policy.poll_pause(clock.mono() - started, clock.chance(), longest=None, failures=0, scale=scale)
            self._over.wait(pause)

    def _look(self, api: "Api") -> Build | None:
        named = self._runtime.settings.project
        try:
            if named is not None and is_id(named.strip()):
                project_id = normalize_id(named)
            else:
                project_id = lookup.choose_project(api.projects(), named).id
            return self._listed(api, project_id, self._upload_id or "")
        except SpcliError:
            return None

    def _listed(self, api: "Api", project_id: str, upload_id: str) -> Build | None:
        """The build as the service lists it. Raises `SpcliError`; `unreadable` where this service has no list."""
        builds = api.project(project_id).builds
        if builds is None:
            raise SpcliError("unreadable", "this service tells no build's status")
        return next((build for build in builds if build.upload_id == upload_id), None)

    def _confirmed(self, event: "Event | None") -> Build | None:
        """The build of an event, once the service says the same; as the event tells it where the service can't be asked.

        Raises:
            SpcliError: the service's refusal to tell, or what waiting for the build's end raises.
        """
        if event is None or event.event not in ENDING:
            return None
        told = build_of_event(event)
        project_id = self._project_id(event)
        if project_id is None or event.upload_id is None:
            return told
        try:
            found = self._listed(self._runtime.api, project_id, event.upload_id)
        except SpcliError as failure:
            if not failure.may_pass and failure.kind not in ("config", "unreadable"):
                raise
            if failure.kind != "unreadable":
                self._note(f"the event could not be confirmed: {failure.message}")
            return told
        if found is not None and is_final(found.state):
            return found
        # A forged event, or one that is ahead of the list: the service has the word.
        says = "does not list that build" if found is None else f"says {found.status}"
        self._note(f"the service {says}, the event said {event.status or state_of(event.status)}")
        return self._ended(project_id, event.upload_id)

    def _project_id(self, event: "Event") -> str | None:
        """Where to look for the build: the project in force, not the one that an event names, if there is one."""
        if not self._runtime.settings.user_id:
            return None
        try:
            runtime = self._runtime
            wanted, names = runtime.settings.project, runtime.state.names
            return lookup.find_project_id(wanted, runtime.api, names, runtime.account, runtime.output)
        except SpcliError:
            return event.project_id

    def _ended(self, project_id: str, upload_id: str) -> Build:
        """The build once the service itself says that it is processed, within what is left of the deadline."""
        from spcli.builds import progress as stages

        left = max(0.0, self._ends - self._runtime.clock.mono())
        (ended,) = stages.wait_shown(self._runtime, project_id, (upload_id,), stages.Limits(left))
        failure = failure_of([ended], project_id, None)
        if failure is not None:
            raise failure
        return ended.build
