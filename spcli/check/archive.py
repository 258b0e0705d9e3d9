"""Read a zip's central directory by ranges, entry by entry, and judge it before trusting it.

The standard `zipfile` keeps an object per entry, copies extra fields quadratically, and refuses or misreads archives that other
tools read. Here memory is bounded by the entries' number, and an unusual but readable archive is a warning.
Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (4.3 and 4.4).
"""

import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from spcli.check.contents import Survey, ZipEntry
from spcli.check.finding import Finding, error, info, warning
from spcli.check.names import decode_name
from spcli.check.ranged import Fetch, RangedFile
from spcli.output.words import count_of

DIRECTORY_LIMIT = 64 * 1024 * 1024
ENTRY_LIMIT = 300_000
_CHUNK = 4 * 1024 * 1024
_FIELDS_LIMIT = 100
_SEARCH_LIMIT = 8
_SPANNED = b"PK\x07\x08"
_LOCAL, _ENTRY, _END, _LOCATOR, _END64 = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE, _ENTRY_SIZE = 22, 20, 56, 46
_MAX_16, _MAX_32 = 0xFFFF, 0xFFFFFFFF
_UTF8 = 0x800
TAIL = _END_SIZE + _MAX_16 + _LOCATOR_SIZE + _END64_SIZE
"""Bytes at a zip's end that contain its end records: the comment has at most 65,535."""
_MAKE_AGAIN = "make the zip again and upload all of it; `unzip -t` or 7-Zip can test it"
_USE_PAK = "package the build with .pak files: it then has a few hundred files"
_JOIN = "make one zip file: 7-Zip without volumes, or zip -s 0 Game.zip --out Whole.zip"


class Damaged(Exception):
    """The archive can't be read or contradicts itself; `certain` if this holds for every reader, not only for some."""

    def __init__(self, problem: str, *, hint: str = _MAKE_AGAIN, certain: bool = True) -> None:
        super().__init__(problem)
        self.hint = hint
        self.certain = certain


class SplitVolume(Damaged):
    """The file is one volume of a split zip: it can't be read without the others."""

    def __init__(self, which: str) -> None:
        super().__init__(f"this is the {which} volume of a split zip, the others are missing", hint=_JOIN)


class TooLarge(Exception):
    """The directory is larger than the check reads."""


class EndRecord(NamedTuple):
    """The end record, zip64's if there is one.

    `limit` is where the directory should end; `after` counts the bytes after the archive, below 0 those missing of its comment.
    `shift` is how far the directory is from where the record says: some tools find it there.
    """

    position: int
    limit: int
    directory: int
    directory_size: int
    entries: int
    is_zip64: bool
    is_volume: bool
    comment_size: int
    after: int
    shift: int = 0

    @property
    def is_exact(self) -> bool:
        """Return whether the directory is exactly where the record says."""
        return not self.shift and self.directory + self.directory_size == self.limit


def inspect_archive(size: int, fetch: Fetch, *, entry_limit: int = ENTRY_LIMIT) -> tuple[list[Finding], int | None]:
    """Return the findings about an archive of `size` bytes and its number of entries.

    Errors that `fetch` raises pass through.
    """
    file = RangedFile(size, fetch)
    try:
        end = find_end(file)
        survey, spans = Survey(), Spans()
        for entry in read_entries(file, end, entry_limit=entry_limit):
            survey.add(entry)
            spans.add(entry.offset, entry.size)
        first = spans.check(end.directory)
        if file.read(first, len(_LOCAL)) != _LOCAL:
            raise Damaged("its entries are not where its directory says")
        oddities = _frame_findings(file, end, first)
    except Damaged as problem:
        text = f"the zip is damaged: {problem}" if problem.certain else f"the zip could not be read: {problem}"
        if isinstance(problem, SplitVolume):
            text = str(problem)
        return [error("damaged", text, problem.hint, certain=problem.certain)], None
    except TooLarge as problem:
        text = f"the zip has {problem}, more than the check reads"
        return [error("too-many-entries", text, _USE_PAK, certain=False)], None
    return [*survey.findings(), *oddities], survey.count


def _frame_findings(file: RangedFile, end: EndRecord, first: int) -> list[Finding]:
    """Return what is odd around the archive; `first` is the offset of its first entry."""
    found = []
    # Four bytes may be a spanning marker: a volume of a split archive that turned out to be the only one.
    if first > len(_LOCAL):
        text = f"{count_of(first, 'byte')} precede the zip, as in a self-extracting archive: not every tool can unpack it"
        if file.read(0, len(_LOCAL)) == _LOCAL:
            text = "the zip's directory does not list its first entries: two zips in one file?"
        found.append(warning("prefix", text, "make a plain .zip file"))
    if end.after > 0:
        found.append(info("trailing", f"{count_of(end.after, 'byte')} follow the end of the zip"))
    comment = file.read(end.position + _END_SIZE, end.comment_size)
    if end.after < 0:
        found.append(warning("comment", "the archive comment is incomplete: the file may be truncated", _MAKE_AGAIN))
    if _ENTRY in comment and _END in comment:
        text = "the archive comment contains another zip: tools disagree about which one to unpack"
        found.append(warning("comment", text, "make the zip again without a comment"))
    return found


