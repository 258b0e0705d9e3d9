"""Every way a call can fail, for upload, distribute and a read: exit code, outcome, requests that arrived, the ledger."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from spcli.errors import EXIT_CODES, Interrupted, SpcliError
from spcli.sandbox.seeds import MAIN, SHOWROOM, SHOWROOM_OLD
from tests.faultd import (
    Behaviour,
    FaultServer,
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
    redirect,
    response,
    rst_after_request,
    truncate,
)
from tests.front import FakeClock, Front, Result, releases, uploads

URL = "https://builds.example.com/Game-1.4.zip"
OLD = "665a00000000000000000001"
NEW = "665a00000000000000000002"
HTML = b"<html><head><title>Bad gateway</title></head></html>"
PAGE = {"Content-Type": "text/html"}


class Double:
    """A service whose writes get `behaviours` one after another, with a build list in front of them.

    Args:
        stores: the service has the first write all the same: an upload's build is in the list, a release is under way.
        lag: seconds of the test's clock until the list shows it.
        reads: answers every read instead of the list.
        blind: the list can't be read any more once a write has arrived; may be switched off later.

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
    """Sleeping moves it at once, and real time moves it too: a server that drips bytes must come to its deadline."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.monotonic()

    def wall(self) -> float:
        return super().wall() + time.monotonic() - self._began

    def mono(self) -> float:
        return super().mono() + time.monotonic() - self._began


@pytest.fixture
def clock() -> FakeClock:
    return FlowingClock()


@pytest.fixture
def double(spcli: Front, clock: FakeClock) -> Iterator[Callable[..., Double]]:
    servers: list[FaultServer] = []

    def start(*behaviours: Behaviour, **kwargs: Any) -> Double:
        world = Double(*behaviours, clock=clock, **kwargs)
        servers.append(FaultServer(handler=world))
        spcli.use(servers[-1].url)
        return world

    yield start
    for server in servers:
        server.close()
        assert server.problems == []


def ledger(spcli: Front, what: str = "phase") -> list[Any]:
    """One column of this machine's ledger, in the order of the sends."""
    with sqlite3.connect(spcli.home / "state" / "state.db") as database:
        rows = database.execute(f"SELECT {what} FROM ledger ORDER BY id").fetchall()
    database.close()
    return [row[0] for row in rows]


def told(result: Result) -> tuple[Any, ...]:
    error = result.error
    return result.code, error["kind"], error["outcome"], error["retryable"]


class Shape(NamedTuple):
    """A failing answer. `says` is what the message must hold; `short` shapes need a call that is soon over."""

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
    return ("--timeout", "0.2s") if shape.short else ()


# Upload: no usable answer.


@unclear
def test_upload_that_arrived_without_an_answer_is_adopted_and_never_sent_again(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), stores=True)
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert len(world.writes) == 1
    assert (ledger(spcli), ledger(spcli, "upload_id")) == (["done"], [NEW])


@unclear
def test_upload_that_did_nothing_is_sent_once_more_after_proof(spcli: Front, double: Any, clock: FakeClock, shape: Shape) -> None:
    world = double(shape.make(), answer(201, {"uploadId": NEW}))
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert (sent.code, sent.json["confirmedBy"]) == (0, "response"), sent
    assert len(world.writes) == 2
    assert clock.seconds >= 119
    assert ledger(spcli) == ["absent", "done"]


@some_unclear
def test_second_unclear_upload_is_never_followed_by_a_third(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), shape.make())
    sent = spcli("upload", URL, "--json", *quick(shape))
    kind = (50, "http-5xx") if shape.name[0].isdigit() else (60, "network")
    assert told(sent) == (*kind, "refused", True), sent
    assert sent.out == ""
    assert len(world.writes) == 2
    assert ledger(spcli) == ["absent", "absent"]


@some_unclear
def test_upload_without_an_answer_and_without_a_list_is_61_and_remembered(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), reads=answer(500, {"message": "Internal server error"}))
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert sent.error["uploadId"] is None
    assert "run the same command again" in sent.error["hint"]
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


