"""The faults of the sandbox, as a client sees them."""

import http.client
import json
from urllib.parse import urlencode, urlsplit

import pytest

from spcli.sandbox.faults import ENDPOINTS, KINDS, FaultPlan, parse_fault
from spcli.sandbox.seeds import SHOWROOM
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from tests.platforms import not_wine
from tests.unit.sandbox_calls import QUERY, ask, connect, projects, stored, upload


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "upload",
        "upload:",
        "nowhere:500",
        "upload:bang",
        "upload:500x0",
        "upload:500x",
        "upload:200",
        "upload:600",
        "upload:slow-after-store",
    ],
)
def test_bad_fault_is_refused_with_the_list_of_faults(spec):
    with pytest.raises(ValueError, match="not a fault") as caught:
        Sandbox(World(), faults=[spec])
    assert [name for name in (*ENDPOINTS, *KINDS) if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("spec", "endpoint", "kind", "times"),
    [
        ("upload:500x2", "upload", "500", 2),
        ("projects:502html", "projects", "502html", 1),
        ("any:reset-after-storex*", "any", "reset-after-store", None),
        (" stats:hangx12 ", "stats", "hang", 12),
    ],
)
def test_fault_is_parsed(spec, endpoint, kind, times):
    assert parse_fault(spec) == (endpoint, kind, times)


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/projects/upload-file", "upload"),
        ("POST", "/projects/distribute-file", "distribute"),
        ("GET", "/projects", "projects"),
        ("GET", "/projects/projects-status", "projects"),
        ("GET", f"/projects/{SHOWROOM.id}", "project"),
        ("GET", f"/projects/userStats/{SHOWROOM.id}", "stats"),
        ("GET", f"/projects/liveStats/{SHOWROOM.id}", "stats"),
        ("POST", "/projects/test-webhook", "any"),
    ],
)
def test_fault_applies_to_its_endpoint_only(method, path, endpoint):
    hit = [name for name in ENDPOINTS if FaultPlan([f"{name}:500"]).next_fault(method, path)]
    assert hit == ([endpoint, "any"] if endpoint != "any" else ["any"])


def test_faults_apply_in_order_and_then_the_service_answers():
    with Sandbox(World(), faults=["upload:500x2", "upload:503"]) as sandbox:
        assert len(sandbox.faults_left) == 2
        assert [upload(sandbox)[0] for _ in range(4)] == [500, 500, 503, 201]
        assert sandbox.faults_left == []


def test_fault_for_all_calls_never_ends():
    with Sandbox(World(), faults=["projects:500x*"]) as sandbox:
        assert [projects(sandbox)[0] for _ in range(5)] == [500] * 5


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("400", "Missing required field: fileUrl"),
        ("401", "Unauthorized: Invalid API Key"),
        ("403", "Forbidden: project does not belong to this user"),
        ("404", "Project not found"),
        ("415", "Content-Type must be application/json"),
        ("429", "Rate limit exceeded. Try again in 7 seconds."),
        ("500", "Internal server error"),
        ("503", "Service Unavailable"),
        ("599", "Error"),
    ],
)
def test_status_fault_has_the_documented_message_and_stores_nothing(kind, message):
    with Sandbox(World(window=7), faults=[f"upload:{kind}"]) as sandbox:
        status, body, _ = upload(sandbox)
        assert (status, json.loads(body), stored(sandbox)) == (int(kind), {"message": message}, 0)


@pytest.mark.parametrize(
    ("kind", "status", "builds"), [("502html", 502, 0), ("403html", 403, 0), ("html", 200, 0), ("504html-after-store", 504, 1)]
)
def test_gateway_page_is_html(kind, status, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        got, body, headers = upload(sandbox)
        assert (got, stored(sandbox), sandbox.requests[0].status) == (status, builds, status)
    assert headers["Content-Type"].startswith("text/html")
    assert b"<html>" in body


def test_500_after_store_stores_the_build():
    with Sandbox(World(), faults=["upload:500-after-store"]) as sandbox:
        assert (upload(sandbox)[0], stored(sandbox)) == (500, 1)


@pytest.mark.parametrize(("kind", "builds"), [("hang", 0), ("hang-after-store", 1)])
def test_hang_never_answers(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(TimeoutError):
            upload(sandbox, timeout=0.2)
        assert (stored(sandbox), sandbox.requests[0].status) == (builds, 0)
        assert projects(sandbox)[0] == 200


@not_wine("SO_LINGER 0 sends no RST")
@pytest.mark.parametrize(("kind", "builds"), [("reset", 0), ("reset-after-store", 1)])
def test_reset_resets_the_connection(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(ConnectionResetError) as caught:
            upload(sandbox)
        # http.client's own "closed without response" is a ConnectionResetError too.
        assert not isinstance(caught.value, http.client.RemoteDisconnected)
        assert stored(sandbox) == builds


@pytest.mark.parametrize(("kind", "builds"), [("close", 0), ("close-after-store", 1)])
def test_close_ends_the_connection_without_an_answer(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(http.client.RemoteDisconnected):
            upload(sandbox)
        assert stored(sandbox) == builds


def test_truncated_answer_ends_in_the_middle_of_its_body():
    with Sandbox(World(), faults=["upload:truncate"]) as sandbox:
        with pytest.raises(http.client.IncompleteRead) as caught:
            upload(sandbox)
        assert caught.value.partial.startswith(b'{"message"')
        assert stored(sandbox) == 1


def test_no_id_omits_the_upload_id():
    with Sandbox(World(), faults=["upload:no-id"]) as sandbox:
        status, body, _ = upload(sandbox)
        assert (status, json.loads(body), stored(sandbox)) == (201, {"message": "Build queued for processing"}, 1)


def test_204_has_no_body():
    with Sandbox(World(), faults=["upload:204"]) as sandbox:
        status, body, headers = upload(sandbox)
        assert (status, body, stored(sandbox)) == (204, b"", 1)
    assert "Content-Length" not in headers


def test_slow_answer_ends_with_the_sandbox():
    with Sandbox(World(), faults=["upload:slow", "projects:slow"]) as sandbox:
        with pytest.raises(TimeoutError):
            upload(sandbox, timeout=0.1)
        assert stored(sandbox) == 1
        connection = connect(sandbox)
        connection.request("GET", f"/pixelStripeApi/projects?{urlencode(QUERY)}")
        response = connection.getresponse()
        assert response.read(2) == b'{"'
        sandbox.stop()
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        connection.close()


def test_redirect_to_another_host_is_recorded_if_followed():
    with Sandbox(World(), faults=["upload:redirect"]) as sandbox:
        status, _, headers = upload(sandbox)
        target = urlsplit(headers["Location"])
        assert (status, target.hostname, stored(sandbox)) == (302, "localhost", 0)
        assert target.port == urlsplit(sandbox.base_url).port
        assert ask(sandbox, "GET", target.path)[0] == 200
        assert sandbox.requests[-1].path == "/login"


def test_faulted_call_does_not_count_for_the_rate_limit():
    with Sandbox(World(window=60), faults=["upload:429", "upload:reset"]) as sandbox:
        assert upload(sandbox)[0] == 429
        with pytest.raises(ConnectionResetError):
            upload(sandbox)
        assert upload(sandbox)[0] == 201