def find_end(file: RangedFile) -> EndRecord:
    """Return the end record that describes the archive.

    A comment or a stored zip may contain other end records, so the directory must be where the record says: best exactly there
    with the comment up to the file's end, else with bytes before or after the archive.

    Raises:
        Damaged: there is none, or it belongs to one volume of several.
    """
    start = max(0, file.size - TAIL)
    tail = file.read(start, file.size - start)
    file.remember(start, tail)
    ends, misplaced = list[EndRecord](), list[EndRecord]()
    at = tail.rfind(_END)
    while at >= 0:
        after = len(tail) - at - _END_SIZE - int.from_bytes(tail[at + 20 : at + 22], "little")
        if at + _END_SIZE <= len(tail):
            end = _read_end(file, start + at, after)
            # Each search may be a request.
            placed = end if end.is_exact else _search_directory(file, end) if len(misplaced) < _SEARCH_LIMIT else None
            if placed is not None:
                ends.append(placed)
            elif after >= 0:
                misplaced.append(end)
        at = tail.rfind(_END, 0, at + 3)
    if ends:
        # Of equals the one nearest to the end.
        best = max(ends, key=lambda end: (not end.shift, end.after == 0, end.after > 0))
    elif misplaced:
        best = misplaced[0]
    else:
        raise _missing_end(file)
    if best.is_volume:
        raise SplitVolume("last")
    if not ends or best.shift:
        text = "its directory is not where its end record says (truncated, or made by a tool without zip64)"
        raise Damaged(text, certain=not best.shift)
    return best


def has_end_record(size: int, fetch: Fetch) -> bool:
    """Return whether there is an end record near the end of a file, so that it is or was a zip."""
    start = max(0, size - TAIL)
    tail = fetch(start, size - 1)
    at = tail.rfind(_END)
    return 0 <= at <= len(tail) - _END_SIZE


def _missing_end(file: RangedFile) -> Damaged:
    if file.read(0, len(_LOCAL)) == _SPANNED:
        return SplitVolume("first")
    return Damaged("its end is missing (truncated?)")


def _read_end(file: RangedFile, position: int, after: int) -> EndRecord:
    disk, first_disk, _, entries, length, start, comment = struct.unpack("<4x4H2LH", file.read(position, _END_SIZE))
    end = EndRecord(position, position, start, length, entries, False, 0 < max(disk, first_disk) < _MAX_16, comment, after)
    is_saturated = _MAX_16 in (disk, first_disk, entries) or _MAX_32 in (length, start)
    if end.is_exact and not is_saturated:
        return end
    limit, record = _find_end64(file, position)
    if not record:
        return end
    disk, first_disk, _, entries, length, start = struct.unpack_from("<2L4Q", record, 16)
    return end._replace(
        limit=limit, directory=start, directory_size=length, entries=entries, is_zip64=True, is_volume=disk + first_disk > 0
    )


def _search_directory(file: RangedFile, end: EndRecord) -> EndRecord | None:
    """Return the end record with the directory where it really is, or None if it is nowhere.

    Bytes may be between the directory and the record, or before an archive whose offsets ignore them. A distance of 4 GiB comes
    from a tool without zip64, whose offsets no reader can repair.
    """
    if not end.directory_size:
        return None
    for directory in (end.directory, end.limit - end.directory_size):
        shift = directory - end.directory
        is_inside = directory >= 0 and directory + end.directory_size <= end.limit
        if is_inside and (shift == 0 or shift % 2**32) and file.read(directory, len(_ENTRY)) == _ENTRY:
            return end._replace(directory=directory, shift=shift)
    return None


def _find_end64(file: RangedFile, position: int) -> tuple[int, bytes]:
    """Return where the zip64 end record before the end record at `position` is, and its bytes; b"" without one."""
    locator = file.read(max(0, position - _LOCATOR_SIZE), _LOCATOR_SIZE)
    if position < _LOCATOR_SIZE + _END64_SIZE or not locator.startswith(_LOCATOR):
        return 0, b""
    # The record may be longer than tools write it; then only the locator knows where it begins.
    for at in (position - _LOCATOR_SIZE - _END64_SIZE, int.from_bytes(locator[8:16], "little")):
        record = file.read(at, _END64_SIZE) if at + _END64_SIZE <= position else b""
        if record.startswith(_END64) and len(record) == _END64_SIZE:
            return at, record
    return 0, b""


