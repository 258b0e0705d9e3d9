"""The rules of the package, each a test that lists its offenders: who imports whom, sizes, names, heavy libraries, start-up."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.front import FakeClock, sandbox

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "spcli"
FILES = sorted(PACKAGE.rglob("*.py"))

GROUND = {"errors", "models", "clock", "files", "signals"}
"""Import nothing above them."""
PURE = {"ratelimit", "builds.lifecycle", "builds.live", "api.parse", "api.raw", "ci", "packing.layout", "packing.compare"}
"""Time and chance come in as arguments."""
IMPURE_LIBRARIES = {"time", "random", "os", "socket", "subprocess", "threading", "sqlite3", "secrets", "uuid"}
ADAPTERS = {"settings", "state", "transport", "output"}
MIDDLE = {"writes", "builds", "lookup", "check", "storage", "webhooks", "fleet"}
ALLOWED = {
    **{room: set[str]() for room in ADAPTERS},
    "api": {"transport"},
    **{room: {"api", "state", "output"} | MIDDLE for room in MIDDLE},
    "check": {"api", "state", "output", "transport"} | MIDDLE,
    "storage": {"api", "state", "output", "transport"} | MIDDLE,
    "webhooks": {"api", "state", "output", "transport"} | MIDDLE,
    "completion": {"settings", "state"},
    "sandbox": set(),
    "packing": set(),
    "usage": {"commands", "completion"},
    "runtime": ADAPTERS | {"api"},
    "commands": ADAPTERS | MIDDLE | {"api", "completion", "packing", "runtime"},
    "cli": ADAPTERS | MIDDLE | {"api", "commands", "usage", "runtime", "completion"},
    "__main__": {"cli", "runtime", "completion"},
}
"""What a room may import besides itself, the ground and the pure modules."""
WITH_SANDBOX = {"commands.sandbox", "commands.demo"}
SHARED_BY_COMMANDS = {"commands", "commands.options", "commands.writing", "commands.doctor_checks"}

HOMES = {
    "httpx": {"webhooks", "transport"},
    "httpcore": {"transport"},
    "sqlite3": {"state"},
    "rich": {"output"},
    "platformdirs": {"settings"},
    "tomli_w": {"settings"},
    "tomllib": {"settings", "completion"},
    "asyncio": {"webhooks"},
    "starlette": {"webhooks"},
    "uvicorn": {"webhooks"},
    "typer": {"cli", "usage", "commands"},
    "logging": {"webhooks"},  # to silence uvicorn's
    "importlib.metadata": set(),
    "click": set(),
    "pydantic": set(),
    "requests": set(),
}
"""The rooms that may import a library."""
HEAVY = {
    "httpx", "httpcore", "rich", "sqlite3", "platformdirs", "tomli_w", "tomllib", "subprocess", "asyncio", "starlette",
    "uvicorn", "email",
}  # fmt: skip
LOADED_BY_TYPER = {
    "ast", "datetime", "difflib", "errno", "inspect", "io", "ipaddress", "math", "re", "select", "signal", "threading", "time",
    "traceback", "unicodedata", "urllib.parse",
}  # fmt: skip
"""Every command has loaded them, so an import inside a function saves nothing."""
WITHOUT_TYPER = {"__main__", "signals", "completion", "settings.places", "settings.table", "state.account", "state.reader"}
"""Modules that run before Typer is loaded, or for a TAB press without it."""
GENERATED = {"completion/tree.py"}
POSIX_ONLY = {
    "os": """
        chown chroot copy_file_range fchmod fchown fdatasync fork forkpty fpathconf fstatvfs fwalk get_blocking
        getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid initgroups
        killpg lchown lockf memfd_create mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise
        posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork sched_getaffinity sendfile
        set_blocking setegid seteuid setgid setgroups setpgid setpriority setregid setsid setuid statvfs sync sysconf
        tcgetpgrp ttyname uname wait wait3 wait4 waitid writev O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW
        O_NONBLOCK O_PATH O_SYNC O_TMPFILE WEXITSTATUS WIFEXITED WIFSIGNALED WNOHANG WTERMSIG
    """,
    "signal": """
        alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait
        sigwaitinfo SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGUSR1
        SIGUSR2 SIGWINCH
    """,
    "socket": "AF_UNIX CMSG_LEN MSG_DONTWAIT MSG_NOSIGNAL SCM_RIGHTS SO_PEERCRED SO_REUSEPORT recv_fds send_fds",
    "select": "devpoll epoll kqueue poll",
    "time": "clock_getres clock_gettime clock_settime tzset CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_REALTIME",
    "shutil": "chown",
}
"""What is not there on Windows, or came there after Python 3.11."""
POSIX_CALLS = {f"{module}.{name}" for module, names in POSIX_ONLY.items() for name in names.split()}
POSIX_WORDS = {"add_signal_handler", "preexec_fn", "pass_fds"}
POSIX_MODULES = {"curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
ON_WINDOWS, ELSEWHERE = ("sys.platform == 'win32'", "os.name == 'nt'"), ("sys.platform != 'win32'", "os.name != 'nt'")
# Not reached on Windows, by what stands in another function.
BRANCHED_ELSEWHERE = {"clock.py": {"time.clock_gettime"}, "output/prompt.py": {"termios"}}


def module_of(path: Path) -> str:
    """The dotted name below `spcli`; a package's `__init__` is the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


