"""The sandbox over real sockets: HTTP as a client meets it, and every way it can be told to misbehave."""

import http.client
import json
import signal
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlencode, urlsplit

import pytest

from spcli.sandbox.faults import ENDPOINTS, KINDS, FaultPlan, parse_fault
from spcli.sandbox.seeds import MAIN, OTHER, SHOWROOM
from spcli.sandbox.server import Sandbox
from spcli.sandbox.webhooks import Courier
from spcli.sandbox.world import World

NOW = 1_750_000_000.0
PATIENCE = 5.0
UPLOAD = {
    "apiKey": MAIN.api_key,
    "userId": MAIN.user_id,
    "projectId": SHOWROOM.id,
    "fileUrl": "https://files.example.com/Game.zip?X-Amz-Signature=c0ffee",
}
QUERY = {"userId": MAIN.user_id, "apikey": MAIN.api_key}


class Dial:
    """A clock that moves when told."""

    def __init__(self, reading=NOW):
        self.reading = reading

    def __call__(self):
        return self.reading


def connect(sandbox, timeout=PATIENCE):
    return http.client.HTTPConnection("127.0.0.1", urlsplit(sandbox.base_url).port, timeout=timeout)


def ask(sandbox, method, path, *, body=None, timeout=PATIENCE):
    connection = connect(sandbox, timeout)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def upload(sandbox, **options):
    return ask(sandbox, "POST", "/pixelStripeApi/projects/upload-file", body=UPLOAD, **options)


def projects(sandbox, **options):
    return ask(sandbox, "GET", f"/pixelStripeApi/projects?{urlencode(QUERY)}", **options)


def stored(sandbox):
    return len(sandbox.world.builds_of(SHOWROOM.id)) - 3


def until(predicate):
    end = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_the_world_answers_over_http_as_json():
    with Sandbox(World(), now=Dial()) as sandbox:
        status, body, headers = upload(sandbox)
    assert (status, json.loads(body)["message"]) == (201, "Build queued for processing")
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Content-Length"] == str(len(body))
    assert headers["Date"] == "Sun, 15 Jun 2025 15:06:40 GMT"


def test_a_connection_is_kept_for_the_next_request():
    with Sandbox(World()) as sandbox:
        connection = connect(sandbox)
        ports = set()
        for _ in range(3):
            connection.request("GET", f"/pixelStripeApi/projects?{urlencode(QUERY)}")
            assert connection.getresponse().read().startswith(b'{"projects"')
            ports.add(connection.sock.getsockname()[1])
        connection.close()
    assert len(ports) == 1


def test_every_request_is_recorded_with_what_was_answered():
    with Sandbox(World(), now=Dial()) as sandbox:
        projects(sandbox)
        upload(sandbox)
        upload(sandbox)
        ask(sandbox, "GET", "/elsewhere")
    read, write, limited, beside = sandbox.requests
    assert read == (NOW, "GET", "/projects", tuple(QUERY.items()), b"", 200)
    assert (write.method, write.path, json.loads(write.body), write.status) == ("POST", "/projects/upload-file", UPLOAD, 201)
    assert (limited.status, beside.path, beside.status) == (429, "/elsewhere", 404)


def test_many_clients_at_once_get_one_upload_between_them():
    with Sandbox(World(window=60)) as sandbox:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(upload(sandbox)[0])) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [201] + [429] * 11
        assert stored(sandbox) == 1


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_not_found_in_json(method):
    with Sandbox(World()) as sandbox:
        status, body, _ = ask(sandbox, method, "/pixelStripeApi/projects")
    assert (status, json.loads(body)) == (404, {"message": "Not found"})


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Transfer-Encoding: chunked", 411),
        ("Content-Length: x", 411),
        ("Content-Length: 1048577", 413),
        (f"Content-Length: {'9' * 5000}", 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_ends(header, status):
    with Sandbox(World()) as sandbox:
        address = ("127.0.0.1", urlsplit(sandbox.base_url).port)
        raw = socket.create_connection(address, timeout=PATIENCE)
        with raw:
            raw.sendall(f"POST /pixelStripeApi/projects/upload-file HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_a_client_that_goes_away_prints_nothing(capfd):
    with Sandbox(World(), faults=["any:slowx*"]) as sandbox:
        port = urlsplit(sandbox.base_url).port
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        head = b"POST /pixelStripeApi/projects/upload-file HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n"
        for sent in (b"", b"GET", head + b"half", head + b"." * 50):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(sent)
                if sent.endswith(b"."):
                    until(lambda: sandbox.requests)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert capfd.readouterr() == ("", "")
    assert sandbox.requests[0].body == b"." * 50


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "example.com", "", "::"])
def test_only_loopback_addresses_are_served(host):
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(World(), host=host)


