"""Count what one upload enters: files, functions, and changes of file between consecutive calls.

Run `python tests/benchmarks/upload_path.py [-v]`. It profiles `main(["upload", URL, "--json"])` against the sandbox on loopback
and counts `call` events of code under `spcli/`; imports (bodies of modules and classes) and comprehensions are left out.
"""

import inspect
import io
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))

from spcli.cli import main
from spcli.runtime import Runtime
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World

PACKAGE = str(Path(__file__).parents[2] / "spcli")
LEFT_OUT = ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>")
BUDGETS = {"files": 30, "functions": 250, "changes of file": 200}
URL = "https://builds.example.com/Game-1.4.zip"


def profile_upload() -> list[tuple[str, str]]:
    """Return the file and qualified name of every call, in order."""
    calls: list[tuple[str, str]] = []

    def record(frame: FrameType, event: str, _arg: object) -> None:
        code = frame.f_code
        # The bodies of modules and classes, which are run by an import, are not optimized code.
        is_function = code.co_flags & inspect.CO_OPTIMIZED and code.co_name not in LEFT_OUT
        if event == "call" and is_function and code.co_filename.startswith(PACKAGE):
            calls.append((code.co_filename.removeprefix(PACKAGE)[1:], code.co_qualname))

    server = Sandbox(World(window=120, stage=60)).start()
    account = server.world.accounts[0]
    with tempfile.TemporaryDirectory() as home:
        environ = {
            "SPCLI_CONFIG": f"{home}/config.toml",
            "SPCLI_STATE_DIR": f"{home}/state",
            "SPCLI_WINDOW": "120",
            "STREAMPIXEL_BASE_URL": server.base_url,
            "STREAMPIXEL_USER_ID": account.user_id,
            "STREAMPIXEL_API_KEY": account.api_key,
            "STREAMPIXEL_PROJECT_ID": account.projects[0].id,
        }
        streams = {name: io.TextIOWrapper(io.BytesIO(), "utf-8") for name in ("stdin", "stdout", "stderr")}
        runtime = Runtime(environ, **streams)
        sys.setprofile(record)
        try:
            code = main(["upload", URL, "--json"], runtime)
        finally:
            sys.setprofile(None)
            server.stop()
    if code != 0:
        raise SystemExit(f"the upload ended with exit code {code}")
    return calls


def count_path(calls: list[tuple[str, str]]) -> dict[str, int]:
    """Return the three figures of a sequence of calls."""
    files = [file for file, _ in calls]
    changes = sum(before != after for before, after in pairwise(files))
    return {"files": len(set(files)), "functions": len(set(calls)), "changes of file": changes}


def report() -> None:
    """Print each figure beside its budget; with -v also the calls of each file."""
    calls = profile_upload()
    for name, figure in count_path(calls).items():
        sys.stdout.write(f"{name:16} {figure:5}  (at most {BUDGETS[name]})\n")
    if "-v" in sys.argv:
        for file, count in Counter(file for file, _ in calls).most_common():
            names = sorted({name for one, name in calls if one == file})
            sys.stdout.write(f"{count:5} {file}: {', '.join(names)}\n")


if __name__ == "__main__":
    report()
