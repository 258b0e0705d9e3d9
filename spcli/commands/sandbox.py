"""`spcli sandbox`: a local Streampixel on loopback."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.sandbox.server import Sandbox


def _whole_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise typer.BadParameter("not a whole number")
    return int(text)


def _known_generation(text: str) -> str:
    from spcli.sandbox.world import GENERATIONS

    if text not in GENERATIONS:
        raise typer.BadParameter(f"use one of {', '.join(GENERATIONS)}")
    return text


def sandbox(
    ctx: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(
            parser=options.parse_port,
            metavar="PORT",
            help="Port on 127.0.0.1; 0 takes a free one (default 8787).",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            parser=options.parse_duration,
            metavar="DUR",
            help="Time between two rate-limited calls (default 5s).",
            show_default=False,
        ),
    ] = None,
    stage: Annotated[
        float | None,
        typer.Option(
            parser=options.parse_duration,
            metavar="DUR",
            help="Time that a build spends in each stage (default 2s).",
            show_default=False,
        ),
    ] = None,
    generation: Annotated[
        str | None,
        typer.Option(
            parser=_known_generation,
            metavar="paged|status",
            help="API generation to imitate (default paged).",
            show_default=False,
        ),
    ] = None,
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Deliver webhooks to this URL.", show_default=False)] = None,
    reject: Annotated[
        str | None,
        typer.Option(parser=options.parse_name, metavar="GLOB", help="Reject zips whose name matches.", show_default=False),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help="Inject a fault, such as upload:500x2 (repeatable).", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            parser=_whole_number, metavar="N", help="Use another set of accounts and projects (default 1).", show_default=False
        ),
    ] = None,
) -> None:
    """Run a local Streampixel on loopback.

    It runs until Ctrl-C and prints exports to paste into another terminal. Its page lists accounts, keys and projects.

    \b
      spcli sandbox --window 10s --reject '*bad*'
      spcli sandbox --fault upload:reset-after-store --fault projects:502htmlx3
    """
    from spcli.sandbox.server import Sandbox
    from spcli.sandbox.world import World

    runtime: Runtime = ctx.obj
    # A default passes through `parser` and would have to be text, so the defaults are set here.
    port, window, stage = (8787 if port is None else port), (5.0 if window is None else window), (2.0 if stage is None else stage)
    try:
        world = World(1 if seed is None else seed, window, stage=stage, generation=generation or "paged", reject=reject)
        server = Sandbox(world, port=port, faults=tuple(fault or ()), webhook=webhook, log=runtime.output.status)
    except ValueError as problem:
        raise SpcliError("usage", str(problem), hint="list the options with `spcli sandbox --help`") from None
    except OSError as problem:
        raise SpcliError("usage", f"cannot use port {port}: {problem.strerror}", hint="use --port 0 for a free port") from None
    try:
        with options.end_by_signal(runtime.output):
            _print_exports(runtime, server)
            server.serve_forever()
    finally:
        server.stop()


def _print_exports(runtime: "Runtime", server: "Sandbox") -> None:
    account = server.world.accounts[0]
    output = runtime.output
    if output.json_mode or output.quiet:
        document = {
            "baseUrl": server.base_url,
            "page": server.origin,
            "userId": account.user_id,
            "apiKey": account.api_key,
            "projectId": account.projects[0].id,
        }
        output.result(document, bare=server.base_url)
    else:
        bash, powershell = server.exports(account)
        # Not redacted, unlike a result: the sandbox's keys are no secrets.
        cmd = f"\n\nrem cmd\n{server.cmd_exports(account)}" if sys.platform == "win32" else ""
        output.text(f"# bash, zsh\n{bash}\n\n# PowerShell\n{powershell}{cmd}")
    output.note(f"accounts, keys and projects: {server.origin}  (stop with Ctrl-C)")
