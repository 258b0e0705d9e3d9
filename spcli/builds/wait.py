"""Wait for builds: poll the build list, or rely on received events, until every build has ended.

A failed poll is never a result. Sources: https://docs.streampixel.io, build lifecycle (states, usual times) and the service's
advice on polling.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from spcli.builds.lifecycle import Watch, is_final, poll_pause
from spcli.builds.live import list_standings
from spcli.builds.local import LocalHistory, find_listed
from spcli.builds.progress import HEARTBEAT, MAY_BE_OLD, Progress
from spcli.errors import Outcome, Refused, SpcliError
from spcli.models import Build, dashboard_url, share_url

if TYPE_CHECKING:
    from spcli.api.client import Api
    from spcli.clock import Clock
    from spcli.output import Output

DEADLINE = 2 * 3600.0
POLL_TIMEOUT = 20.0
UNLISTED = 60.0
"""Seconds that a build is given to appear in the list."""
STALE_GRACE = 180.0
Result = Literal["approved", "unobserved", "rejected", "deadline", "unreadable", "no-target"]
LiveRank = Literal["live", "earlier", "never"]
"""Whether viewers get a build now, got it earlier, or never did, as far as is known."""
_WORST_FIRST: tuple[Result, ...] = ("rejected", "unreadable", "deadline", "no-target")


class WaitTarget(NamedTuple):
    """The builds to wait for; `released` are those just released, with the seconds since: they may show an old state."""

    upload_ids: tuple[str, ...]
    released: Mapping[str, float] = MappingProxyType({})


class WaitLimits(NamedTuple):
    """How long to wait (None: two hours), and the longest pause between polls (None: the usual one), in seconds."""

    deadline: float | None = None
    interval: float | None = None


class Ended(NamedTuple):
    """One build and how waiting for it ended; `trouble` is why its list could never be read."""

    build: Build
    result: Result
    trouble: str | None = None

    @property
    def is_unreleased(self) -> bool:
        """Return whether the build still shows the `Approved` from before its release; the release is not over then."""
        return self.build.state == "approved" and not self.is_good

    @property
    def is_good(self) -> bool:
        """Return whether the build is processed, and released or releasable."""
        return self.result in ("approved", "unobserved")

    @property
    def state(self) -> str:
        """Return the build's state for later steps of a CI job."""
        return "distributing" if self.is_unreleased else self.build.state


def release_grace(scale: float) -> float:
    """Return the seconds that a release is given to show in the build's state."""
    return max(STALE_GRACE * scale, min(STALE_GRACE, 2.0))


