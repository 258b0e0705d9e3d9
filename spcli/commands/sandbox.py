"""`spcli sandbox`: a local Streampixel on loopback."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli import options
from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.sandbox.server import Sandbox


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:6]) > 65535:
        raise typer.BadParameter("a port, 0 for a free one")
    return int(text)


def _generation(text: str) -> str:
    from spcli.sandbox.world import GENERATIONS

    if text not in GENERATIONS:
        raise typer.BadParameter(f"one of {', '.join(GENERATIONS)}")
    return text


def sandbox(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(parser=_port, metavar="PORT", help="Port on 127.0.0.1; 0 for a free one.")] = 8787,
    window: Annotated[float, typer.Option(parser=options.duration, metavar="DUR", help="Time between two limited calls.")] = 5.0,
    stage: Annotated[
        float, typer.Option(parser=options.duration, metavar="DUR", help="Time a build spends in each stage.")
    ] = 2.0,
    generation: Annotated[
        str, typer.Option(parser=_generation, metavar="paged|status", help="Which generation of the service's reads to speak.")
    ] = "paged",
    webhook: Annotated[str | None, typer.Option(metavar="URL", help="Deliver webhooks there.", show_default=False)] = None,
    reject: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Reject zips whose name matches.", show_default=False)
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="SPEC", help="A fault, such as upload:500x2; may be repeated.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Another set of accounts and projects.")] = 1,
) -> None:
    """Run a local Streampixel on loopback, in the foreground.

    Prints exports to paste into another terminal. Its page lists accounts, keys and projects.

    \b
      spcli sandbox --window 10s --reject '*bad*'
      spcli sandbox --fault upload:reset-after-store --fault projects:502htmlx3
    """
    from spcli.sandbox.server import Sandbox
    from spcli.sandbox.world import World

    runtime: Runtime = ctx.obj
    try:
        world = World(seed, window, stage=stage, generation=generation, reject=reject)
        server = Sandbox(world, port=port, faults=tuple(fault or ()), webhook=webhook, log=runtime.output.status)
    except ValueError as problem:
        raise SpcliError("usage", str(problem), hint="`spcli sandbox --help` lists what it takes") from None
    except OSError as problem:
        raise SpcliError("usage", f"port {port} cannot be used: {problem.strerror}", hint="--port 0 takes a free one") from None
    try:
        _tell(runtime, server)
        server.serve_forever()
    finally:
        server.stop()


def _tell(runtime: "Runtime", server: "Sandbox") -> None:
    account = server.world.accounts[0]
    bash, powershell = server.exports(account)
    runtime.output.result(
        {
            "baseUrl": server.base_url,
            "page": server.origin,
            "userId": account.user_id,
            "apiKey": account.api_key,
            "projectId": account.projects[0].id,
        },
        lines=["# bash, zsh", bash.rstrip(), "", "# PowerShell", powershell.rstrip()],
        bare=server.base_url,
    )
    runtime.output.finish()
    runtime.output.note(f"accounts, keys and projects: {server.origin}  (Ctrl-C ends it)")
