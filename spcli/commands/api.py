"""`spcli api METHOD PATH`: one raw authenticated call."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.api.raw import READS, raw_call
from spcli.commands import options
from spcli.commands.writing import new_sender
from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.api.raw import RawCall
    from spcli.runtime import Runtime
    from spcli.transport import Reply

LARGEST = 8 * 1024 * 1024
MOST_REFUSED = 64 * 1024


def _note_method(ctx: typer.Context, method: str) -> str:
    """Remember whether the call writes, for errors in the rest of the command line too."""
    ctx.obj.is_write = method.upper() not in READS
    return method


def api(
    ctx: typer.Context,
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="GET, HEAD, POST, PUT, PATCH or DELETE.", callback=_note_method)
    ],
    path: Annotated[str, typer.Argument(metavar="PATH", help="The path below the base URL, such as /projects.")],
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "-f",
            "--field",
            metavar="KEY=VALUE",
            help="A query parameter, or for POST, PUT and PATCH a field of the JSON body. May be repeated.",
            show_default=False,
        ),
    ] = None,
    include: Annotated[
        bool, typer.Option("-i", "--include", help="Also print status and headers; print a refusal to standard error.")
    ] = False,
    timeout: options.Timeout = None,
) -> None:
    """Make one authenticated API call.

    Prints the body of the answer. spcli adds the credentials where the method needs them. In a JSON body, true, false, null and
    numbers keep their type; any other value is a string. upload-file and distribute-file wait for their rate limit.

    \b
      spcli api GET /projects -f limit=5
      spcli api POST /projects/test-webhook -f projectId=665a2b3c4d5e6f7a8b9c0d1e
    """
    runtime: Runtime = ctx.obj
    runtime.timeout = timeout
    call = raw_call(method, path, fields or (), base_url=runtime.settings.base_url)
    if not call.is_read:
        runtime.output.assert_stdout()
    try:
        reply = _send(runtime, call)
    except SpcliError as failure:
        if failure.status == 404:
            failure.hint = f"check the path and the IDs in it: spcli looks for PATH below {runtime.settings.base_url}"
        if include and failure.status is not None:
            _show_refused(runtime)
        raise
    _show(runtime, reply, include)


def _send(runtime: "Runtime", call: "RawCall") -> "Reply":
    """Send the call. Raises `SpcliError`, with the outcome of a write."""
    from spcli.writes.raw import LimitedCall, send_once

    _hide_queries(runtime, call)
    if call.is_read:
        return runtime.api.raw_read(call.method, call.path, (*call.query, *call.fields))
    if call.endpoint is not None:
        return LimitedCall(new_sender(runtime, call.endpoint), call).send()
    return send_once(runtime.api, runtime.output, runtime.signals, call)


def _hide_queries(runtime: "Runtime", call: "RawCall") -> None:
    """Register the query of each URL in the call as a secret: a server may quote it."""
    for _, text in (*call.query, *call.fields):
        if "://" in text:
            runtime.output.redactor.register_url(text)


def _show(runtime: "Runtime", reply: "Reply", include: bool) -> None:
    """Print the answer: as it came, indented on a terminal, one document with `--json`."""
    output = runtime.output
    if not reply.readable and reply.size >= LARGEST:
        raise SpcliError("protocol", "the answer is over 8 MiB", status=reply.status)
    is_json = reply.readable and bool(reply.body)
    if output.json_mode:
        if reply.body and not is_json:
            raise SpcliError("protocol", "the answer is not JSON", hint="omit --json to see it", status=reply.status)
        headers: dict[str, str] = {}
        for name, value in reply.headers:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        output.result({"status": reply.status, "headers": headers, "body": reply.data} if include else reply.data)
        return
    if include:
        output.result(None, lines=_head(reply))
    if reply.body:
        output.raw_body(reply.body, reply.data, is_json=is_json)


def _head(reply: "Reply") -> list[str]:
    return [f"HTTP {reply.status}", *(f"{name}: {value}" for name, value in reply.headers), ""]


def _show_refused(runtime: "Runtime") -> None:
    """Print a refused answer on stderr, above the error: stdout stays empty then."""
    reply = runtime.api.transport.last_refusal
    if reply is not None:
        for line in (*_head(reply), *reply.body[:MOST_REFUSED].decode("utf-8", "replace").splitlines()):
            runtime.output.status(line)
