"""Responses, proxies, calls and host names: the pure functions of the transport."""

import ssl
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.transport import plain_message, retry_after_hint
from spcli.transport.connection import connect_seconds, is_address
from spcli.transport.proxies import is_loopback, parse_proxy, proxy_for
from spcli.transport.request import Call, describe_call, encode_body, parse_origin
from spcli.transport.response import error_text, http_date, parse_json, status_of_head
from spcli.transport.tls import handshake_error

NOW = 784111777.0
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ([], None),
        (["120"], 120.0),
        ([" 7 "], 7.0),
        (["0"], 0.0),
        (["-5"], None),
        (["1.5"], None),
        (["nan"], None),
        (["inf"], None),
        (["1000000000000"], None),
        (["999999999"], 21600.0),
        (["٣٠"], None),
        (["é"], None),
        (["10", "40", "soon"], 40.0),
        (["Sun, 06 Nov 1994 08:50:37 GMT"], 60.0),
        (["Sunday, 06-Nov-94 08:50:37 GMT"], 60.0),
        (["Sun Nov  6 08:50:37 1994"], 60.0),
        (["Sun, 06 Nov 1994 09:50:37 +0100"], 60.0),
        (["Sun, 06 Nov 1994 08:00:00 GMT"], 0.0),
        (["Sun, 06 Nov 2094 08:00:00 GMT"], 21600.0),
        (["Sun, 99 Nov 1994 08:00:00 GMT"], None),
        (["Sun, 06 Nov 99999 08:00:00 GMT"], None),
    ],
)
def test_retry_after_is_read_tolerantly_and_capped(values: list[str], hint: float | None) -> None:
    assert retry_after_hint(values, NOW, 0.0) == hint


def test_a_date_counts_from_this_machines_clock_if_the_server_sends_none() -> None:
    assert retry_after_hint(["Sun, 06 Nov 1994 08:50:37 GMT"], None, NOW + 10) == 50.0


DATEISH = st.text(alphabet="SunNov0123456789 :,+-GMT\xa0é", max_size=40)


@given(st.lists(st.text() | DATEISH, max_size=4), st.none() | st.floats(0, 4e9), st.floats(0, 4e9))
def test_retry_after_never_raises_and_stays_within_bounds(values: list[str], server_wall: float | None, now: float) -> None:
    hint = retry_after_hint(values, server_wall, now)
    assert hint is None or 0 <= hint <= 21600


@given(st.integers(0, 999_999_999))
def test_retry_after_seconds_mean_themselves_up_to_six_hours(seconds: int) -> None:
    assert retry_after_hint([str(seconds)], None, 0.0) == min(seconds, 21600)


def test_an_http_date_is_unix_time() -> None:
    assert http_date(DATE) == NOW
    assert http_date("yesterday") is None


@pytest.mark.parametrize(
    ("body", "message", "documented"),
    [
        (b'{"message": "Project not found"}', "Project not found", True),
        (b'\xef\xbb\xbf{"message": " a\\nb "}', " a\nb ", True),
        (b'{"message": "\\ud800"}', "\ud800", True),
        (b'{"message": "\xff"}', "\ufffd", True),
        (b'{"message": ""}', "", False),
        (b'{"message": " \\n"}', "", False),
        (b'{"message": {"a": 1}}', '{"message": {"a": 1}}', False),
        (b'{"message": 7}', '{"message": 7}', False),
        (b'{"error": "x"}', '{"error": "x"}', False),
        (b"{}", "", False),
        (b"null", "", False),
        (b"[]", "", False),
        (b'["message"]', '["message"]', False),
        (b'"message"', '"message"', False),
        (b"", "", False),
        (b"  Bad \r\n gateway ", "Bad gateway", False),
        (b'{"message": "cut', '{"message": "cut', False),
        (b'{"message": "x", "n": NaN}', '{"message": "x", "n": NaN}', False),
    ],
)
def test_only_the_documented_message_counts_as_documented(body: bytes, message: str, documented: bool) -> None:
    assert plain_message(body, "application/json") == (message, documented)


def test_a_documented_message_is_never_cut() -> None:
    assert plain_message(b'{"message": "' + b"m" * 5000 + b'"}', None) == ("m" * 5000, True)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"message": "x", "n": ' + b"9" * 5000 + b"}", b"x" * 5000])
