"""Real processes of the command on one state: spacing, order, and one upload per intent, with signals and kills."""

import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli.clock import Clock
from tests.processes import Jobs, SlowSandbox, arrivals, gaps, names, service, until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests kill and stop processes as POSIX does")
WINDOW = 0.4
CLOSED = 120.0


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with service(WINDOW) as server:
        started = Jobs(server, tmp_path, WINDOW)
        yield started
        started.close()


@pytest.fixture
def slow_jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs whose window stays closed after one upload until `open_window`, however long processes take to start."""
    with service(WINDOW) as server:
        started = Jobs(server, tmp_path, CLOSED)
        started.ship("n0")
        yield started
        started.close()


def queued_upload(jobs: Jobs, name: str, place: int) -> "subprocess.Popen[bytes]":
    """Start an upload and wait until it is in the queue."""
    process = jobs.upload(name)
    until(lambda: jobs.queued() == place)
    return process


def assert_spaced(jobs: Jobs) -> None:
    # The wall clock that both sides read may be slewed a little.
    assert [gap for gap in gaps(jobs.server) if gap < WINDOW - 0.005] == []
    assert [record.status for record in jobs.server.requests if record.status == 429] == []


def test_uploads_that_start_at_once_all_succeed_in_the_order_they_queued(jobs: Jobs) -> None:
    jobs.ship("first")
    processes = []
    for batch in ("aaaa", "b", "c", "dddd"):
        # Those of a batch meet in the database; the next batch starts when all of them are in the queue.
        processes += [jobs.upload(f"{name}{number}") for number, name in enumerate(batch)]
        count = len(processes)
        until(lambda count=count: len(arrivals(jobs.server)) + jobs.queued() > count)
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 10
    assert "".join(name[0] for name in names(jobs.server)) == "faaaabcdddd"
    assert len(set(names(jobs.server))) == 11
    assert_spaced(jobs)


def test_kill_9_at_any_moment_keeps_the_spacing_and_one_upload_per_intent(tmp_path: Path) -> None:
    """Every intent is run again until it succeeds, while processes are killed: any of them, and the one that is sending.

    A call that a killed process had committed holds the others for its timeout and a window, so the timeout is short.
    """
    chance = random.Random(20260511)
    with service(WINDOW, SlowSandbox) as server:
        jobs = Jobs(server, tmp_path, WINDOW)
        try:
            ship_with_kills(jobs, chance, kills=6, senders=2)
            assert_spaced(jobs)
            accepted = Counter(build.url for build in server.world.builds_of(jobs.project))
            assert {url: accepted[url] for url in URLS} == dict.fromkeys(URLS, 1)
        finally:
            jobs.close()


INTENTS = [f"n{number}" for number in range(5)]
URLS = [f"https://builds.example.com/{name}.zip" for name in INTENTS]


def ship_with_kills(jobs: Jobs, chance: random.Random, *, kills: int, senders: int) -> None:
    """Run every intent until it has succeeded, while processes are killed."""
    runs = {name: jobs.upload(name, "--timeout", "1s") for name in INTENTS}
    while any(process.poll() != 0 for process in runs.values()):
        Clock().sleep(chance.uniform(0.01, 0.1))
        for name in [name for name, process in runs.items() if process.poll()]:
            runs[name] = jobs.upload(name, "--timeout", "1s")
        alive = [process for process in runs.values() if process.poll() is None]
        sender = next((process for process in alive if process.pid == jobs.sender()), None)
        if sender is not None and senders:
            sender.kill()
            senders -= 1
        elif alive and kills:
            chance.choice(alive).kill()
            kills -= 1
    assert (kills, senders) == (0, 0)


def test_stopped_head_of_the_queue_is_passed_over_and_sends_later(slow_jobs: Jobs) -> None:
    """Stop the queue's head with SIGSTOP and age its heartbeat by more than thirty seconds."""
    jobs = slow_jobs
    head = queued_upload(jobs, "head", 1)
    head.send_signal(signal.SIGSTOP)
    age(jobs, 31)
    open_window(jobs)
    assert jobs.upload("behind").wait(60) == 0
    assert names(jobs.server) == ["n0", "behind"]
    open_window(jobs)
    head.send_signal(signal.SIGCONT)
    assert head.wait(60) == 0
    assert names(jobs.server) == ["n0", "behind", "head"]


def open_window(jobs: Jobs) -> None:
    """Let the service's window pass, and move the stored one into the past."""
    Clock().sleep(WINDOW)
    jobs.rows(f"UPDATE windows SET wall = wall - {CLOSED}, mono = mono - {CLOSED}")


def age(jobs: Jobs, seconds: float) -> None:
    """Make the first waiter's last heartbeat older."""
    first = "(SELECT min(seq) FROM waiters)"
    jobs.rows(f"UPDATE waiters SET wall = wall - {seconds}, mono = mono - {seconds} WHERE seq = {first}")


def test_waiters_that_end_leave_the_queue_and_the_next_moves_up(slow_jobs: Jobs) -> None:
    jobs = slow_jobs
    ends = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
    waiters = {number: queued_upload(jobs, number.name, place) for place, number in enumerate(ends, 1)}
    last = queued_upload(jobs, "last", 4)
    for number, waiter in waiters.items():
        waiter.send_signal(number)
    assert {number: waiter.wait(60) for number, waiter in waiters.items()} == ends
    open_window(jobs)
    assert last.wait(60) == 0
    assert names(jobs.server) == ["n0", "last"]


def test_processes_that_find_an_empty_folder_at_once_share_one_file(jobs: Jobs) -> None:
    processes = [jobs.start("limits", "--json") for _ in range(5)] + [jobs.upload(f"n{number}") for number in range(2)]
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 7
    assert sorted(one.name for one in (jobs.home / "state").iterdir() if not one.name.endswith(("-wal", "-shm"))) == [
        "state.db",
        "state.lock",
    ]
    assert len(jobs.rows("SELECT 1 FROM ledger")) == 2
    assert_spaced(jobs)


def test_processes_that_find_a_damaged_file_at_once_set_it_aside_once(jobs: Jobs) -> None:
    (jobs.home / "state").mkdir(mode=0o700)
    (jobs.home / "state" / "state.db").write_bytes(b"junk" * 5000)
    processes = [jobs.start("limits", "--json") for _ in range(7)]
    jobs.finish()
    assert [process.returncode for process in processes] == [0] * 7
    notes = [process.communicate()[1].count(b"was damaged") for process in processes]
    assert sum(notes) == 1
    assert [one.name for one in (jobs.home / "state").glob("*damaged*")] == ["state.db.damaged-1"]
    late = jobs.upload("late", "--on-limit", "fail")
    assert late.wait(30) == 49
    assert arrivals(jobs.server) == []
