"""Every way a command can fail: name, exit code, what happened at the service, what to do next.

`spcli exit-codes`, the man pages and the README print the table from here. Codes and names never change.
"""

from typing import Literal, NamedTuple

Outcome = Literal["not_sent", "refused", "unknown", "done"]


class ExitCode(NamedTuple):
    """One row of the exit-code table. `safe_to_retry` answers "safe to retry?" in words, or is empty."""

    code: int
    name: str
    meaning: str
    safe_to_retry: str


EXIT_CODES = (
    ExitCode(0, "ok", "success", ""),
    ExitCode(1, "internal", "a bug in spcli", "report it"),
    ExitCode(2, "usage", "bad flag or argument", "no"),
    ExitCode(3, "config", "settings, credentials or state folder missing or unusable; found before any request", "no"),
    ExitCode(10, "rejected", "the build was rejected; its objection is printed", "no"),
    ExitCode(11, "deadline", "--deadline was reached; the build is still being processed", "no: builds wait ID"),
    ExitCode(12, "bad-file", "the URL or zip failed the check", "no"),
    ExitCode(13, "no-target", "no such name or ID, an ambiguous name, or nothing to act on", "no"),
    ExitCode(14, "guard", "a guard refused (--expect-live, build not releasable)", "no"),
    ExitCode(15, "unconfirmed", "you declined, or --yes is missing without a terminal", "no"),
    ExitCode(16, "receiver", "the webhook receiver failed", "yes"),
    ExitCode(17, "unreadable", "the service does not report the build's status; see the hint", "no"),
    ExitCode(19, "output-lost", "it happened, but its result could not be written to standard output", "no"),
    ExitCode(40, "http-400", "the service answered 400: malformed request", "no"),
    ExitCode(41, "http-401", "the service answered 401: wrong key or user ID", "no"),
    ExitCode(43, "http-403", "the service answered 403: no access, view-only, or switched off", "no"),
    ExitCode(44, "http-404", "the service answered 404: no such project or build", "no"),
    ExitCode(45, "http-415", "the service answered 415: wrong content type", "no"),
    ExitCode(48, "http-4xx", "any other 4xx", "no"),
    ExitCode(49, "rate-limited", "429, or the rate limit does not allow the call yet; nothing was done", "yes, after retryAfter"),
    ExitCode(50, "http-5xx", "any 5xx after the retries", "see outcome"),
    ExitCode(60, "network", "the service could not be reached, or a read timed out; nothing was changed", "yes"),
    ExitCode(
        61,
        "unknown",
        "a write may have been processed, and spcli could not find out",
        "yes, with the same state folder: it checks first",
    ),
    ExitCode(62, "protocol", "the answer is not what the service documents, or is a redirect", "no"),
    ExitCode(130, "interrupted", "Ctrl-C", "only if outcome is not_sent; else builds wait ID"),
    ExitCode(141, "closed-pipe", "the reader of standard output went away", "yes"),
    ExitCode(143, "interrupted", "SIGTERM", "only if outcome is not_sent; else builds wait ID"),
)
CODE_OF = {row.name: row.code for row in reversed(EXIT_CODES)}

_HTTP_KINDS = {400: "http-400", 401: "http-401", 403: "http-403", 404: "http-404", 415: "http-415", 429: "rate-limited"}
_SAFE_KINDS = frozenset({"receiver", "rate-limited", "network", "closed-pipe"})


# What to do next where the place that raised the error knows nothing better. Causes: https://docs.streampixel.io, errors.
DEFAULT_HINTS = {
    "http-401": "check which credentials are used with `spcli auth status --no-verify`; store others with `spcli auth login` "
    "(requesting a new API key revokes the old one immediately)",
    "http-403": "check that the project belongs to this account, is active, and that this key has write access",
    "http-404": "list valid IDs with `spcli projects list` and `spcli builds`",
    "network": "check the address with `spcli config get base_url`; -v shows each call",
    "protocol": "check whether a proxy or a login page answers: `spcli config get base_url` shows the address, -v each call",
}


