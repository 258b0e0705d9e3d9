"""A state that exists and can't be used: nothing is sent, reads go on, and no other state takes its place."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM, SHOWROOM_NEW
from tests.front import FakeClock, Front, releases, uploads

URL = "https://builds.example.com/Game-1.4.zip"
WRITES = [
    ("upload", URL, "--no-check"),
    ("distribute", SHOWROOM_NEW),
    ("api", "POST", "/projects/distribute-file", "-f", f"projectId={SHOWROOM.id}", "-f", f"uploadId={SHOWROOM_NEW}"),
]


@pytest.fixture
def spare(spcli: Front, tmp_path: Path) -> Path:
    """An empty temp dir, where no state may be made."""
    folder = tmp_path / "temp"
    folder.mkdir()
    spcli.environ["TMPDIR"] = str(folder)
    return folder


@pytest.fixture
def server(spcli: Front, service: Any) -> Any:
    """A service whose upload window was spent by an earlier command."""
    server = service()
    assert spcli("upload", URL, "--no-check").code == 0
    return server


@pytest.fixture(params=["link", "hard link", "FIFO journal", "folder", "newer"])
def broken(request: pytest.FixtureRequest, spcli: Front, server: Any, tmp_path: Path) -> str:
    """A state that can't be used, in one of several ways."""
    path = spcli.home / "state" / "state.db"
    if request.param == "link":
        path.rename(tmp_path / "elsewhere.db")
        path.symlink_to(tmp_path / "elsewhere.db")
    elif request.param == "hard link":
        os.link(path, tmp_path / "elsewhere.db")
    elif request.param == "FIFO journal":
        os.mkfifo(path.with_name("state.db-journal"))
    elif request.param == "folder":
        path.unlink()
        path.mkdir()
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version=99")
        connection.close()
    return str(request.param)


@pytest.mark.parametrize("words", WRITES, ids=lambda words: words[0])
def test_write_is_refused_before_it_is_sent(
    spcli: Front, server: Any, spare: Path, clock: FakeClock, broken: str, words: tuple[str, ...]
) -> None:
    clock.sleep(3600)
    found = spcli(*words, "--json")
    assert (found.code, found.error["kind"], found.error["outcome"], found.out) == (3, "config", "not_sent", ""), found
    assert found.error["retryable"] is False
    assert found.error["hint"]
    assert (len(uploads(server)), len(releases(server)), list(spare.iterdir())) == (1, 0, [])


def test_limits_fail_instead_of_showing_an_open_window(spcli: Front, spare: Path, broken: str) -> None:
    found = spcli("limits", "--json")
    assert (found.code, found.error["kind"], found.out) == (3, "config", ""), found
    assert list(spare.iterdir()) == []


def test_status_shows_the_reason_in_place_of_the_limits(spcli: Front, spare: Path, broken: str) -> None:
    found = spcli("status", "--json")
    assert (found.code, found.json["limits"]) == (0, []), found
    assert [problem["what"] for problem in found.json["problems"]] == ["limits"]


@pytest.mark.parametrize("words", [("projects", "list"), ("builds",), ("webhooks", "events")], ids=" ".join)
def test_reads_go_on_with_a_note(spcli: Front, spare: Path, broken: str, words: tuple[str, ...]) -> None:
    found = spcli(*words, "--json")
    assert found.code == 0, found
    assert isinstance(found.json, list)
    assert list(spare.iterdir()) == []


def test_doctor_says_what_is_wrong(spcli: Front, spare: Path, broken: str) -> None:
    found = spcli("doctor", "--json")
    (check,) = [check for check in found.json["checks"] if check["name"] == "state"]
    assert check["level"] == "fail"


