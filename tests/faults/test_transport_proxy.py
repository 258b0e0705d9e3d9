"""The transport behind proxies that work, refuse, break off or do not exist."""

import base64
import time
from pathlib import Path

import pytest

from spcli.clock import Clock
from spcli.errors import NotSent
from spcli.transport import Call, Transport
from tests.certificates import make_certificate
from tests.faultd import (
    Behaviour,
    FaultServer,
    answer,
    close_after_accept,
    close_after_request,
    garbage,
    hang,
    hang_at_accept,
    response,
    rst_after_request,
)
from tests.faults.calls import BOTH, READ, SHORT, WRITE, failure_of, free_port, open_transport, send


def test_a_plain_request_goes_through_the_proxy_of_the_environment() -> None:
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


def test_this_machine_is_reached_without_a_proxy() -> None:
    with FaultServer() as proxy, FaultServer([answer(200, {}), answer(200, {})]) as server:
        environ = {"HTTP_PROXY": proxy.url, "ALL_PROXY": "socks5://127.0.0.1:1"}
        assert send(server.url, READ, environ).status == 200
        assert send(f"http://localhost:{server.port}", READ, environ).status == 200
    assert proxy.ledger == []


@BOTH
@pytest.mark.parametrize(("status", "transient"), [(407, False), (403, True), (502, True)])
def test_a_call_is_not_sent_when_the_proxy_refuses_the_tunnel(call: Call, status: int, transient: bool) -> None:
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
def test_a_call_is_not_sent_when_the_tunnel_breaks_off(shape: Behaviour) -> None:
    with FaultServer([shape]) as proxy:
        error = failure_of("https://api.example.invalid", WRITE, {"https_proxy": proxy.url}, seconds=4 * SHORT)
    assert isinstance(error, NotSent)
    assert "proxy" in error.message


def test_a_call_is_not_sent_when_the_proxy_answers_407() -> None:
    with FaultServer([answer(407, b"")]) as proxy:
        error = failure_of("http://example.invalid", READ, {"http_proxy": proxy.url})
    assert isinstance(error, NotSent)
    assert not error.transient


def test_the_error_of_a_dead_proxy_names_its_variable() -> None:
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
def test_a_bad_proxy_url_is_a_config_error_with_the_variable_and_without_the_value(variable: str, url: str) -> None:
    error = failure_of("https://api.example.invalid", READ, {variable: url})
    assert (error.kind, error.exit_code, error.outcome) == ("config", 3, None)
    assert variable in error.message
    assert "hushhush" not in error.message + str(error.hint)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("fd00::/999", "'fd00::/999'"),
        ("[::1", "'[::1'"),
        ("host:port", "'host:port'"),
        ("a.example,10.0.0.0/99", "'10.0.0.0/99'"),
        ("http://user:hushhush@ho%st/", "'ho%st'"),
    ],
)
def test_an_unreadable_no_proxy_entry_is_a_note_and_the_call_goes_through_the_proxy(entry: str, reason: str) -> None:
    notes: list[str] = []
    clock = Clock()
    with FaultServer([answer(200, {"ok": 1})]) as proxy:
        environ = {"HTTP_PROXY": proxy.url, "NO_PROXY": entry}
        transport = Transport("http://example.invalid", clock=clock, environ=environ, note=notes.append)
        assert transport.send(READ, deadline=clock.mono() + 10).data == {"ok": 1}
        transport.close()
    assert notes == [f"ignoring {reason} in NO_PROXY: not a host, address or network"]


PASSWORDS = ["pa#ss", "pa/ss", "pa?ss", "pa[ss", "p@ss", "pa:ss", "pa ss", "100%"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_special_characters_in_a_proxy_password_may_be_written_as_they_are(password: str) -> None:
    with FaultServer([answer(200, {"ok": 1})]) as proxy:
        environ = {"HTTP_PROXY": f"http://ada:{password}@127.0.0.1:{proxy.port}"}
        assert send("http://example.invalid/api", READ, environ).data == {"ok": 1}
    login = base64.b64decode(proxy.ledger[0].headers["proxy-authorization"].removeprefix("Basic ")).decode()
    assert login == f"ada:{password}"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("login", "challenges", "message"),
    [
        ("", ['Basic realm="a, b"'], "asks for a user and password"),
        ("ada:hushhush@", ['Basic realm="x"', "NTLM"], "rejected the user and password"),
        ("ada:hushhush@", [], "rejected the user and password"),
        ("ada:hushhush@", ["NTLM", "Negotiate"], "accepts only NTLM or Negotiate (Kerberos) logins"),
        ("", ['Digest realm="x, NTLM", nonce="y"'], "accepts only Digest logins"),
    ],
)
def test_a_407_says_what_is_wrong_with_the_login(scheme: str, login: str, challenges: list[str], message: str) -> None:
    refusal = answer(407, b"", [("Proxy-Authenticate", challenge) for challenge in challenges])
    with FaultServer([refusal]) as proxy:
        environ = {"ALL_PROXY": f"http://{login}127.0.0.1:{proxy.port}"}
        error = failure_of(f"{scheme}://api.example.invalid", WRITE, environ)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert error.message.startswith(f"the proxy 127.0.0.1:{proxy.port} (ALL_PROXY) {message}")
    assert error.hint
    assert "hushhush" not in error.message + error.hint


PLAIN = Behaviour("plain", lambda peer, _request: peer.send(response(400)) and not peer.stop.wait(0.2), at_accept=True)


@pytest.mark.parametrize("shape", [PLAIN, hang_at_accept(), close_after_accept()], ids=lambda shape: shape.name)
def test_a_proxy_that_does_not_speak_tls_is_named_and_not_tried_again(shape: Behaviour) -> None:
    started = time.monotonic()
    with FaultServer([shape]) as proxy:
        environ = {"HTTPS_PROXY": f"https://ada:hushhush@127.0.0.1:{proxy.port}"}
        error = failure_of("https://api.example.invalid", WRITE, environ, seconds=2 * SHORT)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY)" in error.message
    assert f"try HTTPS_PROXY=http://127.0.0.1:{proxy.port}" in str(error.hint)
    assert "hushhush" not in error.message + str(error.hint)
    assert time.monotonic() - started < 2 * SHORT + 4


@pytest.mark.parametrize("shape", [answer(502, b""), close_after_request(), hang()], ids=lambda shape: shape.name)
def test_every_failure_of_a_tunnel_names_the_proxy(shape: Behaviour) -> None:
    with FaultServer([shape]) as proxy:
        error = failure_of("https://api.example.invalid", READ, {"https_proxy": proxy.url}, seconds=SHORT)
    assert error.message.startswith(f"the proxy 127.0.0.1:{proxy.port} (https_proxy) ")
    assert "api.example.invalid:443" in error.message


def test_a_proxy_whose_name_does_not_exist_is_named() -> None:
    error = failure_of("https://api.example.invalid", READ, {"HTTPS_PROXY": "http://no-such-proxy.invalid:3128"})
    assert isinstance(error, NotSent)
    assert error.message.startswith("cannot resolve the proxy no-such-proxy.invalid:3128 (HTTPS_PROXY): ")
    assert error.hint == "check HTTPS_PROXY"


def test_an_untrusted_certificate_of_a_proxy_names_the_proxy(tmp_path: Path) -> None:
    with FaultServer(tls=make_certificate(tmp_path), strict=False) as proxy:
        error = failure_of("https://api.example.invalid", READ, {"HTTPS_PROXY": proxy.url})
    assert f"the certificate of the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY) was not accepted" in error.message
