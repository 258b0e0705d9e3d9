"""A zip's central directory, read by ranges and judged before it is believed.

The standard `zipfile` reads it. What it does not bound is bounded here first: how large the directory is, how many entries it
has, and how much each of them carries (its loop over extra fields is quadratic).
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

from spcli.check.finding import Finding, error
from spcli.check.ranged import Fetch, RangedFile, TooMuch

if TYPE_CHECKING:
    from zipfile import ZipInfo

DIRECTORY_LIMIT = 64 * 1024 * 1024
ENTRY_LIMIT = 300_000
_EXTRA_LIMIT, _EXTRA_MEAN = 4096, 256
_END, _LOCATOR, _END64, _ENTRY = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06", b"PK\x01\x02"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _ENTRY_SIZE = 22, 20, 56, 46
TAIL = _END_SIZE + 0xFFFF + _LOCATOR_SIZE + _END64_SIZE
"""Bytes at a zip's end in which its end records must lie: the comment has at most 65,535."""
_AGAIN = "make the zip again and upload it whole; `unzip -t` or 7-Zip test it"


class Damaged(Exception):
    """The archive can't be read, or contradicts itself; `certain`: for every reader, and not only for this one."""

    def __init__(self, problem: str, *, certain: bool = True) -> None:
        super().__init__(problem)
        self.certain = certain


class TooLarge(Exception):
    """The directory is larger than we look at."""


class End(NamedTuple):
    """The end record: where it is, and where it says that the directory is. `is_zip64`: `entries` is not cut to 16 bits."""

    position: int
    directory: int
    directory_size: int
    entries: int
    is_zip64: bool


class Contents(NamedTuple):
    """What the directory lists. `directory` is where it begins: all data lies before it."""

    entries: "list[ZipInfo]"
    directory: int


def archive_findings(size: int, fetch: Fetch, *, most: int = ENTRY_LIMIT) -> tuple[list[Finding], int | None]:
    """What an archive of `size` bytes holds, and how many entries; `most` bounds the entries looked at.

    Raises:
        whatever `fetch` raises.
    """
    from spcli.check.contents import content_findings

    try:
        contents = read_contents(size, fetch, most=most)
    except Damaged as problem:
        text = f"the zip is damaged: {problem}" if problem.certain else f"the zip could not be looked into: {problem}"
        return [error("damaged", text, _AGAIN, certain=problem.certain)], None
    except TooLarge as problem:
        text = f"the zip lists {problem}, more than are looked at"
        return [error("too-many-entries", text, "package with .pak files: a build then has some hundred", certain=False)], None
    return content_findings(contents.entries), len(contents.entries)


def read_contents(size: int, fetch: Fetch, *, most: int = ENTRY_LIMIT) -> Contents:
    """The entries of an archive.

    Raises:
        Damaged: no end record, or a directory that is broken or lies about itself or the data.
        TooLarge: more than `most` entries, or 64 MiB of them.
    """
    tail_start = max(0, size - TAIL)
    tail = fetch(tail_start, size - 1)
    end = find_end(tail, size)
    _check_end(end, most)
    # zipfile takes any signature in the comment for the record: it gets to see the archive without its comment.
    file = RangedFile(end.position + _END_SIZE, fetch, most=max(DIRECTORY_LIMIT, TAIL))
    file.keep(tail_start, tail[: end.position - tail_start + _END_SIZE - 2] + b"\0\0")
    file.seek(end.directory)
    _check_chain(file.read(end.directory_size), end, most=most)
    entries = _parse(file)
    _check_data(entries, end.directory)
    return Contents(entries, end.directory)


def find_end(tail: bytes, size: int) -> End:
    """The end record in the last bytes of an archive of `size` bytes, zip64's where there is one.

    Raises:
        Damaged: there is none, or it is that of one volume of several.
    """
    at = _end_position(tail)
    disk, first_disk, _, entries, length, start = struct.unpack_from("<4H2L", tail, at + 4)
    ends_at, is_zip64 = at, _has_zip64(tail, at)
    if not is_zip64 and at >= _LOCATOR_SIZE and tail.startswith(_LOCATOR, at - _LOCATOR_SIZE):
        # The format allows a longer end record, which the standard library does not read.
        raise Damaged("its zip64 end record is not where tools put it", certain=False)
    if is_zip64:
        ends_at = at - _LOCATOR_SIZE - _END64_SIZE
        disk, first_disk, _, entries, length, start = struct.unpack_from("<2L4Q", tail, ends_at + 16)
    if disk or first_disk:
        raise Damaged("it is one volume of a split archive")
    base = size - len(tail)
    if base + ends_at - length != start:
        raise Damaged("its directory is not where its end says (cut off, or made by a tool without zip64)")
    return End(base + at, start, length, entries, is_zip64)


