"""The README can't drift: its tables are the program's, its marked shell blocks run."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
