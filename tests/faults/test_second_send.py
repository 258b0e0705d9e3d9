"""Between two sends of a command: the list is read again, and what is known is kept."""

import sqlite3
from typing import Any

import pytest

from spcli.errors import EXIT_CODES, Interrupted, SpcliError
from spcli.sandbox.seeds import MAIN
from tests.faultd import Behaviour, Request, answer, rst_after_request
from tests.faults.doubles import NEW, URL, Double, FlowingClock, Rewriting, failure, ledger
from tests.front import FakeClock, Front, uploads


@pytest.fixture
def clock() -> FakeClock:
    return FlowingClock()


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


def test_429_is_obeyed_although_the_state_could_not_record_it(spcli: Front, double: Any, clock: FakeClock) -> None:
    """The disk is full, or the database locked, at that moment."""
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


def test_unclear_upload_is_remembered_although_its_row_is_gone(spcli: Front, double: Any, clock: FakeClock) -> None:
    """Another process has set the damaged file aside meanwhile."""
    world = double(rst_after_request(), blind=True)
    clock.meanwhile = lambda: change(spcli, "DELETE FROM ledger")
    assert spcli("upload", URL).code == 61
    assert ledger(spcli) == ["unclear"]
    assert spcli("upload", URL).code == 61
    assert len(world.writes) == 1


class StopsAt(FakeClock):
    """A clock that raises Ctrl-C at one reading of its wall time, counted from when it is armed."""

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
def test_upload_reported_as_done_is_in_the_history_whenever_it_is_stopped(spcli: Front, double: Any, reading: int) -> None:
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


def test_late_build_with_another_query_stops_the_second_send(spcli: Front, double: Any) -> None:
    world = double(rst_after_request(), stores=True, lag=80)
    world.__class__ = Rewriting
    sent = spcli("upload", URL + "?sig=5ec4e7", "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert NEW in sent.error["hint"]
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


def test_another_jobs_build_does_not_end_an_upload_that_was_only_limited(spcli: Front, double: Any) -> None:
    """A 429 was not processed, so a build of the same file with another signature belongs to another job."""
    mine = "665a00000000000000000003"
    world = double(answer(429, {"message": "Rate limit exceeded."}), answer(201, {"uploadId": mine}), stores=True)
    world.__class__ = Rewriting
    sent = spcli("upload", URL + "?sig=5ec4e7", "--json")
    assert (sent.code, sent.json["uploadId"]) == (0, mine), sent
    assert len(world.writes) == 2


def test_query_of_a_presigned_url_in_an_answer_is_redacted_everywhere(spcli: Front, double: Any) -> None:
    presigned = URL + "?X-Amz-Signature=5ec4e7f00d&X-Amz-Date=20260101"
    double(answer(400, {"message": f"cannot fetch {presigned} with key {MAIN.api_key}: bad X-Amz-Signature=5ec4e7f00d"}))
    sent = spcli("upload", presigned, "--json", "-v")
    assert sent.code == 40
    assert URL in sent.error["message"]
    state = b"".join(path.read_bytes() for path in (spcli.home / "state").iterdir())
    assert "5ec4e7f00d" not in sent.out + sent.err
    assert b"5ec4e7f00d" not in state


@pytest.mark.parametrize("words", [("upload", URL), ("api", "POST", "/projects/upload-file", "-f", f"fileUrl={URL}")])
def test_user_id_in_a_message_is_shown_but_not_stored(spcli: Front, double: Any, words: tuple[str, ...]) -> None:
    double(answer(403, {"message": f"Forbidden: user {MAIN.user_id} may not"}))
    sent = spcli(*words, "--json")
    assert sent.error["message"] == f"Forbidden: user {MAIN.user_id} may not"
    assert ledger(spcli, "message") == ["Forbidden: user **** may not"]
    assert MAIN.user_id.encode() not in b"".join(path.read_bytes() for path in (spcli.home / "state").iterdir())


def test_error_of_a_write_that_happened_is_never_retryable() -> None:
    kinds = [row.name for row in EXIT_CODES if row.code]
    assert [kind for kind in kinds if SpcliError(kind, "x", outcome="done", retryable=True).retryable] == []