def read_entries(file: RangedFile, end: EndRecord, *, entry_limit: int = ENTRY_LIMIT) -> Iterator[ZipEntry]:
    """Yield the entries of the directory.

    Raises:
        Damaged: the directory is empty, broken or contradicts its end record.
        TooLarge: more than `entry_limit` entries, or 64 MiB of them.
    """
    if end.directory_size == 0:
        raise Damaged("it is empty")
    if end.is_zip64 and end.entries * _ENTRY_SIZE > end.directory_size:
        raise Damaged("its directory is too small for the number of entries it declares")
    if end.entries > entry_limit:
        raise TooLarge(f"{end.entries:,} entries")
    if end.directory_size > DIRECTORY_LIMIT:
        raise TooLarge(f"a directory of {end.directory_size:,} bytes")
    count, at, window, window_start = 0, end.directory, b"", end.directory
    limit = end.directory + end.directory_size
    while at + _ENTRY_SIZE <= limit:
        if at + _ENTRY_SIZE + 3 * _MAX_16 > window_start + len(window) < limit:
            rest, reached = window[at - window_start :], window_start + len(window)
            window, window_start = rest + file.read(reached, min(_CHUNK, limit - reached)), at
        entry, length = _parse_entry(window, at - window_start)
        count, at = count + 1, at + length
        if at > limit:
            break
        if count > entry_limit:
            raise TooLarge(f"more than {entry_limit:,} entries")
        yield entry
    if at != limit:
        raise Damaged("its directory is incomplete")
    # Old tools write the count modulo 65,536.
    if (count if end.is_zip64 else count & _MAX_16) != end.entries:
        raise Damaged(f"its directory lists {count:,} entries but declares {end.entries:,}", certain=False)


_ENTRY_FIELDS = struct.Struct("<4sBxBxHH8xLLHHH4xLL").unpack_from


def _parse_entry(window: bytes, at: int) -> tuple[ZipEntry, int]:
    """Return the entry at `at`, and the length of its record."""
    mark, _, version, flags, method, size, full_size, name_size, extra_size, comment_size, attributes, offset = _ENTRY_FIELDS(
        window, at
    )
    if mark != _ENTRY:
        raise Damaged("its directory is incomplete")
    extra_at = at + _ENTRY_SIZE + name_size
    if extra_at + extra_size > len(window):
        raise Damaged("its directory is incomplete")
    name, is_declared = decode_name(window[at + _ENTRY_SIZE : extra_at], is_utf8=bool(flags & _UTF8))
    is_odd = False
    if extra_size:
        fields, is_odd = _find_zip64(window, extra_at, extra_at + extra_size)
        # It holds those of the three values that do not fit their 32 bits, in this order.
        values = iter(struct.unpack_from(f"<{len(fields) // 8}Q", fields))
        if full_size == _MAX_32:
            next(values, None)
        size = next(values, size) if size == _MAX_32 else size
        offset = next(values, offset) if offset == _MAX_32 else offset
    entry = ZipEntry(name, is_declared, flags, method, size, offset, attributes, version, is_odd)
    return entry, _ENTRY_SIZE + name_size + extra_size + comment_size


def _find_zip64(window: bytes, at: int, end: int) -> tuple[bytes, bool]:
    """Return the zip64 field among the extra fields, and whether their lengths are wrong."""
    fields = b""
    for _ in range(_FIELDS_LIMIT):
        if at + 4 > end:
            # Some tools pad with up to three bytes.
            return fields, False
        kind, length = struct.unpack_from("<HH", window, at)
        at += 4 + length
        if at > end:
            return fields, True
        if kind == 1 and not fields:
            fields = window[at - length : at]
    return fields, False


class Spans:
    """The ranges of the entries' data: none may be outside the archive or inside another, as in zip bombs."""

    def __init__(self) -> None:
        self._starts, self._sizes = array("Q"), array("Q")

    def add(self, start: int, size: int) -> None:
        """Add one entry's local header and data.

        Raises:
            Damaged: it is outside of any archive.
        """
        if not 0 <= start < 2**63 or size >= 2**63:
            raise Damaged("an entry is outside the archive")
        self._starts.append(start)
        self._sizes.append(size)

    def check(self, limit: int) -> int:
        """Return the lowest offset.

        Raises:
            Damaged: an entry is outside the archive, whose data end at `limit`, or overlaps another.
        """
        reached = 0
        for index in sorted(range(len(self._starts)), key=self._starts.__getitem__):
            start, size = self._starts[index], self._sizes[index]
            if start + size >= limit:
                raise Damaged("an entry is outside the archive")
            if start < reached:
                raise Damaged("entries overlap, as in a zip bomb")
            reached = max(reached, start + size)
        return min(self._starts)
