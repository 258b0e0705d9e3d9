"""A campaign of random faults: real processes against a hostile server that knows the truth.

`python -m tests.faults.hostile --seconds 300 [--seed 7] [--worlds 2]` runs it for longer and prints what it finds.

A world is drawn from a seed: the window, how the service treats writes (answers lost, late or wrong, 5xx, 429), what its build
list shows (late, broken, other spellings of a URL, dates of another clock), and how users treat their processes (signals, kills).
Checked at the end: limited calls a window apart, no intent accepted twice, no exit code or outcome that is not true, the key
shown nowhere, no traceback. Clock steps are not part of it: nothing in the program's environment sets its clock.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from spcli.sandbox.seeds import MAIN, SHOWROOM
from tests.faultd import Behaviour, FaultServer, Request, answer, close_after_request, hang, rst_after_request, truncate

HTML = {"Content-Type": "text/html"}
KEY = "h0st1le-c4n4ry"
RELEASED = [f"{0xAAA000 + number:024x}" for number in range(20)]
DISTRIBUTING = 5.0
"""Seconds for which a release shows: one that is over before the first look afterwards can't be seen at all."""
# Does the service carry the write out, and what does it answer?
EFFECT = {
    "ok": True,
    "no id": True,
    "truncated": True,
    "reset after": True,
    "closed after": True,
    "hang after": True,
    "502 after": True,
}
EFFECT |= {"reset": False, "closed": False, "hang": False, "500": False, "502": False, "429": False, "400": False}
RUNS_AT_MOST = 6
HUNG = 60.0
LINGER = 1.0
"""Seconds that the last processes have before they get SIGTERM."""
# -15: Python was not ready to handle the signal.
CODES = {0, 11, 13, 14, 40, 43, 49, 50, 60, 61, 62, 130, 143, -9, -15}


class World(NamedTuple):
    """One world's dice, and what they made constant."""

    seed: int
    window: float
    timeout: float
    faults: float
    late: float
    lag: float
    blind: float
    spelling: str
    skew: float
    dated: bool
    presigned: bool
    violence: float


def draw_world(seed: int) -> World:
    """Return the world of a seed.

    The list shows a build before absence is proved (two seconds at least after the call), and a late request is taken within the
    margin after a timeout: that is what the program relies on.
    """
    chance = random.Random(seed)
    timeout = chance.choice([0.6, 1.0, 1.5])
    return World(
        seed=seed,
        window=chance.choice([0.3, 0.4, 0.6]),
        timeout=timeout,
        faults=chance.choice([0.2, 0.5, 0.8]),
        late=chance.choice([0.0, 0.0, 0.3, 0.6]),
        lag=chance.choice([0.0, 0.2, 1.0]),
        blind=chance.choice([0.0, 0.0, 0.1, 0.4]),
        spelling=chance.choice(["sent", "sent", "sent", "no query", "decoded", "https", "own copy"]),
        skew=chance.choice([0.0, 0.0, -4.0, 4.0, 3600.0, -86400.0]),
        dated=chance.random() < 0.8,
        presigned=chance.random() < 0.3,
        violence=chance.choice([0.0, 0.3, 0.6]),
    )


class Write(NamedTuple):
    """A limited call that arrived: when it was stamped, by which run (its key), and whether it took effect."""

    at: float
    endpoint: str
    key: str
    target: str
    fate: str
    effect: bool
    upload_id: str


