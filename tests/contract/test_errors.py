"""The error of every kind that can be reached: code, object, streams, and the server's message first."""

from typing import Any

import pytest

from spcli.sandbox.seeds import OTHER, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED
from tests.faultd import FaultServer, answer, redirect
from tests.front import Front

URL = "https://builds.example.com/Game-1.4.zip"

# What is typed -> faults of the service, exit code, kind, outcome.
CASES: dict[str, tuple[tuple[str, ...], int, str, str | None]] = {
    "projects show nosuch": ((), 13, "no-target", None),
    "projects list --bogus": ((), 2, "usage", None),
    "upload nosuch": ((), 2, "usage", "not_sent"),
    f"upload {URL} --profile nosuch": ((), 3, "config", "not_sent"),
    "projects list --profile nosuch": ((), 3, "config", None),
    f"distribute {SHOWROOM_REJECTED}": ((), 14, "guard", "not_sent"),
    "limits --reset": ((), 15, "unconfirmed", None),
    "builds show nosuch": ((), 13, "no-target", None),
    f"projects show {OTHER.projects[0].id}": ((), 43, "http-403", None),
    f"projects show {'0' * 24}": ((), 44, "http-404", None),
    f"distribute {'0' * 24}": ((), 13, "no-target", "not_sent"),
    f"distribute {'0' * 24} --force": ((), 44, "http-404", "refused"),
    f"upload {URL} --no-wait": ((), 2, "usage", "not_sent"),
    "projects list": (("projects:400x*",), 40, "http-400", None),
    "projects list -v": (("projects:418x*",), 48, "http-4xx", None),
    "projects list -q": (("projects:500x*",), 50, "http-5xx", None),
    "projects list --no-color": (("projects:429x*",), 49, "rate-limited", None),
    "projects show": (("project:closex*",), 60, "network", None),
    "projects stats": (("stats:htmlx*",), 62, "protocol", None),
    "projects stats -v": (("stats:redirectx*",), 62, "protocol", None),
    f"upload {URL}": (("upload:400x*",), 40, "http-400", "refused"),
    f"upload {URL} -v": (("upload:415x*",), 45, "http-415", "refused"),
    f"upload {URL} --no-color": (("upload:redirectx*",), 62, "protocol", "refused"),
    f"upload {URL} --on-limit fail": (("upload:429x*",), 49, "rate-limited", "refused"),
    f"distribute {SHOWROOM_NEW}": (("distribute:401x*",), 41, "http-401", "refused"),
}


@pytest.mark.parametrize("words", CASES)
def test_error_is_one_object_on_stderr_and_stdout_is_empty(spcli: Front, service: Any, words: str) -> None:
    faults, code, kind, outcome = CASES[words]
    service(faults=faults)
    found = spcli(*words.split(), "--json")
    error = found.error
    assert (found.code, error["kind"], error["exitCode"], error["outcome"], found.out) == (code, kind, code, outcome, ""), found
    assert error["message"]
    assert error["uploadId"] is None
    assert error["retryable"] is (kind in ("rate-limited", "network") or (kind == "http-5xx" and outcome in (None, "refused")))
    plain = spcli(*words.split())
    if "upload" not in words and "distribute" not in words:
        assert (plain.code, plain.out) == (code, "")
        assert not plain.err.rstrip().endswith("}")


@pytest.mark.parametrize("words", [words for words in CASES if not words.startswith("builds wait")])
def test_every_error_has_a_hint(spcli: Front, service: Any, words: str) -> None:
    faults, _code, kind, _outcome = CASES[words]
    service(faults=faults)
    if kind not in ("http-400", "http-4xx", "http-5xx", "http-415", "rate-limited"):
        assert spcli(*words.split(), "--json").error["hint"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 415, 418, 429, 500, 503])
