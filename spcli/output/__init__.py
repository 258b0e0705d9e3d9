"""stdout and stderr: the only writer of the program.

All text is made harmless here: secrets become `****`, control and bidi characters visible, CI workflow commands plain text.
Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TextIO

from spcli import ci
from spcli.errors import EXIT_CODES, SpcliError
from spcli.output.escape import disarm_commands, escape_block, escape_line, truncate
from spcli.output.progress import LiveLine
from spcli.output.prompt import Prompt
from spcli.output.redact import Redactor
from spcli.output.stream import Stream, is_closed_pipe
from spcli.output.table import align, fit_to_screen, fold_words, make_cells, pad, text_width

if TYPE_CHECKING:
    from spcli.models import Secret
    from spcli.output.table import Rows

Line = str | tuple[str, str]

_BOLD, _RED = "1", "31"


class Output:
    """The process's three streams, any of which may be None.

    Attributes:
        json_mode, quiet, verbose, no_color: the common options; may be set at any time.
        redactor: knows the secrets that are never shown.
        write_happened: the build's id (or "") once a write is known to have happened: if its result can't be written to stdout
            after that, the failure is `output-lost`, exit 19.
    """

    def __init__(self, stdin: TextIO | None, stdout: TextIO | None, stderr: TextIO | None, environ: Mapping[str, str]) -> None:
        self.json_mode = self.quiet = self.verbose = self.no_color = False
        self.redactor = Redactor()
        self.write_happened: str | None = None
        self._environ = environ
        self._system = ci.system_of(environ)
        self._out = Stream(stdout, environ)
        self._err = Stream(stderr, environ)
        self._stdin = stdin
        self._line: LiveLine | None = None
        self._reader_gone = False

    @cached_property
    def _prompt(self) -> Prompt:
        return Prompt(self._stdin, self._err)

    @property
    def live(self) -> bool:
        """Return whether a line may be drawn over itself: stderr is a terminal that can, and not `--quiet`."""
        return self._err.can_redraw() and not self.quiet

    @property
    def interactive(self) -> bool:
        """Return whether a person can answer: stdin and stderr are terminals, no CI, no `--json`."""
        return self._prompt.is_possible and not self.json_mode and not ci.is_ci(self._environ)

    @property
    def columns(self) -> int:
        """Return the width for text on stdout: `COLUMNS`, that of the terminal (of stderr before a pager), or 80."""
        return (self._out if self._out.is_terminal else self._err).screen_width()

    # Data, on stdout.

    def result(self, value: object, *, lines: Sequence[Line] = (), bare: str | None = None) -> None:
        """Print one thing: JSON, the bare id (if not "") under `--quiet`, or `lines`, where a pair is a label and its value."""
        if self.json_mode:
            self._write_json(value)
        elif self.quiet and bare is not None:
            self._write_lines([bare] if bare else [])
        else:
            self._write_data(self._label_lines(lines))

    def listing(
        self,
        values: Sequence[object],
        *,
        columns: Sequence[str],
        rows: Rows | Callable[[], Rows],
        bare: Sequence[str],
        empty: str,
    ) -> None:
        """Print many things: a JSON array, the bare ids under `--quiet`, or a table. If there are none, note `empty` on stderr.

        `rows` may be a function: JSON output needs no cells.
        """
        if self.json_mode:
            self._write_json(values)
        elif self.quiet:
            self._write_lines(bare)
        else:
            self._write_table(columns, rows() if callable(rows) else rows, empty)

    def line_object(self, value: object, text: str) -> None:
        """Print one of a stream of things at once, on a line: a compact JSON object, or `text`."""
        if self.json_mode:
            self._write_json(value, indent=None)
        else:
            self._write_lines([text])

    def raw_body(self, body: bytes, data: object, *, is_json: bool) -> None:
        """Print the body of an answer as it came, redacted; on a terminal indented, or as escaped lines.

        `data` is the parsed JSON.
        """
        if self._out.is_terminal and is_json:
            self._write_json(data)
        elif self._out.is_terminal:
            self._write_lines(body.decode("utf-8", "replace").splitlines())
        else:
            from spcli.output.json_text import raw_body

            self._write_data(raw_body(body, self.redactor, is_json=is_json, in_runner=self._system is not None))

    def text(self, text: str) -> None:
        """Print our own text as it is: help, completion scripts. Never text from the network."""
        self._write_data(text if text.endswith("\n") else text + "\n")

    def announce(self, text: str) -> None:
        """Print the id of an accepted write before any waiting: on stdout for people, on stderr with `--json`."""
        if self.quiet:
            return
        if self.json_mode:
            self._write_message(self._safe_block(text))
        else:
            self._write_data(disarm_commands(self._safe_block(text)) + "\n")

    @contextmanager
    def full_screen(self) -> Iterator[bool]:
        """Switch to the terminal's alternate screen for `draw_screen`; yield whether stdout is a terminal that has one.

        What was on the screen before is there again afterwards.
        """
        if self.json_mode or not self._out.understands_colours():
            yield False
            return
        self._write_data("\x1b[?1049h")
        try:
            yield True
        finally:
            self._write_data("\x1b[?1049l")

    def draw_screen(self, lines: Sequence[Line]) -> None:
        """Replace what is on the screen by `lines`, cut to the window's height: nothing scrolls away."""
        texts, rows = self._label_lines(lines).splitlines(), self._out.count_rows()
        if rows is not None and len(texts) > rows:
            texts = [*texts[: rows - 1], f"… {len(texts) - rows + 1} more lines"]
        self._write_data("\x1b[H\x1b[2J" + "\n".join(texts))

    def assert_stdout(self) -> None:
        """Make sure, before a side effect, that its result can be printed.

        Raises:
            SpcliError: `usage`, if stdout is missing or closed.
        """
        if self._out.is_closed:
            message = "standard output is closed, so the result could not be printed; nothing was sent"
            raise SpcliError("usage", message, hint="redirect it to a file: spcli … > result.txt", outcome="not_sent")

    def remember_write(self, upload_id: str) -> None:
        """Remember that a write happened ("" where its id is not known): every later failure reports the outcome `done`."""
        self.write_happened = upload_id

    # Messages, on stderr.

    def note(self, text: str, *, name: str = "note") -> None:
        """Print `note: text`, except under `--quiet`; name `warning` also reaches the CI system."""
        if not self.quiet:
            self._write_message(f"{name}: {self._safe_block(text)}")
            if name == "warning":
                self._report_to_ci("warning", text)

    def status(self, text: str) -> None:
        """Print a line of progress, above a drawn one; not under `--quiet`."""
        if not self.quiet:
            self._write_message(self._safe_block(text))

    def detail(self, text: str) -> None:
        """Print a line with `--verbose` only."""
        if self.verbose and not self.quiet:
            self._write_message(self._safe_block(text))

    def error(self, error: SpcliError) -> None:
        """Print the message, the hint, and with `--json` the error object as the last line.

        Print nothing if the reader closed the pipe.
        """
        self.clear()
        if self._reader_gone and error.kind == "closed-pipe":
            return
        message = error.message if error.message.strip() else next(row.meaning for row in EXIT_CODES if row.name == error.kind)
        self._write_message(self._safe_block(message), _RED)
        if error.hint:
            self._write_message(f"hint: {self._safe_block(error.hint)}")
        self._report_to_ci("error", message)
        if self.json_mode:
            from spcli.output.json_text import error_object

            text = self._format_json(error_object(error, self.redactor), None)
            self._ignore_errors(self._err.write, text)

    def command_line(self, line: str) -> None:
        """Print one line that the CI system must obey; every value in it is escaped by that system's rules (`spcli.ci`)."""
        self.clear()
        self._ignore_errors(self._err.write, self.redactor.redact(line) + "\n")

    def draw(self, text: str) -> None:
        """Replace the live line at the bottom of the terminal; do nothing without one (see `live`)."""
        if self.live:
            line = self._line = self._line or LiveLine(self._err)
            self._ignore_errors(line.draw, self.redactor.redact(text))

    def clear(self) -> None:
        """Remove the live line."""
        if self._line is not None:
            self._ignore_errors(self._line.clear)

    # Questions.

    def confirm(self, question: str) -> bool:
        """Ask for a yes; anything else, the end of input included, is a no.

        Raises:
            SpcliError: `unconfirmed`, if no person can be asked.
        """
        if not self.interactive:
            raise SpcliError("unconfirmed", f"can't ask for confirmation without a terminal: {question}", hint="pass --yes")
        self.clear()
        return self._prompt.ask_line(f"{self._safe_line(question)} [y/N] ").strip().lower() in ("y", "yes")

    def ask(self, label: str, flag: str = "") -> str:
        """Return one line from the terminal, without spaces around it.

        Raises:
            SpcliError: `usage`, if no person can be asked (the hint names `flag`) or nothing is entered.
        """
        self._require_person(label, flag)
        return _require_answer(self._prompt.ask_line(f"{self._safe_line(label)}: ").strip(), label)

    def ask_secret(self, label: str, flag: str = "--key-stdin") -> Secret:
        """Return one line from the terminal that is not shown while it is typed; raises as `ask` does."""
        self._require_person(label, flag)
        from spcli.models import Secret  # not at the top: help does not need the models

        return Secret(_require_answer(self._prompt.ask_hidden(f"{self._safe_line(label)}: "), label))

    def _require_person(self, label: str, flag: str) -> None:
        if not self.interactive:
            hint = f"use {flag}" if flag else None
            raise SpcliError("usage", f"{label} is required, and there is no terminal to ask for it", hint=hint)
        self.clear()

    def read_secret_stdin(self) -> bytes:
        """Return all of standard input, at most 64 KiB and one byte, so that the caller can tell that it is too long.

        Raises:
            SpcliError: `usage`, if there is no standard input.
        """
        return self._prompt.read_all()

    # How it is written.

    def _write_data(self, data: str | bytes) -> None:
        if not data:
            return
        self.clear()
        try:
            if isinstance(data, bytes):
                self._out.write_bytes(data)
            else:
                self._out.write(data)
        except OSError as error:
            raise self._output_lost(error) from None

    def _output_lost(self, error: OSError) -> SpcliError:
        is_gone = is_closed_pipe(error)
        reason = "the reader closed the pipe" if is_gone else (error.strerror or type(error).__name__)
        if self.write_happened is None:
            self._reader_gone = is_gone
            return SpcliError("closed-pipe", f"cannot write the result to standard output: {reason}")
        build = self.write_happened or None
        subject = f"build {build} was accepted" if build else "the call was accepted"
        return SpcliError(
            "output-lost",
            f"{subject}, but its result could not be written to standard output: {reason}",
            hint=f"do not run it again; see spcli builds show {build}" if build else "do not run it again; see spcli builds",
            outcome="done",
            upload_id=build,
        )

    def _write_lines(self, texts: Sequence[str]) -> None:
        self._write_data(disarm_commands("".join(self._safe_line(text) + "\n" for text in texts)))

    def _write_json(self, value: object, *, indent: int | None = 2) -> None:
        self._write_data(self._format_json(value, indent if self._out.is_terminal else None))

    def _format_json(self, value: object, indent: int | None) -> str:
        from spcli.output.json_text import escape_marks, to_json

        text = to_json(value, self.redactor, indent=indent)
        return (text if self._system is None else escape_marks(text)) + "\n"

    def _label_lines(self, lines: Sequence[Line]) -> str:
        labels = [self._out.fit_encoding(self._safe_line(line[0])) + ":" for line in lines if not isinstance(line, str)]
        size = max(map(text_width, labels), default=0)
        texts, rest = [], iter(labels)
        for line in lines:
            if isinstance(line, str):
                texts.append(self._fold(self._out, self._safe_block(line), len(line) - len(line.lstrip()) + 2))
            else:
                value = escape_block(self.redactor.redact(line[1]), " " * (size + 2))
                texts.append(self._fold(self._out, f"{pad(next(rest), size)}  {value}".rstrip(), size + 2))
        return disarm_commands("".join(text + "\n" for text in texts))

    def _write_table(self, columns: Sequence[str], rows: Rows, empty: str) -> None:
        if not rows:
            self.note(empty)
            return
        if not self.redactor.is_clean("\n".join(map("\n".join, rows))):
            rows = [[self.redactor.redact(cell) for cell in row] for row in rows]
        fit = self._out.fit_encoding
        head, *body = make_cells([columns, *rows], len(columns), fit)
        if self._out.is_terminal:
            top, *lines = fit_to_screen(head, body, self._out.screen_width(), fit("…"))
        else:
            top, *lines = align(head, body)
        self._write_data(disarm_commands("\n".join([self._paint(self._out, top, _BOLD), *lines, ""])))

    def _fold(self, stream: Stream, text: str, indent: int) -> str:
        """Return `text` folded between words for a terminal; anything else gets it as it is."""
        if not stream.is_terminal:
            return text
        columns = stream.screen_width()
        return "\n".join(part for line in text.split("\n") for part in fold_words(line, columns, indent))

    def _write_message(self, text: str, style: str = "") -> None:
        label = re.match(r"[a-z]+: +", text)
        text = self._fold(self._err, disarm_commands(text), 0 if label is None else label.end())
        write = self._err.write if self._line is None else self._line.write_above
        self._ignore_errors(write, self._paint(self._err, text, style) + "\n")

    def _report_to_ci(self, level: Literal["error", "warning"], message: str) -> None:
        if self._system is not None:
            self.command_line(ci.problem_line(self._system, level, truncate(self.redactor.redact(message))))

    def _ignore_errors(self, write: Callable[..., None], *text: str) -> None:
        # A lost message is no reason to stop: the exit code and stdout still carry the result.
        try:
            write(*text)
        except OSError:
            self._line = None

    def _safe_line(self, text: str) -> str:
        return escape_line(self.redactor.redact(text))

    def _safe_block(self, text: str) -> str:
        return escape_block(self.redactor.redact(text))

    def _paint(self, stream: Stream, text: str, style: str) -> str:
        """Return `text` in an ANSI style (`31` is red) if `stream` is to have colours."""
        forced = self._environ.get("FORCE_COLOR", "").lower()
        if not style or self.no_color or self._environ.get("NO_COLOR") or forced in ("0", "false"):
            return text
        return f"\x1b[{style}m{text}\x1b[0m" if forced or stream.understands_colours() else text


def _require_answer(text: str, label: str) -> str:
    if not text:
        raise SpcliError("usage", f"{label} is required, and nothing was entered")
    return text
