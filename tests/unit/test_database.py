"""The state file itself: who may read it, and what becomes of one that is damaged, alien, newer, full, read-only or locked."""

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.errors import Interrupted, SpcliError
from spcli.ratelimit.window import WINDOW, Go, Gone, Rules, Wait
from spcli.state.account import Account
from spcli.state.database import Database
from spcli.state.events import Event
from spcli.state.place import kept_aside, private_folder, set_aside, spare_folder
from spcli.state.schema import APPLICATION_ID, kind_of
from spcli.state.store import State
from tests.front import START, FakeClock

RULES = Rules(WINDOW, 60.0)
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="modes and owners are POSIX matters")
ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="giving files away needs root")


class Opened:
    """States and databases over one folder, with what they noted; all are closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.notes: list[str] = []
        self.spare = folder.parent / "temp"
        self.spare.mkdir(exist_ok=True)
        self._open: list[Any] = []

    def _options(self, patience: float) -> dict[str, Any]:
        return {
            "clock": self.clock,
            "environ": {"TMPDIR": str(self.spare)},
            "note": self.notes.append,
            "patience": patience,
        }

    def state(self, folder: Path | None = None, patience: float = 0.1) -> State:
        self._open.append(State(folder or self.folder, **self._options(patience)))
        return self._open[-1]

    def database(self, folder: Path | None = None, patience: float = 0.1) -> Database:
        self._open.append(Database(folder or self.folder, **self._options(patience)))
        return self._open[-1]

    @property
    def file(self) -> Path:
        return self.folder / "state.db"

    def close(self) -> None:
        for one in self._open:
            one.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state")
    yield found
    found.close()


def make(opened: Opened) -> None:
    """A state file with something in it, closed again."""
    state = opened.state()
    state.names.remember_projects(Account("o", "u"), [("1", "one")])
    state.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def raw(path: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def refusal(call: Callable[[], object]) -> SpcliError:
    with pytest.raises(SpcliError) as caught:
        call()
    assert (caught.value.kind, caught.value.exit_code, caught.value.outcome) == ("config", 3, "not_sent")
    assert "export SPCLI_STATE_DIR=" in (caught.value.hint or "")
    assert "$env:SPCLI_STATE_DIR = " in (caught.value.hint or "")
    return caught.value


# -- where it lies -----------------------------------------------------------------------------------------------------


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
    assert "is a link" in str(state.problem)
    assert not list(target.iterdir()) if what == "folder" else target.read_bytes() == b"precious"


def test_hard_link_is_refused(opened: Opened, tmp_path: Path) -> None:
    make(opened)
    os.link(opened.file, tmp_path / "second")
    assert "is a link" in refusal(lambda: opened.state().windows.enqueue("b")).message


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


@pytest.mark.parametrize("shape", ["file for a folder", "file above", "folder for the file"])
def test_folder_that_cannot_be_used_gives_way_to_a_private_one_with_one_note(opened: Opened, shape: str) -> None:
    if shape == "folder for the file":
        opened.file.mkdir(parents=True)
        folder = opened.folder
    else:
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


def test_without_any_folder_reads_are_empty_and_a_limited_call_is_refused(opened: Opened) -> None:
    opened.folder.write_text("a file")
    opened.spare.rmdir()
    opened.spare.write_text("a file")
    state = opened.state()
    assert state.windows.view_window("b").seconds_left == 0
    assert state.events.find_events() == []
    error = refusal(lambda: state.windows.enqueue("b"))
    assert "nor the temp dir" in error.message
    assert state.problem is not None
    state.windows.settle("b", "t", is_over=True, rules=RULES)
    state.windows.leave_queue("b", "t")
    state.ledger.record(1, "done")
    assert len(opened.notes) == 1


@POSIX
def test_spare_folder_is_per_user_and_the_systems_where_nothing_names_one() -> None:
    assert spare_folder({"TMPDIR": "/x"}) == Path(f"/x/spcli-{os.getuid()}")
    assert spare_folder({}).name == f"spcli-{os.getuid()}"


@POSIX
def test_folder_made_by_another_process_meanwhile_is_used(tmp_path: Path) -> None:
    private_folder(tmp_path / "a")
    private_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


# -- damaged, alien, newer -----------------------------------------------------------------------------------------------


def aside(opened: Opened) -> list[str]:
    return sorted(one.name for one in kept_aside(opened.file))


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
            state.ledger.find_unsettled("upload", Account("o", "a"), "p"),
            state.events.is_listener_alive(),
        )
        state.windows.settle("b", "t", is_over=True, rules=RULES)
        with suppress(SpcliError):
            turn, _ = state.windows.poll("b", state.windows.enqueue("b"), rules=RULES)
            assert isinstance(turn, (Go, Wait, Gone))
    finally:
        opened.close()


def test_file_damaged_in_use_is_replaced_and_the_call_waits_as_after_another_one(opened: Opened) -> None:
    state = opened.state()
    state.windows.enqueue("b")
    state.close()
    content = bytearray(opened.file.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    opened.file.write_bytes(content)
    assert_reborn(opened, opened.state())
    assert aside(opened) == ["state.db.damaged-1"]


def test_read_of_a_damaged_page_gives_nothing_and_replaces_the_file(opened: Opened) -> None:
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
def test_alien_database_is_kept_and_not_written_to(opened: Opened, sql: str) -> None:
    opened.folder.mkdir(mode=0o700)
    connection = sqlite3.connect(opened.file)
    connection.executescript(sql)
    connection.close()
    content = opened.file.read_bytes()
    assert_reborn(opened, opened.state())
    assert (opened.folder / "state.db.damaged-1").read_bytes() == content


def test_foreign_trigger_makes_a_file_alien(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "CREATE TRIGGER open AFTER INSERT ON windows BEGIN DELETE FROM windows; END")
    assert_reborn(opened, opened.state())


def test_schema_that_is_no_text_is_damage(opened: Opened) -> None:
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
    assert state.windows.view_window("b").seconds_left == 0
    assert "upgrade" in refusal(lambda: state.windows.enqueue("b")).message
    state.windows.settle("b", "t", is_over=True, rules=RULES)
    state.close()
    assert opened.file.read_bytes() == content
    assert aside(opened) == []
    assert len(opened.notes) == 1


def test_read_that_finds_no_usable_state_says_so_once(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "PRAGMA user_version=2")
    state = opened.state()
    assert state.windows.view_window("b").seconds_left == 0
    assert state.events.find_events() == []
    assert len(opened.notes) == 1
    assert "upgrade" in opened.notes[0]


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
    kept = set_aside(opened.file, 3, FakeClock())
    assert {one.name: one.read_bytes() for one in opened.folder.iterdir()} == {kept.name: b"of ", f"{kept.name}-wal": b"of -wal"}


def test_second_process_that_met_the_same_damage_uses_the_fresh_file_of_the_first(opened: Opened) -> None:
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
    connection = late._fresh((damaged.st_dev, damaged.st_ino))
    assert kind_of(connection) == "ours"
    connection.close()
    assert aside(opened) == ["state.db.damaged-1"]


def test_file_that_another_process_is_just_replacing_is_waited_for(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    connection = opened.database()._existing()
    assert kind_of(connection) == "ours"
    connection.close()


def test_junk_put_there_while_waiting_for_the_lock_is_refused(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    raw(opened.file, "CREATE TABLE other (a)")
    with pytest.raises(sqlite3.DatabaseError):
        opened.database()._fresh()


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
    (opened.folder / "state.lock").unlink()
    (opened.folder / "state.lock").mkdir()
    state = opened.state()
    assert "cannot be set aside" in refusal(lambda: state.windows.enqueue("b")).message
    assert state.events.find_events() == []


def test_damaged_lock_sends_the_state_to_the_spare_folder(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    (opened.folder / "state.lock").write_bytes(b"junk" * 500)
    opened.state().windows.enqueue("b")
    assert "is damaged" in opened.notes[0]
    assert [one.name for one in opened.spare.iterdir()] == [spare_folder({"TMPDIR": "x"}).name]


def test_damage_that_shows_again_on_the_fresh_file_refuses_the_call(opened: Opened) -> None:
    database = opened.database()

    def work(connection: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    assert "is damaged" in refusal(lambda: database.write(work)).message


# -- full, read-only, locked -----------------------------------------------------------------------------------------------


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


DISK = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.ratelimit.window import Rules
from spcli.state.account import Account
from spcli.state.ledger import NewAttempt
from spcli.state.store import State
notes = []
state = State(Path(sys.argv[1]), clock=Clock(), environ={{"TMPDIR": sys.argv[2]}}, note=notes.append, patience=0.2)
rules = Rules(0.01, 60.0)
attempt = NewAttempt("upload", Account("o", "a"), "p", "u", "d", None, True, tuple("x" * 24 for _ in range(400)), None)
"""


