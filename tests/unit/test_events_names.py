"""Received events, listeners, and names for completion."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spcli.state.account import Account
from spcli.state.events import Event
from spcli.state.ledger import ROWS_KEPT, YEAR
from spcli.state.processes import process_space
from tests.front import START
from tests.unit.book import FILE, WHO, Book


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    found = Book(tmp_path / "state")
    yield found
    found.state.close()
    assert found.notes == []


def event(number: int, **fields: Any) -> Event:
    known = {"event": "build.approved", "project_id": "p", "upload_id": "u", "file_url": FILE, "status": "Approved"}
    known |= {"objection": None, "timestamp": f"t{number}", "received": START} | fields
    return Event(**known)


def test_repeated_event_is_stored_once(book: Book) -> None:
    assert book.state.events.add_events([event(1), event(1), event(2)]) == [True, False, True]
    assert book.state.events.add_events([event(2), event(2, project_id=None), event(2, project_id=None)]) == [False, True, False]


def test_events_are_the_newest_of_a_project_or_build_oldest_first(book: Book) -> None:
    book.state.events.add_events([event(1), event(2, upload_id="v"), event(3), event(4, project_id="q")])
    assert [one.timestamp for one in book.state.events.find_events()] == ["t1", "t2", "t3", "t4"]
    assert [one.timestamp for one in book.state.events.find_events(limit=2)] == ["t3", "t4"]
    assert [one.timestamp for one in book.state.events.find_events(project_id="p", upload_id="u")] == ["t1", "t3"]
    assert book.state.events.newest_event_id("v") > 0
    assert book.state.events.newest_event_id("none") == 0


def test_old_events_are_deleted_unless_they_are_among_the_newest(book: Book) -> None:
    book.state.events.add_events([event(number, received=START - YEAR - 9) for number in range(ROWS_KEPT + 5)])
    book.state.events.add_events([event(-1)])
    oldest, *_ = book.state.events.find_events(limit=2 * ROWS_KEPT)
    assert oldest.timestamp == "t6"
    book.clock.stepped = 2 * YEAR
    book.state.events.add_events([event(-2)])
    assert len(book.state.events.find_events(limit=2 * ROWS_KEPT)) == ROWS_KEPT


def test_damaged_event_reads_as_unknown(book: Book) -> None:
    book.state.events.add_events([event(1)])
    book.state._database.write(
        lambda connection: connection.execute("UPDATE events SET received = 'x', status = x'00', event = NULL")
    )
    (found,) = book.state.events.find_events()
    assert (found.received, found.status, found.event, found.upload_id) == (0.0, None, None, "u")


def test_listener_is_alive_while_it_beats_and_its_process_runs(book: Book) -> None:
    assert not book.state.events.is_listener_alive()
    book.state.events.refresh_listener()
    assert book.state.events.is_listener_alive()
    book.clock.sleep(29)
    assert book.state.events.is_listener_alive()
    book.clock.sleep(2)
    assert not book.state.events.is_listener_alive()
    book.state.events.refresh_listener()
    book.state.events.remove_listener()
    assert not book.state.events.is_listener_alive()


@pytest.mark.parametrize(("wall", "mono"), [(None, None), ("x", b"y"), (float("inf"), float("inf")), (0, 0)])
def test_damaged_listener_is_ignored(book: Book, wall: object, mono: object) -> None:
    book.state.events.refresh_listener()
    book.state._database.write(lambda connection: connection.execute("UPDATE listeners SET wall = ?, mono = ?", (wall, mono)))
    assert not book.state.events.is_listener_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows only the heartbeat tells")
def test_listener_that_was_killed_is_gone_at_once(book: Book) -> None:
    book.state.events.refresh_listener()
    free = subprocess.Popen([sys.executable, "-c", ""])
    free.wait()
    gone = f"{process_space()}/{free.pid}/1"
    book.state._database.write(lambda connection: connection.execute("UPDATE listeners SET owner = ?", (gone,)))
    assert not book.state.events.is_listener_alive()


def names_of(book: Book, kind: str) -> list[tuple[str, str]]:
    rows = book.state._database.read("SELECT id, name FROM names WHERE account = ? AND kind = ? ORDER BY rowid", (WHO.user, kind))
    return [(row["id"], row["name"]) for row in rows]


def test_projects_replace_those_stored_before(book: Book) -> None:
    book.state.names.remember_projects(WHO, [("1", "one"), ("2", "two"), ("3", "three")])
    book.state.names.remember_projects(Account("https://api", "other"), [("9", "nine")])
    book.state.names.remember_projects(WHO, [("3", "third"), ("1", "one")])
    assert names_of(book, "project") == [("3", "third"), ("1", "one")]
    assert len(book.state._database.read("SELECT 1 FROM names WHERE id = '9'")) == 1


def test_uploads_are_written_only_when_new_and_the_latest_are_kept(book: Book) -> None:
    uploads = [(str(number), f"n{number}.zip") for number in range(60)]
    book.state.names.remember_uploads(WHO, uploads)
    assert names_of(book, "upload") == uploads[:50]
    changes = book.state._database._connection.total_changes  # type: ignore[union-attr]
    book.state.names.remember_uploads(WHO, uploads)
    assert book.state._database._connection.total_changes == changes  # type: ignore[union-attr]
    for day in range(1, 30):
        book.clock.sleep(86400)
        book.state.names.remember_uploads(WHO, [(f"{day}/{number}", "n.zip") for number in range(50)])
    kept = names_of(book, "upload")
    assert len(kept) == 1000
    assert kept[0] == ("10/0", "n.zip")


def test_nothing_in_the_folder_shows_the_user_id_or_a_query(book: Book) -> None:
    number = book.begin(account=Account("https://api", "5ec4e7-user"))
    book.state.ledger.record(number, "unclear", message="https://x/y.zip?token=5ec4e7")
    book.state.names.remember_projects(Account("https://api", "5ec4e7-user"), [("p", "n")])
    content = b"".join(one.read_bytes() for one in book.folder.iterdir())
    assert b"5ec4e7" not in content
    assert os.fsencode(FILE) in content


def test_ledger_is_plain_sqlite_that_others_can_read(book: Book) -> None:
    book.begin()
    other = sqlite3.connect(f"file:{book.folder / 'state.db'}?mode=ro", uri=True)
    assert other.execute("SELECT phase FROM ledger").fetchall() == [("sending",)]
    other.close()
