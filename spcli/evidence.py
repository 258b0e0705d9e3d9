"""What the build list proves about a write whose outcome is unknown.

The service has no idempotency key and warns that a timed-out upload may have happened: look at the project's build list before
sending again (https://docs.streampixel.io, rate limits and errors). An unreadable list proves nothing, and an empty one proves
much: the two are never confused.
"""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Literal, NamedTuple

from spcli import policy
from spcli.errors import Refused, SpcliError
from spcli.lifecycle import Match, created_at, match_digest, state_of
from spcli.models import Build

if TYPE_CHECKING:
    from spcli.api import ProjectPage
    from spcli.runtime import Runtime

LOOK = 10.0
LOOKS_FOR_ABSENCE = 3
GRACE = 2.0


class Finding(NamedTuple):
    """`found` (with the build), `absent` (proven), `doubtful` (candidates nobody can tell apart) or `unreadable`."""

    kind: Literal["found", "absent", "doubtful", "unreadable"]
    builds: tuple[Build, ...] = ()


Judge = Callable[["ProjectPage"], Match]


def settle(runtime: "Runtime", project_id: str, judge: Judge, *, age: float = 0.0) -> Finding:
    """Read the build list at 2, 5, 10, 20, 40 and 60 s after the call's end until `judge` finds the build.

    Args:
        age: seconds that have passed since the call ended; a remembered attempt is not waited for again.
    """
    scale = runtime.settings.scale
    moments = [moment - age for moment in policy.scaled(policy.SETTLE_READS, scale, GRACE)]
    # The last three looks are made whatever the age: one good reading is no proof of absence.
    step = min(1.0, scale)
    plan = [moment for moment in moments[:-LOOKS_FOR_ABSENCE] if moment > 0]
    plan += [max(moment, (index + 1) * step) for index, moment in enumerate(moments[-LOOKS_FOR_ABSENCE:])]
    started, good = runtime.clock.mono(), 0
    last = Match("absent")
    for moment in plan:
        runtime.clock.sleep(started + moment - runtime.clock.mono())
        match = look(runtime, project_id, judge)
        if match == "gone":
            return Finding("unreadable")
        if isinstance(match, Match):
            good, last = good + 1, match
            if match.kind == "found":
                return Finding(match.kind, match.builds)
    if last.kind == "doubtful":
        return Finding("doubtful", last.builds)
    return Finding("absent" if good >= LOOKS_FOR_ABSENCE else "unreadable")


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


def upload_judge(digest: str, bare: str, *, baseline: Collection[str] | None, taken: Collection[str], since: float) -> Judge:
    """Judges lists for an upload.

    Args:
        baseline: ids that were there before the call, `None` where the list could not be read then.
        taken: ids recorded for other attempts: never ours.
        since: Unix seconds by the server's clock at which the call began; without a baseline older builds are not ours.
    """

    def judge(page: "ProjectPage") -> Match:
        builds = page.builds or []
        known = set(taken) | set(baseline or ())
        if baseline is None:
            known |= {build.upload_id for build in builds if (born := created_at(build)) is not None and born < since}
        return match_digest(digest, bare, builds, known=known)

    return judge


def release_judge(upload_id: str, before: str | None) -> Judge:
    """Judges lists for a release: the build's state must have left `before` (its word at the baseline, `None` if unknown)."""

    def judge(page: "ProjectPage") -> Match:
        build = next((build for build in page.builds or () if build.upload_id == upload_id), None)
        if build is None:
            return Match("doubtful")
        if build.state == "distributing" or (before is not None and build.state != state_of(before)):
            return Match("found", (build,))
        return Match("absent" if before is not None else "doubtful", () if before is not None else (build,))

    return judge
