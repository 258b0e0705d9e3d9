"""Pure: build states, when to poll, which build an upload made, and what an `Approved` after a release means.

Sources: https://docs.streampixel.io, build lifecycle and webhook events (spellings, typical times, why a build fails where).
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from spcli.models import Build, is_id, unix_time


class Stage(NamedTuple):
    """One state of a build: our name, the service's word, its usual seconds (at least, at most), and what can delay it."""

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
        "a slow host, a link that is not public or leads to a login page, or an interrupted transfer",
    ),
    Stage("extracting", "Extracting & Scanning", (60, 300), "a very large or damaged archive, or one without an executable"),
    Stage("saving", "Saving to Repository", (30, 180), "a storage problem at the service (rare)"),
    Stage(
        "distributing",
        "Distribute",
        (60, 300),
        "unreachable streaming servers, a busy region, or an archived build that is being restored",
    ),
)
FINAL = {"approved": "Approved", "rejected": "Reject"}
STATES = (*(stage.state for stage in STAGES), *FINAL, "unknown")
UNUSUAL = 2 * 3600.0

_STATE_OF = {stage.word.casefold(): stage.state for stage in STAGES} | {word.casefold(): state for state, word in FINAL.items()}
_RANK = {state: rank for rank, state in enumerate((*(stage.state for stage in STAGES), "approved", "rejected"))}


def state_of(status: str | None) -> str:
    """Return our name for the service's word; an undocumented word is `unknown`, which counts as in progress."""
    return _STATE_OF.get((status or "").strip().casefold(), "unknown")


def is_final(state: str) -> bool:
    """Return whether a build in this state has finished processing."""
    return state in FINAL


def stage_of(state: str) -> Stage | None:
    """Return the stage that `state` names, or None if it is not one in progress."""
    return next((stage for stage in STAGES if stage.state == state), None)


def newest_first(builds: Iterable[Build]) -> list[Build]:
    """Sort builds by creation time, then by id: the service promises no order. Builds without a time come last."""
    return sorted(builds, key=lambda build: (created_at(build) or 0.0, build.upload_id), reverse=True)


Freshness = Literal["progress", "approved", "rejected", "unobserved"]


class Watch(NamedTuple):
    """A watch over a released build, whose `Approved` may be left over from before the release.

    The service shows the old word until the new distribution starts (`is_stale`), for which it is given `grace` seconds.
    """

    is_stale: bool
    grace: float

    def after_poll(self, state: str) -> "Watch":
        """Return the watch after a poll: a state other than `approved` proves that the release has started."""
        return self._replace(is_stale=False) if state != "approved" else self

    def judge_state(self, state: str, elapsed: float) -> Freshness:
        """Return what `state` means `elapsed` seconds after the release: `unobserved` is an old `Approved` that never changed."""
        if state == "rejected":
            return "rejected"
        if state != "approved":
            return "progress"
        if not self.is_stale:
            return "approved"
        return "unobserved" if elapsed >= self.grace else "progress"


def poll_pause(elapsed: float, chance: float, *, longest: float | None, failures: int, scale: float) -> float:
    """Return the seconds until the next poll of a build.

    5 s in the first minute, 15 s until five minutes, then 30 s, at most `longest`; doubled for each failed poll from the third
    on; up to a tenth of jitter; never under 5 s (the service's own advice). With a quick sandbox, `scale` under 1, it is 0.2 to
    1 s, jitter included.
    """
    step, least = scale * (5.0 if elapsed < 60 * scale else 15.0 if elapsed < 300 * scale else 30.0), 5.0
    if scale < 1:
        step, least = min(max(step, 0.2), 0.9), 0.2
    pause = (step if longest is None else min(step, longest)) * 2.0 ** min(max(failures - 2, 0), 4)
    return max(pause * (0.9 + 0.2 * chance), least)


def created_at(build: Build) -> float | None:
    """Return when the build was created, in Unix seconds: its `date`, else the first 8 digits of a 24-hex id."""
    date = unix_time(build.date)
    return float(int(build.upload_id[:8], 16)) if date is None and is_id(build.upload_id) else date


def stage_rank(state: str) -> int:
    """Return a state's place in the lifecycle, for events that arrive out of order; an unknown state comes first."""
    return _RANK.get(state, -1)
