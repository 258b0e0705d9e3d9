"""The one line at the bottom of a terminal that is drawn over itself, and the pictures in it."""

from spcli.output.escape import escape_line
from spcli.output.stream import Stream
from spcli.output.table import shorten, text_width

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ECHO = len("^C")
"""Columns that a terminal writes behind the line at Ctrl-C, before the program receives the signal."""


def spinner(seconds: float) -> str:
    """Return the spinner's picture `seconds` after its start: ten a second."""
    return _FRAMES[int(seconds * 10) % len(_FRAMES)]


def stage_bar(done: int, total: int) -> str:
    """Return `done` of `total` stages as `■■■□□`."""
    done = min(max(done, 0), total)
    return "■" * done + "□" * (total - done)


class LiveLine:
    """A line that is drawn over itself with a carriage return and spaces, which every terminal understands. It never wraps.

    Not rich's: importing it takes as long as a whole command, and its live display would have to share the stream with the notes.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._width = 0
        self._text = ""

    def draw(self, text: str) -> None:
        """Show `text`, shortened to three columns less than the screen: `^C` fits behind it, and the last one would wrap.

        Raises `OSError` as the stream does.
        """
        self._text = text
        # An outdated COLUMNS must not make the line wrap.
        screen = min(self._stream.screen_width(), self._stream.real_width())
        fit = self._stream.fit_encoding
        line = shorten(fit(escape_line(text)), screen - 1 - _ECHO, fit("…"))
        size = text_width(line)
        blank = min(max(0, self._width - size), max(0, screen - 1 - size))
        self._width = size
        self._stream.write(f"\r{line}{' ' * blank}")

    def clear(self) -> None:
        """Remove the line and leave the cursor at its start."""
        if self._width:
            self._stream.write("\r" + " " * (self._width + _ECHO) + "\r")
        self._width = 0
        self._text = ""

    def write_above(self, text: str) -> None:
        """Write `text` to the stream in place of the line, and draw the line again below it."""
        drawn = self._text
        self.clear()
        self._stream.write(text)
        if drawn:
            self.draw(drawn)
