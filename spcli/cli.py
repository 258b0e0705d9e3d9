"""The command table and the one door: `main(argv, runtime)` returns the exit code.

A command's module is imported when the command is invoked; help and suggestions read the table alone.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
import typer.core

from spcli import __version__
from spcli.errors import Interrupted, SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime


class Entry(NamedTuple):
    """One command: its one-line help, where its function is, and whether it writes to the service."""

    help: str
    function: str
    writes: bool = False


class Group(NamedTuple):
    """A word with commands under it; `default` is the one meant when none is named."""

    help: str
    commands: Mapping[str, Entry]
    default: str | None = None


TABLE: dict[str, Entry | Group] = {
    "projects": Group(
        "List the account's projects, show one, choose the default.",
        {
            "list": Entry("List every project of the account.", "projects:list_projects"),
            "show": Entry("Show one project: region, state, users.", "projects:show"),
            "stats": Entry("Show live and queued users.", "projects:stats"),
            "use": Entry("Remember a project as this profile's default.", "projects:use"),
        },
    ),
    "upload": Entry("Register a build by URL.", "upload:upload", writes=True),
    "distribute": Entry("Release a processed build, or release it again.", "distribute:distribute", writes=True),
    "builds": Group(
        "List builds, show one, wait until they are processed.",
        {
            "list": Entry("List the project's builds, newest first.", "builds:list_builds"),
            "show": Entry("Show one build.", "builds:show"),
            "wait": Entry("Wait until builds are processed; the exit code is the verdict.", "builds:wait"),
        },
        default="list",
    ),
    "check": Entry("Check whether Streampixel would accept a zip.", "check:check"),
    "limits": Entry("Show when the next upload and distribute are allowed.", "limits:limits"),
    "auth": Group(
        "Store, forget and verify credentials.",
        {
            "login": Entry("Store the user id and API key of a profile.", "auth:login"),
            "logout": Entry("Forget the stored key of a profile.", "auth:logout"),
            "status": Entry("Show which credentials are used, and verify them.", "auth:status"),
        },
    ),
    "config": Group(
        "Read and write settings.",
        {
            "list": Entry("List all settings, each with where it comes from.", "config:list_settings"),
            "get": Entry("Print one setting.", "config:get"),
            "set": Entry("Write a setting to the profile.", "config:set_setting"),
            "unset": Entry("Remove a setting from the profile.", "config:unset"),
            "path": Entry("Print the config file's path.", "config:path"),
            "profiles": Entry("List the profiles.", "config:profiles"),
        },
    ),
    "sandbox": Entry("Run a local Streampixel on loopback.", "sandbox:sandbox"),
    "demo": Entry("Show the whole pipeline against a sandbox, in 20 s.", "demo:demo"),
    "exit-codes": Entry("List the exit codes and what they mean.", "exit_codes:exit_codes"),
    "completion": Entry("Print the completion script of a shell.", "completion:completion"),
}

HELP = """Ship Unreal Engine builds to Streampixel.

\b
  spcli demo                                       see the pipeline, no account needed
  spcli auth login                                 store your credentials
  spcli projects list                              your projects and their ids
  spcli upload https://host/Game-1.4.zip --wait    register a build, wait for the verdict
  spcli distribute UPLOAD_ID                       release it, or an earlier one again
"""
EPILOG = """\b
Exit codes:
  0 ok    2 usage    3 config    10 rejected    11 deadline    13 no such target
  40-48 the service refused    49 rate limited    50 service failed
  60 network, nothing changed    61 outcome unknown    130 interrupted
`spcli exit-codes` lists all. Every command takes --json.
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
            raise SpcliError(
                "usage",
                f"{len(rest)} argument{'s' * (len(rest) > 1)} too many",
                hint=f"`{ctx.command_path} --help` lists what it takes",
            )
        return rest