def _end_position(tail: bytes) -> int:
    """Where the end record is: the last one whose comment ends with the file, else the last one that fits."""
    fitting = -1
    at = tail.rfind(_END)
    while at >= 0:
        if at + _END_SIZE <= len(tail):
            ends = at + _END_SIZE + int.from_bytes(tail[at + 20 : at + 22], "little")
            if ends == len(tail):
                return at
            fitting = at if fitting < 0 and ends < len(tail) else fitting
        at = tail.rfind(_END, 0, at + 3)
    if fitting < 0:
        raise Damaged("its end is missing (cut off?)")
    return fitting


def _has_zip64(tail: bytes, at: int) -> bool:
    locator, record = at - _LOCATOR_SIZE, at - _LOCATOR_SIZE - _END64_SIZE
    return record >= 0 and tail.startswith(_LOCATOR, locator) and tail.startswith(_END64, record)


def _check_end(end: End, most: int) -> None:
    if end.entries == 0 or end.directory_size == 0:
        raise Damaged("it is empty")
    if end.entries * _ENTRY_SIZE > end.directory_size:
        raise Damaged("its directory is too small for the entries it claims")
    if end.entries > most:
        raise TooLarge(f"{end.entries:,} entries")
    if end.directory_size > DIRECTORY_LIMIT:
        raise TooLarge(f"{end.directory_size:,} bytes")


def _check_chain(directory: bytes, end: End, *, most: int) -> None:
    """Walk from entry to entry, so that `zipfile` meets nothing that would keep it busy."""
    at, count, carried, largest = 0, 0, 0, 0
    unpack = struct.Struct("<4s24x3H").unpack_from
    while at + _ENTRY_SIZE <= len(directory):
        mark, name, extra, comment = unpack(directory, at)
        if mark != _ENTRY:
            raise Damaged("its directory breaks off")
        carried, largest = carried + extra, max(largest, extra)
        at += _ENTRY_SIZE + name + extra + comment
        count += 1
    if at != end.directory_size or len(directory) != end.directory_size:
        raise Damaged("its directory breaks off")
    if largest > _EXTRA_LIMIT or carried > _EXTRA_LIMIT + _EXTRA_MEAN * count:
        raise Damaged("its entries carry more extra data than any zip tool writes")
    # Old tools write the count modulo 65,536.
    if (count if end.is_zip64 else count & 0xFFFF) != end.entries:
        raise Damaged(f"its directory lists {count:,} entries and claims {end.entries:,}")
    if count > most:
        raise TooLarge(f"{count:,} entries")


def _parse(file: RangedFile) -> "list[ZipInfo]":
    from zipfile import BadZipFile, ZipFile

    problem: Exception
    try:
        with ZipFile(file) as archive:
            return archive.infolist()
    except (BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error, TooMuch) as failure:
        problem = failure
    raise Damaged(_reason(problem), certain=not isinstance(problem, UnicodeError))


def _reason(problem: Exception) -> str:
    if isinstance(problem, UnicodeError):
        return "a name in it is not text"
    return "its directory cannot be read" if not str(problem) else f"its directory cannot be read ({str(problem)[:100]})"


def _check_data(entries: "list[ZipInfo]", directory: int) -> None:
    """No entry's data may lie outside the archive or inside another's: that is how bombs are made."""
    reached = 0
    for start, length in sorted((entry.header_offset, entry.compress_size) for entry in entries):
        if start < 0 or start + length >= directory:
            raise Damaged("an entry lies outside the archive")
        if start < reached:
            raise Damaged("entries overlap, as in a zip bomb")
        if length:
            reached = start + length
