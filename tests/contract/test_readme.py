"""The README can't drift: its tables are the program's, its marked shell blocks run."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNNABLE = re.findall(r"<!-- runnable -->\n```\w*\n(.*?)```", README, re.DOTALL)


def test_tables_are_what_the_program_says() -> None:
    render = runpy.run_path(str(ROOT / ".ci" / "readme.py"))["rendered"]
    assert render(README) == README


def test_a_stale_table_is_noticed() -> None:
    render = runpy.run_path(str(ROOT / ".ci" / "readme.py"))["rendered"]
    stale = README.replace("| 49 | rate-limited |", "| 48 | rate-limited |")
    assert stale != README
    assert render(stale) == README


def test_nobody_is_sent_to_the_other_spcli_on_the_public_index() -> None:
    texts = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "spcli").rglob("*.py"))]
    assert [text[:60] for text in texts if re.search(r"pip(x)? install (-U )?spcli\b", text)] == []


def test_the_two_commands_stand_at_the_top() -> None:
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/spcli demo" in README
    assert "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest" in README


def test_there_are_runnable_blocks() -> None:
    assert len(RUNNABLE) == README.count("<!-- runnable -->") >= 3


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("jq")), reason="needs bash and jq")
@pytest.mark.parametrize("block", RUNNABLE, ids=[block.splitlines()[0][:40] for block in RUNNABLE])
def test_runnable_blocks_run_as_they_stand(block: str, tmp_path: Path) -> None:
    launcher = tmp_path / "bin" / "spcli"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m spcli "$@"\n')
    launcher.chmod(0o755)
    with Sandbox(World(window=0.5, stage=0.1)) as service:
        environ = {
            "PATH": f"{launcher.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
            "SPCLI_CONFIG": str(tmp_path / "config.toml"),
            "SPCLI_STATE_DIR": str(tmp_path / "state"),
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_PROJECT_ID": MAIN.projects[0].id,
            "STREAMPIXEL_BASE_URL": service.base_url,
            "SPCLI_WINDOW": "0.5",
            "URL": "https://builds.example.com/Game-1.4.zip",
        }
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=environ, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran
    assert ran.stdout or "completion" in block