@pytest.mark.parametrize(
    "page",
    [
        {"files": [{"url": URL, "status": "pending"}]},
        {"files": ["a build"]},
        {"files": [{"_id": NEW, "status": "pending", "date": "2026-01-01T00:00:00Z"}]},
        {"id": SHOWROOM_OLD, "files": []},
    ],
    ids=["no id", "no object", "no url", "another project"],
)
def test_what_a_list_lacks_is_no_proof_where_it_cannot_be_read_whole(spcli: Front, double: Any, page: dict[str, Any]) -> None:
    world = double(rst_after_request())
    world.afterwards = answer(200, {"id": SHOWROOM.id, **page})
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    world.afterwards = None
    assert spcli("upload", URL, "--json", "--on-limit", "fail").code == 49


def test_build_of_the_same_file_on_another_projects_page_is_not_ours(spcli: Front, double: Any) -> None:
    world = double(rst_after_request())
    theirs = {"_id": NEW, "url": URL, "status": "pending", "date": "2026-01-01T00:00:00Z"}
    world.afterwards = answer(200, {"id": SHOWROOM_OLD, "files": [theirs]})
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert (sent.error["uploadId"], len(world.writes)) == (None, 1)


@pytest.mark.parametrize("missing", [{"url": URL, "status": "Approved"}, "a build"], ids=["no id", "no object"])
def test_build_that_was_missing_in_the_list_before_the_upload_is_not_taken_for_it(
    spcli: Front, double: Any, clock: FakeClock, missing: object
) -> None:
    there = {"_id": OLD, "url": URL, "status": "Approved", "date": "2026-01-01T00:00:00Z"}
    dated = {"Date": formatdate(clock.wall(), usegmt=True)}
    world = double(rst_after_request(), answer(201, {"uploadId": NEW}), reads=answer(200, {"files": [missing]}, dated))
    world.afterwards = answer(200, {"files": [there]}, dated)
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"]) == (0, NEW), sent
    assert len(world.writes) == 2


def test_without_baseline_and_list_an_unclear_upload_is_61_at_once(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(generation="status", faults=("upload:reset",))
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert len(uploads(server)) == 1
    assert clock.seconds <= 2.5


@pytest.mark.parametrize("words", [("--on-limit", "fail"), ("--max-wait", "30s")])
def test_unclear_upload_is_not_sent_again_where_waiting_is_not_wanted(
    spcli: Front, service: Any, clock: FakeClock, words: tuple[str, str]
) -> None:
    server = service(faults=("upload:reset",))
    sent = spcli("upload", URL, "--json", *words)
    assert told(sent) == (60, "network", "refused", True), sent
    assert sent.error["retryAfter"] > 0
    assert len(uploads(server)) == 1
    assert clock.seconds < 70


# Upload: accepted without an id.


@no_id
def test_accepted_upload_without_an_id_is_looked_up(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), stores=True)
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


@no_id
def test_accepted_upload_that_is_not_listed_is_61_and_never_sent_again(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make())
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    assert (ledger(spcli), ledger(spcli, "accepted")) == (["unclear"], [1])
    again = spcli("upload", URL, "--json")
    assert told(again) == (61, "unknown", "unknown", True), again
    assert len(world.writes) == 1


# Upload: the service's own 5xx.


