"""IPv6 addresses stand in brackets in every message, as in a URL."""

import socket
from typing import Any

import pytest

from tests.faultd import FaultServer, redirect
from tests.front import Front


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as one:
            one.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")


@needs_ipv6
def test_a_refused_connection_names_the_address_in_brackets(spcli: Front) -> None:
    with socket.socket(socket.AF_INET6) as unused:
        unused.bind(("::1", 0))
        port = unused.getsockname()[1]
        spcli.use(f"http://[::1]:{port}")
        found = spcli("projects", "show", "--timeout", "5s", "--json")
    assert (found.code, found.error["message"]) == (60, f"[::1]:{port} refused the connection")


def test_a_redirect_names_the_address_in_brackets(spcli: Front) -> None:
    with FaultServer([redirect("http://[::1]:8080/login")]) as server:
        spcli.use(server.url)
        assert "redirects to [::1]" in spcli("projects", "list").err


@pytest.mark.parametrize("host", ["[::1]", "[fd00::1]", "[::ffff:10.0.0.1]"])
def test_a_private_address_of_a_build_stands_in_brackets(spcli: Front, host: str) -> None:
    spcli.use("https://api.example.com")
    found = spcli("check", f"https://{host}/Game.zip", "--json")
    assert any(finding["message"].startswith(f"{host} is a private address") for finding in found.json["findings"]), found


@needs_ipv6
def test_an_address_in_use_stands_in_brackets(spcli: Front, service: Any) -> None:
    service()
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = spcli("webhooks", "listen", "--host", "::1", "--port", str(port), "--json")
    assert (found.code, found.error["message"].lower()) == (2, f"cannot listen on [::1]:{port}: address already in use")
