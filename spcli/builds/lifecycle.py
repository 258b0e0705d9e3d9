"""Pure: build states, which build is mine, is this verdict fresh.

Sources: https://docs.streampixel.io, build lifecycle and webhook events (spellings, typical times, why a build fails where).
"""

from collections.abc import Collection, Iterable, Sequence
from posixpath import normpath
from typing import Literal, NamedTuple

from spcli.models import Build


class Stage(NamedTuple):
    """One state of a build: our name, the service's word, its usual seconds (at least, at most), what holds a build up there."""

    state: str
    word: str
    usual: tuple[float, float]
    trouble: str


STAGES = (
    Stage("queued", "pending", (0, 5), "the build service is busy; it takes one build of a project at a time"),
    Stage(
        "downloading",
        "Downloading Files",
        (60, 600),
        "a slow host, a link that is not public or leads to a login page, or a cut transfer",
    ),
    Stage("extracting", "Extracting & Scanning", (60, 300), "a very large archive, a damaged one, or one without an executable"),
    Stage("saving", "Saving to Repository", (30, 180), "a storage fault at the service (rare)"),
    Stage(
        "distributing",
        "Distribute",
        (60, 300),
        "streaming servers that cannot be reached, a busy region, or an archived build being fetched",
    ),
)
FINAL = {"approved": "Approved", "rejected": "Reject"}
STATES = (*(stage.state for stage in STAGES), *FINAL, "unknown")
UNUSUAL = 2 * 3600.0

_STATE_OF = {stage.word.casefold(): stage.state for stage in STAGES} | {word.casefold(): state for state, word in FINAL.items()}
_RANK = {state: rank for rank, state in enumerate((*(stage.state for stage in STAGES), "approved", "rejected"))}


def state_of(status: str | None) -> str:
    """Our name for the service's word; a word nobody documented is `unknown`, which means still in progress."""
    return _STATE_OF.get((status or "").strip().casefold(), "unknown")


def is_final(state: str) -> bool:
    """Whether a build in this state will not move by itself any more."""
    return state in FINAL


def stage_of(state: str) -> Stage | None:
    """The stage in progress that `state` names."""
    return next((stage for stage in STAGES if stage.state == state), None)


def newest_first(builds: Iterable[Build]) -> list[Build]:
    """By the time of their creation, then by id: the service promises no order. What tells no time comes last."""
    return sorted(builds, key=lambda build: (created_at(build) or 0.0, build.upload_id), reverse=True)


Freshness = Literal["progress", "approved", "rejected", "unobserved"]


class Watch(NamedTuple):
    """What has been seen of one build while waiting.

    `stale` is true while an `Approved` may be left over from before a release: the service shows the old word until the new
    distribution starts. `grace` is how long it is given to do so.
    """

    stale: bool
    grace: float

    def seen(self, state: str) -> "Watch":
        """The watch after a look: a state other than `approved` proves that the release has begun."""
        return self._replace(stale=False) if state != "approved" else self

    def verdict(self, state: str, elapsed: float) -> Freshness:
        """What `state` means `elapsed` seconds after the release: `unobserved` is an old `Approved` that never moved."""
        if state == "rejected":
            return "rejected"
        if state != "approved":
            return "progress"
        if not self.stale:
            return "approved"
        return "unobserved" if elapsed >= self.grace else "progress"


class Match(NamedTuple):
    """Which build of the list an unclear upload made.

    `found` is the one; `absent` that the list has none; `doubtful` lists candidates that nobody can tell apart.
    """

    kind: Literal["found", "absent", "doubtful"]
    builds: tuple[Build, ...] = ()


def match_digest(digest: str, bare: str, builds: Sequence[Build], *, known: Collection[str]) -> Match:
    """The build that an upload made, among those whose id is not in `known` (the baseline, and ids of other attempts).

    Only a build with exactly our URL, by its fingerprint, is ours. One that matches but for the query, or for how the service
    spells the same place, may be another job's upload of the same file (presigned URLs change on every run); one that shows no
    URL may be anybody's.
    """
    new = [build for build in builds if build.upload_id not in known]
    exact = tuple(build for build in new if build.digest == digest)
    if len(exact) == 1:
        return Match("found", exact)
    place = _place(bare)
    near = exact or tuple(build for build in new if build.file_url is None or _place(build.file_url) == place)
    return Match("doubtful", near) if near else Match("absent")


def _place(bare: str) -> tuple[str, ...]:
    """What a URL without its query names, however it is spelt (RFC 3986, 6.2): case of the host, default port, percents, dots."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(bare)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return (bare,)
    return parts.scheme, host, str(port), normpath("/" + unquote(parts.path).lstrip("/"))


def created_at(build: Build) -> float | None:
    """Unix seconds of the build's creation: its `date` (UTC unless it says otherwise), else the first 8 digits of a 24-hex id."""
    from datetime import UTC, datetime

    try:
        date = datetime.fromisoformat(build.date or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass
    upload_id = build.upload_id.lower()
    is_object_id = len(upload_id) == 24 and all(digit in "0123456789abcdef" for digit in upload_id)
    return float(int(upload_id[:8], 16)) if is_object_id else None


def rank(state: str) -> int:
    """Place in the lifecycle, for events that arrive out of order; an unknown state is before all."""
    return _RANK.get(state, -1)
