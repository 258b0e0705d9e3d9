"""`spcli distribute`."""

import json
from typing import Any

import pytest

from spcli.sandbox.seeds import (
    CONFIGURATOR_APAC,
    INACTIVE,
    MAIN,
    SHOWROOM,
    SHOWROOM_NEW,
    SHOWROOM_OLD,
    SHOWROOM_REJECTED,
    SOLO_NEW,
)
from tests.faultd import FaultServer, answer
from tests.front import Front, releases

URL = "https://builds.example.com/Game-1.4.zip"


def test_distribute_sends_exactly_the_documented_fields(spcli: Front, service: Any) -> None:
    server = service()
    sent = spcli("distribute", SHOWROOM_OLD, "--json")
    assert sent.code == 0, sent
    (record,) = releases(server)
    assert json.loads(record.body) == {
        "apiKey": MAIN.api_key,
        "userId": MAIN.user_id,
        "projectId": SHOWROOM.id,
        "uploadId": SHOWROOM_OLD,
    }
    assert (sent.json["uploadId"], sent.json["build"]) == (SHOWROOM_OLD, None)


def test_latest_is_the_newest_approved_build(spcli: Front, service: Any) -> None:
    service()
    assert spcli("distribute", "--latest", "--json").json["uploadId"] == SHOWROOM_NEW


def test_latest_skips_a_newer_rejected_build(spcli: Front, service: Any, clock: Any) -> None:
    service(reject="Game*")
    spcli("upload", URL, "--wait")
    assert spcli("distribute", "--latest", "--json").json["uploadId"] == SHOWROOM_NEW


def test_latest_again_after_an_unknown_outcome_releases_no_older_build(spcli: Front, service: Any) -> None:
    server = service(faults=("distribute:reset-after-store", "project:500x30"), stage=10_000)
    assert spcli("distribute", SHOWROOM_NEW, "--json").code == 61
    while server.faults_left:
        spcli("builds")
    spcli.clock.sleep(3000)
    again = spcli("distribute", "--latest", "--json")
    assert (again.code, again.json["uploadId"]) == (0, SHOWROOM_NEW), again
    assert len(releases(server)) == 1


def test_latest_of_a_project_without_builds_is_no_target(spcli: Front, service: Any) -> None:
    server = service(project=CONFIGURATOR_APAC.id)
    found = spcli("distribute", "--latest", "--json")
    assert (found.code, found.error["kind"], found.error["outcome"]) == (13, "no-target", "not_sent")
    assert releases(server) == []


def test_latest_without_a_build_list_is_exit_13_and_asks_for_the_id(spcli: Front, service: Any) -> None:
    server = service(generation="status")
    found = spcli("distribute", "--latest", "--json")
    assert (found.code, found.error["hint"]) == (13, "give the upload ID: spcli distribute UPLOAD_ID")
    assert releases(server) == []


@pytest.mark.parametrize(("fault", "code"), [("project:502htmlx*", 50), ("project:closex*", 60), ("project:htmlx*", 62)])
def test_latest_with_an_unreadable_list_exits_with_that_failure(spcli: Front, service: Any, fault: str, code: int) -> None:
    server = service(faults=(fault,))
    found = spcli("distribute", "--latest", "--json")
    assert (found.code, found.error["outcome"]) == (code, "not_sent"), found
    assert releases(server) == []


@pytest.mark.parametrize(
    ("words", "fault", "outcome", "hint"),
    [
        (("--latest",), "project:502htmlx*", "not_sent", "retry later: nothing was sent"),
        ((SHOWROOM_OLD,), "distribute:500x*", "refused", "retry later: nothing was created"),
    ],
    ids=["list", "release"],
)
def test_exit_50_says_what_became_of_the_release(
    spcli: Front, service: Any, words: tuple[str, ...], fault: str, outcome: str, hint: str
) -> None:
    service(faults=(fault,))
    found = spcli("distribute", *words, "--json")
    assert (found.code, found.error["outcome"], found.error["hint"]) == (50, outcome, hint), found


def test_build_is_released_by_id_if_the_list_cannot_be_read(spcli: Front, service: Any) -> None:
    server = service(faults=("project:502htmlx*",))
    found = spcli("distribute", SHOWROOM_OLD, "--json")
    assert found.code == 0, found
    assert "could not read the build list" in found.err
    assert len(releases(server)) == 1


def test_build_is_released_by_id_if_there_is_no_list(spcli: Front, service: Any) -> None:
    service(generation="status")
    assert spcli("distribute", SHOWROOM_OLD, "--json").json["uploadId"] == SHOWROOM_OLD


