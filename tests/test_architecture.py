"""The house's rules, held: who may import whom, heavy libraries in their rooms, a light start, small files."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.front import FakeClock, sandbox

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spcli"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up; a module knows those below it, and its own.
RANKS = (
    ("errors", "models", "clock"),
    ("patience",),
    ("policy", "lifecycle"),
    ("reading", "release", "rawcall", "diagnosis"),
    ("settings", "state", "transport", "output", "storage", "file_url", "answers", "reading"),
    ("api",),
    ("evidence", "limited", "check", "target"),
    ("sending",),
    ("pipeline", "waiting"),
    ("stages",),
    ("options",),
    ("commands",),
    ("cli", "failures"),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}
GROUND = {"errors", "models", "clock", "patience", "policy", "lifecycle", "reading"}
ROOMS = {"settings", "state", "transport", "output"}
OUTWARD = {"cli", "commands", "options", "runtime", "pipeline", "sending", "stages", "waiting", "api", "failures"}
HOMES = {
    "httpx": {"webhooks"},
    "httpcore": {"transport"},
    "sqlite3": {"state", "names"},
    "rich": {"output"},
    "platformdirs": {"settings"},
    "tomli_w": {"settings"},
    "tomllib": {"settings", "names"},
    "asyncio": {"webhooks"},
    "starlette": {"webhooks"},
    "uvicorn": {"webhooks"},
    "typer": {"cli", "options", "commands", "failures"},
    "logging": {"webhooks"},  # to silence uvicorn's
    "importlib.metadata": set(),
    "click": set(),
    "pydantic": set(),
    "requests": set(),
}
EAGER = (
    "httpx",
    "httpcore",
    "rich",
    "sqlite3",
    "platformdirs",
    "tomli_w",
    "tomllib",
    "subprocess",
    "asyncio",
    "starlette",
    "uvicorn",
    "email",
)
POSIX_ONLY = {
    "fork",
    "getuid",
    "geteuid",
    "killpg",
    "setsid",
    "mkfifo",
    "SIGKILL",
    "SIGALRM",
    "SIGUSR1",
    "SIGHUP",
    "O_NOFOLLOW",
    "setitimer",
}
POSIX_MODULES = {"fcntl", "termios", "pwd", "grp", "resource", "tty", "pty"}


def room_of(path: Path) -> str:
    """The first word of a file's place: a package's name, or the module's own."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "__init__" if parts == ("__init__",) else parts[0]


