"""Questions on a terminal, and what arrives on standard input."""

import re
import select
import sys
from threading import Thread
from typing import TYPE_CHECKING, TextIO

from spcli.errors import Interrupted, SpcliError
from spcli.output.stream import Stream

if TYPE_CHECKING:
    from queue import SimpleQueue

_MOST = 64 * 1024
_SLICE = 0.5
_KEY_SLICE = 0.05
_CTRL_C = "\x03"
_END_OF_LINE = ("\r", "\n", "\x1a", "\x04")
_FUNCTION_KEY = ("\x00", "\xe0")  # the first half of an arrow or function key on Windows; it never comes alone
# What arrow and function keys send on POSIX: CSI and SS3 sequences.
_KEY_SEQUENCE = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])?"


class Prompt:
    """stdin, and the stream for questions: stderr, because stdout is for data."""

    def __init__(self, stdin: TextIO | None, questions: Stream) -> None:
        self._stdin = stdin
        self._questions = questions

    @property
    def is_possible(self) -> bool:
        """Return whether both ends are terminals."""
        stdin = self._stdin
        is_terminal = stdin is not None and not stdin.closed and stdin.isatty()
        return is_terminal and self._questions.is_terminal and not self._questions.is_closed

    def ask_line(self, question: str) -> str:
        """Return the answer without its line end; "" at the end of input, or if it isn't text. A new line follows it."""
        answer = ""
        try:
            answer = self._ask(question)
        finally:
            # Ctrl-C and Ctrl-D end the answer, but not its line.
            if not answer.endswith("\n"):
                self._questions.write("\n")
        return strip_keys(answer)

    def _ask(self, question: str) -> str:
        self._questions.write(question)
        try:
            return "" if self._stdin is None else self._read_line(self._stdin)
        except UnicodeDecodeError:
            return ""

    def _read_line(self, stdin: TextIO) -> str:
        if sys.platform != "win32":
            # A Ctrl-C right before a system call is handled only after it, and a read may last for ever: wait in slices.
            while not select.select([stdin], [], [], _SLICE)[0]:
                pass
        return stdin.readline()

    def ask_hidden(self, question: str) -> str:
        """Return the answer without its line end, not echoed."""
        return strip_keys(self._read_console_keys(question) if sys.platform == "win32" else self._ask_without_echo(question))

    def _read_console_keys(self, question: str) -> str:
        """Return a line of the Windows console. Not the standard getpass: it takes the two halves of an arrow key for text."""
        from queue import Empty, SimpleQueue

        keys: SimpleQueue[str] = SimpleQueue()
        answer = ""
        self._questions.write(question)
        try:
            # In a thread, because a read that waits for a key may hold Ctrl-C back until one is pressed.
            Thread(target=_put_console_keys, args=(keys,), daemon=True).start()
            while True:
                try:
                    key = keys.get(timeout=_KEY_SLICE)
                except Empty:
                    continue
                if key == _CTRL_C:
                    raise Interrupted(130)
                if key in _END_OF_LINE:
                    return answer
                answer = answer[:-1] if key == "\b" else answer + key
        finally:
            self._questions.write("\n")

    def _ask_without_echo(self, question: str) -> str:
        # Not the standard getpass: it opens /dev/tty instead of stdin.
        import termios

        if self._stdin is None:
            return ""
        number = self._stdin.fileno()
        before = termios.tcgetattr(number)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(number, termios.TCSAFLUSH, silent)
        try:
            return self._ask(question)
        finally:
            termios.tcsetattr(number, termios.TCSAFLUSH, before)
            self._questions.write("\n")

    def read_all(self) -> bytes:
        """Return standard input, at most 64 KiB and one byte.

        Raises:
            SpcliError: `usage`, if it is closed or can't be read.
        """
        if self._stdin is None or self._stdin.closed:
            raise SpcliError("usage", "standard input is closed", hint='pipe the key into it: printf %s "$KEY" | spcli …')
        buffer = getattr(self._stdin, "buffer", None)
        try:
            data: bytes = self._stdin.read(_MOST + 1).encode() if buffer is None else buffer.read(_MOST + 1)
        except OSError as error:
            raise SpcliError("usage", f"cannot read standard input: {error.strerror}") from None
        return data


def _put_console_keys(keys: "SimpleQueue[str]") -> None:
    """Put each key of one line into `keys`, with its end or the Ctrl-C that ends it, and without arrow and function keys."""
    if sys.platform == "win32":
        from msvcrt import getwch

        key = ""
        while key != _CTRL_C and key not in _END_OF_LINE:
            key = getwch()
            if key in _FUNCTION_KEY:
                getwch()
                key = ""
            elif key:
                keys.put(key)


def strip_keys(answer: str) -> str:
    """Return a typed line without its end and without what arrow and function keys have added to it."""
    return re.sub(_KEY_SEQUENCE, "", answer.rstrip("\r\n"))
