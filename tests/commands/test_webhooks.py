"""`spcli webhooks send`, `test` and `events`; `listen` has its own tests in tests/faults."""

import json
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM
from spcli.state.events import Event
from spcli.state.store import State
from tests.faultd import FaultServer, answer, close_after_request, redirect
from tests.front import Front

SEND = ("build.approved", "--to", "http://127.0.0.1:9/")


def test_send_delivers_the_documented_payload(spcli: Front) -> None:
    with FaultServer([answer(200, {"ok": True})]) as receiver:
        words = ("--upload-id", "u1", "--objection", "no exe", "--file-url", "https://h/a.zip")
        sent = spcli("webhooks", "send", "build.rejected", "--to", f"{receiver.url}/hooks/t?x=1", *words, "--json")
        (request,) = receiver.ledger
    assert sent.code == 0, sent
    assert (request.method, request.path, request.query) == ("POST", "/hooks/t", [("x", "1")]) or request.path == "/hooks/t"
    body = json.loads(request.body)
    assert list(body) == ["event", "projectId", "uploadId", "fileUrl", "status", "objection", "timestamp"]
    assert (body["event"], body["status"], body["objection"]) == ("build.rejected", "Reject", "no exe")


@pytest.mark.parametrize("behaviour", [answer(500, {"message": "x"}), redirect("http://127.0.0.1:1/"), close_after_request()])
def test_a_failing_receiver_is_exit_16(spcli: Front, behaviour: Any) -> None:
    with FaultServer([behaviour]) as receiver:
        sent = spcli("webhooks", "send", "webhook.test", "--to", receiver.url, "--json")
    assert (sent.code, sent.error["kind"], sent.error["retryable"]) == (16, "receiver", True)


@pytest.mark.parametrize(
    "url", ["", "ftp://h/", "http://u:p@h/", "h:80", "http://", "http://h:0/", "http://h:99999/", "http://h/a b"]
)
def test_a_bad_receiver_url_is_a_usage_error(spcli: Front, url: str) -> None:
    assert spcli("webhooks", "send", "webhook.test", "--to", url).code == 2


def test_a_fake_payload_holds_a_project_id_and_never_a_name(spcli: Front, service: Any) -> None:
    service(project="showroom")
    with FaultServer([answer(200, {})]) as receiver:
        assert spcli("webhooks", "send", "build.approved", "--to", receiver.url).code == 0
        assert json.loads(receiver.ledger[0].body)["projectId"] == "0" * 24
    named = spcli("webhooks", "send", "build.approved", "--to", "http://127.0.0.1:1/", "-p", "showroom")
    assert (named.code, "takes a project ID" in named.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("listen", "--path-token", ""), "--path-token needs at least 16 letters, digits, - or _"),
        (("listen", "--host", ""), "invalid value for '--host': must not be empty"),
        (("listen", "--public-url", ""), "--public-url must be an http(s) URL without a user"),
        (("listen", "--forward-to", ""), "--forward-to must be an http(s) URL without a user"),
        (("listen", "--exec", ""), "--exec must be a program and its arguments, with every quote closed"),
        (("listen", "--event", ""), "invalid value for '--event': matches no event"),
        (("listen", "--upload-id", ""), "invalid value for '--upload-id': must not be empty"),
        (("events", "--upload-id", ""), "invalid value for '--upload-id': must not be empty"),
        (("send", *SEND, "--upload-id", ""), "invalid value for '--upload-id': must not be empty"),
        (("send", *SEND, "--file-url", " "), "invalid value for '--file-url': must not be empty"),
        (("send", *SEND, "--objection", ""), "invalid value for '--objection': must not be empty"),
        (("send", *SEND, "--project", ""), "invalid value for '-p' / '--project': must not be empty"),
        (("send", *SEND, "--timeout", "0"), "invalid value for '--timeout': must be more than 0s and at most 10m"),
        (("send", *SEND, "--timeout", "11m"), "invalid value for '--timeout': must be more than 0s and at most 10m"),
        (("test", "--timeout", "0s"), "invalid value for '--timeout': must be more than 0s and at most 10m"),
    ],
)
def test_empty_and_zero_values_are_refused(spcli: Front, words: tuple[str, ...], message: str) -> None:
    refused = spcli("webhooks", *words, "--json")
    assert refused.code == 2
    assert refused.error["message"].startswith(message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--public-url", "http://hooks.example.com"), "--public-url must be an https URL"),
        (("--public-url", "https://hooks.example.com/?x=1"), "--public-url must be an https URL without a query"),
        (("--event", "build.finished"), "matches no event"),
        (("--event", "build.*", "--event", "project.*"), "matches no event"),
    ],
)
def test_listen_refuses_options_that_can_never_work(spcli: Front, words: tuple[str, ...], message: str) -> None:
    refused = spcli("webhooks", "listen", *words)
    assert (refused.code, message in refused.err) == (2, True), refused


def test_events_without_any_of_a_build_says_so(spcli: Front) -> None:
    assert "no events of this build received" in spcli("webhooks", "events", "--upload-id", "6" * 24).err


def test_an_unknown_event_is_refused_with_the_list_of_events(spcli: Front) -> None:
    sent = spcli("webhooks", "send", "build.done", "--to", "http://127.0.0.1:1/")
    assert sent.code == 2
    assert "build.approved" in sent.err


