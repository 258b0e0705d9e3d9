"""One standard stream: what it can show, and writing to it without surprises."""

import errno
import os
import sys
from collections.abc import Mapping
from io import RawIOBase
from typing import TextIO

from spcli import ci

# The program's own typographic characters, for a terminal or a file that can't hold them.
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
_WIDTH = 80
_VIRTUAL_TERMINAL = 4  # ENABLE_VIRTUAL_TERMINAL_PROCESSING


class Stream:
    """stdout or stderr; `file` is None if the process was started without it."""

    def __init__(self, file: TextIO | None, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ
        self._look_alikes: dict[int, str] | None = None
        self._understands_colours: bool | None = None
        self.failed = file is None or file.closed
        self.is_terminal = not self.failed and file is not None and file.isatty()
        if not self.failed:
            self._prepare()

    def _prepare(self) -> None:
        reconfigure = getattr(self._file, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
            if sys.platform == "win32" and not self.is_terminal and ci.is_ci(self._environ):
                # A pipe there has the ANSI code page; the logs of CI systems are UTF-8.
                reconfigure(encoding="utf-8")
        number = self._descriptor()
        # A pipe that a Node.js parent left non-blocking loses what doesn't fit into it at once.
        if number is not None and sys.platform != "win32" and not os.get_blocking(number):
            os.set_blocking(number, True)

    def _descriptor(self) -> int | None:
        try:
            return None if self._file is None else self._file.fileno()
        except (OSError, ValueError, AttributeError):
            return None

    @property
    def is_closed(self) -> bool:
        """Return whether nothing can be written: never opened, closed, or broken by an earlier write."""
        return self.failed or self._file is None or self._file.closed

    def real_width(self) -> int:
        """Return the terminal's width in columns, or 80 if there is no terminal or it reports none."""
        size = self._read_size()
        return _WIDTH if size is None else size.columns or _WIDTH

    def count_rows(self) -> int | None:
        """Return the terminal's height, or None if there is no terminal or it reports none."""
        size = self._read_size()
        return None if size is None else size.lines or None

    def _read_size(self) -> os.terminal_size | None:
        number = self._descriptor() if self.is_terminal else None
        try:
            return None if number is None else os.get_terminal_size(number)
        except OSError:
            return None

    def screen_width(self) -> int:
        """Return the width for text: `COLUMNS`, or the terminal's."""
        columns = self._environ.get("COLUMNS", "")
        return (int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 6 else 0) or self.real_width()

    def can_redraw(self) -> bool:
        """Return whether this is a terminal that can draw over a line."""
        return self.is_terminal and not self.is_closed and self._environ.get("TERM") != "dumb"

    def understands_colours(self) -> bool:
        """Return whether this is a terminal that obeys escape sequences; on Windows they are switched on first."""
        if self._understands_colours is None:
            self._understands_colours = self.can_redraw()
            if self._understands_colours and sys.platform == "win32":
                self._understands_colours = _enable_escape_sequences(self._descriptor())
        return self._understands_colours

    def fit_encoding(self, text: str) -> str:
        """Return `text` as this stream's encoding can hold it: look-alikes for our own characters, escapes for the others."""
        if text.isascii():
            return text
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        if self._look_alikes is None:
            is_ansi = sys.platform == "win32" and not self.is_terminal and "utf" not in encoding.lower()
            # The reader of a pipe on Windows may expect another code page than the one it is written in: ASCII is safe in all.
            needed = {one: plain for one, plain in _LOOK_ALIKES.items() if is_ansi or not _can_hold(one, encoding)}
            self._look_alikes = {ord(one): plain for one, plain in needed.items()}
        return text.translate(self._look_alikes).encode(encoding, "backslashreplace").decode(encoding)

    def write(self, text: str) -> None:
        """Write `text` and flush.

        Raises:
            OSError: the stream is closed (`BrokenPipeError`), full or failing. It swallows everything from then on.
        """
        if self._file is None or self.is_closed:
            raise BrokenPipeError("the stream is closed")
        try:
            self._write_text(self._file, self.fit_encoding(text))
        except OSError:
            self._silence()
            raise

    def _write_text(self, file: TextIO, text: str) -> None:
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
        if self._file is None or self.is_closed:
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

    def _silence(self) -> None:
        # What could not be written stays in the buffer, and the interpreter would report it again when it exits.
        self.failed = True
        number = self._descriptor()
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
    """Return whether the reader closed the pipe; Windows reports that as EINVAL."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def _enable_escape_sequences(descriptor: int | None) -> bool:
    """Switch on escape sequences in the Windows console that this descriptor writes to; return whether it obeys them."""
    if sys.platform == "win32" and descriptor is not None:
        import ctypes
        import msvcrt

        kernel = ctypes.WinDLL("kernel32")
        handle, mode = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor)), ctypes.c_ulong()
        if kernel.GetConsoleMode(handle, ctypes.byref(mode)):
            wanted = ctypes.c_ulong(mode.value | _VIRTUAL_TERMINAL)
            return wanted.value == mode.value or bool(kernel.SetConsoleMode(handle, wanted))
    return False
