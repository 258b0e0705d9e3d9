"""Read the Markdown of the help pages, and lay it out as plain text folded to a width.

The pages use a part of Markdown: headings, paragraphs, fenced code, lists, and `code` in a text. A list item that begins with
code or **bold** text and a colon is a term and its meaning.
"""

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from typing import Literal, NamedTuple

WIDEST = 100
"""Longer lines are hard to read, also on a wide terminal."""
_INDENT = "  "
_TERM_COLUMN = 24
_TERM = re.compile(r"(?:`[^`]*`|\*\*[^*]*\*\*)(?:`[^`]*`|[^`:])*(?=: )")
_SPAN = re.compile(r"`[^`]*`")


class Block(NamedTuple):
    """One part of a page; `term` is what a list item explains, or the language of code."""

    kind: Literal["title", "heading", "paragraph", "code", "item"]
    text: str
    term: str = ""


def parse_markdown(text: str) -> list[Block]:
    """Return the blocks of a page, with the lines of each paragraph and item joined."""
    return [block for lines in _split_blocks(text) if lines for block in _parse_block(lines)]


def _split_blocks(text: str) -> Iterator[list[str]]:
    """Yield the lines of each block: fenced code, a heading, or what is between two empty lines."""
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        is_fence, is_heading = line.startswith("```"), line.startswith("#") and not is_code
        if is_fence and is_code:
            yield lines
            lines = []
        elif is_fence or is_heading or not (line.strip() or is_code):
            yield lines
            lines = [line] if line.strip() else []
        else:
            lines.append(line)
        is_code ^= is_fence
        if is_heading:
            yield lines
            lines = []
    yield lines


def _parse_block(lines: list[str]) -> Iterator[Block]:
    first = lines[0]
    if first.startswith("```"):
        yield Block("code", "\n".join(lines[1:]), first[3:])
    elif first.startswith("# "):
        yield Block("title", first[2:].strip())
    elif first.startswith("## "):
        yield Block("heading", first[3:].strip())
    elif first.startswith("- "):
        for item in re.split(r"^- ", "\n".join(lines), flags=re.MULTILINE)[1:]:
            joined = " ".join(item.split())
            term = _TERM.match(joined)
            yield Block("item", joined[term.end() + 2 :], term[0]) if term else Block("item", joined)
    else:
        yield Block("paragraph", " ".join(" ".join(lines).split()))


def render_plain(blocks: list[Block], columns: int) -> str:
    """Return the page as lines of at most `columns`; code keeps its lines, so that it can be copied."""
    width = max(20, min(columns, WIDEST))
    parts: list[str] = []
    for kind, run in groupby(blocks, key=lambda block: block.kind):
        if kind == "item":
            parts.append(_render_list(list(run), width))
        else:
            parts += [_render_block(block, width) for block in run]
    return "\n\n".join(parts) + "\n"


def _render_block(block: Block, width: int) -> str:
    if block.kind == "title":
        return _fold(block.text, width)
    if block.kind == "heading":
        return block.text.upper()
    if block.kind == "code":
        return textwrap.indent(block.text, _INDENT * 2)
    return _fold(block.text, width, first=_INDENT, rest=_INDENT)


def _render_list(items: list[Block], width: int) -> str:
    """Return terms and meanings side by side where there is room, else below each other; other items behind a dash."""
    terms = [_plain_term(item.term) for item in items]
    column = max(map(len, terms)) + 2
    is_wide = column <= _TERM_COLUMN and width - column >= 40
    texts = []
    for term, item in zip(terms, items, strict=True):
        if not term:
            texts.append(_fold(item.text, width, first=f"{_INDENT}- ", rest=f"{_INDENT}  "))
        elif is_wide:
            indent = _INDENT + " " * column
            texts.append(_fold(item.text, width, first=f"{_INDENT}{term.ljust(column)}", rest=indent))
        else:
            meaning = _fold(item.text, width, first=_INDENT * 3, rest=_INDENT * 3)
            texts.append(_fold(term, width, first=_INDENT, rest=_INDENT * 2) + "\n" + meaning)
    return "\n".join(texts)


def _plain_term(term: str) -> str:
    return term.replace("`", "").replace("**", "")


def _fold(text: str, width: int, *, first: str = "", rest: str = "") -> str:
    """Return `text` in lines of at most `width`; a short command in backticks stays on one line."""
    kept = _SPAN.sub(lambda span: span[0].replace(" ", "\0") if len(span[0]) <= width // 2 else span[0], text)
    lines = textwrap.wrap(
        kept, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines).replace("\0", " ")
