"""Foreign text: what is shown of it."""

import json
import re
import unicodedata
from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from spcli.check.url import secrets_in
from spcli.output.escape import LIMIT, cut, inert, inert_block, redacted, spellings, without_commands

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
def test_a_field_keeps_its_letters_and_loses_its_powers(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_no_code_point_comes_through_that_moves_hides_or_reorders() -> None:
    shown = set().union(*map(inert, map(chr, range(0x110000))))
    assert not [hex(ord(letter)) for letter in shown if HARMFUL.match(letter)]
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert len(shown) > 100_000


@given(ANY_TEXT)
@example("\x1b" * 3000)
@example("é" * 2060)
@example("\r\n" * 5000)
def test_escaping_twice_is_escaping_once(text: str) -> None:
    assert inert(inert(text)) == inert(text)


@given(ANY_TEXT)
def test_a_block_has_only_line_breaks_and_indented_lines(text: str) -> None:
    first, *rest = inert_block(text).split("\n")
    assert not HARMFUL.search(first)
    assert all(line.startswith("  ") and not HARMFUL.search(line) for line in rest)


def test_a_block_cannot_pass_for_our_own_lines() -> None:
    assert inert_block("No.\nhint: rm -rf /\n") == "No.\n  hint: rm -rf /"


@pytest.mark.parametrize("shorten", [cut, inert, inert_block])
def test_ten_megabytes_are_shown_as_two_kilobytes_and_their_size(shorten: object) -> None:
    assert callable(shorten)
    assert shorten("A" * 10_000_000) == "A" * LIMIT + " (truncated, 10000000 bytes)"
    assert len(shorten("展" * 5_000).encode()) < LIMIT + 48
    assert shorten("展" * 5_000).endswith("展 (truncated, 15000 bytes)")
    assert len(shorten("\x1b\n" * 5_000_000).encode()) < LIMIT + 48


def test_a_cut_text_keeps_lone_surrogates_for_its_reader_to_replace() -> None:
    assert cut("\ud800" * 1000).startswith("\ud800\ud800")


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
    assert without_commands(text) == shown
    assert not any(map(github_command, without_commands(text).split("\n")))


@given(st.lists(st.sampled_from(["::", "##", "#", "[", "vso", "error", "]", " ", "\t", "\u00a0", "\n", "x"])).map("".join))
def test_no_mixture_of_marks_is_a_command_to_a_ci_runner(text: str) -> None:
    shown = without_commands(inert_block(text))
    assert not any(map(github_command, shown.split("\n")))
    assert "##vso[" not in shown


@pytest.mark.parametrize("secret", ["canary123", "ca/na+ry=%", 'quo"te\\key', "schlüssel-展示"])
def test_a_secret_is_found_in_every_spelling(secret: str) -> None:
    from urllib.parse import quote, quote_plus

    forms = spellings(secret)
    written = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret).lower(), json.dumps(secret)[1:-1]]
    for text in [*written, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1].replace("/", "\\/")]:
        assert redacted(f"key={text}&x", forms) == "key=****&x"


def test_a_secret_too_short_to_hide_is_left_alone() -> None:
    assert redacted("a banana", spellings("a")) == "a banana"


VALUES = st.integers(0, 10**9).map(lambda number: sha256(b"%d" % number))
HEX = VALUES.map(lambda value: value.hexdigest())
BASE64 = VALUES.map(lambda value: b64encode(value.digest()).decode())
SIGNED = [
    "https://b.s3.amazonaws.com/G.zip?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260430T140000Z&X-Amz-Signature={}&x=1",
    "https://b.s3.amazonaws.com/G.zip?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1790000000&Signature={}",
    "https://storage.googleapis.com/b/G.zip?X-Goog-Date=20260430T140000Z&X-Goog-Signature={}",
    "https://a.blob.core.windows.net/b/G.zip?sv=2022-11-02&se=2026-04-30T12%3A00%3A00Z&sp=r&sig={}",
]
ENDS = ["", "…", "...", '"', "'>", " (truncated, 4000 bytes)", "\n", ", and more"]


@given(st.sampled_from(SIGNED), HEX | BASE64, st.integers(0, 300), st.integers(1, 300), st.sampled_from(ENDS), st.booleans())
def test_whatever_is_cut_of_a_signed_url_nothing_of_its_signature_is_shown(
    pattern: str, value: str, begin: int, size: int, end: str, quoted: bool
) -> None:
    from urllib.parse import quote

    url = pattern.format(quote(value))
    forms = [form for secret in secrets_in(url) for form in spellings(secret.reveal())]
    text = quote(url) if quoted else url
    at = text.index(quote(quote(value)) if quoted else quote(value))
    assume(begin <= at or begin + size >= len(text))  # cut before or behind: of what is cut out of its middle nobody can tell
    shown = redacted(f"cannot fetch {text[begin : begin + size]}{end}", forms)
    # Behind a name that was cut, too, less than six letters of a value are not known for one.
    assert not re.search(r"(?:-|%26|&)(?:[Ss]ignature|sig)(?:=|%3D)[0-9A-Za-z]", shown) or begin > at - len("X-Goog-Signature%3D")
    assert value[:6] not in shown
    assert value[-7:-1] not in shown


@given(st.from_regex(r"[a-z0-9]{8}-[A-Za-z0-9]{32}", fullmatch=True), st.integers(6, 41), st.sampled_from(ENDS))
@example("sandbox1-" + "f" * 32, 9, "")
def test_whatever_is_cut_of_a_key_no_six_letters_of_it_are_shown(key: str, size: int, end: str) -> None:
    forms = spellings(key)
    plain_word = key[:size].isalpha() and size == 8 and not end.startswith(("…", "...", " ("))
    assert plain_word or key[:6] not in redacted(f"unknown key {key[:size]}{end}", forms)
    assert key[-6:] not in redacted(f"unknown key …{key[-size:]}{end}", forms)


@pytest.mark.parametrize(
    "text", ["a sandbox", "sandbox: not found", "sandboxes", "profile sandbox-eu", "20260430T140000Z", "SHA256"]
)
def test_a_word_that_a_key_begins_with_and_the_times_of_a_signed_url_are_no_secrets(text: str) -> None:
    secrets = [secret.reveal() for secret in secrets_in(SIGNED[0].format("0f" * 32))]
    assert redacted(text, [form for secret in ("sandbox-main-bade7a0d995aa43d", *secrets) for form in spellings(secret)]) == text
