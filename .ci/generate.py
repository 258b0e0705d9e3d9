#!/usr/bin/env python3
"""Writes what follows from the command tree: `spcli/completion/tree.py`, `completions/`, `man/`.

`--check` writes nothing, names every file that is stale, missing or left over, and exits 1 when there is one.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from command_tree import tree_text  # noqa: E402
from manpages import pages  # noqa: E402

from spcli.completion.shells import FILES, SCRIPTS  # noqa: E402

FOLDERS = ("completions", "man")


def generated() -> dict[str, str]:
    """Every generated file: its path below the project's folder, and its text."""
    found = {"spcli/completion/tree.py": tree_text()}
    found |= {f"completions/{FILES[shell]}": script for shell, script in SCRIPTS.items()}
    return found | {f"man/{name}": text for name, text in pages().items()}


def stale(root: Path, wanted: dict[str, str]) -> list[str]:
    """What is wrong with the files below `root`, one line each."""
    problems = []
    for name, text in wanted.items():
        path = root / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif path.read_bytes() != text.encode():
            problems.append(f"{name}: stale")
    return problems + [f"{name}: left over" for name in left_over(root, wanted)]


def left_over(root: Path, wanted: dict[str, str]) -> list[str]:
    """Files in the generated folders that nothing generates any more."""
    found = [path for folder in FOLDERS for path in sorted((root / folder).glob("*")) if path.is_file()]
    return [name for name in (path.relative_to(root).as_posix() for path in found) if name not in wanted]


def write(root: Path, wanted: dict[str, str]) -> None:
    """Write every file, and remove those left over."""
    for name, text in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != text.encode():
            path.write_bytes(text.encode())
    for name in left_over(root, wanted):
        (root / name).unlink()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write spcli/completion/tree.py, completions/ and man/ from the command tree.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that are stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder to write below")
    asked = parser.parse_args()
    wanted = generated()
    if not asked.check:
        write(asked.root, wanted)
        return 0
    problems = stale(asked.root, wanted)
    for problem in problems:
        print(problem)
    if problems:
        print("run: python .ci/generate.py")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