def http_kind(status: int) -> str:
    """Return the failure's name for an HTTP status of 300 or more of the Streampixel API."""
    if status < 400:
        return "protocol"
    return _HTTP_KINDS.get(status, "http-4xx" if status < 500 else "http-5xx")


class SpcliError(Exception):
    """A failure with everything the operator and the script need to know.

    Args:
        kind: a `name` of `EXIT_CODES`; the exit code follows from it.
        message: what went wrong; the server's own words where it sent some, unescaped (the output escapes them).
        hint: what to type or do next, ours.
        status: the HTTP status of the Streampixel API, if one was received.
        retry_after: seconds until the same command may succeed.
        outcome: what became of the write; `None` where the command writes nothing.
        upload_id: the build's id, whenever a write is known to have happened.
        retryable: overrides what `kind` implies (is the same command again safe?).

    Attributes:
        sent_at: for a failed call to the service, the reading of `Clock.mono` when its first byte left; None if nothing left.
    """

    sent_at: float | None = None

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        hint: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        outcome: Outcome | None = None,
        upload_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint
        self.status = status
        self.retry_after = retry_after
        self.outcome: Outcome | None = outcome
        self.upload_id = upload_id
        self.code: int | None = None
        self._retryable = retryable

    @property
    def exit_code(self) -> int:
        """Return the process's exit code: `code` if one name stands for several (`interrupted`)."""
        return self.code or CODE_OF[self.kind]

    @property
    def retryable(self) -> bool:
        """Return whether the same command again is safe; never once the write has happened."""
        if self.outcome == "done":
            return False
        if self._retryable is not None:
            return self._retryable
        if self.kind == "http-5xx":
            return self.outcome in (None, "not_sent", "refused")
        return self.kind in _SAFE_KINDS or (self.kind in ("unknown", "interrupted") and self.outcome in ("unknown", "not_sent"))

    @property
    def may_pass(self) -> bool:
        """Return whether a read that failed like this may work a moment later, so that it proves nothing."""
        return self.kind in ("network", "http-5xx", "rate-limited", "protocol")


class NotSent(SpcliError):
    """The call failed before its first byte left this machine: the service never saw it.

    `transient` is true for a failure worth a quick retry (refused, reset, timeout), false for one that would only be repeated
    (certificate, unknown host).
    """

    def __init__(self, message: str, *, hint: str | None = None, transient: bool = True) -> None:
        super().__init__("network", message, hint=hint)
        self.transient = transient


class Refused(SpcliError):
    """The service answered with a status of 300 or more.

    Args:
        documented: the body was the JSON object with a string `message` that every error of the service has; a proxy's or
            gateway's own page is not.
        hinted: seconds from `Retry-After`, `None` without a usable one (RFC 9110 section 10.2.3).
        is_page: the answer was an HTML page or the like, as a proxy or CDN in front of the service sends when it blocks a client.
    """

    def __init__(
        self, status: int, message: str, *, documented: bool, hinted: float | None = None, is_page: bool = False
    ) -> None:
        super().__init__(http_kind(status), message, status=status)
        self.documented = documented
        self.hinted = hinted
        self.is_page = is_page


class Unclear(SpcliError):
    """Bytes had left, and no usable answer came: a read failed, a write may or may not have been processed.

    `is_over` says that the other side closed the connection: no part of the call is on its way any more.
    """

    def __init__(self, message: str, *, hint: str | None = None, is_over: bool = False) -> None:
        super().__init__("network", message, hint=hint)
        self.is_over = is_over


class Interrupted(BaseException):
    """Raised by the signal handlers for Ctrl-C, Ctrl-Break and SIGTERM.

    Not an `Exception`, so no library in between can swallow it, and not `KeyboardInterrupt`, which Typer would turn into 130
    on its own.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code
