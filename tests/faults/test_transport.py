"""The transport against a server that misbehaves on real sockets."""

import logging
import signal
import time
import traceback

import pytest

from spcli.clock import Clock
from spcli.errors import Interrupted, NotSent, Refused, Unclear
from spcli.transport import Call
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
    rst_after_request,
    rst_at_accept,
    rst_before_read,
    truncate,
)
from tests.faults.calls import BOTH, KEY, READ, SECRET, WRITE, failure_of, free_port, open_transport, send


class SteppingClock(Clock):
    """The real clock, 100 s later from the reading of that number on: as a process sees it that was stopped meanwhile."""

    def __init__(self, reading: int) -> None:
        self.readings = reading

    def mono(self) -> float:
        self.readings -= 1
        return super().mono() + (0.0 if self.readings > 0 else 100.0)


# What is sent


def test_a_write_arrives_once_with_the_documented_headers_and_compact_ascii_json() -> None:
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


def test_a_read_has_an_encoded_query_and_no_content_type() -> None:
    with FaultServer([answer(200, {"projects": []})]) as server:
        send(server.url, READ)
    assert server.ledger[0].query == READ.query
    assert "content-type" not in server.ledger[0].headers


def test_a_path_is_sent_as_the_caller_encoded_it_and_not_collapsed() -> None:
    with FaultServer([answer(200, {})]) as server:
        send(f"{server.url}/api", Call("GET", "/projects/../a%2Fb?c d"))
    assert server.ledger[0].path == "/api/projects/../a%2Fb%3Fc%20d"


def test_reads_share_a_connection_and_a_write_gets_its_own() -> None:
    clock = Clock()
    with FaultServer([answer(200, {})] * 4) as server, open_transport(server.url) as transport:
        for call in (READ, READ, WRITE, READ):
            transport.send(call, deadline=clock.mono() + 10, fresh=call is WRITE)
    assert [request.connection for request in server.ledger] == [1, 1, 2, 1]


def test_a_read_is_unclear_if_the_server_closes_the_kept_connection_and_the_next_one_works() -> None:
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
def test_a_refused_connection_is_not_sent_and_names_host_and_port(call: Call) -> None:
    port = free_port()
    error = failure_of(f"http://127.0.0.1:{port}", call)
    assert isinstance(error, NotSent)
    assert error.transient
    assert error.message == f"127.0.0.1:{port} refused the connection"


def test_an_invalid_host_name_is_not_retried() -> None:
    error = failure_of("http://no..such.host", READ)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "no..such.host" in error.message
    assert "HTTPS_PROXY" in (error.hint or "")


def test_an_unknown_host_name_is_not_sent() -> None:
    error = failure_of("http://nobody.invalid", WRITE)
    assert isinstance(error, NotSent)
    assert "nobody.invalid" in error.message


@BOTH
def test_a_passed_deadline_sends_nothing(call: Call) -> None:
    with FaultServer() as server:
        error = failure_of(server.url, call, seconds=-1)
    assert isinstance(error, NotSent)
    assert server.ledger == []


@pytest.mark.parametrize("reading", range(3, 6))
def test_a_process_stopped_before_the_first_byte_sends_nothing_past_its_deadline(reading: int) -> None:
    clock = SteppingClock(reading)
    with FaultServer() as server, open_transport(server.url, clock=clock) as transport:
        with pytest.raises(NotSent, match=r"timed out|was over") as caught:
            transport.send(WRITE, deadline=clock.mono() + 10, fresh=True)
        assert (caught.value.sent_at, transport.last_sent_at) == (None, None)
    assert clock.readings <= 0
    assert server.ledger == []


@BOTH
def test_a_reply_has_the_time_when_the_first_byte_left(call: Call) -> None:
    clock = Clock()
    with FaultServer([answer(201, {})]) as server, open_transport(server.url) as transport:
        before = clock.mono()
        reply = transport.send(call, deadline=before + 10, fresh=True)
        assert before <= (reply.sent_at or 0.0) <= clock.mono()
        assert transport.last_sent_at == reply.sent_at


@BOTH
@pytest.mark.parametrize("shape", [answer(429, {"message": "slow"}), close_after_request()], ids=lambda shape: shape.name)
def test_a_failure_has_the_time_when_the_first_byte_left(call: Call, shape: Behaviour) -> None:
    clock = Clock()
    before = clock.mono()
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call)
    assert before <= (error.sent_at or 0.0) <= clock.mono()


def test_a_call_that_is_not_sent_clears_the_time_of_the_last_one() -> None:
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
def test_a_reset_at_accept_is_not_an_answer(call: Call) -> None:
    with FaultServer([rst_at_accept()]) as server:
        assert isinstance(failure_of(server.url, call), (NotSent, Unclear))


@BOTH
@pytest.mark.parametrize("shape", [hang(), hang_at_accept(), drip_headers()], ids=lambda shape: shape.name)
def test_a_server_that_hangs_or_drips_is_abandoned_at_the_deadline(call: Call, shape: Behaviour) -> None:
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


def test_a_wait_ends_although_the_clock_stands_still() -> None:
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
def test_a_success_that_drips_is_cut_at_the_deadline_and_counts_as_accepted(call: Call, shape: Behaviour) -> None:
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
def test_an_empty_success_is_readable_and_has_no_data(call: Call) -> None:
    with FaultServer([no_content()]) as server:
        reply = send(server.url, call)
    assert (reply.status, reply.data, reply.readable, reply.size) == (204, None, True, 0)


@BOTH
def test_interim_answers_are_skipped(call: Call) -> None:
    with FaultServer([after_interim(100, 103, then=answer(200, {"ok": 1}))]) as server:
        assert send(server.url, call).data == {"ok": 1}


def test_a_reply_keeps_headers_and_body_as_they_came() -> None:
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
def test_an_error_status_counts_with_any_body(call: Call, shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(server.url, call, seconds=1.0)
    assert isinstance(error, Refused)
    assert (error.status, error.documented) == (502, False)


def test_a_page_of_a_gateway_is_named_as_a_page() -> None:
    page = b"<!DOCTYPE html><title>Bad gateway</title><script>steal()</script><p>try&nbsp;later</p>"
    with FaultServer([answer(502, page, {"Content-Type": "text/html"})]) as server:
        error = failure_of(server.url, WRITE)
    assert error.message == "HTTP 502 with an HTML page: Bad gateway try later"


def test_a_compressed_error_is_not_shown_as_text() -> None:
    with FaultServer([gzip_body(502)]) as server:
        assert failure_of(server.url, READ).message == "HTTP 502 (Bad Gateway) with a compressed message (gzip)"


def test_retry_after_counts_from_the_servers_own_date() -> None:
    headers = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"), ("Retry-After", "5")]
    with FaultServer([answer(429, {"message": "slow"}, headers)]) as server:
        error = failure_of(server.url, READ)
    assert isinstance(error, Refused)
    assert error.hinted == 60.0


@BOTH
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(call: Call, status: int) -> None:
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
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error.hint) + error.message + str(error.args)
    for piece in ("canary+", "canary%2", "7f3a", "apikey=", "SIGNED"):
        assert piece not in text + caplog.text
    assert error.__context__ is None
    assert error.__cause__ is None
    assert caplog.records == []


def test_a_key_at_the_end_of_an_excerpt_is_masked_whole() -> None:
    with FaultServer([answer(500, b"x" * 190 + KEY.encode())]) as server:
        error = failure_of(server.url, READ)
    assert "cana" not in error.message
    assert error.message.endswith("x****")


def test_the_log_has_method_path_body_status_size_and_time_without_secrets() -> None:
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
