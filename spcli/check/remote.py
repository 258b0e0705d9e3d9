"""Judge a storage host's answers: redirects, errors, pages in place of files, and then the archive by ranges."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from spcli.check.archive import inspect_archive
from spcli.check.finding import Finding, error, format_size, warning
from spcli.check.url import is_private_address
from spcli.errors import NotSent, Unclear
from spcli.transport.ranges import Part, Storage

SOFT_LIMIT = 24_000_000_000
_PIECE = 8 * 1024 * 1024
_MOST_PIECES = 64
FIRST_BYTES = 512
"""Bytes of a file's beginning that decide what it is: a page may begin with blank lines and a comment."""
_MAGIC = b"PK\x03\x04"
# These answers may be different in a minute, or for another client: they prove nothing.
_TRANSIENT = (408, 425, 429)
_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml")
_FORMATS = (
    (b"PK\x07\x08", "a volume of a split zip"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\x1f\x8b", "a gzip file"),
    (b"MZ", "an .exe"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)
_DIRECT = "Streampixel does not follow redirects: pass the final link, without a page or login in between"
_TAKES_ZIP = "Streampixel takes zip files only: zip the packaged Windows folder"
_PAGE_HINT = "pass the direct link to the file: it must download at once, without a page, login or button"
_HTTP_HINTS = {
    401: "make the object public, or presign the link",
    403: "make the object public, or presign the link with s3:GetObject rights; a presigned link may have expired",
    404: "not found: check the bucket, the path and upper/lower case",
    410: "the file is gone: put the zip there again",
}


class Inspection(NamedTuple):
    """The findings about a file's answers and contents."""

    findings: list[Finding]
    size: int | None = None
    entries: int | None = None


class _Unreadable(Exception):
    """The storage host's answers can't be used to read the file."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


def inspect_storage(storage: Storage, *, host: str, entry_limit: int, local_api: bool) -> Inspection:
    """Fetch the first bytes and, if they begin a zip, its directory of at most `entry_limit` entries."""
    try:
        first = storage.get(0, FIRST_BYTES - 1)
    except (NotSent, Unclear) as failure:
        hint = failure.hint or "check the host and the network"
        return Inspection([error("unreachable", failure.message, hint, certain=False)])
    found = [] if local_api else address_findings(host, storage.address)
    wrong = judge_answer(first)
    size = first.size if first.status in (200, 206) and not first.is_other else None
    if wrong:
        return Inspection([*found, *wrong], size)
    found += size_findings(size)
    try:
        contents, entries = _inspect_contents(storage, first, entry_limit=entry_limit)
    except _Unreadable as problem:
        contents, entries = [problem.finding], None
    except (NotSent, Unclear) as failure:
        contents, entries = [_not_read(failure.message)], None
    return Inspection([*found, *contents], size, entries)


def address_findings(host: str, address: str) -> list[Finding]:
    """Return a warning for a name that resolves to a private address here: from outside it may resolve to another."""
    if not is_private_address(address):
        return []
    text = f"{host} resolves to {address} here, a private address: Streampixel may not reach it"
    return [warning("private-address", text, "check that the host is reachable from the internet")]


def size_findings(size: int | None) -> list[Finding]:
    """Return a warning for a file over the documented soft limit: 24 GB, more on request."""
    if size is None or size <= SOFT_LIMIT:
        return []
    text = f"{format_size(size)} is over Streampixel's soft limit of 24 GB"
    return [warning("large", text, "ask support@streampixel.io to raise it")]


def judge_answer(first: Part) -> list[Finding]:
    """Return why the answer to the first request is not a zip, or nothing if it may be one."""
    if 300 <= first.status < 400:
        host = _host_of(first.location)
        return [error("redirect", f"the link redirects{f' to {host}' if host else ''} (HTTP {first.status})", _DIRECT)]
    if first.status >= 400:
        return [_http_error(first)]
    if first.status not in (200, 206):
        return [error("http-error", f"the storage host answered {first.status} without a file", certain=False)]
    if first.is_cut and (first.is_other or len(first.body) < len(_MAGIC)):
        text = "the storage host answered, but did not send the file's beginning in time"
        return [error("unreachable", text, "try again in a minute", certain=False)]
    # Bytes from the middle of the file, or none, say nothing about its beginning.
    if first.is_other:
        return [_no_ranges()] if first.body.startswith(_MAGIC) else [_odd_part()]
    found = judge_beginning(first.body, content_type=first.content_type, size=first.size)
    # Streampixel may decode an encoding that the host added.
    return [finding._replace(certain=False) for finding in found] if first.encoding else found


def _http_error(first: Part) -> Finding:
    found = _CODE.search(first.body)
    code = f" {found[1].decode()}" if found else ""
    hint = _HTTP_HINTS.get(first.status, "open the link in a private browser window: it must download at once")
    if first.status == 416:
        return error("empty", "the file is empty (HTTP 416)", "upload the zip again", certain=False)
    certain = first.status < 500 and first.status not in _TRANSIENT
    return error("http-error", f"the storage host answered {first.status}{code}", hint, certain=certain)


def _host_of(location: str | None) -> str:
    try:
        return urlsplit(location or "").hostname or ""
    except ValueError:
        return ""


def judge_beginning(body: bytes, *, content_type: str, size: int | None) -> list[Finding]:
    """Return why a file that begins with `body` is not a zip that Streampixel can use.

    A local file has no content type. The bytes decide first, so that a page is a page whatever its host calls it.
    """
    if body.startswith(_MAGIC):
        return []
    if not body and size in (None, 0):
        return [error("empty", "the file is empty", "upload the zip again", certain=size == 0)]
    if body.startswith(b"PK\x05\x06"):
        return [error("empty", "the zip is empty", _TAKES_ZIP)]
    kind = re.sub(r"[^a-z0-9/+.-]", "", content_type[:200].split(";")[0].lower())[:60]
    if kind in ("text/html", "application/xhtml+xml") or _is_page(body):
        return [error("html", "this is a web page, not a file", _PAGE_HINT)]
    known = next((text for magic, text in _FORMATS if body.startswith(magic)), None)
    if known is None and kind not in ("", "application/octet-stream", "binary/octet-stream") and "zip" not in kind:
        known = kind
    return [error("not-zip", f"not a zip file{f' but {known}' if known else ''}", _TAKES_ZIP)]


def _is_page(body: bytes) -> bool:
    return body[:FIRST_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n\f").lower().startswith(_PAGES)


def _no_ranges() -> Finding:
    text = "the storage host does not support range requests: the zip's contents were not checked"
    return warning("no-ranges", text, "check the local file: spcli check FILE")


def _odd_part() -> Finding:
    return error("odd-answer", "the storage host answered with a different range than requested", "check the link", certain=False)


def _not_read(reason: str) -> Finding:
    return warning("not-read", f"the zip's contents could not be checked: {reason}", "check the local file: spcli check FILE")


def _inspect_contents(storage: Storage, first: Part, *, entry_limit: int) -> tuple[list[Finding], int | None]:
    if first.is_whole:
        body = first.body
        return inspect_archive(len(body), lambda begin, end: body[begin : end + 1], entry_limit=entry_limit)
    if first.status != 206 or first.size is None:
        raise _Unreadable(_no_ranges())

    def fetch(begin: int, end: int) -> bytes:
        pieces = list[bytes]()
        while begin <= end:
            if len(pieces) >= _MOST_PIECES:
                raise _Unreadable(_not_read("the storage host answers with too small ranges"))
            pieces.append(_fetch_piece(storage, first, begin=begin, end=min(begin + _PIECE - 1, end)))
            begin += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return inspect_archive(first.size, fetch, entry_limit=entry_limit)


def _fetch_piece(storage: Storage, first: Part, *, begin: int, end: int) -> bytes:
    """Return one range, which must be of the same file as the first."""
    part = storage.get(begin, end)
    if part.status != 206:
        raise _Unreadable(_not_read(f"the storage host answered {part.status} to a range"))
    if part.size != first.size or part.etag != first.etag:
        text = "the file changes while it is being checked"
        raise _Unreadable(warning("changing", text, "wait until its upload is complete, and give every build its own name"))
    if part.is_other:
        raise _Unreadable(_not_read("the storage host answered with a different range than requested"))
    return part.body
