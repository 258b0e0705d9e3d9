"""`spcli open`: the address of a project's page, and the browser."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli.commands.open import find_obstacle
from spcli.sandbox.seeds import SHOWROOM
from tests.front import Front

ROOT = Path(__file__).parents[2]
SHARE = f"https://share.streampixel.io/{SHOWROOM.id}"
DASHBOARD = f"https://dashboard.streampixel.io/projectdetail/{SHOWROOM.id}"


@pytest.mark.parametrize(
    ("words", "url"), [([], SHARE), (["share"], SHARE), (["dashboard"], DASHBOARD), (["dashboard", "-p", SHARE], DASHBOARD)]
)
def test_the_address_is_printed_without_account_and_network(spcli: Front, words: list[str], url: str) -> None:
    env = {"STREAMPIXEL_PROJECT_ID": SHOWROOM.id}
    printed = spcli("open", *words, "--print", env=env)
    assert (printed.code, printed.out, printed.err) == (0, url + "\n", "")
    assert spcli("open", *words, "-q", env=env).out == url + "\n"
    page = words[0] if words else "share"
    assert spcli("open", *words, "--json", env=env).json == {"projectId": SHOWROOM.id, "page": page, "url": url}


def test_a_name_is_looked_up(spcli: Front, service: Any) -> None:
    server = service(project=None)
    printed = spcli("open", "-p", "show")
    assert (printed.code, printed.out) == (0, SHARE + "\n")
    assert printed.err == "note: a sandbox has no pages: open the address yourself\n"
    assert [record.path for record in server.requests] == ["/projects"]
    assert spcli("open", "-p", "nosuch", "--json").error["kind"] == "no-target"


@pytest.mark.parametrize(
    ("env", "why"),
    [
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22", "DISPLAY": ":0"}, "this is an SSH session"),
        ({"CI": "true", "DISPLAY": ":0", "BROWSER": "true"}, "this is a CI job"),
    ],
    ids=["ssh", "ci"],
)
def test_no_browser_is_started_where_no_person_would_see_it(spcli: Front, env: dict[str, str], why: str) -> None:
    printed = spcli("open", "-p", SHOWROOM.id, env=env)
    assert (printed.code, printed.out) == (0, SHARE + "\n")
    assert printed.err == f"note: {why}: open the address yourself\n"


@pytest.mark.parametrize(
    ("environ", "platform", "obstacle"),
    [
        ({}, "linux", "there is no display"),
        ({"DISPLAY": ":0"}, "linux", None),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", None),
        ({}, "darwin", None),
        ({}, "win32", None),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", "this is an SSH session"),
        ({"SSH_TTY": "/dev/pts/1", "BROWSER": "code-browser"}, "linux", None),
    ],
)
def test_a_display_or_the_users_own_browser_is_needed(environ: dict[str, str], platform: str, obstacle: str | None) -> None:
    assert find_obstacle(environ, platform) == obstacle


def test_a_page_that_does_not_exist_is_a_usage_error(spcli: Front) -> None:
    refused = spcli("open", "builds", "-p", SHOWROOM.id, "--json")
    assert (refused.code, refused.error["kind"]) == (2, "usage")
    assert "must be share or dashboard" in refused.error["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="BROWSER is a POSIX program here")
@pytest.mark.parametrize("code", [0, 1])
def test_the_browser_receives_the_address(tmp_path: Path, code: int) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{seen}"\nexit {code}\n')
    browser.chmod(0o755)
    env = {"PATH": str(tmp_path), "HOME": str(tmp_path), "BROWSER": str(browser), "PYTHONPATH": str(ROOT)}
    env |= {"SPCLI_CONFIG": str(tmp_path / "config.toml"), "COVERAGE": os.environ.get("COVERAGE", "")}
    command = [sys.executable, "-m", "spcli", "open", "dashboard", "-p", SHOWROOM.id]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, seen.read_text()) == (0, DASHBOARD + "\n", DASHBOARD + "\n"), ran
    assert ran.stderr == ("" if code == 0 else "note: no browser could be started: open the address yourself\n")


def test_the_qr_code_is_drawn_in_half_blocks_below_the_address(spcli: Front) -> None:
    segno = pytest.importorskip("segno", reason="the extra qr is not installed")
    shown = spcli("open", "-p", SHOWROOM.id, "--qr")
    address, *lines = shown.out.splitlines()
    assert (shown.code, shown.err, address) == (0, "", SHARE)
    upper = [[letter in " ▄" for letter in line] for line in lines]
    lower = [[letter in " ▀" for letter in line] for line in lines]
    drawn = [row for pair in zip(upper, lower, strict=True) for row in pair]
    wanted = [[bool(dark) for dark in row] for row in segno.make(SHARE, micro=False).matrix_iter(border=2)]
    assert drawn[: len(wanted)] == wanted
    assert all(len(line) < 60 for line in lines)
    assert spcli("open", "-p", SHOWROOM.id, "--qr", "--json").json["url"] == SHARE
    assert spcli("open", "-p", SHOWROOM.id, "--qr", "-q").out == SHARE + "\n"


def test_without_its_extra_the_qr_code_is_refused_before_anything_is_printed(tmp_path: Path) -> None:
    (tmp_path / "segno.py").write_text("raise ImportError\n")
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "SPCLI_CONFIG": str(tmp_path / "config.toml")}
    command = [sys.executable, "-m", "spcli", "open", "-p", SHOWROOM.id, "--qr"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (3, ""), ran
    assert ran.stderr.startswith("--qr needs the extra 'qr'\nhint: in a checkout, run pip install '.[qr]'")