class Commands(typer.core.TyperGroup):
    """A group that knows its commands by the table and builds one when it is invoked."""

    table: Mapping[str, Entry | Group] = TABLE
    default: str | None = None

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
        """Without a subcommand: the default one, or the help."""
        is_named = bool(args) and (not args[0].startswith("-") or args[0] in ("-h", "--help"))
        if self.default is not None and not is_named:
            args = [self.default, *args]
        elif not args:
            args = ["--help"]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Suggest the nearest word for an unknown one."""
        name = args[0]
        if name in self.table:
            return name, self.get_command(ctx, name), args[1:]
        from difflib import get_close_matches

        near = get_close_matches(name, list(self.table), n=1, cutoff=0.5)
        hint = f"did you mean `{ctx.command_path} {near[0]}`?" if near else f"`{ctx.command_path} --help` lists the commands"
        # A long or odd word may be a pasted key: it is not repeated.
        shown = f" {name!r}" if len(name) <= 24 and name.replace("-", "").isalpha() else ""
        raise SpcliError("usage", f"no such command{shown}", hint=hint)


def built(name: str, entry: Entry | Group) -> Any:
    """The Typer command or group for a row of the table."""
    if isinstance(entry, Group):
        members = {"table": entry.commands, "default": entry.default}
        app = typer.Typer(cls=type("Commands", (Commands,), members), rich_markup_mode=None, add_completion=False)
        app.callback(help=entry.help)(_no_callback)
    else:
        module, _, function = entry.function.partition(":")
        app = typer.Typer(rich_markup_mode=None, add_completion=False)
        app.command(cls=Command, add_help_option=False)(getattr(importlib.import_module(f"spcli.commands.{module}"), function))
    command: Any = typer.main.get_command(app)
    command.name = name
    return _with_common(command)


def _no_callback() -> None:
    pass


def _with_common(command: Any) -> Any:
    command.add_help_option = False
    command.params.extend(common_options())
    return command


def root() -> Any:
    """The whole program as one Typer group."""
    app = typer.Typer(cls=Commands, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
    app.callback(help=HELP, epilog=EPILOG)(_no_callback)
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
        code = _run(argv, runtime)
        runtime.output.finish()
    except SpcliError as error:
        code = _report(error, words, runtime)
    except Interrupted as signal:
        code = _report(_interruption(signal), words, runtime)
    except Exception as bug:  # noqa: BLE001 - the last resort: a bug is reported as data, too
        code = _report(_bug(bug, runtime), words, runtime)
    finally:
        runtime.close()
    return code


def _run(argv: Sequence[str], runtime: "Runtime") -> int:
    try:
        code = root().main(args=list(argv), prog_name="spcli", standalone_mode=False, obj=runtime)
    except typer.TyperException as usage:
        raise _usage(usage) from None
    except typer.Abort:
        raise SpcliError("unconfirmed", "aborted") from None
    return code if isinstance(code, int) else 0


def _usage(usage: typer.TyperException) -> SpcliError:
    """A usage error of Typer's as ours; the text never holds the value of an unknown option."""
    ctx = getattr(usage, "ctx", None)
    path = ctx.command_path if ctx is not None else "spcli"
    message = usage.format_message()
    return SpcliError("usage", message[:1].lower() + message[1:].rstrip("."), hint=f"`{path} --help` explains it")


def _interruption(signal: Interrupted) -> SpcliError:
    error = SpcliError("interrupted", "interrupted")
    error.code = signal.exit_code
    return error


def _bug(bug: Exception, runtime: "Runtime") -> SpcliError:
    """A bug of ours: its type and place; the text of the exception may hold a secret, so only `-v` shows it, redacted."""
    import traceback

    where = traceback.extract_tb(bug.__traceback__)[-1]
    runtime.output.detail("".join(traceback.format_exception(bug)))
    name = where.filename.replace("\\", "/").rpartition("/")[2]
    happened = runtime.output.write_happened
    return SpcliError(
        "internal",
        f"a bug in spcli: {type(bug).__name__} in {name}:{where.lineno}",
        hint="run it again with -v and report what it prints",
        outcome="done" if happened is not None else None,
        upload_id=happened or None,
    )


def _report(error: SpcliError, words: Sequence[str], runtime: "Runtime") -> int:
    """Show the error and return its code. A command that writes says what became of the write, also before anything was sent."""
    happened = runtime.output.write_happened
    if happened is not None:
        error.outcome, error.upload_id = "done", error.upload_id or happened or None
    if error.outcome is None and error.kind != "internal" and _writes(words):
        error.outcome = "not_sent"
    runtime.output.error(error)
    return error.exit_code


def _writes(words: Sequence[str]) -> bool:
    named = next((entry for word in words if (entry := TABLE.get(word)) is not None), None)
    return isinstance(named, Entry) and named.writes
