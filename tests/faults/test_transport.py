"""The transport against a server that misbehaves on real sockets, and an environment that does."""

import contextlib
import logging
import shutil
import signal
import socket
import ssl
import subprocess
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from spcli.clock import Clock
from spcli.errors import Interrupted, NotSent, Refused, SpcliError, Unclear
from spcli.models import Secret
from spcli.transport import Call, Reply, Transport
from tests.faultd import (
    Behaviour,
    FaultServer,
    after_interim,
    answer,
    close_after_accept,
    close_after_request,
    drip_body,
    drip_headers,
    garbage,
    gzip_body,
    hang,
    hang_at_accept,
    http09,
    huge_body,
    huge_headers,
    no_content,
    raw,
    redirect,
    response,
    rst_after_request,
    rst_at_accept,
    rst_before_read,
    truncate,
    tunnel,
)

KEY = "canary+/key 7f3a"
SECRET = Secret(KEY)
READ = Call("GET", "/projects", query=(("userId", "u1"), ("apikey", KEY), ("apiKey", KEY)))
WRITE = Call(
    "POST", "/projects/upload-file", body={"apiKey": KEY, "userId": "u1", "fileUrl": "https://h.example/b.zip?sig=SIGNED"}
)
BOTH = pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
NOWHERE: Mapping[str, str] = {}


class SteppingClock(Clock):
    """The real clock, 100 s later from the reading of that number on: as a process sees it that was stopped meanwhile."""

    def __init__(self, reading: int) -> None:
        self.readings = reading

    def mono(self) -> float:
        self.readings -= 1
        return super().mono() + (0.0 if self.readings > 0 else 100.0)


@contextlib.contextmanager
def open_transport(
    url: str, environ: Mapping[str, str] = NOWHERE, *, clock: Clock | None = None, log: list[str] | None = None
) -> Iterator[Transport]:
    transport = Transport(
        url, clock=clock or Clock(), environ=environ, log=None if log is None else log.append, secrets=(SECRET,)
    )
    try:
        yield transport
    finally:
        transport.close()


def send(url: str, call: Call, environ: Mapping[str, str] = NOWHERE, *, seconds: float = 10.0) -> Reply:
    clock = Clock()
    with open_transport(url, environ, clock=clock) as transport:
        return transport.send(call, deadline=clock.mono() + seconds, fresh=call.method == "POST")


def failure_of(url: str, call: Call, environ: Mapping[str, str] = NOWHERE, *, seconds: float = 10.0) -> SpcliError:
    with pytest.raises(SpcliError) as caught:
        send(url, call, environ, seconds=seconds)
    return caught.value


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# What is sent


def test_a_write_arrives_once_with_the_documented_headers_and_a_compact_ascii_body() -> None:
    with FaultServer([answer(201, {"uploadId": "b1"})]) as server:
        body = {"apiKey": SECRET, "name": "né\ud800", "autoRelease": True}
        reply = send(f"{server.url}/pixelStripeApi/", Call("POST", "/projects/upload-file", body=body))
    (request,) = server.ledger
    assert reply.data == {"uploadId": "b1"}
    assert (request.method, request.path, request.query) == ("POST", "/pixelStripeApi/projects/upload-file", ())
    assert request.body == b'{"apiKey":"canary+/key 7f3a","name":"n\\u00e9\\ud800","autoRelease":true}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["accept"] == "application/json"
    assert request.headers["connection"] == "close"
    assert request.headers["user-agent"].startswith("streampixel-cli/")
    assert request.host == f"127.0.0.1:{server.port}"


def test_a_read_carries_its_query_encoded_and_no_content_type() -> None:
    with FaultServer([answer(200, {"projects": []})]) as server:
        send(server.url, READ)
    assert server.ledger[0].query == READ.query
    assert "content-type" not in server.ledger[0].headers


def test_a_path_is_sent_as_encoded_by_the_caller_and_never_collapsed() -> None:
    with FaultServer([answer(200, {})]) as server:
        send(f"{server.url}/api", Call("GET", "/projects/../a%2Fb?c d"))
    assert server.ledger[0].path == "/api/projects/../a%2Fb%3Fc%20d"


