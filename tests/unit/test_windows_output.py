"""Output on Windows, with doubles of what Windows has: the console mode, the console's keys, and pipes in an ANSI code page.

The doubles stand for GetConsoleMode and SetConsoleMode (https://learn.microsoft.com/windows/console/setconsolemode) and for
`msvcrt.getwch`, which returns an arrow key as two characters and Ctrl-C as "\\x03".
"""

import ctypes
import io
import signal
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from spcli.errors import Interrupted
from spcli.output.prompt import Prompt
from spcli.output.stream import Stream
from tests.screens import Paper

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="doubles of Windows, for other systems")


class Console(io.StringIO):
    """A Windows console with its mode; `keys` are typed on it. One that is too old refuses escape sequences."""

    def __init__(self, mode: int | None, *, is_old: bool = False, keys: str = "") -> None:
        super().__init__()
        self.mode = mode
        self.is_old = is_old
        self.keys = list(keys)

    def read_key(self) -> str:
        """Wait for a key, for ever once all are read: the console of Windows holds a signal back that long."""
        if not self.keys:
            signal.raise_signal(signal.SIGINT)
            threading.Event().wait()
        return self.keys.pop(0)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 99

    def get_mode(self, _handle: Any, mode: Any) -> int:
        mode._obj.value = self.mode or 0
        return int(self.mode is not None)

    def set_mode(self, _handle: Any, mode: Any) -> int:
        if not self.is_old:
            self.mode = mode.value
        return int(not self.is_old)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns what makes a console the one of this process."""

    def use(console: Console) -> Console:
        kernel = SimpleNamespace(GetConsoleMode=console.get_mode, SetConsoleMode=console.set_mode)
        monkeypatch.setattr(ctypes, "WinDLL", lambda _name: kernel, raising=False)
        double = SimpleNamespace(get_osfhandle=lambda _descriptor: 7, getwch=console.read_key)
        monkeypatch.setitem(sys.modules, "msvcrt", double)
        return console

    monkeypatch.setattr(sys, "platform", "win32")
    return use


@pytest.mark.parametrize("environ", [{}, {"TERM": "xterm"}, {"WT_SESSION": "1"}], ids=str)
@pytest.mark.parametrize(
    ("console", "has_colours", "mode"),
    [
        (Console(3), True, 7),
        (Console(7), True, 7),
        (Console(3, is_old=True), False, 3),
        (Console(None), False, None),  # a pipe of a terminal emulator, not a console
    ],
)
def test_colours_are_switched_on_in_a_console_that_can(
    windows: Any, environ: dict[str, str], console: Console, has_colours: bool, mode: int | None
) -> None:
    assert Stream(windows(console), environ).understands_colours() is has_colours
    assert console.mode == mode


def test_a_dumb_terminal_is_not_switched_to_colours(windows: Any) -> None:
    console = windows(Console(3))
    assert not Stream(console, {"TERM": "dumb"}).understands_colours()
    assert console.mode == 3


@pytest.mark.parametrize(
    ("environ", "encoding", "written"),
    [
        ({}, "cp1252", "M\xf6bel... ->\r\n".encode("cp1252")),
        ({}, "cp932", b"M\\xf6bel... ->\r\n"),
        ({}, "utf-8", "Möbel… →\r\n".encode()),  # PYTHONUTF8=1 or PYTHONIOENCODING=utf-8
        ({"CI": "true"}, "cp1252", "Möbel… →\r\n".encode()),
        ({"GITHUB_ACTIONS": "true"}, "cp437", "Möbel… →\r\n".encode()),
        ({"TEAMCITY_VERSION": "2025.1"}, "cp850", "Möbel… →\r\n".encode()),
        ({"JENKINS_URL": "https://ci"}, "cp1252", "Möbel… →\r\n".encode()),
        ({"CI": "false"}, "cp1252", "M\xf6bel... ->\r\n".encode("cp1252")),
    ],
)
def test_a_pipe_is_utf_8_in_ci_and_gets_ascii_look_alikes_elsewhere(
    windows: Any, environ: dict[str, str], encoding: str, written: bytes
) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\r\n")
    Stream(pipe, environ).write("Möbel… →\n")
    assert pipe.buffer.getvalue() == written  # type: ignore[attr-defined]


def test_other_systems_keep_the_encoding_of_a_pipe_in_ci() -> None:
    paper = Paper({"CI": "true"}, encoding="latin-1")
    paper.output.line_object(None, "Möbel… →")
    assert paper.out == "Möbel... ->\n"


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        ("k3y\r", "k3y"),
        ("k3\xe0Hy\x00;\r", "k3y"),  # arrow up, F1
        ("k3x\by\n", "k3y"),
        ("\bk\x1a", "k"),
    ],
)
def test_arrow_keys_add_nothing_to_a_hidden_answer(windows: Any, keys: str, answer: str) -> None:
    console = windows(Console(3, keys=keys))
    assert Prompt(console, Stream(console, {})).ask_hidden("API key: ") == answer
    assert console.getvalue() == "API key: \n"


def test_ctrl_c_as_a_key_at_a_hidden_prompt_ends_its_line(windows: Any) -> None:
    console = windows(Console(3, keys="k3\x03y"))
    with pytest.raises(Interrupted) as interrupted:
        Prompt(console, Stream(console, {})).ask_hidden("API key: ")
    assert interrupted.value.exit_code == 130
    assert console.getvalue() == "API key: \n"


def test_ctrl_c_as_a_signal_at_a_hidden_prompt_is_not_held_back(windows: Any) -> None:
    console = windows(Console(3, keys="k3"))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Prompt(console, Stream(console, {})).ask_hidden("API key: ")
    finally:
        signal.signal(signal.SIGINT, before)
    assert console.getvalue() == "API key: \n"
