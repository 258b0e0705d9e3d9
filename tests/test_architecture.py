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
    ("replacing",),
    ("policy", "lifecycle"),
    ("release", "rawcall", "diagnosis"),
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
GROUND = {"errors", "models", "clock", "replacing", "policy", "lifecycle", "reading"}
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


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_posix_only_names_stand_behind_a_branch(path: Path) -> None:
    assert set(posix_only(parsed(path))) == BRANCHED_ELSEWHERE.get(path.relative_to(PACKAGE).as_posix(), set())


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
