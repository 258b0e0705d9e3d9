"""One standard stream: what it can show, and writing to it without surprises."""

import os
import sys
from collections.abc import Mapping
from io import RawIOBase
from typing import TextIO

# Our own typographic characters, for a terminal or a file that can't hold them.
_LOOK_ALIKES = {
    "⏎": "\\n",
    "…": "...",
    "–": "-",
    "—": "-",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "→": "->",
    "·": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "✓": "+",
    "✗": "x",
    "●": "*",
    "○": "o",
    "■": "=",
    "□": "-",
}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_LOOK_ALIKES |= {frame: "-\\|/"[index % 4] for index, frame in enumerate(_SPINNER)}


class Stream:
    """stdout or stderr; `file` is `None` where the process was started without it."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._table: dict[int, str] | None = None
        self.failed = file is None or file.closed
        self.terminal = not self.failed and file is not None and file.isatty()
        if not self.failed:
            self._prepare()

    def _prepare(self) -> None:
        reconfigure = getattr(self._file, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
        number = self._number()
        # A pipe that a Node.js parent left non-blocking loses what doesn't fit into it at once.
        if number is not None and sys.platform != "win32" and not os.get_blocking(number):
            os.set_blocking(number, True)

    def _number(self) -> int | None:
        try:
            return None if self._file is None else self._file.fileno()
        except (OSError, ValueError, AttributeError):
            return None

    @property
    def closed(self) -> bool:
        """Whether nothing can be written: never opened, closed, or broken by an earlier write."""
        return self.failed or self._file is None or self._file.closed

    def columns(self) -> int | None:
        """The terminal's width; `None` where there is no terminal, or it doesn't tell."""
        number = self._number() if self.terminal else None
        if number is None:
            return None
        try:
            return os.get_terminal_size(number).columns or None
        except OSError:
            return None

    def paints(self, environ: Mapping[str, str]) -> bool:
        """Whether a terminal understands colours: not `TERM=dumb`; on Windows only those that say they do."""
        if environ.get("TERM") == "dumb":
            return False
        if sys.platform == "win32":
            return any(environ.get(name) for name in ("WT_SESSION", "ANSICON", "ConEmuANSI", "TERM"))
        return True

    def fit(self, text: str) -> str:
        """`text` as this stream's encoding can hold it: look-alikes for our own characters, escapes for the rest."""
        if text.isascii():
            return text
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        if self._table is None:
            self._table = {ord(letter): plain for letter, plain in _LOOK_ALIKES.items() if not _can_hold(letter, encoding)}
        return text.translate(self._table).encode(encoding, "backslashreplace").decode(encoding)

    def write(self, text: str) -> None:
        """Write and flush.

        Raises:
            OSError: the stream is gone (`BrokenPipeError`), full or failing. It swallows everything from then on.
        """
        if self._file is None or self.closed:
            raise BrokenPipeError("the stream is closed")
        try:
            self._put(self._file, self.fit(text))
        except OSError:
            self._silence()
            raise

    def _put(self, file: TextIO, text: str) -> None:
        buffer = getattr(file, "buffer", None)
        if not isinstance(buffer, RawIOBase):
            file.write(text)
            file.flush()
            return
        # PYTHONUNBUFFERED, common in containers: Python then takes the first part of a short write for all of it, and exits 0.
        file.flush()
        rest = text.replace("\n", os.linesep).encode(file.encoding, "backslashreplace")
        while rest:
            rest = rest[buffer.write(rest) or 0 :]

    def write_bytes(self, data: bytes) -> None:
        """Write `data` as it is and flush; raises as `write` does."""
        if self._file is None or self.closed:
            raise BrokenPipeError("the stream is closed")
        buffer = getattr(self._file, "buffer", None)
        if buffer is None:
            return self.write(data.decode("utf-8", "replace"))
        try:
            self._file.flush()
            rest = memoryview(data)
            while rest:
                rest = rest[buffer.write(rest) or 0 :]
            buffer.flush()
        except OSError:
            self._silence()
            raise
        return None

    def flush(self) -> None:
        """Write what is buffered; raises as `write` does."""
        if not self.closed:
            self.write("")

    def _silence(self) -> None:
        # What could not be written stays in the buffer, and the interpreter would complain about it again as it leaves.
        self.failed = True
        number = self._number()
        if number is None:
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, number)
        except OSError:
            pass
        finally:
            os.close(nowhere)


def _can_hold(letter: str, encoding: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def is_closed_pipe(error: OSError) -> bool:
    """Whether the reader went away; Windows says so with EINVAL."""
    import errno

    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)