def test_reads_share_a_connection_and_a_write_gets_its_own() -> None:
    clock = Clock()
    with FaultServer([answer(200, {})] * 4) as server, open_transport(server.url) as transport:
        for call in (READ, READ, WRITE, READ):
            transport.send(call, deadline=clock.mono() + 10, fresh=call is WRITE)
    assert [request.connection for request in server.ledger] == [1, 1, 2, 1]


def test_a_kept_connection_the_server_closes_at_the_next_read_is_unclear_and_the_one_after_works() -> None:
    clock = Clock()
    with (
        FaultServer([answer(200, {}), close_after_request(), answer(200, {})]) as server,
        open_transport(server.url) as transport,
    ):
        transport.send(READ, deadline=clock.mono() + 10)
        with pytest.raises(Unclear):
            transport.send(READ, deadline=clock.mono() + 10)
        assert transport.send(READ, deadline=clock.mono() + 10).status == 200
    assert [request.connection for request in server.ledger] == [1, 1, 2]


def test_a_closed_transport_opens_again() -> None:
    clock = Clock()
    with FaultServer([answer(200, {})] * 2) as server, open_transport(server.url) as transport:
        transport.send(READ, deadline=clock.mono() + 10)
        transport.close()
        assert transport.send(READ, deadline=clock.mono() + 10).status == 200


def test_every_address_of_a_name_is_tried() -> None:
    with FaultServer([answer(200, {})]) as server:
        assert send(f"http://localhost:{server.port}", READ).status == 200


# Failures before the first byte


@BOTH
def test_a_refused_connection_was_not_sent_and_names_host_and_port(call: Call) -> None:
    port = free_port()
    error = failure_of(f"http://127.0.0.1:{port}", call)
    assert isinstance(error, NotSent)
    assert error.transient
    assert error.message == f"127.0.0.1:{port} refused the connection"


def test_a_name_that_can_have_no_address_is_not_worth_a_retry() -> None:
    error = failure_of("http://no..such.host", READ)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "no..such.host" in error.message
    assert "HTTPS_PROXY" in (error.hint or "")


def test_a_name_nobody_knows_was_not_sent() -> None:
    error = failure_of("http://nobody.invalid", WRITE)
    assert isinstance(error, NotSent)
    assert "nobody.invalid" in error.message


@BOTH
def test_a_passed_deadline_sends_nothing(call: Call) -> None:
    with FaultServer() as server:
        error = failure_of(server.url, call, seconds=-1)
    assert isinstance(error, NotSent)
    assert server.ledger == []


@pytest.mark.parametrize("reading", range(3, 7))
def test_a_process_stopped_before_the_first_byte_sends_nothing_past_its_deadline(reading: int) -> None:
    clock = SteppingClock(reading)
    with FaultServer() as server, open_transport(server.url, clock=clock) as transport:
        with pytest.raises(NotSent, match=r"in time|was over") as caught:
            transport.send(WRITE, deadline=clock.mono() + 10, fresh=True)
        assert (caught.value.sent_at, transport.last_sent_at) == (None, None)
    assert clock.readings <= 0
    assert server.ledger == []


@BOTH
def test_a_reply_tells_when_its_first_byte_left(call: Call) -> None:
    clock = Clock()
    with FaultServer([answer(201, {})]) as server, open_transport(server.url) as transport:
        before = clock.mono()
        reply = transport.send(call, deadline=before + 10, fresh=True)
        assert before <= (reply.sent_at or 0.0) <= clock.mono()
        assert transport.last_sent_at == reply.sent_at


@BOTH
@pytest.mark.parametrize("shape", [answer(429, {"message": "slow"}), close_after_request()], ids=lambda shape: shape.name)
def test_a_failure_tells_when_its_first_byte_left(call: Call, shape: Behaviour) -> None:
    clock = Clock()
    before = clock.mono()
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call)
    assert before <= (error.sent_at or 0.0) <= clock.mono()


def test_a_call_that_is_not_sent_forgets_when_the_last_one_left() -> None:
    clock = Clock()
    with FaultServer([answer(200, {})]) as server, open_transport(server.url) as transport:
        transport.send(READ, deadline=clock.mono() + 10)
        with pytest.raises(NotSent) as caught:
            transport.send(READ, deadline=clock.mono() - 1)
        assert (caught.value.sent_at, transport.last_sent_at) == (None, None)
    assert len(server.ledger) == 1


