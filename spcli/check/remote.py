"""A URL's answers, judged: redirects, errors, pages in place of files, and then the archive by ranges."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from spcli.check.archive import archive_findings
from spcli.check.finding import Finding, amount, error, warning
from spcli.check.links import is_private_address
from spcli.errors import NotSent, Unclear
from spcli.transport.ranges import Part, Storage

SOFT_LIMIT = 24_000_000_000
_PIECE = 8 * 1024 * 1024
_MAGIC = b"PK\x03\x04"
# Answers that may be different in a minute, or for another client: they say nothing certain.
_PASSING = (408, 425, 429)
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_PAGE = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_FORMATS = (
    (b"PK\x07\x08", "a volume of a split zip"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"MZ", "an .exe"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)
_DIRECT = "Streampixel follows no redirect: pass the link it ends at, without a page or login between"
_TAKES_ZIP = "Streampixel takes .zip files only: zip the packaged Windows folder"
_PAGE_HINT = "pass the link of the file itself: it must download at once, without a page, login or button"
_HTTP_HINTS = {
    401: "make the object public, or presign the link",
    403: "make the object public, or presign the link with s3:GetObject rights; a presigned link may have expired",
    404: "nothing lies there: check bucket, path and capital letters",
    410: "it is gone: upload the zip again",
}


class Seen(NamedTuple):
    """What a look at a file tells."""

    findings: list[Finding]
    size: int | None = None
    entries: int | None = None


class _Unread(Exception):
    """The storage host's answers can't be used to look into the file."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


def remote_findings(storage: Storage, *, most: int, host: str, local_api: bool) -> Seen:
    """Fetch the first bytes, and where they are a zip's, its directory; `most` bounds the entries looked at."""
    try:
        first = storage.get(0, 3)
    except (NotSent, Unclear) as failure:
        return Seen([error("unreachable", failure.message, failure.hint or "check host and network", certain=False)])
    found = [] if local_api else address_findings(host, storage.address)
    wrong = answer_findings(first)
    size = first.size if first.status in (200, 206) and not first.is_other else None
    if wrong:
        return Seen([*found, *wrong], size)
    found += size_findings(size)
    try:
        contents, entries = _contents(storage, first, most=most)
    except _Unread as unread:
        contents, entries = [unread.finding], None
    except (NotSent, Unclear) as failure:
        contents, entries = [_not_looked_into(failure.message)], None
    return Seen([*found, *contents], size, entries)


def address_findings(host: str, address: str) -> list[Finding]:
    """A name that leads to a private address here may lead elsewhere from outside: a doubt, no error."""
    if not is_private_address(address):
        return []
    text = f"{host} is {address} here, a private address: Streampixel may not reach it"
    return [warning("private-address", text, "see that the host can be reached from the internet")]


def size_findings(size: int | None) -> list[Finding]:
    """The documented limit is soft: 24 GB, more on request."""
    if size is None or size <= SOFT_LIMIT:
        return []
    text = f"{amount(size)} is over Streampixel's soft limit of 24 GB"
    return [warning("large", text, "ask support@streampixel.io to raise it")]


def answer_findings(first: Part) -> list[Finding]:
    """Why the answer to the first look is no zip; nothing when it may be one."""
    if 300 <= first.status < 400:
        host = _host(first.location)
        return [error("redirect", f"the link redirects{f' to {host}' if host else ''} (HTTP {first.status})", _DIRECT)]
    if first.status >= 400:
        return [_http_error(first)]
    if first.status not in (200, 206):
        return [error("http-error", f"the storage host answered {first.status}, without a file", certain=False)]
    if first.is_cut and (first.is_other or len(first.body) < len(_MAGIC)):
        text = "the storage host answered, but did not send the file's beginning in time"
        return [error("unreachable", text, "try again in a minute", certain=False)]
    # Bytes from the middle of the file, or none, tell nothing about its beginning.
    if first.is_other:
        return [_no_ranges()] if first.body.startswith(_MAGIC) else [_odd_part()]
    found = beginning_findings(first.body, content_type=first.content_type, size=first.size)
    # What the host packed once more, Streampixel may unpack again.
    return [finding._replace(certain=False) for finding in found] if first.encoding else found


def _http_error(first: Part) -> Finding:
    found = _CODE.search(first.body)
    code = f" {found[1].decode()}" if found else ""
    hint = _HTTP_HINTS.get(first.status, "open the link in a private browser window: it must download at once")
    if first.status == 416:
        return error("empty", "the file is empty (HTTP 416)", "upload the zip again", certain=False)
    certain = first.status < 500 and first.status not in _PASSING
    return error("http-error", f"the storage host answered {first.status}{code}", hint, certain=certain)


def _host(location: str | None) -> str:
    try:
        return urlsplit(location or "").hostname or ""
    except ValueError:
        return ""


def beginning_findings(body: bytes, *, content_type: str, size: int | None) -> list[Finding]:
    """Why a file that begins with `body` is no zip that Streampixel can use."""
    if body.startswith(_MAGIC):
        return []
    if not body and size in (None, 0):
        return [error("empty", "the file is empty", "upload the zip again", certain=size == 0)]
    if body.startswith(b"PK\x05\x06"):
        return [error("empty", "the zip is empty", _TAKES_ZIP)]
    kind = re.sub(r"[^a-z0-9/+.-]", "", content_type.split(";")[0].lower())[:60]
    if kind in ("text/html", "application/xhtml+xml") or _PAGE.match(body):
        return [error("html", "that is a web page, not a file", _PAGE_HINT)]
    known = next((text for magic, text in _FORMATS if body.startswith(magic)), None)
    if known is None and kind not in ("", "application/octet-stream", "binary/octet-stream") and "zip" not in kind:
        known = kind
    return [error("not-zip", f"that is no zip file{f' but {known}' if known else ''}", _TAKES_ZIP)]


def _no_ranges() -> Finding:
    text = "the storage host does not answer ranges: the zip's contents were not looked at"
    return warning("no-ranges", text, "check the local file: spcli check FILE")


def _odd_part() -> Finding:
    return error("odd-answer", "the storage host answered with another part than was asked for", "check the link", certain=False)


def _not_looked_into(reason: str) -> Finding:
    return warning("not-read", f"the zip's contents could not be looked at: {reason}", "check the local file: spcli check FILE")


def _contents(storage: Storage, first: Part, *, most: int) -> tuple[list[Finding], int | None]:
    if first.is_whole:
        body = first.body
        return archive_findings(len(body), lambda begin, end: body[begin : end + 1], most=most)
    if first.status != 206 or first.size is None:
        raise _Unread(_no_ranges())

    def fetch(begin: int, end: int) -> bytes:
        pieces = [_piece(storage, first, begin=at, end=min(at + _PIECE - 1, end)) for at in range(begin, end + 1, _PIECE)]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return archive_findings(first.size, fetch, most=most)


def _piece(storage: Storage, first: Part, *, begin: int, end: int) -> bytes:
    """One range, which must be of the same file as the first."""
    part = storage.get(begin, end)
    if part.status != 206:
        raise _Unread(_not_looked_into(f"the storage host answered {part.status} to a range"))
    if part.size != first.size or part.etag != first.etag:
        text = "the file changes while it is looked at"
        raise _Unread(warning("changing", text, "wait until its upload is complete, and give every build its own name"))
    if part.is_other:
        raise _Unread(_not_looked_into("the storage host answered with another part than was asked for"))
    return part.body
