"""Errors, hints and notes are alike in the whole program, and no riddles.

They follow a label such as `hint: `, so they begin in lower case and end without a full stop; sentences inside are separated as
usual.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "spcli"
MESSAGES = {
    "SpcliError": 1, "NotSent": 0, "Refused": 1, "Unclear": 0, "BadParameter": 0, "SurplusError": 1,
    "error": 1, "warning": 1, "info": 1, "note": 0, "add_note": 0, "add_warning": 0, "note_once": 0,
}  # fmt: skip
"""The position of the message in the arguments of each error, finding and note."""
HINTS = {"error": 2, "warning": 2, "info": 2}
"""The position of a finding's hint."""
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
    if isinstance(node, ast.Dict):
        return [text for one in node.values for text in literal(one)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [first + rest for first in literal(node.left) for rest in literal(node.right) or ["{}"]]
    return []


def text_arguments(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that are a message or a hint."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    places = [table[name] for table in (MESSAGES, HINTS) if name in table]
    given = [call.args[place] for place in places if len(call.args) > place]
    return given + [keyword.value for keyword in call.keywords if keyword.arg == "hint"]


def names_in(node: ast.expr | None) -> list[str]:
    """The variables that may be the whole of an expression, or its beginning."""
    if isinstance(node, ast.Name):
        return [node.id]
    parts = {ast.IfExp: ("body", "orelse"), ast.BinOp: ("left",)}.get(type(node), ())
    nested = node.values if isinstance(node, ast.BoolOp) else [getattr(node, part) for part in parts]
    return [name for one in nested for name in names_in(one)]


def assigned(scope: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a scope assigns to a name, also in pieces."""
    for node in ast.walk(scope):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
            pairs = [(one, node.value) for one in targets]
            for target, value in pairs:
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                    pairs += zip(target.elts, value.elts, strict=False)
                elif isinstance(target, ast.Name) and target.id == name:
                    yield value


def texts() -> Iterator[tuple[str, str]]:
    """Every message, hint and note of the package with its place: literals, those in variables, and what a `…_hint` returns."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ast.parse(path.read_text("utf-8"))
        scopes = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
        constants = [node for node in module.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
        for scope in scopes:
            values: list[ast.expr | None] = []
            for node in ast.walk(scope):
                if isinstance(node, ast.Call):
                    values += text_arguments(node)
                is_set = isinstance(node, ast.Assign) and any(getattr(one, "attr", "") == "hint" for one in node.targets)
                if is_set or (isinstance(node, ast.Return) and scope.name.endswith("_hint")):
                    values.append(node.value)
            names = {name for value in values for name in names_in(value)}
            values += [value for name in names for place in (scope, *constants) for value in assigned(place, name)]
            for value in values:
                yield from ((f"{path.relative_to(PACKAGE)}:{scope.name}", text) for text in literal(value) if text)


TEXTS = list(texts())


def is_upper_case(text: str) -> bool:
    """Whether a text begins like a sentence, and not with a proper name or a name in capitals such as PATH or S3."""
    word = re.match(r"[A-Z][\w-]*", text)
    return word is not None and word[0] not in PROPER and not re.fullmatch(r"[A-Z][A-Z0-9_-]+s?", word[0])


def test_the_walk_finds_the_errors_of_the_package() -> None:
    assert len(TEXTS) > 400
    assert any("may have been accepted" in text for _, text in TEXTS), "a hint that is put together in a variable"


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
