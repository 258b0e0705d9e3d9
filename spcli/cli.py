"""Typer over the command table, and the one door: `main(argv, runtime)` returns the exit code."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
import typer.core

from spcli import __version__
from spcli import usage as failures
from spcli.commands import TABLE, Entry, Group
from spcli.errors import Interrupted, SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime

HELP = """Ship Unreal Engine builds to Streampixel.

\b
  spcli demo                                  see it work, without an account
  spcli auth login                            store your credentials
  spcli projects list                         your projects and their ids
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


def _set_output(name: str) -> Callable[..., None]:
    def set_it(ctx: typer.Context, _param: object, value: bool) -> None:
        if value:
            setattr(ctx.obj.output, name, True)

    return set_it


def _set_profile(ctx: typer.Context, _param: object, value: str | None) -> None:
    if value is not None:
        ctx.obj.profile = value


def _flag(words: Sequence[str], help_text: str, callback: Callable[..., None]) -> typer.core.TyperOption:
    return typer.core.TyperOption(
        param_decls=list(words), is_flag=True, default=False, expose_value=False, is_eager=True, callback=callback, help=help_text
    )


def common_options() -> list[typer.core.TyperOption]:
    """The options that every command takes, before it or after it."""
    profile = typer.core.TyperOption(
        param_decls=["--profile"], type=str, metavar="NAME", expose_value=False, callback=_set_profile, help="Use this profile."
    )
    return [
        _flag(["--json"], "One JSON document on standard output.", _set_output("json_mode")),
        profile,
        _flag(["-q", "--quiet"], "Nothing on standard error but errors; bare ids.", _set_output("quiet")),
        _flag(["-v", "--verbose"], "Log requests to standard error, key redacted.", _set_output("verbose")),
        _flag(["--no-color"], "No colour.", _set_output("no_color")),
        _flag(["-h", "--help"], "Show this help and exit.", _show_help),
    ]


