"""`spcli webhooks listen` as a process: real sockets, bursts, kills."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import until

pytest.importorskip("uvicorn")
TOKEN = "t0ken-t0ken-t0ken-t0ken"


class Listener:
    """One running listener."""

    def __init__(
        self,
        home: Path,
        *words: str,
        token: str | None = TOKEN,
        base_url: str = "http://127.0.0.1:9",
        under: tuple[str, ...] = (),
    ) -> None:
        environ = {**os.environ, "SPCLI_CONFIG": str(home / "config.toml"), "SPCLI_STATE_DIR": str(home / "state")}
        environ |= {
            "STREAMPIXEL_API_KEY": "listen-key-c4n4ry",
            "STREAMPIXEL_USER_ID": "u" * 24,
            "STREAMPIXEL_BASE_URL": base_url,
        }
        argv = [*under, sys.executable, "-m", "spcli", "webhooks", "listen", "--json", *words]
        self.home, self.environ = home, environ
        self.process = subprocess.Popen(
            argv + (["--path-token", token] if token else []),
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        first = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/hooks/(\S+)", first)
        assert found is not None, first + self.process.communicate()[1]
        self.port, self.token = int(found[1]), found[2]

    def post(self, body: bytes, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", f"/hooks/{self.token}", body, {"Content-Type": "application/json", **headers})
            return connection.getresponse().status
        finally:
            connection.close()

    def stored(self) -> list[str]:
        listed = subprocess.run(
            [sys.executable, "-m", "spcli", "webhooks", "events", "--limit", "0", "--json"],
            env=self.environ, capture_output=True, check=True,
        )  # fmt: skip
        return [event["uploadId"] for event in json.loads(listed.stdout)]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def event(upload_id: str, name: str = "build.approved") -> bytes:
    status = "Reject" if name == "build.rejected" else "Approved"
    return json.dumps(
        {"event": name, "projectId": "p", "uploadId": upload_id, "status": status, "timestamp": "2026-09-21T13:33:20Z"}
    ).encode()


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(*words: str, **options: Any) -> Listener:
        started.append(Listener(tmp_path, *words, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def test_an_event_is_printed_stored_and_recognised_when_it_comes_again(listen: Callable[..., Listener]) -> None:
    listener = listen()
    assert [listener.post(event("u1")), listener.post(event("u1")), listener.post(event("u2"))] == [200, 200, 200]
    assert listener.stored() == ["u1", "u2"]
    code, out, err = listener.end()
    assert code == 130
    assert [json.loads(line)["uploadId"] for line in out.splitlines()] == ["u1", "u2"]
    assert "Traceback" not in err
    assert TOKEN not in out + err


def test_a_token_is_made_up_and_differs_each_time(listen: Callable[..., Listener]) -> None:
    tokens = {listen(token=None).token for _ in range(2)}
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 22


def test_two_thousand_events_as_fast_as_can_be_are_all_stored(listen: Callable[..., Listener]) -> None:
    listener = listen()
    drain = threading.Thread(target=lambda: listener.process.stdout and listener.process.stdout.read(), daemon=True)
    drain.start()

    def burst(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=60)
        for number in range(first, 2000, 8):
            body = event(f"u{number}")
            for _attempt in range(3):
                try:
                    connection.request("POST", f"/hooks/{TOKEN}", body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    statuses.append(answer.status)
                    break
                except (OSError, http.client.HTTPException):
                    # A connection lives ten seconds; a fresh one goes on where it ended, and the same event twice is one.
                    connection.close()
        connection.close()

    statuses: list[int] = []
    threads = [threading.Thread(target=burst, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 2000
    assert sorted(listener.stored()) == sorted(f"u{number}" for number in range(2000))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_no_acknowledged_event_is_lost_by_a_kill(listen: Callable[..., Listener]) -> None:
    listener = listen()
    acknowledged: list[str] = []

    def post_on() -> None:
        for number in range(100_000):
            try:
                if listener.post(event(f"u{number}")) == 200:
                    acknowledged.append(f"u{number}")
            except (OSError, http.client.HTTPException):
                return

    sender = threading.Thread(target=post_on)
    sender.start()
    while len(acknowledged) < 60:
        time.sleep(0.01)
    listener.process.kill()
    sender.join()
    assert set(acknowledged) <= set(listener.stored())


def test_an_idle_flood_of_connections_does_not_shut_the_door(listen: Callable[..., Listener]) -> None:
    listener = listen()
    idle = []
    for _ in range(60):
        one = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
        one.sendall(b"POST /hooks/x HTTP/1.1\r\nHost: ")
        idle.append(one)
    for one in idle:
        one.close()
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if listener.post(event("u1")) == 200:
                break
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
    assert listener.stored() == ["u1"]


def test_large_and_endless_bodies_are_refused_and_memory_is_not_their_size(listen: Callable[..., Listener]) -> None:
    listener = listen()
    assert listener.post(b'{"event": "' + b"x" * 70_000 + b'"}') == 413
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as raw:
        head = (f"POST /hooks/{TOKEN} HTTP/1.1", f"Host: 127.0.0.1:{listener.port}", "Content-Type: application/json")
        raw.sendall("\r\n".join((*head, "Transfer-Encoding: chunked", "", "")).encode())
        sent = 0
        try:
            while sent < 4_000_000:
                raw.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                sent += 4096
        except OSError:
            pass
        assert sent < 4_000_000 or b" 413 " in raw.recv(200)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 40_000)
        try:
            answered = raw.recv(100)
        except OSError:
            answered = b""
        assert answered == b"" or b" 4" in answered
    assert listener.post(event("u1")) == 200


def test_slow_forward_target_never_delays_the_answer(listen: Callable[..., Listener]) -> None:
    from tests.faultd import FaultServer, hang

    with FaultServer(handler=lambda _request: hang(), strict=False) as target:
        listener = listen("--forward-to", f"{target.url}/in")
        begun = time.monotonic()
        assert [listener.post(event(f"u{number}")) for number in range(5)] == [200] * 5
        # Each forward that was waited for would take five seconds.
        assert time.monotonic() - begun < 20


def test_forwarded_payload_is_the_one_that_came(listen: Callable[..., Listener]) -> None:
    from tests.faultd import FaultServer, answer

    arrived = threading.Event()

    def take(request: object) -> object:
        arrived.set()
        return answer(200, {})

    with FaultServer(handler=take, strict=False) as target:
        listener = listen("--forward-to", f"{target.url}/in", "--event", "build.*")
        listener.post(event("u0", "webhook.test"))
        listener.post(event("u1"))
        assert arrived.wait(10)
        listener.end()
        assert [json.loads(request.body)["uploadId"] for request in target.ledger] == ["u1"]


def test_a_target_that_refuses_redirects_or_is_gone_is_told_and_its_redirect_not_followed(
    listen: Callable[..., Listener],
) -> None:
    from tests.faultd import FaultServer, answer, close_after_request, redirect

    with FaultServer() as elsewhere:
        script = [answer(500, {}), redirect(f"{elsewhere.url}/login", 307), close_after_request(), answer(204, b"")]
        with FaultServer(script) as target:
            listener = listen("--forward-to", f"{target.url}/in?token=5ec4e7")
            for number in range(4):
                listener.post(event(f"u{number}"))
            until = time.monotonic() + 60
            while len(target.ledger) < 4 and time.monotonic() < until:
                time.sleep(0.02)
            _code, _out, err = listener.end()
        assert elsewhere.connections == 0
    assert re.findall("forwarding.*", err) == [
        "forwarding: the target answered 500",
        "forwarding: the target answered 307",
        "forwarding failed: RemoteProtocolError",
    ]
    assert "5ec4e7" not in err


def test_exec_gets_the_payload_on_its_input_and_no_key(listen: Callable[..., Listener], tmp_path: Path) -> None:
    script = tmp_path / "take.py"
    script.write_text(
        "import os, sys, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'got')!r}).write_text(sys.stdin.read() + str(sorted(os.environ)))\n"
        "print('noise on stdout')\n"
    )
    listener = listen("--exec", f"'{sys.executable}' '{script}'")
    listener.post(event("u1; rm -rf /"))
    until = time.monotonic() + 60
    while not (tmp_path / "got").exists() and time.monotonic() < until:
        time.sleep(0.05)
    _code, out, _err = listener.end()
    got = (tmp_path / "got").read_text()
    assert '"u1; rm -rf /"' in got
    assert "STREAMPIXEL_API_KEY" not in got
    assert "noise" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_in_the_shell_ends_neither_a_listener_in_the_background_nor_its_command(
    listen: Callable[..., Listener], tmp_path: Path
) -> None:
    got = tmp_path / "got"
    script = tmp_path / "take.py"
    script.write_text(
        f"import os, pathlib, signal\npart = pathlib.Path({str(got) + '.part'!r})\n"
        f"part.write_text(str(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))\nos.replace(part, {str(got)!r})\n"
    )
    listener = listen("--exec", f"'{sys.executable}' '{script}'", under=("sh", "-c", 'trap "" INT; exec "$@"', "sh"))
    assert listener.post(event("u1")) == 200
    until(got.exists)
    assert got.read_text() == "True"
    listener.process.send_signal(signal.SIGINT)
    assert listener.post(event("u2")) == 200
    code, out, _err = listener.end(signal.SIGTERM)
    assert (code, len(out.splitlines())) == (143, 2)


def test_the_url_stays_the_same_with_a_token_of_ones_own_and_else_it_is_said_to_change(listen: Callable[..., Listener]) -> None:
    words = ("--public-url", "https://hooks.example.com")
    for token, changes in ((TOKEN, False), (TOKEN, False), (None, True)):
        listener = listen(*words, token=token)
        assert listener.post(event("u1")) == 200
        listener.process.send_signal(signal.SIGINT)
        assert listener.process.stderr is not None
        err = listener.process.stderr.read()
        assert ("--path-token TOKEN keeps it" in err) is changes


@pytest.mark.parametrize(("name", "code"), [("build.approved", 0), ("build.rejected", 10)])
def test_until_ends_with_the_builds_verdict(listen: Callable[..., Listener], name: str, code: int) -> None:
    listener = listen("--until", "build.approved", "--upload-id", "u1")
    listener.post(event("other"))
    listener.post(event("u1", name))
    out, err = listener.process.communicate(timeout=60)
    assert listener.process.returncode == code, out + err


def test_until_does_not_believe_an_event_that_the_service_denies(listen: Callable[..., Listener]) -> None:
    from spcli.sandbox.seeds import MAIN
    from tests.faultd import FaultServer, answer

    files = [{"_id": "u1", "url": "https://x/G.zip", "status": "Downloading Files", "date": "2026-09-21T13:33:20Z"}]
    project = {"id": MAIN.projects[0].id, "name": "P", "files": files}

    with FaultServer(handler=lambda _request: answer(200, project), strict=False) as target:
        listener = listen("--until", "build.approved", "--upload-id", "u1", "--deadline", "6s", base_url=target.url)
        listener.post(event("u1"))
        out, err = listener.process.communicate(timeout=60)
    assert listener.process.returncode == 11, out + err
    assert "the service says Downloading Files" in err


def project(status: str, upload_id: str = "u1") -> dict[str, Any]:
    from spcli.sandbox.seeds import MAIN

    files = [{"_id": upload_id, "url": "https://x/G.zip", "status": status, "date": "2026-09-21T13:33:20Z"}]
    return {"id": MAIN.projects[0].id, "name": "P", "files": files}


def answering(status: int, body: Any) -> Any:
    """A service that knows one project, and answers so when its builds are asked for."""
    from tests.faultd import FaultServer, answer

    listed = {"projects": [{"_id": "p" * 24, "name": "P"}], "totalPages": 1}

    def handler(request: Any) -> Any:
        return answer(200, listed) if request.path == "/projects" else answer(status, body)

    return FaultServer(handler=handler, strict=False)


@pytest.mark.parametrize(("status", "code"), [("Approved", 0), ("Reject", 10)])
def test_until_ends_without_an_event_when_the_build_has_ended_already(
    listen: Callable[..., Listener], status: str, code: int
) -> None:
    with answering(200, project(status)) as service:
        listener = listen("--until", "build.approved", "--upload-id", "u1", "--deadline", "30s", base_url=service.url)
        out, err = listener.process.communicate(timeout=60)
    assert (listener.process.returncode, out) == (code, ""), err
    assert f"the service says {status}" in err


@pytest.mark.parametrize(
    ("status", "body", "codes"), [(200, project("Approved", "other"), {11, 13}), (401, {"message": "No"}, {41})]
)
def test_until_does_not_believe_an_event_that_the_service_knows_nothing_of(
    listen: Callable[..., Listener], status: int, body: Any, codes: set[int]
) -> None:
    """Whatever project the event names: the one in force is asked."""
    with answering(status, body) as service:
        listener = listen("--until", "build.approved", "--upload-id", "u1", "--deadline", "3s", base_url=service.url)
        listener.post(event("u1"))
        _out, err = listener.process.communicate(timeout=60)
    assert listener.process.returncode in codes, err


def test_a_reader_of_the_output_that_stands_still_costs_no_event(listen: Callable[..., Listener]) -> None:
    listener = listen()
    # Nobody reads the pipe: it holds some hundred lines.
    assert {listener.post(event(f"u{number:04}")) for number in range(600)} == {200}
    assert len(listener.stored()) == 600
    listener.process.send_signal(signal.SIGTERM)
    assert listener.process.wait(20) == 143


def test_a_command_is_run_for_the_event_that_ends_the_wait(listen: Callable[..., Listener], tmp_path: Path) -> None:
    script = tmp_path / "take.py"
    script.write_text(
        "import json, sys, time\n"
        "name = json.load(sys.stdin)['event']\n"
        "time.sleep(3 if name == 'build.saving' else 0)\n"
        f"open({str(tmp_path / 'got')!r}, 'a').write(name + '\\n')\n"
    )
    listener = listen("--exec", f"'{sys.executable}' '{script}'", "--until", "build.approved")
    listener.post(event("u1", "build.saving"))
    listener.post(event("u1"))
    _out, err = listener.process.communicate(timeout=60)
    assert listener.process.returncode == 0, err
    assert (tmp_path / "got").read_text().split() == ["build.saving", "build.approved"]


def test_two_listeners_on_one_state_both_hear_of_an_event_and_store_it_once(listen: Callable[..., Listener]) -> None:
    first, second = listen(), listen()
    assert [first.post(event("u1")), second.post(event("u1")), second.post(event("u1"))] == [200, 200, 200]
    assert first.stored() == ["u1"]
    for listener in (first, second):
        _code, out, _err = listener.end()
        assert [json.loads(line)["uploadId"] for line in out.splitlines()] == ["u1"]


def test_verbosely_it_tells_which_deliveries_were_not_taken(listen: Callable[..., Listener]) -> None:
    listener = listen("-v")
    assert listener.post(b"{}") == 400
    assert listener.post(event("u1"), Origin="https://evil.example") == 403
    _code, _out, err = listener.end()
    assert [line.partition(": ")[2][:3] for line in err.splitlines() if "was not taken" in line] == ["400", "403"]


def test_an_action_that_breaks_does_not_end_the_ones_after_it() -> None:
    from spcli.webhooks.forward import Worker

    done = threading.Event()
    told: list[str] = []

    def act(body: bytes) -> str | None:
        if body == b"bad":
            raise ValueError("secret")
        done.set()
        return None

    worker = Worker([act], told.append)
    worker.put(b"bad")
    worker.put(b"good")
    assert done.wait(10)
    worker.close(5)
    assert told == ["handing on failed: ValueError"]


def test_a_host_that_is_not_ours_is_not_blamed_on_the_port(tmp_path: Path) -> None:
    environ = {**os.environ, "SPCLI_CONFIG": str(tmp_path / "c"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    argv = [sys.executable, "-m", "spcli", "webhooks", "listen", "--host", "192.0.2.1"]
    ended = subprocess.run(argv, env=environ, capture_output=True, timeout=60, text=True)
    assert ended.returncode == 2, ended
    assert "--host" in ended.stderr


def test_quietly_it_needs_the_token_that_it_would_not_show(tmp_path: Path) -> None:
    environ = {**os.environ, "SPCLI_CONFIG": str(tmp_path / "c"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    argv = [sys.executable, "-m", "spcli", "webhooks", "listen", "-q"]
    ended = subprocess.run(argv, env=environ, capture_output=True, timeout=60, text=True)
    assert (ended.returncode, "--path-token" in ended.stderr) == (2, True), ended


def test_until_ends_at_the_deadline(listen: Callable[..., Listener]) -> None:
    listener = listen("--until", "build.approved", "--deadline", "0.3s")
    out, err = listener.process.communicate(timeout=30)
    assert (listener.process.returncode, out) == (11, ""), err


@pytest.mark.parametrize(
    "words",
    [
        ("--path-token", "short"),
        ("--public-url", "ftp://x"),
        ("--public-url", "https://hooks.example.com:99999"),
        ("--forward-to", "http://example.com/"),
        ("--forward-to", "http://127.0.0.1:99999/x"),
        ("--forward-to", "http://127.0.0.1:9/\u00e9"),
        ("--exec", "'unclosed"),
        ("--exec", "/no/such/program"),
        ("--until", "x"),
    ],
)
def test_unfit_options_are_usage_errors(tmp_path: Path, words: tuple[str, str]) -> None:
    environ = {**os.environ, "SPCLI_CONFIG": str(tmp_path / "c"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    ended = subprocess.run(
        [sys.executable, "-m", "spcli", "webhooks", "listen", *words], env=environ, capture_output=True, timeout=60
    )
    assert ended.returncode == 2, ended
    assert words[0].encode() in ended.stderr.splitlines()[0]
