"""Send a raw write (`spcli api`) once, and report its outcome.

A call of a rate-limited endpoint takes its turn and is recorded in the history. spcli never sends it again.
"""

from spcli.api.client import Api, RawReply
from spcli.api.parse import Accepted
from spcli.api.raw import RawCall
from spcli.errors import Interrupted, NotSent, Refused, SpcliError, Unclear
from spcli.models import bare_url, url_digest
from spcli.output import Output
from spcli.ratelimit.refusal import classify_refusal
from spcli.signals import Signals
from spcli.state.ledger import NewAttempt, WriteNote
from spcli.writes.send import Sender

MAY_HAVE_HAPPENED = "check whether it was processed before you send it again: spcli sends a raw call only once"


def send_once(api: Api, output: Output, signals: Signals, raw: RawCall) -> RawReply:
    """Send a write of an endpoint without a rate limit. Raises `SpcliError` with its outcome."""
    api.transport.forget_last_call()
    try:
        with signals.deliver():
            reply = api.raw_write(raw)
            output.remember_write("")
            return reply
    except (NotSent, Refused, Unclear) as failure:
        raise _write_failure(failure) from None
    except Interrupted as signal:
        raise _explain_signal(signal, output, is_sent=api.transport.last_sent_at is not None) from None


class LimitedCall:
    """A raw write of a rate-limited endpoint, through its `Sender`'s turn."""

    def __init__(self, sender: Sender, raw: RawCall) -> None:
        self._sender = sender
        self._raw = raw
        self._body = raw.body

    def send(self) -> RawReply:
        """Send once. Raises `SpcliError` with its outcome."""
        turn = self._sender.turn
        try:
            with self._sender.signals.deliver():
                turn.wait_and_commit(self._history_row(), float("inf"))
                return self._send_committed()
        except Interrupted as signal:
            turn.end_turn()
            if isinstance(turn.reply, Accepted):
                # The signal may have come before this was recorded.
                self._record_accepted(turn.reply)
            stopped = _explain_signal(signal, self._sender.output, is_sent=turn.sent_at is not None)
            if stopped.outcome == "unknown":
                self._record("unclear", stopped.message)
            raise stopped from None
        except BaseException:
            turn.end_turn()
            raise

    def _send_committed(self) -> RawReply:
        turn = self._sender.turn
        reply = turn.send_call(self._raw.method, self._raw.path, self._sender.api.raw_body(self._body))
        if isinstance(reply, SpcliError):
            error = _write_failure(reply)
            self._record({"not_sent": "unsent", "refused": "refused"}.get(error.outcome or "", "unclear"), error.message)
            if isinstance(error, Refused) and classify_refusal(error).closed_for:
                error.kind, error.retry_after = "rate-limited", max(1.0, turn.seconds_left())
            raise error
        self._record_accepted(reply)
        return reply.reply

    def _record_accepted(self, reply: Accepted) -> None:
        upload_id = reply.upload_id or self._text_field("uploadId")
        is_known = upload_id is not None or self._raw.endpoint == "distribute"
        self._sender.output.remember_write(upload_id or "")
        # A login page of a proxy is not the service's word.
        is_accepted = not is_known and not reply.is_foreign
        self._record("done" if is_known else "unclear", reply.message, upload_id, accepted=is_accepted)

    def _record(self, phase: str, message: str | None, upload_id: str | None = None, *, accepted: bool = False) -> None:
        sender = self._sender
        if sender.turn.attempt_id is not None:
            sender.state.ledger.record(
                sender.turn.attempt_id, phase, upload_id=upload_id, message=message and sender.redact(message), accepted=accepted,
                anew=self._history_row(),
            )  # fmt: skip

    def _history_row(self) -> NewAttempt:
        """Return the history row, which a later upload of the same file settles first."""
        url, is_upload = self._text_field("fileUrl"), self._raw.endpoint == "upload"
        return NewAttempt(
            self._raw.endpoint or "", self._sender.account, self._text_field("projectId") or "",
            url=None if url is None else bare_url(url), digest=None if url is None else url_digest(url),
            upload_id=None if is_upload else self._text_field("uploadId"),
            auto_release=bool(self._body.get("autoRelease", True)) if is_upload else None,
            baseline=None, note=WriteNote(text="spcli api"),
        )  # fmt: skip

    def _text_field(self, name: str) -> str | None:
        value = self._body.get(name)
        return value if isinstance(value, str) else None


def _write_failure(failure: SpcliError) -> SpcliError:
    """Return what the failure of a call that is sent once means for the write."""
    if isinstance(failure, NotSent):
        failure.outcome = "not_sent"
        return failure
    if isinstance(failure, Refused) and classify_refusal(failure).meaning != "unclear":
        failure.outcome = "refused"
        return failure
    return SpcliError(
        "unknown", failure.message, status=failure.status, outcome="unknown", hint=MAY_HAVE_HAPPENED, retryable=False
    )


def _explain_signal(signal: Interrupted, output: Output, *, is_sent: bool) -> SpcliError:
    """Return what Ctrl-C or SIGTERM means, before a raw write has left or after."""
    if is_sent and output.write_happened is None:
        message = "interrupted while the request was under way"
        return SpcliError("unknown", message, outcome="unknown", hint=MAY_HAVE_HAPPENED, retryable=False)
    stopped = SpcliError("interrupted", "interrupted", outcome="not_sent")
    stopped.code = signal.exit_code
    return stopped
