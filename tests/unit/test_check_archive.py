import io
import os
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spcli.check.archive import ENTRY_LIMIT, Damaged, TooLarge, find_end, inspect_archive, read_directory
from spcli.check.ranged import RangedFile, TooMuch
from tests.faults.zips import GOOD, crowded, ending, sparse, zipped


def judge(data: bytes) -> tuple[list[tuple[str, str]], int | None]:
    found, entries = inspect_archive(len(data), lambda first, last: data[first : last + 1])
    return [(finding.level, finding.code) for finding in found], entries


def damage(data: bytes) -> str:
    found, _ = inspect_archive(len(data), lambda first, last: data[first : last + 1])
    (only,) = found
    assert (only.level, only.code) == ("error", "damaged"), found
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


def test_an_archive_that_only_this_reader_cannot_read_is_not_certain(tmp_path: Path) -> None:
    """Try a zip64 end record that is longer than tools write, and a name that is flagged as UTF-8 but is not."""
    sparse(tmp_path / "a.zip", 5_000)
    data = (tmp_path / "a.zip").read_bytes()
    at = data.rindex(b"PK\6\7")
    longer = data[:at] + b"more" + data[at:]
    odd = zipped({"Windows/G\u00e4me.exe": b"MZ"}).replace("\u00e4".encode(), b"\xff\xfe")
    for archive in (longer, odd):
        (only,), _ = inspect_archive(len(archive), lambda first, last, archive=archive: archive[first : last + 1])
        assert (only.level, only.code, only.certain) == ("error", "damaged", False)
    (cut,), _ = inspect_archive(500, lambda first, last: data[:500][first : last + 1])
    assert cut.certain


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
    assert "too small" in damage(with_end(good, entries=60000))
    assert "empty" in damage(with_end(good, entries=0))
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


def test_extra_fields_that_would_slow_down_the_reader_are_refused() -> None:
    data = zipped({"a": b""})
    at, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    for size, count in ((64000, 1), (4000, 10)):
        entry = data[at : at + 30] + struct.pack("<H", size) + data[at + 32 : end] + bytes(size)
        hostile = data[:at] + entry * count + data[end:]
        assert "extra data" in damage(with_end(hostile, length=len(entry) * count, here=count, entries=count))


def test_too_many_entries_are_an_error_but_do_not_stop_an_upload() -> None:
    data = zipped({f"f{number}": b"" for number in range(20)})
    (found,), entries = inspect_archive(len(data), lambda first, last: data[first : last + 1], entry_limit=19)
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


def test_an_invalid_name_and_an_unknown_version_are_damage() -> None:
    named = zipped({"ä.exe": b""})
    assert "not valid text" in damage(named.replace("ä".encode(), b"\xff\xfe"))
    assert "cannot be read" in damage(with_entry(zipped(), 6, "<B", 99))


def test_a_count_cut_to_sixteen_bits_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    crowded(path, 70000)
    data = path.read_bytes()
    at = data.rindex(b"PK\5\6") - 76
    count, length, start = struct.unpack("<3Q", data[at + 32 : at + 56])
    old = data[:at] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, length, start, 0)
    assert len(read_directory(len(old), lambda first, last: old[first : last + 1]).entries) == count > 70000
    with pytest.raises(TooLarge):
        read_directory(len(old), lambda first, last: old[first : last + 1], entry_limit=70000)


@pytest.mark.skipif(sys.platform == "win32", reason="files with holes")
def test_a_true_zip64_of_thirty_gigabytes_is_read_by_zipfile_as_well(tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    sparse(path, 30_000_000_000)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("Windows/Game.exe") == GOOD["Windows/Game.exe"]
        assert archive.infolist()[-1].file_size == 30_000_000_000


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
    if entries is not None and b"PK\5\6" not in hostile[find_end(hostile, len(hostile)).position + 1 :]:
        # zipfile can list every accepted archive, but it mistakes any signature in the comment for the end record.
        with zipfile.ZipFile(io.BytesIO(hostile)) as archive:
            assert len(archive.infolist()) == entries


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=200))
def test_random_bytes_are_never_an_archive_and_never_crash(noise: bytes, more: bytes) -> None:
    for data in (noise, b"PK\3\4" + noise + b"PK\5\6" + more, noise + ending(len(more), len(noise), 4)):
        if data:
            assert judge(data)[1] is None or b"PK\1\2" in data


def test_a_ranged_file_reads_like_a_file_and_refuses_too_large_reads() -> None:
    data = bytes(range(256))
    ranges: list[tuple[int, int]] = []

    def fetch(first: int, last: int) -> bytes:
        ranges.append((first, last))
        return data[first : last + 1]

    with RangedFile(256, fetch, read_limit=100) as file:
        assert file.readable()
        assert file.seekable()
        assert file.seek(-6, 2) == 250
        assert file.read() == data[250:]
        assert (file.tell(), file.read(5)) == (256, b"")
        file.seek(252)
        assert file.read(2) == data[252:254]
        assert ranges == [(250, 255)]
        file.preload(252, b"zz")
        file.seek(-2, 1)
        assert file.read(2) == b"zz"
        file.seek(0)
        with pytest.raises(TooMuch):
            file.read(101)
        with pytest.raises(OSError, match="before the start"):
            file.seek(-1)


def test_network_errors_pass_through() -> None:
    def fetch(first: int, last: int) -> bytes:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        inspect_archive(1000, fetch)
    with pytest.raises(Damaged):
        read_directory(3, lambda first, last: b"PK\3")
