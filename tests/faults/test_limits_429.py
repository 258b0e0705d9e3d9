"""A 429 although the spacing was kept: how long the window stays closed, for which processes, and what is printed."""

import contextlib
import sqlite3
from collections.abc import Callable
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from spcli.errors import Interrupted
from spcli.ratelimit.window import Rules, Wait
from spcli.sandbox.seeds import MAIN
from spcli.state.account import Account
from spcli.state.store import State
from tests.faultd import Behaviour, FaultServer, Request, answer, close_after_request, hang, rst_after_request
from tests.front import FakeClock, Front, Result, releases, sandbox, uploads

URL = "https://builds.example.com/Game-1.4.zip"
BUILD = "665a00000000000000000001"
SAYS = "Rate limit exceeded. Try again in 2 minutes."
BLOCKED = b"<html><head><title>Attention Required!</title></head><body>Sorry, you have been blocked</body></html>"
WINDOW = 120


def first_answered(spcli: Front, behaviour: Behaviour, *argv: str) -> Result:
    """Run a command whose first write gets this answer and whose later ones succeed."""
    writes: list[Request] = []

    def handler(request: Request) -> Behaviour:
        if request.method == "GET":
            build = {"_id": BUILD, "url": URL, "status": "Approved", "date": "2026-01-01T00:00:00Z"}
            return answer(200, {"files": [build]})
        writes.append(request)
        return behaviour if len(writes) == 1 else answer(201, {"uploadId": "665a00000000000000000002"})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url, window=WINDOW)
        return spcli(*argv, "--json")


def closed_for(spcli: Front, endpoint: str = "upload") -> float:
    return next(float(one["secondsLeft"]) for one in spcli("limits", "--json").json if one["endpoint"] == endpoint)


@pytest.mark.parametrize(
    ("hint", "seconds"),
    [
        (None, 120),
        ("30", 120),
        ("300", 300),
        (" 300 ", 300),
        ("99999", 6 * 3600),
        ("-1", 120),
        ("1.5", 120),
        ("nan", 120),
        ("٣٠٠", 120),
        ("", 120),
        ("later", 120),
        ("9" * 30, 120),
        ("DATE+400", 400),
        ("DATE-400", 120),
        ("DATE+999999", 6 * 3600),
    ],
)
def test_window_closes_for_the_longest_of_itself_and_retry_after(
    spcli: Front, clock: FakeClock, hint: str | None, seconds: float
) -> None:
    if hint is not None and hint.startswith("DATE"):
        hint = formatdate(clock.wall() + int(hint[4:]), usegmt=True)
    headers = [] if hint is None else [("Retry-After", hint.encode().decode("latin-1"))]
    headers.append(("Date", formatdate(clock.wall(), usegmt=True)))
    sent = first_answered(spcli, answer(429, {"message": "Rate limit exceeded."}, headers), "upload", URL, "--on-limit", "fail")
    assert (sent.code, sent.error["outcome"], sent.error["retryable"]) == (49, "refused", True), sent
    assert sent.error["retryAfter"] == pytest.approx(seconds, abs=1)
    assert closed_for(spcli) == pytest.approx(seconds, abs=1)


def test_largest_of_several_retry_after_headers_counts(spcli: Front) -> None:
    limited = answer(429, {"message": "No"}, [("Retry-After", "150"), ("Retry-After", "x"), ("Retry-After", "200")])
    sent = first_answered(spcli, limited, "upload", URL, "--on-limit", "fail")
    assert sent.error["retryAfter"] == 200


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Try again in 2 minutes.", 120),
        ("Try again in 47 seconds.", 120),
        ("Try again in 5 minutes.", 300),
        ("Retry after 400s", 400),
        ("wait 3 hours", 900),
        ("0 minutes", 120),
        ("come back later", 120),
        ("Error 5000 minutes99", 120),
        ("", 120),
    ],
)
def test_window_closes_as_long_as_the_message_says_up_to_15_minutes(spcli: Front, message: str, seconds: float) -> None:
    sent = first_answered(spcli, answer(429, {"message": message}), "upload", URL, "--on-limit", "fail")
    assert sent.code == 49
    assert sent.error["retryAfter"] == seconds


