"""Pure: what is live, and which build to go back to, from the build list, the ledger and received events.

The service tells no live build (https://docs.streampixel.io, get-project): it is the last one released. What was released from
here is known; a build that appeared without us is taken to have released itself when it was uploaded, as builds do by default.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from spcli.builds.lifecycle import created_at, state_of
from spcli.errors import SpcliError
from spcli.models import Build

if TYPE_CHECKING:
    from spcli.state.events import Event
    from spcli.state.ledger import Attempt

_LIVE = ("approved", "distributing")
JUST_AFTER = 0.001
"""Seconds by which one of two events comes later, where that is all that is known of their times."""


class Sources(NamedTuple):
    """All that is known of a project's builds and releases.

    `builds` is the service's list (`is_listed`) or what this machine knows instead; `attempts` are the ledger's uploads and
    releases that were accepted (phase `done`) or may have been, in any order; `events` the received webhook events.
    """

    builds: Sequence[Build]
    is_listed: bool
    attempts: Sequence["Attempt"]
    events: Sequence["Event"]


class Release(NamedTuple):
    """A build that went live `at` (Unix seconds). `how`: `event` and `upload` may be told of twice; `assumed` nobody told us."""

    at: float
    upload_id: str
    how: Literal["release", "rollback", "upload", "event", "assumed"]


class Standing(NamedTuple):
    """One build in the pile of those that were live, the last being live. `is_known`: not only assumed; `at`: since when."""

    upload_id: str
    is_known: bool
    at: float


def pile(sources: Sources) -> list[Standing]:
    """The builds that were live one after another, as far as can be known, the live one last.

    A rollback takes away what it undid, so that going back twice goes back further and never to what was left behind.
    """
    found: list[Standing] = []
    for release in sorted(_releases(sources)):
        is_known = release.how != "assumed"
        if release.how in ("rollback", "event") and any(one.upload_id == release.upload_id for one in found):
            while found[-1].upload_id != release.upload_id:
                found.pop()
        elif release.how == "rollback" and found:
            found.pop()
        if found and found[-1].upload_id == release.upload_id:
            is_known = found.pop().is_known or is_known
        found.append(Standing(release.upload_id, is_known, release.at))
    return found


def live(sources: Sources) -> Standing | None:
    """What is live; `None` when nothing was ever released, as far as can be known."""
    found = pile(sources)
    return found[-1] if found else None


def previous(sources: Sources) -> Standing | None:
    """The good build that was live before the live one, ready to be released again."""
    found, builds = pile(sources), _by_id(sources.builds)
    for one in reversed(found[:-1]):
        build = builds.get(one.upload_id)
        is_good = build is not None and (build.state == "approved" or (not sources.is_listed and build.state == "unknown"))
        if is_good and one.upload_id != found[-1].upload_id:
            return one
    return None


def unfinished(sources: Sources) -> str | None:
    """The build that the last rollback from here was to put live, when its outcome is unknown and nothing was released since."""
    found = live(sources)
    since = found.at if found is not None else float("-inf")
    open_ones = [
        (_at(attempt), attempt.upload_id)
        for attempt in sources.attempts
        if attempt.action == "rollback" and attempt.phase != "done"
    ]
    at, upload_id = max(open_ones, default=(since, None), key=lambda one: one[0])
    return upload_id if at > since else None


def unseen_releases(attempts: Iterable["Attempt"], now: float, grace: float) -> dict[str, float]:
    """Builds released from here less than `grace` seconds ago and not seen at their end since, with the seconds since then."""
    found: dict[str, float] = {}
    for attempt in attempts:
        age = now - (attempt.ended or attempt.started)
        is_open = attempt.action != "upload" and attempt.phase == "done" and attempt.state is None
        if attempt.upload_id and is_open and 0 <= age < grace:
            found[attempt.upload_id] = min(age, found.get(attempt.upload_id, age))
    return found


def unfit(build: Build) -> SpcliError:
    """Why a build that is not approved is not released, and what to do about it."""
    mend = "mend it and upload it again" + (f": {build.objection}" if build.objection else "")
    hint = mend if build.state == "rejected" else f"spcli builds wait {build.upload_id}"
    return SpcliError("guard", f"the build is {build.status or build.state}: only an approved build can be released", hint=hint)


def _by_id(builds: Iterable[Build]) -> Mapping[str, Build]:
    return {build.upload_id: build for build in builds}


def _releases(sources: Sources) -> Iterable[Release]:
    builds, overtaken = _by_id(sources.builds), _overtaken(sources.attempts)
    yield from _from_ledger(sources, builds, overtaken)
    for event in sources.events:
        is_release = "distributing" in (state_of(event.status), (event.event or "").rpartition(".")[2])
        # Nothing is signed: a build that the service does not list was never live.
        is_there = event.upload_id in builds or not sources.is_listed
        if event.upload_id and is_release and is_there and not _is_rejected(builds.get(event.upload_id)):
            yield Release(_moment(event), event.upload_id, "event")
    uploaded_here = {attempt.upload_id for attempt in sources.attempts if attempt.action == "upload"}
    for build in sources.builds:
        if build.state == "approved" and build.upload_id not in uploaded_here:
            at = max(created_at(build) or 0.0, overtaken.get(build.upload_id, 0.0))
            yield Release(at, build.upload_id, "assumed")


def _overtaken(attempts: Iterable["Attempt"]) -> dict[str, float]:
    """Builds that were still in progress when another one was released: if they release themselves, then after that moment."""
    found: dict[str, float] = {}
    for attempt in attempts:
        if attempt.action != "upload" and attempt.phase == "done":
            for upload_id in attempt.baseline or ():
                found[upload_id] = max(_at(attempt) + JUST_AFTER, found.get(upload_id, 0.0))
    return found


def _at(attempt: "Attempt") -> float:
    return attempt.server_wall or attempt.started


def _from_ledger(sources: Sources, builds: Mapping[str, Build], overtaken: Mapping[str, float]) -> Iterable[Release]:
    for attempt in sources.attempts:
        upload_id, at = attempt.upload_id or "", _at(attempt)
        build = builds.get(upload_id)
        if not upload_id or _is_rejected(build):
            continue
        if attempt.phase != "done":
            # It may have happened. A rollback is gone on with (`unfinished`), so it changes nothing yet.
            if attempt.action == "distribute":
                yield Release(at, upload_id, "assumed")
        elif attempt.action != "upload":
            yield Release(at, upload_id, "rollback" if attempt.action == "rollback" else "release")
        elif attempt.auto_release and build is not None and build.state in _LIVE:
            yield Release(max(at, overtaken.get(upload_id, 0.0)), upload_id, "upload")
        elif attempt.auto_release and build is not None and build.state == "unknown" and not sources.is_listed:
            # Nobody told us how it ended.
            yield Release(at, upload_id, "assumed")


def _is_rejected(build: Build | None) -> bool:
    return build is not None and build.state == "rejected"


def _moment(event: "Event") -> float:
    """When it happened, by the service's clock; when it came in, where it does not say."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(event.timestamp or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return event.received