def test_a_loopback_address_of_version_6_is_served_where_there_is_one():
    try:
        sandbox = Sandbox(World(), host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        with socket.create_connection(("::1", urlsplit(sandbox.base_url).port), timeout=PATIENCE) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert raw.recv(15) == b"HTTP/1.1 200 OK"


def test_stopping_ends_hanging_connections_and_frees_the_port():
    sandbox = Sandbox(World(), faults=["any:hangx*"]).start()
    port = urlsplit(sandbox.base_url).port
    failures = []

    def hang():
        try:
            upload(sandbox)
        except (OSError, http.client.HTTPException) as error:
            failures.append(error)

    client = threading.Thread(target=hang)
    client.start()
    until(lambda: sandbox.requests)
    sandbox.stop()
    sandbox.stop()
    client.join(PATIENCE)
    assert len(failures) == 1
    assert not isinstance(failures[0], TimeoutError)
    with Sandbox(World(), port=port) as again:
        assert projects(again)[0] == 200


def test_a_sandbox_that_never_started_can_be_stopped():
    Sandbox(World(), webhook="http://127.0.0.1:9/").stop()


def test_in_the_foreground_it_serves_until_stopped_from_another_thread():
    sandbox = Sandbox(World())
    statuses = []

    def visit():
        statuses.append(projects(sandbox)[0])
        sandbox.stop()

    visitor = threading.Thread(target=visit)
    visitor.start()
    sandbox.serve_forever()
    visitor.join(PATIENCE)
    sandbox.stop()
    assert statuses == [200]


def test_ctrl_c_in_the_foreground_leaves_nothing_open():
    sandbox = Sandbox(World())

    def visit():
        projects(sandbox)
        signal.raise_signal(signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    with pytest.raises(KeyboardInterrupt):
        sandbox.serve_forever()
    visitor.join(PATIENCE)
    sandbox.stop()
    with pytest.raises(ConnectionRefusedError):
        projects(sandbox)


def test_exports_are_ready_to_paste_in_both_shells():
    sandbox = Sandbox(World(window=0.25))
    bash, powershell = sandbox.exports(OTHER)
    sandbox.stop()
    assert bash.splitlines() == [
        f"export STREAMPIXEL_API_KEY={OTHER.api_key}",
        f"export STREAMPIXEL_USER_ID={OTHER.user_id}",
        f"export STREAMPIXEL_BASE_URL={sandbox.base_url}",
        f"export STREAMPIXEL_PROJECT_ID={OTHER.projects[0].id}",
        "export SPCLI_WINDOW=0.25",
    ]
    assert powershell.splitlines()[2] == f"$env:STREAMPIXEL_BASE_URL = '{sandbox.base_url}'"
    assert len(powershell.splitlines()) == 5


@pytest.mark.parametrize(("window", "text"), [(0, "0.001"), (5, "5"), (10.0, "10"), (120, "120"), (2_000_000, "2000000")])
def test_the_exported_window_is_a_plain_number(window, text):
    sandbox = Sandbox(World(window=window))
    bash, _ = sandbox.exports(MAIN)
    sandbox.stop()
    assert bash.endswith(f"SPCLI_WINDOW={text}")


def test_the_page_lists_accounts_keys_projects_builds_and_faults():
    with Sandbox(World(reject="<b>*"), faults=["upload:hangx2", "any:500x*"], webhook="http://127.0.0.1:9/s3cret") as sandbox:
        sandbox.world.handle(sandbox.strip_base_path(_request("/projects/upload-file", UPLOAD)), sandbox.now())
        status, body, headers = ask(sandbox, "GET", "/")
    page = body.decode()
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    wanted = [MAIN.api_key, MAIN.user_id, OTHER.api_key, OTHER.user_id, sandbox.base_url, "東京ショールーム", "Trade Fair 2023"]
    wanted += ["Game.zip", "pending", "Reject", "upload:hangx2, any:500x*", "&lt;b&gt;*", "http://127.0.0.1:9<", "東京-1.0.zip"]
    assert [text for text in wanted if text not in page] == []
    assert [text for text in ("c0ffee", "s3cret", "<b>", "X-Amz") if text in page] == []


def _request(path, body):
    from spcli.sandbox.request import Request

    return Request("POST", "/pixelStripeApi" + path, (), "application/json", json.dumps(body).encode())


def test_the_log_has_a_line_a_request_and_no_key_or_query():
    lines = []
    with Sandbox(World(), faults=["upload:502html"], log=lines.append) as sandbox:
        upload(sandbox)
        projects(sandbox)
        ask(sandbox, "GET", "/pixelStripeApi/%1b%5b31m")
    assert lines == ["POST /projects/upload-file 502 (fault 502html)", "GET /projects 200", "GET /?[31m 404"]


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
def test_a_bad_fault_is_refused_with_everything_that_exists(spec):
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
def test_a_fault_is_read_from_its_text(spec, endpoint, kind, times):
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
def test_a_fault_meets_its_own_endpoint_only(method, path, endpoint):
    hit = [name for name in ENDPOINTS if FaultPlan([f"{name}:500"]).next_fault(method, path)]
    assert hit == ([endpoint, "any"] if endpoint != "any" else ["any"])


def test_faults_come_in_their_order_and_then_the_service_answers():
    with Sandbox(World(), faults=["upload:500x2", "upload:503"]) as sandbox:
        assert len(sandbox.faults_left) == 2
        assert [upload(sandbox)[0] for _ in range(4)] == [500, 500, 503, 201]
        assert sandbox.faults_left == []


def test_a_fault_for_always_never_ends():
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
def test_a_status_fault_bears_the_documented_message_and_stores_nothing(kind, message):
    with Sandbox(World(window=7), faults=[f"upload:{kind}"]) as sandbox:
        status, body, _ = upload(sandbox)
        assert (status, json.loads(body), stored(sandbox)) == (int(kind), {"message": message}, 0)


@pytest.mark.parametrize(
    ("kind", "status", "builds"), [("502html", 502, 0), ("403html", 403, 0), ("html", 200, 0), ("504html-after-store", 504, 1)]
)
def test_a_gateways_page_is_html(kind, status, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        got, body, headers = upload(sandbox)
        assert (got, stored(sandbox), sandbox.requests[0].status) == (status, builds, status)
    assert headers["Content-Type"].startswith("text/html")
    assert b"<html>" in body


def test_a_500_can_come_although_the_build_was_stored():
    with Sandbox(World(), faults=["upload:500-after-store"]) as sandbox:
        assert (upload(sandbox)[0], stored(sandbox)) == (500, 1)


@pytest.mark.parametrize(("kind", "builds"), [("hang", 0), ("hang-after-store", 1)])
def test_a_hang_never_answers(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(TimeoutError):
            upload(sandbox, timeout=0.2)
        assert (stored(sandbox), sandbox.requests[0].status) == (builds, 0)
        assert projects(sandbox)[0] == 200


@pytest.mark.parametrize(("kind", "builds"), [("reset", 0), ("reset-after-store", 1)])
def test_a_reset_is_a_real_one(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(ConnectionResetError) as caught:
            upload(sandbox)
        # http.client's own "closed without response" is a ConnectionResetError too.
        assert not isinstance(caught.value, http.client.RemoteDisconnected)
        assert stored(sandbox) == builds


@pytest.mark.parametrize(("kind", "builds"), [("close", 0), ("close-after-store", 1)])
def test_a_close_ends_the_connection_without_an_answer(kind, builds):
    with Sandbox(World(), faults=[f"upload:{kind}"]) as sandbox:
        with pytest.raises(http.client.RemoteDisconnected):
            upload(sandbox)
        assert stored(sandbox) == builds


def test_a_truncated_answer_ends_in_the_middle_of_its_body():
    with Sandbox(World(), faults=["upload:truncate"]) as sandbox:
        with pytest.raises(http.client.IncompleteRead) as caught:
            upload(sandbox)
        assert caught.value.partial.startswith(b'{"message"')
        assert stored(sandbox) == 1


def test_an_accepted_upload_can_come_without_its_id():
    with Sandbox(World(), faults=["upload:no-id"]) as sandbox:
        status, body, _ = upload(sandbox)
        assert (status, json.loads(body), stored(sandbox)) == (201, {"message": "Build queued for processing"}, 1)


def test_an_accepted_upload_can_come_with_an_empty_204():
    with Sandbox(World(), faults=["upload:204"]) as sandbox:
        status, body, headers = upload(sandbox)
        assert (status, body, stored(sandbox)) == (204, b"", 1)
    assert "Content-Length" not in headers


def test_a_slow_answer_drips_and_ends_with_the_sandbox():
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


def test_a_redirect_leads_to_another_host_and_following_it_is_seen():
    with Sandbox(World(), faults=["upload:redirect"]) as sandbox:
        status, _, headers = upload(sandbox)
        target = urlsplit(headers["Location"])
        assert (status, target.hostname, stored(sandbox)) == (302, "localhost", 0)
        assert target.port == urlsplit(sandbox.base_url).port
        assert ask(sandbox, "GET", target.path)[0] == 200
        assert sandbox.requests[-1].path == "/login"


def test_a_faulted_call_uses_no_window_up():
    with Sandbox(World(window=60), faults=["upload:429", "upload:reset"]) as sandbox:
        assert upload(sandbox)[0] == 429
        with pytest.raises(ConnectionResetError):
            upload(sandbox)
        assert upload(sandbox)[0] == 201


class Receiver:
    """A webhook's other end: keeps what arrives, answers `status`, or nothing while `status` is 0."""

    def __init__(self, status=200):
        self.events = []
        self.types = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.events.append(json.loads(body))
                receiver.types.append((self.path, self.headers["Content-Type"]))
                if not status:
                    receiver.release.wait(PATIENCE)
                    return
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=s3cret"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.thread.join(PATIENCE)
        self.server.server_close()


def test_every_change_of_a_build_is_delivered_once_and_in_order():
    clock, lines = Dial(), []
    with Receiver() as receiver, Sandbox(World(stage=2), now=clock, webhook=receiver.url, log=lines.append) as sandbox:
        upload_id = json.loads(upload(sandbox)[1])["uploadId"]
        until(lambda: len(receiver.events) == 1)
        clock.reading += 100
        until(lambda: len(receiver.events) == 6)
        until(lambda: len(lines) == 7)
    assert [event["status"] for event in receiver.events] == [
        "pending",
        "Downloading Files",
        "Extracting & Scanning",
        "Saving to Repository",
        "Distribute",
        "Approved",
    ]
    assert {event["uploadId"] for event in receiver.events} == {upload_id}
    assert set(receiver.types) == {("/hook?token=s3cret", "application/json")}
    assert lines[-1] == "webhook build.approved 200"
    assert "s3cret" not in "".join(lines)


def test_a_delivery_that_fails_is_never_repeated():
    clock, lines = Dial(), []
    with Receiver(status=500) as receiver, Sandbox(World(stage=2), now=clock, webhook=receiver.url, log=lines.append) as sandbox:
        upload(sandbox)
        until(lambda: "webhook build.uploaded 500" in lines)
        clock.reading += 100
        until(lambda: "webhook build.approved 500" in lines)
    assert [event["event"] for event in receiver.events].count("build.uploaded") == 1
    assert len(receiver.events) == 6


def test_a_receiver_that_does_not_answer_is_given_up_after_the_timeout():
    lines = []
    with Receiver(status=0) as receiver:
        courier = Courier(receiver.url, list, timeout=0.1, log=lines.append)
        assert courier.deliver({"event": "build.uploaded"}) == 0
    assert (lines, len(receiver.events)) == (["webhook build.uploaded no answer"], 1)


def test_stopping_does_not_wait_for_a_receiver():
    lines = []
    with Receiver(status=0) as receiver:
        with Sandbox(World(), webhook=receiver.url, log=lines.append) as sandbox:
            upload(sandbox)
            until(lambda: receiver.events)
        assert lines[1:] == ["webhook build.uploaded no answer"]
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("sandbox")] == []


@pytest.mark.parametrize(("status", "success"), [(204, True), (500, False)])
def test_test_webhook_delivers_an_event_and_reports_the_receivers_status(status, success):
    with Receiver(status) as receiver, Sandbox(World(), webhook=receiver.url) as sandbox:
        got, body, _ = ask(sandbox, "POST", "/pixelStripeApi/projects/test-webhook", body=UPLOAD)
    report = json.loads(body)
    assert (got, report["success"], report["statusCode"]) == (200, success, status)
    assert [event["event"] for event in receiver.events] == ["webhook.test"]


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://["])
def test_a_webhook_must_be_an_http_url(url):
    with pytest.raises(ValueError, match="not a webhook URL"):
        Sandbox(World(), webhook=url)
