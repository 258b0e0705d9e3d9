"""Would Streampixel take this zip? Looks at a URL or a local file and says what is wrong, without downloading it."""

import os
import stat
from typing import TYPE_CHECKING

from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.check.finding import Finding, Report
    from spcli.check.remote import Seen
    from spcli.runtime import Runtime

CHECK_SECONDS = 15.0
# Together 5 s: reading what was fetched takes its time, too.
UPLOAD_SECONDS = 4.5
_UPLOAD_ENTRIES = 40_000
_TOLD_BY_UPLOAD = ("http", "name")  # `file_url.notes_on` says these


def is_url(text: str) -> bool:
    """Whether `text` is a URL and not the path of a file."""
    return "://" in text


def check_url(
    runtime: "Runtime", url: str, *, seconds: float = CHECK_SECONDS, most: int | None = None, strict: bool = False
) -> "Report":
    """Look at a URL, for `seconds` at most; `most` bounds the zip's entries looked at, `strict` fails on warnings.

    Raises:
        SpcliError: `config`, for a proxy or CA variable, or a base URL, that can't be used.
    """
    from spcli.check.finding import ERROR
    from spcli.check.links import url_findings
    from spcli.models import bare_url

    local_api = runtime.settings.is_loopback
    found = url_findings(url, now=runtime.clock.wall(), local_api=local_api)
    size = entries = None
    if not any(finding.level == ERROR for finding in found):
        seen = _seen_at(runtime, url, deadline=runtime.clock.mono() + seconds, most=most)
        found, size, entries = [*found, *seen.findings], seen.size, seen.entries
    return _report(bare_url(url), found, size, entries, strict=strict)


def _seen_at(runtime: "Runtime", url: str, *, deadline: float, most: int | None) -> "Seen":
    from urllib.parse import urlsplit

    from spcli.check.archive import ENTRY_LIMIT
    from spcli.check.remote import remote_findings
    from spcli.transport.ranges import Storage

    log = runtime.output.detail if runtime.output.verbose else None
    storage = Storage(url, clock=runtime.clock, environ=runtime.environ, deadline=deadline, log=log)
    try:
        host = urlsplit(url).hostname or ""
        return remote_findings(storage, most=most or ENTRY_LIMIT, host=host, local_api=runtime.settings.is_loopback)
    finally:
        storage.close()


def check_file(path: str, *, strict: bool = False) -> "Report":
    """Look at a local zip as at one behind a URL."""
    from spcli.check.finding import error
    from spcli.check.url import is_host
    from spcli.models import bare_url

    try:
        found, size, entries = _seen_on_disk(path)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a usable path"
        # A link without its scheme may hold a signature.
        shown, hint = bare_url(path), "check the path"
        if is_host(path.partition("/")[0]):
            hint = f"check the path; a link begins with https://, as in https://{shown}"
        return _report(shown, [error("no-file", f"the file cannot be read: {reason}", hint)], None, None, strict=strict)
    return _report(path, found, size, entries, strict=strict)


def _seen_on_disk(path: str) -> "Seen":
    from spcli.check.archive import archive_findings
    from spcli.check.finding import error
    from spcli.check.remote import Seen, beginning_findings, size_findings

    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        return Seen([error("not-zip", f"that is {what}", "zip the packaged Windows folder, and check the zip")])
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size

        def fetch(begin: int, end: int) -> bytes:
            file.seek(begin)
            return file.read(end - begin + 1)

        found = beginning_findings(fetch(0, 63), content_type="", size=size)
        if found:
            return Seen(found, size)
        contents, entries = archive_findings(size, fetch)
        return Seen([*size_findings(size), *contents], size, entries)


def _report(target: str, found: "list[Finding]", size: int | None, entries: int | None, *, strict: bool) -> "Report":
    from spcli.check.finding import ERROR, INFO, WARNING, Report

    ranked = sorted(found, key=lambda finding: (ERROR, WARNING, INFO).index(finding.level))
    ok = not any(finding.level == ERROR or (strict and finding.level == WARNING) for finding in found)
    return Report(target, size, ok, tuple(ranked), entries)


def failure_of(report: "Report") -> SpcliError | None:
    """The error a report ends in, `None` for a good one."""
    if report.ok:
        return None
    from spcli.check.finding import ERROR

    errors = [finding for finding in report.findings if finding.level == ERROR]
    if not errors:
        return SpcliError(
            "bad-file", "the check found warnings, and --strict counts them", hint="leave --strict out to let them pass"
        )
    more = f" ({len(errors) - 1} more above)" if len(errors) > 1 else ""
    return SpcliError("bad-file", f"{errors[0].message}{more}", hint=errors[0].hint)


def before_upload(runtime: "Runtime", url: str) -> None:
    """The look that `upload` takes before it spends a window: doubts are notes, and only what is certain stops it.

    A sandbox downloads nothing, so with the API on this machine a file elsewhere is not looked at.

    Raises:
        SpcliError: `bad-file`, nothing was sent.
    """
    from spcli.check.finding import ERROR, INFO
    from spcli.transport.proxies import is_loopback

    if runtime.settings.is_loopback and not is_loopback(_host(url)):
        return
    report = check_url(runtime, url, seconds=UPLOAD_SECONDS, most=_UPLOAD_ENTRIES)
    hint = "`spcli check URL` shows all findings; --no-check uploads without looking"
    for finding in report.findings:
        if finding.level == ERROR and finding.certain:
            first = f"{finding.hint}\n" if finding.hint else ""
            raise SpcliError("bad-file", finding.message, hint=f"{first}{hint}", outcome="not_sent")
    for finding in report.findings:
        if finding.level != INFO and finding.code not in _TOLD_BY_UPLOAD:
            runtime.output.note(f"check: {finding.message}" + (f"; {finding.hint}" if finding.hint else ""))


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).hostname or ""