@pytest.mark.parametrize(("argv", "endpoint"), [(("upload", URL), "upload"), (("distribute", BUILD), "distribute")])
def test_error_shows_the_servers_message_first_and_then_when_to_retry(
    spcli: Front, clock: FakeClock, argv: tuple[str, str], endpoint: str
) -> None:
    sent = first_answered(spcli, answer(429, {"message": SAYS}), *argv, "--on-limit", "fail")
    assert (sent.code, sent.error["kind"], sent.error["status"], sent.out) == (49, "rate-limited", 429, "")
    assert sent.error["message"] == SAYS
    assert sent.err.startswith(SAYS + "\n")
    assert "try again at " in sent.error["hint"]
    assert "another client probably uses this account" in sent.error["hint"]
    assert closed_for(spcli, endpoint) == WINDOW


def test_upload_is_sent_three_times_a_window_apart_before_it_ends_with_49(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(faults=("upload:429x*",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.error["outcome"], sent.error["retryable"]) == (49, "refused", True), sent
    assert sent.error["message"] == server.world.limit_message()
    times = [record.time for record in uploads(server)]
    assert len(times) == 3
    assert all(later - earlier >= WINDOW for earlier, later in pairwise(times))
    assert sent.error["retryAfter"] == pytest.approx(WINDOW, abs=1)


def test_release_is_sent_at_most_three_times(spcli: Front, service: Any) -> None:
    server = service(faults=("distribute:429x*",))
    build = spcli("builds", "--status", "approved", "-q").out.split()[0]
    assert spcli("distribute", build, "--json").code == 49
    assert len(releases(server)) == 3


def test_limited_upload_succeeds_at_the_next_window(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:429",))
    sent = spcli("upload", URL, "--json")
    assert sent.code == 0, sent
    assert server.world.limit_message() in sent.err
    assert len(uploads(server)) == 2


@pytest.mark.parametrize("chance", [0.0, 0.999])
def test_second_429_adds_a_random_pause(spcli: Front, service: Any, clock: FakeClock, chance: float) -> None:
    server = service(faults=("upload:429x2",))
    clock.chances = chance
    assert spcli("upload", URL, "--json", "--max-wait", "1h").code == 0
    first, second, third = (record.time for record in uploads(server))
    assert second - first == pytest.approx(WINDOW, abs=2)
    assert third - second == pytest.approx(WINDOW * (1 + chance / 4), abs=2)


def test_third_send_is_not_announced_if_max_wait_ends_before_it(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(faults=("upload:429x*",))
    clock.chances = 0.999
    sent = spcli("upload", URL, "--json", "--max-wait", f"{WINDOW * 2 + 10}s")
    assert (sent.code, sent.error["outcome"], len(uploads(server))) == (49, "refused", 2), sent
    assert sent.error["retryAfter"] == pytest.approx(WINDOW * 1.25, abs=1)
    assert "(attempt 3)" not in sent.err


class Rival(FakeClock):
    """A clock during whose sleeps another, later process asks for its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.asks: Callable[[], object] | None = None
        self.heard: list[object] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.asks is not None:
            self.heard.append(self.asks())


def test_run_keeps_its_place_in_the_queue_after_a_429(tmp_path: Path) -> None:
    clock = Rival()
    spcli = Front(tmp_path, clock)
    came, asks = (State(tmp_path / "state", clock=clock, environ={}, note=lambda _text: None) for _ in range(2))

    def handler(request: Request) -> Behaviour:
        if request.method == "GET":
            return answer(200, {"files": []})
        if clock.asks is None:
            key = Account(server.url, MAIN.user_id).bucket("upload")
            ticket = came.windows.enqueue(key)
            came.close()
            clock.asks = lambda: asks.windows.poll(key, ticket, rules=Rules(WINDOW, 60))[0]
            return answer(429, {"message": SAYS})
        clock.asks = None
        return answer(201, {"uploadId": BUILD})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url, window=WINDOW)
        sent = spcli("upload", URL)
    asks.close()
    assert sent.code == 0, sent
    assert clock.heard
    assert all(isinstance(turn, Wait) and turn.position == 1 for turn in clock.heard), clock.heard


@pytest.mark.parametrize(
    ("behaviour", "code"), [(answer(429, {"message": SAYS}), 49), (rst_after_request(), 60)], ids=["limited", "reset"]
)
def test_state_that_fails_after_the_first_send_prevents_a_second_one(spcli: Front, behaviour: Behaviour, code: int) -> None:
    writes: list[Request] = []

    def handler(request: Request) -> Behaviour:
        if request.method == "GET":
            return answer(200, {"files": []})
        writes.append(request)
        refuse_changes(spcli.home / "state" / "state.db")
        return behaviour

    with FaultServer(handler=handler) as server:
        spcli.use(server.url, window=WINDOW)
        sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.error["outcome"], sent.error["retryable"], len(writes)) == (code, "refused", True, 1), sent
    assert sent.err.count("retrying when the rate limit allows") == 1
    assert sent.err.count("reading the build list") == (code == 60)


def refuse_changes(path: Path) -> None:
    """Let every change of the state fail from now on, as on a full disk."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for table in ("windows", "waiters", "ledger"):
            for change in ("INSERT", "UPDATE", "DELETE"):
                trigger = f"CREATE TRIGGER no_{table}_{change} BEFORE {change} ON {table}"
                database.execute(f"{trigger} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END")


class Impatient(FakeClock):
    """A clock that raises Ctrl-C once so many seconds have passed."""

    until = 1.5 * WINDOW

    def sleep(self, seconds: float) -> None:
        if self.seconds >= self.until:
            raise Interrupted(130)
        super().sleep(seconds)


def test_ctrl_c_in_the_pause_after_a_second_429_is_reported_as_refused(tmp_path: Path) -> None:
    clock = Impatient()
    with sandbox(clock, faults=("upload:429x*",)) as server:
        spcli = Front(tmp_path, clock)
        spcli.use(server.base_url, window=WINDOW)
        stopped = spcli("upload", URL, "--json")
    assert (stopped.code, stopped.error["kind"], stopped.error["outcome"]) == (130, "interrupted", "refused"), stopped
    assert len(uploads(server)) == 2


def test_429_closes_the_window_for_other_runs_too(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(faults=("upload:429",))
    assert spcli("upload", URL, "--on-limit", "fail").code == 49
    other = spcli("upload", "https://builds.example.com/Other.zip", "--on-limit", "fail", "--json")
    assert (other.code, other.error["outcome"], other.error["retryable"]) == (49, "not_sent", True), other
    assert len(uploads(server)) == 1
    assert spcli("upload", "https://builds.example.com/Other.zip").code == 0


def test_wait_longer_than_max_wait_is_49_at_once(spcli: Front, clock: FakeClock) -> None:
    limited = answer(429, {"message": SAYS}, {"Retry-After": "3600"})
    sent = first_answered(spcli, limited, "upload", URL)
    assert (sent.code, sent.error["message"], sent.error["retryAfter"]) == (49, SAYS, 3600), sent
    assert clock.seconds < 5


def test_max_wait_is_shared_by_all_waits_of_a_command(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(faults=("upload:429x*",))
    spcli("limits")
    sent = spcli("upload", URL, "--max-wait", "150s", "--json")
    assert (sent.code, sent.error["outcome"]) == (49, "refused"), sent
    assert len(uploads(server)) == 2
    assert clock.seconds <= 151


def test_wait_that_exactly_fits_max_wait_is_not_cut_short(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service()
    # From here on the sum of the single waits is rounded upwards.
    clock.seconds = 11.13
    assert spcli("upload", URL).code == 0
    assert spcli("upload", URL, "--max-wait", "120s").code == 0
    assert len(uploads(server)) == 2


def test_timeout_of_a_call_does_not_bound_the_wait_for_the_window(spcli: Front, service: Any) -> None:
    service()
    assert spcli("upload", URL).code == 0
    assert spcli("upload", URL, "--timeout", "5s").code == 0


@pytest.mark.parametrize("status", [403, 429, 503])
def test_block_page_closes_the_window_for_15_minutes(spcli: Front, clock: FakeClock, status: int) -> None:
    blocked = answer(status, BLOCKED, {"Content-Type": "text/html"})
    sent = first_answered(spcli, blocked, "upload", URL)
    assert sent.code == {403: 43, 429: 49, 503: 50}[status], sent
    assert (sent.error["outcome"], sent.error["retryable"], sent.error["status"]) == ("refused", status != 403, status)
    assert "Attention Required!" in sent.error["message"]
    assert "<" not in sent.error["message"]
    # A 503 is followed by a minute of reading the list: what stood behind the edge may have had the upload.
    assert closed_for(spcli) == pytest.approx(900 - clock.seconds, abs=3)
    assert sent.error["retryAfter"] == pytest.approx(900 - clock.seconds, abs=3)


@pytest.mark.parametrize("status", [403, 503])
def test_refusal_by_the_service_itself_is_not_a_block(spcli: Front, status: int) -> None:
    sent = first_answered(spcli, answer(status, {"message": "No"}), "upload", URL, "--on-limit", "fail")
    assert sent.code == (43 if status == 403 else 50), sent
    assert closed_for(spcli) <= WINDOW


@pytest.mark.parametrize("body", [b"", b"slow down", BLOCKED])
def test_429_with_retry_after_is_believed_with_any_body(spcli: Front, body: bytes) -> None:
    limited = answer(429, body, {"Retry-After": "200"})
    assert first_answered(spcli, limited, "upload", URL, "--on-limit", "fail").code == 49
    assert closed_for(spcli) == pytest.approx(200, abs=1)


@pytest.mark.parametrize("body", [b"", b"slow down", b'{"error": "limited"}', b"[]"])
@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_429_without_a_page_is_not_a_block(spcli: Front, body: bytes, kind: str) -> None:
    if (body, kind) == (b"slow down", "text/html"):
        pytest.skip("a page, as it says itself")
    limited = answer(429, body, {"Content-Type": kind})
    assert first_answered(spcli, limited, "upload", URL, "--on-limit", "fail").code == 49
    assert closed_for(spcli) == pytest.approx(WINDOW, abs=1)


def test_plain_error_line_of_a_proxy_is_a_block(spcli: Front) -> None:
    limited = answer(429, b"error code: 1015", {"Content-Type": "text/plain; charset=UTF-8"})
    assert first_answered(spcli, limited, "upload", URL, "--on-limit", "fail").code == 49
    assert closed_for(spcli) == pytest.approx(900, abs=1)


def test_403_page_exits_43_and_names_what_may_block(spcli: Front) -> None:
    sent = first_answered(spcli, answer(403, BLOCKED, {"Content-Type": "text/html"}), "distribute", BUILD)
    assert (sent.code, sent.error["kind"], sent.error["retryable"]) == (43, "http-403", False)
    assert "may be blocking you" in sent.error["hint"]
    assert closed_for(spcli, "distribute") == pytest.approx(900, abs=3)


@pytest.mark.parametrize(
    ("behaviour", "seconds"),
    [(close_after_request(), WINDOW), (rst_after_request(), WINDOW), (hang(), WINDOW + 1)],
    ids=["closed", "reset", "hang"],
)
def test_call_that_the_server_ended_closes_only_one_window(spcli: Front, behaviour: Behaviour, seconds: float) -> None:
    """A call without an answer may still arrive: its time and the margin stay committed."""
    sent = first_answered(spcli, behaviour, "upload", URL, "--timeout", "1s", "--on-limit", "fail")
    assert (sent.code, sent.error["outcome"]) == (60, "refused"), sent
    # A minute of the test's clock went by while the list was read.
    assert closed_for(spcli) == pytest.approx(seconds - spcli.clock.seconds, abs=0.5)
