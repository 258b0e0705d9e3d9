"""The transport behind proxies that work, refuse, break off or do not exist."""

import pytest

from spcli.clock import Clock
from spcli.errors import NotSent
from spcli.transport import Call
from tests.faultd import (
    Behaviour,
    FaultServer,
    answer,
    close_after_request,
    garbage,
    hang,
    rst_after_request,
)
from tests.faults.calls import BOTH, READ, WRITE, failure_of, free_port, open_transport, send


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
        error = failure_of("https://api.example.invalid", WRITE, {"https_proxy": proxy.url}, seconds=0.5)
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


@pytest.mark.parametrize("value", ["fd00::/999", "[::1", "host:port", "http://x", "a.example,10.0.0.0/99"])
def test_a_bad_no_proxy_is_a_config_error_that_names_it(value: str) -> None:
    error = failure_of("https://api.example.invalid", READ, {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": value})
    assert error.kind == "config"
    assert "NO_PROXY" in error.message
