"""A file object over ranges: what `zipfile` reads of an archive that lies elsewhere, and is never downloaded."""

import io
from collections.abc import Callable

Fetch = Callable[[int, int], bytes]
"""Bytes `first` to `last`, both included, as in a `Range` header."""


class TooMuch(Exception):
    """More was asked for at once than an honest archive needs."""


class RangedFile(io.RawIOBase):
    """Reads `size` bytes through `fetch`, and keeps what it has read.

    Args:
        most: bytes one read may ask for; a size in a hostile archive is only a number until then.
    """

    def __init__(self, size: int, fetch: Fetch, *, most: int) -> None:
        super().__init__()
        self.size = size
        self._fetch = fetch
        self._most = most
        self._at = 0
        self._kept: list[tuple[int, bytes]] = []

    def keep(self, start: int, data: bytes) -> None:
        """Take these bytes as the file's from `start` on; later ones win over earlier ones."""
        self._kept.insert(0, (start, data))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; one before the start is an `OSError`, as with a real file."""
        place = offset + (0, self._at, self.size)[whence]
        if place < 0:
            raise OSError("seek before the start")
        self._at = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        """At most `size` bytes from here.

        Raises:
            TooMuch: more than `most`.
        """
        end = self.size if size is None or size < 0 else min(self._at + size, self.size)
        data = self._part(self._at, end) if end > self._at else b""
        self._at += len(data)
        return data

    def _part(self, start: int, end: int) -> bytes:
        if end - start > self._most:
            raise TooMuch
        for first, data in self._kept:
            if first <= start and end <= first + len(data):
                return data if (start, end) == (first, first + len(data)) else data[start - first : end - first]
        data = self._fetch(start, end - 1)
        self._kept.append((start, data))
        return data
