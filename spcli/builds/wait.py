"""Waiting for builds: poll the build list, or live on received events, until every build has come to an end.

A failed poll is never a verdict. Sources: https://docs.streampixel.io, build lifecycle (states, typical times) and the service's
advice on polling.
"""

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from spcli.builds.lifecycle import Watch, is_final, rank, state_of
from spcli.builds.local import build_of_event
from spcli.errors import Outcome, Refused, SpcliError
from spcli.models import Build, dashboard_url
from spcli.ratelimit import window as policy
from spcli.writes import evidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spcli.runtime import Runtime

UNLISTED = 60.0
HEARTBEAT = 60.0
STALE_GRACE = 180.0
NONE: "Mapping[str, float]" = MappingProxyType({})
Verdict = Literal["approved", "unobserved", "rejected", "deadline", "unreadable", "no-target"]
_WORST_FIRST: tuple[Verdict, ...] = ("rejected", "unreadable", "deadline", "no-target")


class Plan(NamedTuple):
    """What to wait for. `deadline` and `interval` are seconds; `released` are the builds of which a release was just triggered,
    with the seconds since then."""

    project_id: str
    upload_ids: tuple[str, ...]
    deadline: float
    interval: float | None = None
    released: "Mapping[str, float]" = NONE


class Ended(NamedTuple):
    """One build and how waiting for it ended; `trouble` is why its list could not be read, where it never could."""

    build: Build
    verdict: Verdict
    trouble: str | None = None

    @property
    def is_unbegun(self) -> bool:
        """Whether the build still shows the `Approved` from before its release, which is not done then."""
        return self.build.state == "approved" and self.verdict not in ("approved", "unobserved")

    @property
    def state(self) -> str:
        """What later steps of a job are told of the build."""
        return "distributing" if self.is_unbegun else self.build.state


class Audience(Protocol):
    """Who is told while waiting."""

    def looked(self, build: Build, in_state: float, *, is_stale: bool) -> None:
        """The build was seen, `in_state` seconds after it came to its present state; a stale one is from before its release."""

    def ticked(self) -> None:
        """Time passes; called before each pause, and each second on a terminal."""

    def ended(self, one: Ended) -> None:
        """Waiting for this build is over; called once for each."""


def grace(scale: float) -> float:
    """Seconds that a release is given to be seen in the build's state."""
    return max(STALE_GRACE * scale, min(STALE_GRACE, 2.0))


def wait(runtime: "Runtime", plan: Plan, audience: Audience) -> list[Ended]:
    """Wait for all builds of the plan.

    Raises:
        Refused: 401, 403 or 404 from the service end a wait with their own code.
    """
    return _Wait(runtime, plan, audience).run()


