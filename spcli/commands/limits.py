"""`spcli limits`: when the next upload and distribute are allowed."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import SpcliError
from spcli.output.words import clock_time, local_time, opening_time

if TYPE_CHECKING:
    from spcli.runtime import Runtime


def limits(
    ctx: typer.Context,
    reset: Annotated[bool, typer.Option("--reset", help="Forget both rate limits: the next call is sent at once.")] = False,
    yes: options.Yes = False,
) -> None:
    """Show when the next upload and distribute are allowed, and how many are waiting.

    The times are this machine's own records: calls from other machines are not in them.
    """
    runtime: Runtime = ctx.obj
    if reset:
        _reset_limits(runtime, yes)
    found = runtime.state.windows.list_limits(runtime.account)
    now, output = runtime.clock.wall(), runtime.output
    output.listing(
        found,
        columns=("ENDPOINT", "ALLOWED", "WAITING", "LAST CALL"),
        rows=[
            (
                one.endpoint,
                opening_time(one.seconds_left, clock_time(now + one.seconds_left)),
                str(one.queued),
                local_time(one.last_call_at) or "-",
            )
            for one in found
        ],
        bare=[f"{one.endpoint} {one.seconds_left:.0f}" for one in found],
        empty="",
    )


def _reset_limits(runtime: "Runtime", yes: bool) -> None:
    question = "Forget both rate limits? An early call returns 429; repeated early calls can get the account blocked."
    if not yes and not runtime.output.confirm(question):
        raise SpcliError("unconfirmed", "nothing was changed")
    runtime.state.windows.reset_limits(runtime.account)
