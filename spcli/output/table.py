"""Pure: how wide text is on a screen, and rows as columns, whole or fitted to a screen."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain

from spcli.output.escape import inert

Rows = Sequence[Sequence[str]]

SCREENFUL = 200
"""Rows that are fitted to the screen: rich takes up to half a millisecond for each."""

_GAP = "  "
_PAD = 100  # one absurdly long cell must not pad ten thousand others
_NARROW = 8  # the narrowest column worth reading
_SENTENCE = 32  # texts wider than that are sentences: folded, not cut
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


def cells(rows: Rows, count: int, fit: Callable[[str], str]) -> Rows:
    """`rows` as inert text of `count` columns each; `fit` turns what the stream's encoding lacks into what it has."""
    return [[*(fit(inert(cell)) for cell in row), *[""] * (count - len(row))] for row in rows]


def aligned(columns: Sequence[str], rows: Rows) -> list[str]:
    """Header and rows as lines of plain columns, nothing cut, no space at a line's end."""
    table = [columns, *rows]
    sizes = [min(_PAD, max(map(width, column))) for column in zip(*table, strict=True)]
    return [_GAP.join(padded(cell, size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in table]


def fitted(columns: Sequence[str], rows: Rows, screen: int, mark: str = "…") -> list[str]:
    """Header and rows as lines for a terminal `screen` columns wide; `mark` stands where a text was cut.

    Ids stay whole: people copy them. Where not all fits, empty columns go; then sentences are folded between words, and other
    texts are cut; columns too many even so are left out from the right. Where not even the first one fits, and past a screenful
    of rows, nothing is cut.
    """
    if len(rows) > SCREENFUL:
        return aligned(columns, rows)
    kept = list(zip(columns, *rows, strict=True))
    if _sum(max(map(width, column)) for column in kept) <= screen:
        return aligned(columns, rows)
    kept = [column for column in kept if any(column[1:])] or kept
    while len(kept) > 1 and _sum(map(_least, kept)) > screen:
        kept.pop()
    natural = [max(map(width, column)) for column in kept]
    sizes = _shared(natural, list(map(_least, kept)), screen)
    if _sum(sizes) > screen:
        return aligned(columns, rows)
    folds = [size < whole and whole > _SENTENCE for size, whole in zip(sizes, natural, strict=True)]
    top, *body = zip(*map(partial(_cut, mark=mark), kept, sizes, folds), strict=True)
    return _folded([top, *body], sizes) if any(folds) else aligned(top, body)


def _cut(column: Sequence[str], size: int, is_folded: bool, mark: str) -> list[str]:
    """A column's texts cut to `size`; those of one that will be folded word by word."""
    top, *texts = column
    if not is_folded:
        return [shortened(text, size, mark) for text in column]
    return [shortened(top, size, mark), *(" ".join(shortened(word, size, mark) for word in text.split(" ")) for text in texts)]


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


def _folded(table: Rows, sizes: Sequence[int]) -> list[str]:
    """Header and rows as rich lays them out in columns of these sizes: what is too long goes on in the next line."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Gaps are columns of their own: whether the last column has a padding, and who pays for it, changed with rich's versions.
    grid = Table.grid(padding=0)
    for size in sizes:
        grid.add_column(width=size)
        grid.add_column(width=len(_GAP))
    for row in table:
        grid.add_row(*chain.from_iterable((Text(cell), Text()) for cell in row))
    paper = StringIO()
    # Everything rich would otherwise read from the environment is decided here.
    console = Console(
        file=paper, width=_sum(sizes) + len(_GAP), height=100, force_terminal=False, color_system=None, legacy_windows=False,
        force_jupyter=False, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    console.print(grid)
    return [line.rstrip() for line in paper.getvalue().splitlines()]
