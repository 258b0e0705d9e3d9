"""What the operator sees while a build is processed: the stages as a line that fills, and what holds it up.

Typical times and causes: https://docs.streampixel.io, build lifecycle.
"""

from typing import TYPE_CHECKING, NamedTuple

from spcli.builds import wait as waiting
from spcli.builds.lifecycle import STAGES, UNUSUAL, is_final, stage_of
from spcli.errors import SpcliError
from spcli.models import SUPPORT, Build, share_url
from spcli.output.progress import spinner, stage_bar
from spcli.output.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spcli.runtime import Runtime

DEADLINE = 2 * 3600.0


class Limits(NamedTuple):
    """How long to wait for a build and how often to look, in seconds; `None` for the usual."""

    deadline: float | None = None
    interval: float | None = None


def asked(wait: bool, deadline: float | None, interval: float | None) -> Limits | None:
    """The waiting that the options ask for. Raises `SpcliError` (usage) for options of a wait that is not asked for."""
    if wait:
        return Limits(deadline, interval)
    if deadline is not None or interval is not None:
        raise SpcliError("usage", "--deadline and --interval need --wait", hint="add --wait, or leave them out")
    return None


def announce(runtime: "Runtime", upload_id: str) -> None:
    """The id of an accepted write, at once: whatever happens to the wait, it is not lost."""
    output = runtime.output
    if output.quiet and not output.json_mode:
        output.result(None, bare=upload_id)
    else:
        output.announce(f"upload id: {upload_id}")


def wait_shown(
    runtime: "Runtime",
    project_id: str,
    upload_ids: tuple[str, ...],
    limits: Limits,
    *,
    released: "Mapping[str, float]" = waiting.NONE,
    on_end: "Callable[[Runtime, waiting.Ended], None] | None" = None,
) -> list[waiting.Ended]:
    """`waiting.wait` with the progress shown, and `on_end` called for each build as it ends; `released` as in its plan."""
    deadline = DEADLINE if limits.deadline is None else limits.deadline
    plan = waiting.Plan(project_id, upload_ids, deadline, limits.interval, released)
    try:
        return waiting.wait(runtime, plan, _Shown(runtime, len(upload_ids) > 1, on_end))
    finally:
        runtime.output.clear()


class _Shown:
    """One line for each change and a heartbeat; on a terminal one line that moves. Each hint is given once."""

    def __init__(self, runtime: "Runtime", several: bool, on_end: "Callable[[Runtime, waiting.Ended], None] | None") -> None:
        self._runtime = runtime
        self._output = runtime.output
        self._clock = runtime.clock
        self._scale = runtime.settings.scale
        self._several = several
        self._on_end = on_end
        self._started = self._told_at = runtime.clock.mono()
        self._where: dict[str, str] = {}
        self._hinted: set[tuple[str, str]] = set()

    def looked(self, build: Build, in_state: float, *, is_stale: bool) -> None:
        """Remember where the build stands, and tell it when it has moved."""
        where = f"{build.status}, perhaps still from before the release" if is_stale else position(build, self._scale)
        line = (f"{build.upload_id}  " if self._several else "") + where
        if not is_final(build.state):
            for hint in self._hints(build, in_state):
                self._output.note(hint)
        if self._where.get(build.upload_id) != line and not self._output.live:
            self._tell(line)
        self._where[build.upload_id] = line

    def ticked(self) -> None:
        """Redraw the moving line; elsewhere show once a minute that we are still here."""
        line = next(reversed(self._where.values()), "waiting for the build list")
        if self._output.live:
            self._output.draw(f"{spinner(self._clock.mono())} {line} {self._elapsed()}")
        elif self._clock.mono() - self._told_at >= waiting.HEARTBEAT:
            for one in self._where.values() or [line]:
                self._tell(one)

    def ended(self, one: waiting.Ended) -> None:
        """Take the moving line away and hand the result on."""
        self._output.clear()
        self._where.pop(one.build.upload_id, None)
        if one.verdict == "unobserved":
            self._output.note("the build stayed Approved: the release was triggered, but its completion was not observed")
        if self._on_end is not None:
            self._on_end(self._runtime, one)

    def _tell(self, line: str) -> None:
        self._told_at = self._clock.mono()
        self._output.status(f"{line} {self._elapsed()}")

    def _elapsed(self) -> str:
        return f"{duration(int(self._clock.mono() - self._started))} elapsed"

    def _hints(self, build: Build, in_state: float) -> list[str]:
        """What fits a stage that takes longer than usual, and whom to write to after hours; each is told once."""
        stage, hints = stage_of(build.state), []
        if stage is not None and in_state > stage.usual[1] * self._scale and in_state > 1:
            hints.append(f"{stage.word} for {duration(in_state)} (usual: {usual(build.state, self._scale)}): {stage.trouble}")
        if self._clock.mono() - self._started > UNUSUAL * self._scale:
            ids = f"project id {build.project_id} and upload id {build.upload_id}"
            hints.append(f"over two hours is unusual: write to {SUPPORT} with {ids}")
        fresh = [hint for hint in hints if (build.upload_id, hint[:12]) not in self._hinted]
        self._hinted |= {(build.upload_id, hint[:12]) for hint in fresh}
        return fresh


def position(build: Build, scale: float) -> str:
    """The service's word for the build's state, with its place among the stages and how long the stage usually takes."""
    word = build.status or "status unknown"
    names = [stage.state for stage in STAGES]
    if build.state in names:
        return f"{stage_bar(names.index(build.state) + 1, len(names) + 1)} {word} (usual: {usual(build.state, scale)})"
    return f"{stage_bar(len(names) + 1, len(names) + 1)} {word}" if build.state == "approved" else word


def usual(state: str, scale: float) -> str:
    """The documented range of a stage's time, in words."""
    stage = stage_of(state)
    least, most = (0.0, 0.0) if stage is None else stage.usual
    if scale != 1:
        return f"up to {max(most * scale, 0.1):.1f}s here"
    return f"under {duration(most)}" if not least else f"{duration(least)} to {duration(most)}"


def verdict_lines(ended: waiting.Ended) -> list[str | tuple[str, str]]:
    """What people read at the end of a wait: the verdict, and after a success where viewers go."""
    build = ended.build
    status = f"{build.status}, as before: the release was not seen to begin" if ended.is_unbegun else build.status
    lines: list[str | tuple[str, str]] = [("status", status or "unknown")]
    if ended.verdict in ("approved", "unobserved"):
        lines.append(("share", share_url(build.project_id)))
    if build.objection:
        lines.append(("objection", build.objection))
    return lines
