"""Where the state file lies, and who may read it: folders, links, owners, and the spare folder."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli.ratelimit.window import Go
from spcli.state.account import Account
from spcli.state.place import find_spare_folder, prepare_folder
from tests.platforms import LINKS
from tests.unit.state_folder import POSIX, ROOT, RULES, Opened, make, mode, refusal


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state")
    yield found
    found.close()


def test_nothing_is_opened_before_it_is_needed(opened: Opened) -> None:
    opened.state().close()
    assert not opened.folder.exists()


@POSIX
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_folder_and_every_file_are_private_whatever_the_umask(opened: Opened, umask: int) -> None:
    folder = opened.folder / "made" / "too"
    before = os.umask(umask)
    try:
        state = opened.state(folder)
        state.windows.enqueue("b")
    finally:
        os.umask(before)
    assert [mode(one) for one in (folder, folder.parent, opened.folder)] == [0o700] * 3
    files = {one.name: mode(one) for one in folder.iterdir()}
    assert set(files) >= {"state.db", "state.db-wal", "state.db-shm"}
    assert set(files.values()) == {0o600}


@POSIX
def test_open_modes_of_an_older_folder_are_closed(opened: Opened) -> None:
    make(opened)
    opened.folder.chmod(0o777)
    opened.file.chmod(0o666)
    opened.state().windows.enqueue("b")
    assert (mode(opened.folder), mode(opened.file)) == (0o700, 0o600)


@POSIX
def test_folder_with_other_things_keeps_its_mode(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o755)
    (opened.folder / "other").touch()
    opened.state().windows.enqueue("b")
    assert mode(opened.folder) == 0o755
    assert mode(opened.file) == 0o600


@POSIX
def test_folder_with_other_things_that_others_may_write_to_is_refused(opened: Opened) -> None:
    opened.folder.mkdir()
    opened.folder.chmod(0o1777)
    (opened.folder / "other").touch()
    assert "others may write" in refusal(lambda: opened.state().windows.enqueue("b")).message
    assert [one.name for one in opened.folder.iterdir()] == ["other"]


@LINKS
@pytest.mark.parametrize("what", ["state.db", "folder", "state.lock"])
def test_link_is_refused_and_its_target_never_touched(opened: Opened, tmp_path: Path, what: str) -> None:
    target = tmp_path / "target"
    if what == "folder":
        target.mkdir()
        opened.folder.symlink_to(target)
    else:
        target.write_bytes(b"precious")
        opened.folder.mkdir(mode=0o700)
        (opened.folder / what).symlink_to(target)
    state = opened.state()
    assert "is a link" in refusal(lambda: state.windows.enqueue("b")).message
    assert state.ledger.recorded_uploads(Account("o", "a"), "p") == {}
    assert len(opened.notes) == 1
    assert not list(target.iterdir()) if what == "folder" else target.read_bytes() == b"precious"


def test_hard_link_is_refused(opened: Opened, tmp_path: Path) -> None:
    make(opened)
    os.link(opened.file, tmp_path / "second")
    assert "is a link" in refusal(lambda: opened.state().windows.enqueue("b")).message


@LINKS
def test_parents_may_be_links(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    opened.state(tmp_path / "linked" / "state").windows.enqueue("b")
    assert (tmp_path / "real" / "state" / "state.db").exists()


@POSIX
@ROOT
@pytest.mark.parametrize("name", ["", "state.db"])
def test_foreign_owner_is_refused(opened: Opened, name: str) -> None:
    make(opened)
    os.chown(opened.folder / name, 12345, 12345)
    assert "belongs to another user" in refusal(lambda: opened.state().windows.enqueue("b")).message


@pytest.mark.parametrize("what", ["a folder", "a FIFO"])
def test_state_file_that_is_not_a_regular_file_is_refused(opened: Opened, what: str) -> None:
    if what == "a folder":
        opened.file.mkdir(parents=True)
    elif sys.platform == "win32":
        pytest.skip("no FIFO on Windows")
    else:
        opened.folder.mkdir(mode=0o700)
        os.mkfifo(opened.file)
    assert "is not a regular file" in refusal(lambda: opened.state().windows.enqueue("b")).message
    assert list(opened.spare.iterdir()) == []


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("what", [pytest.param("link", marks=LINKS), "hard link", "FIFO"])
def test_journal_that_is_a_link_or_a_fifo_is_refused_and_never_written_to(
    opened: Opened, tmp_path: Path, suffix: str, what: str
) -> None:
    make(opened)
    journal, target = opened.folder / f"state.db{suffix}", tmp_path / "target"
    target.write_bytes(b"precious")
    journal.unlink(missing_ok=True)
    if what == "FIFO":
        if sys.platform == "win32":
            pytest.skip("no FIFO on Windows")
        os.mkfifo(journal)
    else:
        (journal.symlink_to if what == "link" else journal.hardlink_to)(target)
    state = opened.state()
    assert journal.name in refusal(lambda: state.windows.enqueue("b")).message
    assert state.events.find_events() == []
    assert target.read_bytes() == b"precious"
    assert list(opened.spare.iterdir()) == []


@pytest.mark.parametrize("shape", ["file for a folder", "file above"])
def test_spare_folder_is_used_with_one_note_if_the_folder_cannot_be_made(opened: Opened, shape: str) -> None:
    opened.folder.write_text("a file")
    folder = opened.folder if shape == "file for a folder" else opened.folder / "deeper"
    state = opened.state(folder)
    ticket = state.windows.enqueue("b")
    assert isinstance(state.windows.poll("b", ticket, rules=RULES)[0], Go)
    assert opened.state(folder).windows.view_window("b").seconds_left > 0
    assert len(set(opened.notes)) == 1
    assert "cannot be used" in opened.notes[0]
    (spare,) = opened.spare.iterdir()
    assert str(spare) in opened.notes[0]
    if sys.platform != "win32":
        assert mode(spare) == 0o700


def test_call_is_refused_with_the_line_to_type_if_no_folder_can_be_used(opened: Opened) -> None:
    opened.folder.write_text("a file")
    opened.spare.rmdir()
    opened.spare.write_text("a file")
    state = opened.state()
    assert state.events.find_events() == []
    error = refusal(lambda: state.windows.enqueue("b"))
    assert "nor the temp dir" in error.message
    assert "export SPCLI_STATE_DIR=" in (error.hint or "")
    assert "$env:SPCLI_STATE_DIR = " in (error.hint or "")
    state.windows.settle("b", "t", is_over=True, rules=RULES)
    state.windows.leave_queue("b", "t")
    state.ledger.record(1, "done")
    assert len(opened.notes) == 1


@POSIX
def test_spare_folder_is_per_user_in_the_temp_dir() -> None:
    assert find_spare_folder({"TMPDIR": "/x"}) == Path(f"/x/spcli-{os.getuid()}")
    assert find_spare_folder({}).name == f"spcli-{os.getuid()}"


def test_spare_state_moves_to_the_folder_once_that_can_be_used(opened: Opened) -> None:
    opened.folder.write_text("a file")
    state = opened.state()
    assert isinstance(state.windows.poll("b", state.windows.enqueue("b"), rules=RULES)[0], Go)
    opened.folder.unlink()
    if sys.platform == "win32":
        state.close()  # an open file cannot be removed there
    later = opened.state()
    assert later.windows.view_window("b").seconds_left == pytest.approx(197)
    assert opened.file.exists()
    assert [one.name for one in opened.spare.rglob("state.db")] == []
    # The process that had it open goes on in the folder, too.
    assert state.windows.view_window("b").seconds_left == pytest.approx(197)


@pytest.mark.parametrize(("temporary", "is_private"), [("profile/Temp", True), ("profile", False), ("Windows/Temp", False)])
def test_spare_folder_on_windows_is_only_one_inside_the_users_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: str, is_private: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    environ = {"TEMP": str(tmp_path / temporary), "USERPROFILE": str(tmp_path / "profile")}
    if is_private:
        assert find_spare_folder(environ) == tmp_path / temporary / "spcli"
        return
    with pytest.raises(OSError, match="shared by all users"):
        find_spare_folder(environ)
    with pytest.raises(OSError, match="shared by all users"):
        find_spare_folder({"TEMP": environ["TEMP"]})


def test_spare_state_that_moves_after_damage_closes_the_windows(opened: Opened) -> None:
    opened.folder.write_text("a file")
    opened.state().windows.enqueue("b")
    opened.folder.unlink()
    opened.folder.mkdir(mode=0o700)
    (opened.folder / "state.db.damaged-1").touch()
    os.utime(opened.folder / "state.db.damaged-1", (opened.clock.wall(), opened.clock.wall()))
    state = opened.state()
    assert state.windows.view_window("b") == (pytest.approx(197), 1, None)
    assert state.lost_memory_at() == opened.clock.now()


def test_spare_state_that_is_damaged_closes_the_windows(opened: Opened) -> None:
    spare = find_spare_folder({"TMPDIR": str(opened.spare), "USERPROFILE": str(opened.spare.parent)})
    spare.mkdir(mode=0o700)
    (spare / "state.db").write_bytes(b"junk")
    (spare / "state.db").chmod(0o600)
    assert opened.state().windows.view_window("b").seconds_left == pytest.approx(197)


def test_spare_state_in_use_is_waited_for(opened: Opened) -> None:
    opened.folder.write_text("a file")
    opened.state().windows.enqueue("b")
    opened.folder.unlink()
    holder = sqlite3.connect(next(opened.spare.rglob("state.db")), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    state = opened.state()
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    holder.close()
    assert state.windows.enqueue("b")
    assert state.windows.view_window("b").queued == 2


@POSIX
@ROOT
def test_spare_state_of_another_user_is_not_trusted(opened: Opened) -> None:
    opened.folder.write_text("a file")
    opened.state().windows.enqueue("b")
    opened.folder.unlink()
    os.chown(next(opened.spare.iterdir()), 12345, 12345)
    assert opened.state().windows.view_window("b") == (0.0, 0, None)


@POSIX
def test_folder_made_by_another_process_meanwhile_is_used(tmp_path: Path) -> None:
    prepare_folder(tmp_path / "a")
    prepare_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700
