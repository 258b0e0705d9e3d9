"""How the suite itself runs: under a parent that ignores Ctrl-C, and with pytest's summary as the last line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEST = "tests/faults/test_signals.py::test_signal_during_a_read_is_not_a_write[SIGINT]"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_suite_passes_where_its_parent_ignores_ctrl_c_and_prints_a_summary() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    pytest_command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-q", TEST]
    ran = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *pytest_command],
        env=environ, cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert re.match("1 passed in ", ran.stdout.splitlines()[-1]), ran.stdout