TREES = {module_of(path): parsed(path) for path in FILES}
PLACES = {module_of(path): path.relative_to(PACKAGE).as_posix() for path in FILES}


def room_of(module: str) -> str:
    return module.split(".")[0]


def imports_in(tree: ast.AST, *, types: bool = False) -> Iterator[tuple[str, ast.stmt, bool]]:
    """Every import: its dotted name, its statement, whether it runs with the module; those for `types` only on request."""

    def visit(node: ast.AST, top: bool) -> Iterator[tuple[str, ast.stmt, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test) and not types:
                for other in child.orelse:
                    yield from visit(other, top)
            elif isinstance(child, ast.Import):
                yield from ((alias.name, child, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, "imports are absolute"
                yield from ((f"{child.module}.{alias.name}", child, top) for alias in child.names)
            else:
                yield from visit(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    yield from visit(tree, True)


def modules_known_to(module: str, *, types: bool = False) -> set[str]:
    """The modules of spcli that a module imports, itself left out."""
    names = [name.removeprefix("spcli.") for name, _, _ in imports_in(TREES[module], types=types) if name.startswith("spcli.")]
    found = {next((one for one in (name, name.rpartition(".")[0]) if one in TREES), "") for name in names}
    return found - {module, ""}


def is_pure(module: str) -> bool:
    return module in PURE or room_of(module) in PURE


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its place."""
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{PLACES[module]}:{node.lineno} {node.name}", node


def test_ground_modules_import_nothing_above_them() -> None:
    assert [(one, other) for one in GROUND for other in modules_known_to(one) if room_of(other) not in GROUND] == []


def test_pure_modules_import_only_ground_and_each_other() -> None:
    pure = [module for module in TREES if is_pure(module)]
    assert [
        (one, other) for one in pure for other in modules_known_to(one) if room_of(other) not in GROUND and not is_pure(other)
    ] == []
    libraries = [(one, name) for one in pure for name, _, _ in imports_in(TREES[one]) if name.split(".")[0] in IMPURE_LIBRARIES]
    assert libraries == []


def test_rooms_import_only_what_they_are_allowed() -> None:
    offenders = []
    for module in TREES:
        room = room_of(module)
        if room in GROUND or room == "__init__" or is_pure(module):
            continue
        allowed = GROUND | ALLOWED[room] | {room} | ({"sandbox"} if module in WITH_SANDBOX else set())
        offenders += [
            (module, other) for other in modules_known_to(module) if room_of(other) not in allowed and not is_pure(other)
        ]
    assert offenders == []


def test_commands_do_not_import_each_other() -> None:
    commands = [module for module in TREES if room_of(module) == "commands"]
    allowed = SHARED_BY_COMMANDS
    assert [
        (one, other)
        for one in commands
        for other in modules_known_to(one)
        if room_of(other) == "commands" and other not in allowed
    ] == []


def test_no_module_is_in_an_import_cycle() -> None:
    graph = {module: modules_known_to(module, types=True) for module in TREES}

    def reachable(start: str) -> set[str]:
        found, todo = set[str](), list(graph[start])
        while todo:
            if (module := todo.pop()) not in found:
                found.add(module)
                todo += graph[module]
        return found

    assert [module for module in TREES if module in reachable(module)] == []


def test_only_cli_and_commands_know_the_runtime() -> None:
    allowed = {"cli", "commands", "__main__", "runtime"}
    imports = [one for one in TREES if "runtime" in modules_known_to(one, types=True) and room_of(one) not in allowed]
    takes = [
        place
        for place, node in functions()
        if place.split("/")[0].split(".")[0] not in allowed and any(one.arg == "runtime" for one in node.args.args)
    ]
    assert (imports, takes) == ([], [])


def test_the_package_has_at_most_26_names_at_the_top() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 26


def test_heavy_libraries_stay_in_their_rooms_and_load_late() -> None:
    offenders = []
    for module, tree in TREES.items():
        for name, statement, top in imports_in(tree):
            library = "importlib.metadata" if name.startswith("importlib.metadata") else name.split(".")[0]
            is_home = room_of(module) in HOMES.get(library, {room_of(module)})
            is_late = (
                not top or library not in HEAVY or (library in HOMES and is_home and not PLACES[module].endswith("__init__.py"))
            )
            if not (is_home and is_late):
                offenders.append(f"{PLACES[module]}:{statement.lineno} {name}")
    assert offenders == []


def test_modules_that_are_loaded_anyway_are_imported_at_the_top() -> None:
    offenders = [
        f"{PLACES[module]}:{statement.lineno} {name}"
        for module, tree in TREES.items()
        if module not in WITHOUT_TYPER and room_of(module) not in WITHOUT_TYPER
        for name, statement, top in imports_in(tree)
        if not top and not {name, name.rpartition(".")[0]}.isdisjoint(LOADED_BY_TYPER)
    ]
    assert offenders == []


def test_files_have_60_to_500_lines() -> None:
    lengths = {place: len(path.read_text("utf-8").splitlines()) for place, path in zip(PLACES.values(), FILES, strict=True)}
    long = [(place, lines) for place, lines in lengths.items() if lines > 500 and place not in GENERATED]
    short = [
        (place, lines)
        for place, lines in lengths.items()
        if lines < 60 and not place.endswith("__init__.py") and not place.startswith("commands/")
    ]
    assert (long, short) == ([], [])


def test_test_files_have_at_most_500_lines() -> None:
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert [(name, lines) for name, lines in lengths.items() if lines > 500] == []


def test_functions_have_under_40_lines_and_at_most_7_arguments() -> None:
    offenders = []
    for place, node in functions():
        # A command's signature is its table of options, and its docstring its help: the code is what counts.
        body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
        arguments = [
            one for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if one.arg not in ("self", "cls")
        ]
        is_command = place.startswith("commands/") or node.name.startswith("__")
        if lines >= 40 or (len(arguments) > 7 and not is_command):
            offenders.append(f"{place}: {lines} lines, {len(arguments)} arguments")
    assert offenders == []


def test_at_most_30_percent_of_functions_are_named_by_one_word() -> None:
    names = [node.name for _, node in functions() if not (node.name.startswith("__") and node.name.endswith("__"))]
    short = [name for name in names if "_" not in name.strip("_")]
    assert len(short) <= 0.3 * len(names), f"{len(short)} of {len(names)}"


def test_docstrings_of_functions_and_properties_begin_with_a_verb() -> None:
    # ruff's D401 leaves properties out, and knows only some nouns.
    nouns = {"The", "A", "An", "Whether", "What", "How", "Why", "Which", "Who", "Where", "When", "Seconds", "This", "It"}
    found = [(place, node.name, ast.get_docstring(node) or "Return") for place, node in functions()]
    assert [(place, name) for place, name, text in found if text.split()[0] in nouns] == []


def test_no_room_for_odds_and_ends() -> None:
    words = {"utils", "util", "helpers", "helper", "common", "base", "misc", "tools"}
    assert [path for path in PACKAGE.rglob("*") if path.stem.strip("_") in words] == []


def test_no_todo_no_print_no_wildcard_and_a_docstring_in_each_file() -> None:
    offenders = []
    for path in FILES:
        text, tree = path.read_text("utf-8"), parsed(path)
        calls = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        words = [word for word in ("TODO", "FIXME", "XXX", "import *") if word in text] + ["print"] * ("print" in calls)
        offenders += [(path.name, word) for word in words]
        offenders += [] if ast.get_docstring(tree) else [(path.name, "no docstring")]
    assert offenders == []


def test_no_value_of_a_statement_goes_by_a_number() -> None:
    """Python 3.12 warns of `?1` with a sequence of values, 3.14 refuses it."""
    texts = [
        node.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [text for text in texts if re.search(r"\b(SELECT|INSERT|UPDATE|DELETE|LIMIT|WHERE)\b.*\?\d", text)] == []


def posix_only(tree: ast.AST) -> list[str]:
    """What is used on Windows too though it is not there: all that stands outside a branch which a look at the platform opens."""
    if isinstance(tree, (ast.If, ast.IfExp)):
        body, orelse = ([one] if isinstance(one, ast.AST) else one for one in (tree.body, tree.orelse))
        kept = ([] if is_for_others(tree.test) else body) + ([] if is_for_windows(tree.test) else orelse)
        return posix_only(tree.test) + in_order(kept)
    if isinstance(tree, ast.BoolOp):
        opens = is_for_others if isinstance(tree.op, ast.And) else is_for_windows
        shut = next((place for place, value in enumerate(tree.values) if opens(value)), len(tree.values))
        return in_order(tree.values[:shut])
    found = [name for name in names_in(tree) if name in POSIX_CALLS | POSIX_MODULES or name.rpartition(".")[2] in POSIX_WORDS]
    for _, value in ast.iter_fields(tree):
        found += in_order(value if isinstance(value, list) else [value])
    return found


def in_order(nodes: list[Any]) -> list[str]:
    """The same of one after the other: what follows `if sys.platform == "win32": return` is for the others."""
    found: list[str] = []
    for node in nodes:
        found += posix_only(node) if isinstance(node, ast.AST) else []
        if isinstance(node, ast.If) and is_for_windows(node.test) and isinstance(node.body[-1], (ast.Return, ast.Raise)):
            break
    return found


def names_in(node: ast.AST) -> list[str]:
    """What one node itself names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.keyword):
        return [node.arg] if node.arg in POSIX_WORDS else []
    return [ast.unparse(node)] if isinstance(node, ast.Attribute) else []


def is_for_others(test: ast.expr) -> bool:
    """Whether what a test admits is never run on Windows, or is there."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]
    return any(ast.unparse(one) in ELSEWHERE or ast.unparse(one).startswith("hasattr(") for one in parts)


def is_for_windows(test: ast.expr) -> bool:
    """Whether what a test turns away is never run on Windows."""
    parts = test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else [test]
    return any(ast.unparse(one) in ON_WINDOWS for one in parts)


def test_posix_only_names_stand_behind_a_branch() -> None:
    found = {PLACES[module]: set(posix_only(tree)) for module, tree in TREES.items()}
    assert {place: names for place, names in found.items() if names} == BRANCHED_ELSEWHERE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n    import pwd", ["pwd"]),
        ("from os import getuid", ["os.getuid"]),
        ("os.sync()", ["os.sync"]),
        ("flags = os.O_RDWR | os.O_NOFOLLOW", ["os.O_NOFOLLOW"]),
        ("if sys.platform == 'win32':\n    os.fchmod(1, 2)", ["os.fchmod"]),
        ("if sys.platform != 'win32':\n    pass\nelse:\n    os.fork()", ["os.fork"]),
        ("if sys.platform == 'win32':\n    f()\nos.killpg(1, 9)", ["os.killpg"]),
        ("if platform_name:\n    signal.alarm(1)", ["signal.alarm"]),
        ("if found or sys.platform != 'win32':\n    select.poll()", ["select.poll"]),
        ("if os.geteuid() and sys.platform != 'win32':\n    pass", ["os.geteuid"]),
        ("subprocess.run(argv, preexec_fn=f)", ["preexec_fn"]),
        ("if sys.platform == 'win32':\n    f()\nelse:\n    os.killpg(1, signal.SIGKILL)", []),
        ("def f():\n    if sys.platform == 'win32':\n        return 1\n    return os.getuid()", []),
        ("if kept and sys.platform != 'win32' and os.geteuid():\n    os.sync()", []),
        ("user = os.getuid() if hasattr(os, 'getuid') else 0", []),
        ("flags = getattr(os, 'O_NOFOLLOW', 0)", []),
    ],
)
def test_the_search_for_posix_only_names_finds_them_and_knows_a_branch(text: str, found: list[str]) -> None:
    assert posix_only(ast.parse(text)) == found


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
    assert {name for name in modules if name.startswith("spcli")} == {"spcli", "spcli.__main__"}


@pytest.mark.parametrize(
    "words",
    [("projects", "list"), ("projects", "list", "--json"), ("builds",), ("upload", "https://h/a.zip", "--json")],
    ids=" ".join,
)
def test_a_call_loads_neither_rich_nor_pydantic_click_or_asyncio(tmp_path: Path, words: tuple[str, ...]) -> None:
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
