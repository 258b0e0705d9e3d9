"""Waiting: `builds wait`, and `--wait` of upload and distribute."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from spcli.clock import Clock
from spcli.errors import Interrupted
from spcli.sandbox.seeds import CONFIGURATOR_APAC, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED
from spcli.state.events import Event
from spcli.state.store import State
from tests.faultd import FaultServer, answer, hang
from tests.front import FakeClock, Front

URL = "https://builds.example.com/Game-1.4.zip"
GOOD, BAD, SLOW = "665a2b3c4d5e6f7a8b9c0001", "665a2b3c4d5e6f7a8b9c0002", "665a2b3c4d5e6f7a8b9c0003"


def listing(**builds: str) -> dict[str, Any]:
    """A get-project answer; each build an id (after an `_`) and the service's word for its state."""
    files = [
        {"_id": upload_id.strip("_"), "url": URL, "status": status, "date": "2026-04-30T14:00:00Z", "objection": "no executable"}
        for upload_id, status in builds.items()
    ]
    return {"name": "Showroom", "files": files}


def script(*pages: Any) -> Any:
    """A server's handler: one page after the other, the last for ever."""
    left = list(pages)

    def handler(request: Any) -> Any:
        page = left.pop(0) if len(left) > 1 else left[0]
        return page if not isinstance(page, dict) else answer(200, page)

    return handler


def waiting(spcli: Front, pages: list[Any], *words: str, env: dict[str, str] | None = None) -> Any:
    with FaultServer(handler=script(*pages)) as server:
        spcli.use(server.url)
        return spcli("builds", "wait", *words, env=env)


def test_wait_follows_a_build_to_its_approval_with_one_line_per_change(spcli: Front) -> None:
    pages = [
        listing(**{"_" + GOOD: word})
        for word in ("pending", "Downloading Files", "DOWNLOADING FILES", "Extracting & Scanning", "Approved")
    ]
    found = waiting(spcli, pages, GOOD)
    assert found.code == 0, found
    assert f"https://share.streampixel.io/{SHOWROOM.id}" in found.out
    assert [sum(word in line for line in found.err.splitlines()) for word in ("pending", "Extracting", "Approved")] == [1, 1, 1]


def test_undocumented_state_is_shown_and_counts_as_in_progress(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + GOOD: "Polishing"}), listing(**{"_" + GOOD: "Approved"})], GOOD, "--json")
    assert (found.code, found.json["state"]) == (0, "approved")
    assert "Polishing" in found.err


@pytest.mark.parametrize(
    "bad",
    [
        answer(500, {"message": "Internal server error"}),
        answer(502, b"<html>"),
        answer(200, b"<html>"),
        answer(429, {"message": "slow down"}),
    ],
)
def test_failed_poll_is_never_a_result(spcli: Front, bad: Any) -> None:
    page = listing(**{"_" + GOOD: "pending"})
    found = waiting(spcli, [page, bad, bad, bad, listing(**{"_" + GOOD: "Approved"})], GOOD)
    assert found.code == 0, found


@pytest.mark.parametrize(("status", "code"), [(401, 41), (403, 43), (404, 44)])
def test_401_403_and_404_end_a_wait_with_their_own_code(spcli: Front, status: int, code: int) -> None:
    page = listing(**{"_" + GOOD: "pending"})
    found = waiting(spcli, [page, answer(status, {"message": "No, says the service"})], GOOD, "--json")
    assert (found.code, found.error["status"], found.out) == (code, status, "")
    assert found.err.splitlines()[-3] == "No, says the service"


def test_rejection_is_exit_10_with_the_result_and_the_objection(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + BAD: "Reject"})], BAD, "--json")
    assert (found.code, found.error["kind"], found.error["message"]) == (10, "rejected", "no executable")
    assert (found.json["state"], found.json["objection"]) == ("rejected", "no executable")
    assert found.error["uploadId"] == BAD


def test_deadline_is_exit_11_with_the_result_and_the_command_that_resumes(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + SLOW: "pending"})], SLOW, "--deadline", "3m", "--json")
    assert (found.code, found.error["kind"], found.json["state"]) == (11, "deadline", "queued")
    assert f"spcli builds wait {SLOW}" in found.error["hint"]


