"""Measures whole processes of an installed wheel: time and instructions as multiples of `python -c pass`, and peak memory."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/bin:/bin"
# The launcher of a current pip or uv. That of pip 23 imports `re`, which costs a third of the interpreter by itself.
_LAUNCHER = "import sys\nfrom spcli.__main__ import run\nif __name__ == '__main__':\n    sys.exit(run())\n"


class Case(NamedTuple):
    """One command to measure, with its budgets; 0 is none.

    `argv` may depend on the run's number, `None` is the bare interpreter; `code` is how it must end.
    """

    name: str
    argv: Callable[[int], Sequence[str]] | None
    environ: Mapping[str, str]
    wall: float = 0.0
    instructions: float = 0.0
    mebibytes: float = 0.0
    code: int = 0
    terminal: bool = False


class Figure(NamedTuple):
    """What one case took: medians as multiples of the bare interpreter, and the largest memory in MiB; 0 is not measured."""

    wall: float
    instructions: float
    mebibytes: float


class Installed:
    """A virtual environment of its own that holds a wheel of this checkout, with bytecode."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", str(ROOT)]
        subprocess.run(pip, check=True, env=environ)
        # Where `venv` still brings setuptools, a `.pth` file of its makes every interpreter slower, the bare one most.
        subprocess.run([str(self.python), "-m", "pip", "uninstall", "--quiet", "--yes", "setuptools"], check=True)
        self.launcher = folder / "launch.py"
        self.launcher.write_text(_LAUNCHER)

    def command(self, case: Case, number: int) -> list[str]:
        """The whole command line."""
        if case.argv is None:
            return [str(self.python), "-c", "pass"]
        return [str(self.python), str(self.launcher), *case.argv(number)]


BARE = Case("python -c pass", None, {})


def temporary() -> "tempfile.TemporaryDirectory[str]":
    """A folder that goes when it is left."""
    return tempfile.TemporaryDirectory(prefix="spcli-benchmark-")


def measure(installed: Installed, cases: Sequence[Case], *, rounds: int, counting: bool = True) -> dict[str, Figure]:
    """Run every case `rounds` times, each round all of them one after another, so that a busy machine is busy for all."""
    seconds: dict[str, list[float]] = {case.name: [] for case in (BARE, *cases)}
    memory: dict[str, float] = {}
    for number in range(-1, rounds):
        for case in (BARE, *cases):
            taken, peak = _run(installed.command(case, number), case)
            if number >= 0:  # the first round warms the caches
                seconds[case.name].append(taken)
                memory[case.name] = max(peak, memory.get(case.name, 0.0))
    counted = instructions(installed, cases) if counting else {}
    bare = median(seconds[BARE.name])
    print(f"{BARE.name}: {bare * 1000:.1f} ms, {rounds} rounds", file=sys.stderr)
    return {
        case.name: Figure(median(seconds[case.name]) / bare, counted.get(case.name, 0.0), memory[case.name])
        for case in (BARE, *cases)
    }


def _run(command: Sequence[str], case: Case) -> tuple[float, float]:
    """Seconds from the start to the end of the process, and its largest memory in MiB (0 where the system doesn't tell)."""
    environ = {"PATH": PATH, "LANG": "C.UTF-8", **case.environ}
    if case.terminal:
        return _run_on_terminal(command, environ, case)
    started = time.perf_counter()
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        _out, err = process.stdout.read(), process.stderr.read()
        status, peak = _ended(process)
    taken = time.perf_counter() - started
    _check(case, status, err)
    return taken, peak


def _run_on_terminal(command: Sequence[str], environ: Mapping[str, str], case: Case) -> tuple[float, float]:
    import pty

    ours, theirs = pty.openpty()
    started = time.perf_counter()
    process = subprocess.Popen(command, env={**environ, "TERM": "xterm", "COLUMNS": "120"}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:  # how Linux reports a closed terminal
        pass
    status, peak = _ended(process)
    taken = time.perf_counter() - started
    os.close(ours)
    _check(case, status, shown)
    return taken, peak


def _ended(process: "subprocess.Popen[bytes]") -> tuple[int, float]:
    if not hasattr(os, "wait4"):
        return process.wait(), 0.0
    import resource

    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # A child begins with the peak of its parent: what is not above that is not known.
    known = usage.ru_maxrss if usage.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss else 0
    return process.returncode, known / (1024 * 1024 if sys.platform == "darwin" else 1024)


def _check(case: Case, status: int, text: bytes) -> None:
    if status != case.code:
        raise SystemExit(f"{case.name}: exit code {status} instead of {case.code}: {text.decode(errors='replace')}")


def instructions(installed: Installed, cases: Sequence[Case]) -> dict[str, float]:
    """Instructions as multiples of the bare interpreter's, by callgrind; nothing where there is no valgrind."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return {}
    counted = {
        case.name: _count(valgrind, installed.command(case, 1_000_000), case) for case in (BARE, *cases) if not case.terminal
    }
    return {name: number / counted[BARE.name] for name, number in counted.items()}


def _count(valgrind: str, command: Sequence[str], case: Case) -> int:
    environ = {"PATH": PATH, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", **case.environ}
    tool = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    ran = subprocess.run([*tool, *command], env=environ, capture_output=True, check=False)
    _check(case, ran.returncode, ran.stderr)
    found = re.search(rb"Collected : (\d+)", ran.stderr)
    return int(found[1]) if found else 0


def table(cases: Sequence[Case], figures: Mapping[str, Figure]) -> list[str]:
    """The figures as Markdown, each with its budget."""
    lines = [
        "| | wall × bare | budget | instructions × bare | budget | MiB | budget |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in (BARE, *cases):
        figure = figures[case.name]
        pairs = ((figure.wall, case.wall), (figure.instructions, case.instructions), (figure.mebibytes, case.mebibytes))
        cells = [text for value, budget in pairs for text in (_shown(value), _shown(budget))]
        lines.append(f"| {case.name} | {' | '.join(cells)} |")
    return lines


def _shown(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if 0 < value < 10 else f"{value:.1f}" if value else ""


def over_budget(cases: Sequence[Case], figures: Mapping[str, Figure]) -> list[str]:
    """The figures that are over their budgets, one line each."""
    found = []
    for case in cases:
        figure = figures[case.name]
        for what in Figure._fields:
            value, budget = getattr(figure, what), getattr(case, what)
            if budget and value > budget:
                found.append(f"{case.name}: {what} {value:.2f} over {budget:g}")
    return found


def report(title: str, cases: Sequence[Case], figures: Mapping[str, Figure], *, readme: bool) -> int:
    """Print the table, and with `readme` put it into README.md between its marks; 1 when something is over its budget."""
    lines = table(cases, figures)
    print("\n".join(lines))
    if readme:
        path = Path(__file__).with_name("README.md")
        text, block = path.read_text("utf-8"), "\n".join([f"<!-- {title} -->", *lines, f"<!-- end of {title} -->"])
        path.write_text(re.sub(rf"(?s)<!-- {title} -->.*<!-- end of {title} -->", lambda _found: block, text), "utf-8")
    problems = over_budget(cases, figures)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