@pytest.mark.parametrize("words", [(), (SHOWROOM_OLD, "--latest"), ("",), (" ",), (SHOWROOM_OLD, SHOWROOM_NEW)])
def test_exactly_one_build_must_be_given(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    found = spcli("distribute", *words, "--json")
    assert (found.code, found.error["kind"], found.error["outcome"], found.out) == (2, "usage", "not_sent", ""), found
    assert server.requests == []


def test_rejected_build_is_refused_by_a_guard_with_its_objection(spcli: Front, service: Any) -> None:
    server = service()
    found = spcli("distribute", SHOWROOM_REJECTED, "--json")
    assert (found.code, found.error["kind"], found.error["outcome"], found.out) == (14, "guard", "not_sent", "")
    objection = spcli("builds", "show", SHOWROOM_REJECTED, "--json").json["objection"]
    assert found.error["message"] == f"this build was rejected and can't be released. Reason: {objection}"
    assert found.error["hint"] == "fix the build and upload it again"
    assert releases(server) == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("distribute", ""), "'UPLOAD_ID'"),
        (("builds", "wait", ""), "'UPLOAD_ID...'"),
        (("projects", "show", ""), "'PROJECT'"),
        (("check", ""), "'URL|FILE'"),
    ],
)
def test_an_empty_argument_is_named_without_the_brackets_of_the_help(spcli: Front, words: tuple[str, ...], name: str) -> None:
    refused = spcli(*words, "--json")
    assert (refused.code, refused.error["message"]) == (2, f"invalid value for {name}: must not be empty")


def test_unfinished_build_is_refused_with_the_command_that_waits(spcli: Front, service: Any) -> None:
    server = service()
    upload_id = spcli("upload", URL, "-q").out.strip()
    found = spcli("distribute", upload_id, "--json")
    assert (found.code, found.error["hint"]) == (14, f"wait for it: spcli builds wait {upload_id}")
    assert releases(server) == []


@pytest.mark.parametrize("upload_id", [SOLO_NEW, "0" * 24])
def test_unlisted_id_is_exit_13_and_nothing_is_sent(spcli: Front, service: Any, upload_id: str) -> None:
    server = service()
    found = spcli("distribute", upload_id, "--json")
    assert (found.code, found.error["kind"], found.error["outcome"], found.out) == (13, "no-target", "not_sent", "")
    assert found.error["message"] == f"the project has no build {upload_id}"
    assert "--force" in found.error["hint"]
    assert releases(server) == []
    assert spcli("distribute", SHOWROOM_OLD, "--on-limit", "fail").code == 0


@pytest.mark.parametrize("upload_id", [SOLO_NEW, "0" * 24])
def test_unlisted_id_is_sent_with_force_and_judged_by_the_service(spcli: Front, service: Any, upload_id: str) -> None:
    server = service()
    found = spcli("distribute", upload_id, "--force", "--json")
    assert (found.code, found.error["outcome"]) == (44, "refused"), found
    assert found.err.splitlines()[0] == "File not found in project"
    assert len(releases(server)) == 1


def test_inactive_project_is_refused_by_the_service(spcli: Front, service: Any) -> None:
    service(project=INACTIVE.id)
    found = spcli("distribute", "--latest", "--json")
    assert found.code in (0, 43), found
    if found.code:
        assert found.error["outcome"] == "refused"