# Failures after it


@BOTH
@pytest.mark.parametrize(
    "shape",
    [
        close_after_accept(),
        close_after_request(),
        rst_before_read(),
        rst_after_request(),
        garbage(),
        http09(),
        raw(b"HTTP/1.1 2"),
        raw(b"HTTP/1.1 100 Continue\r\nX: 1\r\n"),
        raw(b"HTTP/1.1 101 Switching\r\n\r\n"),
        raw(b"HTTP/1.1 2000 OK\r\n\r\n"),
    ],
    ids=lambda shape: shape.name,
)
def test_an_answer_without_a_final_status_is_unclear(call: Call, shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call)
    assert isinstance(error, Unclear)
    assert error.kind == "network"


@BOTH
def test_a_reset_at_accept_is_never_taken_for_an_answer(call: Call) -> None:
    with FaultServer([rst_at_accept()]) as server:
        assert isinstance(failure_of(server.url, call), (NotSent, Unclear))


@BOTH
@pytest.mark.parametrize("shape", [hang(), hang_at_accept(), drip_headers()], ids=lambda shape: shape.name)
def test_a_server_that_hangs_or_drips_is_cut_at_the_deadline(call: Call, shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        started = time.monotonic()
        error = failure_of(server.url, call, seconds=0.5)
        elapsed = time.monotonic() - started
    assert isinstance(error, Unclear)
    assert "in time" in error.message
    assert 0.45 < elapsed < 5


class FrozenClock(Clock):
    """A test's clock that stands still while sockets wait in real time."""

    def mono(self) -> float:
        return 1000.0


def test_a_clock_that_stands_still_does_not_make_a_wait_endless() -> None:
    with FaultServer([hang()]) as server, open_transport(server.url, clock=FrozenClock()) as transport, pytest.raises(Unclear):
        transport.send(WRITE, deadline=1000.7, fresh=True)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer signal")
@BOTH
def test_a_signal_ends_the_wait_for_an_answer_at_once(call: Call) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise Interrupted(130)

    clock = Clock()
    started = clock.mono()
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.25)
    try:
        with FaultServer([hang()]) as server, open_transport(server.url) as transport, pytest.raises(Interrupted):
            transport.send(call, deadline=started + 30, fresh=call is WRITE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert clock.mono() - started < 10
    assert [request.method for request in server.ledger] == [call.method]


@BOTH
@pytest.mark.parametrize("shape", [drip_headers(status=201), drip_body()], ids=lambda shape: shape.name)
def test_a_success_that_drips_is_cut_at_the_deadline_but_counts_as_accepted(call: Call, shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        started = time.monotonic()
        reply = send(server.url, call, seconds=0.5)
        elapsed = time.monotonic() - started
    assert (reply.readable, reply.cut, reply.data) == (False, True, None)
    assert 0.45 < elapsed < 5


@BOTH
@pytest.mark.parametrize(
    ("shape", "cut"),
    [
        (truncate(201), True),
        (huge_headers(201), True),
        (raw(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 201 Created\r\nBroken"), True),
        (raw(b"HTTP/1.1 200 OK\r\nbad header line\r\n\r\n"), True),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), True),
        (gzip_body(201), False),
        (huge_body(200), False),
        (answer(200, b"<html>hello</html>"), False),
        (answer(200, b"[" * 100_000), False),
        (answer(200, b'{"uploadId": ' + b"7" * 5000 + b"}"), False),
        (answer(200, b'{"n": NaN}'), False),
    ],
    ids=lambda value: value.name if isinstance(value, Behaviour) else str(value),
)
def test_a_success_with_an_unusable_body_is_accepted_but_unreadable(call: Call, shape: Behaviour, cut: bool) -> None:
    with FaultServer([shape]) as server:
        reply = send(server.url, call)
    assert 200 <= reply.status < 300
    assert (reply.readable, reply.cut, reply.data) == (False, cut, None)
    assert reply.size <= 8 * 1024 * 1024


@BOTH
def test_an_empty_success_is_readable_and_holds_nothing(call: Call) -> None:
    with FaultServer([no_content()]) as server:
        reply = send(server.url, call)
    assert (reply.status, reply.data, reply.readable, reply.size) == (204, None, True, 0)


@BOTH
def test_interim_answers_are_skipped(call: Call) -> None:
    with FaultServer([after_interim(100, 103, then=answer(200, {"ok": 1}))]) as server:
        assert send(server.url, call).data == {"ok": 1}


def test_a_reply_keeps_what_came() -> None:
    headers = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "X-Odd": "one"}
    with FaultServer([answer(200, b'\xef\xbb\xbf{"a": "\xff\\ud800"}', headers)]) as server:
        reply = send(server.url, READ)
    assert reply.data == {"a": "\ufffd\ud800"}
    assert reply.body == b'\xef\xbb\xbf{"a": "\xff\\ud800"}'
    assert ("X-Odd", "one") in reply.headers
    assert reply.server_wall == 784111777.0
    assert reply.size == len(reply.body)


# Refusals


@BOTH
@pytest.mark.parametrize("status", [400, 401, 403, 404, 415, 418, 429, 500, 503])
def test_an_error_status_is_refused_with_the_servers_words(call: Call, status: int) -> None:
    with FaultServer([answer(status, {"message": "Project  not found\n"})]) as server:
        error = failure_of(server.url, call)
    assert isinstance(error, Refused)
    assert (error.status, error.message, error.documented) == (status, "Project  not found\n", True)


@BOTH
@pytest.mark.parametrize(
    "shape",
    [truncate(502), gzip_body(502), huge_headers(502), huge_body(502), drip_body(status=502), drip_headers(status=502)],
    ids=lambda shape: shape.name,
)
def test_an_error_status_stands_whatever_follows_it(call: Call, shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call, seconds=1.0)
    assert isinstance(error, Refused)
    assert (error.status, error.documented) == (502, False)


def test_a_gateways_page_is_told_as_one() -> None:
    page = b"<!DOCTYPE html><title>Bad gateway</title><script>steal()</script><p>try&nbsp;later</p>"
    with FaultServer([answer(502, page, {"Content-Type": "text/html"})]) as server:
        error = failure_of(server.url, WRITE)
    assert error.message == "HTTP 502 with an HTML page: Bad gateway try later"


def test_a_compressed_error_is_not_shown_as_text() -> None:
    with FaultServer([gzip_body(502)]) as server:
        assert failure_of(server.url, READ).message == "HTTP 502 (Bad Gateway) without a message"


def test_retry_after_counts_from_the_servers_own_date() -> None:
    headers = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"), ("Retry-After", "5")]
    with FaultServer([answer(429, {"message": "slow"}, headers)]) as server:
        error = failure_of(server.url, READ)
    assert isinstance(error, Refused)
    assert error.hinted == 60.0


@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_its_target_hears_nothing(call: Call, status: int) -> None:
    with FaultServer() as target, FaultServer([redirect(f"{target.url}/login?apikey=x", status)]) as server:
        error = failure_of(server.url, call)
    assert isinstance(error, Refused)
    assert (error.status, error.kind) == (status, "protocol")
    assert error.message == f"HTTP {status}: the service redirects to 127.0.0.1"
    assert target.connections == 0
    assert target.ledger == []


@pytest.mark.parametrize("location", ["/login", "http://[broken", "", "https:////", "\xff\xfe"])
def test_a_redirect_with_an_odd_target_is_still_a_refusal(location: str) -> None:
    with FaultServer([redirect(location)]) as server:
        error = failure_of(server.url, READ)
    assert isinstance(error, Refused)
    assert error.status == 302


# Secrets


LEAKY = [
    answer(401, {"message": f"no such key {KEY} or canary%2B%2Fkey%207f3a or canary%2b%2fkey+7f3a"}),
    answer(500, b"x" * 190 + KEY.encode()),
    answer(502, f"<html>{KEY}</html>".encode(), {"Content-Type": "text/html"}),
    redirect("http://canary.example/"),
    close_after_request(),
    rst_after_request(),
    garbage(),
    huge_headers(500),
    raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
]


@BOTH
@pytest.mark.parametrize("shape", LEAKY, ids=lambda shape: shape.name)
def test_no_failure_shows_the_key_or_an_httpx_error(call: Call, shape: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call)
    told = "".join(traceback.format_exception(error)) + repr(error) + str(error.hint) + error.message + str(error.args)
    for piece in ("canary+", "canary%2", "7f3a", "apikey=", "SIGNED"):
        assert piece not in told + caplog.text
    assert error.__context__ is None
    assert error.__cause__ is None
    assert caplog.records == []


def test_a_key_at_the_end_of_an_excerpt_leaves_no_half_behind() -> None:
    with FaultServer([answer(500, b"x" * 190 + KEY.encode())]) as server:
        error = failure_of(server.url, READ)
    assert "cana" not in error.message
    assert error.message.endswith("x****")


def test_the_log_tells_method_path_body_status_size_and_time_without_secrets() -> None:
    log: list[str] = []
    clock = Clock()
    write = Call("POST", "/projects/upload-file", body={**(WRITE.body or {}), "deep": [{"APIKEY": "other"}], "note": f"is {KEY}"})
    script = [answer(201, {"uploadId": "b"}), answer(200, {}), close_after_request()]
    with FaultServer(script) as server, open_transport(server.url, clock=clock, log=log) as transport:
        transport.send(write, deadline=clock.mono() + 10, fresh=True)
        transport.send(READ, deadline=clock.mono() + 10)
        with pytest.raises(Unclear):
            transport.send(READ, deadline=clock.mono() + 10)
    assert log[0] == (
        '> POST /projects/upload-file {"apiKey": "****", "userId": "u1", "fileUrl": "https://h.example/b.zip", '
        '"deep": [{"APIKEY": "****"}], "note": "is ****"}'
    )
    assert log[1].startswith("< 201 17 bytes ")
    assert log[1].endswith(" ms")
    assert log[2] == "> GET /projects"
    assert log[5].startswith("< no answer ")


# Proxies


def test_a_plain_request_goes_through_the_proxy_of_the_given_environment() -> None:
    with FaultServer([answer(200, {"ok": 1})]) as proxy:
        reply = send("http://example.invalid/api", READ, {"HTTP_PROXY": f"http://us%20er:pass@127.0.0.1:{proxy.port}"})
    (request,) = proxy.ledger
    assert reply.data == {"ok": 1}
    assert (request.host, request.path) == ("example.invalid", "/api/projects")
    assert request.headers["proxy-authorization"] == "Basic dXMgZXI6cGFzcw=="


@pytest.mark.parametrize(
    "environ",
    [
        {"ALL_PROXY": "PROXY"},
        {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "PROXY"},
        {"http_proxy": "PROXY", "NO_PROXY": "a.b"},
    ],
)
def test_proxy_variables_follow_the_usual_precedence(environ: dict[str, str]) -> None:
    with FaultServer([answer(200, {})]) as proxy:
        here = {name: value.replace("PROXY", f"127.0.0.1:{proxy.port}") for name, value in environ.items()}
        assert send("http://example.invalid", READ, here).status == 200


def test_this_machine_is_never_reached_through_a_proxy() -> None:
    with FaultServer() as proxy, FaultServer([answer(200, {}), answer(200, {})]) as server:
        environ = {"HTTP_PROXY": proxy.url, "ALL_PROXY": "socks5://127.0.0.1:1"}
        assert send(server.url, READ, environ).status == 200
        assert send(f"http://localhost:{server.port}", READ, environ).status == 200
    assert proxy.ledger == []


@BOTH
@pytest.mark.parametrize(("status", "transient"), [(407, False), (403, True), (502, True)])
def test_a_proxy_that_refuses_the_tunnel_means_not_sent(call: Call, status: int, transient: bool) -> None:
    clock = Clock()
    with FaultServer([answer(status, b"<html>no</html>")]) as proxy:
        environ = {"HTTPS_PROXY": f"http://user:hushhush@127.0.0.1:{proxy.port}"}
        with open_transport("https://api.example.invalid", environ) as transport:
            with pytest.raises(NotSent) as caught:
                transport.send(call, deadline=clock.mono() + 10, fresh=True)
            assert (caught.value.sent_at, transport.last_sent_at) == (None, None)
    assert [request.method for request in proxy.ledger] == ["CONNECT"]
    assert caught.value.transient is transient
    assert "proxy" in caught.value.message
    assert "hushhush" not in caught.value.message + str(caught.value.hint)


@pytest.mark.parametrize("shape", [close_after_request(), rst_after_request(), garbage(), hang()], ids=lambda shape: shape.name)
def test_a_tunnel_that_breaks_means_not_sent(shape: Behaviour) -> None:
    with FaultServer([shape]) as proxy:
        error = failure_of("https://api.example.invalid", WRITE, {"https_proxy": proxy.url}, seconds=0.5)
    assert isinstance(error, NotSent)
    assert "proxy" in error.message


def test_a_plain_407_of_a_proxy_means_not_sent() -> None:
    with FaultServer([answer(407, b"")]) as proxy:
        error = failure_of("http://example.invalid", READ, {"http_proxy": proxy.url})
    assert isinstance(error, NotSent)
    assert not error.transient


def test_a_dead_proxy_is_named_by_its_variable() -> None:
    error = failure_of("https://api.example.invalid", READ, {"HTTPS_PROXY": f"http://u:hushhush@127.0.0.1:{free_port()}"})
    assert isinstance(error, NotSent)
    assert "HTTPS_PROXY" in error.message
    assert "hushhush" not in error.message


BAD_PROXIES = [
    "socks5://127.0.0.1:1080",
    "socks5h://u:hushhush@h:1",
    "http://u:hushhush@host:port",
    "http://u:hushhush@host:99999",
    "http://:8080",
    "ftp://u:hushhush@h:1",
    "http://[::1",
    "http://u:hushhush@ho st:1",
]


@pytest.mark.parametrize("url", BAD_PROXIES)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_bad_proxy_url_is_a_config_error_that_names_the_variable_and_not_the_value(variable: str, url: str) -> None:
    error = failure_of("https://api.example.invalid", READ, {variable: url})
    assert (error.kind, error.exit_code, error.outcome) == ("config", 3, None)
    assert variable in error.message
    assert "hushhush" not in error.message + str(error.hint)


@pytest.mark.parametrize("value", ["fd00::/999", "[::1", "host:port", "http://x", "a.example,10.0.0.0/99"])
def test_a_bad_no_proxy_is_a_config_error_that_names_it(value: str) -> None:
    error = failure_of("https://api.example.invalid", READ, {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": value})
    assert error.kind == "config"
    assert "NO_PROXY" in error.message


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and api.example.invalid, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:api.example.invalid"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", names]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@BOTH
def test_a_certificate_nobody_vouches_for_is_final_and_nothing_was_sent(call: Call, certificate: tuple[str, str]) -> None:
    with FaultServer(tls=certificate) as server:
        error = failure_of(server.url, call)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "certificate of 127.0.0.1 was not accepted" in error.message
    assert "SSL_CERT_FILE" in (error.hint or "")
    assert server.ledger == []


@BOTH
def test_ssl_cert_file_makes_a_private_authority_trusted(call: Call, certificate: tuple[str, str]) -> None:
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, call, {"SSL_CERT_FILE": certificate[0]}).data == {"ok": 1}


def test_ssl_cert_dir_makes_a_private_authority_trusted(certificate: tuple[str, str], tmp_path: Path) -> None:
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", certificate[0]], check=True, capture_output=True, text=True
    )
    shutil.copy(certificate[0], tmp_path / f"{name.stdout.strip()}.0")
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, READ, {"SSL_CERT_DIR": str(tmp_path)}).data == {"ok": 1}


