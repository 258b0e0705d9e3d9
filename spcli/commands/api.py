"""`spcli api METHOD PATH`: one raw authenticated call."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import Interrupted, NotSent, Refused, SpcliError, Unclear
from spcli.models import bare_url, url_digest
from spcli.ratelimit import window as policy

if TYPE_CHECKING:
    from spcli.api.raw import RawCall
    from spcli.runtime import Runtime
    from spcli.state.ledger import NewAttempt
    from spcli.transport import Reply

LARGEST = 8 * 1024 * 1024
MOST_REFUSED = 64 * 1024
MAY_HAVE_HAPPENED = "it may have been processed; a raw call is sent once and not looked up: look before you send it again"


def api(
    ctx: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, HEAD, POST, PUT, PATCH or DELETE.")],
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
        bool, typer.Option("-i", "--include", help="Status and headers, too; a refusal on standard error.")
    ] = False,
    timeout: options.Timeout = None,
) -> None:
    """Make one authenticated call.

    The body of its answer is printed. Credentials are added where the method wants them. In a JSON body a value is a string, but
    true, false, null and numbers are themselves. upload-file and distribute-file wait for their window.

    \b
      spcli api GET /projects -f limit=5
      spcli api POST /projects/test-webhook -f projectId=665a2b3c4d5e6f7a8b9c0d1e
    """
    from spcli.api.raw import raw_call

    runtime: Runtime = ctx.obj
    runtime.timeout = timeout
    call = raw_call(method, path, fields or (), base_url=runtime.settings.base_url)
    if not call.is_read:
        runtime.output.assert_stdout()
    try:
        reply = _answer(runtime, call)
    except SpcliError as failure:
        if failure.status == 404:
            failure.hint = f"no such path, or nothing of that id: PATH is looked for below {runtime.settings.base_url}"
        if include and failure.status is not None:
            _show_refused(runtime)
        raise
    _show(runtime, call, reply, include)


def _answer(runtime: "Runtime", call: "RawCall") -> "Reply":
    """Send the call. Raises `SpcliError`, with the outcome of a write."""
    _hide_query(runtime, call)
    if call.is_read:
        return runtime.api.raw_read(call.method, call.path, (*call.query, *call.fields))
    if call.endpoint is not None:
        return _Limited(runtime, call, call.endpoint).send()
    return _Once(runtime, call).send()


class _Once:
    """A raw call of an endpoint without a limit: sent once, whatever becomes of it."""

    def __init__(self, runtime: "Runtime", call: "RawCall") -> None:
        self._runtime = runtime
        self._call = call

    def send(self) -> "Reply":
        """Send once. Raises `SpcliError` with its outcome."""
        try:
            with self._runtime.signals.deliver():
                return self._sent()
        except Interrupted as signal:
            is_sent = self._runtime.api.transport.last_sent_at is not None
            raise _stopped(self._runtime, signal, is_sent=is_sent) from None

    def _sent(self) -> "Reply":
        from spcli.api.raw import WITH_BODY
        from spcli.transport import Call

        raw = self._call
        has_body = raw.method in WITH_BODY
        query = raw.query if has_body else (*raw.query, *raw.fields)
        call = Call(raw.method, raw.path, tuple(query), raw.body if has_body else None)
        try:
            reply = self._runtime.api.raw_write(call)
        except (NotSent, Refused, Unclear) as failure:
            raise _write_failure(failure) from None
        self._runtime.output.write_happened = ""
        return reply


def _stopped(runtime: "Runtime", signal: Interrupted, *, is_sent: bool) -> SpcliError:
    """Ctrl-C or SIGTERM, before a raw write has left or after."""
    if is_sent and runtime.output.write_happened is None:
        message = "interrupted while the request was under way"
        return SpcliError("unknown", message, outcome="unknown", hint=MAY_HAVE_HAPPENED, retryable=False)
    stopped = SpcliError("interrupted", "interrupted", outcome="not_sent")
    stopped.code = signal.exit_code
    return stopped


def _hide_query(runtime: "Runtime", call: "RawCall") -> None:
    """The query of a file's URL is its secret: a server that quotes it must not spread it."""
    for _, text in (*call.query, *call.fields):
        if "://" in text:
            runtime.output.redactor.register_url(text)