def script(body: str, *argv: str) -> str:
    root = str(Path(__file__).parents[2])
    code = DISK.format(root=root) + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@POSIX
def test_file_that_may_not_grow_refuses_the_call_and_only_notes_the_settling(opened: Opened) -> None:
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
def test_stored_windows_that_cannot_be_read_for_want_of_space_are_not_replaced_by_fresh_ones(opened: Opened) -> None:
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


@POSIX
def test_read_only_folder_gives_way_to_the_spare_one() -> None:
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        folder, spare = place / "state", place / "spare"
        folder.mkdir(mode=0o500)
        spare.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for one in (place, folder, spare):
                os.chown(one, 65534, 65534)
        said = script(
            """
            import os, socket, tempfile, uuid
            if os.geteuid() == 0:
                os.setgroups([]), os.setgid(65534), os.setuid(65534)
            print(len(state.windows.enqueue("b")), len(notes), "cannot be used" in notes[0])
            """,
            str(folder),
            str(spare),
        )
        assert said == "32 1 True\n"
        assert list(folder.iterdir()) == []
    finally:
        (place / "state").chmod(0o700)
        shutil.rmtree(place)


@POSIX
@ROOT
def test_full_small_disk_is_told_and_the_stored_windows_are_not_replaced_by_fresh_ones(tmp_path: Path) -> None:
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