@pytest.mark.parametrize("words", ["projects list", "projects stats", "upload", "distribute"])
def test_the_message_of_the_server_comes_first_and_unchanged(spcli: Front, status: int, words: str) -> None:
    message = "Ça alors: ‘Unerwartet’, error №17 — see ticket"

    def handler(request: Any) -> Any:
        if request.method == "GET" and words in ("upload", "distribute"):
            return answer(200, {"name": "x", "files": []})
        return answer(status, {"message": message})

    argv = {"upload": ["upload", URL, "--on-limit", "fail"], "distribute": ["distribute", "x", "--on-limit", "fail"]}.get(
        words, words.split()
    )
    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        found = spcli(*argv, "-q")
        again = spcli(*argv, "-q", "--json") if words.startswith("projects") else None
    assert found.err.splitlines()[0] == message, found
    assert found.out == ""
    if again is not None:
        assert again.error["message"] == message
        assert again.error["status"] == status


def test_the_message_of_a_hostile_server_is_escaped(spcli: Front) -> None:
    message = "no\x1b[2J\x07\r\n::error::pwned\n##[command]x\u202e\u2066 ##vso[task.setvariable]y"
    with FaultServer([answer(403, {"message": message}), answer(403, {"message": message})]) as server:
        spcli.use(server.url)
        plain = spcli("projects", "list")
        both = spcli("projects", "list", "--json", env={"GITHUB_ACTIONS": "true"})
    assert "\\x1b[2J\\x07" in plain.err
    for found in (plain, both):
        # In GitHub Actions the error is an annotation of our own as well, in one escaped line.
        commands = [line for line in found.err.splitlines() if line.lstrip().startswith("::")]
        assert all(line.startswith("::error title=spcli::no") for line in commands)
        assert len(commands) <= (found is both)
        assert "##[" not in found.err
        assert "##vso[" not in found.err
    assert both.error["message"] == message


def test_the_message_is_the_status_if_the_server_sends_none(spcli: Front) -> None:
    with FaultServer([answer(403, b"", {"Content-Type": "text/html"})]) as server:
        spcli.use(server.url)
        found = spcli("projects", "list", "--json")
    assert found.code == 43
    assert "403" in found.error["message"]


def test_redirect_is_never_followed(spcli: Front) -> None:
    with FaultServer([redirect("https://login.example.com/x?token=5ec4e7")]) as server:
        spcli.use(server.url)
        found = spcli("projects", "list", "--json", "-v")
    assert (found.code, found.error["kind"]) == (62, "protocol")
    assert "5ec4e7" not in found.err


def test_retry_after_is_whole_seconds_and_only_where_there_is_a_window(spcli: Front, service: Any) -> None:
    service()
    spcli("upload", URL)
    error = spcli("upload", URL, "--on-limit", "fail", "--json").error
    assert error["retryAfter"] == 120
    assert isinstance(error["retryAfter"], int)
    assert spcli("projects", "show", "nosuch", "--json").error["retryAfter"] is None


def test_quiet_does_not_hide_errors(spcli: Front, service: Any) -> None:
    service()
    found = spcli("-q", "distribute", SHOWROOM_REJECTED, "--json")
    assert found.error["kind"] == "guard"
    assert spcli("distribute", SHOWROOM_OLD, "-q").code == 0


def test_a_bug_is_exit_1_without_a_traceback_and_without_its_text(spcli: Front) -> None:
    class Broken(type(spcli.clock)):  # type: ignore[misc]  # a clock that fails as nothing should
        def wall(self) -> float:
            raise ZeroDivisionError("canary-5ec4e7")

    with FaultServer([answer(200, {"liveUser": 1, "queueUser": 2})]) as server:
        spcli.use(server.url)
        spcli.clock = Broken()
        found = spcli("projects", "stats", "--json")
    assert (found.code, found.error["kind"], found.out) == (1, "internal", "")
    assert "ZeroDivisionError" in found.error["message"]
    assert "canary" not in found.err
    assert "Traceback" not in found.err
    assert "-v" in found.error["hint"]
