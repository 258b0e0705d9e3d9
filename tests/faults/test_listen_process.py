"""`spcli webhooks listen` as a process: real sockets, bursts, kills, and what events are handed on to."""

import contextlib
import http.client
import json
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from spcli.webhooks.forward import Worker
from tests.faultd import Behaviour, FaultServer, Request, answer, close_after_request, hang, redirect
from tests.faults.listening import TOKEN, Listener, event, take_script
from tests.processes import until

pytest.importorskip("uvicorn")
BURST = 480


def test_event_is_printed_and_stored_once_though_it_comes_again(listen: Callable[..., Listener]) -> None:
    listener = listen()
    assert [listener.post(event("u1")), listener.post(event("u1")), listener.post(event("u2"))] == [200, 200, 200]
    assert listener.stored() == ["u1", "u2"]
    code, out, err = listener.end()
    assert code == 130
    assert [json.loads(line)["uploadId"] for line in out.splitlines()] == ["u1", "u2"]
    assert "Traceback" not in err
    assert TOKEN not in out + err


def test_ctrl_c_ends_without_a_message_and_times_have_seconds(listen: Callable[..., Listener]) -> None:
    listener = listen(is_json=False)
    assert listener.post(event("u1")) == 200
    code, out, err = listener.end()
    assert (code, err) == (130, "")
    assert re.fullmatch(r"2026-09-2\d \d\d:33:20  build.approved  u1  Approved\n", out)


def test_url_changes_with_each_start_unless_the_token_is_given(listen: Callable[..., Listener]) -> None:
    words = ("--public-url", "https://hooks.example.com")
    listeners = [listen(*words, token=token) for token in (TOKEN, None, None)]
    assert len({listener.token for listener in listeners}) == 3
    assert min(len(listener.token) for listener in listeners) >= 22
    for listener, changes in zip(listeners, (False, True, True), strict=True):
        assert listener.post(event("u1")) == 200
        _code, _out, err = listener.end()
        assert f"https://hooks.example.com/hooks/{listener.token}" in err
        assert ("keep it with --path-token TOKEN" in err) is changes


