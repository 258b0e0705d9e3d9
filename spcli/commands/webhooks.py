"""`spcli webhooks`: receive, simulate, test and list build events."""

import os
from contextlib import nullcontext
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import Refused, SpcliError
from spcli.lookup import parse_project_id
from spcli.output.words import local_time
from spcli.settings.places import find_batch_character, find_program
from spcli.settings.table import parse_command_line
from spcli.webhooks.payload import STATUS_OF, event_json, fake_payload

if TYPE_CHECKING:
    from spcli.builds.wait import Ended
    from spcli.runtime import Runtime
    from spcli.webhooks.listen import Service
    from spcli.webhooks.until import Unconfirmed

LIMIT = 20
NO_LIMIT = 1_000_000
UNTIL_SECONDS = 2 * 3600.0
SEND_SECONDS = 10.0
NO_ID = "0" * 24


def _known_event(text: str) -> str:
    if text not in STATUS_OF:
        raise typer.BadParameter(f"use one of {', '.join(STATUS_OF)}")
    return text


def _event_glob(text: str) -> str:
    if not any(fnmatchcase(event, text) for event in STATUS_OF):
        raise typer.BadParameter(f"matches no event; the events are {', '.join(STATUS_OF)}")
    return text


UploadId = Annotated[
    str | None,
    typer.Option(
        "--upload-id", parser=options.parse_upload_id, metavar="ID", help="Only events of this build.", show_default=False
    ),
]


