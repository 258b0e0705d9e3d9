"""The one moving line at the bottom of a terminal, and what stands in it."""

from spcli.output.escape import inert
from spcli.output.stream import Stream
from spcli.output.table import shortened, width

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ECHO = len("^C")
"""What a terminal writes behind the line at Ctrl-C, before we hear of it."""


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
        """Show `text`, cut to three columns less than the screen has: `^C` fits behind it, and the last would make some wrap."""
        self.text = text
        line = shortened(self._stream.fit(inert(text)), screen - 1 - _ECHO, self._stream.fit("…"))
        size = width(line)
        blank = min(max(0, self._shown - size), max(0, screen - 1 - size))
        self._shown = size
        self._stream.write(f"\r{line}{' ' * blank}")

    def clear(self) -> None:
        """Leave no trace of the line, the cursor at its start."""
        if self._shown:
            self._stream.write("\r" + " " * (self._shown + _ECHO) + "\r")
        self._shown = 0
        self.text = ""
