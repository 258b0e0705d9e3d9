"""Write the blocks of a page as roff for man(7), escaped so that nothing in the text is a request.

Written here rather than by a tool: pandoc and its like are no Python packages, and their pages break commands at hyphens, join
options to values, and use typographic quotes that a shell does not take.
"""

import re
import textwrap

from spcli.output.markdown import Block

WIDTH = 78
CODE_WIDTH = 70  # what 80 columns leave after the two indents


def write_blocks(blocks: list[Block]) -> str:
    """Return blocks as roff."""
    return "".join(map(_write_block, blocks))


def _write_block(block: Block) -> str:
    if block.kind == "code":
        return code(block.text, language=block.term)
    if block.kind == "item":
        return item(inline(block.term), inline(block.text)) if block.term else f".IP \\(bu 2\n{filled(inline(block.text))}\n"
    return paragraph(block.text)


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f".PP\n{filled(inline(text))}\n"


def item(term: str, roff: str) -> str:
    """Return one item of a list; both are roff already."""
    return f".TP\n{term}\n{filled(roff.rstrip())}\n"


def filled(roff: str) -> str:
    """Return a paragraph in lines that fit a terminal; none begins like a request."""
    # A word with a hyphen of its own may be typed: it is not broken.
    words = " ".join("\\%" + word if "\\-" in word and not word.startswith("\\") else word for word in roff.split(" "))
    lines = textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in lines)


def code(text: str, *, language: str = "") -> str:
    """Return lines to be typed or read as they are; a shell's line too long for a terminal is continued as the shell allows."""
    lines = text.strip("\n").split("\n")
    if not language:
        lines = [part for line in lines for part in _broken(line)]
    # Hyphenation is on again after an example.
    return ".PP\n.RS 2\n.EX\n" + "".join(escaped(line) + "\n" for line in lines) + ".EE\n.RE\n.nh\n"


def _broken(line: str) -> list[str]:
    if len(line) <= CODE_WIDTH:
        return [line]
    # Between quotes a pipe is jq's, where any white space will do; a backslash there would be read as one.
    at = line.rfind(" | ", 0, CODE_WIDTH - 1)
    if at > 0:
        return [line[: at + 2], *_broken("    " + line[at + 3 :])]
    # Rather before an option than between it and its value.
    for mark in (" -", " >", " ~"):
        places = [match.start() for match in re.finditer(re.escape(mark), line[: CODE_WIDTH - 1])]
        at = max((place for place in places if place > 4 and not _is_quoted(line[:place])), default=0)
        if at:
            return [line[:at] + " \\", *_broken("    " + line[at + 1 :])]
    return [line]


def _is_quoted(text: str) -> bool:
    """Return whether a quote is open where `text` ends."""
    bare = re.sub(r"'[^']*'", "", text)
    return "'" in bare or bare.count('"') % 2 == 1


def sentence(text: str) -> str:
    """Return a phrase as a sentence."""
    return inline(text[0].upper() + text[1:] + ".") + "\n"


def inline(text: str) -> str:
    """Return text with its code and its bold parts in bold."""
    parts = re.split(r"`([^`]*)`|\*\*([^*]*)\*\*", text)
    # Two groups: of every three parts the first is plain.
    roff = "".join(bold(part) if number % 3 else escaped(part) for number, part in enumerate(parts) if part)
    return "\\&" + roff if roff.startswith((".", "'")) else roff


def bold(text: str) -> str:
    """Return text in bold."""
    return f"\\fB{escaped(text)}\\fR"


def escaped(text: str) -> str:
    """Return text that roff prints as it is: a plain hyphen, so that a command can be copied from the page."""
    if not text.isascii():
        raise SystemExit(f"man pages are ASCII: {text!r}")
    roff = (
        text.replace("\\", "\\e")
        .replace("-", "\\-")
        .replace("'", "\\(aq")
        .replace("`", "\\(ga")
        .replace("^", "\\(ha")
        .replace("~", "\\(ti")
    )
    return "\\&" + roff if roff.startswith(".") else roff
