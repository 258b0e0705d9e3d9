"""A file object over ranges: `zipfile` reads an archive on a remote host through it, without downloading it."""

import io
from collections.abc import Callable

Fetch = Callable[[int, int], bytes]
"""Bytes `first` to `last`, both included, as in a `Range` header."""


class TooMuch(Exception):
    """One read asked for more than an honest archive needs."""


class RangedFile(io.RawIOBase):
    """A file of `size` bytes, read through `fetch`; each part is fetched once.

    Args:
        read_limit: bytes one read may ask for; the sizes in a hostile archive can be any number.
    """

    def __init__(self, size: int, fetch: Fetch, *, read_limit: int) -> None:
        super().__init__()
        self.size = size
        self._fetch = fetch
        self._read_limit = read_limit
        self._position = 0
        self._parts: list[tuple[int, bytes]] = []

    def preload(self, start: int, data: bytes) -> None:
        """Use `data` as the file's bytes from `start` on; later calls override earlier ones."""
        self._parts.insert(0, (start, data))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position. Raise `OSError` before the start, as a real file does."""
        target = offset + (0, self._position, self.size)[whence]
        if target < 0:
            raise OSError("seek before the start")
        self._position = target
        return target

    def read(self, size: int | None = -1) -> bytes:
        """Read at most `size` bytes from the position.

        Raises:
            TooMuch: more than `read_limit`.
        """
        end = self.size if size is None or size < 0 else min(self._position + size, self.size)
        data = self._read_part(self._position, end) if end > self._position else b""
        self._position += len(data)
        return data

    def _read_part(self, start: int, end: int) -> bytes:
        if end - start > self._read_limit:
            raise TooMuch
        for first, data in self._parts:
            if first <= start and end <= first + len(data):
                return data if (start, end) == (first, first + len(data)) else data[start - first : end - first]
        data = self._fetch(start, end - 1)
        self._parts.append((start, data))
        return data
