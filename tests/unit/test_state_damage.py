"""A state file that is damaged, foreign or newer."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.ratelimit.window import WINDOW, Go, Gone, Wait
from spcli.state.account import Account
from spcli.state.database import read_kind
from spcli.state.events import Event
from spcli.state.place import find_spare_folder, list_damaged, set_aside
from spcli.state.schema import APPLICATION_ID
from spcli.state.store import State
from tests.front import START, FakeClock
from tests.platforms import posix
from tests.unit.state_folder import RULES, Opened, make, raw, refusal


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state")
    yield found
    found.close()


def aside(opened: Opened) -> list[str]:
    return sorted(one.name for one in list_damaged(opened.file))


def assert_reborn(opened: Opened, state: State) -> None:
    """The window is as if a call had just been committed, for a bounded time, and one note was given."""
    ticket = state.windows.enqueue("b")
    turn, _ = state.windows.poll("b", ticket, rules=RULES)
    assert isinstance(turn, Wait)
    assert turn.left == pytest.approx(RULES.bound)
    assert state.windows.view_window("unheard of").seconds_left == pytest.approx(197)
    for _ in range(60):
        opened.clock.sleep(turn.pause)
        turn, _ = state.windows.poll("b", ticket, rules=RULES)
        if isinstance(turn, Go):
            break
    assert isinstance(turn, Go)
    assert opened.clock.seconds == pytest.approx(197, abs=1)
    assert len([note for note in opened.notes if "was damaged" in note]) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"junk", b"SQLite format 3\0", b"SQLite format 3\0" + b"\xff" * 5000, b"{}" * 9000]
)
def test_damaged_file_is_set_aside_and_the_windows_count_as_just_used(opened: Opened, content: bytes) -> None:
    opened.folder.mkdir(mode=0o700)
    opened.file.write_bytes(content)
    assert_reborn(opened, opened.state())
    assert aside(opened) == ["state.db.damaged-1"]
    assert (opened.folder / "state.db.damaged-1").read_bytes() == content


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=9000), has_magic=st.booleans())
def test_junk_of_every_length_never_opens_a_window_or_breaks_anything(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, has_magic: bool
) -> None:
    opened = Opened(tmp_path_factory.mktemp("junk") / "state")
    opened.folder.mkdir(mode=0o700)
    stored = (b"SQLite format 3\0" if has_magic else b"") + content
    opened.file.write_bytes(stored)
    try:
        state = opened.state()
        ticket = state.windows.enqueue("b")
        turn, _ = state.windows.poll("b", ticket, rules=RULES)
        assert isinstance(turn, Wait)
        assert len(opened.notes) == 1
    finally:
        opened.close()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_byte_of_a_real_file_may_be_wrong(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    opened = Opened(tmp_path_factory.mktemp("flip") / "state")
    try:
        state = opened.state()
        state.windows.poll("b", state.windows.enqueue("b"), rules=RULES)
        state.events.add_events([Event("e", "p", "u", None, "s", None, "t", START)])
        state.close()
        content = bytearray(opened.file.read_bytes())
        used = [place for place, byte in enumerate(content) if byte or place < 100]
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.sampled_from(used))] = data.draw(st.integers(0, 255))
        opened.file.write_bytes(content[: data.draw(st.sampled_from([None, None, len(content) // 2, len(content) - 1]))])
        state = opened.state()
        # Nothing but our own error may come out; reads and settling never fail.
        (
            state.windows.view_window("b"),
            state.events.find_events(),
            state.events.is_listener_alive(),
        )
        state.windows.settle("b", "t", is_over=True, rules=RULES)
        with suppress(SpcliError):
            state.ledger.find_unsettled("upload", Account("o", "a"), "p")
            turn, _ = state.windows.poll("b", state.windows.enqueue("b"), rules=RULES)
            assert isinstance(turn, (Go, Wait, Gone))
    finally:
        opened.close()


def test_file_damaged_while_open_is_replaced_and_the_call_waits_a_whole_window(opened: Opened) -> None:
    state = opened.state()
    state.windows.enqueue("b")
    state.close()
    content = bytearray(opened.file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    opened.file.write_bytes(content)
    assert_reborn(opened, opened.state())
    assert aside(opened) == ["state.db.damaged-1"]


def test_read_of_a_damaged_page_returns_nothing_and_replaces_the_file(opened: Opened) -> None:
    make(opened)
    content = bytearray(opened.file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    opened.file.write_bytes(content)
    assert opened.state().events.find_events() == []
    assert aside(opened) == ["state.db.damaged-1"]


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE notes (text)",
        "PRAGMA user_version=1",
        "PRAGMA application_id=77",
        f"PRAGMA application_id={APPLICATION_ID}",
        f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version=1; CREATE TABLE windows (a)",
    ],
)
def test_foreign_database_is_kept_unchanged(opened: Opened, sql: str) -> None:
    opened.folder.mkdir(mode=0o700)
    connection = sqlite3.connect(opened.file)
    connection.executescript(sql)
    connection.close()
    content = opened.file.read_bytes()
    assert_reborn(opened, opened.state())
    assert (opened.folder / "state.db.damaged-1").read_bytes() == content


def test_database_with_a_foreign_trigger_is_foreign(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "CREATE TRIGGER open AFTER INSERT ON windows BEGIN DELETE FROM windows; END")
    assert_reborn(opened, opened.state())


def test_schema_that_is_not_text_is_damage(opened: Opened) -> None:
    """SQLite quotes the damaged name in its message, which the module then cannot read."""
    make(opened)
    content = opened.file.read_bytes()
    damaged = content.replace(b"tablenamesnames", b"table\x80amesnames").replace(b"CREATE TABLE names", b"CREAT\xff TABLE names")
    assert damaged != content
    opened.file.write_bytes(damaged)
    assert_reborn(opened, opened.state())


def test_newer_schema_is_not_touched(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "PRAGMA user_version=2")
    content = opened.file.read_bytes()
    state = opened.state()
    assert state.windows.view_window("b").seconds_left == WINDOW
    assert "upgrade" in (refusal(lambda: state.windows.enqueue("b")).hint or "")
    state.windows.settle("b", "t", is_over=True, rules=RULES)
    state.close()
    assert opened.file.read_bytes() == content
    assert aside(opened) == []
    assert len(opened.notes) == 1


def test_reads_of_an_unusable_state_print_one_note(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "PRAGMA user_version=2")
    state = opened.state()
    assert state.events.find_events() == []
    assert state.events.find_events() == []
    assert len(opened.notes) == 1
    assert "newer" in opened.notes[0]


def test_only_the_last_three_damaged_files_are_kept(opened: Opened) -> None:
    for number in range(5):
        opened.folder.mkdir(mode=0o700, exist_ok=True)
        opened.file.write_bytes(b"junk %d" % number)
        state = opened.state()
        state.windows.enqueue("b")
        state.close()
    assert aside(opened) == [f"state.db.damaged-{number}" for number in (3, 4, 5)]
    assert (opened.folder / "state.db.damaged-5").read_bytes() == b"junk 4"


def test_journal_of_a_damaged_file_is_kept_with_it(opened: Opened) -> None:
    opened.folder.mkdir()
    for suffix in ("", "-wal", "-shm"):
        (opened.folder / f"state.db{suffix}").write_bytes(b"of " + suffix.encode())
    kept = set_aside(opened.file, FakeClock())
    assert {one.name: one.read_bytes() for one in opened.folder.iterdir()} == {kept.name: b"of ", f"{kept.name}-wal": b"of -wal"}


@posix("a file that another process has open is replaced")
def test_second_process_with_the_same_damage_uses_the_fresh_file_of_the_first(opened: Opened) -> None:
    first, second = opened.state(), opened.state()
    first.windows.enqueue("b")
    second.windows.enqueue("b")
    first.close()
    opened.file.write_bytes(b"\0" * 20000)
    ticket = first.windows.enqueue("b")
    second.windows.enqueue("b")
    assert aside(opened) == ["state.db.damaged-1"]
    turn, _ = first.windows.poll("b", ticket, rules=RULES)
    assert isinstance(turn, Wait)
    assert first.windows.view_window("b").queued == 2


def test_fresh_file_put_there_between_finding_the_damage_and_the_lock_is_not_set_aside(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    opened.file.write_bytes(b"junk")
    damaged = os.lstat(opened.file)
    opened.state().windows.enqueue("b")
    late = opened.database()
    # As one that has found the damage, and is only now given the lock.
    connection = late._make_fresh((damaged.st_dev, damaged.st_ino))
    assert read_kind(connection) == "own"
    connection.close()
    assert aside(opened) == ["state.db.damaged-1"]


def test_missing_file_is_created_in_its_folder(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    connection = opened.database()._open_in(opened.folder)
    assert read_kind(connection) == "own"
    connection.close()


def test_junk_put_there_while_waiting_for_the_lock_is_refused(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    raw(opened.file, "CREATE TABLE other (a)")
    with pytest.raises(sqlite3.DatabaseError):
        opened.database()._make_fresh()


@posix("a file that another process has open is replaced")
def test_process_with_the_set_aside_file_open_queues_again_in_the_fresh_one(opened: Opened) -> None:
    old = opened.state()
    ticket = old.windows.enqueue("b")
    os.replace(opened.file, opened.folder / "state.db.damaged-1")
    for suffix in ("-wal", "-shm"):
        (opened.folder / f"state.db{suffix}").unlink()
    assert isinstance(old.windows.poll("b", ticket, rules=RULES)[0], Gone)
    turn, _ = old.windows.poll("b", old.windows.enqueue("b"), rules=RULES)
    assert isinstance(turn, Wait)


def test_damaged_file_that_cannot_be_set_aside_refuses_the_call(opened: Opened) -> None:
    make(opened)
    content = bytearray(opened.file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    opened.file.write_bytes(content)
    (opened.folder / "state.db.damaged-1").mkdir()
    (opened.folder / "state.db.damaged-1" / "full").touch()
    for number in (2, 3):
        (opened.folder / f"state.db.damaged-{number}").touch()
    state = opened.state()
    assert "cannot be set aside" in refusal(lambda: state.windows.enqueue("b")).message
    assert state.events.find_events() == []


def test_damaged_lock_sends_the_state_to_the_spare_folder(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    (opened.folder / "state.lock").write_bytes(b"junk" * 500)
    opened.state().windows.enqueue("b")
    assert "is damaged" in opened.notes[0]
    assert [one.name for one in opened.spare.iterdir()] == [find_spare_folder({"TMPDIR": "x", "USERPROFILE": os.getcwd()}).name]


def test_damage_that_shows_again_on_the_fresh_file_refuses_the_call(opened: Opened) -> None:
    database = opened.database()

    def work(connection: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    assert "is damaged" in refusal(lambda: database.write(work)).message


def test_new_state_after_an_old_damaged_one_has_lost_nothing(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    (opened.folder / "state.db.damaged-1").write_bytes(b"junk")
    os.utime(opened.folder / "state.db.damaged-1", (START - 90000, START - 90000))
    state = opened.state()
    assert state.windows.view_window("b").seconds_left == 0
    assert state.lost_memory_at() is None


def test_windows_are_closed_if_a_process_died_before_it_replaced_the_damaged_file(opened: Opened) -> None:
    make(opened)
    set_aside(opened.file, opened.clock)
    opened.clock.sleep(3600)
    state = opened.state()
    assert state.windows.view_window("b").seconds_left == pytest.approx(197)
    assert state.lost_memory_at() == opened.clock.now()


@pytest.mark.parametrize("step", [0.0, 400 * 86400.0, -400 * 86400.0])
def test_lost_memory_counts_for_a_day_whatever_the_wall_clock_does(opened: Opened, step: float) -> None:
    opened.folder.mkdir(mode=0o700)
    opened.file.write_bytes(b"junk")
    state = opened.state()
    lost = opened.clock.now()
    assert state.lost_memory_at() == lost
    opened.clock.stepped = step
    opened.clock.sleep(86000)
    assert state.lost_memory_at() == lost
    opened.clock.stepped = 0.0
    opened.clock.sleep(500)
    assert state.lost_memory_at() is None


def test_first_state_has_lost_no_memory(opened: Opened) -> None:
    assert opened.state().lost_memory_at() is None


def test_journal_left_by_a_removed_file_is_not_replayed_into_the_new_one(opened: Opened) -> None:
    make(opened)
    writer = sqlite3.connect(opened.file, isolation_level=None)
    writer.execute("INSERT INTO listeners VALUES ('old', 1, 1)")
    journal = (opened.folder / "state.db-wal").read_bytes()
    writer.close()
    for one in opened.folder.glob("state.db*"):
        one.unlink()
    (opened.folder / "state.db-wal").write_bytes(journal)
    state = opened.state()
    assert state.windows.enqueue("b")
    assert state._database.read("SELECT * FROM listeners") == []
