"""Every way a release can fail: exit code, outcome, requests that arrived, the ledger."""

from typing import Any

import pytest

from tests.faultd import answer
from tests.faults.doubles import HTML, OLD, PAGE, FlowingClock, Shape, failure, ledger, no_id, quick, some_unclear, unclear
from tests.front import FakeClock, Front, releases


@pytest.fixture
def clock() -> FakeClock:
    return FlowingClock()


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
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


@no_id
def test_release_answered_2xx_is_never_sent_again(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), stores=True)
    sent = spcli("distribute", OLD, "--json", *quick(shape))
    assert sent.code == 0, sent
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


def test_login_page_is_not_accepted_as_a_release(spcli: Front, double: Any) -> None:
    world = double(answer(200, HTML, PAGE))
    sent = spcli("distribute", OLD, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1


@pytest.mark.parametrize("success", [False, "false"])
def test_release_with_success_false_is_refused(spcli: Front, double: Any, success: object) -> None:
    world = double(answer(200, {"success": success, "message": "Project disabled"}))
    sent = spcli("distribute", OLD, "--json")
    assert failure(sent) == (62, "protocol", "refused", False), sent
    assert sent.error["message"] == "Project disabled"
    assert ledger(spcli) == ["refused"]
    assert len(world.writes) == 1


def test_release_answered_500_is_sent_three_times_and_refused(spcli: Front, service: Any) -> None:
    server = service(faults=("distribute:500x*",))
    build = spcli("builds", "--status", "approved", "-q").out.split()[0]
    sent = spcli("distribute", build, "--json")
    assert failure(sent) == (50, "http-5xx", "refused", True), sent
    assert len(releases(server)) == 3
