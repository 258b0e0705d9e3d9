"""Pure: judge a file by its first bytes and by its directory, in the same way on a disk and on a host."""

import re
from collections.abc import Callable

from spcli.check.archive import has_end_record, inspect_archive
from spcli.check.finding import Finding, error, warning
from spcli.check.names import split_part
from spcli.output.words import format_size

FIRST_BYTES = 512
"""Bytes of a file's beginning that decide what it is: a page may begin with blank lines, tar's mark is at 257."""
SOFT_LIMIT = 24_000_000_000
ZIP_MAGIC = (b"PK\x03\x04", b"PK\x07\x08", b"PK00PK\x03\x04")
"""A local header, or a spanning marker before it. Even a complete zip may begin with one: the end record decides."""
_EMPTY_ZIP = b"PK\x05\x06"
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<script", b"<title")
_LISTINGS = (b"<listbucketresult", b"<enumerationresults", b"<listallmybucketsresult", b"<title>index of")
_FORMATS = (
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7z archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"MZ", "an .exe"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"\xfd7zXZ", "an xz file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"MSCF", "a CAB archive"),
    (0, b"\x7fELF", "a Linux executable"),
    (0, b"version https://git-lfs", "a Git LFS pointer"),
    (257, b"ustar", "a tar archive"),
)
_PLAIN_TYPES = ("", "application/octet-stream", "binary/octet-stream")
_TAKES_ZIP = "zip the packaged Windows folder: Streampixel takes zip files only"
_PAGE_HINT = "pass the direct link to the file: it must download at once, without a page, login or button"
_JOIN = "join the parts into one .zip file (7-Zip: Combine Files) and upload that"


def judge_beginning(body: bytes, *, content_type: str = "", size: int | None = None) -> Finding | None:
    """Return why a file that begins with `body` is not a zip, or None if it may be one.

    A local file has no content type. The bytes decide first, so that a page is recognised under any content type.
    """
    if body.startswith(ZIP_MAGIC):
        return None
    if not body and not size:
        return error("empty", "the file is empty", "upload the zip again", certain=size == 0)
    if body.startswith(_EMPTY_ZIP):
        return error("empty", "the zip is empty", _TAKES_ZIP)
    kind = re.sub(r"[^a-z0-9/+.-]", "", content_type[:200].partition(";")[0].lower())[:60]
    lower = body[:FIRST_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n\f").lower()
    if lower.startswith(b"<") and any(mark in lower for mark in _LISTINGS):
        return error("listing", "this is a listing of a bucket or folder, not a file", "add the name of the zip to the URL")
    if kind in ("text/html", "application/xhtml+xml") or lower.startswith(_PAGES):
        return error("html", "this is a web page, not a file", _PAGE_HINT)
    known = next((text for at, magic, text in _FORMATS if body.startswith(magic, at)), None)
    if known is None and kind not in _PLAIN_TYPES and "zip" not in kind:
        known = kind
    return error("not-zip", f"not a zip file{f' but {known}' if known else ''}", _TAKES_ZIP)


def inspect_file(
    size: int, fetch: Callable[[int, int], bytes], *, name: str, entry_limit: int, content_type: str = ""
) -> tuple[list[Finding], int | None]:
    """Return the findings about a file of `size` bytes, and the number of entries of the zip.

    A zip may follow other bytes, such as a self-extractor's program: the end decides, unless the beginning is a page.
    Errors that `fetch` raises pass through.
    """
    beginning = fetch(0, min(FIRST_BYTES, size) - 1) if size else b""
    wrong = judge_beginning(beginning, content_type=content_type, size=size)
    if wrong is not None and (wrong.code != "not-zip" or not has_end_record(size, fetch)):
        found, entries = [wrong], None
    else:
        found, entries = inspect_archive(size, fetch, entry_limit=entry_limit)
    part = split_part(name)
    if entries is None and part is not None:
        found = [error("split", f"this is one part of a split archive ({part})", _JOIN)]
    return [*size_findings(size), *found], entries


def size_findings(size: int | None) -> list[Finding]:
    """Return a warning for a file over the documented soft limit: 24 GB, more on request."""
    if size is None or size <= SOFT_LIMIT:
        return []
    text = f"{format_size(size)} is over Streampixel's soft limit of 24 GB"
    return [warning("large", text, "ask support@streampixel.io to raise it")]
