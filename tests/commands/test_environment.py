"""Surroundings that are not as expected: no threads, another user's home, a deleted folder, keys in quotes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faultd import FaultServer, answer

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
WITHOUT_THREADS = """
import sys, threading
from spcli.__main__ import run
# No system gives a thread a stack of that size, so none can be started.
threading.stack_size(1 << 47)
run()
"""


def environ_of(home: Path, url: str = "", **more: str) -> dict[str, str]:
    """Return the environment of a user whose files are in `home`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "SPCLI_CONFIG": str(home / "config.toml"),
        "SPCLI_STATE_DIR": str(home / "state"),
        "STREAMPIXEL_BASE_URL": url,
        **more,
    }


def run_code(code: str, *words: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run Python code with the words of a command line."""
    return subprocess.run([sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def error_of(ran: "subprocess.CompletedProcess[str]") -> Any:
    return json.loads(ran.stderr.splitlines()[-1])["error"]


@posix_only
def test_a_name_is_looked_up_without_a_thread_if_none_can_be_started(tmp_path: Path) -> None:
    with FaultServer([answer(200, {"projects": []})]) as server:
        url = f"http://localhost:{server.port}"
        env = environ_of(tmp_path, url, STREAMPIXEL_API_KEY="k" * 20, STREAMPIXEL_USER_ID="u")
        ran = run_code(WITHOUT_THREADS, "projects", "list", "--json", env=env)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran


@posix_only
def test_a_key_command_runs_if_no_thread_can_be_started(tmp_path: Path) -> None:
    with FaultServer([answer(200, {"projects": []})]) as server:
        (tmp_path / "config.toml").write_text(
            f"[profiles.default]\nuser_id = 'u'\nbase_url = '{server.url}'\n"
            "api_key_command = ['/bin/echo', 'the-key-of-the-test']\n"
        )
        (tmp_path / "config.toml").chmod(0o600)
        ran = run_code(WITHOUT_THREADS, "projects", "list", "--json", env=environ_of(tmp_path))
    assert ran.returncode == 0, ran
    assert ("apiKey", "the-key-of-the-test") in server.ledger[0].query


@posix_only
@pytest.mark.parametrize("words", [["webhooks", "listen", "--port", "0"], ["demo"]], ids=lambda words: words[0])
def test_a_command_that_needs_threads_says_that_none_can_be_started(tmp_path: Path, words: list[str]) -> None:
    pytest.importorskip("uvicorn")
    ran = run_code(WITHOUT_THREADS, *words, "--json", env=environ_of(tmp_path))
    assert ran.returncode == 3, ran
    assert error_of(ran)["message"] == "cannot start a thread: a limit of this system is reached"


@posix_only
def test_ctrl_c_ends_a_key_command_at_once_with_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    config = f"[profiles.default]\nuser_id = 'u'\napi_key_command = ['/bin/sh', '-c', 'echo $$ > {pid_file}; sleep 30']\n"
    (tmp_path / "config.toml").write_text(config)
    (tmp_path / "config.toml").chmod(0o600)
    command = [sys.executable, "-m", "spcli", "projects", "list", "--json"]
    env = environ_of(tmp_path)
    del env["STREAMPIXEL_BASE_URL"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.02)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - started < 5
    assert (process.returncode, out) == (130, ""), err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@posix_only
@pytest.mark.parametrize("variable", ["SPCLI_CONFIG", "SPCLI_STATE_DIR"])
def test_doctor_prints_every_other_check_if_the_current_folder_was_deleted(tmp_path: Path, variable: str) -> None:
    code = (
        "import os, sys; folder = sys.argv.pop(1); os.mkdir(folder); os.chdir(folder); os.rmdir(folder)\n"
        "from spcli.__main__ import run; run()"
    )
    env = environ_of(tmp_path, "http://127.0.0.1:9") | {variable: "relative"}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "gone"), "doctor", "--json"],
        env=env, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    levels = {check["name"]: check["level"] for check in json.loads(ran.stdout)["checks"]}
    assert ran.returncode == 3
    assert levels["config" if variable == "SPCLI_CONFIG" else "state"] == "fail"
    assert levels["extras"] == "ok"
