"""Pure: foreign text made harmless for a terminal, a log and a CI runner.

Build names, objections and error messages come from the service, or from a proxy in its place. They are shown with all
their letters, and without the characters that control a terminal, reorder a line or give a command to a CI runner.
"""

import re
from collections.abc import Callable

LIMIT = 2048
"""Bytes of one text that are shown."""

# A truncated text is this much longer than the limit, so that truncating it again changes nothing.
_SUFFIX = 48

# Letters and marks by category that draw nothing, so two different names would look alike (Default_Ignorable_Code_Point).
_BLANK = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)})
_BLANK_PLANE = range(0xE0000, 0xE1000)  # tag characters and the supplementary variation selectors
# Wide and narrow spaces: visible, and common in Japanese and French.
_SPACES = frozenset({0xA0, 0x202F, 0x205F, 0x3000, *range(0x2000, 0x200B)})
_PICTURES = range(0x1F000, 0x1FB00)  # emoji newer than this Python's Unicode tables are not "printable" to it

# GitHub and Azure look for `##[` and `##vso[` anywhere in a line, TeamCity for `##teamcity[`, GitLab for its section marks.
# The patterns are kept as text: most outputs need neither, and compiling takes longer than writing.
_MARKS = r"(?i)##(?=\w*\[)|(?<=section_start)(?=:)|(?<=section_end)(?=:)"
# GitHub takes a line for a command when `::` follows any white space at its start.
_COMMAND = r"(?m)^(?=[^\S\n]*::)"


def _escape_code(code: int) -> str:
    letter = chr(code)
    if code in _SPACES or code in _PICTURES or (letter.isprintable() and code not in _BLANK and code not in _BLANK_PLANE):
        return letter
    if letter in "\t\r":
        return "\\t" if letter == "\t" else "\\r"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Escapes(dict[int, str]):
    """A table for `str.translate` that fills itself."""

    def __missing__(self, code: int) -> str:
        self[code] = _escape_code(code)
        return self[code]


_ESCAPES = _Escapes({0x0A: " ⏎ "})


def escape_line(text: str) -> str:
    """Return `text` as one line: line breaks as ` ⏎ `; controls, bidi, zero-width and lone surrogates as `\\x1b`.

    Letters of every script, right-to-left ones included, and emoji stay. Text over 2 KiB is truncated. Escaping twice changes
    nothing more.
    """
    if len(text) <= LIMIT and text.isascii() and text.isprintable():
        return text
    return _truncate(text, lambda part: part.replace("\r\n", "\n").translate(_ESCAPES))


def escape_block(text: str, indent: str = "  ") -> str:
    """Return `text` with its line breaks, and `indent` before every line after the first: none can look like one of our own."""
    if len(text) <= LIMIT and text.isascii() and text.isprintable():
        return text
    return _truncate(text.rstrip("\r\n"), lambda part: ("\n" + indent).join(_escape_lines(part)))


def _escape_lines(text: str) -> list[str]:
    return [line.translate(_ESCAPES) for line in text.replace("\r\n", "\n").split("\n")]


def truncate(text: str) -> str:
    """Return the first 2 KiB of `text` with a note of its size, or all of it if it is shorter."""
    return _truncate(text, lambda part: part)


def _truncate(text: str, escape: Callable[[str], str]) -> str:
    # Ten megabytes are not escaped only to be thrown away. Twice the limit is enough: only a CRLF gets shorter, by half.
    most = 2 * (LIMIT + _SUFFIX)
    head = escape(text[:most])
    data = head.encode("utf-8", "surrogatepass")
    if len(text) <= most and len(data) <= LIMIT + _SUFFIX:
        return head
    end = min(LIMIT, len(data))
    while end < len(data) and data[end] & 0xC0 == 0x80:  # not inside a letter
        end -= 1
    size = len(text.encode("utf-8", "surrogatepass"))
    return f"{data[:end].decode('utf-8', 'surrogatepass')} (truncated, {size} bytes)"


def disarm_commands(text: str) -> str:
    """Return `text`, which may have many lines, without anything that a CI runner takes for a command.

    This is done everywhere, not only if the environment names a CI system: a container inside a job doesn't see its variables.
    """
    if "::" in text:
        text = re.sub(_COMMAND, "| ", text)
    if "##" in text or "section_" in text.lower():
        text = re.sub(_MARKS, lambda found: "# #" if found.group() else " ", text)
    return text
