"""`spcli sandbox` and `spcli demo` as processes, and the demo in this process."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from spcli.clock import Clock
from spcli.sandbox.seeds import MAIN
from tests.front import Front

ROOT = Path(__file__).parents[2]
URL = "https://builds.example.com/Game-1.4.zip"
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal")


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMPIXEL_", "SPCLI_"))}
    return kept | {
        "SPCLI_CONFIG": str(home / "config.toml"),
        "SPCLI_STATE_DIR": str(home / "state"),
        "TMPDIR": str(home / "tmp"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        **more,
    }


def start(home: Path, *argv: str, **more: Any) -> "subprocess.Popen[str]":
    (home / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "spcli", *argv],
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=-1,
        stderr=-1,
        text=True,
        **more,
    )


@contextmanager
def running(home: Path, *argv: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, str]]]:
    """Run a sandbox as a process, and return it with its first document."""
    with start(home, "sandbox", "--port", "0", "--json", *argv) as child:
        assert child.stdout is not None
        try:
            yield child, json.loads(child.stdout.readline())
        finally:
            if child.poll() is None:
                child.terminate()
            child.communicate(timeout=60)


def use(spcli: Front, told: dict[str, str], window: str) -> None:
    spcli.clock = Clock()
    spcli.environ |= {
        "STREAMPIXEL_API_KEY": told["apiKey"],
        "STREAMPIXEL_USER_ID": told["userId"],
        "STREAMPIXEL_BASE_URL": told["baseUrl"],
        "STREAMPIXEL_PROJECT_ID": told["projectId"],
        "SPCLI_WINDOW": window,
    }


def test_sandbox_process_runs_a_build_through_the_pipeline(spcli: Front, tmp_path: Path) -> None:
    with running(tmp_path, "--window", "0.2s", "--stage", "0.1s", "--reject", "Broken*") as (_, told):
        use(spcli, told, "0.2")
        assert told["userId"] == MAIN.user_id
        sent = spcli("upload", URL, "--wait", "--json")
        assert (sent.code, sent.json["build"]["state"]) == (0, "approved"), sent
        assert spcli("distribute", "--latest", "--wait").code == 0
        assert spcli("upload", "https://builds.example.com/Broken.zip", "--wait").code == 10


def test_sandbox_faults_reach_the_client(spcli: Front, tmp_path: Path) -> None:
    faults = [
        word for spec in ("upload:500", "upload:reset-after-store", "projects:502html", "stats:403") for word in ("--fault", spec)
    ]
    with running(tmp_path, "--window", "0.3s", *faults) as (_, told):
        use(spcli, told, "0.3")
        assert spcli("projects", "list", "-v").code == 0
        first = spcli("upload", URL, "--json")
        assert (first.code, first.json["confirmedBy"]) == (0, "build-list"), first
        assert spcli("projects", "stats").code == 43


def test_page_of_the_sandbox_lists_accounts_keys_and_projects(tmp_path: Path) -> None:
    with running(tmp_path) as (_, told):
        host = urlsplit(told["page"]).netloc
        connection = http.client.HTTPConnection(host, timeout=60)
        connection.request("GET", "/")
        page = connection.getresponse().read().decode()
        connection.close()
    for text in (MAIN.user_id, MAIN.api_key, *(project.id for project in MAIN.projects)):
        assert text in page


def test_sandbox_prints_exports_that_work_when_pasted(tmp_path: Path) -> None:
    with start(tmp_path, "sandbox", "--port", "0", "--window", "0") as child:
        assert child.stdout is not None
        lines: list[str] = []
        while len([line for line in lines if line.startswith("$env:SPCLI_WINDOW")]) == 0:
            line = child.stdout.readline()
            assert line, lines
            lines.append(line.rstrip("\n"))
        script = "\n".join(line for line in lines if line.startswith("export "))
        command = f"{script}\nexec {sys.executable!r} -m spcli projects list -q"
        found = None
        if sys.platform != "win32":
            found = subprocess.run(
                ["sh", "-c", command], env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
            )
        child.terminate()
        child.communicate(timeout=60)
    if found is not None:
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout.split() == [project.id for project in MAIN.projects]
    assert [line.split("=")[0].removeprefix("export ") for line in lines if line.startswith("export ")] == [
        line.split(" = ")[0].removeprefix("$env:") for line in lines if line.startswith("$env:")
    ]


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_sandbox_ends_at_once_with_a_hanging_client(tmp_path: Path, number: int, code: int) -> None:
    with running(tmp_path, "--fault", "projects:hangx*") as (child, told):
        parts = urlsplit(told["baseUrl"])
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        connection.request("GET", parts.path + "/projects?userId=x&apikey=y")
        time.sleep(0.2)
        child.send_signal(number)
        assert child.wait(20) == code
        connection.close()
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()


@posix
def test_ctrl_c_ends_the_sandbox_without_a_message(tmp_path: Path) -> None:
    with start(tmp_path, "sandbox", "--port", "0") as child:
        assert child.stderr is not None
        assert "Ctrl-C" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        _out, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (130, "")


def test_taken_port_is_a_usage_error_with_a_hint(spcli: Front, tmp_path: Path) -> None:
    with running(tmp_path) as (_, told):
        port = str(urlsplit(told["page"]).port)
        found = spcli("sandbox", "--port", port, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", "")
    assert "--port 0" in found.error["hint"]


@pytest.mark.parametrize(
    "words",
    [
        ("--port", "x"),
        ("--port", "65536"),
        ("--port", "0000099999"),
        ("--port", "-1"),
        ("--window", "soon"),
        ("--stage", "-1s"),
        ("--generation", "new"),
        ("--seed", "x"),
        ("--seed", "-1"),
        ("--port", "0", "--fault", "upload"),
        ("--port", "0", "--fault", "upload:500x0"),
        ("--port", "0", "--fault", "nosuch:500"),
        ("--port", "0", "--webhook", "example.com"),
        ("--port", "0", "--webhook", ""),
        ("--port", "0", "--reject", ""),
        ("--port", "0", "--generation", ""),
        ("--port", ""),
        ("extra",),
    ],
)
def test_bad_options_of_the_sandbox_are_usage_errors(spcli: Front, words: tuple[str, ...]) -> None:
    found = spcli("sandbox", *words, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", ""), found


class Waiting(Clock):
    """A clock that counts the waiting of a command, which does not depend on the machine."""

    waited = 0.0

    def sleep(self, seconds: float) -> None:
        self.waited += max(0.0, seconds)
        super().sleep(seconds)


def test_demo_shows_the_whole_pipeline_and_leaves_nothing_behind(
    spcli: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nest = tmp_path / "tmp"
    nest.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(nest))
    clock = Waiting()
    spcli.clock = clock
    spcli.environ |= {"STREAMPIXEL_API_KEY": "not-to-be-used", "SPCLI_PROFILE": "not-there"}
    shown = spcli("demo")
    assert shown.code == 0, shown
    assert clock.waited < 15
    commands = [line for line in shown.out.splitlines() if line.startswith("$ spcli ")]
    words = " ".join(commands)
    for word in ("projects list", "upload", "--wait", "distribute", "builds", "--json"):
        assert word in words
    assert "Showroom Demo" in shown.out
    assert "(exit code 10)" in shown.out
    assert "(exit code 13)" in shown.out
    assert "share.streampixel.io" in shown.out
    assert list(nest.iterdir()) == []
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "config.toml").exists()


@posix
@pytest.mark.parametrize("after", ["projects list", "upload"])
def test_ctrl_c_in_the_demo_leaves_nothing_behind(tmp_path: Path, after: str) -> None:
    with start(tmp_path, "demo") as child:
        assert child.stdout is not None
        while after not in (line := child.stdout.readline()):
            assert line
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not (tmp_path / "state").exists()


def test_demo_in_json_is_one_document(tmp_path: Path) -> None:
    with start(tmp_path, "demo", "--json") as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    steps = json.loads(out)
    assert [step["exitCode"] for step in steps if step["exitCode"]] == [10, 13]
    assert all(step["command"][0] == "spcli" for step in steps)
    assert list((tmp_path / "tmp").iterdir()) == []
