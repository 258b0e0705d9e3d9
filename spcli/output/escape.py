"""Pure: text that others wrote, made harmless for a terminal, a log and a CI runner.

Build names, objections and error messages come from the service, and what stands between it and the terminal may be a proxy, a
hostile page or a colleague with a sense of humour. What is shown keeps its letters and loses its powers.
"""

import re
from collections.abc import Callable, Sequence

LIMIT = 2048
"""Bytes of one text that are shown."""

# A text that was cut is this much longer than the limit, so cutting it once more changes nothing.
_SUFFIX = 48

# Letters and marks by category that draw nothing, so two different names would look alike (Default_Ignorable_Code_Point).
_BLANK = frozenset({0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)})
_BLANK_PLANE = range(0xE0000, 0xE1000)  # tag characters and the supplementary variation selectors
_SPACES = frozenset(
    {0xA0, 0x202F, 0x205F, 0x3000, *range(0x2000, 0x200B)}
)  # wide and narrow spaces: visible, common in Japanese and French
_PICTURES = range(0x1F000, 0x1FB00)  # emoji younger than this Python's Unicode tables are not "printable" to it


def _visible(code: int) -> str:
    letter = chr(code)
    if code in _SPACES or code in _PICTURES or (letter.isprintable() and code not in _BLANK and code not in _BLANK_PLANE):
        return letter
    if letter in "\t\r":
        return "\\t" if letter == "\t" else "\\r"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _Visible(dict[int, str]):
    """A `str.translate` table that fills itself."""

    def __missing__(self, code: int) -> str:
        self[code] = _visible(code)
        return self[code]


_LINE = _Visible({0x0A: " ⏎ "})


def is_plain(text: str) -> bool:
    """Whether `text` is printable ASCII: nothing in it needs escaping or measuring."""
    return text.isascii() and text.isprintable()


def cut(text: str) -> str:
    """The first 2 KiB of `text`, saying how long it was; a shorter one as it is."""
    return _shown(text, lambda part: part)


def inert(text: str) -> str:
    """`text` as one line: newlines as ` ⏎ `; controls, bidi, zero-width and lone surrogates as `\\x1b`.

    Letters of every script, right-to-left ones included, and emoji stay. Over 2 KiB are cut. A second pass changes nothing.
    """
    if is_plain(text) and len(text) <= LIMIT:
        return text
    return _shown(text, lambda part: part.replace("\r\n", "\n").translate(_LINE))


def inert_block(text: str, indent: str = "  ") -> str:
    """`text` with its line breaks, every line after the first behind `indent`, so that none of them can pass for one of ours."""
    if is_plain(text) and len(text) <= LIMIT:
        return text
    return _shown(text.rstrip("\r\n"), lambda part: ("\n" + indent).join(_lines(part)))


def _lines(text: str) -> list[str]:
    return [line.translate(_LINE) for line in text.replace("\r\n", "\n").split("\n")]


def _shown(text: str, escape: Callable[[str], str]) -> str:
    # Ten megabytes are not escaped only to be thrown away. Twice the limit is enough: only a CRLF gets shorter, by half.
    head = escape(text[: 2 * (LIMIT + _SUFFIX)])
    size = _encoded(head)
    if len(text) <= 2 * (LIMIT + _SUFFIX) and len(size) <= LIMIT + _SUFFIX:
        return head
    end = min(LIMIT, len(size))
    while end < len(size) and size[end] & 0xC0 == 0x80:  # not in the middle of a letter
        end -= 1
    return f"{size[:end].decode('utf-8', 'surrogatepass')} (truncated, {len(_encoded(text))} bytes)"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


_FRAGMENT = 6  # letters of a secret at a cut that tell something of it
_SURE_FRAGMENT = 12  # that many are one whatever follows them
_SEPARATORS = ("\\u0026", "%26", "%3F", "%3f")  # what a query's names follow, as JSON and URLs write it
_CUT_MARKS = ("…", "...", " (truncated")

# GitHub and Azure look for `##[` and `##vso[` anywhere in a line, TeamCity for `##teamcity[`, GitLab for its section marks.
# Kept as text, as most outputs need neither pattern, and compiling takes longer than writing.
_MARKS = r"(?i)##(?=\w*\[)|(?<=section_start)(?=:)|(?<=section_end)(?=:)"
# GitHub takes a line for a command when `::` follows any white space at its start.
_COMMAND = r"(?m)^(?=[^\S\n]*::)"


