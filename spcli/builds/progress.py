"""Progress of builds while they are processed: the stages as a line that fills, and hints on what may delay a build.

Usual times and causes: https://docs.streampixel.io, build lifecycle.
"""

from typing import TYPE_CHECKING

from spcli.builds.lifecycle import STAGES, UNUSUAL, is_final, stage_of
from spcli.models import SUPPORT, Build
from spcli.output.progress import spinner, stage_bar
from spcli.output.words import duration

if TYPE_CHECKING:
    from spcli.clock import Clock
    from spcli.output import Output

HEARTBEAT = 60.0
MAY_BE_OLD = "may be from before this release"


class Progress:
    """Shows how builds advance: on a terminal in one moving line, elsewhere a line per change and one each minute.

    Each hint is given once for each build.
    """

    def __init__(self, output: "Output", clock: "Clock", scale: float, *, is_several: bool) -> None:
        self._output = output
        self._clock = clock
        self._scale = scale
        self._is_several = is_several
        self._started = self._printed_at = clock.mono()
        self._lines: dict[str, str] = {}
        self._hinted: set[tuple[str, str]] = set()

    def show_build(self, build: Build, seconds_in_state: float, *, is_stale: bool) -> None:
        """Show a build's state if it has changed; a stale state may be from before its release."""
        position = f"{build.status} ({MAY_BE_OLD})" if is_stale else stage_position(build, self._scale)
        line = f"{build.upload_id}  {position}" if self._is_several else position
        if not is_final(build.state):
            self._give_hints(build, seconds_in_state)
        if self._lines.get(build.upload_id) != line and not self._output.live:
            self._print_line(line)
        self._lines[build.upload_id] = line

    def show_time(self) -> None:
        """Redraw the moving line; elsewhere print a heartbeat once a minute."""
        line = next(reversed(self._lines.values()), "waiting for the build list")
        if self._output.live:
            self._output.draw(f"{spinner(self._clock.mono())} {line} {self._elapsed_time()}")
        elif self._clock.mono() - self._printed_at >= HEARTBEAT:
            for one in self._lines.values() or [line]:
                self._print_line(one)

    def remove_build(self, upload_id: str) -> None:
        """Stop showing a build, because waiting for it is over."""
        self._output.clear()
        self._lines.pop(upload_id, None)

    def _print_line(self, line: str) -> None:
        self._printed_at = self._clock.mono()
        self._output.status(f"{line} {self._elapsed_time()}")

    def _elapsed_time(self) -> str:
        return f"{duration(int(self._clock.mono() - self._started))} elapsed"

    def _give_hints(self, build: Build, seconds_in_state: float) -> None:
        stage = stage_of(build.state)
        if stage is not None and seconds_in_state > max(stage.usual[1] * self._scale, 1):
            usual = usual_time(build.state, self._scale)
            hint = f"{stage.word} for {duration(seconds_in_state)} (usually {usual}); possible causes: {stage.trouble}"
            self._give_hint(build.upload_id, build.state, hint)
        if self._clock.mono() - self._started > UNUSUAL * self._scale:
            ids = f"project ID {build.project_id} and upload ID {build.upload_id}"
            self._give_hint(build.upload_id, "support", f"over two hours is unusual; contact {SUPPORT} with {ids}")

    def _give_hint(self, upload_id: str, subject: str, hint: str) -> None:
        if (upload_id, subject) not in self._hinted:
            self._hinted.add((upload_id, subject))
            self._output.note(hint)


def stage_position(build: Build, scale: float) -> str:
    """Return the service's word for the build's state, with its place among the stages and the stage's usual time."""
    word = build.status or "status unknown"
    names = [stage.state for stage in STAGES]
    if build.state in names:
        bar = stage_bar(names.index(build.state) + 1, len(names) + 1)
        return f"{bar} {word} (usually {usual_time(build.state, scale)})"
    return f"{stage_bar(len(names) + 1, len(names) + 1)} {word}" if build.state == "approved" else word


def usual_time(state: str, scale: float) -> str:
    """Return the documented time of a stage in words; a sandbox (`scale` not 1) is quicker."""
    stage = stage_of(state)
    least, most = (0.0, 0.0) if stage is None else stage.usual
    if scale != 1 or not least:
        return f"under {duration(most * scale)}"
    return f"{duration(least)} to {duration(most)}"
