"""The README's tables, from the program itself: `readme.py` rewrites them, `readme.py --check` fails if they are stale."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from documents import table_rows  # noqa: E402

from spcli.commands import TABLE, Entry, Group  # noqa: E402
from spcli.errors import EXIT_CODES  # noqa: E402
from spcli.settings import SETTINGS  # noqa: E402

README = ROOT / "README.md"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str | None) -> str:
    return f"`{text}`" if text else ""


def commands() -> str:
    rows = []
    for word, entry in TABLE.items():
        if isinstance(entry, Entry):
            rows.append([code(f"spcli {word}"), entry.help])
        elif isinstance(entry, Group):
            rows += [[code(f"spcli {word} {name}"), one.help] for name, one in entry.commands.items()]
    return table(["command", "does"], rows)


def settings() -> str:
    rows = [
        [code(spec.key), ", ".join(map(code, spec.environment)), code(spec.flag), code(spec.default), spec.description]
        for spec in SETTINGS
    ]
    return table(["setting", "environment", "flag", "default", "meaning"], rows)


def exit_codes() -> str:
    rows = [[str(row.code), row.name, row.meaning, row.safe_to_retry] for row in EXIT_CODES]
    return table(["code", "name", "meaning", "the same command again?"], rows)


def json_keys() -> str:
    return table(["thing", "printed by", "keys"], [list(row) for row in table_rows()])


SECTIONS = {"commands": commands, "settings": settings, "json": json_keys, "exit-codes": exit_codes}


def rendered(text: str) -> str:
    """The README with every marked section made anew."""
    for name, render in SECTIONS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise SystemExit(f"README.md has no section {name}")
        body = render().replace("\\", "\\\\")
        text = pattern.sub(rf"\g<1>{body}\n\g<2>", text)
    return text


def main() -> int:
    old = README.read_text(encoding="utf-8")
    new = rendered(old)
    if "--check" in sys.argv:
        if new != old:
            print("README.md is stale: run .ci/readme.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
