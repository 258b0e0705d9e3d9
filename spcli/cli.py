"""The command line: Typer groups from the command table, and `main(argv, runtime)`, which returns the exit code.

How a failure is reported is decided here: `main` turns everything that a command raises into one `SpcliError`.
"""

import ast
import importlib
import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import typer
import typer.core

from spcli import __version__
from spcli.commands import SECTIONS, TABLE, Entry, Group
from spcli.errors import DEFAULT_HINTS, Interrupted, SpcliError
from spcli.output.words import count_of
from spcli.usage import TYPER_ERROR, is_about_value, is_write, split_words, unknown_command, usage_error

if TYPE_CHECKING:
    from spcli.runtime import Runtime

HELP = """Ship Unreal Engine builds to Streampixel.

\b
  spcli demo                                  see it work, without an account
  spcli auth login                            store your credentials
  spcli projects list                         your projects and their IDs
  spcli upload https://host/Game.zip --wait   register a build, wait for it
  spcli distribute UPLOAD_ID                  release it, or another one
"""
EPILOG = """\b
Exit codes:
  0 ok   2 usage   3 config   10 rejected   11 deadline   13 no such target
  40-48 the service refused   49 rate limited   50 the service failed
  60 network, nothing changed   61 outcome unknown   130 interrupted
`spcli exit-codes` lists all. `spcli help` lists topics such as ci and json.
"""


def _show_version(ctx: typer.Context, _param: object, value: bool) -> None:
    if value:
        ctx.obj.output.result({"version": __version__}, lines=[f"spcli {__version__}"])
        ctx.exit()


def _show_help(ctx: typer.Context, _param: object, value: bool) -> None:
    if value:
        ctx.obj.output.text(ctx.get_help())
        ctx.exit()


