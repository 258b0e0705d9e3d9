"""Judge a storage host's answers: refusals, pages in place of files, and then the file itself by ranges."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from spcli.check.beginning import FIRST_BYTES, ZIP_MAGIC, inspect_file, judge_beginning, size_findings
from spcli.check.finding import Finding, error, warning
from spcli.check.ranged import (
    USE_LOCAL,
    RemoteFile,
    Unreadable,
    changed_file_warning,
    describe_ending,
    encoding_findings,
    slow_host_text,
    unread_warning,
)
from spcli.check.refusal import is_bot_answer, judge_refusal
from spcli.check.signature import parse_signature
from spcli.check.url import is_private_address
from spcli.errors import NotSent, Unclear
from spcli.transport.ranges import Part, Storage
from spcli.transport.request import bracketed_host


class Inspection(NamedTuple):
    """The findings about a file's host and contents."""

    findings: list[Finding]
    size: int | None = None
    entries: int | None = None


class Target(NamedTuple):
    """The URL to inspect: what is known before the first request.

    `seconds` is the time for all requests, `now` Unix seconds; `local_api`: the API is on this machine, so it reaches private
    hosts.
    """

    host: str
    file_name: str
    query: str
    findings: Sequence[Finding]
    now: float
    seconds: float
    local_api: bool


def inspect_storage(storage: Storage, target: Target, *, entry_limit: int) -> Inspection:
    """Fetch the first bytes and, if they may be a zip's, its directory of at most `entry_limit` entries."""
    try:
        first = _first_part(storage)
        found = [] if target.local_api else address_findings(target.host, storage.address)
        size = first.size if first.status in (200, 206) else None
        problem = _judge_answer(first, target) or _unmarked_range(storage, first)
        if problem is not None:
            return Inspection([*found, problem], size)
        contents, entries = _inspect_contents(storage, first, target, entry_limit=entry_limit)
    except (NotSent, Unclear) as failure:
        reason = slow_host_text(target.seconds) if storage.is_late else failure.message
        return Inspection([error("unreachable", reason, failure.hint or "check the host and the network", certain=False)])
    if is_bot_answer(first):
        contents = [finding._replace(certain=False) for finding in contents]
    return Inspection([*found, *contents], size, entries)


def _first_part(storage: Storage) -> Part:
    """Return the first bytes: fewer, if the host refuses a range beyond the end of a small file."""
    first = storage.get(0, FIRST_BYTES - 1)
    size = first.header("content-range").rpartition("*/")[2]
    if first.status == 416 and size.isascii() and size.isdigit() and 0 < len(size) < 4 and 0 < int(size) < FIRST_BYTES:
        return storage.get(0, int(size) - 1)
    return first


def address_findings(host: str, address: str) -> list[Finding]:
    """Return a warning for a name that resolves to a private address here: from outside it may resolve to another."""
    if not is_private_address(address):
        return []
    text = f"{bracketed_host(host)} resolves to {address} here, a private address: Streampixel may not reach it"
    return [warning("private-address", text, "check that the host is reachable from the internet")]


def _judge_answer(first: Part, target: Target) -> Finding | None:
    """Return why the first answer cannot be read as a file, or None."""
    if first.status >= 300:
        signature = parse_signature(target.query)
        return judge_refusal(first, signature=signature, url_findings=target.findings, now=target.now)
    if first.status not in (200, 206):
        return error("http-error", f"the storage host answered {first.status} without a file", certain=False)
    if first.ending != "complete" and (not first.is_range or not first.body) and len(first.body) < FIRST_BYTES:
        return error("unreachable", describe_ending(first, target.seconds), "try again in a minute", certain=False)
    if first.encoding and not first.body.startswith(ZIP_MAGIC):
        return _encoded(first)
    if first.status == 206 and not first.is_range:
        # Bytes from the middle of the file say nothing about its beginning.
        text = "the storage host answered with a different range than requested"
        return _no_ranges() if first.body.startswith(ZIP_MAGIC) else error("odd-answer", text, "check the link", certain=False)
    return None


def _encoded(first: Part) -> Finding:
    """Return the finding for a body that the host encoded, although spcli asks for none."""
    text = f"the storage host sends the file compressed (Content-Encoding: {first.encoding[:40]}): its contents were not checked"
    hint = "remove the Content-Encoding from the object, or switch compression off on the host"
    wrong = judge_beginning(_decode(first), content_type=first.header("content-type"))
    if wrong is not None and wrong.code in ("html", "listing"):
        return wrong._replace(certain=False)
    return warning("encoding", text, hint)


def _decode(first: Part) -> bytes:
    """Return the beginning of a gzip body decoded, or the body if it is not one."""
    try:
        return zlib.decompressobj(wbits=47).decompress(first.body, FIRST_BYTES)
    except zlib.error:
        return first.body


def _unmarked_range(storage: Storage, first: Part) -> Finding | None:
    """Return a warning for a host that sends ranges with status 200 and no Content-Range: a longer request shows it."""
    if not first.is_whole or len(first.body) != FIRST_BYTES:
        return None
    longer = storage.get(0, 2 * FIRST_BYTES - 1)
    if longer.status != 200 or len(longer.body) <= FIRST_BYTES:
        return None
    text = "the storage host answers range requests with status 200 and without Content-Range: the contents were not checked"
    return warning("range-status", text, USE_LOCAL)


def _no_ranges() -> Finding:
    text = "the storage host does not support range requests: the zip's contents were not checked"
    return warning("no-ranges", text, USE_LOCAL)


def _inspect_contents(storage: Storage, first: Part, target: Target, *, entry_limit: int) -> tuple[list[Finding], int | None]:
    content_type, name = first.header("content-type"), target.file_name
    if first.is_whole:
        body = first.body

        def fetch(begin: int, end: int) -> bytes:
            return body[begin : end + 1]

        found, entries = inspect_file(len(body), fetch, name=name, entry_limit=entry_limit, content_type=content_type)
        return [*found, *encoding_findings(first)], entries
    if not first.is_range or first.size is None:
        wrong = judge_beginning(first.body, content_type=content_type, size=first.size)
        return ([wrong] if wrong is not None else [*size_findings(first.size), _no_ranges()]), None
    file = RemoteFile(storage, first, requested=FIRST_BYTES, seconds=target.seconds)
    try:
        found, entries = inspect_file(first.size, file.fetch, name=name, entry_limit=entry_limit, content_type=content_type)
    except Unreadable as problem:
        return [*size_findings(first.size), changed_file_warning() if file.is_suspect else problem.finding], None
    except (NotSent, Unclear) as failure:
        reason = slow_host_text(target.seconds) if storage.is_late else failure.message
        return [*size_findings(first.size), unread_warning(reason)], None
    if entries is None and file.is_suspect:
        return [changed_file_warning()], None
    return [*found, *file.findings], entries
