"""Real processes of the command on one state: spacing, order and one upload per intent, whatever happens to them."""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Jobs, SlowSandbox, arrivals, gaps, names, service, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests kill and stop processes as POSIX does")
WINDOW = 0.5
CLOSED = 120.0


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with service(WINDOW) as server:
        found = Jobs(server, tmp_path, WINDOW)
        yield found
        found.close()


@pytest.fixture
def slow_jobs(tmp_path: Path) -> Iterator[Jobs]:
    """A window that stays closed after one call until `open_window`, however long processes take to start."""
    with service(WINDOW) as server:
        found = Jobs(server, tmp_path, CLOSED)
        found.ship("n0")
        yield found
        found.close()


def queued_upload(jobs: Jobs, name: str, place: int) -> "subprocess.Popen[bytes]":
    """Start an upload, and see it in the queue."""
    process = jobs.upload(name)
    until(lambda: jobs.queued() == place)
    return process


def assert_spaced(jobs: Jobs) -> None:
    # The wall clock that both sides read may be slewed a little.
    assert [gap for gap in gaps(jobs.server) if gap < WINDOW - 0.005] == []
    assert [record.status for record in jobs.server.requests if record.status == 429] == []


def test_twelve_at_once_all_succeed_in_the_order_they_queued(jobs: Jobs) -> None:
    jobs.ship("first")
    processes = []
    for batch in "abc":
        # Four at once meet in the database; the next four come when these are all in the queue.
        processes += [jobs.upload(f"{batch}{number}") for number in range(4)]
        count = len(processes)
        until(lambda count=count: len(arrivals(jobs.server)) + jobs.queued() > count)
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 12
    assert "".join(name[0] for name in names(jobs.server)) == "faaaabbbbcccc"
    assert len(set(names(jobs.server))) == 13
    assert_spaced(jobs)


def test_order_of_arrival_is_kept(jobs: Jobs) -> None:
    jobs.ship("n0")
    for number in range(1, 5):
        jobs.upload(f"n{number}")
        until(lambda number=number: len(arrivals(jobs.server)) + jobs.queued() > number)
    jobs.finish()
    assert names(jobs.server) == [f"n{number}" for number in range(5)]
    assert_spaced(jobs)


def test_kill_9_at_any_moment_keeps_the_distance_and_one_upload_per_intent(tmp_path: Path) -> None:
    """Eight intents, each run again until it succeeds, and twelve kills: of anybody, and of the one whose call is under way.

    A call that a killed process had committed holds the others for its time-out and a window, so the time-out is short.
    """
    chance = random.Random(20260511)
    with service(WINDOW, SlowSandbox) as server:
        jobs = Jobs(server, tmp_path, WINDOW)
        try:
            ship_with_kills(jobs, chance, anybody=9, senders=3)
            assert_spaced(jobs)
            accepted = Counter(build.url for build in server.world.builds_of(jobs.project))
            assert {url: accepted[url] for url in URLS} == dict.fromkeys(URLS, 1)
        finally:
            jobs.close()


INTENTS = [f"n{number}" for number in range(8)]
URLS = [f"https://builds.example.com/{name}.zip" for name in INTENTS]


def ship_with_kills(jobs: Jobs, chance: random.Random, *, anybody: int, senders: int) -> None:
    """Run every intent until it has succeeded, while processes are killed."""
    runs = {name: jobs.upload(name, "--timeout", "1s") for name in INTENTS}
    while any(process.poll() != 0 for process in runs.values()):
        sleep(chance.uniform(0.01, 0.1))
        for name in [name for name, process in runs.items() if process.poll()]:
            runs[name] = jobs.upload(name, "--timeout", "1s")
        alive = [process for process in runs.values() if process.poll() is None]
        sender = next((process for process in alive if process.pid == jobs.sender()), None)
        if sender is not None and senders:
            sender.kill()
            senders -= 1
        elif alive and anybody:
            chance.choice(alive).kill()
            anybody -= 1
    assert (anybody, senders) == (0, 0)


def sleep(seconds: float) -> None:
    from spcli.clock import Clock

    Clock().sleep(seconds)


def test_stopped_head_is_passed_over_and_goes_on_later(slow_jobs: Jobs) -> None:
    """SIGSTOP of the queue's head: for those behind it its heartbeat is as if thirty seconds had passed."""
    jobs = slow_jobs
    head = queued_upload(jobs, "head", 1)
    head.send_signal(signal.SIGSTOP)
    behind = queued_upload(jobs, "behind", 2)
    age(jobs, 31)
    open_window(jobs)
    assert behind.wait(60) == 0
    assert names(jobs.server) == ["n0", "behind"]
    head.send_signal(signal.SIGCONT)
    open_window(jobs)
    assert head.wait(60) == 0
    assert names(jobs.server) == ["n0", "behind", "head"]


def open_window(jobs: Jobs) -> None:
    """As it is when the window's time has passed, and the service's own."""
    sleep(WINDOW)
    jobs.rows(f"UPDATE windows SET wall = wall - {CLOSED}, mono = mono - {CLOSED}")


def age(jobs: Jobs, seconds: float) -> None:
    """Make the first waiter's last beat older, as it is after so long."""
    first = "(SELECT min(seq) FROM waiters)"
    jobs.rows(f"UPDATE waiters SET wall = wall - {seconds}, mono = mono - {seconds} WHERE seq = {first}")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (9, -9)])
def test_waiter_that_ends_leaves_the_queue_and_the_next_moves_up(slow_jobs: Jobs, number: int, code: int) -> None:
    jobs = slow_jobs
    first, second = queued_upload(jobs, "first", 1), queued_upload(jobs, "second", 2)
    first.send_signal(number)
    assert first.wait(60) == code
    open_window(jobs)
    assert second.wait(60) == 0
    assert names(jobs.server) == ["n0", "second"]


def test_many_that_meet_an_empty_folder_at_once_share_one_file(jobs: Jobs) -> None:
    processes = [jobs.start("limits", "--json") for _ in range(6)] + [jobs.upload(f"n{number}") for number in range(4)]
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 10
    assert sorted(one.name for one in (jobs.home / "state").iterdir() if not one.name.endswith(("-wal", "-shm"))) == [
        "state.db",
        "state.lock",
    ]
    assert len(jobs.rows("SELECT 1 FROM ledger")) == 4
    assert_spaced(jobs)


def test_many_that_meet_a_damaged_file_at_once_set_it_aside_once(jobs: Jobs) -> None:
    (jobs.home / "state").mkdir(mode=0o700)
    (jobs.home / "state" / "state.db").write_bytes(b"junk" * 5000)
    processes = [jobs.start("limits", "--json") for _ in range(8)]
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 8
    notes = [process.communicate()[1].count(b"was damaged") for process in processes]
    assert sum(notes) == 1
    assert [one.name for one in (jobs.home / "state").glob("*damaged*")] == ["state.db.damaged-1"]
    late = jobs.upload("late", "--on-limit", "fail")
    assert late.wait(30) == 49
    assert arrivals(jobs.server) == []