def test_anything_else_gives_two_hundred_characters_at_most(body: bytes) -> None:
    message, documented = plain_message(body, None)
    assert not documented
    assert 0 < len(message) <= 200


def test_a_page_gives_its_visible_text() -> None:
    page = b"<!doctype html><html><head><style>p{}</style><title>No &amp; no</title></head>"
    page += b"<body><SCRIPT>if (a<b) steal()</SCRIPT><!-- x --><h1>502</h1><p>Bad\n gateway</p></body></html>"
    assert plain_message(page, "text/html; charset=utf-8") == ("No & no 502 Bad gateway", False)
    assert plain_message(page, None) == plain_message(page, "text/html")


@pytest.mark.parametrize("piece", [b"<", b"<script", b"<!--", b"&", b"</", b"<a b='", b"<style>"])
def test_a_hostile_page_takes_no_time(piece: bytes) -> None:
    started = time.monotonic()
    plain_message(b"<html>" + piece * 400_000, "text/html")
    assert time.monotonic() - started < 30  # what is quadratic takes hours


@pytest.mark.parametrize(
    ("status", "body", "kind", "text"),
    [
        (500, b"", None, "HTTP 500 (Internal Server Error) without a message"),
        (599, b"{}", None, "HTTP 599 without a message"),
        (503, b"busy", "text/plain", "HTTP 503: busy"),
        (403, b"<html>blocked</html>", None, "HTTP 403 with an HTML page: blocked"),
        (404, b'{"message": "gone"}', None, "gone"),
    ],
)
def test_an_error_without_a_message_gets_a_text(status: int, body: bytes, kind: str | None, text: str) -> None:
    assert error_text(status, body, kind)[0] == text


@given(st.binary(), st.none() | st.text())
def test_no_error_body_raises(body: bytes, kind: str | None) -> None:
    message, documented = plain_message(body, kind)
    assert documented or len(message) <= 200


@pytest.mark.parametrize("text", [b"1e999", b"-Infinity", b"NaN", b"{", b"", b"'a'", b"[" * 100_000, b"1" * 5000])
def test_anything_but_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (any text of the parser will do)
        parse_json(text)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", None),
        (b"HTTP/1.1 200", None),
        (b"HTTP/1.1 200 OK", None),
        (b"HTTP/1.1 200 OK\r\n", 200),
        (b"HTTP/1.0 502\n", 502),
        (b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (b"HTTP/1.1 100 Continue\r\nA: b", None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 201 Created\r\nX", 201),
        (b"HTTP/1.1 099 No\r\n", None),
        (b"HTTP/1.1 2000 No\r\n", None),
        (b"<html>HTTP/1.1 200 OK\r\n", None),
    ],
)
def test_a_broken_answer_has_a_status_only_with_its_whole_line(head: bytes, status: int | None) -> None:
    assert status_of_head(head) == status


@given(st.binary())
def test_no_head_raises(head: bytes) -> None:
    assert status_of_head(head) is None or head.startswith(b"HTTP/")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_this_machine_is_recognised_by_name_and_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.evil.com", "localhost.evil.com", "10.0.0.1", "", "::2", "0x7f.1"])
def test_no_other_host_is_this_machine(host: str) -> None:
    assert not is_loopback(host)


