"""Zips for the tests: packaged builds, and archives that lie."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

GOOD = {
    "Windows/Game.exe": b"MZ" * 50,
    "Windows/Engine/Binaries/Win64/x.dll": b"x" * 50,
    "Windows/Engine/Plugins/Media/PixelStreaming/Resources/a.txt": b"a",
    "Windows/Game/Content/Paks/Game-Windows.pak": b"p" * 5000,
}


def zipped(files: Mapping[str, bytes] = GOOD, *, comment: bytes = b"", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these files, names as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, method
            archive.writestr(entry, data)
        archive.comment = comment
    return buffer.getvalue()


def _local(name: bytes, size: int, check: int) -> bytes:
    extra = struct.pack("<HHQQ", 1, 16, size, size)
    return (
        struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0x21, check, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra))
        + name
        + extra
    )


def _central(name: bytes, size: int, check: int, offset: int) -> bytes:
    extra = struct.pack("<HHQQQ", 1, 24, size, size, offset)
    fields = (45, 45, 0, 0, 0, 0x21, check, 0xFFFFFFFF, 0xFFFFFFFF, len(name), len(extra), 0, 0, 0, 0, 0xFFFFFFFF)
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields) + name + extra


def ending(entries: int, length: int, start: int) -> bytes:
    """The end records of a zip64."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, length, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, (start + length) % 2**64, 1)
    return record + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def sparse(path: Path, size: int) -> None:
    """A true zip64 of about `size` bytes, its one big file stored and nothing but a hole."""
    directory, count = b"", 0
    with path.open("wb") as file:
        for name, data in [*GOOD.items(), ("Windows/Game/Content/Paks/Big.ucas", None)]:
            start, length = file.tell(), size if data is None else len(data)
            check = zlib.crc32(data or b"")
            file.write(_local(name.encode(), length, check) + (data or b""))
            file.seek(length - len(data or b""), io.SEEK_CUR)
            directory += _central(name.encode(), length, check, start)
            count += 1
        start = file.tell()
        file.write(directory + ending(count, len(directory), start))


def crowded(path: Path, count: int) -> None:
    """A true zip of a packaged build and `count` empty files."""
    files = [name.encode() for name in GOOD] + [
        b"Windows/Game/Content/Some/Folder/Asset_%07d.uasset" % number for number in range(count)
    ]
    local, directory = bytearray(), bytearray()
    for name in files:
        directory += _central(name, 0, 0, len(local))
        local += _local(name, 0, 0)
    path.write_bytes(local + directory + ending(len(files), len(directory), len(local)))


class Raw(NamedTuple):
    """An entry byte for byte: nothing in it is checked or repaired."""

    name: bytes
    data: bytes = b"x"
    flags: int = 0
    method: int = 0
    extra: bytes = b""
    version: int = 20
    attributes: int = 0


def raw_zip(
    *entries: Raw, prefix: bytes = b"", is_shifted: bool = False, gap: bytes = b"", comment: bytes = b"", disk: int = 0
) -> bytes:
    """A zip of these entries after `prefix`. `is_shifted`: its offsets ignore the prefix; `gap` follows the directory."""
    body, directory = bytearray(prefix), bytearray()
    base = len(prefix) if is_shifted else 0
    for one in entries:
        size, check, at = len(one.data), zlib.crc32(one.data), len(body) - base
        local = (20, one.flags, one.method, 0, 0x21, check, size, size, len(one.name), 0)
        body += struct.pack("<4s5H3L2H", b"PK\3\4", *local) + one.name + one.data
        fields = (20, one.version, one.flags, one.method, 0, 0x21, check, size, size, len(one.name), len(one.extra), 0, 0, 0)
        directory += struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields, one.attributes, at) + one.name + one.extra
    start, count = len(body) - base, len(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, count, count, len(directory), start, len(comment))
    return bytes(body + directory + gap) + end + comment


def packaged(*more: Raw, **odd: Any) -> bytes:
    """A packaged build as a raw zip, with more entries and oddities."""
    return raw_zip(*(Raw(name.encode(), data) for name, data in GOOD.items()), *more, **odd)