def _write_failure(failure: SpcliError) -> SpcliError:
    """What the failure of a call that is sent once means for the write."""
    if isinstance(failure, NotSent):
        failure.outcome = "not_sent"
        return failure
    if isinstance(failure, Refused) and policy.answer_of(failure) != "unclear":
        failure.outcome = "refused"
        return failure
    return SpcliError(
        "unknown", failure.message, status=failure.status, outcome="unknown", hint=MAY_HAVE_HAPPENED, retryable=False
    )


class _Limited:
    """A raw call of a limited endpoint: through its window and into the ledger as any other, but sent once and not settled."""

    def __init__(self, runtime: "Runtime", call: "RawCall", endpoint: str) -> None:
        from spcli.writes.turn import LimitedCalls, patience

        self._runtime = runtime
        self._call = call
        self._endpoint = endpoint
        self._body = call.body
        self._calls = LimitedCalls(runtime, endpoint, patience(runtime, None))

    def send(self) -> "Reply":
        """Send once. Raises `SpcliError` with its outcome."""
        try:
            with self._runtime.signals.deliver():
                return self._sent()
        except Interrupted as signal:
            stopped = _stopped(self._runtime, signal, is_sent=self._calls.sent)
        if stopped.outcome == "unknown":
            self._record("unclear", stopped.message)
        raise stopped

    def _sent(self) -> "Reply":
        from spcli.writes.turn import Request

        body = self._runtime.api.raw_body(self._body)
        request = Request(self._call.path, body, self._attempt, lambda: None, self._runtime.clock.mono, self._call.method)
        try:
            accepted = self._calls.send(request)
        except (NotSent, Refused, Unclear) as failure:
            raise self._failed(failure) from None
        upload_id = accepted.upload_id or self._text("uploadId")
        is_known = upload_id is not None or self._endpoint == "distribute"
        self._runtime.output.write_happened = upload_id or ""
        # A login page in between is no word of the service's.
        is_accepted = not is_known and not accepted.is_foreign
        self._record("done" if is_known else "unclear", accepted.message, upload_id, accepted=is_accepted)
        return accepted.reply

    def _failed(self, failure: SpcliError) -> SpcliError:
        error = _write_failure(failure)
        self._record({"not_sent": "unsent", "refused": "refused"}.get(error.outcome or "", "unclear"), error.message)
        if isinstance(error, Refused) and policy.answer_of(error) == "limited":
            left = self._runtime.state.windows.view_window(self._calls.bucket).seconds_left
            error.kind, error.retry_after = "rate-limited", max(1.0, left)
        return error

    def _record(self, phase: str, message: str | None, upload_id: str | None = None, *, accepted: bool = False) -> None:
        from spcli.writes.turn import keepable

        words = message and keepable(self._runtime, message)
        if self._calls.attempt_id is not None:
            self._runtime.state.ledger.record(
                self._calls.attempt_id, phase, upload_id=upload_id, message=words, accepted=accepted, anew=self._attempt()
            )

    def _attempt(self) -> "NewAttempt":
        """The ledger's row: what a later upload of the same file settles first."""
        from spcli.state.ledger import NewAttempt

        url = self._text("fileUrl")
        is_upload = self._endpoint == "upload"
        return NewAttempt(
            self._endpoint, self._runtime.account, self._text("projectId") or "",
            url=None if url is None else bare_url(url), digest=None if url is None else url_digest(url),
            upload_id=None if is_upload else self._text("uploadId"),
            auto_release=bool(self._body.get("autoRelease", True)) if is_upload else None, baseline=None, note="spcli api",
        )  # fmt: skip

    def _text(self, name: str) -> str | None:
        value = self._body.get(name)
        return value if isinstance(value, str) else None


def _show(runtime: "Runtime", call: "RawCall", reply: "Reply", include: bool) -> None:
    """The answer on stdout: as it came, laid out on a terminal, one document with `--json`."""
    output = runtime.output
    if not reply.readable and reply.size >= LARGEST:
        raise SpcliError("protocol", "the answer is over 8 MiB", status=reply.status)
    is_json = reply.readable and bool(reply.body)
    if output.json_mode:
        if reply.body and not is_json:
            raise SpcliError("protocol", "the answer is not JSON", hint="leave --json out to see it", status=reply.status)
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
    """A refused answer on stderr, above the error: stdout stays empty then."""
    reply = runtime.api.transport.last_refusal
    if reply is not None:
        for line in (*_head(reply), *reply.body[:MOST_REFUSED].decode("utf-8", "replace").splitlines()):
            runtime.output.status(line)
