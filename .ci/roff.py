"""Text as roff, for man(7): paragraphs, lists, code and fonts, escaped so that nothing in it is a request."""

import re
import textwrap

WIDTH = 78
CODE_WIDTH = 70  # what 80 columns leave behind the two indents


def blocks(text: str) -> str:
    """Hand-written text as roff."""
    parts = []
    for block in re.split(r"\n{2,}", text.strip("\n")):
        if block.startswith("    "):
            parts.append(code("\n".join(line[4:] for line in block.splitlines())))
        elif block.startswith("- "):
            items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
            parts += [
                item(inline(term), inline(" ".join(rest.split()))) for term, _, rest in (one.partition(": ") for one in items)
            ]
        elif block.strip():
            parts.append(paragraph(" ".join(block.split())))
    return "".join(parts)


def paragraph(text: str) -> str:
    """A paragraph."""
    return f".PP\n{filled(inline(text))}\n"


def item(term: str, text: str) -> str:
    """One item of a list; both are roff already."""
    lines = text.rstrip().split("\n.br\n")
    return f".TP\n{term}\n" + "\n.br\n".join(map(filled, lines)) + "\n"


def filled(roff: str) -> str:
    """A paragraph in lines that fit a terminal; none may begin like a request."""
    # A word with a hyphen of its own may be typed: it is not broken.
    words = " ".join("\\%" + word if "\\-" in word and not word.startswith("\\") else word for word in roff.split(" "))
    lines = textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in lines)


def code(text: str) -> str:
    """Lines to be typed or read as they are; one too long for a terminal goes on below, as the shell allows."""
    lines = [part for line in text.strip("\n").split("\n") for part in _broken(line)]
    return ".PP\n.RS 2\n.EX\n" + "".join(escaped(line) + "\n" for line in lines) + ".EE\n.RE\n"


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
    """Whether a quote is open where `text` ends."""
    bare = re.sub(r"'[^']*'", "", text)
    return "'" in bare or bare.count('"') % 2 == 1


def sentence(text: str) -> str:
    """A phrase as a sentence."""
    return inline(text[0].upper() + text[1:] + ".") + "\n"


def inline(text: str) -> str:
    """Text with what stands between backticks in bold."""
    parts = text.split("`")
    roff = "".join(bold(part) if number % 2 else escaped(part) for number, part in enumerate(parts))
    return "\\&" + roff if roff.startswith((".", "'")) else roff


def bold(text: str) -> str:
    """Text in bold."""
    return f"\\fB{escaped(text)}\\fR"


def escaped(text: str) -> str:
    """Text that roff prints as it is: a plain hyphen, so that a command can be copied from the page."""
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