class HostileService:
    """The service. It answers as the dice say and remembers the truth."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = random.Random(world.seed + 1)
        self.lock = threading.Lock()
        self.writes: list[Write] = []
        self.keys: set[str] = set()
        self.released: dict[str, float] = {}
        self.server = FaultServer(handler=self, unread_for=self._unread_for, strict=False)
        # Each with the moment from which the list shows it.
        self.builds = [(0.0, self._build(one, f"https://x.example/{one}.zip")) for one in RELEASED]

    def _unread_for(self, first: bytes) -> float:
        """Return how long a request stays in the queue; past the client's timeout, but within the margin after it."""
        with self.lock:
            is_late = first == b"POST" and self.chance.random() < self.world.late
            return self.world.timeout * (1 + 0.7 / 4 * self.chance.random()) if is_late else 0.0

    def __call__(self, request: Request) -> Behaviour:
        with self.lock:
            self.keys.update(value for name, value in request.query if name == "apikey")
            if request.method == "GET":
                return self._read()
            is_whole = len(request.body) == int(request.headers["content-length"])
            # A client that is killed between head and body has not called.
            return self._write(request) if is_whole else close_after_request()

    def _date(self) -> dict[str, str]:
        return {"Date": formatdate(time.time() + self.world.skew, usegmt=True)}

    def _build(self, upload_id: str, url: str, status: str = "Approved") -> dict[str, str]:
        build = {"_id": upload_id, "url": self._spelled(url, upload_id), "status": status}
        if self.world.dated:
            # Dates are of yet another clock.
            lag = self.chance.choice([0.0, -4.0, 20.0])
            build["date"] = datetime.fromtimestamp(time.time() + self.world.skew + lag, UTC).isoformat()
        return build

    def _spelled(self, url: str, upload_id: str) -> str:
        spelling = self.world.spelling
        if spelling == "no query":
            return url.partition("?")[0]
        if spelling == "decoded":
            return unquote(url)
        if spelling == "https":
            return url.replace("http://", "https://")
        return f"{self.server.url}/files/{upload_id}" if spelling == "own copy" else url

    def _read(self) -> Behaviour:
        if self.chance.random() < self.world.blind:
            broken = [
                answer(500, {"message": "Internal server error"}),
                rst_after_request(),
                answer(502, b"<p>", HTML),
                truncate(),
            ]
            return self.chance.choice(broken)
        now = time.monotonic()
        shown = [build for since, build in self.builds if since <= now]
        for build in shown:
            if now - self.released.get(build["_id"], now) > DISTRIBUTING:
                build["status"] = "Approved"
        return answer(200, {"id": SHOWROOM.id, "files": shown}, self._date())

    def _write(self, request: Request) -> Behaviour:
        body: Any = request.json
        endpoint = request.path.rpartition("/")[2]
        target = str(body.get("fileUrl") or body["uploadId"])
        fate = self.chance.choice(list(EFFECT)) if self.chance.random() < self.world.faults else "ok"
        upload_id = f"{0xBBB000 + len(self.writes):024x}" if endpoint == "upload-file" else target
        self.writes.append(Write(request.at, endpoint, body["apiKey"], target, fate, EFFECT[fate], upload_id))
        if EFFECT[fate] and endpoint == "upload-file":
            shown = time.monotonic() + self.chance.uniform(0, self.world.lag)
            self.builds.append((shown, self._build(upload_id, target, "pending")))
        elif EFFECT[fate]:
            self.released[target] = time.monotonic()
            next(build for _, build in self.builds if build["_id"] == target)["status"] = "Distribute"
        return self._answer(fate, upload_id)

    def _answer(self, fate: str, upload_id: str) -> Behaviour:
        kind = fate.split()[0]
        if kind in ("429", "500", "400"):
            return answer(int(kind), {"message": "Rate limit exceeded." if kind == "429" else "No."}, self._date())
        made: dict[str, Callable[[], Behaviour]] = {
            "ok": lambda: answer(201, {"uploadId": upload_id, "message": "queued"}, self._date()),
            "no": lambda: answer(201, {"message": "queued"}),
            "truncated": lambda: truncate(201),
            "reset": rst_after_request,
            "closed": close_after_request,
            "hang": hang,
            "502": lambda: answer(502, b"<html>Bad gateway</html>", HTML),
        }
        return made[kind]()


class Run(NamedTuple):
    """One process that has ended: the key names it at the service."""

    key: str
    argv: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float

    @property
    def error(self) -> dict[str, Any]:
        """The error object; empty where there is none."""
        with contextlib.suppress(ValueError, IndexError, KeyError):
            return dict(json.loads(self.err.splitlines()[-1])["error"])
        return {}


class User:
    """Somebody with intents on one machine: runs each of them until it is done, and is not gentle with processes."""

    def __init__(self, service: HostileService, home: Path, number: int, until: float) -> None:
        self.service = service
        self.world = service.world
        self.home = home
        self.number = number
        self.until = until
        self.chance = random.Random(self.world.seed * 100 + number)
        self.runs: list[Run] = []

    def work(self) -> None:
        """Upload one file after another, or release builds."""
        intent = 0
        while time.monotonic() < self.until:
            intent += 1
            for attempt in range(RUNS_AT_MOST):
                if time.monotonic() >= self.until:
                    return
                ended = self.run(*self._words(intent, attempt))
                if ended.code == 0 or not (ended.code < 0 or ended.error.get("retryable")):
                    break

    def _words(self, intent: int, attempt: int) -> tuple[str, ...]:
        patience = ("--timeout", f"{self.world.timeout}s", "--max-wait", "8s", "--json")
        if self.number == 0:
            return ("distribute", RELEASED[intent % len(RELEASED)], *patience)
        query = f"?sig=s{self.number}x{intent}x{attempt}" if self.world.presigned else ""
        scheme = "http" if self.world.spelling == "https" else "https"
        url = f"{scheme}://files.example.com/u{self.number}/Game%20{self.number}-{intent}.zip{query}"
        return ("upload", url, "--no-check", *patience)

    def run(self, *argv: str) -> Run:
        """Run one process to its end, which may be a violent one."""
        key = f"{KEY}-{self.number}-{len(self.runs)}"
        environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
        environ |= {
            "HOME": str(self.home), "SPCLI_CONFIG": str(self.home / "config.toml"), "SPCLI_STATE_DIR": str(self.home / "state"),
            "STREAMPIXEL_API_KEY": key, "STREAMPIXEL_USER_ID": MAIN.user_id, "STREAMPIXEL_PROJECT_ID": SHOWROOM.id,
            "STREAMPIXEL_BASE_URL": self.service.server.url, "SPCLI_WINDOW": str(self.world.window),
        }  # fmt: skip
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "spcli", *argv],
            env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            self._disturb(process, key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, self.until + LINGER - time.monotonic()))
            if process.poll() is None:
                process.terminate()
            out, err = process.communicate(timeout=HUNG)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += b"\nHUNG"
        ended = Run(key, argv, process.returncode, out.decode(), err.decode(), time.monotonic() - began)
        self.runs.append(ended)
        return ended

    def _disturb(self, process: "subprocess.Popen[bytes]", key: str) -> None:
        """Send signals at a random moment after the first request: before it, Python itself may still be starting."""
        if self.chance.random() >= self.world.violence:
            return
        while key not in self.service.keys and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.chance.uniform(0, 1.5))
        for number in self.chance.choice([[signal.SIGINT], [signal.SIGTERM], [signal.SIGKILL], [signal.SIGINT, signal.SIGTERM]]):
            if process.poll() is None:
                process.send_signal(number)


