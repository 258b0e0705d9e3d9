"""A service whose writes fail as a test wants, with a build list, and every failing answer there is."""

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from spcli.sandbox.seeds import SHOWROOM
from tests.faultd import (
    Behaviour,
    Request,
    after_interim,
    answer,
    close_after_request,
    drip_body,
    drip_headers,
    garbage,
    gzip_body,
    hang,
    http09,
    huge_body,
    huge_headers,
    no_content,
    raw,
    rst_after_request,
    truncate,
)
from tests.front import FakeClock, Front, Result

URL = "https://builds.example.com/Game-1.4.zip"
OLD = "665a00000000000000000001"
NEW = "665a00000000000000000002"
HTML = b"<html><head><title>Bad gateway</title></head></html>"
PAGE = {"Content-Type": "text/html"}


class Double:
    """A service whose writes get `behaviours` one after another, with a build list.

    Args:
        stores: the first write takes effect whatever its answer: an upload's build is in the list, a release is under way.
        lag: seconds of the test's clock until the list shows it.
        reads: answers every read instead of the list.
        blind: the list can't be read once a write has arrived; may be switched off later.

    `afterwards` answers the reads once a write has arrived.
    """

    def __init__(
        self,
        *behaviours: Behaviour,
        clock: FakeClock,
        stores: bool = False,
        lag: float = 0.0,
        reads: Behaviour | None = None,
        blind: bool = False,
    ) -> None:
        self.behaviours = list(behaviours)
        self.clock = clock
        self.stores = stores
        self.lag = lag
        self.reads = reads
        self.blind = blind
        self.afterwards: Behaviour | None = None
        self.stored_at: float | None = None
        self.stored_url = URL
        self.status = "pending"
        self.writes: list[Request] = []
        self.reads_made = 0

    def __call__(self, request: Request) -> Behaviour:
        if request.method == "GET":
            self.reads_made += 1
            return (self.writes and self.afterwards) or self.reads or self._list()
        self.writes.append(request)
        if self.stores and self.stored_at is None:
            self.stored_at = self.clock.seconds
            self.stored_url = str(json.loads(request.body).get("fileUrl", ""))
        return self.behaviours.pop(0)

    def _list(self) -> Behaviour:
        if self.blind and self.writes:
            return answer(502, HTML, PAGE)
        is_shown = self.stored_at is not None and self.clock.seconds >= self.stored_at + self.lag
        is_release = is_shown and not self.stored_url
        old = {"_id": OLD, "url": "https://builds.example.com/Old.zip", "status": "Distribute" if is_release else "Approved"}
        new = {"_id": NEW, "url": self.stored_url, "status": self.status}
        dated = [{**build, "date": "2026-01-01T00:00:00Z"} for build in ([old, new] if is_shown and self.stored_url else [old])]
        return answer(200, {"id": SHOWROOM.id, "files": dated})


class FlowingClock(FakeClock):
    """A clock that sleeping moves at once and real time moves too: a server that drips bytes must reach its deadline."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def wall(self) -> float:
        return super().wall() + time.monotonic() - self._began

    def mono(self) -> float:
        return super().mono() + time.monotonic() - self._began


class Rewriting(Double):
    """A service that lists builds without the query of their URL."""

    def _list(self) -> Behaviour:
        self.stored_url = self.stored_url.partition("?")[0]
        return super()._list()


def ledger(spcli: Front, what: str = "phase") -> list[Any]:
    """Return one column of this machine's ledger, in the order of the sends."""
    with sqlite3.connect(spcli.home / "state" / "state.db") as database:
        rows = database.execute(f"SELECT {what} FROM ledger ORDER BY id").fetchall()
    database.close()
    return [row[0] for row in rows]


def failure(result: Result) -> tuple[Any, ...]:
    """Return exit code, kind, outcome and whether a retry is safe."""
    error = result.error
    return result.code, error["kind"], error["outcome"], error["retryable"]


class Shape(NamedTuple):
    """A failing answer; `short` ones need a short timeout."""

    name: str
    make: Callable[[], Behaviour]
    short: bool = False


UNCLEAR = [
    Shape("closed", close_after_request),
    Shape("reset", rst_after_request),
    Shape("hang", hang, True),
    Shape("dripped headers", lambda: drip_headers(0.05), True),
    Shape("garbage", garbage),
    Shape("http 0.9", http09),
    Shape("only 1xx", lambda: after_interim(100, then=close_after_request())),
    Shape("half a status line", lambda: raw(b"HTTP/1.1 20")),
    Shape("502 html", lambda: answer(502, HTML, PAGE)),
    Shape("504 empty", lambda: answer(504)),
    Shape("500 html", lambda: answer(500, HTML, PAGE)),
]
NO_ID = [
    Shape("204", no_content),
    Shape("200 empty", lambda: answer(200)),
    Shape("no id", lambda: answer(201, {"message": "Build queued"})),
    Shape("truncated", truncate),
    Shape("html", lambda: answer(200, HTML, PAGE)),
    Shape("a list", lambda: answer(200, [])),
    Shape("gzip", gzip_body),
    Shape("huge body", huge_body),
    Shape("huge headers", huge_headers),
    Shape("dripped body", lambda: drip_body(0.05), True),
    Shape("dripped headers after the status", lambda: drip_headers(0.05, status=200), True),
]
SOME = [shape for shape in UNCLEAR if shape.name in ("reset", "hang", "502 html")]
unclear = pytest.mark.parametrize("shape", UNCLEAR, ids=[shape.name for shape in UNCLEAR])
some_unclear = pytest.mark.parametrize("shape", SOME, ids=[shape.name for shape in SOME])
no_id = pytest.mark.parametrize("shape", NO_ID, ids=[shape.name for shape in NO_ID])


def quick(shape: Shape) -> tuple[str, ...]:
    """Return the options for a call that gets this answer."""
    return ("--timeout", "0.2s") if shape.short else ()