def test_quiet_distribute_prints_the_bare_id(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("distribute", SHOWROOM_OLD, "-q")
    assert (sent.out, sent.err) == (SHOWROOM_OLD + "\n", "")


@pytest.mark.parametrize("words", [(SHOWROOM_OLD,), ("--latest",)])
def test_dry_run_sends_nothing(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    shown = spcli("distribute", *words, "--dry-run", "--json")
    assert shown.json["body"]["apiKey"] == "****"
    assert shown.json["body"]["uploadId"] in (SHOWROOM_OLD, SHOWROOM_NEW)
    assert releases(server) == []
    assert spcli("limits", "--json").json[1]["secondsLeft"] == 0
    assert spcli("distribute", *words, "--dry-run", "-q").out == ""


def test_closed_window_with_on_limit_fail_is_exit_49_and_says_when(spcli: Front, service: Any) -> None:
    server = service()
    spcli("distribute", SHOWROOM_OLD)
    second = spcli("distribute", SHOWROOM_NEW, "--on-limit", "fail", "--json")
    assert (second.code, second.error["outcome"], second.error["retryAfter"], second.out) == (49, "not_sent", 120, "")
    assert "spcli limits" in second.error["hint"]
    assert len(releases(server)) == 1


def test_upload_and_distribute_have_separate_rate_limits(spcli: Front, service: Any) -> None:
    service()
    spcli("upload", URL)
    assert spcli("distribute", SHOWROOM_OLD, "--on-limit", "fail").code == 0


@pytest.mark.parametrize("words", [("--deadline", "1h"), ("--interval", "5s")])
def test_options_of_a_wait_need_the_wait(spcli: Front, service: Any, words: tuple[str, str]) -> None:
    server = service()
    assert spcli("distribute", SHOWROOM_OLD, *words).code == 2
    assert server.requests == []


def test_latest_warns_when_a_newer_build_is_being_distributed(spcli: Front, service: Any, clock: Any) -> None:
    service(stage=600)
    newer = spcli("upload", "https://builds.example.com/Game-2.zip", "--json").json["uploadId"]
    clock.sleep(600 * 3.5)
    assert spcli("builds", "show", newer, "--json").json["state"] == "distributing"
    sent = spcli("distribute", "--latest")
    assert sent.code == 0, sent
    assert f"warning: build {newer} is newer and being distributed" in sent.err


@pytest.mark.parametrize("words", [("distribute",), ("rollback", "--yes", "--to")], ids=lambda words: words[0])
def test_build_rejected_without_a_reason_has_no_hint_to_wait(spcli: Front, words: tuple[str, ...]) -> None:
    page = {"name": "Showroom", "files": [{"_id": SHOWROOM_OLD, "url": URL, "status": "Reject", "objection": None}]}
    with FaultServer([answer(200, page)]) as server:
        spcli.use(server.url)
        refused = spcli(*words, SHOWROOM_OLD, "--json")
    assert (refused.code, refused.error["hint"]) == (14, "fix the build and upload it again")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        (SHOWROOM_OLD[:12], SHOWROOM_OLD),
        (SHOWROOM_OLD[:-1], SHOWROOM_OLD),
        ("Showroom-1.0.0.zip", SHOWROOM_OLD),
        ("https://builds.example.com/Showroom-1.0.0.zip?X-Amz-Signature=5ec4e7", SHOWROOM_OLD),
        ("nosuch", "with `spcli builds`"),
    ],
)
def test_word_that_is_no_id_sends_nothing_and_suggests_builds(spcli: Front, service: Any, word: str, meant: str) -> None:
    server = service()
    found = spcli("distribute", word, "--json")
    assert (found.code, found.error["kind"], found.error["outcome"], found.out) == (13, "no-target", "not_sent", "")
    assert meant in found.error["hint"]
    assert "5ec4e7" not in found.err
    assert releases(server) == []


def answering(page: dict[str, Any]) -> Any:
    """A service whose project's page is `page`, and that takes every release."""
    triggered = answer(200, {"message": "Distribution triggered"})
    return lambda request: triggered if request.method == "POST" else answer(200, page)


LISTED = {"_id": SHOWROOM_OLD, "url": URL, "status": "Approved"}


@pytest.mark.parametrize("words", [("distribute",), ("rollback", "--yes", "--to")], ids=lambda words: words[0])
@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"files": []}, id="empty"),
        pytest.param({"files": [LISTED, {"url": URL}]}, id="an entry has no id"),
        pytest.param({"id": "f" * 24, "files": [LISTED]}, id="another project's"),
    ],
)
def test_incomplete_list_refuses_no_release(spcli: Front, words: tuple[str, ...], page: dict[str, Any]) -> None:
    with FaultServer(handler=answering(page)) as server:
        spcli.use(server.url)
        assert spcli(*words, "build-7", "--json").json["uploadId"] == "build-7"
        assert [request.method for request in server.ledger].count("POST") == 1


def test_unlisted_word_is_sent_with_force_only_if_the_services_ids_have_another_form(spcli: Front) -> None:
    with FaultServer(handler=answering({"files": [{**LISTED, "_id": "build-6"}]})) as server:
        spcli.use(server.url)
        refused = spcli("distribute", "build-7", "--json")
        assert (refused.code, refused.error["message"]) == (13, "the project has no build build-7")
        assert "build-6" in refused.error["hint"]
        assert spcli("distribute", "build-7", "--force", "--json").json["uploadId"] == "build-7"


@pytest.mark.parametrize("word", ["Showroom-1.0.0.zip", SHOWROOM_OLD[:12]])
def test_rollback_to_a_word_that_is_no_id_suggests_builds(spcli: Front, service: Any, word: str) -> None:
    server = service()
    found = spcli("rollback", "--to", word, "--yes", "--json")
    assert (found.code, found.error["outcome"]) == (13, "not_sent")
    assert SHOWROOM_OLD in found.error["hint"]
    assert releases(server) == []
