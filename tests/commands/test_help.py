"""`spcli help`: topics, commands and unknown words."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.commands import SECTIONS, TABLE
from spcli.completion.answer import answer
from spcli.completion.tree import CHOICES, COMMANDS
from tests.front import Front

TOPICS = [topic for topic, _ in CHOICES["topic"]]


def test_help_alone_lists_the_topics(spcli: Front) -> None:
    shown = spcli("help")
    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[0] for line in shown.out.splitlines()[1 : 1 + len(TOPICS)]] == TOPICS
    assert "spcli help TOPIC" in shown.out
    assert spcli("help", "-q").out.split() == TOPICS
    assert spcli("help", "--json").json == [{"name": name, "purpose": purpose} for name, purpose in CHOICES["topic"]]


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_topics_are_folded_to_the_width(spcli: Front, columns: int) -> None:
    for topic in TOPICS:
        shown = spcli("help", topic, env={"COLUMNS": str(columns)}).out
        prose = [line for line in shown.splitlines() if not line.startswith("    ")]
        assert [line for line in prose if len(line) > min(columns, 100)] == [], topic
        assert max(map(len, prose)) > min(columns, 100) * 0.7, topic
        assert "<!--" not in shown
        assert "```" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")
def test_a_topic_for_a_pager_has_the_width_of_the_terminal(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    environ = {"SPCLI_CONFIG": str(tmp_path / "c.toml"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    widths = {}
    for columns in (44, 90):
        terminal, stderr = pty.openpty()
        fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        command = [sys.executable, "-m", "spcli", "help", "rate-limits"]
        ran = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True, check=True)
        os.close(terminal)
        os.close(stderr)
        widths[columns] = max(len(line) for line in ran.stdout.splitlines() if not line.startswith("    "))
    assert widths[44] <= 44 < 80 < widths[90] <= 90


def test_code_of_topics_fits_eighty_columns(spcli: Front) -> None:
    for topic in TOPICS:
        assert [line for line in spcli("help", topic).out.splitlines() if len(line) > 80] == [], topic


def test_a_topic_begins_with_its_title_and_has_its_lists(spcli: Front) -> None:
    for topic, title in CHOICES["topic"]:
        assert spcli("help", topic).out.startswith(title)
    assert "49 rate-limited" in spcli("help", "exit-codes").out
    assert "STREAMPIXEL_API_KEY" in spcli("help", "config").out
    assert "confirmedBy" in spcli("help", "json").out


@pytest.mark.parametrize("topic", ["config", "exit-codes", "webhooks"])
def test_a_topic_wins_over_a_command_and_names_its_options(spcli: Front, topic: str) -> None:
    assert topic in TOPICS
    assert topic in COMMANDS
    assert spcli("help", topic).out.rstrip().splitlines()[-1].endswith(f"`spcli {topic} --help`.")


@pytest.mark.parametrize("words", [("upload",), ("builds", "wait"), ("builds",), ("help",)])
def test_help_of_a_command_is_its_help_text(spcli: Front, words: tuple[str, ...]) -> None:
    assert spcli("help", *words).out == spcli(*words, "--help").out
    page = spcli("help", *words, "--json").json
    assert (page["name"], page["purpose"]) == (" ".join(words), COMMANDS[" ".join(words)][0])


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("uplod", "spcli help upload"),
        ("wait", "spcli help builds wait"),
        ("webhook", "spcli help webhooks"),
        ("rate-limit", "rate-limits"),
    ],
)
def test_an_unknown_word_is_a_usage_error_with_suggestions(spcli: Front, word: str, meant: str) -> None:
    refused = spcli("help", word, "--json")
    assert (refused.code, refused.out) == (2, "")
    assert word in refused.error["message"]
    assert meant in refused.error["hint"]


def test_a_word_that_may_be_a_key_is_not_repeated(spcli: Front) -> None:
    refused = spcli("help", "sk_live_0123456789abcdef")
    assert refused.code == 2
    assert "0123456789" not in refused.err
    assert "list topics with" in refused.err


@pytest.mark.parametrize(
    ("typed", "offered", "missing"),
    [
        ((), {"ci", "json", "webhooks", "upload", "builds"}, {"wait", "--help"}),
        (("builds",), {"list", "show", "wait"}, {"ci", "upload"}),
        (("ci",), set(), {"json", "list"}),
    ],
)
def test_tab_offers_topics_and_commands(typed: tuple[str, ...], offered: set[str], missing: set[str]) -> None:
    words = ["spcli", "help", *typed, ""]
    text = answer({"_SPCLI_COMPLETE": "complete_fish", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)})
    assert text is not None
    found = [line.split("\t")[0] for line in text.splitlines()[1:]]
    assert offered <= set(found)
    assert not missing & set(found)
    assert len(found) == len(set(found))


def test_only_a_topic_loads_the_reader_of_pages(tmp_path: Path) -> None:
    probe = "import sys; from spcli.__main__ import run; import atexit; sys.setprofile(lambda *_: None)\n"
    probe += "atexit.register(lambda: print('spcli.output.markdown' in sys.modules, file=sys.stderr)); run()"
    environ = {"SPCLI_CONFIG": str(tmp_path / "c.toml"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    for words, is_loaded in ((["help"], "False"), (["help", "ci"], "True")):
        ran = subprocess.run([sys.executable, "-c", probe, *words], env=environ, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr.strip()) == (0, is_loaded)


def test_the_help_groups_every_command_once(spcli: Front) -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(TABLE)
    shown = spcli("--help").out
    listed = {}
    for title in SECTIONS:
        body = shown.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        listed[title] = tuple(re.findall(r"^  ([a-z-]+) ", body, re.MULTILINE))
    assert listed == SECTIONS
    starts = {line.index(TABLE[line.split()[0]].help[:20]) for line in shown.splitlines() if line[2:].split(" ")[0] in TABLE}
    assert len(starts) == 1