def test_file_locked_while_it_is_opened_is_no_reason_for_another_folder(opened: Opened) -> None:
    opened.folder.mkdir(mode=0o700)
    guard = sqlite3.connect(opened.folder / "state.lock", isolation_level=None)
    guard.execute("BEGIN EXCLUSIVE")
    state = opened.state()
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    assert list(opened.spare.iterdir()) == []
    guard.close()
    assert state.windows.enqueue("b")


def test_exclusively_locked_file_is_no_reason_for_another_folder(opened: Opened) -> None:
    make(opened)
    raw(opened.file, "PRAGMA journal_mode=DELETE")
    holder = sqlite3.connect(opened.file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    state = opened.state()
    assert refusal(lambda: state.windows.enqueue("b")).retryable
    holder.close()
    assert state.windows.enqueue("b")
    assert list(opened.spare.iterdir()) == []


# -- transactions ----------------------------------------------------------------------------------------------------------


def test_durable_writes_are_synchronous_and_others_are_not_in_any_order(opened: Opened) -> None:
    database = opened.database()

    def level(connection: sqlite3.Connection) -> int:
        assert connection.in_transaction
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    assert [database.write(level, durable=durable) for durable in (True, False, True, True, False)] == [2, 1, 2, 2, 1]
    assert database.read("PRAGMA journal_mode")[0][0] == "wal"


@pytest.mark.parametrize("error", [Interrupted(130), ValueError("bug"), KeyboardInterrupt()])
def test_whatever_is_raised_in_a_transaction_undoes_it(opened: Opened, error: BaseException) -> None:
    database = opened.database()

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('a', 1, 1)")
        raise error

    with pytest.raises(type(error)):
        database.write(work)
    assert database.read("SELECT * FROM meta") == []
    database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('b', 1, 1)"))
    assert [row["key"] for row in opened.database().read("SELECT key FROM meta")] == ["b"]


def test_transaction_left_open_by_a_signal_is_undone_by_the_next_one(opened: Opened) -> None:
    database = opened.database()
    database.read("SELECT 1")
    connection = database._connection
    assert connection is not None
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO meta VALUES ('a', 1, 1)")
    database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('b', 1, 1)"))
    assert [row["key"] for row in opened.database().read("SELECT key FROM meta")] == ["b"]


@POSIX
def test_signals_at_any_moment_leave_no_transaction_open_and_nothing_half_written(opened: Opened) -> None:
    """SIGALRM every few hundred microseconds: each row of one table has its twin in the other, and writing always goes on."""
    make(opened)
    said = script(
        """
        import signal, sqlite3
        from spcli.errors import Interrupted
        def interrupt(*_):
            raise Interrupted(130)
        signal.signal(signal.SIGALRM, interrupt)
        database = state._database
        interrupted = 0
        def work(connection):
            connection.execute("INSERT INTO meta VALUES (?, 1, 1)", (f"k{number}",))
            connection.execute("INSERT INTO listeners VALUES (?, 1, 1)", (f"k{number}",))
        for number in range(1500):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + number % 97 * 0.000004)
                database.write(work)
                signal.setitimer(signal.ITIMER_REAL, 0)
                sum(range(10))
            except Interrupted:
                interrupted += 1
        other = sqlite3.connect(Path(sys.argv[1], "state.db"), timeout=0)
        other.execute("BEGIN IMMEDIATE")
        print(interrupted > 100, len(notes))
        keys, owners = (set(other.execute(sql)) for sql in ("SELECT key FROM meta", "SELECT owner FROM listeners"))
        print(keys == owners)
        other.close()
        """,
        str(opened.folder),
        str(opened.spare),
    )
    assert said == "True 0\nTrue\n"


@POSIX
def test_creation_interrupted_at_any_moment_leaves_a_folder_that_works(opened: Opened) -> None:
    said = script(
        """
        import signal
        from spcli.errors import Interrupted
        def interrupt(*_):
            raise Interrupted(130)
        signal.signal(signal.SIGALRM, interrupt)
        interrupted = worked = 0
        for number in range(40):
            folder = Path(sys.argv[1], f"{number}")
            one = State(folder, clock=Clock(), environ={"TMPDIR": sys.argv[2]}, note=notes.append)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003 + number * 0.0002)
                one.windows.enqueue("b")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interrupted:
                interrupted += 1
            one.close()
            one = State(folder, clock=Clock(), environ={"TMPDIR": sys.argv[2]}, note=notes.append)
            worked += one.windows.view_window("b").seconds_left == 0 and bool(one.windows.enqueue("b"))
            one.close()
        print(interrupted > 3, worked, notes)
        """,
        str(opened.folder),
        str(opened.spare),
    )
    assert said == "True 40 []\n"


def test_rollback_that_fails_does_not_hide_the_first_error(opened: Opened) -> None:
    database = opened.database()

    def work(connection: sqlite3.Connection) -> None:
        connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK
        )
        raise Interrupted(143)

    with pytest.raises(Interrupted):
        database.write(work)
    database._connection.set_authorizer(None)


def test_probe_writes_and_leaves_nothing(opened: Opened) -> None:
    state = opened.state()
    assert state.probe() == opened.file
    assert state._database.read("SELECT * FROM meta") == []
    assert state.problem is None


def test_text_that_is_no_utf_8_goes_in_and_comes_out_mended(opened: Opened) -> None:
    state = opened.state()
    state.events.add_events([Event("e\ud800", "p", "u\udcff", None, "s", "\0", "t", START)])
    (event,) = state.events.find_events()
    assert (event.event, event.upload_id, event.objection) == ("e?", "u?", "\0")
    state.close()
    raw(opened.file, "UPDATE events SET event = CAST(x'ff41' AS TEXT)")
    assert opened.state().events.find_events()[0].event == "\ufffdA"


def test_creation_that_fails_half_way_gives_way_to_the_spare_folder(opened: Opened) -> None:
    class Broken(FakeClock):
        def wall(self) -> float:
            raise sqlite3.OperationalError("no clock")

    opened.clock = Broken()
    state = opened.state()
    assert "nor the temp dir" in refusal(state.probe).message
