"""Every way a call can fail, for an upload and a read: exit code, outcome, requests that arrived, the ledger."""

from email.utils import formatdate
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM, SHOWROOM_OLD
from tests.faultd import FaultServer, answer, close_after_request, raw, redirect, response, rst_after_request
from tests.faults.doubles import (
    NEW,
    NO_ID,
    OLD,
    UNCLEAR,
    URL,
    FlowingClock,
    Shape,
    failure,
    ledger,
    no_id,
    quick,
    some_unclear,
    unclear,
)
from tests.front import FakeClock, Front, uploads


@pytest.fixture
def clock() -> FakeClock:
    return FlowingClock()


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
    assert failure(sent) == (*kind, "refused", True), sent
    assert sent.out == ""
    assert len(world.writes) == 2
    assert ledger(spcli) == ["absent", "absent"]


@some_unclear
def test_upload_without_an_answer_and_without_a_list_is_61_and_remembered(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(shape.make(), reads=answer(500, {"message": "Internal server error"}))
    sent = spcli("upload", URL, "--json", *quick(shape))
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert sent.error["uploadId"] is None
    assert "Run the same command again" in sent.error["hint"]
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
def test_list_that_is_not_readable_as_a_whole_proves_no_absence(spcli: Front, double: Any, page: dict[str, Any]) -> None:
    world = double(rst_after_request())
    world.afterwards = answer(200, {"id": SHOWROOM.id, **page})
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    world.afterwards = None
    assert spcli("upload", URL, "--json", "--on-limit", "fail").code == 49


def test_build_of_the_same_file_on_another_projects_page_is_not_ours(spcli: Front, double: Any) -> None:
    world = double(rst_after_request())
    theirs = {"_id": NEW, "url": URL, "status": "pending", "date": "2026-01-01T00:00:00Z"}
    world.afterwards = answer(200, {"id": SHOWROOM_OLD, "files": [theirs]})
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert (sent.error["uploadId"], len(world.writes)) == (None, 1)


@pytest.mark.parametrize("missing", [{"url": URL, "status": "Approved"}, "a build"], ids=["no id", "no object"])
def test_build_that_an_incomplete_baseline_lacked_is_not_adopted(
    spcli: Front, double: Any, clock: FakeClock, missing: object
) -> None:
    there = {"_id": OLD, "url": URL, "status": "Approved", "date": "2026-01-01T00:00:00Z"}
    dated = {"Date": formatdate(clock.wall(), usegmt=True)}
    world = double(rst_after_request(), answer(201, {"uploadId": NEW}), reads=answer(200, {"files": [missing]}, dated))
    world.afterwards = answer(200, {"files": [there]}, dated)
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1


def test_without_baseline_and_list_an_unclear_upload_is_61_at_once(spcli: Front, service: Any, clock: FakeClock) -> None:
    server = service(generation="status", faults=("upload:reset",))
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(uploads(server)) == 1
    assert clock.seconds <= 2.5


@pytest.mark.parametrize("words", [("--on-limit", "fail"), ("--max-wait", "30s")])
def test_unclear_upload_is_not_sent_again_where_waiting_is_not_wanted(
    spcli: Front, service: Any, clock: FakeClock, words: tuple[str, str]
) -> None:
    server = service(faults=("upload:reset",))
    sent = spcli("upload", URL, "--json", *words)
    assert failure(sent) == (60, "network", "refused", True), sent
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
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1
    assert (ledger(spcli), ledger(spcli, "accepted")) == (["unclear"], [1])
    again = spcli("upload", URL, "--json")
    assert failure(again) == (61, "unknown", "unknown", True), again
    assert len(world.writes) == 1


# Upload: the service's own 5xx.


def test_documented_5xx_that_did_nothing_is_sent_three_times_a_window_apart(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:500x*",))
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (50, "http-5xx", "refused", True), sent
    assert sent.error["message"] == "Internal server error"
    assert len(uploads(server)) == 3
    assert ledger(spcli) == ["absent"] * 3


def test_documented_5xx_is_settled_by_the_list(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:500-after-store",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["confirmedBy"]) == (0, "build-list"), sent
    assert len(uploads(server)) == 1


def test_documented_5xx_is_believed_where_there_is_no_list(spcli: Front, service: Any) -> None:
    server = service(generation="status", faults=("upload:500",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["confirmedBy"]) == (0, "response"), sent
    assert len(uploads(server)) == 2


def test_documented_5xx_is_final_where_waiting_for_the_next_window_is_forbidden(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:503",))
    sent = spcli("upload", URL, "--json", "--on-limit", "fail")
    assert failure(sent) == (50, "http-5xx", "refused", True), sent
    assert len(uploads(server)) == 1


def test_5xx_and_then_an_unreachable_service_is_reported_as_refused(spcli: Front, double: Any) -> None:
    world = double(answer(500, {"message": "Internal server error"}), close_after_request(), close_after_request())
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (60, "network", "refused", True), sent
    assert len(world.writes) == 3


# Refused for good.


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_never_followed(spcli: Front, double: Any, status: int) -> None:
    with FaultServer() as elsewhere:
        world = double(redirect(elsewhere.url, status))
        sent = spcli("upload", URL, "--json")
    assert failure(sent) == (62, "protocol", "refused", False), sent
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
    assert failure(sent) == (code, kind, "refused", False), sent
    assert (sent.error["message"], sent.error["status"]) == ("No, thank you", status)
    assert len(world.writes) == 1
    assert ledger(spcli) == ["refused"]


def test_truncated_refusal_counts_by_its_status(spcli: Front, double: Any) -> None:
    whole = response(401, b'{"message": "Unau', {"Content-Type": "application/json", "Content-Length": "100"})
    world = double(raw(whole))
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (41, "http-401", "refused", False), sent
    assert len(world.writes) == 1


# Nothing left this machine.


@pytest.mark.parametrize("command", [("upload", URL), ("distribute", OLD)])
def test_unreachable_service_is_60_not_sent_and_costs_no_window(spcli: Front, clock: FakeClock, command: tuple[str, str]) -> None:
    with FaultServer() as gone:
        spcli.use(gone.url)
    sent = spcli(*command, "--json")
    assert failure(sent) == (60, "network", "not_sent", True), sent
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


# Reads.


@pytest.mark.parametrize("shape", [*UNCLEAR, *(one for one in NO_ID if one.name == "truncated")], ids=lambda shape: shape.name)
def test_read_that_fails_is_tried_five_times(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(reads=shape.make())
    found = spcli("projects", "list", "--json", *quick(shape))
    kind = (50, "http-5xx") if shape.name[0].isdigit() else (60, "network")
    assert failure(found) == (*kind, None, True), found
    assert world.reads_made == 5


@pytest.mark.parametrize(
    "shape", [one for one in NO_ID if one.name in ("204", "200 empty", "html", "gzip", "huge body")], ids=lambda shape: shape.name
)
def test_read_that_is_not_the_documented_json_is_62_at_once(spcli: Front, double: Any, shape: Shape) -> None:
    world = double(reads=shape.make())
    found = spcli("projects", "list", "--json")
    assert failure(found) == (62, "protocol", None, False), found
    assert world.reads_made == 1