def imports_in(tree: ast.AST) -> list[tuple[str, ast.stmt, bool]]:
    """Every import that runs: its dotted name, its statement, and whether it stands at the top of the module."""
    found: list[tuple[str, ast.stmt, bool]] = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for other in child.orelse:
                    visit(other, top)
            elif isinstance(child, ast.Import):
                found.extend((alias.name, child, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                names = (
                    [f"{child.module}.{alias.name}" for alias in child.names] if child.module == "spcli" else [str(child.module)]
                )
                found.extend((name, child, top) for name in names)
            else:
                visit(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    visit(tree, True)
    return found


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def ours(path: Path) -> set[str]:
    """The rooms of spcli that a file imports."""
    return {name.split(".")[1] for name, _, _ in imports_in(parsed(path)) if name.startswith("spcli.")} - {"__version__"}


IDS = [str(path.relative_to(PACKAGE)) for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_one_way(path: Path) -> None:
    room, known = room_of(path), ours(path) - {room_of(path)}
    if room in GROUND or room in ROOMS:
        assert known <= GROUND
    elif room == "api":
        assert known <= GROUND | {"transport", "answers", "reading"}
    elif room == "sandbox":
        assert known == set()
    else:
        above = {name for name in known if name in RANK and room in RANK and RANK[name] > RANK[room]}
        allowed = {"cli"} if room == "failures" else set()
        assert above <= allowed
    if path.relative_to(PACKAGE).as_posix() not in ("commands/sandbox.py", "commands/demo.py"):
        assert "sandbox" not in known
    if room not in ("cli", "__main__", "failures"):
        assert "cli" not in known
        assert "commands" not in known or room == "commands"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_heavy_libraries_stay_in_their_rooms_and_load_late(path: Path) -> None:
    for name, statement, top in imports_in(parsed(path)):
        library = name.split(".")[0] if not name.startswith("importlib.metadata") else "importlib.metadata"
        if library in HOMES:
            assert room_of(path) in HOMES[library], f"line {statement.lineno}: {name}"
        if top and library in EAGER:
            inside = room_of(path) in HOMES.get(library, set()) and path.name != "__init__.py"
            assert inside, f"line {statement.lineno}: {name} loads with the module"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_have_at_most_300_lines_and_functions_40(path: Path) -> None:
    assert path.name == "tree.py" or len(path.read_text("utf-8").splitlines()) <= 300
    for node in ast.walk(parsed(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            # A command's signature is its table of options, and its docstring its help: the code is what counts.
            body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            assert lines <= 40, f"{node.name}: {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_functions_take_few_arguments_and_say_what_they_mean(path: Path) -> None:
    is_command = room_of(path) == "commands"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef) and not is_command and not node.name.startswith("__"):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            count = len([one for one in arguments if one.arg not in ("self", "cls")])
            assert count <= 7, f"{node.name}: {count} arguments"


def test_no_room_for_odds_and_ends() -> None:
    words = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}
    assert [path for path in PACKAGE.rglob("*") if path.stem.strip("_") in words] == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_todo_no_banner_no_wildcard(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not any(word in text for word in ("TODO", "FIXME", "XXX", "import *"))
    calls = [node.func.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert "print" not in calls
    assert ast.get_docstring(ast.parse(text)) or path.name == "__init__.py"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_value_of_a_statement_goes_by_a_number(path: Path) -> None:
    """Python 3.12 warns of `?1` with a sequence of values, 3.14 refuses it."""
    texts = [node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert [text for text in texts if re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|LIMIT|WHERE)\b.*\?\d", text)] == []


def guarded(tree: ast.Module) -> set[int]:
    """Lines inside a branch that looks at the platform, or at whether the name is there."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp)) and any(
            mark in ast.unparse(node.test) for mark in ("platform", "hasattr", "os.name", "getattr", "_access")
        ):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, ast.FunctionDef) and any(
            "platform" in ast.unparse(one) or "os.name" in ast.unparse(one) for one in node.body
        ):
            lines |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_posix_only_names_stand_behind_a_branch(path: Path) -> None:
    tree = parsed(path)
    safe = guarded(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in POSIX_ONLY and node.lineno not in safe:
            # The helpers of a guarded function may be split off; they are named here by hand.
            pytest.fail(f"line {node.lineno}: {ast.unparse(node)} is not there on Windows")
    for name, statement, top in imports_in(tree):
        if name.split(".")[0] in POSIX_MODULES:
            assert not top, f"line {statement.lineno}: {name}"


PROBE = """
import sys
# Under a profiler the program leaves in order, and so comes back here.
sys.setprofile(lambda *_: None)
from spcli.__main__ import run
try:
    run()
finally:
    sys.stderr.write("LOADED " + " ".join(sorted(sys.modules)))
"""


def loaded(tmp_path: Path, *argv: str, env: dict[str, str] | None = None) -> tuple[int, set[str]]:
    """What a command line loads, in a process of its own with its output in a pipe."""
    environ = {"SPCLI_CONFIG": str(tmp_path / "c.toml"), "SPCLI_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    import os

    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *argv],
        env=kept | environ | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "LOADED " not in ran.stderr:
        return ran.returncode, set()
    return ran.returncode, set(ran.stderr.rpartition("LOADED ")[2].split())


@pytest.mark.parametrize(
    "argv", [("--help",), ("upload", "--help"), ("builds", "--help"), ("uplod",), ("exit-codes",)], ids=" ".join
)
def test_help_and_usage_errors_load_nothing_heavy(tmp_path: Path, argv: tuple[str, ...]) -> None:
    code, modules = loaded(tmp_path, *argv)
    assert code == (2 if argv == ("uplod",) else 0)
    heavy = {"httpx", "httpcore", "rich", "sqlite3", "platformdirs", "pydantic", "click", "asyncio", "ssl", "tomllib"}
    assert modules
    assert modules & heavy == set()


def test_version_does_not_even_load_typer(tmp_path: Path) -> None:
    code, modules = loaded(tmp_path, "--version")
    assert code == 0
    assert modules & {"typer", "httpx", "rich", "sqlite3", "platformdirs"} == set()
    assert {name for name in modules if name.startswith("spcli")} <= {"spcli", "spcli.__main__"}


@pytest.mark.parametrize(
    "words",
    [("projects", "list"), ("projects", "list", "--json"), ("builds",), ("upload", "https://h/a.zip", "--json")],
    ids=" ".join,
)
def test_a_call_in_a_pipe_loads_no_rich_and_nothing_loads_pydantic_click_or_asyncio(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    server: Any = sandbox(FakeClock()).start()
    bash, _ = server.exports(server.world.accounts[0])
    env = dict(line.removeprefix("export ").split("=", 1) for line in bash.splitlines())
    try:
        code, modules = loaded(tmp_path, *words, env=env)
    finally:
        server.stop()
    assert code == 0
    assert "httpcore" in modules
    assert modules & {"httpx", "rich", "pydantic", "click", "asyncio", "pygments", "tomllib"} == set()


def test_the_table_names_functions_that_exist() -> None:
    import importlib

    from spcli.commands import TABLE, Group

    for entry in TABLE.values():
        for one in entry.commands.values() if isinstance(entry, Group) else [entry]:
            module, _, function = one.function.partition(":")
            assert callable(getattr(importlib.import_module(f"spcli.commands.{module}"), function))
            assert one.help.endswith(".")
            assert len(one.help) <= 70