def test_documented_5xx_that_did_nothing_is_sent_three_times_a_window_apart(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:500x*",))
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (50, "http-5xx", "refused", True), sent
    assert sent.error["message"] == "Internal server error"
    assert len(uploads(server)) == 3
    assert ledger(spcli) == ["absent"] * 3


def test_documented_5xx_is_settled_by_the_list(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:500-after-store",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["confirmedBy"]) == (0, "build-list"), sent
    assert len(uploads(server)) == 1


def test_documented_5xx_is_taken_at_its_word_where_there_is_no_list(spcli: Front, service: Any) -> None:
    server = service(generation="status", faults=("upload:500",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["confirmedBy"]) == (0, "response"), sent
    assert len(uploads(server)) == 2


def test_documented_5xx_is_final_where_waiting_for_the_next_window_is_forbidden(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:503",))
    sent = spcli("upload", URL, "--json", "--on-limit", "fail")
    assert told(sent) == (50, "http-5xx", "refused", True), sent
    assert len(uploads(server)) == 1


def test_5xx_and_then_an_unreachable_service_is_reported_as_refused(spcli: Front, double: Any) -> None:
    world = double(answer(500, {"message": "Internal server error"}), close_after_request(), close_after_request())
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (60, "network", "refused", True), sent
    assert len(world.writes) == 3


# Refused for good.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_never_followed(spcli: Front, double: Any, status: int) -> None:
    with FaultServer() as elsewhere:
        world = double(redirect(elsewhere.url, status))
        sent = spcli("upload", URL, "--json")
    assert told(sent) == (62, "protocol", "refused", False), sent
    assert len(world.writes) == 1
    assert elsewhere.connections == 0 or elsewhere.ledger == []
    assert ledger(spcli) == ["refused"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(400, 40, "http-400"), (401, 41, "http-401"), (403, 43, "http-403"), (404, 44, "http-404"), (415, 45, "http-415")],
)
@pytest.mark.parametrize("command", [("upload", URL), ("distribute", OLD)])
def test_refusal_is_final_and_in_the_ledger(
    spcli: Front, double: Any, command: tuple[str, str], status: int, code: int, kind: str
) -> None:
    world = double(answer(status, {"message": "No, thank you"}))
    sent = spcli(*command, "--json")
    assert told(sent) == (code, kind, "refused", False), sent
    assert (sent.error["message"], sent.error["status"]) == ("No, thank you", status)
    assert len(world.writes) == 1
    assert ledger(spcli) == ["refused"]


def test_truncated_refusal_counts_by_its_status(spcli: Front, double: Any) -> None:
    whole = response(401, b'{"message": "Unau', {"Content-Type": "application/json", "Content-Length": "100"})
    world = double(raw(whole))
    sent = spcli("upload", URL, "--json")
    assert told(sent) == (41, "http-401", "refused", False), sent
    assert len(world.writes) == 1


# Nothing left this machine.


@pytest.mark.parametrize("command", [("upload", URL), ("distribute", OLD)])
def test_unreachable_service_is_60_not_sent_and_costs_no_window(spcli: Front, clock: FakeClock, command: tuple[str, str]) -> None:
    with FaultServer() as gone:
        spcli.use(gone.url)
    sent = spcli(*command, "--json")
    assert told(sent) == (60, "network", "not_sent", True), sent
    limits = spcli("limits", "--json").json
    assert [one["secondsLeft"] for one in limits] == [0, 0]
    assert ledger(spcli) == ["unsent"]
    assert clock.seconds < 10


@pytest.mark.parametrize(("status", "code"), [(401, 41), (403, 43)])
def test_wrong_credentials_are_found_before_a_window_is_spent(spcli: Front, service: Any, status: int, code: int) -> None:
    server = service(faults=(f"project:{status}x*",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.error["outcome"], sent.error["retryable"]) == (code, "not_sent", False), sent
    assert uploads(server) == []


def test_unknown_project_is_found_before_a_window_is_spent(spcli: Front, service: Any) -> None:
    server = service()
    sent = spcli("upload", URL, "-p", "f" * 24, "--json")
    assert (sent.code, sent.error["outcome"]) == (44, "not_sent"), sent
    assert uploads(server) == []


# The list is read again right before each send.


def test_list_is_read_again_in_the_last_seconds_before_a_send(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service()
    spcli("upload", URL)
    spcli("upload", URL)
    second = uploads(server)[1]
    reads = [record.time for record in server.requests if record.method == "GET" and record.time <= second.time]
    assert second.time - reads[-1] <= 5


def change(spcli: Front, *statements: str) -> None:
    """Change this machine's state, as another process or a damaged disk would."""
    with sqlite3.connect(spcli.home / "state" / "state.db") as database:
        for statement in statements:
            database.execute(statement)
    database.close()


class Crowd(FakeClock):
    """Two others wait before us, and give up together while we sleep for the last time before the window opens."""

    def __init__(self) -> None:
        super().__init__()
        self.spcli: Front | None = None
        self.opens = 0.0

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.spcli is not None and self.seconds < self.opens:
            change(self.spcli, f"UPDATE waiters SET wall = {self.wall()}, mono = {self.mono()} WHERE ticket LIKE 'other%'")
        elif self.spcli is not None:
            change(self.spcli, "DELETE FROM waiters WHERE ticket LIKE 'other%'")


def test_list_is_read_again_before_a_send_that_comes_sooner_than_its_place_in_the_queue(spcli: Front, service: Any) -> None:
    crowd = spcli.clock = Crowd()
    server = service()
    server.now = crowd.wall
    assert spcli("upload", "https://builds.example.com/First.zip").code == 0
    (bucket,) = [row[0] for row in sqlite3.connect(spcli.home / "state" / "state.db").execute("SELECT bucket FROM windows")]
    now = f"{crowd.wall()}, {crowd.mono()}"
    change(spcli, *[f"INSERT INTO waiters (bucket, ticket, wall, mono) VALUES ('{bucket}', 'other{n}', {now})" for n in (1, 2)])
    crowd.spcli, crowd.opens = spcli, crowd.seconds + 120
    assert spcli("upload", URL).code == 0
    second = uploads(server)[1]
    reads = [record.time for record in server.requests if record.method == "GET" and record.time <= second.time]
    assert second.time - reads[-1] <= 5


def test_what_a_429_said_holds_though_the_state_does_not_know_of_it(spcli: Front, double: Any, clock: FakeClock) -> None:
    """As when the disk was full, or the database locked, at that very moment."""
    times: list[float] = []

    class Timed(Double):
        def __call__(self, request: Request) -> Behaviour:
            if request.method == "POST":
                times.append(clock.seconds)
            return super().__call__(request)

    world = double(answer(429, {"message": "Later."}, {"Retry-After": "300"}), answer(201, {"uploadId": NEW}))
    world.__class__ = Timed
    clock.meanwhile = lambda: change(spcli, "DELETE FROM windows")
    assert spcli("upload", URL).code == 0
    assert times[1] - times[0] > 299


def test_an_unclear_upload_is_remembered_though_its_row_is_gone(spcli: Front, double: Any, clock: FakeClock) -> None:
    """As when another process set the damaged file aside meanwhile."""
    world = double(rst_after_request(), blind=True)
    clock.meanwhile = lambda: change(spcli, "DELETE FROM ledger")
    assert spcli("upload", URL).code == 61
    assert ledger(spcli) == ["unclear"]
    assert spcli("upload", URL).code == 61
    assert len(world.writes) == 1


class StopsAt(FakeClock):
    """Ctrl-C at one reading of the wall clock, counted from the moment it is armed."""

    def __init__(self, reading: int) -> None:
        super().__init__()
        self.left: int | None = None
        self.reading = reading

    def wall(self) -> float:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Interrupted(130)
        return super().wall()


@pytest.mark.parametrize("reading", range(1, 12))
def test_what_is_told_to_have_happened_is_in_the_ledger_whenever_it_is_stopped(spcli: Front, double: Any, reading: int) -> None:
    clock = spcli.clock = StopsAt(reading)

    class Arming(Double):
        def __call__(self, request: Request) -> Behaviour:
            if request.method == "POST":
                clock.left = clock.reading
            return super().__call__(request)

    world = double(answer(201, {"uploadId": NEW}), stores=True)
    world.__class__ = Arming
    sent = spcli("upload", URL, "--json")
    clock.left = None
    assert (sent.code, ledger(spcli)) in ((0, ["done"]), (130, ["done"])), sent
    assert sent.code == 0 or (sent.error["outcome"], sent.error["uploadId"]) == ("done", NEW)


def test_late_build_that_appears_before_the_second_send_is_adopted(spcli: Front, double: Any) -> None:
    world = double(rst_after_request(), stores=True, lag=80)
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert len(world.writes) == 1
    assert (ledger(spcli), ledger(spcli, "upload_id")) == (["done"], [NEW])


def test_late_build_that_matches_but_for_the_query_stops_the_second_send(spcli: Front, double: Any) -> None:
    world = double(rst_after_request(), stores=True, lag=80)
    world.__class__ = Rewriting
    sent = spcli("upload", URL + "?sig=5ec4e7", "--json")
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert NEW in sent.error["hint"]
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


class Rewriting(Double):
    """A service that lists builds without the query of their URL."""

    def _list(self) -> Behaviour:
        self.stored_url = self.stored_url.partition("?")[0]
        return super()._list()


def test_another_jobs_build_does_not_end_an_upload_that_was_only_limited(spcli: Front, double: Any) -> None:
    """A 429 was certainly not processed: a build of the same file with another signature is somebody else's."""
    mine = "665a00000000000000000003"
    world = double(answer(429, {"message": "Rate limit exceeded."}), answer(201, {"uploadId": mine}), stores=True)
    world.__class__ = Rewriting
    sent = spcli("upload", URL + "?sig=5ec4e7", "--json")
    assert (sent.code, sent.json["uploadId"]) == (0, mine), sent
    assert len(world.writes) == 2


def test_answer_that_quotes_the_presigned_url_leaves_its_query_nowhere(spcli: Front, double: Any) -> None:
    presigned = URL + "?X-Amz-Signature=5ec4e7f00d&X-Amz-Date=20260101"
    double(answer(400, {"message": f"cannot fetch {presigned} with key {MAIN.api_key}: bad X-Amz-Signature=5ec4e7f00d"}))
    sent = spcli("upload", presigned, "--json", "-v")
    assert sent.code == 40
    assert URL in sent.error["message"]
    state = b"".join(path.read_bytes() for path in (spcli.home / "state").iterdir())
    assert "5ec4e7f00d" not in sent.out + sent.err
    assert b"5ec4e7f00d" not in state


@pytest.mark.parametrize("words", [("upload", URL), ("api", "POST", "/projects/upload-file", "-f", f"fileUrl={URL}")])
def test_a_message_that_names_the_user_is_shown_and_kept_without_the_name(
    spcli: Front, double: Any, words: tuple[str, ...]
) -> None:
    double(answer(403, {"message": f"Forbidden: user {MAIN.user_id} may not"}))
    sent = spcli(*words, "--json")
    assert sent.error["message"] == f"Forbidden: user {MAIN.user_id} may not"
    assert ledger(spcli, "message") == ["Forbidden: user **** may not"]
    assert MAIN.user_id.encode() not in b"".join(path.read_bytes() for path in (spcli.home / "state").iterdir())


def test_nothing_is_retryable_once_it_has_happened() -> None:
    kinds = [row.name for row in EXIT_CODES if row.code]
    assert [kind for kind in kinds if SpcliError(kind, "x", outcome="done", retryable=True).retryable] == []


# What is remembered.


@pytest.fixture
def remembered(spcli: Front, double: Any) -> Callable[..., Double]:
    """A run that ended in 61; its baseline could be read, and the list can be read again."""

    def run(*behaviours: Behaviour, command: tuple[str, ...] = ("upload", URL), **kwargs: Any) -> Double:
        world: Double = double(rst_after_request(), *behaviours, blind=True, **kwargs)
        sent = spcli(*command, "--json")
        assert told(sent) == (61, "unknown", "unknown", True), sent
        assert ledger(spcli) == ["unclear"]
        world.blind = False
        return world

    return run


def test_next_run_adopts_the_unclear_upload(spcli: Front, remembered: Any) -> None:
    world = remembered(stores=True)
    again = spcli("upload", URL, "--json")
    assert (again.code, again.json["uploadId"], again.json["confirmedBy"]) == (0, NEW, "build-list"), again
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


def test_next_run_with_another_signature_adopts_it_too(spcli: Front, remembered: Any) -> None:
    world = remembered(command=("upload", URL + "?sig=0ne111"), stores=True)
    again = spcli("upload", URL + "?sig=tw0222", "--json")
    assert (again.code, again.json["uploadId"]) == (0, NEW), again
    assert len(world.writes) == 1


@pytest.mark.parametrize("step", [0.0, 3600.0, -3600.0])
def test_next_run_gives_the_list_its_minute_though_the_wall_clock_was_set(
    spcli: Front, double: Any, clock: FakeClock, step: float
) -> None:
    def ctrl_c() -> None:
        raise Interrupted(130)

    world = double(rst_after_request(), stores=True, lag=40)
    clock.meanwhile = ctrl_c
    assert spcli("upload", URL, "--json").code == 61
    clock.stepped = step
    again = spcli("upload", URL, "--json")
    assert (again.code, again.json["uploadId"], again.json["confirmedBy"]) == (0, NEW, "build-list"), again
    assert len(world.writes) == 1


def test_next_run_sends_after_the_list_proved_that_nothing_was_created(spcli: Front, remembered: Any) -> None:
    world = remembered(answer(201, {"uploadId": NEW}), stores=False)
    again = spcli("upload", URL, "--json")
    assert (again.code, again.json["confirmedBy"]) == (0, "response"), again
    assert "did nothing" in again.err
    assert len(world.writes) == 2
    assert ledger(spcli) == ["absent", "done"]


def test_next_run_refuses_while_the_list_gives_no_answer(spcli: Front, remembered: Any) -> None:
    world = remembered(stores=True)
    world.blind = True
    again = spcli("upload", URL, "--json")
    assert told(again) == (61, "unknown", "unknown", True), again
    assert "earlier upload" in again.error["message"]
    assert "--force sends it all the same" in again.error["hint"]
    assert f"dashboard.streampixel.io/projectdetail/{SHOWROOM.id}" in again.error["hint"]
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


def test_force_sends_although_the_earlier_outcome_is_unknown_and_asks_no_more(spcli: Front, remembered: Any) -> None:
    world = remembered(*[answer(201, {"uploadId": f"665a0000000000000000001{n}"}) for n in range(2)], stores=True)
    world.blind = True
    assert spcli("upload", URL, "--force", "--json").code == 0
    assert spcli("upload", URL, "--json").code == 0
    assert len(world.writes) == 3
    assert ledger(spcli) == ["superseded", "done", "done"]


def test_upload_of_another_file_does_not_ask(spcli: Front, remembered: Any) -> None:
    world = remembered(answer(201, {"uploadId": NEW}), stores=False)
    world.blind = True
    assert spcli("upload", "https://builds.example.com/Other.zip", "--json").code == 0


def test_id_of_another_attempt_is_never_taken_for_ours(spcli: Front, remembered: Any) -> None:
    """The unclear upload did nothing; a forced one made the build that is listed."""
    world = remembered(answer(201, {"uploadId": NEW}), rst_after_request(), rst_after_request(), stores=False)
    world.stores = True
    assert spcli("upload", URL, "--force", "--json").code == 0
    third = spcli("upload", URL, "--json")
    assert told(third) == (60, "network", "refused", True), third
    assert ledger(spcli) == ["absent", "done", "absent", "absent"]


def test_build_that_appears_after_absence_was_proven_is_adopted_by_the_next_run(spcli: Front, double: Any) -> None:
    world = double(rst_after_request(), stores=True, lag=100)
    first = spcli("upload", URL, "--json", "--on-limit", "fail")
    assert told(first) == (60, "network", "refused", True), first
    spcli.clock.sleep(60)
    again = spcli("upload", URL, "--json")
    assert (again.code, again.json["uploadId"]) == (0, NEW), again
    assert len(world.writes) == 1


# Distribute.


@unclear
def test_release_without_an_answer_is_settled_by_the_builds_state(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), stores=True)
    sent = spcli("distribute", OLD, "--json", *quick(shape))
    assert (sent.code, sent.json["uploadId"]) == (0, OLD), sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


@some_unclear
def test_release_that_did_nothing_is_sent_once_more(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), answer(200, {"message": "Distribution triggered"}))
    sent = spcli("distribute", OLD, "--json", *quick(shape))
    assert (sent.code, sent.json["message"]) == (0, "Distribution triggered"), sent
    assert len(world.writes) == 2
    assert ledger(spcli) == ["absent", "done"]


@some_unclear
def test_release_without_an_answer_and_without_a_list_is_61(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), reads=answer(500, {"message": "Internal server error"}))
    sent = spcli("distribute", OLD, "--json", *quick(shape))
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


@no_id
def test_release_answered_2xx_is_never_sent_again(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), stores=True)
    sent = spcli("distribute", OLD, "--json", *quick(shape))
    assert sent.code == 0, sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


def test_login_page_in_place_of_a_release_is_not_taken_for_one(spcli: Front, double: Any) -> None:
    world = double(answer(200, HTML, PAGE))
    sent = spcli("distribute", OLD, "--json")
    assert told(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1


@pytest.mark.parametrize("success", [False, "false"])
def test_a_release_that_the_service_says_did_not_succeed_is_no_success(spcli: Front, double: Any, success: object) -> None:
    world = double(answer(200, {"success": success, "message": "Project disabled"}))
    sent = spcli("distribute", OLD, "--json")
    assert told(sent) == (62, "protocol", "refused", False), sent
    assert sent.error["message"] == "Project disabled"
    assert ledger(spcli) == ["refused"]
    assert len(world.writes) == 1


def test_release_answered_500_is_sent_three_times_and_refused(spcli: Front, service: Any) -> None:
    server = service(faults=("distribute:500x*",))
    build = spcli("builds", "--status", "approved", "-q").out.split()[0]
    sent = spcli("distribute", build, "--json")
    assert told(sent) == (50, "http-5xx", "refused", True), sent
    assert len(releases(server)) == 3


def test_next_release_of_a_build_that_is_being_distributed_is_adopted(spcli: Front, remembered: Any) -> None:
    world = remembered(command=("distribute", OLD), stores=True)
    again = spcli("distribute", OLD, "--json")
    assert (again.code, again.json["uploadId"]) == (0, OLD), again
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


def test_next_release_of_a_build_that_shows_nothing_is_sent(spcli: Front, remembered: Any) -> None:
    world = remembered(answer(200, {"message": "Distribution triggered"}), command=("distribute", OLD), stores=False)
    again = spcli("distribute", OLD, "--json")
    assert (again.code, again.json["message"]) == (0, "Distribution triggered"), again
    assert "harmless" in again.err
    assert len(world.writes) == 2
    assert ledger(spcli) == ["superseded", "done"]


# Reads.


@pytest.mark.parametrize("shape", [*UNCLEAR, *(one for one in NO_ID if one.name == "truncated")], ids=lambda shape: shape.name)
def test_read_that_fails_is_tried_five_times(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(reads=shape.make())
    found = spcli("projects", "list", "--json", *quick(shape))
    kind = (50, "http-5xx") if shape.name[0].isdigit() else (60, "network")
    assert told(found) == (*kind, None, True), found
    assert world.reads_made == 5


@pytest.mark.parametrize(
    "shape", [one for one in NO_ID if one.name in ("204", "200 empty", "html", "gzip", "huge body")], ids=lambda shape: shape.name
)
def test_read_that_is_not_the_documented_json_is_62_at_once(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(reads=shape.make())
    found = spcli("projects", "list", "--json")
    assert told(found) == (62, "protocol", None, False), found
    assert world.reads_made == 1