class BuildWait:
    """One wait for builds, which shows its progress.

    `ended` are the builds that have ended so far. `scale` is 1, or less with a quick sandbox.
    """

    def __init__(
        self,
        api: "Api",
        history: LocalHistory,
        clock: "Clock",
        output: "Output",
        target: WaitTarget,
        limits: WaitLimits,
        scale: float,
    ) -> None:
        self._api = api
        self._history = history
        self._clock = clock
        self._output = output
        self._deadline = DEADLINE if limits.deadline is None else limits.deadline
        self._interval = limits.interval
        self._scale = scale
        self._progress = Progress(output, clock, scale, is_several=len(target.upload_ids) > 1)
        self._started = clock.mono()
        self._failures = 0
        self._trouble: str | None = None
        self._has_list: bool | None = None
        self._listed: list[Build] = []
        self._had_event = False
        grace = release_grace(scale)
        self._pending = {
            upload_id: _Pending(Watch(upload_id in target.released, grace - target.released.get(upload_id, 0.0)))
            for upload_id in target.upload_ids
        }
        self.ended: list[Ended] = []

    def run(self) -> Iterator[Ended]:
        """Wait until every build has ended, and yield each one as it ends.

        Raises:
            Refused: the service answered a poll with 401, 403 or 404.
        """
        count = 0
        try:
            while self._pending:
                # Read before the poll: an event that arrives during it may be newer than the answer.
                newest = self._newest_events()
                self._poll()
                elapsed = self._clock.mono() - self._started
                if self._pending and elapsed >= self._deadline:
                    self._end_all("unreadable" if self._has_list is False and not self._had_event else "deadline")
                yield from self.ended[count:]
                count = len(self.ended)
                if self._pending:
                    self._pause(elapsed, newest)
        finally:
            self._output.clear()

    def results(self) -> list[Ended]:
        """Return the builds that have ended, and those still pending that were seen as if the deadline had passed now."""
        return [*self.ended, *(Ended(one.build, "deadline") for one in self._pending.values() if one.build is not None)]

    def pending_ids(self) -> list[str]:
        """Return the ids of the builds that have not ended."""
        return list(self._pending)

    def live_rank(self, upload_id: str) -> LiveRank:
        """Return whether a build is the live one, was live earlier, or never was, as far as is known."""
        builds = self._listed if self._has_list else self._history.list_builds()
        standings = list_standings(self._history.release_record(builds, is_listed=bool(self._has_list)))
        if standings and standings[-1].upload_id == upload_id:
            return "live"
        return "earlier" if any(one.upload_id == upload_id for one in standings) else "never"

    def _pause(self, elapsed: float, newest: Mapping[str, int]) -> None:
        """Sleep until the next poll; an event that is not among the `newest` ones ends the pause early."""
        pause = poll_pause(elapsed, self._clock.chance(), longest=self._interval, failures=self._failures, scale=self._scale)
        until = self._clock.mono() + min(pause, self._deadline - elapsed)
        is_listening = self._history.state.events.is_listener_alive()
        step = 1.0 if is_listening or self._output.live else HEARTBEAT
        while (left := until - self._clock.mono()) > 0:
            self._progress.show_time()
            self._clock.sleep(min(left, step))
            # An event is only a hint: it triggers the next poll, and the service's own list decides.
            if is_listening and self._newest_events() != newest:
                return

    def _newest_events(self) -> dict[str, int]:
        return {upload_id: self._history.state.events.newest_event_id(upload_id) for upload_id in self._pending}

    def _poll(self) -> None:
        try:
            builds = self._read_list()
        except SpcliError as failure:
            if not failure.may_pass:
                raise
            self._failures += 1
            self._trouble = failure.message
            self._output.detail(f"could not read the build list: {failure.message}")
            return
        self._failures = 0
        self._has_list = builds is not None
        if builds is None:
            self._check_events()
        else:
            self._check_list(builds)

    def _read_list(self) -> list[Build] | None:
        """Read the build list in one attempt within the deadline (the next poll is the retry); None if the service has none.

        A 404 means that there is no list only if the project list, which is read once, contains the project.
        """
        project_id, now = self._history.project_id, self._clock.mono()
        left = min(POLL_TIMEOUT, max(self._started + self._deadline - now, 1.0))
        try:
            builds = self._api.glance_project(project_id, left).builds
        except Refused as refused:
            if refused.status not in (404, 405) or self._has_list is True:
                raise
            is_unsure = refused.status == 404 and self._has_list is None
            if is_unsure and all(project.id != project_id for project in self._api.read_projects(now + left)):
                raise
            return None
        if builds is None and self._has_list is True:
            raise SpcliError("protocol", "the project's page came without its build list")
        return builds

    def _check_list(self, builds: list[Build]) -> None:
        self._listed = builds
        for upload_id in list(self._pending):
            build = find_listed(builds, upload_id)
            if build is not None:
                self._update(upload_id, build)
            elif self._clock.mono() - self._started >= max(UNLISTED * self._scale, min(UNLISTED, 2.0)):
                self._end(upload_id, "no-target")

    def _check_events(self) -> None:
        """Check the received events, where there is no list; without a listener none will come."""
        for upload_id in list(self._pending):
            if self._history.state.events.newest_event_id(upload_id):
                self._had_event = True
                self._update(upload_id, self._history.find_build(upload_id))
        if self._pending and not self._history.state.events.is_listener_alive():
            self._end_all("unreadable")

    def _update(self, upload_id: str, build: Build) -> None:
        pending, now = self._pending[upload_id], self._clock.mono()
        if pending.build is None or build.status != pending.build.status:
            pending.since = now
        pending.build, pending.watch = build, pending.watch.after_poll(build.state)
        self._progress.show_build(build, now - pending.since, is_stale=pending.watch.is_stale)
        result = pending.watch.judge_state(build.state, now - self._started)
        if result != "progress":
            self._end(upload_id, result)

    def _end_all(self, result: Result) -> None:
        for upload_id in list(self._pending):
            self._end(upload_id, result)

    def _end(self, upload_id: str, result: Result) -> None:
        seen = self._pending.pop(upload_id).build
        build = seen or self._history.find_build(upload_id)._replace(status=None, state="unknown")
        ended = Ended(build, result, self._trouble if self._has_list is None else None)
        self.ended.append(ended)
        if is_final(build.state) and not ended.is_unreleased:
            self._history.state.ledger.record_state(build.upload_id, build.state)
        self._progress.remove_build(build.upload_id)
        if result == "unobserved":
            self._output.note("the build stayed at Approved: the release was accepted, but its completion was not observed")