def test_an_id_that_is_never_listed_is_exit_13_after_a_minute_and_stdout_is_empty(spcli: Front, clock: Any) -> None:
    found = waiting(spcli, [listing(**{"_" + GOOD: "pending"})], "nosuch", "--json")
    assert (found.code, found.error["kind"], found.out) == (13, "no-target", "")
    assert 60 <= clock.seconds < 90


@pytest.mark.parametrize(
    ("states", "deadline", "code", "printed"),
    [
        ((GOOD, BAD, SLOW), "5m", 10, 3),
        ((GOOD, SLOW), "5m", 11, 2),
        ((GOOD, "nosuch"), "5m", 13, 1),
        ((GOOD,), "5m", 0, 1),
        ((BAD, "nosuch"), "5m", 10, 1),
        ((SLOW, "nosuch"), "5m", 11, 1),
    ],
)
def test_the_worst_of_several_builds_decides(
    spcli: Front, states: tuple[str, ...], deadline: str, code: int, printed: int
) -> None:
    page = listing(**{"_" + GOOD: "Approved", "_" + BAD: "Reject", "_" + SLOW: "Downloading Files"})
    found = waiting(spcli, [page], *states, "--deadline", deadline, "--json")
    assert found.code == code, found
    objects = [json.loads(line) for line in found.out.splitlines()]
    assert len(objects) == printed
    assert all(" " not in line.partition('"fileUrl"')[0].replace("Downloading Files", "") for line in found.out.splitlines())


def test_the_same_id_twice_is_waited_for_once(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + GOOD: "Approved"})], GOOD, GOOD, "--json")
    assert found.json["uploadId"] == GOOD


@pytest.mark.parametrize("words", [(), ("--latest", GOOD)])
def test_either_ids_or_latest_must_be_given(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    assert spcli("builds", "wait", *words).code == 2
    assert server.requests == []


def test_latest_is_the_newest_of_any_state(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "-q").out.strip()
    found = spcli("builds", "wait", "--latest", "--json")
    assert (found.code, found.json["uploadId"]) == (10, sent)


def test_latest_of_an_empty_project_is_no_target(spcli: Front, service: Any) -> None:
    service(project=CONFIGURATOR_APAC.id)
    found = spcli("builds", "wait", "--latest", "--json")
    assert (found.code, found.out) == (13, "")


@pytest.mark.parametrize("upload_id", [SHOWROOM_NEW, SHOWROOM_REJECTED])
def test_a_finished_build_ends_at_once(spcli: Front, service: Any, clock: Any, upload_id: str) -> None:
    service()
    assert spcli("builds", "wait", upload_id).code == (0 if upload_id == SHOWROOM_NEW else 10)
    assert clock.seconds == 0


def test_without_a_build_list_and_a_listener_the_status_is_unreadable_at_once(spcli: Front, service: Any, clock: Any) -> None:
    service(generation="status")
    found = spcli("builds", "wait", GOOD, "--json")
    assert (found.code, found.error["kind"], found.json["state"]) == (17, "unreadable", "unknown")
    assert "spcli webhooks listen" in found.error["hint"]
    assert clock.seconds == 0


def test_upload_whose_status_cannot_be_read_has_outcome_done(spcli: Front, service: Any) -> None:
    service(generation="status")
    sent = spcli("upload", URL + "?sig=5ec4e7", "--wait", "--json")
    assert (sent.code, sent.error["outcome"]) == (17, "done")
    assert (sent.json["build"]["fileUrl"], sent.json["build"]["uploadId"]) == (URL, sent.json["uploadId"])
    assert sent.error["uploadId"] == sent.json["uploadId"]


def test_polls_are_never_closer_than_five_seconds_and_grow_rarer(spcli: Front, clock: Any) -> None:
    clock.chances = 0.0
    ended = waiting(spcli, [listing(**{"_" + SLOW: "pending"})], SLOW, "--deadline", "20m", "--interval", "1s")
    pauses = [pause for pause in clock.slept if pause]
    assert min(pauses[:-1]) >= 5.0
    assert ended.err.count("note: --interval raised to 5s, the minimum time between polls\n") == 1


def test_default_pauses_are_5_15_and_30_seconds(spcli: Front, clock: Any) -> None:
    waiting(spcli, [listing(**{"_" + SLOW: "pending"})], SLOW, "--deadline", "10m")
    assert clock.slept[0] == 5.0
    assert {5.0, 15.0, 30.0} <= set(clock.slept)
    assert max(clock.slept) <= 30.0


def test_pauses_against_a_sandbox_are_a_fifth_of_a_second_to_one_second(spcli: Front, clock: Any) -> None:
    with FaultServer(handler=script(listing(**{"_" + SLOW: "pending"}))) as server:
        for window in (0.5, 5, 30):
            for clock.chances in (0.0, 0.999):
                spcli.use(server.url, window=window)
                clock.slept.clear()
                spcli("builds", "wait", SLOW, "--deadline", "30s")
                assert all(0.2 <= pause <= 1.0 for pause in clock.slept[:-1]), (window, clock.slept)


def test_a_pipe_gets_a_heartbeat_each_minute(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + SLOW: "Downloading Files"})], SLOW, "--deadline", "5m10s")
    lines = [line for line in found.err.splitlines() if "elapsed" in line]
    assert 5 <= len(lines) <= 6, lines


