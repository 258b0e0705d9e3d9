"""Questions on a terminal, and what comes in on standard input."""

import sys
from typing import TextIO

from spcli.errors import SpcliError
from spcli.output.stream import Stream

_MOST = 64 * 1024
_SLICE = 0.5


class Prompt:
    """stdin, with the stream that questions go to: stderr, as stdout is for data."""

    def __init__(self, stdin: TextIO | None, questions: Stream) -> None:
        self._stdin = stdin
        self._questions = questions

    @property
    def possible(self) -> bool:
        """Whether both ends are terminals."""
        stdin = self._stdin
        return (
            stdin is not None and not stdin.closed and stdin.isatty() and self._questions.terminal and not self._questions.closed
        )

    def line(self, question: str) -> str:
        """The answer with its line end; "" at the end of input, or when it isn't text. What comes next begins a line."""
        answer = ""
        try:
            answer = self._read(question)
        finally:
            # Ctrl-C and Ctrl-D end the answer, and not its line.
            if not answer.endswith("\n"):
                self._questions.write("\n")
        return answer

    def _read(self, question: str) -> str:
        self._questions.write(question)
        try:
            return "" if self._stdin is None else self._typed(self._stdin)
        except UnicodeDecodeError:
            return ""

    def _typed(self, stdin: TextIO) -> str:
        if sys.platform != "win32":
            import select

            # A Ctrl-C that comes just before the system call is only handled after it: not in a read, which may last for ever.
            while not select.select([stdin], [], [], _SLICE)[0]:
                pass
        return stdin.readline()

    def hidden_line(self, question: str) -> str:
        """The answer without its line end, not echoed."""
        if sys.platform == "win32":
            from getpass import getpass

            self._questions.write(question)
            return getpass("")
        return self._without_echo(question)

    def _without_echo(self, question: str) -> str:
        # Not the standard getpass: it opens /dev/tty, whatever stdin is.
        import termios

        if self._stdin is None:
            return ""
        number = self._stdin.fileno()
        before = termios.tcgetattr(number)
        silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(number, termios.TCSAFLUSH, silent)
        try:
            return self._read(question).rstrip("\r\n")
        finally:
            termios.tcsetattr(number, termios.TCSAFLUSH, before)
            self._questions.write("\n")

    def everything(self) -> bytes:
        """Standard input up to 64 KiB and one byte.

        Raises:
            SpcliError: `usage`, when there is none.
        """
        if self._stdin is None or self._stdin.closed:
            raise SpcliError("usage", "Standard input is closed.", hint='Pipe the key into it: printf %s "$KEY" | spcli …')
        buffer = getattr(self._stdin, "buffer", None)
        try:
            data: bytes = self._stdin.read(_MOST + 1).encode() if buffer is None else buffer.read(_MOST + 1)
        except OSError as error:
            raise SpcliError("usage", f"Standard input could not be read: {error.strerror}.") from None
        return data
