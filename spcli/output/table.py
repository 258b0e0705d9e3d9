"""Pure: how wide text is on a screen, and rows as columns, whole or fitted to a screen."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

from spcli.output.inert import LIMIT, inert, is_plain

Rows = Sequence[Sequence[str]]

_GAP = "  "
_PAD = 100  # one absurdly long cell must not pad ten thousand others
_NARROW = 8  # the narrowest column worth reading
_SENTENCE = 32  # texts wider than that are sentences: folded, not cut
_FOLDS = 6  # lines that one of them may take
_ID = r"[\w-]{20,40}"
_ID_LEAST = 20


def width(text: str) -> int:
    """The screen columns of `text` (one line, inert): 2 for CJK and emoji, 0 for combining marks."""
    return len(text) if text.isascii() else sum(map(_WIDTHS.__getitem__, text))


class _Widths(dict[str, int]):
    """Each letter's width, looked up once."""

    def __missing__(self, letter: str) -> int:
        from unicodedata import category, east_asian_width

        kind = category(letter)
        # An unassigned code point is an emoji this Python doesn't know yet; `inert` lets no other through.
        wide = kind == "Cn" or east_asian_width(letter) in "WF"
        self[letter] = 0 if kind in ("Mn", "Me", "Cf") else 2 if wide else 1
        return self[letter]


_WIDTHS = _Widths()


def padded(text: str, columns: int) -> str:
    """`text` filled with spaces to `columns` screen columns."""
    return text + " " * (columns - width(text))


def shortened(text: str, columns: int, mark: str = "…") -> str:
    """`text`, or as much of its start as fits into `columns` screen columns with `mark` behind it."""
    if width(text) <= columns:
        return text
    kept, used = "", width(mark)
    if used > columns:
        return mark[: max(0, columns)]
    for letter in text:
        used += _WIDTHS[letter]
        if used > columns:
            break
        kept += letter
    return kept + mark


def cells(rows: Rows, count: int, fit: Callable[[str], str]) -> list[list[str]]:
    """`rows` as inert text of `count` columns each; `fit` turns what the stream's encoding lacks into what it has."""
    even = [[*row, *[""] * (count - len(row))] for row in rows]
    # One look at all of them: ten thousand ordinary rows need no work at all.
    if is_plain("".join(map("".join, even))) and all(len(cell) <= LIMIT for row in even for cell in row):
        return even
    return [[fit(inert(cell)) for cell in row] for row in even]


def aligned(columns: Sequence[str], rows: Rows) -> list[str]:
    """Header and rows as lines of plain columns, nothing cut, no space at a line's end."""
    table = [columns, *rows]
    sizes = [min(_PAD, max(map(width, column))) for column in zip(*table, strict=True)]
    sizes[-1:] = [0]
    if is_plain("".join(map("".join, rows))):
        pattern = _GAP.join(f"{{:<{size}}}" if size else "{}" for size in sizes)
        return [pattern.format(*row).rstrip() for row in table]
    return [_GAP.join(map(padded, row, sizes)).rstrip() for row in table]


def fitted(columns: Sequence[str], rows: Rows, screen: int, mark: str = "…") -> tuple[list[str], list[str]]:
    """The header's lines and those of the rows, for a terminal `screen` columns wide; `mark` stands where text was cut.

    Ids stay whole: people copy them. Where not all fits, empty columns go; then sentences are folded between words, and other
    texts are cut; columns too many even so are left out from the right. Where not even the first one fits, nothing is cut.
    """
    table = [columns, *rows]
    kept = [list(column) for column in zip(*table, strict=True)]
    natural = [max(map(width, column)) for column in kept]
    if _sum(natural) > screen:
        kept = [column for column in kept if any(column[1:])] or kept
        while len(kept) > 1 and _sum(map(_least, kept)) > screen:
            kept.pop()
        natural = [max(map(width, column)) for column in kept]
    sizes = _shared(natural, list(map(_least, kept)), screen)
    if _sum(sizes) > screen:
        lines = aligned(columns, rows)
        return lines[:1], lines[1:]
    shape = [(size, size < whole and whole > _SENTENCE) for size, whole in zip(sizes, natural, strict=True)]
    head, *body = ([_folded(cell, *one, mark) for cell, one in zip(row, shape, strict=True)] for row in zip(*kept, strict=True))
    return _lines([head], sizes), _lines(body, sizes)


def _sum(sizes: Iterable[int]) -> int:
    return sum(size + len(_GAP) for size in sizes) - len(_GAP)


def _least(column: Sequence[str]) -> int:
    """The narrowest that a column may become: as wide as the ids in it, else as is worth reading."""
    if column[0].endswith("ID"):
        return max(map(width, column))
    ids = (len(word) for cell in column for word in cell.split() if len(word) >= _ID_LEAST and re.fullmatch(_ID, word))
    return max(min(_NARROW, max(map(width, column))), *ids, 0)


def _shared(natural: Sequence[int], least: Sequence[int], screen: int) -> list[int]:
    """Each column's width: its own, but none wider than all the widest may be together."""
    most = max(natural)
    while most and _sum(max(low, min(size, most)) for size, low in zip(natural, least, strict=True)) > screen:
        most -= 1
    return [max(low, min(size, most)) for size, low in zip(natural, least, strict=True)]


def _folded(cell: str, size: int, is_sentence: bool, mark: str) -> list[str]:
    """The lines of a cell in a column of `size`: one, cut where it is too long, or a sentence's."""
    if not is_sentence or width(cell) <= size:
        return [shortened(cell, size, mark)]
    lines = [""]
    for word in cell.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer) <= size or not lines[-1]:
            lines[-1] = shortened(longer, size, mark)
        else:
            lines.append(shortened(word, size, mark))
    return lines if len(lines) <= _FOLDS else [*lines[: _FOLDS - 1], shortened(f"{lines[_FOLDS - 1]} {mark}", size, mark)]


def _lines(rows: Iterable[Sequence[Sequence[str]]], sizes: Sequence[int]) -> list[str]:
    return [_GAP.join(map(padded, line, sizes)).rstrip() for row in rows for line in zip_longest(*row, fillvalue="")]
