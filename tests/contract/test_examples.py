"""Every command line in the man pages, the help texts and the README is one that the program accepts."""

import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from spcli import cli
from spcli.commands import TABLE, Group
from spcli.completion.tree import COMMANDS
from spcli.errors import SpcliError
from spcli.runtime import Runtime
from spcli.usage import TYPER_ERROR
from tests.front import Front

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "man").glob("*.[1-8]"))
ROFF = {r"\-": "-", r"\(aq": "'", r"\(ga": "`", r"\(ha": "^", r"\(ti": "~", r"\&": "", r"\e": "\\"}


def lines_in(text: str) -> Iterator[str]:
    """Return the command lines in a block of shell, YAML or Groovy: the words after each `spcli`."""
    for line in re.sub(r"[\\^]\n\s*", "", text).splitlines():
        line = re.sub(r" 2>", " >", line)
        for start in re.finditer(r"(?<![\w./-])spcli (?=[a-z])", line):
            before, rest = line[: start.start()], line[start.end() :]
            # A step of Jenkins is a string of Groovy; a comment follows after several spaces.
            end = "'" if before.endswith("'") else "|;&)<>"
            yield re.split(r" {3,}", _until(rest, end))[0].strip()


def _until(text: str, ends: str) -> str:
    """Return `text` up to the first of `ends` outside quotes."""
    quote = ""
    for place, letter in enumerate(text):
        if not quote and letter in ends:
            return text[:place]
        if letter in "\"'" and quote in ("", letter):
            quote = "" if quote else letter
    return text


def examples_of(page: Path) -> list[str]:
    """Return the command lines in the code of a man page."""
    text = "\n".join(re.findall(r"^\.EX\n(.*?)^\.EE$", page.read_text(), re.MULTILINE | re.DOTALL))
    return list(lines_in(re.sub(r"\\(?:\(..|.)", lambda code: ROFF[code[0]], text)))


def parsed(line: str) -> str:
    """Parse the command's words, run nothing, and return its name. Raises what a usage error raises."""
    name, *words = shlex.split(line)
    entry = TABLE[name]
    if isinstance(entry, Group):
        member = words.pop(0) if words and words[0] in entry.commands else entry.default
        assert member is not None, f"{name} needs a command: {line}"
        name, entry = f"{name} {member}", entry.commands[member]
    runtime = Runtime({}, stdin=None, stdout=io.StringIO(), stderr=io.StringIO())
    cli.build_command(name, entry).make_context(name, words, obj=runtime)
    return name


def test_the_examples_of_the_pages_are_accepted() -> None:
    for page in PAGES:
        names = {parsed(line) for line in examples_of(page)}
        own = page.name.removeprefix("spcli").removesuffix(page.suffix).replace("-", " ").strip()
        own = own.replace("exit codes", "exit-codes")
        assert names, page
        assert page.suffix != ".1" or any(name == own or name.startswith(f"{own} ") or not own for name in names), page


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_eighty_columns_and_its_examples_are_accepted(spcli: Front, command: str) -> None:
    text = spcli(*command.split(), "--help", env={"COLUMNS": "80"}).out
    assert [line for line in text.splitlines() if len(line) > 80] == []
    about = text.partition("\nOptions:")[0].partition("\n\n")[2]
    for line in re.findall(r"^    .*spcli .*", about, re.MULTILINE):
        assert [parsed(one) for one in lines_in(line)], line


def test_the_command_lines_of_the_readme_are_accepted() -> None:
    blocks = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    names = {parsed(line) for block in blocks for line in lines_in(block)}
    assert {"upload", "distribute", "rollback", "builds wait", "sandbox"} <= names


@pytest.mark.parametrize(
    "line", ["upload", "upload URL --wat", "builds wait ID --deadline soon", "limits now", "completion tcsh"]
)
def test_a_wrong_example_is_noticed(line: str) -> None:
    (found,) = lines_in(f"  $ id=$(spcli {line})   # and so on")
    assert found == line
    with pytest.raises((SpcliError, TYPER_ERROR)):
        parsed(line)


def test_a_command_line_is_found_in_other_text() -> None:
    block = "\n".join(
        [
            "bat 'spcli upload \"%URL%\" --wait'",
            "- ./x.sh || { spcli rollback --wait --yes; exit 1; }",
            "spcli builds --json | jq '.[0]' | xargs spcli distribute X",
            "spcli limits \\",
            "    --json 2> error.txt   in bash",
        ]
    )
    assert list(lines_in(block)) == [
        'upload "%URL%" --wait',
        "rollback --wait --yes",
        "builds --json",
        "distribute X",
        "limits --json",
    ]
