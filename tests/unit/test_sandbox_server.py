"""The sandbox over real sockets: HTTP as a client sees it."""

import http.client
import json
import signal
import socket
import struct
import sys
import threading
import time
from urllib.parse import urlencode, urlsplit

import pytest

from spcli.sandbox.request import Request
from spcli.sandbox.seeds import MAIN, OTHER
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from tests.unit.sandbox_calls import NOW, PATIENCE, QUERY, UPLOAD, Dial, ask, connect, projects, stored, until, upload


def test_sandbox_answers_in_json_over_http():
    with Sandbox(World(), now=Dial()) as sandbox:
        status, body, headers = upload(sandbox)
    assert (status, json.loads(body)["message"]) == (201, "Build queued for processing")
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Content-Length"] == str(len(body))
    assert headers["Date"] == "Sun, 15 Jun 2025 15:06:40 GMT"


def test_connection_is_kept_alive():
    with Sandbox(World()) as sandbox:
        connection = connect(sandbox)
        ports = set()
        for _ in range(3):
            connection.request("GET", f"/pixelStripeApi/projects?{urlencode(QUERY)}")
            assert connection.getresponse().read().startswith(b'{"projects"')
            ports.add(connection.sock.getsockname()[1])
        connection.close()
    assert len(ports) == 1


def test_requests_are_recorded_with_their_status():
    with Sandbox(World(), now=Dial()) as sandbox:
        projects(sandbox)
        upload(sandbox)
        upload(sandbox)
        ask(sandbox, "GET", "/elsewhere")
    read, write, limited, beside = sandbox.requests
    assert read == (NOW, "GET", "/projects", tuple(QUERY.items()), b"", 200)
    assert (write.method, write.path, json.loads(write.body), write.status) == ("POST", "/projects/upload-file", UPLOAD, 201)
    assert (limited.status, beside.path, beside.status) == (429, "/elsewhere", 404)


def test_only_one_of_many_simultaneous_uploads_is_accepted():
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
def test_unknown_method_is_a_404_in_json(method):
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
def test_unreadable_body_is_refused_and_ends_the_connection(header, status):
    with Sandbox(World()) as sandbox:
        address = ("127.0.0.1", urlsplit(sandbox.base_url).port)
        raw = socket.create_connection(address, timeout=PATIENCE)
        with raw:
            raw.sendall(f"POST /pixelStripeApi/projects/upload-file HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_client_that_disconnects_prints_nothing(capfd):
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
def test_only_loopback_addresses_are_accepted(host):
    with pytest.raises(ValueError, match="this machine only"):
        Sandbox(World(), host=host)


def test_ipv6_loopback_address_is_served():
    try:
        sandbox = Sandbox(World(), host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with sandbox:
        assert sandbox.base_url.startswith("http://[::1]:")
        with socket.create_connection(("::1", urlsplit(sandbox.base_url).port), timeout=PATIENCE) as raw:
            raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert raw.recv(15) == b"HTTP/1.1 200 OK"


def test_stop_ends_hanging_connections_and_frees_the_port():
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


def test_stop_does_not_wait_for_an_idle_connection():
    sandbox = Sandbox(World()).start()
    idle = [connect(sandbox) for _ in range(3)]
    for connection in idle:
        connection.request("GET", "/")
        connection.getresponse().read()
    begun = time.monotonic()
    sandbox.stop()
    assert time.monotonic() - begun < 1.5
    for connection in idle:
        connection.close()


def test_sandbox_can_be_stopped_before_it_starts():
    Sandbox(World(), webhook="http://127.0.0.1:9/").stop()


def test_foreground_sandbox_can_be_stopped_by_another_thread():
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


def test_ctrl_c_in_the_foreground_closes_the_port():
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


def test_exports_can_be_pasted_into_every_shell():
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
    assert sandbox.cmd_exports(OTHER).splitlines()[2] == f'set "STREAMPIXEL_BASE_URL={sandbox.base_url}"'


@pytest.mark.parametrize(("window", "text"), [(0, "0.001"), (5, "5"), (10.0, "10"), (120, "120"), (2_000_000, "2000000")])
def test_exported_window_is_a_plain_number(window, text):
    sandbox = Sandbox(World(window=window))
    bash, _ = sandbox.exports(MAIN)
    sandbox.stop()
    assert bash.endswith(f"SPCLI_WINDOW={text}")


def test_page_lists_accounts_keys_projects_builds_and_faults():
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

    return Request("POST", "/pixelStripeApi" + path, (), "application/json", json.dumps(body).encode())


def test_log_has_one_line_per_request_without_keys_and_queries():
    lines = []
    with Sandbox(World(), faults=["upload:502html"], log=lines.append) as sandbox:
        upload(sandbox)
        projects(sandbox)
        ask(sandbox, "GET", "/pixelStripeApi/%1b%5b31m")
    assert lines == ["POST /projects/upload-file 502 (fault 502html)", "GET /projects 200", "GET /?[31m 404"]
