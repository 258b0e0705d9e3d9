"""A marked key shows nowhere: not in output, logs, tracebacks, state, argv or errors, whatever the server does with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from spcli.models import Secret
from spcli.output.redact import LEAST_START
from tests.faultd import FaultServer, answer, hang
from tests.front import Front
from tests.platforms import posix

ROOT = Path(__file__).parents[2]
CANARY = 'canary/5ec4e7+key=ü"\\%2F-end'
PLAIN = "canary-5ec4e7-0123456789abcdef"
SIGNATURE = "X-Amz-Signature=5ec4e75ec4e75ec4e7"
URL = f"https://builds.example.com/Game-1.4.zip?{SIGNATURE}"
COMMANDS = [
    ["projects", "list"],
    ["projects", "show", "nosuch"],
    ["projects", "show"],
    ["projects", "stats"],
    ["upload", URL],
    ["upload", URL, "--dry-run"],
    ["upload", URL, "--wait"],
    ["distribute", "x"],
    ["builds"],
    ["builds", "wait", "x"],
    ["auth", "status"],
    ["config", "list"],
    ["config", "get", "api_key"],
    ["limits"],
]


def spellings(key: str) -> list[str]:
    forms = {
        key,
        quote(key, safe=""),
        quote(key),
        quote_plus(key),
        json.dumps(key)[1:-1],
        json.dumps(key, ensure_ascii=False)[1:-1],
    }
    return [form for form in forms if form]


def shows(text: str, key: str) -> list[str]:
    return [form for form in spellings(key) if form in text]


def echo(request: Any) -> Any:
    """A server that quotes all it was told in its answer, in several spellings."""
    whole = f"{request.path}?{'&'.join(f'{name}={value}' for name, value in request.query)} {request.body.decode()}"
    message = f"denied: {whole} {quote(whole)}"
    return answer(403, {"message": message})


def echo_fine(request: Any) -> Any:
    """A server that answers well and puts the key into every text of it."""
    told = " ".join(value for _, value in request.query) + request.body.decode()
    if request.method == "POST":
        return answer(201, {"message": told, "uploadId": "665a2b3c4d5e6f7a8b9c0e1f", "region": told})
    project = {
        "_id": "64bb5a80c0cac31f77000100",
        "name": f"Showroom {told}",
        "region": told,
        "status": told,
        "customDomain": told,
    }
    files = [{"_id": "x", "status": f"Polishing {told}", "url": f"https://h/{quote(told)}", "date": told, "objection": told}]
    return answer(200, {"projects": [project], **project, "files": files, "liveUser": 1})


@pytest.mark.parametrize("server", [echo, echo_fine], ids=["refusing", "friendly"])
@pytest.mark.parametrize("key", [CANARY, PLAIN], ids=["odd", "plain"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_key_and_signature_are_redacted_if_a_server_echoes_them(spcli: Front, words: list[str], key: str, server: Any) -> None:
    with FaultServer(handler=server) as double:
        spcli.use(double.url)
        spcli.environ["STREAMPIXEL_API_KEY"] = key
        waits = ["--deadline", "1s"] if "--wait" in words or "wait" in words else []
        for extra in ([], ["-v", "--json"]):
            if words[0] in ("upload", "distribute"):
                spcli("limits", "--reset", "--yes")
            found = spcli(*words, *waits, *extra, env={"TYPER_STANDARD_TRACEBACK": "1", "COLUMNS": "60"})
            assert shows(found.out + found.err, key) == [], found
            assert "5ec4e75ec4e7" not in found.out + found.err, found
            assert "Traceback" not in found.err
    state = b"".join(path.read_bytes() for path in (spcli.home / "state").rglob("*") if path.is_file())
    assert shows(state.decode("latin-1"), key) == []
    assert b"5ec4e75ec4e7" not in state


@pytest.mark.parametrize("pad", [*range(84, 132, 6), *range(1950, 2004, 9)])
@pytest.mark.parametrize("documented", [True, False], ids=["message", "page"])
def test_a_shortened_text_shows_no_part_of_a_signature(spcli: Front, pad: int, documented: bool) -> None:
    text = f"{'n' * pad} {URL}"
    body = {"message": text} if documented else f"<html>{text} is not there</html>".encode()

    def handler(request: Any) -> Any:
        return answer(400, body) if request.method == "POST" else answer(200, {"files": []})

    with FaultServer(handler=handler) as double:
        spcli.use(double.url)
        found = spcli("upload", URL, "--no-check", "--json")
    assert (found.code, found.error["status"]) == (40, 400), found
    assert "Signature=5" not in found.err
    assert "5ec4e7" not in found.err


@pytest.mark.parametrize("size", range(LEAST_START, 31, 6))
def test_an_answer_that_ends_in_the_middle_of_the_key_shows_no_part_of_it(spcli: Front, size: int) -> None:
    with FaultServer([answer(200, f'{{"key": "{PLAIN[:size]}'.encode())]) as double:
        spcli.use(double.url)
        spcli.environ["STREAMPIXEL_API_KEY"] = PLAIN
        found = spcli("api", "GET", "/projects")
    assert found.code == 0, found
    assert "canary" not in found.out


@pytest.mark.parametrize("size", [1, 6, 30])
def test_a_message_that_ends_in_the_middle_of_a_named_key_shows_no_part_of_it(spcli: Front, size: int) -> None:
    with FaultServer([answer(401, {"message": f"denied: /projects?userId=u&apiKey={PLAIN[:size]}"})]) as double:
        spcli.use(double.url)
        spcli.environ["STREAMPIXEL_API_KEY"] = PLAIN
        found = spcli("projects", "list")
    assert found.err.startswith("denied: /projects?userId=u&apiKey=****\n")


def test_verbose_logs_the_request_body_without_the_key(spcli: Front, service: Any) -> None:
    service()
    found = spcli("upload", URL, "-v")
    assert '"apiKey"' in found.err
    assert "****" in found.err
    assert SIGNATURE not in found.err


def test_a_verbose_traceback_shows_no_key(spcli: Front) -> None:
    class Broken(type(spcli.clock)):  # type: ignore[misc]
        def wall(self) -> float:
            raise ZeroDivisionError(f"with {PLAIN} in it")

    with FaultServer([answer(200, {"liveUser": 1, "queueUser": 2})]) as server:
        spcli.use(server.url)
        spcli.environ["STREAMPIXEL_API_KEY"] = PLAIN
        spcli.clock = Broken()
        found = spcli("projects", "stats", "-v", env={"TYPER_STANDARD_TRACEBACK": "1"})
    assert found.code == 1
    assert "ZeroDivisionError" in found.err
    assert PLAIN not in found.err


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{!r}".format, lambda secret: f"{[secret]}{(secret,)}{ {'k': secret} }"]
)
def test_a_secret_cannot_print_itself(show: Any) -> None:
    assert "canary" not in show(Secret(PLAIN))


def test_a_secret_cannot_be_stored() -> None:
    import copy
    import pickle

    with pytest.raises(TypeError):
        pickle.dumps(Secret(PLAIN))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(PLAIN))


@posix("reads /proc")
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_key_is_in_no_process_list_while_a_call_is_under_way(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMPIXEL_", "SPCLI_"))}
    with FaultServer(handler=lambda _request: hang()) as server:
        environ |= {
            "STREAMPIXEL_API_KEY_FILE": "-",
            "STREAMPIXEL_USER_ID": "u1",
            "STREAMPIXEL_BASE_URL": server.url,
            "SPCLI_CONFIG": str(tmp_path / "config.toml"),
            "SPCLI_STATE_DIR": str(tmp_path / "state"),
            "PYTHONPATH": str(ROOT),
            "TYPER_STANDARD_TRACEBACK": "1",
        }
        argv = [sys.executable, "-m", "spcli", "projects", "list", "-v"]
        with subprocess.Popen(argv, env=environ, stdin=-1, stdout=-1, stderr=-1) as child:
            assert child.stdin is not None
            child.stdin.write(PLAIN.encode())
            child.stdin.close()
            child.stdin = None
            deadline = 200
            while not server.ledger and deadline:
                deadline -= 1
                server._stop.wait(0.05)
            line = Path(f"/proc/{child.pid}/cmdline").read_bytes()
            told = Path(f"/proc/{child.pid}/environ").read_bytes()
            child.terminate()
            out, err = child.communicate(timeout=20)
    assert dict(server.ledger[0].query)["apiKey"] == PLAIN
    assert b"canary" not in line + told + out + err
    assert child.returncode == 143
