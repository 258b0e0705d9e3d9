"""`spcli webhooks`: receive, forge, probe and look up build events."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import Refused, SpcliError
from spcli.models import is_id, normalize_id
from spcli.webhooks import payload

if TYPE_CHECKING:
    from spcli.runtime import Runtime

LIMIT = 20


def _event(text: str) -> str:
    if text not in payload.STATUS_OF:
        raise typer.BadParameter(f"one of {', '.join(payload.STATUS_OF)}")
    return text


UploadId = Annotated[
    str | None,
    typer.Option("--upload-id", parser=options.upload_id, metavar="ID", help="Only of this build.", show_default=False),
]


def listen(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(parser=options.port, metavar="PORT", help="Port; 0 takes a free one, another at each start.")
    ] = 0,
    public_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where a tunnel leads here from, https.", show_default=False)
    ] = None,
    path_token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="The secret end of the path; without it another at each start.", show_default=False),
    ] = None,
    forward_to: Annotated[
        str | None, typer.Option(metavar="URL", help="POST each event there as well.", show_default=False)
    ] = None,
    exec_: Annotated[
        str | None,
        typer.Option("--exec", metavar="CMD", help="Run CMD for each event, payload on its input.", show_default=False),
    ] = None,
    event: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only events that match; may be repeated.", show_default=False)
    ] = None,
    upload_id: UploadId = None,
    until: Annotated[
        str | None,
        typer.Option(parser=_event, metavar="EVENT", help="End when EVENT comes; exit as `builds wait`.", show_default=False),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            parser=options.duration, metavar="DUR", help="Stop after DUR (2h with --until, else never).", show_default=False
        ),
    ] = None,
) -> None:
    """Receive the service's webhooks on this machine.

    They are stored. The URL to enter in the dashboard is printed once; its path is a secret. Port and path are new at each start
    unless --port and --path-token are given. Events are hints: nothing is signed.

    \b
      spcli webhooks listen --port 8080 --path-token "$TOKEN" --public-url URL
      spcli webhooks listen --event 'build.*' --exec './notify.sh --from-stdin'
      spcli webhooks listen --upload-id ID --until build.approved --deadline 1h
    """
    runtime: Runtime = ctx.obj
    try:
        from spcli.webhooks import listen as listening
    except ImportError:
        raise SpcliError(
            "config", "the webhook receiver needs the extra 'server'", hint="in a checkout: pip install '.[server]'"
        ) from None
    asked = listening.Asked(
        host, port, public_url, path_token, forward_to, exec_, tuple(event or ()), upload_id, until, deadline
    )  # fmt: skip
    listening.listen(runtime, asked)


def events(
    ctx: typer.Context,
    upload_id: UploadId = None,
    limit: options.Limit = None,
) -> None:
    """List the events received on this machine, oldest first."""
    runtime: Runtime = ctx.obj
    found = runtime.state.events.find_events(upload_id=upload_id, limit=(LIMIT if limit is None else limit) or 1_000_000)
    local = runtime.output.local_time
    runtime.output.listing(
        [payload.shown(one) for one in found],
        columns=("TIME", "EVENT", "UPLOAD ID", "STATUS", "OBJECTION"),
        rows=lambda: [
            (local(one.timestamp), one.event or "", one.upload_id or "", one.status or "", one.objection or "") for one in found
        ],
        bare=[one.upload_id or "" for one in found],
        empty=f"no event{' of that build' if upload_id else ''} was received on this machine: spcli webhooks listen",
    )


def send(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(parser=_event, metavar="EVENT", help="Such as build.approved.")],
    to: Annotated[str, typer.Option(metavar="URL", help="Your receiver.")],
    upload_id: Annotated[str | None, typer.Option("--upload-id", metavar="ID", help="The build.", show_default=False)] = None,
    file_url: Annotated[str | None, typer.Option(metavar="URL", help="The zip.", show_default=False)] = None,
    objection: Annotated[str | None, typer.Option(metavar="TEXT", help="Why it was rejected.", show_default=False)] = None,
    project: Annotated[
        str | None,
        typer.Option("-p", "--project", parser=options.name, metavar="PROJECT_ID", help="The project's ID.", show_default=False),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(parser=options.duration, metavar="DUR", help="Time for the receiver to answer (10s).", show_default=False),
    ] = None,
) -> None:
    """Send a documented payload to a receiver of yours.

    It is a forgery, for testing the receiver. Exit 16 when that fails.

    \b
      spcli webhooks send build.rejected --to http://127.0.0.1:8080/hooks/TOKEN
    """
    runtime: Runtime = ctx.obj
    runtime.project = project
    from spcli.webhooks.deliver import deliver

    if project is not None and not is_id(project.strip()):
        raise SpcliError("usage", "-p takes a project ID here, not a name", hint="list the IDs with `spcli projects list`")
    known = runtime.settings.project or ""
    wanted = normalize_id(known) if is_id(known.strip()) else "0" * 24
    body = payload.forged(
        event, runtime.clock.wall(), project_id=wanted, upload_id=upload_id or "0" * 24, file_url=file_url, objection=objection
    )
    status = deliver(runtime, to, body, timeout or 10.0)
    runtime.output.result(
        {"event": event, "status": status, "payload": body}, lines=[f"{event} delivered: the receiver answered {status}"]
    )


def probe(ctx: typer.Context, project: options.Project = None, timeout: options.Timeout = None) -> None:
    """Let the service send a test event to the project's webhook.

    Exit 16 when the receiver failed.
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    project_id = options.find_project_id(runtime)
    try:
        report = runtime.api.test_webhook(project_id)
    except Refused as refused:
        if refused.status in (404, 405):
            refused.hint = (
                "either the project has no webhook, or this service has no test endpoint any more: "
                "set the URL in the dashboard's project settings and use its Test Webhook button"
            )
        raise
    status = report["statusCode"]
    lines = [
        ("delivered", "yes" if report["success"] else "no"),
        ("message", report["message"] or "none"),
        ("answer", "unknown" if status is None else f"HTTP {status}" if status else "none: no connection could be made"),
    ]
    runtime.output.result(report, lines=lines)
    if report["success"] is not True:
        why = "no connection to it could be made" if status in (0, None) else f"it answered {status}"
        raise SpcliError("receiver", report["message"] or "the webhook receiver failed", hint=f"{why}; spcli webhooks listen")
