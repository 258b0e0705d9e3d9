"""Errors and hints are alike in the whole program: lower case at the start, no full stop at the end, no riddles."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "spcli"
ERRORS = {"SpcliError": 1, "NotSent": 0, "Refused": 1, "Unclear": 0, "BadParameter": 0, "SurplusError": 1}
"""The position of the message in the arguments of each error."""
PROPER = {
    "Streampixel",
    "OpenSSL",
    "Ctrl-C",
    "Windows",
    "Python",
    "GitHub",
    "PowerShell",
    "Git",
    "Cloudflare",
    "Azure",
    "Ctrl-Break",
}
RIDDLES = re.compile(
    r"\b(mends?|mend it|whoever|nobody|bears|is told|is heard of|all the same|of ours|gone on with|stands? behind)\b",
    re.IGNORECASE,
)


def literal(node: ast.expr | None) -> list[str]:
    """The texts that an expression may give; a formatted value is `{}`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)]
    if isinstance(node, ast.IfExp):
        return literal(node.body) + literal(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [text for one in node.values for text in literal(one)]
    return []


def texts() -> Iterator[tuple[str, str]]:
    """Every message and hint that stands in the package as a literal, with its place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found: list[str] = []
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in ERRORS and len(node.args) > ERRORS[name]:
                    found += literal(node.args[ERRORS[name]])
                found += [text for keyword in node.keywords if keyword.arg == "hint" for text in literal(keyword.value)]
            elif isinstance(node, ast.Assign) and any(getattr(one, "attr", "") == "hint" for one in node.targets):
                found += literal(node.value)
            yield from ((f"{path.relative_to(PACKAGE)}:{node.lineno}", text) for text in found if text)


TEXTS = list(texts())


def is_upper_case(text: str) -> bool:
    """Whether a text begins like a sentence, and not with a proper name or a name in capitals such as PATH or S3."""
    word = re.match(r"[A-Z][\w-]*", text)
    return word is not None and word[0] not in PROPER and not re.fullmatch(r"[A-Z][A-Z0-9_-]+s?", word[0])


def test_the_walk_finds_the_errors_of_the_package() -> None:
    assert len(TEXTS) > 100


def test_no_error_and_no_hint_begins_in_upper_case() -> None:
    assert [(place, text) for place, text in TEXTS if is_upper_case(text)] == []


def test_no_error_and_no_hint_ends_in_a_full_stop() -> None:
    assert [(place, text) for place, text in TEXTS if text.endswith(".") and not text.endswith("...")] == []


def test_no_text_of_the_package_is_a_riddle() -> None:
    found = []
    for path in [*PACKAGE.rglob("*.py"), ROOT / "README.md", *(ROOT / "man").iterdir()]:
        found += [f"{path.name}: {match[0]}" for match in RIDDLES.finditer(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Release it", True),
        ("S3 says no", False),
        ("PATH begins with one slash", False),
        ("Streampixel takes", False),
        ("an", False),
    ],
)
def test_a_sentence_is_told_from_a_name(text: str, expected: bool) -> None:
    assert is_upper_case(text) is expected