class Command(typer.core.TyperCommand):
    """A command that takes the common options and does not repeat stray words: one of them may be a key."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer's, but a surplus argument is counted instead of quoted."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            many = f"{len(rest)} argument{'s' * (len(rest) > 1)} too many"
            raise _Surplus("usage", many, hint=f"`{ctx.command_path} --help` lists what it takes")
        return rest


class _Surplus(SpcliError):
    """More words than the command takes."""


class Commands(typer.core.TyperGroup):
    """A group that knows its commands by the table and builds one when it is invoked."""

    table: Mapping[str, Entry | Group] = TABLE
    default: str | None = None
    words_after_options: Sequence[str] = ()

    def list_commands(self, ctx: Any) -> list[str]:
        """The table's words."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, built now; `None` for a word that is not in the table."""
        entry = self.table.get(cmd_name)
        return None if entry is None else built(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Names and purposes from the table: no command's module is loaded for the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.table.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Without a subcommand: the default one, or the help, which is no JSON."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] in ("-h", "--help"))
        if self.default is not None and not is_named:
            self.words_after_options = [word for word in args if word in self.table]
            args = [self.default, *args]
        elif not args and not ctx.obj.output.json_mode:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """As Typer's; a command's word that comes after options of the default one is explained."""
        try:
            return super().invoke(ctx)
        except (_Surplus, failures.TYPER_ERROR) as usage:
            if not self.words_after_options or failures.is_about_a_value(usage):
                raise
            word = self.words_after_options[0]
        message = f"options before `{word}` are those of {ctx.command_path} {self.default}"
        raise SpcliError("usage", message, hint=f"its own stand behind it: {ctx.command_path} {word} …")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Suggest the nearest word for an unknown one."""
        name = args[0]
        if name in self.table:
            return name, self.get_command(ctx, name), args[1:]
        near = self._nearest(name.lower(), ctx.command_path)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`{ctx.command_path} --help` lists the commands"
        shown = f" {name!r}" if failures.is_showable(name) else ""
        raise SpcliError("usage", f"no such command{shown}", hint=hint)

    def _nearest(self, name: str, path: str) -> list[str]:
        """What may have been meant: a word that stands somewhere else (`wait`, under `builds`), else the one spelt nearly so."""
        from difflib import get_close_matches

        homes: dict[str, list[str]] = {}
        for word, entry in TABLE.items():
            for member in entry.commands if isinstance(entry, Group) else ():
                homes.setdefault(member, []).append(f"`spcli {word} {member}`")
        homes |= {word: [f"`spcli {word}`"] for word in TABLE}
        if name not in homes:
            if self.table is not TABLE:
                homes = {word: [f"`{path} {word}`"] for word in self.table}
            name = next(iter(get_close_matches(name, homes, n=1, cutoff=0.5)), name)
        return homes.get(name, [])


def built(name: str, entry: Entry | Group) -> Any:
    """The Typer command or group for a row of the table."""
    if isinstance(entry, Group):
        members = {"table": entry.commands, "default": entry.default}
        app = typer.Typer(cls=type("Commands", (Commands,), members), rich_markup_mode=None, add_completion=False)
        app.callback(help=entry.help)(lambda: None)
    else:
        module, _, function = entry.function.partition(":")
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(cls=Command, add_help_option=False)(getattr(importlib.import_module(f"spcli.commands.{module}"), function))
    command: Any = typer.main.get_command(app)
    command.name = name
    return _with_common(command)


def _with_common(command: Any) -> Any:
    command.add_help_option = False
    command.params.extend(common_options())
    return command


def root() -> Any:
    """The whole program as one Typer group."""
    app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback(help=HELP, epilog=EPILOG)(lambda: None)
    command = _with_common(typer.main.get_command(app))
    command.params.append(_flag(["--version"], "Show the version and exit.", _show_version))
    return command


def main(argv: Sequence[str], runtime: "Runtime") -> int:
    """Run one command line and return its exit code; every failure ends here, as data."""
    words = list(argv[: list(argv).index("--")]) if "--" in argv else list(argv)
    runtime.door = main
    # Parsing may fail before the option is seen, and its error must be JSON all the same.
    runtime.output.json_mode = "--json" in words
    runtime.output.quiet = "-q" in words or "--quiet" in words
    try:
        code = _heard(argv, runtime)
    except SpcliError as error:
        code = failures.report(error, runtime, writes=_writes(words))
    except Interrupted as signal:
        code = failures.report(failures.interruption(signal), runtime, writes=_writes(words))
    except Exception as bug:  # noqa: BLE001 - the last resort: a bug is reported as data, too
        code = failures.report(failures.bug(bug, runtime), runtime, writes=_writes(words))
    finally:
        runtime.close()
    return code


def _heard(argv: Sequence[str], runtime: "Runtime") -> int:
    """Run while signals are heard: how a command ended is told, and put away, without them."""
    with runtime.signals.deliver():
        code = _run(argv, runtime)
        runtime.output.finish()
    return code


def _run(argv: Sequence[str], runtime: "Runtime") -> int:
    try:
        # Without a name for it, Typer would look for a TAB press in the process's environment; __main__ has answered that.
        code = root().main(args=list(argv), prog_name="spcli", complete_var="", standalone_mode=False, obj=runtime)
    except failures.TYPER_ERROR as usage:
        raise failures.usage_error(usage, argv) from None
    except typer.Abort:
        raise SpcliError("unconfirmed", "aborted") from None
    return code if isinstance(code, int) else 0


def _writes(words: Sequence[str]) -> bool:
    """Whether the command writes to the service, as far as its words show; a raw call does unless its method only reads."""
    named = next((entry for word in words if (entry := TABLE.get(word)) is not None), None)
    if named is not TABLE["api"]:
        return isinstance(named, Entry) and named.writes
    from spcli.api.raw import READS

    return not any(word.upper() in READS for word in words)