def listen(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(parser=options.parse_name, metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(parser=options.parse_port, metavar="PORT", help="Port to listen on; 0 takes a free one at each start.")
    ] = 0,
    public_url: Annotated[
        str | None,
        typer.Option(parser=options.without_line_end, metavar="URL", help="Public https URL of your tunnel.", show_default=False),
    ] = None,
    path_token: Annotated[
        str | None,
        typer.Option(
            parser=options.without_line_end,
            metavar="TOKEN",
            help="Secret last part of the URL path (default: random at each start).",
            show_default=False,
        ),
    ] = None,
    forward_to: Annotated[
        str | None,
        typer.Option(
            parser=options.without_line_end, metavar="URL", help="Also POST each event to this URL.", show_default=False
        ),
    ] = None,
    exec_: Annotated[
        str | None,
        typer.Option("--exec", metavar="CMD", help="Run CMD for each event, with the payload on stdin.", show_default=False),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(parser=_event_glob, metavar="GLOB", help="Only matching events (repeatable).", show_default=False),
    ] = None,
    upload_id: UploadId = None,
    until: Annotated[
        str | None,
        typer.Option(
            parser=_known_event, metavar="EVENT", help="Stop when EVENT arrives; exit like `builds wait`.", show_default=False
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option(
            parser=options.parse_duration,
            metavar="DUR",
            help="Stop after this long (default 2h with --until, else never).",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Receive webhook events on this machine.

    Events are stored on this machine. spcli prints the URL for the dashboard once; its path is a secret. Port and path change
    at each start unless --port and --path-token are set. Events are not signed, so spcli treats them as hints.

    \b
      spcli webhooks listen --port 8080 --path-token "$TOKEN" --public-url URL
      spcli webhooks listen --event 'build.*' --exec './notify.sh --from-stdin'
      spcli webhooks listen --upload-id ID --until build.approved --deadline 1h
    """
    runtime: Runtime = ctx.obj
    try:
        from spcli.webhooks.listen import ListenOptions, Notes
        from spcli.webhooks.listen import listen as listen_for_events
    except ImportError:
        raise SpcliError(
            "config", "the webhook receiver needs the extra 'server'", hint="in a checkout, run pip install '.[server]'"
        ) from None
    from spcli.state.store import State

    command = None if exec_ is None else _find_command(exec_, runtime.environ)
    deadline = UNTIL_SECONDS if until is not None and deadline is None else deadline
    asked = ListenOptions(
        host, port, public_url, path_token, forward_to, command, tuple(event or ()), upload_id, until, deadline
    )  # fmt: skip
    notes = Notes(runtime.output)
    clock, environ = runtime.clock, runtime.environ
    state = State(runtime.settings.state_dir, clock=clock, environ=environ, note=notes.add_note)
    ends = clock.mono() + (deadline or 0.0)
    # With --until a signal ends the wait too early, which is an error.
    with options.end_by_signal(runtime.output) if until is None else nullcontext():
        result = listen_for_events(
            asked,
            _make_service(runtime, until),
            output=runtime.output,
            notes=notes,
            state=state,
            clock=clock,
            environ=environ,
        )
    _report(runtime, result, ends - clock.mono())


def _find_command(text: str, environ: dict[str, str]) -> tuple[str, ...]:
    """Split `--exec` into the program and its arguments. Raises `SpcliError` (usage) if it can't be run."""
    try:
        program, *arguments = parse_command_line(text)
    except ValueError as problem:
        raise SpcliError("usage", f"--exec {problem}") from None
    # A path may be relative here, because it comes from the command line; PATH is searched like for the key command.
    try:
        path = find_program(os.path.abspath(program) if os.path.dirname(program) else program, environ)
    except OSError:  # the current folder was deleted
        path = None
    if path is None or not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise SpcliError("usage", f"--exec program not found: {program}", hint="use its full path")
    letter = find_batch_character([path, *arguments])
    if letter is not None:
        message = f"--exec runs a batch file, and cmd.exe would interpret the character {letter!r}"
        raise SpcliError("usage", message, hint="put the arguments into the batch file")
    return path, *arguments


def _make_service(runtime: "Runtime", until: str | None) -> "Service":
    """Return the project and APIs for `--until`; none without it, or without credentials."""
    from spcli.webhooks.listen import Service

    settings = runtime.settings
    if until is not None:
        try:
            user_id, key = settings.require_credentials()
        except SpcliError as problem:
            runtime.output.note(f"the service can't confirm events: {problem.message}")
        else:
            runtime.output.redactor.register(key)
            # One connection for each thread.
            return Service(settings.project, runtime.api, runtime.api_for(user_id, key), settings.scale)
    return Service(settings.project, None, None, settings.scale)


def _report(runtime: "Runtime", result: "Ended | Unconfirmed | None", left: float) -> None:
    """Raise the error of a build that was not approved. If the service denies the event, wait for the build first."""
    from spcli.builds.wait import WaitLimits, WaitTarget, wait_failure
    from spcli.commands.writing import run_wait, start_wait
    from spcli.webhooks.until import Unconfirmed

    if result is None:
        return
    if isinstance(result, Unconfirmed):
        project_id = result.project_id
        (ended,) = run_wait(start_wait(runtime, project_id, WaitTarget((result.upload_id,)), WaitLimits(max(0.0, left))))
    else:
        ended, project_id = result, result.build.project_id
    failure = wait_failure([ended], project_id, None)
    if failure is not None:
        raise failure


def events(
    ctx: typer.Context,
    upload_id: UploadId = None,
    limit: options.Limit = None,
) -> None:
    """List the webhook events received on this machine, oldest first."""
    runtime: Runtime = ctx.obj
    found = runtime.state.events.find_events(upload_id=upload_id, limit=(LIMIT if limit is None else limit) or NO_LIMIT)
    runtime.output.listing(
        [event_json(one) for one in found],
        columns=("TIME", "EVENT", "UPLOAD ID", "STATUS", "OBJECTION"),
        rows=lambda: [
            (
                local_time(one.timestamp, precision="seconds"),
                one.event or "",
                one.upload_id or "",
                one.status or "",
                one.objection or "",
            )
            for one in found
        ],
        bare=[one.upload_id or "" for one in found],
        empty=f"no events{' of this build' if upload_id else ''} received on this machine: run spcli webhooks listen",
    )


def send(
    ctx: typer.Context,
    event: Annotated[str, typer.Argument(parser=_known_event, metavar="EVENT", help="The event, such as build.approved.")],
    to: Annotated[str, typer.Option(parser=options.without_line_end, metavar="URL", help="URL of your receiver.")],
    upload_id: Annotated[
        str | None,
        typer.Option("--upload-id", parser=options.parse_upload_id, metavar="ID", help="The build's ID.", show_default=False),
    ] = None,
    file_url: Annotated[
        str | None, typer.Option(parser=options.parse_name, metavar="URL", help="The build's zip.", show_default=False)
    ] = None,
    objection: Annotated[
        str | None,
        typer.Option(parser=options.parse_name, metavar="TEXT", help="Why the build was rejected.", show_default=False),
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "-p", "--project", parser=options.parse_name, metavar="PROJECT_ID", help="The project's ID.", show_default=False
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            parser=options.parse_timeout, metavar="DUR", help="Time for the receiver to answer (default 10s).", show_default=False
        ),
    ] = None,
) -> None:
    """Send a fake event to test your receiver.

    spcli does not call the service. Exits 16 if the receiver fails.

    \b
      spcli webhooks send build.rejected --to http://127.0.0.1:8080/hooks/TOKEN
    """
    runtime: Runtime = ctx.obj
    runtime.project = project
    from spcli.webhooks.deliver import deliver, parse_receiver_url

    if project is not None and parse_project_id(project) is None:
        raise SpcliError("usage", "-p takes a project ID here, not a name", hint="list the IDs with `spcli projects list`")
    url = parse_receiver_url(to, "--to")
    in_force = parse_project_id(runtime.settings.project or "")
    payload = fake_payload(
        event,
        runtime.clock.wall(),
        project_id=NO_ID if in_force is None else in_force,
        upload_id=NO_ID if upload_id is None else upload_id,
        file_url=file_url,
        objection=objection,
    )
    seconds = SEND_SECONDS if timeout is None else timeout
    status = deliver(url, payload, seconds=seconds, clock=runtime.clock, environ=runtime.environ)
    runtime.output.result(
        {"event": event, "status": status, "payload": payload}, lines=[f"{event} delivered: the receiver answered {status}"]
    )


def probe(ctx: typer.Context, project: options.Project = None, timeout: options.Timeout = None) -> None:
    """Ask the service to send a test event.

    The event goes to the webhook URL in the project's settings. Exits 16 if the receiver fails.
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    project_id = options.find_project_id(runtime)
    try:
        report = runtime.api.test_webhook(project_id)
    except Refused as refused:
        if refused.status in (404, 405):
            refused.hint = (
                "set the webhook URL in the dashboard's project settings, or use the Test Webhook button there: "
                "the project has no URL, or this service has no test endpoint"
            )
        raise
    status = report["statusCode"]
    lines = [
        ("delivered", "yes" if report["success"] else "no"),
        ("message", report["message"] or "none"),
        ("answer", "unknown" if status is None else f"HTTP {status}" if status else "none (no connection)"),
    ]
    runtime.output.result(report, lines=lines)
    if report["success"] is not True:
        reason = "the service could not connect to it" if status in (0, None) else f"it answered {status}"
        message = report["message"] or "the webhook receiver failed"
        raise SpcliError("receiver", message, hint=f"start a receiver with spcli webhooks listen: {reason}")
