import io
import os
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spcli.check.archive import ENTRY_LIMIT, Damaged, TooLarge, find_end, inspect_archive, read_entries
from spcli.check.finding import Finding
from spcli.check.ranged import RangedFile
from tests.faults.zips import GOOD, Raw, crowded, ending, packaged, raw_zip, sparse, zipped


def file_of(data: bytes) -> RangedFile:
    return RangedFile(len(data), lambda first, last: data[first : last + 1])


def inspect(data: bytes, **limits: int) -> tuple[list[Finding], int | None]:
    return inspect_archive(len(data), lambda first, last: data[first : last + 1], **limits)


def judge(data: bytes) -> tuple[list[tuple[str, str]], int | None]:
    found, entries = inspect(data)
    return [(finding.level, finding.code) for finding in found], entries


def doubts(data: bytes) -> dict[str, str]:
    """The warnings about an archive that must be readable, by code."""
    found, entries = inspect(data)
    assert entries is not None, found
    assert not [finding for finding in found if finding.level == "error"], found
    return {finding.code: finding.message for finding in found if finding.level == "warning"}


def damage(data: bytes) -> str:
    ((only,), _) = inspect(data)
    assert (only.level, only.code) == ("error", "damaged"), only
    return only.message


def with_end(data: bytes, **changes: int) -> bytes:
    """The zip with fields of its end record changed: disk, entries, length, start."""
    places = {"disk": (4, "<H"), "here": (8, "<H"), "entries": (10, "<H"), "length": (12, "<L"), "start": (16, "<L")}
    changed, at = bytearray(data), data.rindex(b"PK\5\6")
    for name, value in changes.items():
        offset, form = places[name]
        struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


def with_entry(data: bytes, offset: int, form: str, value: int, *, which: int = 0) -> bytes:
    """The zip with a field of one directory entry changed."""
    at = -1
    for _ in range(which + 1):
        at = data.index(b"PK\1\2", at + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, at + offset, value)
    return bytes(changed)


def test_a_good_archive_has_no_errors_and_its_entries_are_counted() -> None:
    found, entries = judge(zipped())
    assert entries == len(GOOD)
    assert {level for level, _ in found} == {"info"}


@pytest.mark.parametrize("length", [1, 500, 65535])
def test_a_comment_of_any_length_is_skipped(length: int) -> None:
    assert judge(zipped(comment=b"c" * length))[1] == len(GOOD)


def test_a_false_end_record_in_the_comment_is_ignored() -> None:
    fake = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, 0, 9)
    assert judge(zipped(comment=b"see " + fake + b" here, and PK\5\6"))[1] == len(GOOD)


def test_a_longer_zip64_end_record_is_read(tmp_path: Path) -> None:
    sparse(tmp_path / "a.zip", 5_000)
    data = (tmp_path / "a.zip").read_bytes()
    at = data.rindex(b"PK\6\7")
    assert doubts(data[:at] + b"more" + data[at:]) == {}


def test_an_archive_with_bytes_after_it_is_read() -> None:
    assert judge(zipped() + b"\r\n")[1] == len(GOOD)


def test_only_the_directory_and_the_tail_are_read() -> None:
    data = zipped({**GOOD, "Windows/Big.pak": os.urandom(400_000)}, method=zipfile.ZIP_STORED)
    ranges: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> bytes:
        ranges.append((first, last))
        return data[first : last + 1]

    inspect_archive(len(data), fetch)
    assert sum(last - first + 1 for first, last in ranges) < 70_000


@pytest.mark.parametrize("cut", [1, 10, 22, 50, 200])
def test_a_truncated_archive_is_damaged(cut: int) -> None:
    damage(zipped()[:-cut])


def test_a_directory_that_contradicts_itself_is_damaged() -> None:
    good = zipped()
    assert "declares 3" in damage(with_end(good, here=3, entries=3))
    assert "declares 5" in damage(with_end(good, here=5, entries=5))
    assert "declares 60,000" in damage(with_end(good, entries=60000))
    assert "declares 0" in damage(with_end(good, here=0, entries=0))
    assert "empty" in damage(b"PK\3\4" + ending(0, 0, 4))
    assert "not where" in damage(with_end(good, start=7))
    assert "not where" in damage(with_end(good, length=0xFFFFFFF0))
    assert "split" in damage(with_end(good, disk=2))
    assert "is incomplete" in damage(with_entry(good, 0, "<L", 0, which=1))
    assert "is incomplete" in damage(with_entry(good, 28, "<H", 0xFFFF))


def test_an_entry_outside_the_archive_or_over_another_is_damaged() -> None:
    good = zipped()
    assert "outside" in damage(with_entry(good, 20, "<L", 0x7FFFFFFF, which=3))
    assert "outside" in damage(with_entry(good, 42, "<L", 0x7FFFFFFF))
    assert "overlap" in damage(with_entry(good, 42, "<L", 1, which=3))


