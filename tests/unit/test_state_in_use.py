"""A state file that is full, read-only, locked or held open: nothing is sent, and no other file takes its place."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spcli.errors import SpcliError
from spcli.ratelimit.window import Go, Wait
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt, WriteNote
from tests.unit.state_folder import POSIX, ROOT, RULES, Opened, make, raw, refusal, script


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state")
    yield found
    found.close()


def test_disk_that_is_full_refuses_the_call_before_it_is_sent_and_reads_go_on(opened: Opened) -> None:
    state = opened.state()
    ticket = state.windows.enqueue("b")
    state.names.remember_projects(Account("o", "u"), [("1", "one")])
    pages = state._database.read("PRAGMA page_count")[0][0]
    state._database.read(f"PRAGMA max_page_count={pages}")
    # The rest of the last pages is used up.
    filler = [(f"{number:05}", "x" * 300) for number in range(2000)]
    state.names.remember_projects(Account("o", "u"), filler)
    for number in range(500):
        try:
            state._database.write(
                lambda c, number=number: c.run("INSERT INTO names VALUES (?,?,?,?,?)", ("x", "", number, "y" * 200, 0))
            )
        except SpcliError:
            break
    error = refusal(lambda: [state.windows.enqueue("b" * 4000) for _ in range(20)])
    assert "the disk is full" in error.message
    assert not error.retryable
    assert state.windows.view_window("b").queued == 1
    state.windows.leave_queue("b", ticket)
    assert state.windows.view_window("b").queued == 0


@POSIX
def test_file_that_may_not_grow_refuses_the_call_and_settling_prints_a_note(opened: Opened) -> None:
    make(opened)
    said = script(
        """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        ticket = state.windows.enqueue("b")
        limit = Path(sys.argv[1], "state.db-wal").stat().st_size + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            state.windows.poll("b", ticket, rules=rules, attempt=attempt)
        except SpcliError as error:
            print(error.kind, error.outcome, error.message.rpartition(": ")[2], state.windows.view_window("b").queued)
        state.windows.settle("b", ticket, is_over=True, rules=rules)
        print(len(notes), state.events.find_events())
        """,
        str(opened.folder),
        str(opened.spare),
    )
    assert said.splitlines()[0] in ("config not_sent the disk is full 1", "config not_sent the disk fails 1")
    assert said.splitlines()[1] == "1 []"


@POSIX
def test_windows_that_cannot_be_read_without_disk_space_are_not_replaced(opened: Opened) -> None:
    make(opened)
    said = script(
        """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            state.windows.enqueue("b")
        except SpcliError as error:
            print(error.kind, error.outcome, "state.db" in error.message, "temp dir" in error.message)
        """,
        str(opened.folder),
        str(opened.spare),
    )
    assert said == "config not_sent True False\n"
    assert list(opened.spare.iterdir()) == []


NOBODY = """
import os, tempfile
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Folders of a user whom permissions hold back, root included: `state`, and `spare` for a temp dir."""
    found = Path(tempfile.mkdtemp(dir="/tmp"))
    for one in (found, found / "state", found / "spare"):
        one.mkdir(mode=0o700, exist_ok=True)
        give_to_nobody(one)
    yield found
    (found / "state").chmod(0o700)
    shutil.rmtree(found)


def give_to_nobody(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)


def run_as_nobody(place: Path, body: str) -> list[str]:
    return script(NOBODY + textwrap.dedent(body), str(place / "state"), str(place / "spare")).splitlines()


SPEND_WINDOW = """
    import time
    rules = Rules(122.0, 60.0)
    print(type(state.windows.poll("b", state.windows.enqueue("b"), rules=rules, attempt=attempt)[0]).__name__)
"""
CALL_AGAIN = """
    print(state.windows.view_window("b").seconds_left > 100)
    try:
        state.windows.enqueue("b")
    except SpcliError as error:
        print(error.kind, error.outcome, error.retryable, error.message.rpartition(": ")[2])
    print(len(notes) < 2, os.listdir(sys.argv[2]))