PROXY = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("api.example.com", "*", True),
        ("api.example.com", "example.com", True),
        ("api.example.com", " .Example.com ,x", True),
        ("api.example.com", "api.example.com:443", True),
        ("api.example.com", "api.example.com:8443", False),
        ("api.example.com", "ample.com", False),
        ("api.example.com", "fd00::/8,10.0.0.0/8", False),
        ("fd00::7", "fd00::/8", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "2.3", False),
        ("fd00::7", "[fd00::7]:443", True),
        ("fd00::7", "fd00::7", True),
        ("api.example.com", "", False),
        ("api.example.com", ",,", False),
        ("api.example.com", "*.example.com", True),
        ("example.com", "*.example.com", True),
        ("badexample.com", "*.example.com", False),
        ("api.example.com", "x example.com", True),
        ("api.example.com", "x;example.com;y", True),
        ("api.example.com", "example.com.", True),
        ("api.example.com.", "example.com", True),
        ("api.example.com", "https://example.com/path", True),
        ("api.example.com", "https://example.com:443/", True),
        ("api.example.com", "https://example.com:8443/", False),
        ("api.example.com", "api.*", True),
        ("10.1.2.3", "10.*", True),
        ("10.1.2.3", "10.0.0.0/255.0.0.0", True),
        ("10.1.2.3", "10.1.2.3/32", True),
        ("fd00::1", "[fd00::1]/128", True),
        ("fd00::1", "[fd00:0::1]", True),
        ("fd00::2", "[fd00::1]/128", False),
        ("intranet", "<local>", True),
        ("api.example.com", "<local>", False),
        ("xn--bcher-kva.example", "bücher.example", True),
        ("api.example.com", "10.0.0.0/99,example.com", True),
    ],
)
def test_no_proxy_lists_names_addresses_and_networks(host: str, no_proxy: str, direct: bool) -> None:
    assert (proxy_for("https", host, 443, {**PROXY, "NO_PROXY": no_proxy}) is None) == direct


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p"}, None),
        ({"HTTPS_PROXY": "http://p", "ALL_PROXY": "http://q"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p", "https_proxy": "http://q"}, "https_proxy"),
        ({"HTTPS_PROXY": "http://p", "https_proxy": ""}, None),
        ({"all_proxy": "http://p"}, "all_proxy"),
    ],
)
def test_the_more_specific_and_the_lower_case_variable_wins(environ: dict[str, str], variable: str | None) -> None:
    proxy = proxy_for("https", "api.example.com", 443, environ)
    assert (proxy and proxy.variable) == variable


def test_http_proxy_is_ignored_under_cgi() -> None:
    assert proxy_for("http", "h.example", 80, {"HTTP_PROXY": "http://p", "REQUEST_METHOD": "GET"}) is None


def test_a_proxy_may_have_no_scheme_and_does_not_show_its_password() -> None:
    proxy = parse_proxy("HTTPS_PROXY", "us%65r:hush%40@[::1]:3128")
    assert (proxy.scheme, proxy.host, proxy.port) == ("http", "::1", 3128)
    assert proxy.password == Secret("hush@")
    assert "hush" not in repr(proxy)
    assert parse_proxy("HTTPS_PROXY", "https://p").port == 443


@given(st.text())
def test_a_proxy_url_is_usable_or_a_config_error(url: str) -> None:
    try:
        proxy = parse_proxy("HTTPS_PROXY", url)
    except SpcliError as error:
        kind = error.kind
    else:
        kind = "config" if proxy.host and 0 < proxy.port < 65536 else "a proxy without host or port"
    assert kind == "config"


@given(st.text())
def test_a_base_url_is_usable_or_a_config_error(url: str) -> None:
    try:
        origin = parse_origin(f"https://{url}")
    except SpcliError as error:
        kind = error.kind
    else:
        kind = "config" if origin.host.isascii() and origin.host else "an origin without a host"
    assert kind == "config"


def test_a_body_reveals_its_secrets_only_on_the_wire() -> None:
    call = Call("POST", "/x", body={"apiKey": Secret("k"), "other": [Secret("k")]})
    assert encode_body(call) == b'{"apiKey":"k","other":["k"]}'
    assert describe_call(call) == 'POST /x {"apiKey": "****", "other": ["****"]}'
    with pytest.raises(TypeError):
        encode_body(Call("POST", "/x", body={"a": object()}))


def test_connecting_to_an_address_may_take_four_seconds_and_leaves_time_for_the_others() -> None:
    assert connect_seconds(60.0, 2) == 4.0
    assert connect_seconds(0.5, 1) == 0.5
    assert connect_seconds(6.0, 3) == 2.0


def test_an_address_is_told_from_a_name_which_is_looked_up() -> None:
    assert [is_address(host) for host in ("127.0.0.1", "::1", "fe80::1")] == [True] * 3
    assert [is_address(host) for host in ("localhost", "127.1", "a.example", "", "1\0")] == [False] * 5


@pytest.mark.parametrize(
    "error", [ssl.SSLEOFError(), ssl.SSLZeroReturnError(), ConnectionResetError()], ids=lambda one: type(one).__name__
)
def test_a_handshake_that_breaks_off_is_transient_for_every_error_class(error: OSError) -> None:
    assert handshake_error("h", error, "now").transient
    assert not handshake_error("h", ssl.SSLError(), "now").transient
