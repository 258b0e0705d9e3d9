#!/usr/bin/env python3
"""Write the files that follow from the command tree and from the pages in `man/*.md`.

Those are `spcli/completion/tree.py`, `spcli/commands/topics/`, `completions/`, the man pages in `man/`, and the table of exit
codes in `README.md`. `--check` writes nothing, names every file that is stale, missing or left over, and exits 1 if there is one.
"""

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from command_tree import tree_text  # noqa: E402
from manpages import pages  # noqa: E402
from sources import topic_text, topics  # noqa: E402

from spcli.completion.shells import FILES, SCRIPTS  # noqa: E402
from spcli.errors import EXIT_CODES  # noqa: E402

FOLDERS = ("completions/*", "man/*.[1-8]", "spcli/commands/topics/*")
COMMON_CODES = (0, 2, 3, 10, 11, 12, 13, 17, 41, 49, 50, 60, 61)
"""The exit codes in the README's table: those that a job meets."""


def generate_files() -> dict[str, str]:
    """Return every generated file: its path below the project's folder, and its text."""
    found = {"spcli/completion/tree.py": tree_text(), "README.md": readme_text((ROOT / "README.md").read_text("utf-8"))}
    found |= {f"completions/{FILES[shell]}": script for shell, script in SCRIPTS.items()}
    found |= {f"spcli/commands/topics/{topic}.md": topic_text(topic) for topic in topics()}
    return found | {f"man/{name}": text for name, text in pages().items()}


def readme_text(text: str) -> str:
    """Return the README with its table of exit codes made anew."""
    rows = [["code", "name", "meaning", "safe to retry?"], ["---"] * 4]
    rows += [[str(row.code), row.name, row.meaning, row.safe_to_retry] for row in EXIT_CODES if row.code in COMMON_CODES]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    marks = r"(<!-- exit-codes -->\n).*?(<!-- /exit-codes -->)"
    others = ", ".join(f"{row.code} {row.name}" for row in EXIT_CODES if row.code not in COMMON_CODES)
    return re.sub(marks, lambda found: f"{found[1]}{table}\n\nThe others are {others}.\n{found[2]}", text, flags=re.DOTALL)


def find_problems(root: Path, wanted: dict[str, str]) -> list[str]:
    """Return what is wrong with the files below `root`, one line each."""
    problems = []
    for name, text in wanted.items():
        path = root / name
        if not path.is_file():
            problems.append(f"{name}: missing")
        elif path.read_bytes() != text.encode():
            problems.append(f"{name}: stale")
    return problems + [f"{name}: left over" for name in find_left_over(root, wanted)]


def find_left_over(root: Path, wanted: dict[str, str]) -> list[str]:
    """Return the files in the generated folders that are no longer generated."""
    found = [path for pattern in FOLDERS for path in sorted(root.glob(pattern)) if path.is_file()]
    return [name for name in (path.relative_to(root).as_posix() for path in found) if name not in wanted]


def write_files(root: Path, wanted: dict[str, str]) -> None:
    """Write every file, and remove those left over."""
    for name, text in wanted.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != text.encode():
            path.write_bytes(text.encode())
    for name in find_left_over(root, wanted):
        (root / name).unlink()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write the generated files: completion tree, completions, man pages, topics.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that are stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder to write below")
    arguments = parser.parse_args()
    wanted = generate_files()
    if not arguments.check:
        write_files(arguments.root, wanted)
        return 0
    problems = find_problems(arguments.root, wanted)
    for problem in problems:
        print(problem)
    if problems:
        print("run: python .ci/generate.py")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