def test_a_zip64_directory_with_impossible_sizes_is_damaged() -> None:
    directory = zipped()[zipped().index(b"PK\1\2") : zipped().rindex(b"PK\5\6")]
    for entries, length, start in ((1, 2**63, 0), (2**63, len(directory), 4), (2**64 - 1, 2**64 - 1, 2**64 - 1), (0, 0, 4)):
        data = b"PK\3\4" + directory + ending(entries, length, start)
        damage(data)


def test_too_many_entries_are_an_error_but_do_not_stop_an_upload() -> None:
    data = zipped({f"f{number}": b"" for number in range(20)})
    (found,), entries = inspect(data, entry_limit=19)
    assert (found.level, found.code, found.certain, entries) == ("error", "too-many-entries", False, None)
    huge = b"PK\3\4" + ending(ENTRY_LIMIT + 1, 2**40, 4)
    damage(huge)  # a directory that does not exist is not fetched


def test_a_directory_of_gigabytes_is_not_fetched() -> None:
    size, length = 2**42, 2**40
    tail = b"\0" * 65635 + ending(1000, length, size - length - 98)
    ranges: list[int] = []

    def fetch(first: int, last: int) -> bytes:
        ranges.append(last - first + 1)
        return tail[-(last - first + 1) :]

    (found,), _ = inspect_archive(size, fetch)
    assert found.code == "too-many-entries"
    assert sum(ranges) < 100_000


def test_a_count_cut_to_sixteen_bits_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    crowded(path, 70000)
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6") - 76
    count, length, start = struct.unpack("<3Q", data[at + 32 : at + 56])
    old = data[:at] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, length, start, 0)
    file = file_of(old)
    assert sum(1 for _ in read_entries(file, find_end(file))) == count > 70000
    with pytest.raises(TooLarge):
        list(read_entries(file, find_end(file), entry_limit=70000))


