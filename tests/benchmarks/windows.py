"""Measures the windows with real processes on loopback and prints a table: smallest gap, lateness, longest wait.

python tests/benchmarks/windows.py [WINDOW [PROCESSES]]
"""

import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.processes import Jobs, SlowSandbox, arrivals, gaps, names, service

QUEUE, SOAK = 12, 60


def main() -> None:
    """Both measurements."""
    window = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    processes = int(sys.argv[2]) if len(sys.argv) > 2 else QUEUE
    with tempfile.TemporaryDirectory() as home:
        queue(Path(home), window, processes)
    with tempfile.TemporaryDirectory() as home:
        soak(Path(home), 0.5)


def queue(home: Path, window: float, processes: int) -> None:
    """So many queue at once behind one call."""
    with service(window) as server:
        jobs = Jobs(server, home, window)
        jobs.upload("first").wait()
        openings: set[float] = set()
        over = threading.Event()
        watcher = threading.Thread(target=watch, args=(jobs, openings, over))
        watcher.start()
        runs = [jobs.upload(f"n{number}") for number in range(processes)]
        jobs.finish(60 + 3 * window * processes)
        over.set()
        watcher.join()
        late = sorted(
            (arrival - max(opening for opening in openings if opening <= arrival)) * 1000 for arrival in arrivals(server)[2:]
        )
        print(f"{processes} processes queued at once, window {window} s")
        show("succeeded", sum(run.returncode == 0 for run in runs), "")
        show("smallest gap", min(gaps(server)), "s")
        show("largest gap between waiting calls", max(gaps(server)[1:]), "s")
        show("lateness after the stored opening, median", late[len(late) // 2], "ms")
        show("lateness, largest", late[-1], "ms")
        show("arrivals before the opening", sum(one < 0 for one in late), "")
        jobs.close()


def watch(jobs: Jobs, openings: set[float], over: threading.Event) -> None:
    """Collect every opening that was ever stored for a settled call."""
    while not over.wait(0.01):
        openings.update(wall for (wall,) in jobs.rows("SELECT wall FROM windows WHERE holder IS NULL AND wall IS NOT NULL"))


def soak(home: Path, window: float) -> None:
    """Eight at a time until sixty intents have succeeded; a process is killed every now and then."""
    chance, timeout = random.Random(1), 1.0
    with service(window, SlowSandbox) as server:
        jobs = Jobs(server, home, window)
        waiting = [f"n{number}" for number in range(SOAK)]
        runs: dict[str, subprocess.Popen[bytes]] = {}
        began: dict[str, float] = {}
        longest, kills, in_calls = 0.0, 0, 0
        while waiting or runs:
            for name, process in list(runs.items()):
                if process.poll() is not None:
                    longest = max(longest, time.monotonic() - began[name])
                    del runs[name]
                    if process.returncode:
                        waiting.insert(0, name)
            while waiting and len(runs) < 8:
                name = waiting.pop(0)
                runs[name], began[name] = jobs.upload(name, "--timeout", "1s"), time.monotonic()
            time.sleep(chance.uniform(0.05, 0.3))
            if chance.random() < 0.15 and runs:
                sender = [process for process in runs.values() if process.pid == jobs.sender()]
                chance.choice(sender or list(runs.values())).kill()
                kills, in_calls = kills + 1, in_calls + bool(sender)
        urls = [build.url for build in server.world.builds_of(jobs.project) if "/n" in build.url]
        print(f"\n{SOAK} intents, 8 processes at a time, kill -9 at random, window {window} s, time-out {timeout} s")
        show("kills", kills, "")
        show("of them in the midst of a call", in_calls, "")
        show("requests that arrived", len(names(server)), "")
        show("intents accepted", len(set(urls)), "")
        show("accepted twice", len(urls) - len(set(urls)), "")
        show("smallest gap", min(gaps(server)), "s")
        show("answers 429", sum(record.status == 429 for record in server.requests), "")
        show("longest run of one process", longest, "s")
        jobs.close()


def show(what: str, value: float, unit: str) -> None:
    """One row."""
    print(f"  {what:44}{value:10.3f} {unit}" if isinstance(value, float) else f"  {what:44}{value:6d}")


if __name__ == "__main__":
    main()
