"""The exit codes, frozen: this table was written by hand, from the contract."""

import re
from pathlib import Path

import pytest

from spcli.errors import CODE_OF, EXIT_CODES, SpcliError
from tests.front import Front

TABLE = {
    0: ("ok", ""),
    1: ("internal", "report it"),
    2: ("usage", "no"),
    3: ("config", "no"),
    10: ("rejected", "no"),
    11: ("deadline", "no: builds wait ID"),
    12: ("bad-file", "no"),
    13: ("no-target", "no"),
    14: ("guard", "no"),
    15: ("unconfirmed", "no"),
    16: ("receiver", "yes"),
    17: ("unreadable", "no"),
    19: ("output-lost", "no"),
    40: ("http-400", "no"),
    41: ("http-401", "no"),
    43: ("http-403", "no"),
    44: ("http-404", "no"),
    45: ("http-415", "no"),
    48: ("http-4xx", "no"),
    49: ("rate-limited", "yes, after retryAfter"),
    50: ("http-5xx", "see outcome"),
    60: ("network", "yes"),
    61: ("unknown", "yes, with the same state folder: it checks first"),
    62: ("protocol", "no"),
    130: ("interrupted", "only if outcome is not_sent; else builds wait ID"),
    141: ("closed-pipe", "yes"),
    143: ("interrupted", "only if outcome is not_sent; else builds wait ID"),
}
RETRYABLE = {
    # kind: by outcome None, not_sent, refused, unknown, done
    "http-5xx": (True, True, True, False, False),
    "rate-limited": (True, True, True, True, False),
    "network": (True, True, True, True, False),
    "receiver": (True, True, True, True, False),
    "closed-pipe": (True, True, True, True, False),
    "unknown": (False, True, False, True, False),
    "interrupted": (False, True, False, None, False),
}
OUTCOMES = (None, "not_sent", "refused", "unknown", "done")


def test_the_table_is_exactly_the_frozen_one() -> None:
    assert {row.code: (row.name, row.safe_to_retry) for row in EXIT_CODES} == TABLE
    assert [row.code for row in EXIT_CODES] == sorted(TABLE)


@pytest.mark.parametrize(("word", "codes"), [("13", [13]), ("no-target", [13]), ("NO-TARGET", [13]), ("interrupted", [130, 143])])
def test_the_command_explains_one_code(spcli: Front, word: str, codes: list[int]) -> None:
    assert [row["code"] for row in spcli("exit-codes", word, "--json").json] == codes
    assert spcli("exit-codes", word, "-q").out.split() == [str(code) for code in codes]
    shown = spcli("exit-codes", word).out.splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [[str(code), TABLE[code][0]] for code in codes]


@pytest.mark.parametrize("word", ["5", "nosuch", "", "013"])
def test_a_word_that_is_no_code_is_a_usage_error(spcli: Front, word: str) -> None:
    refused = spcli("exit-codes", word, "--json")
    assert (refused.code, refused.error["message"]) == (2, "no such exit code")


def test_the_command_prints_the_table(spcli: Front) -> None:
    listed = spcli("exit-codes", "--json").json
    assert {row["code"]: (row["name"], row["safeToRetry"] or "") for row in listed} == TABLE
    assert all(row["meaning"] for row in listed)
    lines = spcli("exit-codes").out.splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == sorted(TABLE)
    assert spcli("exit-codes", "-q").out.split() == [str(code) for code in sorted(TABLE)]


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_kind_leads_to_its_code(code: int) -> None:
    name = TABLE[code][0]
    assert CODE_OF[name] == (130 if name == "interrupted" else code)
    assert SpcliError(name, "").exit_code == CODE_OF[name]


@pytest.mark.parametrize("name", sorted({name for name, _ in TABLE.values()}))
def test_retryable_says_whether_the_same_command_is_safe(name: str) -> None:
    wanted = RETRYABLE.get(name, (False,) * 5)
    for outcome, retryable in zip(OUTCOMES, wanted, strict=True):
        if retryable is not None:
            assert SpcliError(name, "", outcome=outcome).retryable is retryable, (name, outcome)  # type: ignore[arg-type]


def test_the_readme_has_every_code() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    section = text.partition("## Exit codes")[2].partition("\n## ")[0]
    assert set(TABLE) <= set(map(int, re.findall(r"\b(\d{1,3})\b", section)))


def test_help_tells_the_codes_a_newcomer_meets(spcli: Front) -> None:
    text = spcli("--help").out
    for code in (0, 2, 3, 10, 11, 13, 49, 50, 60, 61, 130):
        assert re.search(rf"\b{code}\b", text)
