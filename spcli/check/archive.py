"""Read a zip's central directory by ranges, and judge it before trusting it.

The standard `zipfile` parses it. Its sizes are bounded here first: the directory, the number of entries, and the extra data of
each entry (zipfile's loop over extra fields is quadratic).
"""

import struct
from typing import TYPE_CHECKING, NamedTuple

from spcli.check.contents import judge_contents
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
"""Bytes at a zip's end that contain its end records: the comment has at most 65,535."""
_MAKE_AGAIN = "make the zip again and upload all of it; `unzip -t` or 7-Zip can test it"
_USE_PAK = "package the build with .pak files: it then has a few hundred files"


class Damaged(Exception):
    """The archive can't be read or contradicts itself; `certain` if this holds for every reader, not only for this one."""

    def __init__(self, problem: str, *, certain: bool = True) -> None:
        super().__init__(problem)
        self.certain = certain


class TooLarge(Exception):
    """The directory is larger than the check reads."""


class End(NamedTuple):
    """The end record: its position, and where it says the directory is. If `is_zip64`, `entries` is not cut to 16 bits."""

    position: int
    directory: int
    directory_size: int
    entries: int
    is_zip64: bool


class Contents(NamedTuple):
    """The entries of the directory, and where the directory begins: all data comes before it."""

    entries: "list[ZipInfo]"
    directory: int


def inspect_archive(size: int, fetch: Fetch, *, entry_limit: int = ENTRY_LIMIT) -> tuple[list[Finding], int | None]:
    """Return the findings about an archive of `size` bytes and its number of entries.

    Errors that `fetch` raises pass through.
    """
    try:
        contents = read_directory(size, fetch, entry_limit=entry_limit)
    except Damaged as problem:
        text = f"the zip is damaged: {problem}" if problem.certain else f"the zip could not be read: {problem}"
        return [error("damaged", text, _MAKE_AGAIN, certain=problem.certain)], None
    except TooLarge as problem:
        text = f"the zip has {problem}, more than the check reads"
        return [error("too-many-entries", text, _USE_PAK, certain=False)], None
    return judge_contents(contents.entries), len(contents.entries)


def read_directory(size: int, fetch: Fetch, *, entry_limit: int = ENTRY_LIMIT) -> Contents:
    """Return the entries of an archive.

    Raises:
        Damaged: there is no end record, or the directory is broken or contradicts itself or the data.
        TooLarge: more than `entry_limit` entries, or 64 MiB of them.
    """
    tail_start = max(0, size - TAIL)
    tail = fetch(tail_start, size - 1)
    end = find_end(tail, size)
    _check_end(end, entry_limit)
    # zipfile mistakes a signature in the comment for the record, so it gets the archive without its comment.
    file = RangedFile(end.position + _END_SIZE, fetch, read_limit=max(DIRECTORY_LIMIT, TAIL))
    file.preload(tail_start, tail[: end.position - tail_start + _END_SIZE - 2] + b"\0\0")
    file.seek(end.directory)
    _check_chain(file.read(end.directory_size), end, entry_limit=entry_limit)
    entries = _parse_entries(file)
    _check_data(entries, end.directory)
    return Contents(entries, end.directory)


def find_end(tail: bytes, size: int) -> End:
    """Return the end record in the last bytes of an archive of `size` bytes, zip64's if there is one.

    Raises:
        Damaged: there is none, or it belongs to one volume of several.
    """
    at = _end_position(tail)
    disk, first_disk, _, entries, length, start = struct.unpack_from("<4H2L", tail, at + 4)
    ends_at, is_zip64 = at, _has_zip64(tail, at)
    if not is_zip64 and at >= _LOCATOR_SIZE and tail.startswith(_LOCATOR, at - _LOCATOR_SIZE):
        # The format allows a longer end record, which the standard library does not read.
        raise Damaged("its zip64 end record is in an unusual place", certain=False)
    if is_zip64:
        ends_at = at - _LOCATOR_SIZE - _END64_SIZE
        disk, first_disk, _, entries, length, start = struct.unpack_from("<2L4Q", tail, ends_at + 16)
    if disk or first_disk:
        raise Damaged("it is one volume of a split archive")
    base = size - len(tail)
    if base + ends_at - length != start:
        raise Damaged("its directory is not where its end record says (truncated, or made by a tool without zip64)")
    return End(base + at, start, length, entries, is_zip64)


def _end_position(tail: bytes) -> int:
    """Return where the end record is: the last one whose comment ends with the file, else the last one that fits."""
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
        raise Damaged("its end is missing (truncated?)")
    return fitting


def _has_zip64(tail: bytes, at: int) -> bool:
    locator, record = at - _LOCATOR_SIZE, at - _LOCATOR_SIZE - _END64_SIZE
    return record >= 0 and tail.startswith(_LOCATOR, locator) and tail.startswith(_END64, record)


def _check_end(end: End, entry_limit: int) -> None:
    if end.entries == 0 or end.directory_size == 0:
        raise Damaged("it is empty")
    if end.entries * _ENTRY_SIZE > end.directory_size:
        raise Damaged("its directory is too small for the number of entries it declares")
    if end.entries > entry_limit:
        raise TooLarge(f"{end.entries:,} entries")
    if end.directory_size > DIRECTORY_LIMIT:
        raise TooLarge(f"{end.directory_size:,} bytes")


def _check_chain(directory: bytes, end: End, *, entry_limit: int) -> None:
    """Walk from entry to entry, so that nothing can keep `zipfile` busy."""
    at, count, extra_total, extra_largest = 0, 0, 0, 0
    unpack = struct.Struct("<4s24x3H").unpack_from
    while at + _ENTRY_SIZE <= len(directory):
        mark, name, extra, comment = unpack(directory, at)
        if mark != _ENTRY:
            raise Damaged("its directory is incomplete")
        extra_total, extra_largest = extra_total + extra, max(extra_largest, extra)
        at += _ENTRY_SIZE + name + extra + comment
        count += 1
    if at != end.directory_size or len(directory) != end.directory_size:
        raise Damaged("its directory is incomplete")
    if extra_largest > _EXTRA_LIMIT or extra_total > _EXTRA_LIMIT + _EXTRA_MEAN * count:
        raise Damaged("its entries have more extra data than any zip tool writes")
    # Old tools write the count modulo 65,536.
    if (count if end.is_zip64 else count & 0xFFFF) != end.entries:
        raise Damaged(f"its directory lists {count:,} entries but declares {end.entries:,}")
    if count > entry_limit:
        raise TooLarge(f"{count:,} entries")


def _parse_entries(file: RangedFile) -> "list[ZipInfo]":
    from zipfile import BadZipFile, ZipFile

    problem: Exception
    try:
        with ZipFile(file) as archive:
            return archive.infolist()
    except (BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error, TooMuch) as failure:
        problem = failure
    raise Damaged(_parse_problem(problem), certain=not isinstance(problem, UnicodeError))


def _parse_problem(problem: Exception) -> str:
    if isinstance(problem, UnicodeError):
        return "a file name in it is not valid text"
    return "its directory cannot be read" if not str(problem) else f"its directory cannot be read ({str(problem)[:100]})"


def _check_data(entries: "list[ZipInfo]", directory: int) -> None:
    """Refuse entries outside the archive or over each other's data, as zip bombs have them."""
    reached = 0
    for start, length in sorted((entry.header_offset, entry.compress_size) for entry in entries):
        if start < 0 or start + length >= directory:
            raise Damaged("an entry is outside the archive")
        if start < reached:
            raise Damaged("entries overlap, as in a zip bomb")
        if length:
            reached = start + length
