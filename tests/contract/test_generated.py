"""The generated files are those of this very command tree, and what they say is right for the shells and for `man`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.completion.shells import FILES, SCRIPTS
from spcli.completion.tree import CHOICES, COMMANDS, COMMON, OPTIONS
from spcli.errors import EXIT_CODES
from spcli.sandbox.faults import ENDPOINTS, KINDS
from spcli.settings.table import SETTINGS
from tests.front import Front

ROOT = Path(__file__).resolve().parents[2]
LIVE = {"", "project-id", "file", "project", "upload", "profile", "value"}
PAGES = sorted((ROOT / "man").glob("*"))


def generate(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run the generator."""
    return subprocess.run([sys.executable, str(ROOT / ".ci" / "generate.py"), *argv], capture_output=True, text=True, check=False)


def test_no_generated_file_is_stale() -> None:
    checked = generate("--check")
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_the_check_names_what_is_stale_missing_or_left_over(tmp_path: Path) -> None:
    assert generate("--root", str(tmp_path)).returncode == 0
    assert generate("--check", "--root", str(tmp_path)).returncode == 0
    (tmp_path / "completions" / "_spcli").write_text("older")
    (tmp_path / "man" / "spcli-upload.1").unlink()
    (tmp_path / "man" / "spcli-gone.1").write_text("")
    checked = generate("--check", "--root", str(tmp_path))
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[:3] == [
        "completions/_spcli: stale",
        "man/spcli-upload.1: missing",
        "man/spcli-gone.1: left over",
    ]
    assert generate("--root", str(tmp_path)).returncode == 0
    assert generate("--check", "--root", str(tmp_path)).returncode == 0
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
def test_the_command_prints_the_script_that_lies_in_completions(spcli: Front, shell: str) -> None:
    printed = spcli("completion", shell)
    assert printed.out == (ROOT / "completions" / FILES[shell]).read_text()
    assert (printed.code, printed.err) == (0, "")
    assert spcli("completion", shell, "--json").json == {"shell": shell, "script": printed.out}


