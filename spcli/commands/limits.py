"""`spcli limits`: when the next upload and distribute are allowed."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.errors import SpcliError
from spcli.models import Limit, iso_utc
from spcli.writes.turn import duration

if TYPE_CHECKING:
    from spcli.runtime import Runtime

ENDPOINTS = ("upload", "distribute")


def limits(
    ctx: typer.Context,
    reset: Annotated[bool, typer.Option("--reset", help="Forget both windows: the next call goes out at once.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Show when the next upload and distribute are allowed, and how many wait.

    The windows are this machine's own record; calls from other machines are not in it.
    """
    runtime: Runtime = ctx.obj
    if reset:
        _reset(runtime, yes)
    found = [limit_of(runtime, endpoint) for endpoint in ENDPOINTS]
    runtime.output.listing(
        found,
        columns=("ENDPOINT", "ALLOWED", "WAITING", "LAST CALL"),
        rows=[
            (one.endpoint, when_of(runtime, one), str(one.queued), runtime.output.local_time(one.last_call_at) or "-")
            for one in found
        ],
        bare=[f"{one.endpoint} {one.seconds_left:.0f}" for one in found],
        empty="",
    )


def _buckets(runtime: "Runtime") -> dict[str, str]:
    from spcli.state import bucket

    settings = runtime.settings
    if not settings.user_id:
        raise SpcliError("config", "no user id is set: the windows are kept per user", hint="spcli auth login")
    return {endpoint: bucket(settings.base_url, settings.user_id, endpoint) for endpoint in ENDPOINTS}


def limit_of(runtime: "Runtime", endpoint: str) -> Limit:
    """One endpoint's window as it stands."""
    view = runtime.state.window(_buckets(runtime)[endpoint])
    closed = view.seconds_left > 0
    allowed = iso_utc(runtime.clock.wall() + view.seconds_left) if closed else None
    last = None if view.last_call is None else iso_utc(view.last_call)
    return Limit(endpoint, allowed, round(view.seconds_left, 1), view.queued, last)


def when_of(runtime: "Runtime", limit: Limit) -> str:
    """When the next call is allowed, in words."""
    if limit.allowed_at is None:
        return "now"
    return f"in {duration(limit.seconds_left)}, at {runtime.output.clock_time(runtime.clock.wall() + limit.seconds_left)}"


def _reset(runtime: "Runtime", yes: bool) -> None:
    question = "Forget both windows? Calling the service too early gets a 429, and hammering blocks the account."
    if not yes and not runtime.output.confirm(question):
        raise SpcliError("unconfirmed", "nothing was changed")
    for key in _buckets(runtime).values():
        runtime.state.reset(key)
