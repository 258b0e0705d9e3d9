"""The README matches the program: its samples are compared, its shell blocks run, its links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.completion.tree import CHOICES, COMMANDS
from spcli.errors import EXIT_CODES
from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from tests.front import FakeClock, Front, sandbox

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOPICS = sorted((ROOT / "spcli" / "commands" / "topics").glob("*.md"))
SOURCES = [README, *(path.read_text("utf-8") for path in (ROOT / "man").glob("*.md"))]
RUNNABLE = re.findall(r"<!-- runnable -->\n```\w*\n(.*?)```", README, re.DOTALL)
SESSIONS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
ID = re.compile(r"\b[0-9a-f]{24}\b")
TIME = re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b")


def steps_of(session: str) -> list[tuple[str, str]]:
    """Return the commands of a session, each with the output shown below it."""
    _, *parts = re.split(r"^\$ (.+)\n", session, flags=re.MULTILINE)
    return list(zip(parts[::2], parts[1::2], strict=True))


class Ids:
    """Which ID of the sandbox stands for which one of the README."""

    def __init__(self) -> None:
        self.real: dict[str, str] = {}

    def learn(self, shown: str, printed: str) -> None:
        """Pair the IDs of the two texts in their order."""
        for one, other in zip(ID.findall(shown), ID.findall(printed), strict=False):
            self.real.setdefault(one, other)

    def fill_in(self, text: str) -> str:
        """Return a text of the README with the sandbox's IDs."""
        return ID.sub(lambda found: self.real.get(found[0], found[0]), text)


def test_the_samples_are_what_the_program_prints(tmp_path: Path) -> None:
    clock = FakeClock()
    with sandbox(clock) as server:
        front, ids = Front(tmp_path, clock), Ids()
        front.use(server.base_url, project=None)
        steps = [step for session in SESSIONS for step in steps_of(session)]
        assert len(steps) >= 5
        for command, shown in steps:
            printed = front(*ids.fill_in(command).removeprefix("spcli ").split())
            assert printed.code == 0, (command, printed)
            ids.learn(shown, printed.out)
            assert TIME.sub("TIME", printed.out) == TIME.sub("TIME", ids.fill_in(shown)), command


def test_the_readme_has_at_most_200_lines_in_the_order_of_a_first_use() -> None:
    assert len(README.splitlines()) <= 200
    marks = (
        "## Try it", "spcli demo", "## Install", "## Log in", "## Where the zip comes from", "two-day trial",
        "not live until", "registers a second build", "one-time link", "$ spcli upload", "## Configuration", "## CI",
        "## Exit codes", "## Sandbox", "## Read on", "## Contributing",
    )  # fmt: skip
    places = [README.find(mark) for mark in marks]
    assert -1 not in places
    assert places == sorted(places)


def test_the_two_commands_are_at_the_top() -> None:
    top = "\n".join(README.splitlines()[:25])
    assert "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/spcli demo" in top
    assert "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest" in top


def test_the_table_of_exit_codes_is_the_programs() -> None:
    table = README.partition("<!-- exit-codes -->\n")[2].partition("<!-- /exit-codes -->")[0].splitlines()[2:-2]
    rows = {f"| {row.code} | {row.name} | {row.meaning} | {row.safe_to_retry} |" for row in EXIT_CODES}
    assert len(table) >= 10
    assert set(table) <= rows


def test_every_topic_can_be_reached_from_the_last_section() -> None:
    section = README.partition("## Read on")[2]
    assert all(f"`spcli help {topic}`" in section for topic, _ in CHOICES["topic"])
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_powershell_blocks_parse() -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="the grammar of PowerShell is not installed")
    grammar = pytest.importorskip("tree_sitter_powershell", reason="the grammar of PowerShell is not installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    blocks = [block for text in SOURCES for block in re.findall(r"```powershell\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) > 5
    assert [block for block in blocks if parser.parse(block.encode()).root_node.has_error] == []
    assert parser.parse(b"(spcli builds --json | ConvertFrom-Json").root_node.has_error


def test_the_unrelated_package_of_the_public_index_is_never_recommended() -> None:
    texts = [*SOURCES, *(path.read_text(encoding="utf-8") for path in (ROOT / "spcli").rglob("*.py"))]
    assert [text[:60] for text in texts if re.search(r"pip(x)? install (-U )?spcli\b", text)] == []


def test_the_texts_use_plain_words() -> None:
    riddles = re.compile(
        r"\b(mend\w*|whoever|nobody|bears?|is told|is heard of|all the same|of ours|gone on with|stands? behind|verdict|ledger"
        r"|forger\w*|the window)\b",
        re.IGNORECASE,
    )
    found = [found[0] for text in SOURCES for found in riddles.finditer(text)]
    assert found == []


def test_commands_named_in_the_texts_exist() -> None:
    named = {words for text in SOURCES for words in re.findall(r"`spcli ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", text)}
    firsts = {name.split()[0] for name in COMMANDS if name}
    assert [words for words in named if words.split()[0] not in firsts] == []


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("jq")), reason="needs bash and jq")
@pytest.mark.parametrize("block", RUNNABLE, ids=[block.splitlines()[0][:40] for block in RUNNABLE])
def test_runnable_blocks_run_as_written(block: str, tmp_path: Path) -> None:
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
        }
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=environ, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran
    assert ran.stdout
