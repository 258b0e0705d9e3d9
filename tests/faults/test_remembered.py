"""The run after one whose outcome is unknown: it adopts, sends again or refuses."""

from typing import Any

import pytest

from spcli.errors import Interrupted
from spcli.sandbox.seeds import SHOWROOM
from tests.faultd import answer, rst_after_request
from tests.faults.doubles import NEW, OLD, URL, FlowingClock, failure, ledger
from tests.front import FakeClock, Front


@pytest.fixture
def clock() -> FakeClock:
    return FlowingClock()


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
def test_next_run_waits_a_minute_for_the_list_after_a_clock_step(
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


def test_next_run_refuses_while_the_list_is_unreadable(spcli: Front, remembered: Any) -> None:
    world = remembered(stores=True)
    world.blind = True
    again = spcli("upload", URL, "--json")
    assert failure(again) == (61, "unknown", "unknown", True), again
    assert "earlier upload" in again.error["message"]
    assert "add --force" in again.error["hint"]
    assert f"dashboard.streampixel.io/projectdetail/{SHOWROOM.id}" in again.error["hint"]
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


def test_force_sends_and_forgets_the_unknown_earlier_upload(spcli: Front, remembered: Any) -> None:
    world = remembered(*[answer(201, {"uploadId": f"665a0000000000000000001{n}"}) for n in range(2)], stores=True)
    world.blind = True
    assert spcli("upload", URL, "--force", "--json").code == 0
    assert spcli("upload", URL, "--json").code == 0
    assert len(world.writes) == 3
    assert ledger(spcli) == ["superseded", "done", "done"]


def test_upload_of_another_file_ignores_the_unclear_one(spcli: Front, remembered: Any) -> None:
    world = remembered(answer(201, {"uploadId": NEW}), stores=False)
    world.blind = True
    assert spcli("upload", "https://builds.example.com/Other.zip", "--json").code == 0


def test_id_of_another_attempt_is_never_adopted(spcli: Front, remembered: Any) -> None:
    """The unclear upload did nothing; a forced one made the listed build."""
    world = remembered(answer(201, {"uploadId": NEW}), rst_after_request(), rst_after_request(), stores=False)
    world.stores = True
    assert spcli("upload", URL, "--force", "--json").code == 0
    third = spcli("upload", URL, "--json")
    assert failure(third) == (60, "network", "refused", True), third
    assert ledger(spcli) == ["absent", "done", "absent", "absent"]


def test_next_run_adopts_a_build_that_appears_after_absence_was_proved(spcli: Front, double: Any) -> None:
    world = double(rst_after_request(), stores=True, lag=100)
    first = spcli("upload", URL, "--json", "--on-limit", "fail")
    assert failure(first) == (60, "network", "refused", True), first
    spcli.clock.sleep(60)
    again = spcli("upload", URL, "--json")
    assert (again.code, again.json["uploadId"]) == (0, NEW), again
    assert len(world.writes) == 1


def test_next_release_of_a_build_that_is_being_distributed_is_adopted(spcli: Front, remembered: Any) -> None:
    world = remembered(command=("distribute", OLD), stores=True)
    again = spcli("distribute", OLD, "--json")
    assert (again.code, again.json["uploadId"]) == (0, OLD), again
    assert len(world.writes) == 1
    assert ledger(spcli) == ["done"]


def test_next_release_is_sent_if_the_build_has_not_changed(spcli: Front, remembered: Any) -> None:
    world = remembered(answer(200, {"message": "Distribution triggered"}), command=("distribute", OLD), stores=False)
    again = spcli("distribute", OLD, "--json")
    assert (again.code, again.json["message"]) == (0, "Distribution triggered"), again
    assert "harmless" in again.err
    assert len(world.writes) == 2
    assert ledger(spcli) == ["superseded", "done"]
