"""The one moving line at the bottom of a terminal, and what stands in it."""

from spcli.output.inert import inert
from spcli.output.stream import Stream
from spcli.output.table import shortened, width

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def spinner(seconds: float) -> str:
    """The spinner's picture `seconds` after its start: ten a second."""
    return _FRAMES[int(seconds * 10) % len(_FRAMES)]


def stage_bar(done: int, total: int) -> str:
    """`done` of `total` stages as `■■■□□`."""
    done = min(max(done, 0), total)
    return "■" * done + "□" * (total - done)


class LiveLine:
    """A line that is drawn over itself: carriage return and spaces, which every terminal understands. It never wraps."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._shown = 0
        self.text = ""

    def draw(self, text: str, screen: int) -> None:
        """Show `text`, cut to one column less than the screen has: the last one would make some terminals wrap."""
        self.text = text
        line = shortened(self._stream.fit(inert(text)), screen - 1, self._stream.fit("…"))
        size = width(line)
        blank = min(max(0, self._shown - size), max(0, screen - 1 - size))
        self._shown = size
        self._stream.write(f"\r{line}{' ' * blank}")

    def clear(self) -> None:
        """Leave no trace of the line, the cursor at its start."""
        if self._shown:
            self._stream.write("\r" + " " * self._shown + "\r")
        self._shown = 0
        self.text = ""
