"""Read the sources of the help pages: `man/PAGE.md`, one file for each command and topic.

A source begins with its title; the text below it is the page's DESCRIPTION, and each `##` heading begins a section. A line such
as `<!-- exit-codes -->` in a topic stands for a list that is made from the program. "See also" names other pages.
"""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from documents import table_rows

from spcli.errors import EXIT_CODES
from spcli.output.markdown import Block, parse_markdown
from spcli.settings.table import SETTINGS, SettingSpec

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "man"
TOPIC = "spcli-topic-"


class Source(NamedTuple):
    """One page's title, its sections (the first is `DESCRIPTION`), and the pages it refers to."""

    title: str
    sections: dict[str, list[Block]]
    see: tuple[str, ...]


def source_names() -> list[str]:
    """Return the pages that have a source, such as `spcli-upload.1`."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


@cache
def read_source(page: str) -> Source:
    """Return the source of a page such as `spcli-upload.1`. Raises `SystemExit` when there is none."""
    path = FOLDER / f"{page}.md"
    if not path.is_file():
        raise SystemExit(f"man/{page}.md is missing: every command and topic has its page")
    title, sections, see = "", {"DESCRIPTION": list[Block]()}, ()
    name = "DESCRIPTION"
    for block in parse_markdown(expand_lists(path.read_text(encoding="utf-8"))):
        if block.kind == "title":
            title = block.text
        elif block.kind == "heading":
            name = block.text.upper()
            sections[name] = []
        elif name == "SEE ALSO":
            see = tuple(re.findall(r"[\w-]+\(\d\)", block.text))
        else:
            sections[name].append(block)
    sections.pop("SEE ALSO", None)
    return Source(title, sections, see)


def topics() -> dict[str, str]:
    """Return each topic with its title, in the order of the alphabet."""
    names = [page for page in source_names() if page.startswith(TOPIC)]
    return {page.removeprefix(TOPIC).removesuffix(".7"): read_title(page) for page in names}


def read_title(page: str) -> str:
    """Return the first line of a source, without running the program for its lists."""
    return (FOLDER / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def topic_text(topic: str) -> str:
    """Return the Markdown that `spcli help TOPIC` shows: its lists filled in, and its references as commands."""
    text = expand_lists((FOLDER / f"{TOPIC}{topic}.7.md").read_text(encoding="utf-8"))
    body, _, see = text.partition("\n## See also\n")
    pages = [page for page in re.findall(r"([\w-]+)\((\d)\)", see) if _command_for(*page) != f"`spcli help {topic}`"]
    return f"{body}\n## See also\n\n{', '.join(_command_for(*page) for page in pages)}\n" if pages else body


def _command_for(name: str, section: str) -> str:
    """Return what to type for a page, for readers without `man`."""
    if section == "7":
        return f"`spcli help {name.removeprefix(TOPIC)}`"
    if section == "5":
        return "`spcli help config`"
    return f"`{_typed(name)} --help`"


def _typed(name: str) -> str:
    """Return a page's command: `spcli-auth-login` is `spcli auth login`; `spcli-exit-codes` keeps its hyphen."""
    return name.replace("-", " ").replace("exit codes", "exit-codes")


def expand_lists(text: str) -> str:
    """Replace each `<!-- NAME -->` by its list."""
    return re.sub(r"^<!-- ([\w-]+) -->$", lambda mark: LISTS[mark[1]](), text, flags=re.MULTILINE)


def _list_exit_codes() -> str:
    return "\n".join(
        f"- **{row.code} {row.name}**: {capitalized(row.meaning)}.{describe_retry(row.safe_to_retry)}" for row in EXIT_CODES
    )


def describe_retry(answer: str) -> str:
    """Return the table's answer to "safe to retry?" as a sentence after the meaning; empty where the answer is no."""
    if answer in ("", "no"):
        return ""
    if answer == "report it":
        return " Please report it."
    return f" Safe to retry? {capitalized(answer)}."


def _list_settings() -> str:
    return "\n".join(f"- `{spec.key}`: {capitalized(spec.description)}.{_origins(spec)}" for spec in SETTINGS)


def _origins(spec: SettingSpec) -> str:
    parts = [f" Environment: {', '.join(f'`{name}`' for name in spec.environment)}."] if spec.environment else []
    parts += [f" Flag: `{spec.flag}`."] if spec.flag else []
    parts += [f" Default: `{spec.default}`."] if spec.default else []
    return "".join(parts)


def _list_documents() -> str:
    rows = [(thing, printers, re.sub("([`)]) `", r"\1, `", keys)) for thing, printers, keys in table_rows()]
    return "\n".join(f"- **{thing}**: Printed by {printers}. Keys: {keys}." for thing, printers, keys in rows)


def capitalized(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


LISTS = {"exit-codes": _list_exit_codes, "settings": _list_settings, "json": _list_documents}
