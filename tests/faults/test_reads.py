"""Reads are retried: how often, how long, with which pauses, and what is printed."""

from typing import Any

import pytest

from tests.faultd import Behaviour, FaultServer, Peer, Request, answer, close_after_request, response, rst_after_request
from tests.front import FakeClock, Front, Result

PROJECTS = {"projects": [], "page": 1, "totalPages": 1}
BUSY = {"message": "The server is busy"}


def reads(spcli: Front, *behaviours: Behaviour, argv: tuple[str, ...] = ("projects", "list")) -> tuple[Result, FaultServer]:
    with FaultServer(behaviours) as server:
        spcli.use(server.url)
        result = spcli(*argv, "--json")
    return result, server


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 599])
def test_read_is_tried_five_times_and_shows_the_servers_message(spcli: Front, clock: FakeClock, status: int) -> None:
    failed, server = reads(spcli, *[answer(status, BUSY)] * 5)
    assert failed.code == (49 if status == 429 else 50), failed
    assert (failed.error["message"], failed.error["status"], failed.error["retryable"]) == (BUSY["message"], status, True)
    assert failed.error["outcome"] is None
    assert len(server.ledger) == 5
    assert clock.slept == [0.5, 1, 2, 4]


@pytest.mark.parametrize("lost", [close_after_request, rst_after_request])
def test_lost_connection_is_retried_like_a_500(spcli: Front, lost: Any) -> None:
    found, server = reads(spcli, lost(), answer(500, BUSY), lost(), lost(), answer(200, PROJECTS))
    assert (found.code, found.json) == (0, []), found
    assert len(server.ledger) == 5


@pytest.mark.parametrize("status", [400, 401, 403, 409, 415, 422])
def test_other_refusals_are_final(spcli: Front, status: int) -> None:
    failed, server = reads(spcli, answer(status, {"message": "No"}), argv=("projects", "stats"))
    assert failed.error["status"] == status
    paths = [request.path for request in server.ledger]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(("chance", "pauses"), [(0.0, [0, 0, 0, 0]), (0.999, [0.999, 1.998, 3.996, 7.992])])
def test_pause_has_full_jitter_over_1_2_4_8_seconds(spcli: Front, clock: FakeClock, chance: float, pauses: list[float]) -> None:
    clock.chances = chance
    reads(spcli, *[answer(500, BUSY)] * 5)
    assert clock.slept == pytest.approx(pauses)


def test_retry_after_lengthens_the_pause(spcli: Front, clock: FakeClock) -> None:
    found, _ = reads(spcli, answer(503, BUSY, {"Retry-After": "7"}), answer(200, PROJECTS))
    assert found.code == 0
    assert clock.slept == [7]


def test_retry_after_never_shortens_it(spcli: Front, clock: FakeClock) -> None:
    reads(spcli, *[answer(500, BUSY)] * 3, answer(500, BUSY, {"Retry-After": "0"}), answer(200, PROJECTS))
    assert clock.slept[-1] == 4


@pytest.mark.parametrize("hint", ["-5", "1.5", "soon", "", "1e3", "nan", "9" * 40, "Thu, 99 Foo 2026", "\xff"])
def test_malformed_retry_after_is_ignored(spcli: Front, clock: FakeClock, hint: str) -> None:
    found, _ = reads(spcli, answer(503, BUSY, {"Retry-After": hint}), answer(200, PROJECTS))
    assert found.code == 0, found
    assert clock.slept == [0.5]


def test_retry_after_beyond_45_seconds_ends_it_at_once(spcli: Front, clock: FakeClock) -> None:
    failed, server = reads(spcli, answer(503, BUSY, {"Retry-After": "46"}))
    assert (failed.code, failed.error["message"], failed.error["retryAfter"]) == (50, BUSY["message"], 46)
    assert clock.slept == []
    assert len(server.ledger) == 1


def test_all_attempts_together_take_45_seconds_at_most(spcli: Front, clock: FakeClock) -> None:
    failed, server = reads(spcli, *[answer(503, BUSY, {"Retry-After": "20"})] * 3)
    assert failed.code == 50
    assert len(server.ledger) == 3
    assert sum(clock.slept) == 40


def test_last_attempt_has_only_what_is_left_of_the_45_seconds(spcli: Front, clock: FakeClock) -> None:
    times: list[float] = []
    whole = response(200, PROJECTS)

    def in_two_parts(peer: Peer, _request: Request | None) -> bool:
        clock.seconds += 10
        peer.send(whole[:-5])
        peer.stop.wait(0.1)
        peer.send(whole[-5:])
        return False

    def handler(_request: Request) -> Behaviour:
        times.append(clock.seconds)
        if len(times) == 3:
            return Behaviour("in two parts", in_two_parts)
        clock.seconds += 19
        return close_after_request()

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        failed = spcli("projects", "list", "--json")
    assert (failed.code, len(times)) == (60, 3), failed


def test_last_message_of_the_service_is_shown_if_the_last_attempt_got_no_answer(spcli: Front) -> None:
    failed, _ = reads(spcli, *[answer(500, BUSY)] * 4, close_after_request())
    assert (failed.code, failed.error["kind"], failed.error["retryable"]) == (60, "network", True)
    assert BUSY["message"] in failed.error["hint"]


def test_verbose_prints_each_retry(spcli: Front) -> None:
    failed, _ = reads(spcli, *[answer(500, BUSY)] * 5, argv=("projects", "list", "-v"))
    assert [line for line in failed.err.splitlines() if "retrying in" in line] == [
        f"GET /projects: {BUSY['message']}; retrying in {pause} s" for pause in ("0.5", "1.0", "2.0", "4.0")
    ]


def test_without_verbose_the_retries_are_silent(spcli: Front) -> None:
    found, _ = reads(spcli, answer(500, BUSY), answer(200, PROJECTS))
    assert found.code == 0
    assert "retrying in" not in found.err


def test_unreachable_host_gets_the_quick_retries_only(spcli: Front, clock: FakeClock) -> None:
    with FaultServer() as gone:
        spcli.use(gone.url)
    failed = spcli("projects", "list", "--json")
    assert (failed.code, failed.error["kind"], failed.error["retryable"]) == (60, "network", True)
    assert clock.slept == [0.3, 1.0]


def test_polling_pauses_double_after_three_failures_and_end_at_the_deadline(spcli: Front, service: Any, clock: FakeClock) -> None:
    service()
    upload_id = spcli("upload", "https://builds.example.com/Game.zip", "-q").out.strip()
    server = service(faults=("project:500x*",))
    before = clock.seconds
    ended = spcli("builds", "wait", upload_id, "--deadline", "30m", "--json")
    assert (ended.code, ended.error["kind"], ended.error["outcome"]) == (11, "deadline", None), ended
    assert clock.seconds - before == pytest.approx(1800, abs=60)
    # 60 polls of 30 s each would be five times as many reads.
    assert len(server.requests) < 150
