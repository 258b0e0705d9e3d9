"""Whether the process that wrote a row is provably gone."""

import os
import subprocess
import sys

import pytest

from spcli.state.processes import here, is_gone, is_running, owner

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="on Windows only the heartbeat tells")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="start times come from /proc")


def test_this_process_runs_and_is_not_gone() -> None:
    assert not is_gone(owner())
    assert is_running(owner()) == sys.platform.startswith("linux")


def test_process_that_has_ended_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = owner(process.pid)
    assert not is_gone(known)
    process.communicate(b"\n")
    assert is_gone(known)
    assert not is_running(known)


@LINUX
def test_zombie_is_as_good_as_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = owner(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(known)
    assert not is_running(known)
    # A row written by somebody who looked at the zombie proves as little as any.
    assert is_gone(owner(process.pid))
    process.wait()


@LINUX
def test_reused_process_id_is_another_process() -> None:
    place, _, started = owner().rpartition("/")
    assert is_gone(f"{place}/{int(started) - 1}")
    assert not is_running(f"{place}/{int(started) - 1}")


def test_without_a_start_time_an_existing_process_is_neither_gone_nor_proven() -> None:
    known = f"{here()}/{os.getpid()}/"
    assert not is_gone(known)
    assert not is_running(known)


def test_process_of_another_user_is_not_gone() -> None:
    assert not is_gone(f"{here()}/1/")


@pytest.mark.parametrize(
    "stored",
    [None, "", "/", "//", 7, b"x", "elsewhere/4026531836/1/1", f"{here()}/", f"{here()}/0/5", f"{here()}/-1/5", f"{here()}/²/5",
     f"{here()}/x/5", f"{here()}/{'9' * 5000}/5", f"{here()}/12"],
)  # fmt: skip
def test_what_is_not_known_to_be_of_this_place_is_never_gone(stored: object) -> None:
    if stored != f"{here()}/12":
        assert not is_gone(stored)
    assert not is_running(stored)