def live(world: World, seconds: float, users: int = 3) -> tuple[list[Run], HostileService, list[str]]:
    """Let users work in a world; return their runs, the service, and what is wrong."""
    service = HostileService(world)
    with tempfile.TemporaryDirectory() as folder, service.server:
        home = Path(folder)
        started = [User(service, home, number, time.monotonic() + seconds) for number in range(users)]
        with ThreadPoolExecutor(users) as pool:
            for done in [pool.submit(user.work) for user in started]:
                done.result()
        runs = [run for user in started for run in user.runs]
        # A request may still be in the service's queue.
        time.sleep(world.timeout / 2 if world.late else 0)
        problems = [*judge(world, service, runs), *find_leaks(home)]
    return runs, service, problems


def judge(world: World, service: HostileService, runs: list[Run]) -> Iterator[str]:
    """Yield what must not be."""
    if service.server.problems:
        yield f"the double failed: {service.server.problems}"
    for endpoint in ("upload-file", "distribute-file"):
        calls = sorted(write for write in service.writes if write.endpoint == endpoint)
        for earlier, later in pairwise(calls):
            if later.at - earlier.at < world.window - 0.005:
                yield f"early: {later.at - earlier.at:.3f} s after {earlier}: {later}"
    accepted: dict[str, list[Write]] = {}
    for write in service.writes:
        if write.endpoint == "upload-file" and write.effect:
            accepted.setdefault(write.target.partition("?")[0], []).append(write)
    yield from (f"accepted twice: {writes}" for writes in accepted.values() if len(writes) > 1)
    for run in runs:
        yield from (
            f"{problem}: {run}\n  {[write for write in service.writes if write.key == run.key]}" for problem in lies(service, run)
        )


def lies(service: HostileService, run: Run) -> Iterator[str]:
    """Yield what is not true of a run's exit code, outcome and texts."""
    mine = [write for write in service.writes if write.key == run.key]
    outcome = run.error.get("outcome")
    target = run.argv[1].partition("?")[0]
    if KEY in run.out + run.err:
        yield "shows the key"
    if "Traceback" in run.err or "HUNG" in run.err or run.code not in CODES:
        yield f"ends with {run.code}"
    if run.code == 0 or outcome == "done":
        shown = json.loads(run.out)["uploadId"] if run.code == 0 else run.error["uploadId"]
        if not any(
            write.effect and write.upload_id == shown and write.target.partition("?")[0] == target for write in service.writes
        ):
            yield f"claims {shown}"
    if outcome == "not_sent" and mine:
        yield "claims that nothing was sent"
    if outcome == "refused" and any(write.effect for write in mine):
        yield "claims that it did nothing"
    if run.code not in (0, -9, -15) and (not run.error or run.out):
        yield "fails without an error object, or with output"


def find_leaks(home: Path) -> list[str]:
    """Return the files of the program's that hold a key."""
    return [f"key in {path}" for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


def main() -> int:
    """Run worlds until the time is up; exit 1 if something was found."""
    parser = argparse.ArgumentParser(description="Random faults against real processes.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--worlds", type=int, default=2, help="worlds at a time")
    parser.add_argument("--once", action="store_true", help="only the world of --seed")
    words = parser.parse_args()
    # A job in the background has Ctrl-C ignored, and its processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ends, seeds, found = time.monotonic() + words.seconds, iter(range(words.seed, 10**9)), 0
    count = {"worlds": 0, "runs": 0, "calls": 0}

    def play(seed: int) -> None:
        nonlocal found
        world = draw_world(seed)
        runs, service, problems = live(world, seconds=8.0)
        count["worlds"], count["runs"] = count["worlds"] + 1, count["runs"] + len(runs)
        count["calls"] += len(service.writes)
        if problems:
            found += 1
            print(f"\n{world}", *problems, sep="\n", flush=True)

    with ThreadPoolExecutor(words.worlds) as pool:
        if words.once:
            play(words.seed)
        while not words.once and time.monotonic() < ends:
            for done in [pool.submit(play, next(seeds)) for _ in range(words.worlds)]:
                done.result()
    print(f"seed {words.seed}: {count}, {found} worlds with problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
