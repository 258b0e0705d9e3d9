"""An upload is sent again only if a build list read before it proves that nothing was created; dates and clocks prove nothing."""

from email.utils import formatdate
from typing import Any

import pytest

from spcli.models import iso_utc
from spcli.sandbox.seeds import SHOWROOM
from tests.faultd import Behaviour, Request, answer, rst_after_request
from tests.faults.doubles import NEW, OLD, URL, Double, failure, ledger
from tests.front import FakeClock, Front

ELSEWHERE = "https://builds.example.com/Other-2.zip"


Listed = tuple[str, str | None, float | None]
"""A build's id, its URL, and its age in seconds when the test begins."""


class Dated(Double):
    """A service whose answers bear the date of its clock; `builds` are shown once a write has arrived."""

    builds: tuple[Listed, ...] | None = None
    began = 0.0

    def __call__(self, request: Request) -> Behaviour:
        if request.method == "GET" and self.writes and self.builds is not None:
            return self.list_builds(self.builds)
        return super().__call__(request)

    def list_builds(self, builds: tuple[Listed, ...]) -> Behaviour:
        """Return a build list dated now."""
        files = [
            {"_id": id_, "status": "pending", **({"url": url} if url else {})}
            | ({"date": iso_utc(self.began - age)} if age is not None else {})
            for id_, url, age in builds
        ]
        dated = {"Date": formatdate(self.clock.wall(), usegmt=True)}
        return answer(200, {"id": SHOWROOM.id, "files": files}, dated)


def lose_upload(double: Any, clock: FakeClock, *builds: Listed, old: str | None) -> Dated:
    """Start a service that loses the answer of the first upload, takes the second, and shows `builds` after the first.

    `old` is the URL of the build in the list before the upload, None where that list can't be read.
    """
    failing = answer(500, {"message": "Internal server error"})
    world: Dated = double(rst_after_request(), answer(201, {"uploadId": NEW}), reads=failing)
    world.__class__, world.began = Dated, clock.wall()
    before = () if old is None else ((OLD, old, 99.0),)
    if old is not None:
        world.reads = world.list_builds(before)
    world.builds = (*before, *builds)
    return world


@pytest.mark.parametrize("age", [14.0, 190.0, None])
def test_a_build_dated_before_the_upload_may_still_be_it_without_a_baseline(
    spcli: Front, double: Any, clock: FakeClock, age: float | None
) -> None:
    world = lose_upload(double, clock, (OLD, URL, age), old=None)
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert age is None or OLD in sent.error["hint"]
    assert len(world.writes) == 1


def test_without_a_baseline_an_empty_list_proves_nothing(spcli: Front, double: Any, clock: FakeClock) -> None:
    world = lose_upload(double, clock, old=None)
    assert failure(spcli("upload", URL, "--json")) == (61, "unknown", "unknown", True)
    assert failure(spcli("upload", URL, "--json")) == (61, "unknown", "unknown", True)
    assert len(world.writes) == 1
    assert ledger(spcli) == ["unclear"]


def test_without_a_baseline_a_build_dated_after_the_upload_is_adopted(spcli: Front, double: Any, clock: FakeClock) -> None:
    world = lose_upload(double, clock, (NEW, URL, -5.0), old=None)
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "build-list"), sent
    assert len(world.writes) == 1


@pytest.mark.parametrize("step", [5.0, -5.0, 400.0, -86400.0])
def test_a_clock_that_is_set_between_two_runs_orders_nothing(spcli: Front, double: Any, clock: FakeClock, step: float) -> None:
    world = lose_upload(double, clock, old=None)
    world.builds = None
    assert spcli("upload", URL, "--json").code == 61
    assert ledger(spcli, "server_wall") == [None]
    clock.stepped = step
    world.builds = ((NEW, URL, 3.0),)
    again = spcli("upload", URL, "--json")
    assert failure(again) == (61, "unknown", "unknown", True), again
    assert len(world.writes) == 1