def test_burst_of_events_is_stored_without_a_loss(listen: Callable[..., Listener]) -> None:
    listener = listen()
    drain = threading.Thread(target=lambda: listener.process.stdout and listener.process.stdout.read(), daemon=True)
    drain.start()

    def burst(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=60)
        for number in range(first, BURST, 8):
            body = event(f"u{number}")
            for _attempt in range(3):
                try:
                    connection.request("POST", f"/hooks/{TOKEN}", body, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    response.read()
                    statuses.append(response.status)
                    break
                except (OSError, http.client.HTTPException):
                    # A connection lives ten seconds. A new one continues; the same event twice is stored once.
                    connection.close()
        connection.close()

    statuses: list[int] = []
    threads = [threading.Thread(target=burst, args=(first,)) for first in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * BURST
    assert sorted(listener.stored()) == sorted(f"u{number}" for number in range(BURST))


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
    until(lambda: len(acknowledged) >= 60)
    listener.process.kill()
    sender.join()
    assert set(acknowledged) <= set(listener.stored())


def test_flood_of_idle_connections_does_not_lock_deliveries_out(listen: Callable[..., Listener]) -> None:
    listener = listen()
    idle = []
    for _ in range(60):
        one = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
        one.sendall(b"POST /hooks/x HTTP/1.1\r\nHost: ")
        idle.append(one)
    for one in idle:
        one.close()

    def delivered() -> bool:
        try:
            return listener.post(event("u1")) == 200
        except (OSError, http.client.HTTPException):
            return False

    until(delivered)
    assert listener.stored() == ["u1"]


def test_idle_connections_without_the_token_neither_delay_a_delivery_nor_live_long(listen: Callable[..., Listener]) -> None:
    listener = listen()
    idle = [socket.create_connection(("127.0.0.1", listener.port), timeout=10) for _ in range(100)]
    begun = time.monotonic()
    assert listener.post(event("u1")) == 200
    for one in idle:
        with one, contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""
    # Without the token a connection lives for 2 s instead of 10 s.
    assert time.monotonic() - begun < 8


def test_delivery_for_an_unknown_host_warns_once_and_names_the_option(listen: Callable[..., Listener]) -> None:
    listener = listen()
    assert [listener.post(event("u1"), Host="abc.tunnel.example") for _ in range(3)] == [403] * 3
    _code, _out, err = listener.end()
    assert [line for line in err.splitlines() if "tunnel.example" in line] == [
        "warning: a delivery with the right token was refused because it is addressed to abc.tunnel.example:"
        " add --public-url https://abc.tunnel.example"
    ]


def test_large_and_endless_bodies_and_headers_are_refused(listen: Callable[..., Listener]) -> None:
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
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as raw:
        raw.sendall("\r\n".join((*head, "Content-Length: 2", "X: " + "y" * 20_000, "", "{}")).encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 431 ")
    assert listener.post(event("u1")) == 200


def test_slow_forward_target_never_delays_the_answer(listen: Callable[..., Listener]) -> None:
    with FaultServer(handler=lambda _request: hang(), strict=False) as target:
        listener = listen("--forward-to", f"{target.url}/in")
        begun = time.monotonic()
        assert [listener.post(event(f"u{number}")) for number in range(5)] == [200] * 5
        # Each forward that was waited for would take five seconds.
        assert time.monotonic() - begun < 20


def test_forwarded_payload_is_the_one_that_came(listen: Callable[..., Listener]) -> None:
    arrived = threading.Event()

    def take(_request: Request) -> Behaviour:
        arrived.set()
        return answer(200, {})

    with FaultServer(handler=take, strict=False) as target:
        listener = listen("--forward-to", f"{target.url}/in", "--event", "build.*")
        listener.post(event("u0", "webhook.test"))
        listener.post(event("u1"))
        assert arrived.wait(10)
        listener.end()
        assert [json.loads(request.body)["uploadId"] for request in target.ledger] == ["u1"]


def test_forward_target_that_refuses_redirects_or_is_gone_is_reported_and_not_followed(
    listen: Callable[..., Listener],
) -> None:
    with FaultServer() as elsewhere:
        script = [answer(500, {}), redirect(f"{elsewhere.url}/login", 307), close_after_request(), answer(204, b"")]
        with FaultServer(script) as target:
            listener = listen("--forward-to", f"{target.url}/in?token=5ec4e7")
            for number in range(4):
                listener.post(event(f"u{number}"))
            until(lambda: len(target.ledger) == 4)
            _code, _out, err = listener.end()
        assert elsewhere.connections == 0
    assert re.findall("forwarding.*", err) == [
        "forwarding failed: the target answered 500",
        "forwarding failed: the target answered 307",
        "forwarding failed: RemoteProtocolError",
    ]
    assert "5ec4e7" not in err


def test_exec_gets_the_payload_on_its_input_and_no_key(listen: Callable[..., Listener], tmp_path: Path) -> None:
    take = "pathlib.Path(got + '.part').write_text(sys.stdin.read() + str(sorted(os.environ)))\n"
    listener = listen("--exec", take_script(tmp_path, take + "os.replace(got + '.part', got)\nprint('noise on stdout')\n"))
    listener.post(event("u1; rm -rf /"))
    until((tmp_path / "got").exists)
    _code, out, _err = listener.end()
    got = (tmp_path / "got").read_text()
    assert '"u1; rm -rf /"' in got
    assert "STREAMPIXEL_API_KEY" not in got
    assert "noise" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_in_the_shell_ends_neither_a_background_listener_nor_its_command(
    listen: Callable[..., Listener], tmp_path: Path
) -> None:
    take = "pathlib.Path(got + '.part').write_text(str(signal.getsignal(signal.SIGINT) is signal.SIG_IGN))\n"
    words = ("--exec", take_script(tmp_path, take + "os.replace(got + '.part', got)\n"))
    listener = listen(*words, under=("sh", "-c", 'trap "" INT; exec "$@"', "sh"))
    assert listener.post(event("u1")) == 200
    until((tmp_path / "got").exists)
    assert (tmp_path / "got").read_text() == "True"
    listener.send(signal.SIGINT)
    assert listener.post(event("u2")) == 200
    code, out, _err = listener.end(signal.SIGTERM)
    assert (code, len(out.splitlines())) == (143, 2)


def test_stalled_reader_of_the_output_costs_no_event(listen: Callable[..., Listener]) -> None:
    listener = listen()
    # The pipe is not read and holds 64 KiB: less than half of these.
    assert {listener.post(event(f"u{number:03}", objection="x" * 2000)) for number in range(80)} == {200}
    assert len(listener.stored()) == 80
    listener.send(signal.SIGTERM)
    assert listener.process.wait(20) == 143


def test_two_listeners_on_one_state_both_print_an_event_and_store_it_once(listen: Callable[..., Listener]) -> None:
    first, second = listen(), listen()
    assert [first.post(event("u1")), second.post(event("u1")), second.post(event("u1"))] == [200, 200, 200]
    assert first.stored() == ["u1"]
    for listener in (first, second):
        _code, out, _err = listener.end()
        assert [json.loads(line)["uploadId"] for line in out.splitlines()] == ["u1"]


def test_refused_deliveries_are_reported_with_verbose(listen: Callable[..., Listener]) -> None:
    listener = listen("-v")
    assert listener.post(b"{}") == 400
    assert listener.post(event("u1"), Origin="https://evil.example") == 403
    _code, _out, err = listener.end()
    assert [line.partition(": ")[2][:3] for line in err.splitlines() if "request refused" in line] == ["400", "403"]


def test_action_that_breaks_does_not_end_the_ones_after_it() -> None:
    done = threading.Event()
    reported: list[str] = []

    def act(body: bytes) -> str | None:
        if body == b"bad":
            raise ValueError("secret")
        done.set()
        return None

    worker = Worker([act], reported.append)
    worker.put(b"bad")
    worker.put(b"good")
    assert done.wait(10)
    worker.close(5)
    assert reported == ["handing on an event failed: ValueError"]