def _set_output(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
    if value:
        setattr(ctx.obj.output, param.name or "", True)


def _set_profile(ctx: typer.Context, _param: object, value: str | None) -> None:
    if value is not None:
        ctx.obj.profile = value


def _flag(words: Sequence[str], help_text: str, callback: Callable[..., None]) -> typer.core.TyperOption:
    return typer.core.TyperOption(
        param_decls=list(words), is_flag=True, default=False, expose_value=False, is_eager=True, callback=callback, help=help_text
    )


@cache
def common_options() -> list[typer.core.TyperOption]:
    """Return the options that every command takes, before it or after it. They hold no state: all commands share them."""
    profile = typer.core.TyperOption(
        param_decls=["--profile"], type=str, metavar="NAME", expose_value=False, callback=_set_profile, help="Use this profile."
    )
    return [
        _flag(["json_mode", "--json"], "Print one JSON document.", _set_output),
        profile,
        _flag(["-q", "--quiet"], "Print only IDs, and errors.", _set_output),
        _flag(["-v", "--verbose"], "Log requests to standard error, with the key redacted.", _set_output),
        _flag(["--no-color"], "Print without colours.", _set_output),
        _flag(["-h", "--help"], "Show this help and exit.", _show_help),
    ]


class Command(typer.core.TyperCommand):
    """A command that takes the common options and does not repeat surplus words: one of them may be a key."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as Typer does, but count surplus arguments instead of quoting them."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise SurplusError("usage", f"{count_of(len(rest), 'argument')} too many", hint=f"see `{ctx.command_path} --help`")
        ctx.obj.is_parsed = True
        return rest


class SurplusError(SpcliError):
    """More words than the command takes."""


class Commands(typer.core.TyperGroup):
    """A group that knows its commands from the table, and builds one only when it is invoked."""

    table: Mapping[str, Entry | Group] = TABLE
    default: str | None = None
    words: Sequence[str] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the table's words."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Build the command; return None for a word that is not in the table."""
        entry = self.table.get(cmd_name)
        return None if entry is None else build_command(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write names and purposes from the table: the help loads no command's module."""
        width = max(map(len, self.table))
        for title, names in (SECTIONS if self.table is TABLE else {"Commands": tuple(self.table)}).items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), self.table[name].help) for name in names])
        if self.default is not None:
            from spcli.completion.tree import COMMANDS, OPTIONS  # only for this help

            path = f"{ctx.command_path} {self.default}"
            options = [OPTIONS[name] for name in COMMANDS[path.removeprefix("spcli ")][3]]
            with formatter.section(f"Options of {path}, which is the default"):
                formatter.write_dl([(f"{', '.join(words)} {value}".rstrip(), text) for words, value, _, _, text in options])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the default command if none is named; without one, show the help, except with `--json`."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] in ("-h", "--help"))
        if self.default is not None and not is_named:
            self.words = args
            args = [self.default, *args]
        elif not args and not ctx.obj.output.json_mode:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command and remember it; suggest the nearest word for an unknown one."""
        name = args[0]
        entry = self.table.get(name)
        if entry is None:
            raise unknown_command(name, self.table, ctx.command_path)
        ctx.obj.command = f"{ctx.command_path} {name}"
        ctx.obj.is_write = isinstance(entry, Entry) and entry.writes
        return name, build_command(name, entry), args[1:]

    def invoke(self, ctx: Any) -> Any:
        """Invoke as Typer does; explain a subcommand that follows options of the default command."""
        try:
            return super().invoke(ctx)
        except (SurplusError, TYPER_ERROR) as error:
            word = next(iter(split_words(self.words)[1]), None)
            if word not in self.table or is_about_value(error):
                raise
        message = f"options before `{word}` belong to {ctx.command_path} {self.default}"
        raise SpcliError("usage", message, hint=f"put the options after the subcommand: {ctx.command_path} {word} …")


def build_command(name: str, entry: Entry | Group) -> Any:
    """Return the Typer command or group for a row of the table."""
    if isinstance(entry, Group):
        members = {"table": entry.commands, "default": entry.default}
        app = typer.Typer(cls=type("Commands", (Commands,), members), rich_markup_mode=None, add_completion=False)
        app.callback(help=entry.help)(lambda: None)
    else:
        module, _, name_of_function = entry.function.partition(":")
        function = getattr(importlib.import_module(f"spcli.commands.{module}"), name_of_function)
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        help_text = function.__doc__ or _read_docstring(function) or entry.help
        app.command(cls=Command, add_help_option=False, help=help_text)(function)
    command: Any = typer.main.get_command(app)
    command.name = name
    return _add_common_options(command)


def _read_docstring(function: Callable[..., object]) -> str | None:
    """Return a docstring from the source: Python drops it with -OO. Return None without the source."""
    try:
        (statement,) = ast.parse(inspect.getsource(function)).body
    except (OSError, SyntaxError, ValueError):
        return None
    return ast.get_docstring(statement) if isinstance(statement, ast.FunctionDef) else None


def _add_common_options(command: Any) -> Any:
    command.add_help_option = False
    command.params.extend(common_options())
    return command


def root() -> Any:
    """Return the whole program as one Typer group."""
    app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback(help=HELP, epilog=EPILOG)(lambda: None)
    command = _add_common_options(typer.main.get_command(app))
    version = _flag(["--version"], "Show the version and exit.", _show_version)
    version.is_eager = False  # a --json after it is obeyed
    command.params.append(version)
    return command


def main(argv: Sequence[str], runtime: "Runtime") -> int:
    """Run one command line and return its exit code. Every failure is reported here."""
    runtime.main = main
    try:
        return _run_and_report(argv, runtime)
    finally:
        runtime.close()


def _run_and_report(argv: Sequence[str], runtime: "Runtime") -> int:
    failure: SpcliError
    try:
        with runtime.signals.deliver():
            code = _run(argv, runtime)
            runtime.output.clear()
        return code
    except SpcliError as error:
        failure = error
    except Interrupted as signal:
        failure = _find_decided(signal) or _describe_interruption(signal, runtime)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug is reported as data, too
        failure = _describe_bug(error, runtime)
    # From here on signals are held back: the outcome is decided.
    if not runtime.is_parsed:
        _read_unparsed(argv, runtime)
    return report_failure(failure, runtime)


def _run(argv: Sequence[str], runtime: "Runtime") -> int:
    try:
        # Without a name for it, Typer would look for a TAB press in the process's environment; __main__ has answered that.
        code = root().main(args=list(argv), prog_name="spcli", complete_var="", standalone_mode=False, obj=runtime)
    except TYPER_ERROR as error:
        raise usage_error(error, runtime.command, argv) from None
    except typer.Abort:
        raise SpcliError("unconfirmed", "aborted") from None
    return code if isinstance(code, int) else 0


def _read_unparsed(argv: Sequence[str], runtime: "Runtime") -> None:
    """Find out what the report needs of a command line that was not parsed to its end."""
    options, _ = split_words(argv)
    runtime.output.json_mode |= "--json" in options
    runtime.output.quiet |= "-q" in options or "--quiet" in options
    if runtime.command == "spcli":
        runtime.is_write = is_write(argv)


def _find_decided(signal: Interrupted) -> SpcliError | None:
    """Return the failure of a write that the signal has replaced on its way up: it says whether the write was sent."""
    failure = signal.__context__
    while failure is not None:
        if isinstance(failure, SpcliError) and failure.outcome in ("refused", "unknown", "done"):
            return failure
        failure = failure.__context__
    return None


def _describe_interruption(signal: Interrupted, runtime: "Runtime") -> SpcliError:
    """Return the error for Ctrl-C or SIGTERM before anything was sent, while waiting, or in a command that only reads."""
    is_waiting = bool(runtime.output.write_happened)
    error = SpcliError("interrupted", "stopped waiting; the build is still processing" if is_waiting else "interrupted")
    error.code = signal.exit_code
    return error


def _describe_bug(defect: Exception, runtime: "Runtime") -> SpcliError:
    """Return the error for a bug: its type and place. Its text may hold a secret, so only `-v` prints it, redacted."""
    if isinstance(defect, RuntimeError) and str(defect) == "can't start new thread":
        hint = "raise the limit of processes and threads of this user or container"
        return SpcliError("config", "cannot start a thread: a limit of this system is reached", hint=hint)
    where = traceback.extract_tb(defect.__traceback__)[-1]
    runtime.output.detail("".join(traceback.format_exception(defect)))
    name = where.filename.replace("\\", "/").rpartition("/")[2]
    message = f"a bug in spcli: {type(defect).__name__} in {name}:{where.lineno}"
    return SpcliError("internal", message, hint="run it again with -v and report the output")


def _hint_about_key(error: SpcliError, runtime: "Runtime") -> str | None:
    """Return a hint for a refused key that does not look like one, so that it is not replaced by a new one."""
    if error.kind != "http-401" or runtime.key is None:
        return None
    from spcli.settings.credentials import describe_key_shape

    shape = describe_key_shape(runtime.key, runtime.settings.user_id)
    return None if shape is None else shape.line


def report_failure(error: SpcliError, runtime: "Runtime") -> int:
    """Print the error with its outcome and hint, and return its exit code."""
    written = runtime.output.write_happened
    if written is not None:
        error.outcome, error.upload_id = "done", error.upload_id or written or None
    elif error.outcome is None and error.kind != "internal" and runtime.is_write:
        error.outcome = "not_sent"
        if error.kind == "interrupted":
            error.message += "; nothing was sent"
        elif error.kind == "http-5xx":
            error.hint = error.hint or "retry later: nothing was sent"
    error.hint = error.hint or _hint_about_key(error, runtime) or DEFAULT_HINTS.get(error.kind)
    if written and written not in (error.hint or ""):
        resume = f"wait for the build: spcli builds wait {written}"
        error.hint = f"{error.hint}; {resume}" if error.hint else resume
    runtime.output.error(error)
    return error.exit_code
