"""An Output over real streams: bytes in memory, as a pipe would take them, or a pseudo-terminal."""

import io
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest

from spcli.models import Project
from spcli.output import Output

PROJECT = Project("65f0c0ffee65f0c0ffee65f0", "Showroom", "active", "eu", None, None, None)


class Paper:
    """stdout and stderr as a pipe would take them: encoded bytes."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, encoding: str = "utf-8", stdin: str = "") -> None:
        self.bytes = io.BytesIO(), io.BytesIO()
        self.streams = [io.TextIOWrapper(raw, encoding=encoding, newline="\n") for raw in self.bytes]
        self.encoding = encoding
        self.output = Output(io.StringIO(stdin), self.streams[0], self.streams[1], environ or {})

    @property
    def out(self) -> str:
        return self.bytes[0].getvalue().decode(self.encoding)

    @property
    def err(self) -> str:
        return self.bytes[1].getvalue().decode(self.encoding)


class Terminal:
    """An Output whose three streams are one pseudo-terminal of a given width."""

    def __init__(self, output: Output, master: int, slave: int) -> None:
        self.output = output
        self._master, self._slave = master, slave
        self._written = bytearray()
        # Read all the time: a pseudo-terminal holds a few kilobytes, and then blocks its writer.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # how Linux reports that the last writer has closed it
            while data := os.read(self._master, 65536):
                self._written += data

    def close(self) -> None:
        self._reader.join(10)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def screen(self) -> str:
        """Return all that was written since the last time: a mark behind it shows that the reader has it."""
        os.write(self._slave, b"\0")
        while (end := self._written.find(b"\0")) < 0:
            time.sleep(0.001)
        data = bytes(self._written[:end])
        del self._written[: end + 1]
        return data.decode().replace("\r\n", "\n")


@contextmanager
def open_terminal(environ: Mapping[str, str] | None = None, *, columns: int = 80, encoding: str = "utf-8") -> Iterator[Terminal]:
    """A pseudo-terminal with an Output on it."""
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    import struct

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    mode = {"encoding": encoding, "newline": "\n"}
    with (
        os.fdopen(os.dup(slave), "r", encoding=encoding) as stdin,
        os.fdopen(os.dup(slave), "w", **mode) as stdout,  # type: ignore[call-overload]
        os.fdopen(slave, "w", **mode) as stderr,  # type: ignore[call-overload]
    ):
        terminal = Terminal(Output(stdin, stdout, stderr, environ or {}), master, stdout.fileno())
        yield terminal
    terminal.close()


def list_projects(output: Output, projects: list[Project]) -> None:
    """Print a listing of projects."""
    rows = [[project.id, project.name or "", project.status or ""] for project in projects]
    bare = [project.id for project in projects]
    output.listing(projects, columns=["ID", "NAME", "STATUS"], rows=rows, bare=bare, empty="no projects")