@pytest.mark.skipif(sys.platform == "win32", reason="files with holes")
def test_a_true_zip64_of_thirty_gigabytes_is_read_by_zipfile_as_well(tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    sparse(path, 30_000_000_000)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("Windows/Game.exe") == GOOD["Windows/Game.exe"]
        assert archive.infolist()[-1].file_size == 30_000_000_000


# Rare, but readable: a warning at most.


@pytest.mark.parametrize(
    ("data", "warnings"),
    [
        (packaged(prefix=b"PK\7\x08"), set()),
        (packaged(prefix=b"PK00"), set()),
        (packaged(prefix=b"MZ" + bytes(5000)), {"prefix"}),
        (packaged(prefix=b"#!/bin/sh\n" + bytes(100_000)), {"prefix"}),
        (packaged(prefix=zipped({"old": b"x"})), {"prefix"}),
        (packaged(gap=b"PK\5\5\0\0"), set()),
        (packaged(comment=zipped({"inner.txt": b"x"})), {"comment"}),
        (packaged(comment=b"PK\5\6" * 3000), set()),
        (packaged() + bytes(10_000), set()),
        (packaged(Raw(b"Windows/readme.zip", zipped({"inner.txt": b"x"}))), set()),
        (packaged(*(Raw(b"Windows/%d" % n, extra=struct.pack("<HH", 0x9999, 4000) + bytes(4000)) for n in range(20))), set()),
        (packaged(Raw(b"Windows/x", extra=bytes(60_000))), set()),
        (packaged(Raw(b"Windows/x", extra=struct.pack("<HH", 0x9999, 400) + bytes(4))), {"extra"}),
        (packaged(Raw(b"Windows/x", extra=b"\0\0\0")), set()),
        (packaged(Raw(b"Windows/G\xff\xfe", flags=0x800)), {"name-encoding"}),
        (packaged(Raw(b"Windows/x", version=99)), {"version"}),
        (packaged(Raw(b"Windows/PK\6\7" + bytes([46]) * 16)), {"windows-name"}),
        (packaged(Raw(b"Windows/PK\5\6PK\5\6PK\5\6PK\5\6PK\5\6")), {"windows-name"}),
        (packaged(Raw(b"Windows/x", method=93)), {"compression"}),
        (packaged(Raw(b"Windows/", b"")), set()),
        (packaged(comment=b"c" * 50)[:-20], {"comment"}),
    ],
    ids=[
        "spanning marker", "spanning marker of one volume", "self-extractor", "script",
        "another zip before", "signature after the directory", "zip in the comment", "end records in the comment",
        "zeros after", "stored zip", "4 kB of extra data each", "60 kB of extra data", "extra field with a wrong length",
        "padded extra field", "wrong UTF-8 flag", "version", "zip64 locator in a name", "end records in a name", "zstd", "folder",
        "truncated comment",
    ],
)  # fmt: skip
def test_a_rare_but_readable_archive_is_a_warning_at_most(data: bytes, warnings: set[str]) -> None:
    assert doubts(data).keys() == warnings


def test_the_outer_zip_counts_if_the_comment_contains_another() -> None:
    assert inspect(packaged(comment=zipped({"inner.txt": b"x"})))[1] == len(GOOD)


def test_exactly_65536_entries_are_read_without_zip64() -> None:
    entries = [Raw(name.encode()) for name in GOOD] + [Raw(b"Windows/%d" % number) for number in range(65_536 - len(GOOD))]
    data = raw_zip(*entries[: 65_535 - 1])
    assert inspect(data)[1] == 65_534
    many = zipped({f"Windows/{number}": b"" for number in range(100)})
    assert inspect(with_end(many, here=100 + 65_536 & 0xFFFF, entries=100))[1] == 100


@pytest.mark.parametrize("disk", [1, 3])
def test_the_volumes_of_a_split_zip_are_named(disk: int) -> None:
    assert damage(packaged(disk=disk)) == "this is the last volume of a split zip, the others are missing"
    first = b"PK\7\x08" + packaged()[:300]
    assert damage(first) == "this is the first volume of a split zip, the others are missing"


def test_damage_that_some_tools_repair_does_not_stop_an_upload() -> None:
    shifted = packaged(prefix=b"MZ" + bytes(5000), is_shifted=True)
    for data in (with_end(zipped(), here=3, entries=3), with_end(zipped(), start=7), shifted):
        ((found,), _) = inspect(data)
        assert (found.code, found.certain) == ("damaged", False)
    ((found,), _) = inspect(zipped()[:-30])
    assert found.certain


def test_offsets_that_lack_zip64_are_damage() -> None:
    data, hole = packaged(), 2**32

    def fetch(first: int, last: int) -> bytes:
        return bytes(max(0, min(last + 1, hole) - first)) + data[max(0, first - hole) : max(0, last + 1 - hole)]

    ((found,), _) = inspect_archive(len(data) + hole, fetch)
    assert "without zip64" in found.message
    assert found.certain


BASES = (zipped(), zipped(comment=b"PK\5\6" * 5), zipped({"a.exe": b"x", "b/c": b"y"}, method=zipfile.ZIP_STORED))


@settings(max_examples=300, deadline=None)
@given(
    base=st.sampled_from(BASES),
    edits=st.lists(st.tuples(st.integers(0, 1200), st.binary(min_size=1, max_size=8)), max_size=6),
    cut=st.integers(0, 40),
)
@example(base=BASES[1], edits=[(0, b"PK\1\2")], cut=0)
def test_any_change_near_the_end_gives_a_result(base: bytes, edits: list[tuple[int, bytes]], cut: int) -> None:
    data = bytearray(base)
    for back, piece in edits:
        at = max(0, len(data) - back - 1)
        data[at : at + len(piece)] = piece
    hostile = bytes(data[: len(data) - cut])
    found, entries = judge(hostile)
    assert (entries is None) == (("error", "damaged") in found)
    has_warnings = any(level == "warning" for level, _ in found)
    if entries is not None and not has_warnings and b"PK\5\6" not in hostile[find_end(file_of(hostile)).position + 1 :]:
        # zipfile can list every archive without a warning, but it mistakes any signature in the comment for the end record.
        with zipfile.ZipFile(io.BytesIO(hostile)) as archive:
            assert len(archive.infolist()) == entries


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=200))
def test_random_bytes_are_never_an_archive_and_never_crash(noise: bytes, more: bytes) -> None:
    for data in (noise, b"PK\3\4" + noise + b"PK\5\6" + more, noise + ending(len(more), len(noise), 4)):
        if data:
            assert judge(data)[1] is None or b"PK\1\2" in data


def test_a_ranged_file_fetches_only_what_it_does_not_remember() -> None:
    data = bytes(range(256))
    ranges: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> bytes:
        ranges.append((first, last))
        return data[first : last + 1]

    file = RangedFile(256, fetch)
    file.remember(250, data[250:])
    assert (file.read(252, 2), file.read(250, 100), file.read(256, 1)) == (data[252:254], data[250:], b"")
    assert ranges == []
    assert file.read(249, 2) == data[249:251]
    assert ranges == [(249, 250)]


def test_network_errors_pass_through() -> None:
    def fetch(first: int, last: int) -> bytes:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        inspect_archive(1000, fetch)
    with pytest.raises(Damaged):
        find_end(file_of(b"PK\3"))
