"""The README can't drift: its tables are the program's, its marked shell blocks run."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.completion.tree import COMMANDS
from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUNNABLE = re.findall(r"<!-- runnable -->\n```\w*\n(.*?)```", README, re.DOTALL)


def test_tables_are_what_the_program_says() -> None:
    render = runpy.run_path(str(ROOT / ".ci" / "readme.py"))["rendered"]
    assert render(README) == README


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("| 49 | rate-limited |", "| 48 | rate-limited |"),
        ("| `spcli limits` | Show", "| `spcli limits` | Hide"),
        ("`SPCLI_WINDOW`", "`SPCLI_WIDOW`"),
        ("`confirmedBy`", "`confirmed`"),
    ],
)
def test_a_stale_table_is_noticed(said: str, wrong: str) -> None:
    render = runpy.run_path(str(ROOT / ".ci" / "readme.py"))["rendered"]
    stale = README.replace(said, wrong)
    assert stale != README
    assert render(stale) == README


def test_what_every_command_prints_stands_in_the_table() -> None:
    table = README.partition("<!-- json -->")[2].partition("<!-- /json -->")[0]
    printers = [row.split(" | ")[1] for row in table.splitlines() if row.startswith("| ")]
    told = {name for cell in printers for name in re.findall(r"`([a-z].*?)`", cell)}
    assert told == {name for name, row in COMMANDS.items() if name and not row[2]}


def test_powershell_takes_the_lines_for_powershell() -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="the grammar of PowerShell is not installed")
    grammar = pytest.importorskip("tree_sitter_powershell", reason="the grammar of PowerShell is not installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    blocks = re.findall(r"```powershell\n(.*?)```", README, re.DOTALL)
    assert blocks
    assert [block for block in blocks if parser.parse(block.encode()).root_node.has_error] == []
    assert parser.parse(blocks[0].replace(")", "", 1).encode()).root_node.has_error


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