@pytest.mark.parametrize(
    "stored",
    [
        "http://builds.example.com/Game-1.4.zip",
        "https://builds.example.com:443//Game-1.4.zip",
        "https://builds.example.com/Game%2D1.4.zip?copied=1",
        "https://cdn.example.net/665a/game-1.4.zip",
        "s3://their-bucket/uploads/Game-1.4.zip",
        None,
    ],
)
def test_our_build_under_another_spelling_is_never_taken_for_absence(
    spcli: Front, double: Any, clock: FakeClock, stored: str | None
) -> None:
    world = lose_upload(double, clock, (NEW, stored, 1.0), old="https://builds.example.com/Old.zip")
    sent = spcli("upload", URL, "--json")
    assert failure(sent) == (61, "unknown", "unknown", True), sent
    assert len(world.writes) == 1


@pytest.mark.parametrize("copy", ["http://127.0.0.1/files/1", "s3://their-bucket/1", "/files/1", "1"])
def test_a_service_that_may_list_its_own_copies_proves_no_absence(spcli: Front, double: Any, clock: FakeClock, copy: str) -> None:
    world = lose_upload(double, clock, (NEW, copy, 1.0), old="http://127.0.0.1/files/0")
    assert failure(spcli("upload", URL, "--json")) == (61, "unknown", "unknown", True)
    assert len(world.writes) == 1


def test_another_file_on_a_service_that_lists_urls_as_sent_is_not_ours(spcli: Front, double: Any, clock: FakeClock) -> None:
    world = lose_upload(double, clock, ("665a00000000000000000009", ELSEWHERE, 1.0), old="https://builds.example.com/Old.zip")
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["uploadId"], sent.json["confirmedBy"]) == (0, NEW, "response"), sent
    assert len(world.writes) == 2


def damage_state(spcli: Front) -> None:
    (spcli.home / "state" / "state.db").write_bytes(b"not a database at all" * 99)


@pytest.mark.parametrize("age", [3.0, 23 * 3600.0, None])
def test_after_a_damaged_state_a_listed_build_with_our_url_is_adopted_once(
    spcli: Front, double: Any, clock: FakeClock, age: float | None
) -> None:
    build_id = "upload-1" if age is None else NEW
    world = lose_upload(double, clock, (build_id, URL, age), old="https://builds.example.com/Old.zip")
    builds, world.builds = world.builds, None
    world.afterwards = answer(500, {"message": "Internal server error"})
    assert spcli("upload", URL + "?sig=1", "--json").code == 61
    damage_state(spcli)
    world.builds = builds
    again = spcli("upload", URL + "?sig=2", "--json")
    assert (again.code, again.json["uploadId"], again.json["confirmedBy"]) == (0, build_id, "build-list"), again
    assert len(world.writes) == 1
    third = spcli("upload", URL + "?sig=3", "--json")
    assert (third.code, third.json["confirmedBy"]) == (0, "response"), third
    assert len(world.writes) == 2


def test_after_a_damaged_state_two_candidates_are_unknown_until_forced(spcli: Front, double: Any, clock: FakeClock) -> None:
    shown = (("665a00000000000000000003", URL, 9.0), ("665a00000000000000000004", URL, 5.0))
    world = lose_upload(double, clock, *shown, old="https://builds.example.com/Old.zip")
    world.behaviours = [answer(201, {"uploadId": NEW}), answer(201, {"uploadId": "665a00000000000000000005"})]
    assert spcli("upload", ELSEWHERE, "--json").code == 0
    damage_state(spcli)
    again = spcli("upload", URL, "--json")
    assert failure(again) == (61, "unknown", "unknown", True), again
    assert spcli("upload", URL, "--json", "--force").code == 0
    assert len(world.writes) == 2


@pytest.mark.parametrize("age", [25 * 3600.0])
def test_after_a_damaged_state_a_build_of_more_than_a_day_ago_is_not_a_candidate(
    spcli: Front, double: Any, clock: FakeClock, age: float
) -> None:
    world = lose_upload(double, clock, (OLD, URL, age), old="https://builds.example.com/Old.zip")
    world.behaviours = [answer(201, {"uploadId": NEW}), answer(201, {"uploadId": "665a00000000000000000005"})]
    assert spcli("upload", ELSEWHERE, "--json").code == 0
    damage_state(spcli)
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.json["confirmedBy"]) == (0, "response"), sent
    assert len(world.writes) == 2
