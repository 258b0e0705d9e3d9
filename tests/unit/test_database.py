"""Transactions of the state file."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli.errors import Interrupted
from spcli.state.events import Event
from tests.front import START, FakeClock
from tests.unit.state_folder import POSIX, Opened, make, raw, refusal, script


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state")
    yield found
    found.close()


def test_only_durable_writes_are_synchronous(opened: Opened) -> None:
    database = opened.database()

    def level(connection: sqlite3.Connection) -> int:
        assert connection.in_transaction
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    assert [database.write(level, durable=durable) for durable in (True, False, True, True, False)] == [2, 1, 2, 2, 1]
    assert database.read("PRAGMA journal_mode")[0][0] == "wal"


@pytest.mark.parametrize("error", [Interrupted(130), ValueError("bug"), KeyboardInterrupt()])
def test_exception_in_a_transaction_rolls_it_back(opened: Opened, error: BaseException) -> None:
    database = opened.database()

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('a', 1, 1)")
        raise error

    with pytest.raises(type(error)):
        database.write(work)
    assert database.read("SELECT * FROM meta") == []
    database.write(lambda connection: connection.execute("INSERT INTO meta VALUES ('b', 1, 1)"))
    assert [row["key"] for row in opened.database().read("SELECT key FROM meta")] == ["b"]


def test_transaction_left_open_by_a_signal_is_rolled_back_by_the_next_one(opened: Opened) -> None:
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


def test_text_that_is_not_utf_8_is_stored_with_replacement_characters(opened: Opened) -> None:
    state = opened.state()
    state.events.add_events([Event("e\ud800", "p", "u\udcff", None, "s", "\0", "t", START)])
    (event,) = state.events.find_events()
    assert (event.event, event.upload_id, event.objection) == ("e?", "u?", "\0")
    state.close()
    raw(opened.file, "UPDATE events SET event = CAST(x'ff41' AS TEXT)")
    assert opened.state().events.find_events()[0].event == "\ufffdA"


def test_creation_that_fails_half_way_tries_the_spare_folder(opened: Opened) -> None:
    class Broken(FakeClock):
        def wall(self) -> float:
            raise sqlite3.OperationalError("no clock")

    opened.clock = Broken()
    state = opened.state()
    assert "nor the temp dir" in refusal(state.probe).message
