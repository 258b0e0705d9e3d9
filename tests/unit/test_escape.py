"""Foreign text: escaped, truncated, and no command to a CI runner."""

import re
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spcli.output.escape import LIMIT, disarm_commands, escape_block, escape_line, truncate

ANY_TEXT = st.text(st.characters(), max_size=60)
HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ud800-\udfff]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Showroom", "Showroom"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\x00b\x7fc\x08d", "a\\x00b\\x7fc\\x08d"),
        ("50%\rdone\tnow", "50%\\rdone\\tnow"),
        ("one\ntwo\r\nthree", "one ⏎ two ⏎ three"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("a\u200bb\u200dc\ufeff", "a\\u200bb\\u200dc\\ufeff"),
        ("a\u2028b\u2029", "a\\u2028b\\u2029"),
        ("❤\ufe0f", "❤\\ufe0f"),
        ("\U000e0041", "\\U000e0041"),
        ("\u3164", "\\u3164"),
        ("\ud800", "\\ud800"),
        ("שלום مرحبا", "שלום مرحبا"),
        ("展示ルーム\u3000一号", "展示ルーム\u3000一号"),
        ("🎮 \U0001fae8 e\u0301", "🎮 \U0001fae8 e\u0301"),
        ("[link=x]y[/] :bomb: C:\\new", "[link=x]y[/] :bomb: C:\\new"),
    ],
)
def test_controls_are_escaped_and_letters_kept(text: str, shown: str) -> None:
    assert escape_line(text) == shown


def test_no_code_point_remains_that_moves_hides_or_reorders() -> None:
    blocks = ("".join(map(chr, range(first, first + 256))) for first in range(0, 0x110000, 256))
    shown = set().union(*map(escape_line, blocks))
    assert not [hex(ord(letter)) for letter in HARMFUL.findall("".join(shown))]
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert len(shown) > 100_000


@given(ANY_TEXT)
@example("\x1b" * 3000)
@example("é" * 2060)
@example("\r\n" * 5000)
def test_escaping_twice_is_escaping_once(text: str) -> None:
    assert escape_line(escape_line(text)) == escape_line(text)


@given(ANY_TEXT)
def test_a_block_has_only_line_breaks_and_indented_lines(text: str) -> None:
    first, *rest = escape_block(text).split("\n")
    assert not HARMFUL.search(first)
    assert all(line.startswith("  ") and not HARMFUL.search(line) for line in rest)


def test_a_block_cannot_imitate_our_own_lines() -> None:
    assert escape_block("No.\nhint: rm -rf /\n") == "No.\n  hint: rm -rf /"


@pytest.mark.parametrize("shorten", [truncate, escape_line, escape_block])
def test_ten_megabytes_become_two_kilobytes_and_their_size(shorten: object) -> None:
    assert callable(shorten)
    assert shorten("A" * 10_000_000) == "A" * LIMIT + " (truncated, 10000000 bytes)"
    assert len(shorten("展" * 5_000).encode()) < LIMIT + 48
    assert shorten("展" * 5_000).endswith("展 (truncated, 15000 bytes)")
    assert len(shorten("\x1b\n" * 5_000_000).encode()) < LIMIT + 48


def test_a_truncated_text_keeps_lone_surrogates() -> None:
    assert truncate("\ud800" * 1000).startswith("\ud800\ud800")


def github_command(line: str) -> bool:
    """The runner's two grammars: `::name` after white space, `##[name]` anywhere (actions/runner, ActionCommand.cs)."""
    return line.lstrip().startswith("::") or "##[" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::error::x", "| ::error::x"),
        ("  ::set-output name=a::b", "|   ::set-output name=a::b"),
        ("\u3000::warning::", "| \u3000::warning::"),
        ("a\n::add-mask::e\nb", "a\n| ::add-mask::e\nb"),
        ("foo ##[error]bar", "foo # #[error]bar"),
        ("###[group]", "## #[group]"),
        ("##vso[task.setvariable variable=a]b", "# #vso[task.setvariable variable=a]b"),
        ("##TeamCity[buildStatus]", "# #TeamCity[buildStatus]"),
        ("section_start:1:x section_END:1:x", "section_start :1:x section_END :1:x"),
        ("## Heading, std::string, a::b, section_start", "## Heading, std::string, a::b, section_start"),
    ],
)
def test_no_line_is_a_command_to_a_ci_runner(text: str, shown: str) -> None:
    assert disarm_commands(text) == shown
    assert not any(map(github_command, disarm_commands(text).split("\n")))


@given(st.lists(st.sampled_from(["::", "##", "#", "[", "vso", "error", "]", " ", "\t", "\u00a0", "\n", "x"])).map("".join))
def test_no_mixture_of_marks_is_a_command_to_a_ci_runner(text: str) -> None:
    shown = disarm_commands(escape_block(text))
    assert not any(map(github_command, shown.split("\n")))
    assert "##vso[" not in shown


@pytest.mark.parametrize(
    "text", [" " * 2**20 + "x", ("\u3000" * 1023 + "\n") * 1024, "##" + "a" * 2**20, "#" * 2**20, "section_start" * 80_000]
)
def test_a_mebibyte_is_searched_for_commands_in_linear_time(text: str) -> None:
    started = time.process_time()
    disarm_commands(f"::{text}##")
    assert time.process_time() - started < 2
