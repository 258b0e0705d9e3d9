"""Writing, below the words: two streams, the live line, secrets, colours, and what a failing stdout means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from spcli.errors import SpcliError
from spcli.output.escape import inert, inert_block, redacted, spellings, without_commands
from spcli.output.progress import LiveLine
from spcli.output.stream import Stream, is_closed_pipe

if TYPE_CHECKING:
    from spcli.models import Secret


class Writer:
    """stdout and stderr, either of which may be `None`.

    Attributes:
        quiet, no_color: as the command line says; may be set at any time.
        secrets: never shown; every text has them replaced.
        write_happened: the build's id (or "") once a write is known to have happened: what then can't be written to stdout is
            `output-lost`, exit 19.
    """

    def __init__(self, stdout: TextIO | None, stderr: TextIO | None, environ: Mapping[str, str]) -> None:
        self.quiet = self.no_color = False
        self.secrets: list[Secret] = []
        self.write_happened: str | None = None
        self._environ = environ
        self._out = Stream(stdout)
        self._err = Stream(stderr)
        self._line = LiveLine(self._err)
        self._reader_gone = False

    @property
    def live(self) -> bool:
        """Whether a line may be drawn over itself: stderr is a terminal that can, and not `--quiet`."""
        return self._err.terminal and not self._err.closed and not self.quiet and self._environ.get("TERM") != "dumb"

    @property
    def columns(self) -> int:
        """Return the width for text on standard output: `COLUMNS`, the terminal's, or 80."""
        return self._screen()

    def without_secrets(self, text: str) -> str:
        """`text` as it may be kept in a file: every secret replaced."""
        return self._redacted(text)

    def draw(self, text: str) -> None:
        """Replace the one live line at the bottom of a terminal; nothing where there is none (see `live`)."""
        if self.live:
            self._safely(lambda: self._line.draw(self._redacted(text), self._screen(live=True)))

    def clear(self) -> None:
        """Take the live line away."""
        self._safely(self._line.clear)

    def assert_stdout(self) -> None:
        """Make sure, before a side effect, that its result can be told.

        Raises:
            SpcliError: `usage`, when stdout is missing or closed.
        """
        if self._out.closed:
            message = "Standard output is closed, so the result could not be shown. Nothing was sent."
            raise SpcliError("usage", message, hint="Send it to a file: spcli … > result.txt", outcome="not_sent")

    def finish(self) -> None:
        """Write what is still buffered; raises as every write to stdout does."""
        self.clear()
        try:
            self._out.flush()
        except OSError as error:
            raise self._lost(error) from None
        self._safely(self._err.flush)

    def fresh_screen(self) -> bool:
        """Clear the screen for what comes next on stdout; whether that is possible, on a terminal that can."""
        if not self._out.terminal or not self._out.paints(self._environ):
            return False
        self._data("\x1b[H\x1b[2J")
        return True

    def _data(self, data: str | bytes) -> None:
        if not data:
            return
        self.clear()
        try:
            if isinstance(data, bytes):
                self._out.write_bytes(data)
            else:
                self._out.write(data)
        except OSError as error:
            raise self._lost(error) from None

    def _lost(self, error: OSError) -> SpcliError:
        gone = is_closed_pipe(error)
        reason = "its reader is gone" if gone else (error.strerror or type(error).__name__)
        if self.write_happened is None:
            self._reader_gone = gone
            return SpcliError("closed-pipe", f"The result could not be written to standard output: {reason}.")
        build = self.write_happened or None
        subject = f"Build {build} was accepted" if build else "The call was accepted"
        return SpcliError(
            "output-lost",
            f"{subject}, but the result could not be written to standard output: {reason}.",
            hint=f"Do not run it again. See spcli builds show {build}" if build else "Do not run it again. See spcli builds",
            outcome="done",
            upload_id=build,
        )

    def _say(self, text: str, style: str = "") -> None:
        text = without_commands(text)
        drawn_text = self._line.text
        self.clear()
        self._safely(lambda: self._err.write(painted(text, style if self._colour(self._err) else "") + "\n"))
        if drawn_text:
            self.draw(drawn_text)

    def _safely(self, write: Callable[[], None]) -> None:
        # A lost message is no reason to stop: the exit code and stdout still tell.
        if not self._err.closed:
            try:
                write()
            except OSError:
                self._line.text = ""

    def _forms(self) -> tuple[str, ...]:
        return tuple(form for secret in self.secrets for form in spellings(secret.reveal()))

    def _redacted(self, text: str) -> str:
        return redacted(text, self._forms())

    def _inert(self, text: str) -> str:
        return inert(self._redacted(text))

    def _inert_lines(self, texts: Sequence[str]) -> str:
        forms = self._forms()
        return without_commands("".join(inert(redacted(text, forms)) + "\n" for text in texts))

    def _shown(self, text: str) -> str:
        return self._out.fit(self._inert(text))

    def _block(self, text: str) -> str:
        return inert_block(self._redacted(text))

    def _is_on(self, name: str) -> bool:
        return self._environ.get(name, "").lower() not in ("", "0", "false")

    def _colour(self, stream: Stream) -> bool:
        if self.no_color or self._environ.get("NO_COLOR"):
            return False
        if self._environ.get("FORCE_COLOR"):
            return True
        return stream.terminal and stream.paints(self._environ)

    def _screen(self, *, live: bool = False) -> int:
        stream = self._err if live else self._out
        told = self._environ.get("COLUMNS", "")
        asked = int(told) if told.isascii() and told.isdigit() and len(told) < 6 else 0
        real = stream.columns() or 80
        # A stale COLUMNS must not make the live line wrap.
        return min(asked or real, real) if live else asked or real


def painted(text: str, style: str) -> str:
    """`text` in an ANSI style (`31` is red); as it is without one."""
    return f"\x1b[{style}m{text}\x1b[0m" if style else text
