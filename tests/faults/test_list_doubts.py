"""Build lists that are not what they seem: a page that fails once, other projects' builds, one build shown twice."""

from email.utils import formatdate
from typing import Any

import pytest

from spcli.models import iso_utc
from spcli.sandbox.seeds import SHOWROOM
from tests.faultd import Behaviour, answer, rst_after_request
from tests.faults.doubles import NEW, OLD, URL, Double, Shape, failure, ledger
from tests.front import FakeClock, Front

OTHER_PROJECT = "665a2b3c4d5e6f7a8b9c0fff"
THIRD = "665a00000000000000000003"
FAILURES = [Shape("reset", rst_after_request), Shape("500", lambda: answer(500, {"message": "Internal server error"}))]
failing = pytest.mark.parametrize("shape", FAILURES, ids=[shape.name for shape in FAILURES])


class Flickering(Double):
    """A service whose project page is a 404 for the first readings after the write."""

    missing = 0

    def _list(self) -> Behaviour:
        if self.writes and self.missing > 0:
            self.missing -= 1
            return answer(404, {"message": "Not found"})
        return super()._list()


def listed(*builds: dict[str, object], project_id: str = SHOWROOM.id, **headers: str) -> Behaviour:
    old = {"_id": OLD, "url": "https://builds.example.com/Old.zip", "status": "Approved", "date": "2026-01-01T00:00:00Z"}
    return answer(200, {"id": project_id, "files": [old, *builds]}, headers)


def our_build(**fields: object) -> dict[str, object]:
    return {"_id": NEW, "url": URL, "status": "pending", **fields}


@failing
@pytest.mark.parametrize("missing", [1, 5])
def test_a_missing_page_after_a_list_that_was_read_is_read_again(spcli: Front, double: Any, shape: Shape, missing: int) -> None:
    """A single 404 would end the look at once, and a 500 would be taken at its word."""
    world = double(shape.make(), answer(201, {"uploadId": THIRD}), stores=True)
    world.__class__, world.missing = Flickering, missing
    sent = spcli("upload", URL, "--json", "--on-limit", "fail")
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert (len(world.writes), ledger(spcli)) == (1, ["done"])


def test_a_missing_page_right_before_the_second_send_is_read_again(spcli: Front, double: Any) -> None:
    world = double(FAILURES[1].make(), answer(201, {"uploadId": THIRD}), stores=True)
    world.__class__, world.missing = Flickering, 7
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"]) == (0, NEW), sent
    assert len(world.writes) == 1


def test_a_build_that_is_listed_twice_is_one_build(spcli: Front, double: Any) -> None:
    world = double(rst_after_request())
    world.afterwards = listed(our_build(), our_build(status="Downloading Files"))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"]) == (0, NEW), sent
    assert sorted(one["uploadId"] for one in spcli("builds", "--json").json) == [OLD, NEW]


@pytest.mark.parametrize("has_ours", [False, True])
def test_a_list_with_builds_of_another_project_proves_nothing(spcli: Front, double: Any, has_ours: bool) -> None:
    world = double(rst_after_request())
    strange = {"_id": THIRD, "url": URL, "status": "pending", "projectId": OTHER_PROJECT}
    world.afterwards = listed(strange, *([our_build(projectId=SHOWROOM.id.upper())] if has_ours else []))
    assert failure(spcli("upload", URL, "--json")) == (61, "unknown", "unknown", True)
    assert (len(world.writes), ledger(spcli)) == (1, ["unclear"])


@pytest.fixture
def damaged(spcli: Front) -> None:
    """Leave a state file that no database can be read from."""
    folder = spcli.home / "state"
    folder.mkdir(mode=0o700)
    (folder / "state.db").write_bytes(b"not a database at all" * 99)
    (folder / "state.db").chmod(0o600)


@pytest.mark.usefixtures("damaged")
@pytest.mark.parametrize("date", [None, "yesterday"])
def test_after_a_damaged_state_an_old_id_does_not_date_a_build_without_date(
    spcli: Front, double: Any, clock: FakeClock, date: str | None
) -> None:
    """The first digits of the id are a time only if it is an ObjectId, which the service does not promise."""
    world = double(reads=listed(our_build(date=date), Date=formatdate(clock.wall(), usegmt=True)))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert world.writes == []


@pytest.mark.usefixtures("damaged")
def test_after_a_damaged_state_a_build_of_another_project_is_not_adopted(spcli: Front, double: Any, clock: FakeClock) -> None:
    reads = listed(our_build(date=iso_utc(clock.wall())), project_id=OTHER_PROJECT)
    world = double(reads=reads)
    assert failure(spcli("upload", URL, "--json")) == (61, "unknown", "unknown", True)
    assert world.writes == []
