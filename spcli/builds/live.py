"""Pure: which build is live and which one to roll back to, from the build list, the history and received events.

The service doesn't report the live build (https://docs.streampixel.io, get-project): it is the last one released. Releases from
here are known; a build uploaded elsewhere is assumed to have released itself, as builds do by default.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from spcli.builds.lifecycle import created_at, state_of
from spcli.errors import SpcliError
from spcli.models import Build, unix_time

if TYPE_CHECKING:
    from spcli.state.events import Event
    from spcli.state.ledger import Attempt

_LIVE = ("approved", "distributing")
JUST_AFTER = 0.001
"""Seconds between two events of which only the order is known."""


class ReleaseRecord(NamedTuple):
    """Everything known of a project's builds and releases.

    `builds` is the service's list (`is_listed`) or what this machine knows instead; `attempts` are uploads and releases from
    here that were accepted (phase `done`) or may have been, in any order; `events` are the received webhook events.
    """

    builds: Sequence[Build]
    is_listed: bool
    attempts: Sequence["Attempt"]
    events: Sequence["Event"]


class Release(NamedTuple):
    """A build that went live `at` (Unix seconds).

    `how`: `event` and `upload` may be reported twice; an `assumed` release was not reported at all.
    """

    at: float
    upload_id: str
    how: Literal["release", "rollback", "upload", "event", "assumed"]


class Standing(NamedTuple):
    """A build that was live, or is. `is_known`: it isn't only assumed; `at`: since when (Unix seconds)."""

    upload_id: str
    is_known: bool
    at: float


def list_standings(record: ReleaseRecord) -> list[Standing]:
    """Return the builds that were live one after another, as far as is known, the live one last.

    A rollback removes what it undid, so that a second rollback goes further back and never returns to an undone build.
    """
    standings: list[Standing] = []
    for release in sorted(_list_releases(record)):
        is_known = release.how != "assumed"
        if release.how in ("rollback", "event") and any(one.upload_id == release.upload_id for one in standings):
            while standings[-1].upload_id != release.upload_id:
                standings.pop()
        elif release.how == "rollback" and standings:
            standings.pop()
        if standings and standings[-1].upload_id == release.upload_id:
            is_known = standings.pop().is_known or is_known
        standings.append(Standing(release.upload_id, is_known, release.at))
    return standings


def find_live(record: ReleaseRecord) -> Standing | None:
    """Return the live build, or None if nothing was ever released, as far as is known."""
    standings = list_standings(record)
    return standings[-1] if standings else None


def find_previous(record: ReleaseRecord) -> Standing | None:
    """Return the last approved build that was live before the live one."""
    standings, builds = list_standings(record), _by_id(record.builds)
    for one in reversed(standings[:-1]):
        build = builds.get(one.upload_id)
        is_good = build is not None and (build.state == "approved" or (not record.is_listed and build.state == "unknown"))
        if is_good and one.upload_id != standings[-1].upload_id:
            return one
    return None


def unfinished_rollback(record: ReleaseRecord) -> str | None:
    """Return the target of the last rollback from here if its outcome is unknown and nothing was released since."""
    standing = find_live(record)
    since = standing.at if standing is not None else float("-inf")
    open_ones = [
        (_sent_at(attempt), attempt.upload_id)
        for attempt in record.attempts
        if attempt.action == "rollback" and attempt.phase != "done"
    ]
    at, upload_id = max(open_ones, default=(since, None), key=lambda one: one[0])
    return upload_id if at > since else None


def unseen_releases(attempts: Iterable["Attempt"], now: float, grace: float) -> dict[str, float]:
    """Return builds released from here under `grace` seconds ago and not seen to finish since, with the seconds since then."""
    found: dict[str, float] = {}
    for attempt in attempts:
        age = now - (attempt.ended or attempt.started)
        is_open = attempt.action != "upload" and attempt.phase == "done" and attempt.state is None
        if attempt.upload_id and is_open and 0 <= age < grace:
            found[attempt.upload_id] = min(age, found.get(attempt.upload_id, age))
    return found


def unreleasable_error(build: Build) -> SpcliError:
    """Return the error for the release of a build that is not approved."""
    if build.state == "rejected":
        reason = f". Reason: {build.objection}" if build.objection else ""
        return SpcliError(
            "guard", f"this build was rejected and can't be released{reason}", hint="fix the build and upload it again"
        )
    message = f"this build can't be released yet: it is still at {build.status or build.state}"
    return SpcliError("guard", message, hint=f"wait for it: spcli builds wait {build.upload_id}")


def _by_id(builds: Iterable[Build]) -> Mapping[str, Build]:
    return {build.upload_id: build for build in builds}


def _list_releases(record: ReleaseRecord) -> Iterable[Release]:
    builds, overtaken = _by_id(record.builds), _overtaken(record.attempts)
    yield from _own_releases(record, builds, overtaken)
    for event in record.events:
        is_release = "distributing" in (state_of(event.status), (event.event or "").rpartition(".")[2])
        # Events are not signed: a build that the service does not list was never live.
        is_there = event.upload_id in builds or not record.is_listed
        if event.upload_id and is_release and is_there and not _is_rejected(builds.get(event.upload_id)):
            yield Release(_event_time(event), event.upload_id, "event")
    uploaded_here = {attempt.upload_id for attempt in record.attempts if attempt.action == "upload"}
    for build in record.builds:
        if build.state == "approved" and build.upload_id not in uploaded_here:
            at = max(created_at(build) or 0.0, overtaken.get(build.upload_id, 0.0))
            yield Release(at, build.upload_id, "assumed")


def _overtaken(attempts: Iterable["Attempt"]) -> dict[str, float]:
    """Return builds that were in progress when another one was released, with that time: they release themselves after it."""
    found: dict[str, float] = {}
    for attempt in attempts:
        if attempt.action != "upload" and attempt.phase == "done":
            for upload_id in attempt.baseline or ():
                found[upload_id] = max(_sent_at(attempt) + JUST_AFTER, found.get(upload_id, 0.0))
    return found


def _sent_at(attempt: "Attempt") -> float:
    return attempt.server_wall or attempt.started


def _own_releases(record: ReleaseRecord, builds: Mapping[str, Build], overtaken: Mapping[str, float]) -> Iterable[Release]:
    for attempt in record.attempts:
        upload_id, at = attempt.upload_id or "", _sent_at(attempt)
        build = builds.get(upload_id)
        if not upload_id or _is_rejected(build):
            continue
        if attempt.phase != "done":
            # It may have happened. A rollback is resumed (`unfinished_rollback`), so it changes nothing yet.
            if attempt.action == "distribute":
                yield Release(at, upload_id, "assumed")
        elif attempt.action != "upload":
            yield Release(at, upload_id, "rollback" if attempt.action == "rollback" else "release")
        elif attempt.auto_release and build is not None and build.state in _LIVE:
            yield Release(max(at, overtaken.get(upload_id, 0.0)), upload_id, "upload")
        elif attempt.auto_release and build is not None and build.state == "unknown" and not record.is_listed:
            # Its result is not known.
            yield Release(at, upload_id, "assumed")


def _is_rejected(build: Build | None) -> bool:
    return build is not None and build.state == "rejected"


def _event_time(event: "Event") -> float:
    """Return when an event happened, by the service's clock, or when it was received if it does not say."""
    happened = unix_time(event.timestamp)
    return event.received if happened is None else happened
