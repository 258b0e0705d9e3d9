"""Network failures at every point of every command: the right exit code, no traceback, an empty stdout."""

import socket
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM_OLD
from tests.faultd import (
    FaultServer,
    answer,
    close_after_request,
    garbage,
    gzip_body,
    http09,
    huge_body,
    huge_headers,
    rst_after_request,
    truncate,
)
from tests.front import Front

URL = "https://builds.example.com/Game-1.4.zip"
READS = {
    "projects list": 0,
    "projects show": 0,
    "projects show Showroom": 0,
    "projects stats": 0,
    "projects use Showroom": 0,
    "builds": 0,
    "builds show x": 0,
    "builds wait --latest": 0,
    "distribute --latest": 0,
    "upload " + URL + " -p Showroom": 0,
    "auth status": 0,
}
CUTS = {
    "close": close_after_request(),
    "reset": rst_after_request(),
    "truncate": truncate(),
}
STRANGE = {
    "garbage": garbage(),
    "http09": http09(),
    "gzip": gzip_body(),
    "huge body": huge_body(),
    "huge headers": huge_headers(),
    "html": answer(200, b"<html>login</html>", {"Content-Type": "text/html"}),
    "empty": answer(200, b""),
    "null": answer(200, b"null", {"Content-Type": "application/json"}),
    "number": answer(200, 7),
    "nan": answer(200, b'{"projects": NaN}', {"Content-Type": "application/json"}),
    "deep": answer(200, b"[" * 100_000, {"Content-Type": "application/json"}),
    "204": answer(204),
}


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def check(found: Any, codes: set[int]) -> None:
    assert found.code in codes, found
    assert found.out == ""
    assert "Traceback" not in found.err
    assert "httpx" not in found.err
    assert "httpcore" not in found.err
    error = found.error
    assert error["exitCode"] == found.code
    assert error["message"]


@pytest.mark.parametrize("words", [*READS, "upload " + URL, f"distribute {SHOWROOM_OLD}"])
def test_a_refused_connection_is_exit_60(spcli: Front, words: str) -> None:
    spcli.use(f"http://127.0.0.1:{closed_port()}")
    found = spcli(*words.split(), "--json")
    check(found, {60})
    assert "refused the connection" in found.error["message"]
    assert found.error["retryable"] is True
    assert found.error["outcome"] == ("not_sent" if words.split()[0] in ("upload", "distribute") else None)
    assert spcli("limits", "--json").json[0]["secondsLeft"] == 0


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("words", READS)
def test_every_read_is_cut(spcli: Front, words: str, cut: str) -> None:
    with FaultServer(handler=lambda _request: CUTS[cut]) as server:
        spcli.use(server.url)
        check(spcli(*words.split(), "--json"), {60})


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("words", ["projects list", "projects show", "projects stats", "builds", "auth status"])
def test_every_read_is_answered_strangely(spcli: Front, words: str, strange: str) -> None:
    with FaultServer(handler=lambda _request: STRANGE[strange]) as server:
        spcli.use(server.url)
        check(spcli(*words.split(), "--json"), {60, 62})


@pytest.mark.parametrize("words", ["projects list", "builds", "auth status", "doctor"])
def test_a_compressed_answer_is_named_as_compressed_by_every_command(spcli: Front, words: str) -> None:
    with FaultServer(handler=lambda _request: gzip_body()) as server:
        spcli.use(server.url)
        found = spcli(*words.split(), "--json")
    assert found.code == 62, found
    assert "is compressed (gzip)" in found.error["message"]
    assert "compresses answers" in found.error["hint"]


@pytest.mark.parametrize("strange", ["number", "null", "html", "empty", "204"])
def test_an_answer_that_is_not_the_documented_json_is_protocol(spcli: Front, strange: str) -> None:
    with FaultServer(handler=lambda _request: STRANGE[strange]) as server:
        spcli.use(server.url)
        assert spcli("projects", "list", "--json").code == 62


@pytest.mark.parametrize(
    "body", [{"projects": [None, 7, "x", {}, {"_id": None}, {"_id": "a", "name": 7, "status": []}]}, [], {"projects": []}]
)
def test_odd_items_in_a_list_are_passed_over(spcli: Front, body: Any) -> None:
    with FaultServer(handler=lambda _request: answer(200, body)) as server:
        spcli.use(server.url)
        found = spcli("projects", "list", "--json")
    assert found.code == 0, found
    assert [project["id"] for project in found.json] in ([], ["a"])


@pytest.mark.parametrize("page", [2, 3])
def test_a_page_that_never_comes_ends_the_list_with_an_error_and_not_with_half_of_it(spcli: Front, page: int) -> None:
    def handler(request: Any) -> Any:
        number = int(dict(request.query)["page"])
        if number >= page:
            return close_after_request()
        return answer(200, {"projects": [{"_id": f"{number:024x}", "name": str(number)}], "totalPages": 4})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        check(spcli("projects", "list", "--json"), {60})


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("words", ["upload " + URL, "distribute " + SHOWROOM_OLD])
def test_a_write_that_is_cut_is_settled_or_unknown_and_never_reported_as_nothing(spcli: Front, words: str, cut: str) -> None:
    def handler(request: Any) -> Any:
        if request.method == "POST":
            return CUTS[cut]
        return answer(405, {"message": "Method not allowed"})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        found = spcli(*words.split(), "--json")
    if cut == "truncate" and found.code == 0:
        assert words.startswith("distribute"), found
        return
    check(found, {61})
    assert found.error["outcome"] == "unknown"
    assert len([one for one in server.ledger if one.method == "POST"]) == 1


@pytest.mark.parametrize("cut", CUTS)
def test_a_wait_outlives_the_network(spcli: Front, cut: str) -> None:
    left = [CUTS[cut]] * 4

    def handler(request: Any) -> Any:
        return left.pop() if left else answer(200, {"files": [{"_id": "x", "status": "Approved"}]})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        assert spcli("builds", "wait", "x").code == 0


def test_a_host_that_cannot_be_found_is_network_and_names_it(spcli: Front) -> None:
    spcli.use("http://localhost:1/x")
    found = spcli("projects", "list", "--json", env={"STREAMPIXEL_BASE_URL": "https://no-such-host.invalid/x"})
    check(found, {60})
    assert "no-such-host.invalid" in found.error["message"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_DIR", "/nowhere"),
        ("HTTPS_PROXY", "ftp://proxy:1"),
        ("HTTPS_PROXY", "http://[::1"),
    ],
)
def test_unusable_network_settings_are_exit_3_naming_the_variable(spcli: Front, variable: str, value: str) -> None:
    spcli.use("http://localhost:1/x")
    found = spcli("projects", "list", "--json", env={"STREAMPIXEL_BASE_URL": "https://api.example.invalid/x", variable: value})
    check(found, {3})
    assert variable in found.error["message"]
