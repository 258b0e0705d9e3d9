"""Whether the process that wrote a row is provably gone."""

import os
import subprocess
import sys

import pytest

from spcli.state.processes import is_process_gone, is_process_running, own_process, process_space

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows only the heartbeat tells")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="start times come from /proc")


def test_this_process_runs_and_is_not_gone() -> None:
    assert not is_process_gone(own_process())
    assert is_process_running(own_process()) == sys.platform.startswith("linux")


def test_process_that_has_ended_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = own_process(process.pid)
    assert not is_process_gone(known)
    process.communicate(b"\n")
    assert is_process_gone(known)
    assert not is_process_running(known)


@LINUX
def test_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = own_process(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_process_gone(known)
    assert not is_process_running(known)
    # A row that names the zombie is no proof that it runs.
    assert is_process_gone(own_process(process.pid))
    process.wait()


@LINUX
def test_reused_process_id_is_another_process() -> None:
    place, _, started = own_process().rpartition("/")
    assert is_process_gone(f"{place}/{int(started) - 1}")
    assert not is_process_running(f"{place}/{int(started) - 1}")


def test_without_a_start_time_an_existing_process_is_neither_gone_nor_proven() -> None:
    known = f"{process_space()}/{os.getpid()}/"
    assert not is_process_gone(known)
    assert not is_process_running(known)


def test_process_of_another_user_is_not_gone() -> None:
    assert not is_process_gone(f"{process_space()}/1/")


SPACE = process_space()


@pytest.mark.parametrize(
    "stored",
    [
        *(None, "", "/", "//", 7, b"x", "elsewhere/4026531836/1/1"),
        *(f"{SPACE}/{rest}" for rest in ("", "0/5", "-1/5", "²/5", "x/5", f"{'9' * 5000}/5", "12")),
    ],
)
def test_row_of_another_process_space_is_never_gone(stored: object) -> None:
    if stored != f"{SPACE}/12":
        assert not is_process_gone(stored)
    assert not is_process_running(stored)
