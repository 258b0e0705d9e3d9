"""IDs of projects and builds in another letter case: every command takes them for the same project and build."""

import json
from typing import Any

import pytest

from spcli.models import normalize_id
from spcli.sandbox.seeds import SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD
from tests.front import Front, releases


@pytest.mark.parametrize(
    ("text", "normal"),
    [("ABCDEF" * 4, "abcdef" * 4), (f" {'0aF' * 8}\r\n", "0af" * 8), ("Not-An-ID", "Not-An-ID"), ("A" * 23, "A" * 23)],
)
def test_only_24_hex_digits_are_put_in_lower_case(text: str, normal: str) -> None:
    assert normalize_id(text) == normal


@pytest.mark.parametrize("words", [("builds", "show"), ("builds", "wait")])
def test_build_is_found_by_its_id_in_upper_case(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    service()
    found = spcli(*words, SHOWROOM_NEW.upper(), "--json")
    assert (found.code, found.json["uploadId"]) == (0, SHOWROOM_NEW), found


def test_distribute_sends_the_id_as_the_service_writes_it(spcli: Front, service: Any) -> None:
    server = service()
    found = spcli("distribute", SHOWROOM_NEW.upper(), "--json")
    assert (found.code, found.json["uploadId"]) == (0, SHOWROOM_NEW), found
    assert [json.loads(record.body)["uploadId"] for record in releases(server)] == [SHOWROOM_NEW]


def test_rollback_compares_both_of_its_ids(spcli: Front, service: Any) -> None:
    service()
    assert spcli("distribute", SHOWROOM_NEW).code == 0
    found = spcli("rollback", "--to", SHOWROOM_OLD.upper(), "--expect-live", SHOWROOM_NEW.upper(), "--yes", "--json")
    assert (found.code, found.json["uploadId"]) == (0, SHOWROOM_OLD), found


@pytest.mark.parametrize("words", [("projects", "show"), ("builds",), ("doctor",)])
def test_project_is_found_by_its_id_in_upper_case(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    service(project=SHOWROOM.id.upper())
    assert spcli(*words, "--json").code == 0


def test_the_default_project_is_stored_in_lower_case(spcli: Front, service: Any) -> None:
    service(project=None)
    assert spcli("projects", "use", SHOWROOM.id.upper()).code == 0
    assert spcli("config", "get", "project").out.strip() == SHOWROOM.id


def test_events_of_a_build_are_listed_by_its_id_in_upper_case(spcli: Front, service: Any) -> None:
    from spcli.clock import Clock
    from spcli.state.store import State
    from spcli.webhooks.payload import parse_event

    service()
    state = State(spcli.home / "state", clock=Clock(), environ={}, note=pytest.fail)
    body = json.dumps({"event": "build.approved", "uploadId": SHOWROOM_NEW.upper()}).encode()
    state.events.add_events([parse_event(body, spcli.clock.wall())])
    state.close()
    (event,) = spcli("webhooks", "events", "--upload-id", SHOWROOM_NEW.upper(), "--json").json
    assert event["uploadId"] == SHOWROOM_NEW