def test_a_certificate_for_another_name_is_final(certificate: tuple[str, str]) -> None:
    with FaultServer(tls=certificate) as server:
        error = failure_of(f"https://localhost:{server.port}", READ, {"SSL_CERT_FILE": certificate[0]})
    assert isinstance(error, NotSent)
    assert not error.transient


def test_tls_goes_through_a_proxys_tunnel(certificate: tuple[str, str]) -> None:
    with FaultServer([answer(201, {"ok": 1})], tls=certificate) as server, FaultServer([tunnel(server.port)]) as proxy:
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        assert send("https://api.example.invalid", WRITE, environ).data == {"ok": 1}
    assert proxy.ledger[0].path == "api.example.invalid:443"
    assert "proxy-authorization" not in server.ledger[0].headers


def test_tls_goes_through_a_proxys_own_tls(certificate: tuple[str, str]) -> None:
    large = {"text": "x" * 200_000}
    with (
        FaultServer([answer(200, large), answer(201, {"ok": 1})], tls=certificate) as server,
        FaultServer([tunnel(server.port), tunnel(server.port)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        assert send("https://api.example.invalid", READ, environ).data == large
        assert send("https://api.example.invalid", Call("POST", "/x", body=large), environ).data == {"ok": 1}
    assert server.ledger[1].json == large
    assert [request.path for request in proxy.ledger] == ["api.example.invalid:443"] * 2


@pytest.mark.parametrize("pause", [0.01, 0.05])
def test_a_proxy_that_drips_bytes_of_its_own_tls_is_left_at_the_deadline(certificate: tuple[str, str], pause: float) -> None:
    with (
        FaultServer([answer(200, {"ok": 1})], tls=certificate, strict=False) as server,
        FaultServer([tunnel(server.port, pause)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        began = time.monotonic()
        error = failure_of("https://api.example.invalid", WRITE, environ, seconds=0.5)
        took = time.monotonic() - began
    assert isinstance(error, NotSent)
    assert error.transient
    assert took < 3


def test_a_proxys_own_tls_does_not_vouch_for_the_service(certificate: tuple[str, str]) -> None:
    with (
        FaultServer(tls=certificate, strict=False) as server,
        FaultServer([tunnel(server.port)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        error = failure_of("https://other.example.invalid", WRITE, environ)
    assert isinstance(error, NotSent)
    assert "certificate of other.example.invalid was not accepted" in error.message


def test_a_plain_http_answer_to_a_tls_handshake_is_final() -> None:
    plain = Behaviour("plain", lambda peer, _request: peer.send(response(400)) and not peer.stop.wait(0.2), at_accept=True)
    with FaultServer([plain]) as server:
        error = failure_of(f"https://127.0.0.1:{server.port}", WRITE)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "SSL_CERT_FILE" in (error.hint or "")


@pytest.mark.parametrize("shape", [close_after_accept(), rst_before_read(), hang_at_accept()], ids=lambda shape: shape.name)
def test_a_handshake_that_breaks_off_may_work_the_next_time(shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(f"https://127.0.0.1:{server.port}", WRITE, seconds=0.5)
    assert isinstance(error, NotSent)
    assert error.transient


@pytest.mark.parametrize("content", [None, b"", b"garbage", "folder"])
def test_a_bad_ssl_cert_file_is_a_config_error_with_variable_and_path(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    error = failure_of("https://127.0.0.1:1", READ, {"SSL_CERT_FILE": str(path)})
    assert (error.kind, error.exit_code, error.outcome) == ("config", 3, None)
    assert "SSL_CERT_FILE" in error.message
    assert str(path) in error.message


@pytest.mark.parametrize("exists", [True, False])
def test_a_bad_ssl_cert_dir_is_a_config_error_with_variable_and_path(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "certs"
    if exists:
        path.mkdir()
        (path / "ca.pem").write_text("not hashed")
    error = failure_of("https://127.0.0.1:1", READ, {"SSL_CERT_DIR": str(path)})
    assert error.kind == "config"
    assert "SSL_CERT_DIR" in error.message
    assert str(path) in error.message


def test_plain_http_never_looks_at_certificates() -> None:
    with FaultServer([answer(200, {})]) as server:
        assert send(server.url, READ, {"SSL_CERT_FILE": "/nowhere/ca.pem"}).status == 200


@pytest.mark.parametrize("url", ["", "ftp://h", "https://", "http://h:port", "http://[::1", "http://ho st"])
def test_a_base_url_no_request_can_go_to_is_a_config_error(url: str) -> None:
    assert failure_of(url, READ).kind == "config"


def test_the_systems_store_verifies_by_default() -> None:
    from spcli.transport.tls import tls_context

    context = tls_context({})
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
