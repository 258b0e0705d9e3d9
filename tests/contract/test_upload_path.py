"""How much code one upload enters: the figures may fall, and must not creep up."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "upload_path.py"
MOST = {"files": 46, "functions": 352, "changes of file": 260}
"""The figures reached, and a few more. Where one is exceeded, `upload_path.py -v` lists what is entered."""


def test_an_upload_enters_no_more_files_and_functions_than_before() -> None:
    ran = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=120, check=True)
    figures = {
        name.rsplit(maxsplit=1)[0]: int(name.split()[-1]) for name in (line.split("(")[0] for line in ran.stdout.splitlines())
    }
    assert figures.keys() == MOST.keys()
    assert {name: figure for name, figure in figures.items() if figure > MOST[name]} == {}
