"""The history of writes: what a later run knows."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli.clock import Instant
from spcli.state.account import Account
from spcli.state.ledger import PRUNED_AT_ONCE, ROWS_KEPT, YEAR, WriteNote
from spcli.state.processes import own_process
from tests.front import START
from tests.unit.book import FILE, RULES, WHO, Book


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    found = Book(tmp_path / "state")
    yield found
    found.state.close()
    assert found.notes == []


def test_committed_call_is_stored_with_all_that_settling_needs(book: Book) -> None:
    number = book.begin(note=WriteNote("Ann", "hotfix", "b0"))
    book.orphan(number)
    (attempt,) = book.state.ledger.find_unsettled("upload", WHO, "p", url=FILE)
    assert attempt._asdict() == {
        "id": number, "action": "upload", "project_id": "p", "url": FILE, "digest": "d", "upload_id": None, "auto_release": True,
        "baseline": ("1", "2"), "note": WriteNote("Ann", "hotfix", "b0"),
        "phase": "sending", "message": None, "started": START, "ended": None,
        "server_wall": None, "accepted": False, "state": None, "is_live": False, "over": Instant(1.0 - 30, 1.0 - 30),
    }  # fmt: skip


def test_unreadable_baseline_is_not_an_empty_one(book: Book) -> None:
    book.orphan(book.begin(baseline=None), book.begin(baseline=()))
    assert [one.baseline for one in book.state.ledger.find_unsettled("upload", WHO, "p", url=FILE)] == [(), None]


def test_call_of_this_process_is_not_unsettled(book: Book) -> None:
    book.begin()
    assert book.unsettled() == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="start times come from /proc")
def test_call_of_a_running_process_is_never_unsettled(book: Book) -> None:
    number = book.begin()
    book.clock.sleep(86400)
    assert book.unsettled() == []
    book.set(owner="elsewhere")
    assert book.unsettled() == [number]


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows only the heartbeat tells")
def test_call_of_a_process_that_was_killed_is_unsettled_at_once(book: Book) -> None:
    number = book.begin()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    book.set(owner=own_process(process.pid))
    assert book.unsettled() == ([] if sys.platform.startswith("linux") else book.unsettled())
    process.kill()
    process.communicate()
    assert book.unsettled() == [number]


def test_call_of_a_process_elsewhere_is_unsettled_after_its_deadline(book: Book) -> None:
    number = book.begin()
    book.set(owner="elsewhere/1/2/3")
    assert book.unsettled() == []
    book.clock.sleep(RULES.timeout + 29)
    assert book.unsettled() == []
    book.state.ledger.record(number, "settling", message="no answer")
    book.clock.sleep(119)
    assert book.unsettled() == []
    book.clock.sleep(2)
    assert book.unsettled() == [number]


@pytest.mark.parametrize("live", [None, "soon", b"\0", float("inf"), 1e300, -1.0, 4e9])
def test_damaged_deadline_is_ignored(book: Book, live: object) -> None:
    number = book.begin()
    book.set(owner="elsewhere", live_wall=live, live_mono=live)
    assert book.unsettled() == [number]


@pytest.mark.parametrize("phase", ["done", "refused", "absent", "unsent", "superseded"])
def test_settled_call_is_not_unsettled(book: Book, phase: str) -> None:
    number = book.begin()
    book.orphan(number)
    book.state.ledger.record(number, phase)
    assert book.unsettled() == []


def test_unclear_call_is_unsettled_even_for_its_own_process(book: Book) -> None:
    number = book.begin()
    book.state.ledger.record(number, "unclear", message="no answer")
    assert book.unsettled() == [number]


def test_unsettled_matches_account_project_file_and_kind_of_write(book: Book) -> None:
    number, release = book.begin(), book.begin("distribute", upload_id="u1", url=None)
    book.orphan(
        number,
        release,
        book.begin(url=FILE + "2"),
        book.begin(project_id="q"),
        book.begin(account=Account("https://api", "else")),
    )
    assert book.unsettled() == [number]
    found = book.state.ledger.find_unsettled("distribute", WHO, "p", upload_id="u1")
    assert [one.id for one in found] == [release]
    assert [one.id for one in book.state.ledger.find_open_releases(WHO, "p")] == [release]
    assert book.state.ledger.find_unsettled("rollback", WHO, "p", upload_id="u1") == []
    assert book.state.ledger.find_unsettled("upload", Account("https://other", "user"), "p", url=FILE) == []


@pytest.mark.parametrize("step", [0.0, 86400.0, -86400.0])
@pytest.mark.parametrize(
    ("phases", "age"),
    [
        (("unclear",), 30.0),
        (("settling", "unclear"), 90.0),
        (("settling", "absent", "unclear"), 150.0),
        (("absent",), 30.0),
    ],
)
def test_age_counts_from_the_calls_end_whatever_the_wall_clock_does(
    book: Book, phases: tuple[str, ...], age: float, step: float
) -> None:
    number = book.begin()
    for phase in phases:
        book.state.ledger.record(number, phase)
        book.clock.sleep(60)
    book.clock.sleep(-30)
    book.clock.seconds -= 30
    book.clock.stepped += step
    (attempt,) = [book.state.ledger._attempt_of(row) for row in book.state._database.read("SELECT * FROM ledger")]
    assert attempt.age(book.clock.now()) == pytest.approx(age)


def test_age_of_a_call_whose_process_died_counts_from_its_own_deadline(book: Book) -> None:
    number = book.begin()
    book.set(owner="elsewhere")
    book.clock.sleep(RULES.timeout + 200)
    book.clock.stepped = 3600
    (attempt,) = book.state.ledger.find_unsettled("upload", WHO, "p", url=FILE)
    assert (attempt.id, attempt.age(book.clock.now())) == (number, 200)


def test_absence_found_a_moment_ago_is_not_old_because_the_clock_was_set_forward(book: Book) -> None:
    number = book.begin()
    book.state.ledger.record(number, "absent")
    book.clock.stepped = 86400
    assert [one.id for one in book.state.ledger.find_absent_uploads(WHO, "p", FILE, 600)] == [number]
    book.clock.sleep(601)
    assert book.state.ledger.find_absent_uploads(WHO, "p", FILE, 600) == []


def test_recording_keeps_earlier_values(book: Book) -> None:
    number = book.begin()
    book.state.ledger.record(number, "settling", message="first", server_wall=5.0, accepted=True)
    book.clock.sleep(50)
    book.state.ledger.record(number, "done", upload_id="u1")
    (attempt,) = book.state.ledger.find_uploads(WHO, "p", limit=5)
    assert (attempt.message, attempt.server_wall, attempt.accepted, attempt.upload_id) == ("first", 5.0, True, "u1")
    assert attempt.ended == START
    assert not attempt.is_live


def test_message_is_bounded_and_keeps_no_query_of_a_url(book: Book) -> None:
    number = book.begin()
    book.state.ledger.record(
        number, "refused", message=f"bad fileUrl {FILE}?X-Amz-Signature=5ec4e7 or {FILE}#5ec4e7, sorry " + "x" * 5000
    )
    stored = book.state._database.read("SELECT message FROM ledger")[0]["message"]
    assert stored.startswith(f"bad fileUrl {FILE}?… or {FILE}?… sorry xxx")
    assert len(stored) == 500
    assert "5ec4e7" not in stored


def test_recent_upload_is_the_newest_within_the_time(book: Book) -> None:
    for upload_id in ("u1", "u2"):
        book.state.ledger.record(book.begin(), "done", upload_id=upload_id)
        book.clock.sleep(10)
    recent = book.state.ledger.find_recent_upload(WHO, "p", FILE, 600)
    assert recent is not None
    assert recent.upload_id == "u2"
    book.clock.sleep(600)
    assert book.state.ledger.find_recent_upload(WHO, "p", FILE, 600) is None


def test_absent_uploads_are_those_of_the_file_within_the_time(book: Book) -> None:
    number = book.begin()
    book.state.ledger.record(number, "absent")
    assert [one.id for one in book.state.ledger.find_absent_uploads(WHO, "p", FILE, 600)] == [number]
    assert book.state.ledger.find_absent_uploads(WHO, "p", FILE + "x", 600) == []


def test_recorded_ids_are_those_of_all_uploads(book: Book) -> None:
    book.state.ledger.record(book.begin(), "done", upload_id="u1")
    book.state.ledger.record(book.begin(), "unclear", upload_id="u2")
    book.begin()
    # The target of a release is a build that was there before: releasing an upload's own build must not hide it.
    book.state.ledger.record(book.begin("distribute", upload_id="u3", auto_release=None), "done")
    assert book.state.ledger.recorded_uploads(WHO, "p").keys() == {"u1", "u2"}


def test_releases_are_distributes_rollbacks_and_uploads_that_release_themselves(book: Book) -> None:
    wanted = [
        book.begin("distribute", upload_id="u1", auto_release=None),
        book.begin("rollback", upload_id="u2", auto_release=None),
        book.begin(auto_release=True),
    ]
    for number in (*wanted, book.begin(auto_release=False)):
        book.state.ledger.record(number, "done")
    assert [one.id for one in book.state.ledger.find_releases(WHO, "p", limit=9)] == wanted[::-1]
    assert len(book.state.ledger.find_uploads(WHO, "p", limit=1)) == 1


def test_last_seen_state_is_remembered_and_written_only_when_new(book: Book) -> None:
    book.state.ledger.record(book.begin(), "done", upload_id="u1")
    book.state.ledger.record_state("u1", "approved")
    book.state.ledger.record_state("u1", "approved")
    book.state.ledger.record_state("unknown", "approved")
    (attempt,) = book.state.ledger.find_uploads(WHO, "p", limit=5)
    assert attempt.state == "approved"


BAD = [None, float("nan"), float("inf"), -1e300, "text", b"\xff\x00", 2**62, ""]


@pytest.mark.parametrize("value", BAD)
def test_values_of_wrong_types_never_break_a_read(book: Book, value: object) -> None:
    number = book.begin()
    names = (
        "action",
        "url",
        "digest",
        "auto_release",
        "baseline",
        "note",
        "message",
        "started",
        "ended",
        "server_wall",
        "accepted",
    )
    book.set(**dict.fromkeys((*names, "state", "live_wall", "live_mono", "owner"), value))
    book.set(action="upload", url=FILE, phase="unclear", upload_id="u1")
    (attempt,) = book.state.ledger.find_unsettled("upload", WHO, "p", url=FILE)
    assert attempt.id == number
    assert 0 <= attempt.started < 2.3e11
    assert all(isinstance(one, str | None) for one in (attempt.digest, *attempt.note, attempt.message, attempt.state))
    assert attempt.baseline is None
    assert attempt.ended is None or 0 <= attempt.ended < 2.3e11


@pytest.mark.parametrize(
    ("baseline", "means"), [('[1, "b"]', ("1", "b")), ("{}", None), ("[" * 100_000, None), ("nonsense", None), ("7", None)]
)
def test_baseline_is_a_list_of_ids_or_unknown(book: Book, baseline: str, means: object) -> None:
    book.orphan(book.begin())
    book.set(baseline=baseline)
    assert book.state.ledger.find_unsettled("upload", WHO, "p", url=FILE)[0].baseline == means


def test_server_text_with_a_lone_surrogate_is_recorded(book: Book) -> None:
    number = book.begin(note=WriteNote(text="\udcff"))
    book.state.ledger.record(number, "done", message="queued \ud83d", upload_id="u\ud800")
    book.state.names.remember_projects(WHO, [("p\ud800", "n")])
    assert book.state.ledger.find_uploads(WHO, "p", limit=1)[0].message == "queued ?"


def fill(book: Book, rows: int, started: float) -> None:
    """Rows spread over files and builds, as a busy year leaves them."""
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO ledger (ticket, action, origin, account, project_id, url, upload_id, phase, started, accepted)"
        " SELECT 't' || i, 'upload', 'https://api', ?, 'p' || (i % 7), ? || (i % 5000), 'u' || i, 'done', ?, 0 FROM n"
    )
    book.state._database.write(lambda connection: connection.execute(sql, (rows, WHO.user, FILE, started)))


def test_every_query_of_the_ledger_uses_an_index(book: Book) -> None:
    fill(book, 100_000, START)
    asked: list[str] = []
    connection = book.state._database._connection
    assert connection is not None
    connection.set_trace_callback(asked.append)
    number = book.begin()
    book.state.ledger.record(number, "done", upload_id="new")
    book.state.windows.leave_queue("b1", "t")
    book.state.ledger.record_state("u7", "approved")
    book.unsettled()
    book.state.ledger.find_unsettled("distribute", WHO, "p1", upload_id="u1")
    assert len(book.state.ledger.find_uploads(WHO, "p1", limit=3)) == 3
    book.state.ledger.find_recent_upload(WHO, "p1", FILE + "1", 60)
    book.state.ledger.find_absent_uploads(WHO, "p1", FILE + "1", 60)
    book.state.ledger.find_open_releases(WHO, "p9")
    book.state.ledger.recorded_uploads(WHO, "p9")
    book.state.ledger.find_releases(WHO, "p9", limit=3)
    book.state.events.find_events(upload_id="u1")
    book.state.events.newest_event_id("u1")
    connection.set_trace_callback(None)
    about = [sql for sql in asked if re.match("SELECT|UPDATE|DELETE", sql) and re.search("ledger|events", sql)]
    assert len(about) >= 11
    for sql in about:
        plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
        scans = [step for step in plan if step.startswith("SCAN") and "USING" not in step and "events" not in step]
        assert scans == [], sql


def count_after_writes(book: Book, writes: int) -> list[int]:
    counts = []
    for _ in range(writes):
        book.begin()
        counts.append(book.state._database.read("SELECT count(*) FROM ledger")[0][0])
    return counts


def test_rows_older_than_a_year_are_deleted_a_few_at_each_write(book: Book) -> None:
    fill(book, ROWS_KEPT + 2 * PRUNED_AT_ONCE, START - YEAR - 1)
    assert count_after_writes(book, 4) == [ROWS_KEPT + PRUNED_AT_ONCE + 1, ROWS_KEPT + 2, ROWS_KEPT, ROWS_KEPT]


def test_clock_that_is_a_year_ahead_deletes_no_row_of_a_short_history(book: Book) -> None:
    fill(book, ROWS_KEPT - 10, START)
    book.clock.stepped = 2 * YEAR
    assert count_after_writes(book, 3) == [ROWS_KEPT - 9, ROWS_KEPT - 8, ROWS_KEPT - 7]


@pytest.mark.parametrize("phase", ["sending", "settling", "unclear"])
def test_row_of_unknown_outcome_is_never_deleted(book: Book, phase: str) -> None:
    number = book.begin()
    book.state.ledger.record(number, phase)
    book.orphan(number)
    fill(book, ROWS_KEPT + 2 * PRUNED_AT_ONCE, START - YEAR - 1)
    book.clock.stepped = 2 * YEAR
    assert count_after_writes(book, 3)[-1] < ROWS_KEPT + PRUNED_AT_ONCE
    assert book.unsettled() == [number]


def test_row_numbers_are_never_those_of_an_earlier_file(book: Book, tmp_path: Path) -> None:
    number = book.begin()
    assert number > START
    later = Book(tmp_path / "later")
    later.clock.sleep(3600)
    assert later.begin() > number
    later.state.close()
