"""Would Streampixel accept this zip? Looks at a URL or a local file without downloading it."""

import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spcli.check.archive import ENTRY_LIMIT
from spcli.check.beginning import inspect_file
from spcli.check.finding import ERROR, INFO, WARNING, Finding, Report, build_report, error, has_errors
from spcli.check.remote import Inspection, Target, inspect_storage
from spcli.check.url import is_host_name, judge_url, malformed_url
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.models import bare_url, file_name
from spcli.transport.proxies import is_loopback
from spcli.transport.ranges import Storage

if TYPE_CHECKING:
    from spcli.output import Output

CHECK_SECONDS = 15.0
# Reading the fetched bytes takes the rest of 5 s.
UPLOAD_SECONDS = 4.5
_UPLOAD_ENTRIES = 40_000


def is_url(text: str) -> bool:
    """Return whether `text` is a URL and not the path of a file."""
    return "://" in text


def check_url(
    url: str,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    local_api: bool,
    seconds: float = CHECK_SECONDS,
    strict: bool = False,
    log: Callable[[str], None] | None = None,
) -> Report:
    """Check a URL for at most `seconds`.

    Args:
        local_api: the API is on this machine, so it reaches private hosts.
        strict: fail on warnings.
        log: receives the lines of `-v`.

    Raises:
        SpcliError: `config`, for a proxy or CA variable that can't be used.
    """
    findings = judge_url(url, now=clock.wall(), local_api=local_api)
    size = entries = None
    if is_worth_asking(findings):
        target = _target_of(url, findings, now=clock.wall(), seconds=seconds, local_api=local_api)
        seen = _inspect_url(url, target, clock=clock, environ=environ, entry_limit=ENTRY_LIMIT, log=log)
        findings, size, entries = [*weigh_expiry(findings, seen.findings), *seen.findings], seen.size, seen.entries
    return build_report(bare_url(url), findings, size, entries, strict=strict)


def is_worth_asking(findings: Sequence[Finding]) -> bool:
    """Return whether the host should be asked: the URL has no error, or only an expiry, which the host's clock decides."""
    return not has_errors(one for one in findings if one.code != "expired")


def weigh_expiry(findings: Sequence[Finding], seen: Sequence[Finding]) -> list[Finding]:
    """Return the URL's findings after the host's answer, which counts for more than this machine's clock.

    An expiry becomes a warning if the host delivers the file, or if the host's refusal is an error that repeats the expiry.
    """
    is_delivered = not any(one.code in ("unreachable", "http-error") for one in seen)
    return [
        one._replace(level=WARNING)
        if one.code == "expired" and (is_delivered or any(one.message in other.message for other in seen))
        else one
        for one in findings
    ]


def _target_of(url: str, findings: Sequence[Finding], *, now: float, seconds: float, local_api: bool) -> Target:
    parts = urlsplit(url)
    return Target(parts.hostname or "", file_name(url), parts.query, findings, now, seconds, local_api)


def _inspect_url(
    url: str,
    target: Target,
    *,
    clock: Clock,
    environ: Mapping[str, str],
    entry_limit: int,
    log: Callable[[str], None] | None,
) -> Inspection:
    storage = Storage(url, clock=clock, environ=environ, deadline=clock.mono() + target.seconds, log=log)
    try:
        return inspect_storage(storage, target, entry_limit=entry_limit)
    finally:
        storage.close()


def check_file(path: str, *, strict: bool = False) -> Report:
    """Check a local zip by the same rules as one behind a URL."""
    try:
        findings, size, entries = _inspect_file(path)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a usable path"
        # A link without its scheme may contain a signature.
        target, hint = bare_url(path), "check the path"
        if is_host_name(path.partition("/")[0]):
            hint = f"check the path; a link begins with https://, as in https://{target}"
        return build_report(target, [error("no-file", f"cannot read the file: {reason}", hint)], None, None, strict=strict)
    return build_report(path, findings, size, entries, strict=strict)


def _inspect_file(path: str) -> Inspection:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        return Inspection([error("not-zip", f"this is {kind}", "zip the packaged Windows folder and check the zip")])
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size

        def fetch(first: int, last: int) -> bytes:
            file.seek(first)
            data = file.read(last - first + 1)
            if len(data) != last - first + 1:
                raise OSError(errno.EIO, "it changes while it is read")
            return data

        findings, entries = inspect_file(size, fetch, name=os.path.basename(path), entry_limit=ENTRY_LIMIT)
        return Inspection(findings, size, entries)


def note_url_findings(findings: Sequence[Finding], output: "Output") -> None:
    """Print the findings about a URL as notes: the expiry of a good link is worth knowing, too.

    Raises:
        SpcliError: `usage`, for a URL that cannot be sent.
    """
    problem = malformed_url(findings)
    if problem is not None:
        raise problem
    for finding in findings:
        if finding.level != ERROR or finding.code == "expired":
            output.note(finding.line)


def check_before_upload(
    url: str, findings: Sequence[Finding], *, clock: Clock, environ: Mapping[str, str], output: "Output", local_api: bool
) -> None:
    """Look at the file before `upload` uses its turn. A definite error stops the upload; everything else is a note.

    A sandbox downloads nothing, so with the API on this machine a file elsewhere is not checked.

    Args:
        findings: those of `judge_url`; `note_url_findings` has printed the expiry, and all but errors.

    Raises:
        SpcliError: `bad-file`, nothing was sent.
    """
    if local_api and not is_loopback(urlsplit(url).hostname or ""):
        return
    if is_worth_asking(findings):
        target = _target_of(url, findings, now=clock.wall(), seconds=UPLOAD_SECONDS, local_api=local_api)
        log = output.detail if output.verbose else None
        seen = _inspect_url(url, target, clock=clock, environ=environ, entry_limit=_UPLOAD_ENTRIES, log=log).findings
        findings = [*(one for one in weigh_expiry(findings, seen) if one.level == ERROR), *seen]
    hint = "see all findings with spcli check URL, or skip the check with --no-check"
    for finding in findings:
        if finding.level == ERROR and finding.certain:
            first = f"{finding.hint}\n" if finding.hint else ""
            raise SpcliError("bad-file", finding.message, hint=f"{first}{hint}", outcome="not_sent")
    for finding in findings:
        if finding.level != INFO and finding.code != "expired":
            output.note(f"check: {finding.line}")
