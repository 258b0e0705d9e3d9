"""How the suite itself runs: under a parent that ignores Ctrl-C, and with pytest's summary as the last line."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.platforms import posix

ROOT = Path(__file__).parents[1]
TEST = "tests/faults/test_signals.py::test_signal_during_a_read_is_not_a_write[SIGINT]"


@posix("signals")
def test_suite_passes_where_its_parent_ignores_ctrl_c_and_prints_a_summary() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    pytest_command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-q", TEST]
    ran = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *pytest_command],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert re.match("1 passed in ", ran.stdout.splitlines()[-1]), ran.stdout


@posix("bash")
def test_tests_that_run_on_windows_exist() -> None:
    lines = (ROOT / ".ci" / "windows").read_text("utf-8").splitlines()
    start = lines.index("tests=(")
    words = [lines[start - 1], "printf '%s\\n' " + " ".join(lines[start + 1 : lines.index(")", start)])]
    named = subprocess.run(["bash", "-c", "\n".join(words)], capture_output=True, text=True, check=True).stdout.split()
    assert len(named) > 30
    for path, _, name in (one.partition("::") for one in named):
        assert f"def {name}" in (ROOT / path).read_text("utf-8"), (path, name)