class _Pending:
    """One build that is waited for; `since` is when its present state was first seen (`Clock.mono`)."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.build: Build | None = None
        self.since = 0.0


def deciding_build(results: Sequence[Ended]) -> Ended | None:
    """Return the build that decides how a wait ends, the worst one; None if no build is known."""
    for result in _WORST_FIRST:
        worst = next((one for one in results if one.result == result), None)
        if worst is not None:
            return worst
    return results[-1] if results else None


def wait_failure(results: Sequence[Ended], project_id: str, outcome: Outcome | None) -> SpcliError | None:
    """Return the error that a wait ends with: a rejection counts most, then an unreadable status, a deadline, an unknown id."""
    worst = deciding_build(results)
    if worst is None or worst.is_good:
        return None
    message, hint = _failure_words(worst, project_id)
    return SpcliError(worst.result, message, hint=hint, outcome=outcome, upload_id=worst.build.upload_id)


def _failure_words(ended: Ended, project_id: str) -> tuple[str, str]:
    """Return the message and the hint for a build that did not end well."""
    build, page = ended.build, dashboard_url(project_id)
    resume = f"resume: spcli builds wait {build.upload_id}"
    if ended.result == "rejected":
        message = build.objection or "the build was rejected; the service gave no reason"
        return message, f"fix the build and upload it again. Details: spcli builds show {build.upload_id}, or {page}"
    if ended.trouble is not None:
        return f"deadline reached; the build's status could not be read: {ended.trouble}", resume
    if ended.is_unreleased:
        return "deadline reached; the release was not seen to start", resume
    if ended.result == "deadline":
        position = f"still at {build.status}" if build.status else "not listed yet"
        return f"deadline reached; the build is {position}", resume
    if ended.result == "unreadable":
        return "the service doesn't report build status", f"see {page}, or run `spcli webhooks listen` while you wait"
    return (
        f"the build list of project {project_id} doesn't show {build.upload_id}",
        "list the project's builds with `spcli builds`; choose another project with -p",
    )


def result_lines(ended: Ended, rank: LiveRank) -> list[str | tuple[str, str]]:
    """Return what people read at the end of a wait: the result, and the page for viewers or how to put the build there."""
    build = ended.build
    status = f"{build.status} ({MAY_BE_OLD})" if ended.is_unreleased else build.status
    lines: list[str | tuple[str, str]] = [("status", status or "unknown")]
    if build.objection:
        lines.append(("objection", build.objection))
    if ended.is_good and rank == "live":
        lines.append(("share", share_url(build.project_id)))
    elif ended.is_good:
        lines.append(f"Not live{' yet' if rank == 'never' else ''}. Release it: spcli distribute {build.upload_id}")
    return lines