def without_commands(text: str) -> str:
    """`text`, lines and all, with nothing in it that a CI runner would obey.

    Done everywhere, not only where a CI shows in the environment: a container inside a job doesn't see its variables.
    """
    if "::" in text:
        text = re.sub(_COMMAND, "| ", text)
    if "##" in text or ("section_" in text.lower()):
        text = re.sub(_MARKS, lambda found: "# #" if found.group() else " ", text)
    return text


def spellings(secret: str) -> tuple[str, ...]:
    """Every way a secret may be written in what a server echoes: raw, percent-encoded, escaped inside JSON; longest first.

    None for one of less than four characters: stars in place of every "a" hide nothing and destroy the text.
    """
    if len(secret) < 4:
        return ()
    if secret.isascii() and secret.isalnum():
        return (secret,)
    from json import dumps
    from urllib.parse import quote, quote_plus

    raw = _encoded(secret)
    encoded = [quote(raw, safe=""), quote(raw), quote_plus(raw)]
    lowered = [re.sub("%[0-9A-F]{2}", lambda found: found.group().lower(), text) for text in encoded]
    escaped = [dumps(secret)[1:-1], dumps(secret, ensure_ascii=False)[1:-1]]
    escaped += [text.replace("/", "\\/") for text in escaped]
    return tuple(sorted({secret, *encoded, *lowered, *escaped}, key=len, reverse=True))


def redacted(text: str, forms: Sequence[str]) -> str:
    """`text` with each of `forms` (see `spellings`) replaced by `****`, and so what a cut has left of one: its start or end."""
    for form in forms:
        if form in text:
            text = text.replace(form, "****")
    if not any(trace in text for trace in traces(forms)):
        return text
    backwards = [form[::-1] for form in forms if not _value_at(form)]
    return _without_starts(_without_starts(text, forms)[::-1], backwards)[::-1]


def traces(forms: Sequence[str]) -> list[str]:
    """What a text must hold for `redacted` to find anything in it: one look at a whole document spares looks at its parts."""
    return [trace for form in forms for trace in (_start_of(form), *([] if _value_at(form) else [form[-_FRAGMENT:]]))]


def _value_at(form: str) -> int:
    """Where the value of a `name=value` begins; 0 for what is none, such as base64 that ends in that mark."""
    at = min((place + len(mark) for mark in ("=", "%3D", "%3d") if (place := form.find(mark)) > 0), default=0)
    return at if form[at:].strip("=%3Dd") else 0


def _start_of(form: str) -> str:
    """The least of it at a cut that tells something: behind a name one letter of the value does."""
    return form[: (_value_at(form) or _FRAGMENT - 1) + 1]


def _without_starts(text: str, forms: Sequence[str]) -> str:
    """`text` with stars in place of each start of one of `forms` that was cut there, as much of it as stands there."""
    shown, at = "", 0
    for found in re.finditer(f"(?={'|'.join(re.escape(_start_of(form)) for form in forms)})", text):
        begin = found.start()
        end = max((_cut_at(text, begin, form) for form in forms), default=0)
        if end > max(at, begin):
            shown, at = f"{shown}{text[at:begin]}****" if begin >= at else shown, end
    return shown + text[at:]


def _cut_at(text: str, begin: int, form: str) -> int:
    """Where the start of `form` that stands in `text` at `begin` ends, if it was cut there; else 0."""
    end = begin
    while end - begin < len(form) and text[end : end + 1] == form[end - begin]:
        end += 1
    part, after = text[begin:end], form[end - begin :]
    if len(part) < len(_start_of(form)) or (_value_at(form) and _is_in_word(text, begin)):
        return 0
    # A word with which a key begins is no part of it, but before dots.
    if part.isalpha() and (part.islower() or part.isupper() or part.istitle()) and not after[:1].isalnum():
        return end if text.startswith(_CUT_MARKS, end) else 0
    return end if len(part) >= _SURE_FRAGMENT or not text[end : end + 1].isalnum() else 0


def _is_in_word(text: str, begin: int) -> bool:
    return text[begin - 1 : begin].isalnum() and not text.endswith(_SEPARATORS, 0, begin)