def test_past_the_usual_time_the_documented_causes_are_printed_once(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + SLOW: "Downloading Files"})], SLOW, "--deadline", "30m")
    assert found.err.count("a slow host, a link that is not public") == 1
    assert "usually 1m to 10m" in found.err


def test_past_two_hours_support_and_the_ids_are_printed(spcli: Front) -> None:
    found = waiting(spcli, [listing(**{"_" + SLOW: "Distribute"})], SLOW, "--deadline", "3h")
    (line,) = [line for line in found.err.splitlines() if "support@streampixel.io" in line]
    assert SHOWROOM.id in line
    assert SLOW in line


def release(spcli: Front, *pages: Any, window: float = 120) -> Any:
    left = list(pages)

    def handler(request: Any) -> Any:
        if request.method == "POST":
            return answer(200, {"message": "Distribution triggered"})
        page = left.pop(0) if len(left) > 1 else left[0]
        return answer(200, page)

    with FaultServer(handler=handler) as server:
        spcli.use(server.url, window=window)
        return spcli("distribute", GOOD, "--wait", "--json")


def test_approved_from_before_the_release_is_not_the_result(spcli: Front, clock: Any) -> None:
    words = ["Approved", "Approved", "Approved", "Distribute", "Approved"]
    found = release(spcli, *[listing(**{"_" + GOOD: word}) for word in words])
    assert (found.code, found.json["build"]["state"]) == (0, "approved")
    assert "not observed" not in found.err
    assert clock.seconds >= 5


def test_release_without_an_observed_change_is_exit_0_after_3_minutes_with_a_note(spcli: Front, clock: Any) -> None:
    found = release(spcli, listing(**{"_" + GOOD: "Approved"}))
    assert found.code == 0, found
    assert "completion was not observed" in found.err
    assert 180 <= clock.seconds < 240


def test_the_grace_of_a_release_scales_on_loopback_but_not_under_two_seconds(spcli: Front, clock: Any) -> None:
    found = release(spcli, listing(**{"_" + GOOD: "Approved"}), window=1)
    assert found.code == 0, found
    assert 2 <= clock.seconds < 5


def test_a_release_that_ends_in_reject_is_exit_10_and_done(spcli: Front) -> None:
    found = release(spcli, listing(**{"_" + GOOD: "Approved"}), listing(**{"_" + GOOD: "Reject"}))
    assert (found.code, found.error["outcome"], found.error["uploadId"]) == (10, "done", GOOD)
    assert found.json["build"]["objection"] == "no executable"