def test_test_without_a_webhook_url_points_to_the_dashboard(spcli: Front, service: Any) -> None:
    service()
    tested = spcli("webhooks", "test")
    assert tested.code == 44
    assert tested.err.startswith("No webhook URL configured\n")
    assert "dashboard" in tested.err


def test_test_against_a_service_without_the_endpoint_points_to_the_dashboard(spcli: Front, service: Any) -> None:
    service(generation="status")
    tested = spcli("webhooks", "test")
    assert tested.code == 44
    assert "Test Webhook button" in tested.err


@pytest.mark.parametrize(("status", "hint"), [(502, "it answered 502"), (0, "could not connect")])
def test_test_is_exit_16_if_the_receiver_fails(spcli: Front, status: int, hint: str) -> None:
    report = {"success": False, "message": "Webhook endpoint returned non-2xx status", "statusCode": status}
    with FaultServer([answer(200, report)]) as server:
        spcli.use(server.url)
        tested = spcli("webhooks", "test", "--json")
    assert (tested.code, tested.error["message"]) == (16, report["message"])
    assert hint in tested.error["hint"]
    assert tested.json == report


def test_test_succeeds_if_the_event_was_delivered(spcli: Front) -> None:
    with FaultServer([answer(200, {"success": "true", "message": "Test webhook delivered", "statusCode": "200"})]) as server:
        spcli.use(server.url)
        tested = spcli("webhooks", "test", "--json")
    assert (tested.code, tested.json) == (0, {"success": True, "message": "Test webhook delivered", "statusCode": 200})


def _received(spcli: Front, *events: Event) -> None:
    state = State(spcli.home / "state", clock=spcli.clock, environ={}, note=lambda _text: None)
    state.events.add_events(events)
    state.events.refresh_listener()
    state.close()


def _event(status: str, *, upload_id: str = "u1", objection: str | None = None) -> Event:
    return Event("build.x", SHOWROOM.id, upload_id, "https://h/a.zip", status, objection, "2026-09-21T13:33:20Z", 1_790_000_000.0)


def test_events_lists_a_repeated_event_once(spcli: Front) -> None:
    _received(spcli, _event("Approved"), _event("Approved"), _event("Reject", upload_id="u2"))
    listed = spcli("webhooks", "events", "--json").json
    assert [(one["uploadId"], one["status"]) for one in listed] == [("u1", "Approved"), ("u2", "Reject")]
    assert list(listed[0]) == ["event", "projectId", "uploadId", "fileUrl", "status", "objection", "timestamp", "receivedAt"]
    assert [one["uploadId"] for one in spcli("webhooks", "events", "--upload-id", "u2", "--json").json] == ["u2"]


def test_events_without_any_names_the_listener(spcli: Front) -> None:
    listed = spcli("webhooks", "events")
    assert (listed.code, listed.out) == (0, "")
    assert "spcli webhooks listen" in listed.err


@pytest.mark.parametrize(("status", "code"), [("Approved", 0), ("Reject", 10)])
def test_wait_uses_events_if_the_service_reports_no_status(spcli: Front, service: Any, status: str, code: int) -> None:
    service(generation="status")
    _received(spcli, _event("pending"), _event(status, objection="why"))
    waited = spcli("builds", "wait", "u1", "--json")
    assert waited.code == code, waited
    assert (waited.json["status"], waited.json["source"]) == (status, "webhook")


def test_wait_without_build_list_and_listener_ends_at_once(spcli: Front, service: Any, clock: Any) -> None:
    service(generation="status")
    waited = spcli("builds", "wait", "u1", "--json")
    assert (waited.code, waited.error["kind"]) == (17, "unreadable")
    assert clock.seconds < 5


def test_builds_shows_received_events_without_a_build_list(spcli: Front, service: Any) -> None:
    service(generation="status")
    _received(spcli, _event("Extracting & Scanning"))
    (build,) = spcli("builds", "--json").json
    assert (build["uploadId"], build["state"], build["source"]) == ("u1", "extracting", "webhook")


def test_a_received_event_triggers_a_poll_and_the_build_list_decides(spcli: Front, service: Any, clock: Any) -> None:
    server = service(stage=20)
    upload_id = spcli("upload", "https://builds.example.com/Game-1.zip", "--json").json["uploadId"]
    _received(spcli)
    looks = len(server.requests)
    clock.meanwhile = lambda: _received(spcli, _event("Approved", upload_id=upload_id))
    waited = spcli("builds", "wait", upload_id, "--json")
    assert (waited.code, waited.json["source"]) == (0, "server")
    first, second, third, *_ = [record.time for record in server.requests[looks:]]
    assert second - first == pytest.approx(1.0)
    assert third - second > 4


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        (
            {"success": True, "message": "Test webhook delivered", "statusCode": 200},
            ["yes", "Test webhook delivered", "HTTP 200"],
        ),
        ({"success": False, "message": "No", "statusCode": 0}, ["no", "No", "none (no connection)"]),
        ({"success": True}, ["yes", "none", "unknown"]),
    ],
)
def test_test_prints_the_report_in_words(spcli: Front, report: dict[str, Any], shown: list[str]) -> None:
    with FaultServer([answer(200, report)]) as server:
        spcli.use(server.url)
        lines = spcli("webhooks", "test").out.splitlines()
    assert [line.split(":", 1)[1].strip() for line in lines] == shown
