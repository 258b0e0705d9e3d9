"""The generated files match the command tree and the pages in `man/*.md`, and are valid for the shells and for `man`."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli.completion.shells import FILES, SCRIPTS
from spcli.completion.tree import CHOICES, COMMANDS, COMMON, OPTIONS
from spcli.errors import EXIT_CODES
from spcli.sandbox.faults import ENDPOINTS, KINDS
from spcli.settings.table import SETTINGS
from tests.front import Front

ROOT = Path(__file__).resolve().parents[2]
LIVE = {"", "file", "project", "upload", "profile", "value", "page", "project-id"}
PAGES = sorted((ROOT / "man").glob("*.[1-8]"))

TOPICS = ROOT / "spcli" / "commands" / "topics"


@pytest.fixture(scope="module")
def generator() -> Any:
    """Return the generator as a module: a process of it costs a second."""
    sys.path.insert(0, str(ROOT / ".ci"))
    return importlib.import_module("generate")


@pytest.fixture(scope="module")
def wanted(generator: Any) -> dict[str, str]:
    """Return every generated file."""
    return dict(generator.generate_files())


def generate(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run the generator."""
    return subprocess.run([sys.executable, str(ROOT / ".ci" / "generate.py"), *argv], capture_output=True, text=True, check=False)


def test_no_generated_file_is_stale() -> None:
    checked = generate("--check")
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_the_check_names_stale_missing_and_left_over_files(tmp_path: Path, generator: Any, wanted: dict[str, str]) -> None:
    generator.write_files(tmp_path, wanted)
    assert generator.find_problems(tmp_path, wanted) == []
    (tmp_path / "completions" / "_spcli").write_text("older")
    (tmp_path / "man" / "spcli-upload.1").unlink()
    (tmp_path / "man" / "spcli-gone.1").write_text("")
    (tmp_path / "spcli" / "commands" / "topics" / "ci.md").write_text("older")
    checked = generate("--check", "--root", str(tmp_path))
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[:4] == [
        "completions/_spcli: stale",
        "spcli/commands/topics/ci.md: stale",
        "man/spcli-upload.1: missing",
        "man/spcli-gone.1: left over",
    ]
    generator.write_files(tmp_path, wanted)
    assert generator.find_problems(tmp_path, wanted) == []
    assert not (tmp_path / "man" / "spcli-gone.1").exists()


def test_the_tree_is_closed() -> None:
    for command, (purpose, default, commands, options, arguments) in COMMANDS.items():
        assert purpose
        assert not default or default in commands
        assert all(f"{command} {name}".lstrip() in COMMANDS for name in commands)
        assert all(key in OPTIONS for key in (*options, *COMMON))
        kinds = {OPTIONS[key][2] for key in options} | {argument[1] for argument in arguments}
        assert {kind for kind in kinds if "|" not in kind} <= LIVE | set(CHOICES)


@pytest.mark.parametrize("command", [name for name, row in COMMANDS.items() if not row[2]])
def test_the_tree_has_the_options_that_the_help_shows(spcli: Front, command: str) -> None:
    shown = spcli(*command.split(), "--help").out.partition("Options:")[2]
    listed = set(re.findall(r"^  (-.*?)(?:  |$)", shown, re.MULTILINE))
    spelled = {word for line in listed for word in re.findall(r"--?[a-z][a-z-]*", line.replace(" / ", " "))}
    assert spelled == {spelling for key in (*COMMANDS[command][3], *COMMON) for spelling in OPTIONS[key][0]}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_completion_prints_the_script_in_the_completions_folder(spcli: Front, shell: str) -> None:
    printed = spcli("completion", shell)
    assert printed.out == (ROOT / "completions" / FILES[shell]).read_text()
    assert (printed.code, printed.err) == (0, "")
    assert spcli("completion", shell, "--json").json == {"shell": shell, "script": printed.out}