"""


@POSIX
@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("state.db", 0o400, "it is read-only"),
        ("state.db", 0o000, "it cannot be opened"),
        ("", 0o500, "it is read-only"),
        ("", 0o000, "permission denied"),
        ("..", 0o000, "permission denied"),
    ],
)
def test_state_that_cannot_be_written_is_read_or_counts_as_closed_and_is_never_replaced(
    place: Path, name: str, mode: int, reason: str
) -> None:
    assert run_as_nobody(place, SPEND_WINDOW) == ["Go"]
    target = (place / "state" / name).resolve()
    target.chmod(mode)
    try:
        call = CALL_AGAIN if name != ".." else CALL_AGAIN.replace("os.listdir(sys.argv[2])", "[]")
        found = run_as_nobody(place, call)
    finally:
        target.chmod(0o700)
    assert found == ["True", f"config not_sent False {reason}", "True []"]


@POSIX
def test_state_that_becomes_usable_while_it_is_waited_for_is_used(place: Path) -> None:
    assert run_as_nobody(place, SPEND_WINDOW) == ["Go"]
    (place / "state").chmod(0o500)
    body = """
        class Fixed(Clock):
            def sleep(self, seconds):
                os.chmod(sys.argv[1], 0o700)
        state = State(Path(sys.argv[1]), clock=Fixed(), environ={}, note=notes.append)
        print(len(state.windows.enqueue("b")), notes)
    """
    assert run_as_nobody(place, body) == ["32 []"]


@POSIX
def test_spare_folder_is_used_if_a_read_only_folder_never_held_a_state(place: Path) -> None:
    (place / "state").chmod(0o500)
    body = """
        print(len(state.windows.enqueue("b")), len(notes), "cannot be used" in notes[0])
    """
    assert run_as_nobody(place, body) == ["32 1 True"]
    assert list((place / "state").iterdir()) == []


@POSIX
@ROOT
def test_state_on_a_disk_that_was_mounted_read_only_is_read_and_never_replaced(place: Path) -> None:
    disk = str(place / "state")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        give_to_nobody(place / "state")
        (place / "state").chmod(0o700)
        assert run_as_nobody(place, SPEND_WINDOW) == ["Go"]
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        found = run_as_nobody(place, CALL_AGAIN)
        assert found == ["True", "config not_sent False it cannot be opened", "True []"]
    finally:
        subprocess.run(["umount", disk], check=True)


class Hold:
    """A double of Windows while another program holds the state's files open.

    SQLite then cannot open `state.db`, and no file can be replaced. The numbers are how many more times that fails.
    """

    def __init__(self) -> None:
        self.openings = self.replacements = 0
        self._connect, self._replace = sqlite3.connect, os.replace

    def connect(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        if "state.db" in str(path) and self.openings:
            self.openings -= 1
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise error
        return self._connect(path, *args, **kwargs)

    def replace(self, source: Any, target: Any) -> None:
        if self.replacements:
            self.replacements -= 1
            raise PermissionError(13, "The process cannot access the file")
        self._replace(source, target)


FOREVER = 10**6


@pytest.fixture
def hold(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Hold:
    make(opened)
    found = Hold()
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sqlite3, "connect", found.connect)
    monkeypatch.setattr(os, "replace", found.replace)
    return found


def test_state_file_that_another_program_holds_open_is_waited_for_and_then_refused(opened: Opened, hold: Hold) -> None:
    hold.openings = FOREVER
    state = opened.state(patience=5.0)
    assert state.events.find_events() == []
    assert opened.clock.seconds == 0
    error = refusal(lambda: state.windows.enqueue("b"))
    assert (error.retryable, error.hint) == (True, "run the command again once the other program has closed it")
    assert 4 < opened.clock.seconds < 6
    assert state.windows.view_window("b").seconds_left == 122
    assert len(opened.notes) == 1
    assert list(opened.spare.iterdir()) == []


def test_state_file_released_in_time_is_used(opened: Opened, hold: Hold) -> None:
    hold.openings = 20
    assert opened.state(patience=5.0).windows.enqueue("b")
    assert (opened.notes, 1 < opened.clock.seconds < 3) == ([], True)


def test_history_that_cannot_be_read_stops_an_upload(opened: Opened, hold: Hold) -> None:
    hold.openings = FOREVER
    state, account = opened.state(), Account("o", "u")
    refusal(lambda: state.ledger.find_unsettled("upload", account, "p", url="https://h/a.zip"))
    refusal(lambda: state.ledger.find_absent_uploads(account, "p", "https://h/a.zip", 600))
    refusal(state.lost_memory_at)
    refusal(lambda: state.windows.list_limits(account))


def test_wait_requested_by_the_service_is_stored_once_the_file_is_released(opened: Opened, hold: Hold) -> None:
    state = opened.state(patience=5.0)
    ticket = state.windows.enqueue("b")
    assert isinstance(state.windows.poll("b", ticket, rules=RULES)[0], Go)
    state.close()
    hold.openings = 20
    state.windows.settle("b", ticket, is_over=True, rules=RULES, closed_for=3600.0)
    assert opened.state().windows.view_window("b").seconds_left == pytest.approx(3600)


def test_outcome_of_a_write_is_stored_once_the_file_is_released(opened: Opened, hold: Hold) -> None:
    state, account = opened.state(patience=5.0), Account("o", "u")
    attempt = NewAttempt("upload", account, "p", "https://h/a.zip", "d", None, True, (), WriteNote())
    number = state.windows.poll("b", state.windows.enqueue("b"), rules=RULES, attempt=attempt)[1]
    assert number is not None
    state.close()
    hold.openings = 20
    state.ledger.record(number, "done", upload_id="u1")
    assert [one.upload_id for one in state.ledger.find_uploads(account, "p", limit=9)] == ["u1"]


def test_damaged_file_that_another_program_holds_open_is_waited_for_and_then_refused(opened: Opened, hold: Hold) -> None:
    opened.file.write_bytes(b"junk")
    hold.replacements = FOREVER
    state = opened.state(patience=1.0)
    error = refusal(lambda: state.windows.enqueue("b"))
    assert (error.retryable, "cannot be set aside" in error.message) == (True, True)
    assert (opened.file.read_bytes(), list(opened.spare.iterdir())) == (b"junk", [])
    hold.replacements = 8
    assert isinstance(state.windows.poll("b", state.windows.enqueue("b"), rules=RULES)[0], Wait)


def test_fresh_file_that_cannot_be_put_in_place_is_waited_for(opened: Opened, hold: Hold) -> None:
    for one in opened.folder.iterdir():
        one.unlink()
    hold.replacements = FOREVER
    state = opened.state(patience=1.0)
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    assert list(opened.spare.iterdir()) == []
    hold.replacements = 8
    assert state.windows.enqueue("b")


@POSIX
@ROOT
def test_full_disk_is_reported_and_stored_windows_are_not_replaced(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        said = script(
            """
            import os
            ticket = state.windows.enqueue("b")
            with open(Path(sys.argv[1]).parent / "filler", "wb", buffering=0) as filler:
                try:
                    while True:
                        filler.write(b"x" * 4096)
                except OSError:
                    pass
            try:
                for number in range(100):
                    state.windows.enqueue("b" * 20_000)
            except SpcliError as error:
                print(error.outcome, error.message.rpartition(": ")[2])
            print(state.windows.view_window("b").queued > 0)
            state.close()
            try:
                state.windows.enqueue("b" * 100_000)
            except SpcliError as error:
                print(error.outcome, "temp dir" in error.message)
            """,
            str(disk / "state"),
            str(tmp_path),
        )
        assert said.splitlines() == ["not_sent the disk is full", "True", "not_sent False"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def locked(opened: Opened) -> Iterator[sqlite3.Connection]:
    make(opened)
    holder = sqlite3.connect(opened.file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield holder
    holder.close()


def test_locked_file_refuses_the_call_after_its_patience_and_reads_go_on(opened: Opened, locked: sqlite3.Connection) -> None:
    state = opened.state(patience=0.3)
    error = refusal(lambda: state.windows.enqueue("b"))
    assert "another process holds it locked" in error.message
    assert error.retryable
    assert state.windows.view_window("b").queued == 0
    state.windows.settle("b", "t", is_over=True, rules=RULES)
    assert len(opened.notes) == 1
    locked.execute("ROLLBACK")
    assert state.windows.enqueue("b")


def test_spare_folder_is_not_used_while_the_lock_file_is_locked(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    guard = sqlite3.connect(opened.folder / "state.lock", isolation_level=None)
    guard.execute("BEGIN EXCLUSIVE")
    state = opened.state()
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    assert list(opened.spare.iterdir()) == []
    guard.close()
    assert state.windows.enqueue("b")


def test_spare_folder_is_not_used_while_the_file_is_locked(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "PRAGMA journal_mode=DELETE")
    holder = sqlite3.connect(opened.file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    state = opened.state()
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    holder.close()
    assert state.windows.enqueue("b")
    assert list(opened.spare.iterdir()) == []