def test_quiet_wait_prints_only_the_id(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("upload", URL, "--wait", "-q")
    assert sent.code == 0
    assert sent.out.count("\n") == 1
    assert sent.err == ""
    released = spcli("distribute", SHOWROOM_OLD, "--wait", "-q")
    assert (released.out, released.err) == (SHOWROOM_OLD + "\n", "")


def test_id_of_an_upload_is_printed_before_any_waiting(spcli: Front, service: Any) -> None:
    server = service()
    sent = spcli("upload", URL, "--wait", "--deadline", "1s")
    assert sent.code == 11
    newest = server.world.builds_of(SHOWROOM.id)[0].id
    assert sent.out.splitlines()[0].split()[-1] == newest


@pytest.mark.parametrize(("status", "code"), [(401, 41), (403, 43), (404, 44)])
def test_wait_refused_by_the_service_after_an_upload_has_outcome_done(spcli: Front, status: int, code: int) -> None:
    left = [listing(), listing(), listing()]

    def handler(request: Any) -> Any:
        if request.method == "POST":
            left.clear()
            return answer(201, {"message": "queued", "uploadId": GOOD})
        return answer(200, left.pop()) if left else answer(status, {"message": "Access denied"})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        sent = spcli("upload", URL, "--wait", "--json")
    error = sent.error
    assert (sent.code, error["outcome"], error["uploadId"], error["retryable"]) == (code, "done", GOOD, False)


@pytest.mark.parametrize("watch", [(), ("--json",)])
def test_stats_watch_repeats_every_ten_seconds_until_the_service_refuses(
    spcli: Front, clock: Any, watch: tuple[str, ...]
) -> None:
    users = answer(200, {"liveUser": "7", "queueUser": 2})
    bad = answer(500, {"message": "Internal server error"})
    pages = script(users, users, *([bad] * 5), users, answer(401, {"message": "Unauthorized: Invalid API Key"}))
    with FaultServer(handler=pages) as server:
        spcli.use(server.url)
        found = spcli("projects", "stats", "--watch", *watch)
    assert found.code == 41, found
    lines = found.out.splitlines()
    assert len(lines) == 3
    if watch:
        assert [json.loads(line)["liveUsers"] for line in lines] == [7, 7, 7]
    assert clock.slept[:1] == [10.0]
    assert "could not read the user counts" in found.err


def test_stats_watch_is_never_faster_than_five_seconds(spcli: Front, clock: Any) -> None:
    pages = script(answer(200, {"liveUser": 1, "queueUser": 0}), answer(403, {"message": "Access denied"}))
    with FaultServer(handler=pages) as server:
        spcli.use(server.url)
        ended = spcli("projects", "stats", "--watch", "--interval", "1s")
    assert (ended.code, clock.slept) == (43, [5.0])
    assert "note: --interval raised to 5s" in ended.err


def test_interval_without_watch_is_a_usage_error(spcli: Front, service: Any) -> None:
    server = service()
    assert spcli("projects", "stats", "--interval", "9s").code == 2
    assert server.requests == []


def test_deadline_holds_while_the_service_fails_and_gives_the_reason(spcli: Front, service: Any, clock: Any) -> None:
    service(faults=("project:500x*",))
    begun = clock.seconds
    waited = spcli("builds", "wait", "u1", "--deadline", "20s", "--json")
    assert (waited.code, waited.error["kind"]) == (11, "deadline")
    assert "Internal server error" in waited.error["message"]
    assert clock.seconds - begun <= 21


def test_deadline_holds_while_the_service_never_answers(tmp_path: Path) -> None:
    spcli = Front(tmp_path, Clock())
    with FaultServer(handler=lambda _request: hang(), strict=False) as server:
        spcli.use(server.url)
        begun = time.monotonic()
        waited = spcli("builds", "wait", "u1", "--deadline", "0.5s", "--json")
        # A read's own time-out is 20 s.
        assert time.monotonic() - begun < 18
    assert (waited.code, waited.error["kind"]) == (11, "deadline")


def without_a_list(projects: Any) -> Any:
    """A server that knows no project's page; its project list answers as `projects` does."""
    return lambda request: projects if request.path == "/projects" else answer(404, {"message": "Not found"})


def test_deadline_holds_without_a_build_list_while_the_project_list_fails(spcli: Front, clock: Any) -> None:
    with FaultServer(handler=without_a_list(answer(500, {"message": "Internal server error"}))) as server:
        spcli.use(server.url)
        waited = spcli("builds", "wait", GOOD, "--deadline", "3s", "--json")
    assert (waited.code, waited.error["kind"]) == (11, "deadline")
    assert "Internal server error" in waited.error["message"]
    assert clock.seconds <= 3


def test_project_list_is_read_once_to_learn_that_there_is_no_build_list(spcli: Front) -> None:
    hear(spcli)
    with FaultServer(
        handler=without_a_list(answer(200, {"projects": [{"id": SHOWROOM.id, "name": "x"}], "totalPages": 1}))
    ) as server:
        spcli.use(server.url)
        waited = spcli("builds", "wait", GOOD, "--deadline", "25s", "--json")
        asked = [request.path for request in server.ledger]
    assert waited.code == 17, waited
    assert asked.count("/projects") == 1
    assert len(asked) > 4


def hear(spcli: Front, *statuses: str) -> None:
    """A listener on this machine, which has received these events of one build."""
    state = State(spcli.home / "state", clock=spcli.clock, environ={}, note=lambda _text: None)
    told = "2026-09-21T13:33:20Z", spcli.clock.wall()
    state.events.add_events([Event("build.x", SHOWROOM.id, GOOD, None, status, None, *told) for status in statuses])
    state.events.refresh_listener()
    state.close()


def test_event_received_during_a_poll_triggers_the_next_one_early(spcli: Front, clock: Any) -> None:
    left = ["pending", "pending", "Approved"]

    def handler(_request: Any) -> Any:
        hear(spcli, *(["Approved"] if len(left) == 2 else []))
        return answer(200, listing(**{"_" + GOOD: left.pop(0)}))

    hear(spcli)
    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        assert spcli("builds", "wait", GOOD).code == 0
    # The usual pause, in slices of a second, and then the one slice after which the event counts.
    assert clock.seconds == 6


def test_page_without_its_build_list_is_a_failed_poll(spcli: Front) -> None:
    page = listing(**{"_" + GOOD: "pending"})
    found = waiting(spcli, [page, {"name": "Showroom"}, listing(**{"_" + GOOD: "Approved"})], GOOD)
    assert found.code == 0, found


def test_rejected_build_has_no_hint_to_wait(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "--wait", "--json")
    assert sent.code == 10
    assert "goes on" not in sent.err
    assert "builds wait" not in sent.err
    assert f"spcli builds show {sent.json['uploadId']}" in sent.error["hint"]


def test_release_that_has_not_started_at_the_deadline_is_not_shown_as_finished(spcli: Front, tmp_path: Path) -> None:
    path = tmp_path / "build.env"
    pages = [answer(200, {"message": "Distribution triggered"}), answer(200, listing(**{"_" + GOOD: "Approved"}))]
    with FaultServer(handler=lambda request: pages[request.method == "GET"]) as server:
        spcli.use(server.url)
        found = spcli("distribute", GOOD, "--wait", "--deadline", "1m", "--output-file", str(path))
    assert found.code == 11, found
    assert "Approved (may be from before this release)" in found.err
    assert "deadline reached; the release was not seen to start" in found.err
    assert "Approved (may be from before this release)" in found.out
    assert "STREAMPIXEL_STATE=distributing\n" in path.read_text()


def test_wait_after_a_release_from_here_ignores_the_old_approved(spcli: Front, service: Any, clock: Any) -> None:
    service(stage=60)
    assert spcli("distribute", SHOWROOM_OLD).code == 0
    waited = spcli("builds", "wait", SHOWROOM_OLD)
    assert (waited.code, clock.seconds >= 75) == (0, True), waited
    assert "Distribute" in waited.err
    # Its end was seen: it is not waited for again.
    since = clock.seconds
    assert spcli("builds", "wait", SHOWROOM_OLD).code == 0
    assert clock.seconds == since


def test_file_of_a_build_known_by_events_comes_from_the_local_history(spcli: Front, service: Any) -> None:
    service(generation="status")
    sent = spcli("upload", URL, "-q").out.strip()
    state = State(spcli.home / "state", clock=spcli.clock, environ={}, note=lambda _text: None)
    at = "2026-09-21T13:33:20Z", spcli.clock.wall()
    state.events.add_events([Event("build.approved", SHOWROOM.id, sent, None, "Approved", None, *at)])
    state.close()
    for words in (("wait", sent), ("show", sent)):
        found = spcli("builds", *words, "--json")
        assert (found.code, found.json["state"], found.json["fileUrl"]) == (0, "approved", URL), found


@pytest.mark.parametrize(("ids", "resumed"), [((SLOW,), SLOW), ((GOOD, SLOW), SLOW)])
def test_ctrl_c_prints_the_command_that_resumes_the_wait(spcli: Front, ids: tuple[str, ...], resumed: str) -> None:
    class CtrlC(FakeClock):
        def sleep(self, seconds: float) -> None:
            raise Interrupted(130)

    spcli.clock = CtrlC()
    stopped = waiting(spcli, [listing(**{"_" + GOOD: "Approved", "_" + SLOW: "pending"})], *ids, "--json")
    assert (stopped.code, stopped.error["kind"], stopped.error["outcome"]) == (130, "interrupted", None)
    assert stopped.error["message"] == "stopped waiting; the build is still processing"
    assert stopped.error["hint"] == f"resume: spcli builds wait {resumed}"