def test_locked_state_is_waited_for_once_and_the_refusal_says_that_it_may_pass(
    spcli: Front, server: Any, spare: Path, clock: FakeClock
) -> None:
    holder = sqlite3.connect(spcli.home / "state" / "state.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    clock.sleep(3600)
    began = time.monotonic()
    found = spcli("upload", URL, "--no-check", "--json")
    assert (found.code, found.error["outcome"], found.error["retryable"]) == (3, "not_sent", True), found
    assert (len(uploads(server)), list(spare.iterdir())) == (1, [])
    shown = spcli("status", "--json")
    assert ([problem["what"] for problem in shown.json["problems"]], shown.json["limits"]) == (["limits"], [])
    holder.close()
    # SQLite waits for a lock in real time: 5 s in each of the two commands.
    assert time.monotonic() - began < 20


def test_state_that_is_let_go_while_the_command_waits_is_used(spcli: Front, server: Any, clock: FakeClock) -> None:
    holder = sqlite3.connect(spcli.home / "state" / "state.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    clock.meanwhile = holder.rollback
    found = spcli("distribute", SHOWROOM_NEW, "--json")
    assert found.code == 0, found
    holder.close()


@pytest.mark.parametrize("timeout", ["1s", "10s", "60s", "10m"])
def test_upload_after_damage_waits_for_the_windows_rules_and_sleeps_between_polls(
    spcli: Front, server: Any, clock: FakeClock, timeout: str
) -> None:
    (spcli.home / "state" / "state.db").write_bytes(b"junk" * 1000)
    began, naps = clock.seconds, len(clock.slept)
    found = spcli("distribute", SHOWROOM_NEW, "--timeout", timeout, "--json")
    assert found.code == 0, found
    assert 190 < clock.seconds - began < 205
    assert all(nap > 0 for nap in clock.slept[naps:])
    assert len(clock.slept) - naps < 100


def test_folder_that_could_not_be_made_keeps_its_windows_when_it_can(
    spcli: Front, service: Any, spare: Path, clock: FakeClock
) -> None:
    server, folder = service(), spcli.home / "state"
    folder.write_text("a file in the way")
    assert spcli("upload", URL, "--no-check").code == 0
    folder.unlink()
    found = spcli("upload", URL, "--no-check", "--on-limit", "fail", "--json")
    assert (found.code, found.error["outcome"]) == (49, "not_sent"), found
    assert len(uploads(server)) == 1
    assert (folder / "state.db").exists()


def test_host_names_of_this_machine_and_letter_cases_share_one_window(spcli: Front, server: Any) -> None:
    base_url, user = spcli.environ["STREAMPIXEL_BASE_URL"], spcli.environ["STREAMPIXEL_USER_ID"]
    for env in ({"STREAMPIXEL_BASE_URL": base_url.replace("127.0.0.1", "localhost")}, {"STREAMPIXEL_USER_ID": user.upper()}):
        found = spcli("limits", "--json", env=env)
        assert found.json[0]["secondsLeft"] > 100, env


def test_unclear_upload_survives_a_command_run_while_the_clock_is_years_ahead(
    spcli: Front, server: Any, clock: FakeClock
) -> None:
    connection = sqlite3.connect(spcli.home / "state" / "state.db", isolation_level=None)
    connection.execute("UPDATE ledger SET phase = 'unclear', upload_id = NULL, owner = 'gone'")
    connection.close()
    clock.stepped = 3 * 366 * 86400
    assert spcli("distribute", SHOWROOM_NEW).code == 0
    clock.stepped = 0.0
    connection = sqlite3.connect(spcli.home / "state" / "state.db")
    assert connection.execute("SELECT phase FROM ledger WHERE action = 'upload'").fetchall() == [("unclear",)]
    connection.close()


def test_raw_upload_of_unknown_outcome_is_found_whatever_the_case_of_its_project_id(spcli: Front, service: Any) -> None:
    service()
    body = ("-f", f"projectId={SHOWROOM.id.upper()}", "-f", f"fileUrl={URL}")
    spcli("api", "POST", "/projects/upload-file", *body)
    connection = sqlite3.connect(spcli.home / "state" / "state.db")
    assert connection.execute("SELECT project_id FROM ledger").fetchall() == [(SHOWROOM.id,)]
    connection.close()
