"""At most one accepted upload per intent, whatever the service does: the program against a server that knows what it stored."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, event, example, given, note, settings
from hypothesis import strategies as st

from spcli.sandbox.seeds import MAIN
from tests.faultd import Behaviour, FaultServer, Request, answer, close_after_request, rst_after_request
from tests.front import FakeClock, Front, Result

BARE = "https://builds.example.com/Game-1.4.zip"
WINDOW = 120.0
HTML = {"Content-Type": "text/html"}
# What the service does with a write: does it have it, and what does it answer?
STORES = {"ok": True, "no id": True, "lost after": True, "500 after": True, "502 after": True}
STORES |= {"lost": False, "closed": False, "500": False, "502": False, "429": False}
UNCLEAR = ("lost", "lost after", "closed", "502", "502 after")
Fates = st.sampled_from(sorted(STORES))


class Stored(NamedTuple):
    """A build the service has, and when its list shows it."""

    upload_id: str
    url: str
    born: float
    shown: float
    mine: bool


class Story(NamedTuple):
    """A story: every event, drawn before it begins."""

    fates: list[str]
    lags: list[int]
    broken: list[bool]
    blind: int
    others: list[tuple[int, bool]]
    rewrites: bool
    presigned: bool
    skew: int
    runs: list[tuple[str, ...]]


Stories = st.builds(
    Story,
    fates=st.lists(Fates, max_size=7),
    lags=st.lists(st.integers(0, 90), min_size=9, max_size=9),
    broken=st.lists(st.booleans(), max_size=40),
    blind=st.sampled_from([0, 0, 0, 6, 12]),
    others=st.lists(st.tuples(st.integers(0, 400), st.sampled_from([False, False, False, True])), max_size=3),
    rewrites=st.booleans(),
    presigned=st.booleans(),
    skew=st.sampled_from([0, 0, -86400, 86400, 40]),
    runs=st.lists(
        st.sampled_from([(), ("--on-limit", "fail"), ("--max-wait", "130s"), ("--max-wait", "10s")]), min_size=1, max_size=4
    ),
)


class Truth:
    """The service: it knows what it stored. At most two reads in a row fail, but for the `blind` first ones."""

    def __init__(self, story: Story, clock: FakeClock) -> None:
        self.story = story
        self.clock = clock
        self.stored: list[Stored] = []
        self.writes: list[tuple[float, str]] = []
        self.reads: list[tuple[float, bool]] = []
        for number, (at, is_same_file) in enumerate(story.others):
            # Listed without its query, another client's presigned upload could not be told from ours.
            is_same_file = is_same_file and (story.presigned or not story.rewrites)
            url = f"{BARE}?sig=someb0dy{number}" if is_same_file else f"https://builds.example.com/Other{number}.zip"
            self._store(f"{number:024x}", url, born=float(at), lag=0, mine=False)

    def _store(self, upload_id: str, url: str, *, born: float, lag: float, mine: bool) -> None:
        self.stored.append(Stored(upload_id, url.partition("?")[0] if self.story.rewrites else url, born, born + lag, mine))

    @property
    def mine(self) -> list[Stored]:
        return [build for build in self.stored if build.mine]

    def __call__(self, request: Request) -> Behaviour:
        return self._read() if request.method == "GET" else self._write(json.loads(request.body)["fileUrl"])

    def _date(self, seconds: float) -> str:
        return formatdate(self.clock.wall() - self.clock.seconds + seconds + self.story.skew, usegmt=True)

    def _iso(self, seconds: float) -> str:
        from datetime import UTC, datetime

        return datetime.fromtimestamp(self.clock.wall() - self.clock.seconds + seconds + self.story.skew, UTC).isoformat()

    def _read(self) -> Behaviour:
        count = len(self.reads)
        fails = count < self.story.blind or (count < len(self.story.broken) and self.story.broken[count])
        is_allowed = count < self.story.blind or not (len(self.reads) >= 2 and not any(good for _, good in self.reads[-2:]))
        if fails and is_allowed:
            self.reads.append((self.clock.seconds, False))
            return answer(500, {"message": "Internal server error"}) if count % 2 else close_after_request()
        self.reads.append((self.clock.seconds, True))
        files = [
            {"_id": build.upload_id, "url": build.url, "status": "pending", "date": self._iso(build.born)}
            for build in self.stored
            if build.shown <= self.clock.seconds
        ]
        return answer(200, {"files": files}, {"Date": self._date(self.clock.seconds)})

    def _write(self, url: str) -> Behaviour:
        place = len(self.writes)
        fate = self.story.fates[place] if place < len(self.story.fates) else "ok"
        self.writes.append((self.clock.seconds, fate))
        upload_id = f"{0xABC000 + place:024x}"
        if STORES[fate]:
            self._store(upload_id, url, born=self.clock.seconds, lag=self.story.lags[place % 9], mine=True)
        status, _, _ = fate.partition(" ")
        if fate == "ok":
            return answer(201, {"uploadId": upload_id})
        if fate == "no id":
            return answer(201, {"message": "queued"})
        if status == "502":
            return answer(502, b"<html>Bad gateway</html>", HTML)
        if status in ("500", "429"):
            return answer(int(status), {"message": "Rate limit exceeded." if status == "429" else "Internal server error"})
        return close_after_request() if fate == "closed" else rst_after_request()


@contextlib.contextmanager
def machine(story: Story) -> Iterator[tuple[Truth, Front]]:
    clock = FakeClock()
    truth = Truth(story, clock)
    with tempfile.TemporaryDirectory() as home, FaultServer(handler=truth) as server:
        front = Front(Path(home), clock)
        front.use(server.url, window=WINDOW)
        yield truth, front


def shape_of_run(truth: Truth, first: int, result: Result) -> None:
    """Check what must hold for each run by itself."""
    sent = truth.writes[first:]
    note(f"{result!r}\nwrites {sent}\nmine {truth.mine}")
    assert len(sent) <= 3
    assert sum(fate in UNCLEAR for _, fate in sent) <= 2
    if result.code == 0:
        assert result.json["uploadId"] in [build.upload_id for build in truth.mine]
        return
    assert result.out == ""
    error = result.error
    assert result.code in (49, 50, 60, 61)
    assert error["retryable"] is True
    assert (error["outcome"] == "unknown") == (result.code == 61)
    assert error["uploadId"] is None
    if error["outcome"] == "not_sent":
        assert sent == []


def proof_problems(truth: Truth) -> list[str]:
    """Sends after an unclear one that were made without three good readings, the last a minute after it."""
    problems = []
    for (at, fate), (again, _) in pairwise(truth.writes):
        good = [read for read, is_good in truth.reads if is_good and at < read <= again]
        if fate in UNCLEAR and not (len(good) >= 3 and good[-1] >= at + 60):
            problems.append(f"sent at {again} after {fate} at {at}, list read at {good}")
        if again - at < WINDOW - 1e-6:
            problems.append(f"sent at {again}, {again - at} s after the one before")
    return problems


def play(story: Story) -> None:
    with machine(story) as (truth, spcli):
        for number, words in enumerate(story.runs):
            url = f"{BARE}?sig=s1gnature{number}" if story.presigned else BARE
            first = len(truth.writes)
            result = spcli("upload", url, "--json", "--no-check", *words)
            shape_of_run(truth, first, result)
            event(f"exit {result.code}")
            if result.code == 0:
                break
        note(f"{truth.writes}\n{truth.reads}")
        assert len(truth.mine) <= 1, truth.mine
        assert proof_problems(truth) == []
        assert MAIN.api_key not in "".join(result.out + result.err for result in spcli.printed)


PLAIN = Story([], [0] * 9, [], 0, [], False, False, 0, [()])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(Stories)
@example(PLAIN._replace(fates=["lost after"], lags=[90] * 9))
@example(PLAIN._replace(fates=["lost after"], lags=[90] * 9, runs=[("--on-limit", "fail"), ()]))
@example(PLAIN._replace(fates=["lost after"], lags=[90] * 9, runs=[("--on-limit", "fail"), ()], presigned=True, rewrites=True))
@example(PLAIN._replace(fates=["500 after"], lags=[90] * 9, runs=[("--max-wait", "10s"), (), ()], presigned=True))
@example(PLAIN._replace(fates=["lost after"], blind=6, skew=86400, runs=[(), ()]))
@example(PLAIN._replace(fates=["lost after"], blind=6, skew=-86400))
@example(PLAIN._replace(fates=["lost after"], blind=12, skew=-86400, lags=[40] * 9, runs=[(), ()]))
@example(PLAIN._replace(fates=["429", "lost after"], others=[(60, True)], presigned=True, runs=[(), (), ()]))
def test_at_most_one_upload_is_accepted_per_intent_across_reruns(story: Story) -> None:
    play(story)


def test_story_without_faults_sends_once() -> None:
    with machine(PLAIN) as (truth, spcli):
        result: Any = spcli("upload", BARE, "--json")
        assert (result.code, len(truth.mine), len(truth.writes)) == (0, 1, 1)