class _Wait:
    def __init__(self, runtime: "Runtime", plan: Plan, audience: Audience) -> None:
        self._runtime = runtime
        self._clock = runtime.clock
        self._plan = plan
        self._audience = audience
        self._scale = runtime.settings.scale
        self._started = runtime.clock.mono()
        self._failures = 0
        self._trouble: str | None = None
        self._has_list: bool | None = None
        self._had_event = False
        left = grace(self._scale)
        self._pending = {
            upload_id: _Seen(Watch(upload_id in plan.released, left - plan.released.get(upload_id, 0.0)))
            for upload_id in plan.upload_ids
        }
        self._ended: list[Ended] = []

    def run(self) -> list[Ended]:
        while self._pending:
            # An event may come in during the look, and be newer than what it sees.
            heard = self._newest_events()
            self._look()
            elapsed = self._clock.mono() - self._started
            if not self._pending:
                break
            if elapsed >= self._plan.deadline:
                self._close("unreadable" if self._has_list is False and not self._had_event else "deadline")
                break
            pause = policy.poll_pause(
                elapsed, self._clock.chance(), longest=self._plan.interval, failures=self._failures, scale=self._scale
            )
            self._pause(min(pause, self._plan.deadline - elapsed), heard)
        return self._ended

    def _pause(self, seconds: float, heard: "Mapping[str, int]") -> None:
        """Sleep; in slices where somebody watches the clock, or where an event that was not `heard` may end the wait sooner."""
        until, is_heard = self._clock.mono() + seconds, self._runtime.state.events.is_listener_alive()
        is_sliced = is_heard or self._runtime.output.live
        while (left := until - self._clock.mono()) > 0:
            self._audience.ticked()
            self._clock.sleep(min(left, 1.0 if is_sliced else HEARTBEAT))
            # An event is a hint: it brings the next look forward, and the service's own list has the word.
            if is_heard and any(heard[upload_id] != newest for upload_id, newest in self._newest_events().items()):
                return

    def _newest_events(self) -> dict[str, int]:
        return {upload_id: self._runtime.state.events.newest_event_id(upload_id) for upload_id in self._pending}

    def _look(self) -> None:
        try:
            builds = self._builds()
        except SpcliError as failure:
            if not failure.may_pass:
                raise
            self._failures += 1
            self._trouble = failure.message
            self._runtime.output.detail(f"could not read the build list: {failure.message}")
            return
        self._failures = 0
        self._has_list = builds is not None
        if builds is None:
            self._look_at_events()
        else:
            self._look_at_list(builds)

    def _builds(self) -> list[Build] | None:
        """The build list, in one attempt that the deadline bounds; the next poll is the retry. `None` where there is none.

        A 404 is only believed to mean that if the project list, which is asked once, knows the id.
        """
        now = self._clock.mono()
        left = min(evidence.LOOK * 2, max(self._started + self._plan.deadline - now, 1.0))
        try:
            builds = self._runtime.api.glance(self._plan.project_id, left).builds
        except Refused as refused:
            if refused.status not in (404, 405) or self._has_list is True:
                raise
            if refused.status == 404 and self._has_list is None and not self._is_listed(now + left):
                raise
            return None
        if builds is None and self._has_list is True:
            raise SpcliError("protocol", "the project's page came without its build list")
        return builds

    def _is_listed(self, until: float) -> bool:
        """Whether the project list knows the project."""
        return any(project.id == self._plan.project_id for project in self._runtime.api.projects(until))

    def _look_at_list(self, builds: list[Build]) -> None:
        listed = {build.upload_id: build for build in builds}
        for upload_id in list(self._pending):
            build = listed.get(upload_id)
            if build is not None:
                self._saw(upload_id, build)
            elif self._clock.mono() - self._started >= max(UNLISTED * self._scale, min(UNLISTED, 2.0)):
                self._end(upload_id, self._build(upload_id), "no-target")

    def _look_at_events(self) -> None:
        """Without a list the received events are all there is; with nobody receiving, nothing will ever come."""
        for upload_id in list(self._pending):
            events = self._runtime.state.events.find_events(upload_id=upload_id)
            if events:
                self._had_event = True
                newest = max(events, key=lambda event: (event.timestamp or "", rank(state_of(event.status))))
                self._saw(upload_id, build_of_event(newest))
        if self._pending and not self._runtime.state.events.is_listener_alive():
            self._close("unreadable")

    def _saw(self, upload_id: str, build: Build) -> None:
        seen, now = self._pending[upload_id], self._clock.mono()
        if seen.build is None or build.status != seen.build.status:
            seen.since = now
        seen.build, seen.watch = build, seen.watch.seen(build.state)
        self._audience.looked(build, now - seen.since, is_stale=seen.watch.stale)
        verdict = seen.watch.verdict(build.state, now - self._started)
        if verdict != "progress":
            self._end(upload_id, build, verdict)

    def _build(self, upload_id: str) -> Build:
        """The build as last seen, or as little as its id."""
        return self._pending[upload_id].build or Build(
            upload_id, self._plan.project_id, None, "unknown", None, None, None, "local"
        )

    def _close(self, verdict: Verdict) -> None:
        for upload_id in list(self._pending):
            self._end(upload_id, self._build(upload_id), verdict)

    def _end(self, upload_id: str, build: Build, verdict: Verdict) -> None:
        del self._pending[upload_id]
        ended = Ended(build, verdict, self._trouble if self._has_list is None else None)
        self._ended.append(ended)
        if is_final(build.state) and not ended.is_unbegun:
            self._runtime.state.ledger.record_state(build.upload_id, build.state)
        self._audience.ended(ended)


class _Seen:
    """One build while it is waited for; `since` is when its present state was first seen (`Clock.mono`)."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.build: Build | None = None
        self.since = 0.0


def failure_of(ended: list[Ended], project_id: str, outcome: Outcome | None) -> SpcliError | None:
    """The error that a wait ends with: a rejection counts most, then an unreadable status, a deadline, an unlisted id."""
    for verdict in _WORST_FIRST:
        worst = next((one for one in ended if one.verdict == verdict), None)
        if worst is not None:
            message, hint = _words(worst, project_id)
            return SpcliError(verdict, message, hint=hint, outcome=outcome, upload_id=worst.build.upload_id)
    return None


def _words(ended: Ended, project_id: str) -> tuple[str, str]:
    build, again = ended.build, f"spcli builds wait {ended.build.upload_id}"
    page = dashboard_url(project_id)
    if ended.verdict == "rejected":
        return (
            build.objection or "the build was rejected; no reason given",
            f"mend it and upload it again; `spcli builds show {build.upload_id}` shows this one, as does {page}",
        )
    if ended.trouble is not None:
        return (
            f"the deadline passed before the build's status could be read: {ended.trouble}",
            f"the build goes on; {again} waits on",
        )
    if ended.is_unbegun:
        return "the deadline passed before the release was seen to begin; it goes on", f"{again} waits on"
    if ended.verdict == "deadline":
        return f"the deadline passed while the build was {build.status or 'not yet listed'}; it goes on", f"{again} waits on"
    if ended.verdict == "unreadable":
        return (
            "this service does not tell a build's status",
            f"see {page}, or let `spcli webhooks listen` receive the build's events while you wait",
        )
    return (
        f"the project's build list does not show {build.upload_id}",
        f"is it a build of project {project_id}? `spcli builds` lists them",
    )