def test_another_shell_is_a_usage_error_that_names_the_known_ones(spcli: Front) -> None:
    refused = spcli("completion", "tcsh", "--json")
    assert refused.code == 2
    assert "bash, zsh, fish, powershell" in refused.error["message"]
    assert spcli("completion", "pwsh").out == SCRIPTS["powershell"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_takes_the_script(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = ROOT / "completions" / FILES[shell]
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)


def test_the_powershell_script_is_powershell() -> None:
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


def test_every_command_has_its_page_and_there_is_no_other() -> None:
    expected = {"-".join(["spcli", *command.split()]) + ".1" for command in COMMANDS}
    assert {page.name for page in PAGES} == expected | {"spcli-exit-codes.7", "spcli-config.5"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_its_sections_and_names_only_pages_there_are(page: Path) -> None:
    text = page.read_text()
    sections = re.findall(r"^\.SH (.+)$", text, re.MULTILINE)
    assert sections[:2] == ["NAME", "DESCRIPTION" if page.suffix != ".1" else "SYNOPSIS"]
    assert sections[-1] == "SEE ALSO"
    assert len(set(sections)) == len(sections)
    see = text.rpartition(".SH SEE ALSO")[2]
    for name, section in re.findall(r"^\.BR (\S+) \((\d)\)", see, re.MULTILINE):
        assert (ROOT / "man" / f"{name.replace(chr(92), '')}.{section}").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_what_a_reader_looks_for(page: Path) -> None:
    sections = re.findall(r"^\.SH (.+)$", page.read_text(), re.MULTILINE)
    command = page.stem.removeprefix("spcli").removeprefix("-").replace("-", " ").replace("exit codes", "exit-codes")
    assert "EXAMPLES" in sections
    if page.suffix == ".1":
        assert "EXIT STATUS" in sections
        assert ("JSON OUTPUT" in sections) == (not COMMANDS[command][2] or bool(COMMANDS[command][1]) or not command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_nothing_twice(page: Path) -> None:
    text = re.sub(r"\\f[BIR]|\\%|\\&", "", page.read_text().partition(".SH DESCRIPTION")[0] + described(page))
    told = [" ".join(one.split()).lower() for one in re.split(r"\.\s|^\.SH .*$|^\.PP$|\\- ", text, flags=re.MULTILINE)]
    assert [one for one in told if len(one) > 20 and told.count(one) > 1] == []


def described(page: Path) -> str:
    """The page's DESCRIPTION."""
    return page.read_text().partition(".SH DESCRIPTION")[2].partition("\n.SH ")[0]


def test_a_word_that_stands_for_a_command_has_the_facts_of_that_command() -> None:
    alone, listed = ((ROOT / "man" / f"spcli-builds{more}.1").read_text() for more in ("", "-list"))
    for name in ("OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"):
        assert (told := listed.partition(f".SH {name}\n")[2].partition(".SH")[0])
        assert f".SH {name}\n{told}" in alone
    assert "\\fBuploadId\\fR" in alone.partition(".SH JSON OUTPUT")[2].partition(".SH")[0]


def test_the_faults_of_the_sandbox_are_the_programs() -> None:
    told = (ROOT / "man" / "spcli-sandbox.1").read_text().partition(".SH FAULTS")[2].partition(".SH ")[0]
    terms = re.findall(r"^\.TP\n\\fB(.+)\\fR$", told, re.MULTILINE)
    assert [term.replace("\\-", "-") for term in terms] == [*ENDPOINTS, *KINDS]


@pytest.mark.parametrize(
    ("page", "codes", "variables"),
    [
        ("spcli-completion", {0, 1, 2, 130, 141, 143}, set()),
        ("spcli-config-path", {0, 1, 2, 3, 130, 141, 143}, {"SPCLI_PROFILE", "SPCLI_CONFIG"}),
        ("spcli-check", {0, 1, 2, 3, 12, 130, 141, 143}, {"STREAMPIXEL_BASE_URL", "SPCLI_PROFILE", "SPCLI_CONFIG"}),
        ("spcli-webhooks-events", {0, 1, 2, 3, 130, 141, 143}, {"SPCLI_PROFILE", "SPCLI_CONFIG", "SPCLI_STATE_DIR"}),
    ],
)
def test_codes_and_variables_are_those_of_the_command_alone(page: str, codes: set[int], variables: set[str]) -> None:
    text = (ROOT / "man" / f"{page}.1").read_text()
    status, environment = (text.partition(f".SH {name}")[2].partition(".SH ")[0] for name in ("EXIT STATUS", "ENVIRONMENT"))
    assert set(map(int, re.findall(r"^\\fB(\d+)\\fR$", status, re.MULTILINE))) == codes
    assert set(re.findall(r"\\fB([A-Z_]+)\\fR", environment)) == variables


def test_exit_codes_and_settings_stand_in_their_pages() -> None:
    codes = (ROOT / "man" / "spcli-exit-codes.7").read_text()
    assert all(f"\\fB{row.code}\\fR" in codes for row in EXIT_CODES)
    config = (ROOT / "man" / "spcli-config.5").read_text()
    assert all(f"\\fB{name}\\fR" in config for spec in SETTINGS for name in (spec.key, *spec.environment))


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="mandoc is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_nothing_to_say(page: Path) -> None:
    linted = subprocess.run(["mandoc", "-Tlint", str(page)], capture_output=True, text=True, check=False)
    assert (linted.stdout, linted.stderr) == ("", "")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_fits_eighty_columns_and_no_word_is_broken(page: Path) -> None:
    environ = {**os.environ, "GROFF_NO_SGR": "1"}
    command = ["groff", "-man", "-Tutf8", "-ww", "-rLL=78n", "-P-c", "-P-b", "-P-u", str(page)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    assert shown.stderr == ""
    lines = shown.stdout.splitlines()
    assert [line for line in lines if len(line) > 80 or line.endswith("\u2010")] == []
    assert json.dumps(lines).count("\\\\f") == 0


def test_a_page_shows_options_as_they_are_typed() -> None:
    text = (ROOT / "man" / "spcli-upload.1").read_text()
    assert "\\fB\\-\\-on\\-limit\\fR \\fIwait|fail\\fR" in text
    assert "[\\fB\\-\\-max\\-wait\\fR\\ \\fIDUR\\fR]" in text
    assert "spcli upload https://host/Game\\-1.4.zip \\-p showroom \\-\\-wait" in text


def test_an_option_that_must_be_given_stands_without_brackets() -> None:
    text = (ROOT / "man" / "spcli-webhooks-send.1").read_text()
    assert "\n\\fB\\-\\-to\\fR\\ \\fIURL\\fR\n" in text
    assert "[\\fB\\-\\-objection\\fR\\ \\fITEXT\\fR]" in text
