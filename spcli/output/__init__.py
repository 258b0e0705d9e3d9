"""stdout and stderr: the only writer.

Whatever a caller hands over is made inert here: secrets become `****`, control and bidi characters visible, CI workflow
commands harmless. Data goes to stdout, all else to stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TextIO

from spcli.errors import EXIT_CODES, SpcliError
from spcli.output.escape import cut, inert_block, redacted, traces, without_commands
from spcli.output.prompt import Prompt
from spcli.output.table import aligned, cells, fitted, padded, width
from spcli.output.writer import Writer, painted

if TYPE_CHECKING:
    from spcli.models import Secret

Rows = Sequence[Sequence[str]]
Line = str | tuple[str, str]

_RUNNERS = ("GITHUB_ACTIONS", "TF_BUILD", "TEAMCITY_VERSION")  # those that look for `##` marks, in JSON as well
_CI = (*_RUNNERS, "CI", "GITLAB_CI")
_BOLD, _RED = "1", "31"


class Output(Writer):
    """The process's three streams, any of which may be `None`.

    Attributes:
        json_mode, verbose: as the command line says; may be set at any time, like the writer's own.
        problem_line: makes the line by which the CI system that runs us shows an error or a warning beside the step.
    """

    def __init__(self, stdin: TextIO | None, stdout: TextIO | None, stderr: TextIO | None, environ: Mapping[str, str]) -> None:
        super().__init__(stdout, stderr, environ)
        self.json_mode = self.verbose = False
        self.problem_line: Callable[[Literal["error", "warning"], str], str] | None = None
        self._prompt = Prompt(stdin, self._err)

    @property
    def interactive(self) -> bool:
        """Whether somebody is there to answer: stdin and stderr are terminals, no CI, no `--json`."""
        return self._prompt.possible and not self.json_mode and not any(map(self._is_on, _CI))

    def result(self, value: object, *, lines: Sequence[Line] = (), bare: str | None = None) -> None:
        """One thing: a JSON document, the bare id (if not "") under `--quiet`, or `lines`, a pair being a label and its value."""
        if self.json_mode:
            self._document(value)
        elif self.quiet and bare is not None:
            self._data(self._inert_lines([bare] if bare else []))
        else:
            self._data(self._labelled(lines))

    def listing(
        self,
        values: Sequence[object],
        *,
        columns: Sequence[str],
        rows: Rows | Callable[[], Rows],
        bare: Sequence[str],
        empty: str,
    ) -> None:
        """Many things: a JSON array, the bare ids under `--quiet`, or a table; `empty` goes to stderr when there are none.

        `rows` may be a function: JSON doesn't pay for cells.
        """
        if self.json_mode:
            self._document(values)
        elif self.quiet:
            self._data(self._inert_lines(bare))
        else:
            self._table(columns, rows() if callable(rows) else rows, empty)

    def line_object(self, value: object, text: str) -> None:
        """One of a stream of things, written at once: a compact JSON object, or `text`, on a line."""
        if self.json_mode:
            self._document(value, indent=None)
        else:
            self._data(self._inert_lines([text]))

    def body(self, body: bytes, data: object, *, is_json: bool) -> None:
        """An answer's body as it came, but for secrets; on a terminal laid out (`data` is the parsed JSON), or as inert lines."""
        if self._out.terminal and is_json:
            self._document(data)
        elif self._out.terminal:
            self._data(self._inert_lines(body.decode("utf-8", "replace").splitlines()))
        else:
            from spcli.output.json_text import plain_body

            self._data(plain_body(body, self._forms(), is_json=is_json, is_watched=any(map(self._is_on, _RUNNERS))))

    def text(self, text: str) -> None:
        """Our own text, as it is, on stdout: help, completion scripts. Nothing that came over the network."""
        self._data(text if text.endswith("\n") else text + "\n")

    def announce(self, text: str) -> None:
        """The id of an accepted write, before any waiting: on stdout for people, on stderr with `--json`."""
        if self.quiet:
            return
        if self.json_mode:
            self._say(self._block(text))
        else:
            self._data(without_commands(self._block(text)) + "\n")

    def note(self, text: str, *, name: str = "note") -> None:
        """`note: text` on stderr, not under `--quiet`."""
        if not self.quiet:
            self._say(f"{name}: {self._block(text)}")
            if name == "warning":
                self._tell_ci("warning", text)

    def status(self, text: str) -> None:
        """A line of progress on stderr, above a drawn one; not under `--quiet`."""
        if not self.quiet:
            self._say(self._block(text))

    def detail(self, text: str) -> None:
        """A line on stderr with `--verbose` only."""
        if self.verbose and not self.quiet:
            self._say(self._block(text))

    def error(self, error: SpcliError) -> None:
        """The message, the hint, and with `--json` the error object as stderr's last line. A gone reader is no news."""
        self.clear()
        if self._reader_gone and error.kind == "closed-pipe":
            return
        message = error.message if error.message.strip() else _meaning(error.kind)
        self._say(self._block(message), _RED)
        if error.hint:
            self._say(f"hint: {self._block(error.hint)}")
        self._tell_ci("error", message)
        if self.json_mode:
            from spcli.output.json_text import error_object

            self._safely(lambda: self._err.write(self._json(error_object(error, self._forms()), None)))

    def _tell_ci(self, level: Literal["error", "warning"], message: str) -> None:
        if self.problem_line is not None:
            self.command_line(self.problem_line(level, cut(self._redacted(message))))

    def command_line(self, line: str) -> None:
        """One line that the CI system is meant to obey, on stderr; every value in it is escaped by that system's rules (`ci`)."""
        self.clear()
        self._safely(lambda: self._err.write(self._redacted(line) + "\n"))

    def confirm(self, question: str) -> bool:
        """Ask for a yes; anything else, the end of input too, is no.

        Raises:
            SpcliError: `unconfirmed`, when nobody can be asked.
        """
        if not self.interactive:
            raise SpcliError(
                "unconfirmed", f"{question} There is no terminal to ask on.", hint="Add --yes to go ahead without a question."
            )
        self.clear()
        return self._prompt.line(f"{self._inert(question)} [y/N] ").strip().lower() in ("y", "yes")

    def ask(self, label: str, flag: str = "") -> str:
        """One line from the terminal, without spaces around it.

        Raises:
            SpcliError: `usage`, naming `flag`, when nobody can be asked or nothing is entered.
        """
        self._need_terminal(label, flag)
        return self._entered(self._prompt.line(f"{self._inert(label)}: ").strip(), label)

    def ask_secret(self, label: str, flag: str = "--key-stdin") -> Secret:
        """One line from the terminal, not shown while it is typed; raises as `ask` does."""
        from spcli.models import Secret

        self._need_terminal(label, flag)
        return Secret(self._entered(self._prompt.hidden_line(f"{self._inert(label)}: "), label))

    def read_secret_stdin(self) -> bytes:
        """Standard input to its end, as it came; at most 64 KiB and one byte, so that "too long" can be told.

        Raises:
            SpcliError: `usage`, when there is no standard input.
        """
        return self._prompt.everything()

    def local_time(self, iso: str | None) -> str:
        """An ISO 8601 instant as people here read it, `2026-04-30 14:00`; "" for None, any other text as it is."""
        if not iso or len(iso) <= len("2026-04-30"):
            return iso or ""
        from datetime import UTC, datetime

        try:
            instant = datetime.fromisoformat(iso)
            local = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone()
        except (ValueError, OverflowError, OSError):
            return iso
        return local.isoformat(" ", "minutes")[: len("2026-04-30 14:00")]

    def clock_time(self, wall: float) -> str:
        """A Unix time as the time of day here, `14:03:22`."""
        from time import localtime, strftime

        return strftime("%H:%M:%S", localtime(wall))

    def _document(self, value: object, *, indent: int | None = 2) -> None:
        self._data(self._json(value, indent if self._out.terminal else None))

    def _json(self, value: object, indent: int | None) -> str:
        from spcli.output.json_text import document, without_marks

        text = document(value, indent=indent, forms=self._forms())
        return (without_marks(text) if any(map(self._is_on, _RUNNERS)) else text) + "\n"

    def _labelled(self, lines: Sequence[Line]) -> str:
        size = max((width(self._shown(line[0])) + 1 for line in lines if isinstance(line, tuple)), default=0)
        texts = []
        for line in lines:
            if isinstance(line, str):
                texts.append(self._block(line))
            else:
                value = inert_block(self._redacted(line[1]), " " * (size + 2))
                texts.append(f"{padded(self._shown(line[0]) + ':', size)}  {value}".rstrip())
        return without_commands("".join(text + "\n" for text in texts))

    def _table(self, columns: Sequence[str], rows: Rows, empty: str) -> None:
        if not rows:
            self.note(empty)
            return
        head, *body = cells([columns, *self._redacted_rows(rows)], len(columns), self._out.fit)
        is_fitted = self._out.terminal
        top, *lines = fitted(head, body, self._screen(), self._out.fit("…")) if is_fitted else aligned(head, body)
        top = painted(top, _BOLD if self._colour(self._out) else "")
        self._data(without_commands("\n".join([top, *lines, ""])))

    def _redacted_rows(self, rows: Rows) -> Rows:
        forms = self._forms()
        everything = "\n".join(map("\n".join, rows))
        if not any(trace in everything for trace in traces(forms)):
            return rows
        return [[redacted(cell, forms) for cell in row] for row in rows]

    def _need_terminal(self, label: str, flag: str) -> None:
        if not self.interactive:
            hint = f"Use {flag}." if flag else None
            raise SpcliError("usage", f"{label} is needed, and there is no terminal to ask on.", hint=hint)
        self.clear()

    def _entered(self, text: str, label: str) -> str:
        if not text:
            raise SpcliError("usage", f"{label} is needed, and nothing was entered.")
        return text


def _meaning(kind: str) -> str:
    return next(row.meaning for row in EXIT_CODES if row.name == kind)