def test_an_unknown_shell_is_a_usage_error_that_names_the_known_ones(spcli: Front) -> None:
    refused = spcli("completion", "tcsh", "--json")
    assert refused.code == 2
    assert "bash, zsh, fish, powershell" in refused.error["message"]
    assert spcli("completion", "pwsh").out == SCRIPTS["powershell"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_accepts_its_script(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = ROOT / "completions" / FILES[shell]
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_the_powershell_script_parses() -> None:
    if shutil.which("pwsh"):
        parse = f"[Management.Automation.Language.Parser]::ParseFile('{ROOT}/completions/spcli.ps1', [ref]$null, [ref]$e)"
        command = f"$e = $null; [void]{parse}; exit $e.Count"
        assert subprocess.run(["pwsh", "-NoProfile", "-Command", command], check=False).returncode == 0
        return
    tree_sitter = pytest.importorskip("tree_sitter", reason="neither PowerShell nor its grammar is installed")
    grammar = pytest.importorskip("tree_sitter_powershell", reason="neither PowerShell nor its grammar is installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    assert not parser.parse(SCRIPTS["powershell"].encode()).root_node.has_error
    broken = SCRIPTS["powershell"].replace("foreach (", "foreach ", 1)
    assert parser.parse(broken.encode()).root_node.has_error


def test_every_command_and_topic_has_its_page() -> None:
    commands = {"-".join(["spcli", *command.split()]) + ".1" for command in COMMANDS}
    topics = {f"spcli-topic-{topic}.7" for topic, _ in CHOICES["topic"]}
    assert {page.name for page in PAGES} == commands | topics | {"spcli-config.5"}
    assert {topic for topic, _ in CHOICES["topic"]} >= {"ci", "json", "exit-codes", "config", "webhooks", "rate-limits"}
    assert {path.stem for path in TOPICS.glob("*.md")} == {topic for topic, _ in CHOICES["topic"]}


def sections_of(page: Path) -> dict[str, str]:
    """Return the page's sections, each with its text."""
    _, *parts = re.split(r"^\.SH (.+)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_pages_have_their_sections_in_order() -> None:
    for page in PAGES:
        names = re.findall(r"^\.SH (.+)$", page.read_text(), re.MULTILINE)
        assert names[:2] == ["NAME", "DESCRIPTION" if page.suffix != ".1" else "SYNOPSIS"], page
        assert names[-1] == "SEE ALSO", page
        assert "EXAMPLES" in names, page
        assert len(set(names)) == len(names), page


def test_pages_of_commands_have_exit_status_and_json_output() -> None:
    for command, (_, default, commands, _, _) in COMMANDS.items():
        sections = sections_of(ROOT / "man" / f"{'-'.join(['spcli', *command.split()])}.1")
        assert "EXIT STATUS" in sections
        assert ("JSON OUTPUT" in sections) == (not commands or bool(default) or not command)


def test_pages_refer_only_to_pages_that_exist() -> None:
    named = {
        (page.name, f"{name.replace(chr(92), '')}.{section}")
        for page in PAGES
        for name, section in re.findall(r"^\.BR (\S+) \((\d)\)", page.read_text(), re.MULTILINE)
    }
    assert len(named) > 100
    assert [(page, name) for page, name in named if not (ROOT / "man" / name).exists()] == []


def test_every_description_begins_with_a_sentence_that_stands_alone() -> None:
    starts = {page.name: plain(sections_of(page)["DESCRIPTION"]).split(". ")[0] for page in PAGES}
    dependent = ("It ", "Its ", "They ", "This ", "That ", "And ", "But ", "Also ", "With it ", "- ")
    assert [
        (name, start)
        for name, start in starts.items()
        if start.startswith(dependent) or (not start[0].isupper() and not start.startswith("spcli"))
    ] == []


def plain(roff: str) -> str:
    """Return a section's text without fonts, requests and line breaks."""
    text = re.sub(r"^\.\w+.*$", "", roff, flags=re.MULTILINE)
    return " ".join(re.sub(r"\\f[BIR]|\\%|\\&", "", text).replace("\\-", "-").split())


def test_pages_say_nothing_twice() -> None:
    for page in PAGES:
        head = page.read_text().partition(".SH DESCRIPTION")[0]
        text = re.sub(r"\\f[BIR]|\\%|\\&", "", head + sections_of(page)["DESCRIPTION"])
        sentences = [" ".join(one.split()).lower() for one in re.split(r"\.\s|^\.SH .*$|^\.PP$|\\- ", text, flags=re.MULTILINE)]
        assert [one for one in sentences if len(one) > 20 and sentences.count(one) > 1] == [], page


def test_a_group_with_a_default_command_has_the_facts_of_that_command() -> None:
    alone, listed = (sections_of(ROOT / "man" / f"spcli-builds{more}.1") for more in ("", "-list"))
    for name in ("OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
        assert listed[name] == alone[name]
    assert "\\fBuploadId\\fR" in alone["JSON OUTPUT"]


def test_the_faults_of_the_sandbox_are_the_programs() -> None:
    terms = re.findall(r"^\.TP\n\\fB(.+)\\fR$", sections_of(ROOT / "man" / "spcli-sandbox.1")["FAULTS"], re.MULTILINE)
    assert [term.replace("\\-", "-") for term in terms] == [*ENDPOINTS, *KINDS]


@pytest.mark.parametrize(
    ("page", "codes", "variables"),
    [
        ("spcli-completion", {0, 1, 2, 130, 141, 143}, set()),
        ("spcli-help", {0, 1, 2, 130, 141, 143}, set()),
        ("spcli-config-path", {0, 1, 2, 3, 130, 141, 143}, {"SPCLI_PROFILE", "SPCLI_CONFIG"}),
        ("spcli-check", {0, 1, 2, 3, 12, 130, 141, 143}, {"STREAMPIXEL_BASE_URL", "SPCLI_PROFILE", "SPCLI_CONFIG"}),
        ("spcli-webhooks-events", {0, 1, 2, 3, 130, 141, 143}, {"SPCLI_PROFILE", "SPCLI_CONFIG", "SPCLI_STATE_DIR"}),
    ],
)
def test_codes_and_variables_are_those_of_the_command_alone(page: str, codes: set[int], variables: set[str]) -> None:
    sections = sections_of(ROOT / "man" / f"{page}.1")
    assert set(map(int, re.findall(r"^\\fB(\d+)\\fR$", sections["EXIT STATUS"], re.MULTILINE))) == codes
    assert set(re.findall(r"\\fB([A-Z_]+)\\fR", sections.get("ENVIRONMENT", ""))) == variables


def test_all_exit_codes_and_settings_are_in_their_topics() -> None:
    codes = (ROOT / "man" / "spcli-topic-exit-codes.7").read_text()
    assert all(f"\\fB{row.code} {row.name}".replace("-", "\\-") in codes for row in EXIT_CODES)
    shown = (TOPICS / "exit-codes.md").read_text()
    assert all(f"**{row.code} {row.name}**: " in shown for row in EXIT_CODES)
    for page in ("spcli-config.5", "spcli-topic-config.7"):
        config = (ROOT / "man" / page).read_text()
        assert all(f"\\fB{name}\\fR" in config for spec in SETTINGS for name in (spec.key, *spec.environment))


def test_every_command_that_prints_json_is_in_the_topic() -> None:
    text = (TOPICS / "json.md").read_text()
    printers = re.findall(r": Printed by (.+?)\. Keys: ", text)
    named = {name for one in printers for name in re.findall(r"`([a-z].*?)`", one)}
    assert named == {name for name, row in COMMANDS.items() if name and not row[2]}


def test_a_changed_fact_makes_the_topic_stale(tmp_path: Path, generator: Any, wanted: dict[str, str]) -> None:
    generator.write_files(tmp_path, wanted)
    for topic, old, new in (("exit-codes", "**49 rate-limited**", "**48 rate-limited**"), ("json", "`confirmedBy`", "`by`")):
        path = tmp_path / "spcli" / "commands" / "topics" / f"{topic}.md"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    assert set(generator.find_problems(tmp_path, wanted)) == {
        "spcli/commands/topics/exit-codes.md: stale",
        "spcli/commands/topics/json.md: stale",
    }


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
def test_mandoc_accepts_every_page() -> None:
    linted = subprocess.run(["mandoc", "-Tlint", *map(str, PAGES)], capture_output=True, text=True, check=False)
    assert (linted.stdout, linted.stderr) == ("", "")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_pages_fit_eighty_columns_and_break_no_word() -> None:
    environ = {**os.environ, "GROFF_NO_SGR": "1"}
    for page in PAGES:
        command = ["groff", "-man", "-Tutf8", "-ww", "-rLL=78n", "-P-c", "-P-b", "-P-u", str(page)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
        assert shown.stderr == "", page
        lines = shown.stdout.splitlines()
        assert [line for line in lines if len(line) > 80 or line.endswith("\u2010")] == [], page
