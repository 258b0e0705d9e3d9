"""What the build list proves about a write whose outcome is unknown.

The service has no idempotency key and warns that a timed-out upload may have happened: look at the project's build list before
sending again (https://docs.streampixel.io, rate limits and errors). An unreadable list proves nothing, and an empty one proves
much: the two are never confused.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from spcli.builds.lifecycle import Match, created_at, match_digest, state_of
from spcli.errors import Refused, SpcliError
from spcli.models import Build
from spcli.ratelimit import window as policy

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime

LOOK = 10.0
LOOKS_FOR_ABSENCE = 3
GRACE = 2.0


class Finding(NamedTuple):
    """`found` (with the build), `absent` (proven), `doubtful` (candidates nobody can tell apart) or `unreadable`."""

    kind: Literal["found", "absent", "doubtful", "unreadable"]
    builds: tuple[Build, ...] = ()


Judge = Callable[["ProjectPage"], Match]
Since = Callable[["ProjectPage"], float | None]


def settle(runtime: "Runtime", project_id: str, judge: Judge, *, age: float = 0.0, had_list: bool = True) -> Finding:
    """Read the build list at 2, 5, 10, 20, 40 and 60 s after the call's end until `judge` finds the build.

    Args:
        age: seconds that have passed since the call ended; a remembered attempt is not waited for again.
        had_list: whether the list could be read before the call; where it could not, a 404 or 405 says that there is none.
    """
    started, good = runtime.clock.mono(), 0
    last: Match | None = None
    for moment in _moments(runtime.settings.scale, age):
        runtime.clock.sleep(started + moment - runtime.clock.mono())
        match = look(runtime, project_id, judge)
        if match == "gone" and not had_list:
            return Finding("unreadable")
        last = match if isinstance(match, Match) else None
        if last is not None:
            good += 1
            if last.kind == "found":
                return Finding(last.kind, last.builds)
    # Only a list that is read at the end shows what has appeared by then.
    if last is None:
        return Finding("unreadable")
    if last.kind == "doubtful":
        return Finding("doubtful", last.builds)
    return Finding("absent" if good >= LOOKS_FOR_ABSENCE else "unreadable")


def _moments(scale: float, age: float) -> list[float]:
    """When to look, in seconds from now. The last three looks are made whatever the age: one good reading is no proof."""
    moments = [moment - age for moment in policy.scaled(policy.SETTLE_READS, scale, GRACE)]
    step = min(1.0, scale)
    late = [max(moment, (index + 1) * step) for index, moment in enumerate(moments[-LOOKS_FOR_ABSENCE:])]
    return [*(moment for moment in moments[:-LOOKS_FOR_ABSENCE] if moment > 0), *late]


def look(runtime: "Runtime", project_id: str, judge: Judge, within: float = LOOK) -> Match | Literal["gone"] | None:
    """One look: what the list says, `None` when it could not be read, `gone` when this service has no such list."""
    page = glance(runtime, project_id, within)
    return judge(page) if page is not None and page != "gone" else page


def glance(runtime: "Runtime", project_id: str, within: float = LOOK) -> "ProjectPage | Literal['gone'] | None":
    """The project with its build list in one attempt; `None` and `gone` as in `look`."""
    try:
        page = runtime.api.glance(project_id, within)
    except Refused as refused:
        return "gone" if refused.status in (404, 405) else None
    except SpcliError:
        return None
    return None if page.builds is None else page


def upload_judge(
    digest: str, bare: str, *, baseline: Collection[str] | None, taken: Collection[str], since: Since | None = None
) -> Judge:
    """Judges lists for an upload: a new build with exactly our URL is ours.

    Args:
        baseline: ids that were there before the call, `None` where the list could not be read then.
        taken: ids recorded for other attempts: never ours.
        since: when the call began, by the clock of the server that sent the list; needed without a baseline: then older builds
            are not ours, and one whose age cannot be told is doubtful.
    """

    def judge(page: "ProjectPage") -> Match:
        match = among(page)
        return Match("doubtful") if page.is_other or (match.kind == "absent" and not page.whole) else match

    def among(page: "ProjectPage") -> Match:
        builds = page.builds or []
        if baseline is not None:
            return match_digest(digest, bare, builds, known={*taken, *baseline})
        start = None if since is None else since(page)
        born = {build.upload_id: created_at(build) if start is not None else None for build in builds}
        older = {upload_id for upload_id, at in born.items() if at is not None and start is not None and at < start}
        match = match_digest(digest, bare, builds, known={*taken, *older})
        if match.kind == "found" and born[match.builds[0].upload_id] is None:
            return Match("doubtful", match.builds)
        return match

    return judge


def release_judge(upload_id: str, before: str | None) -> Judge:
    """Judges lists for a release: the build's state must have left `before` (its word at the baseline, `None` if unknown).

    A build that was being distributed before the call proves nothing, wherever it has come since.
    """

    def judge(page: "ProjectPage") -> Match:
        build = next((build for build in page.builds or () if build.upload_id == upload_id), None)
        state = None if before is None else state_of(before)
        if build is None:
            return Match("doubtful")
        if state == "distributing" or (state is None and build.state != "distributing"):
            return Match("doubtful", (build,))
        return Match("absent") if build.state == state else Match("found", (build,))

    return judge
