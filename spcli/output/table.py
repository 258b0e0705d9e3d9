"""Pure: how wide text is on a screen, and rows as columns, whole or fitted to a screen."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import StringIO
from itertools import chain
from unicodedata import category, east_asian_width

from spcli.output.escape import escape_line

Rows = Sequence[Sequence[str]]

SCREENFUL = 200
"""Rows that are fitted to the screen: rich takes up to half a millisecond for each."""

_GAP = "  "
_PAD = 100  # one absurdly long cell must not pad ten thousand others
_NARROW = 8  # the narrowest column worth reading
_SENTENCE = 32  # wider texts are sentences: they are folded, not shortened
_ID = r"[\w-]{20,40}"
_ID_LEAST = 20


def text_width(text: str) -> int:
    """Return the screen columns of `text` (one escaped line): 2 for CJK and emoji, 0 for combining marks."""
    return len(text) if text.isascii() else sum(map(_WIDTHS.__getitem__, text))


class _Widths(dict[str, int]):
    """Each letter's width, looked up once."""

    def __missing__(self, letter: str) -> int:
        kind = category(letter)
        # An unassigned code point is an emoji newer than this Python: `escape_line` lets no other through.
        wide = kind == "Cn" or east_asian_width(letter) in "WF"
        self[letter] = 0 if kind in ("Mn", "Me", "Cf") else 2 if wide else 1
        return self[letter]


_WIDTHS = _Widths()


def pad(text: str, columns: int) -> str:
    """Return `text` filled with spaces to `columns` screen columns."""
    return text + " " * (columns - text_width(text))


def shorten(text: str, columns: int, mark: str = "…") -> str:
    """Return `text`, or as much of its start as fits into `columns` screen columns with `mark` behind it."""
    if text_width(text) <= columns:
        return text
    kept, used = "", text_width(mark)
    if used > columns:
        return mark[: max(0, columns)]
    for letter in text:
        used += _WIDTHS[letter]
        if used > columns:
            break
        kept += letter
    return kept + mark


def fold_words(text: str, columns: int, indent: int) -> list[str]:
    """Return a line as lines of at most `columns` screen columns, broken between words; all but the first are indented.

    A word that is too long stays whole: the terminal breaks it, and people can still copy it.
    """
    if text_width(text) <= columns:
        return [text]
    lines, line, margin = [], "", " " * min(indent, columns // 2)
    for word in re.findall(r" *[^ ]+", text):
        if line.strip() and text_width(line + word) > columns:
            lines.append(line)
            line = margin + word.lstrip()
        else:
            line += word
    return [*lines, line]


def filled_columns(columns: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
    """Return the columns that have a cell with text, each with its cells."""
    return {title: cells for title, cells in columns.items() if any(cells)}


def make_cells(rows: Rows, count: int, fit: Callable[[str], str]) -> Rows:
    """Return `rows` as escaped text of `count` columns each; `fit` replaces what the stream's encoding can't hold."""
    return [[*(fit(escape_line(cell)) for cell in row), *[""] * (count - len(row))] for row in rows]


def align(columns: Sequence[str], rows: Rows) -> list[str]:
    """Return header and rows as lines of plain columns: nothing is shortened, and no line ends in spaces."""
    table = [columns, *rows]
    sizes = [min(_PAD, max(map(text_width, column))) for column in zip(*table, strict=True)]
    return [_GAP.join(pad(cell, size) for cell, size in zip(row, sizes, strict=True)).rstrip() for row in table]


def fit_to_screen(columns: Sequence[str], rows: Rows, screen: int, mark: str = "…") -> list[str]:
    """Return header and rows as lines for a terminal `screen` columns wide; `mark` ends a text that was shortened.

    Ids stay whole, because people copy them. If the table is too wide, empty columns are dropped first; then sentences are folded
    between words and other texts are shortened; then columns are dropped from the right. If not even the first column fits, and
    for more rows than a screenful, nothing is shortened.
    """
    if len(rows) > SCREENFUL:
        return align(columns, rows)
    kept = list(zip(columns, *rows, strict=True))
    if _total(max(map(text_width, column)) for column in kept) <= screen:
        return align(columns, rows)
    kept = [column for column in kept if any(column[1:])] or kept
    while len(kept) > 1 and _total(map(_least_width, kept)) > screen:
        kept.pop()
    natural = [max(map(text_width, column)) for column in kept]
    sizes = _share_screen(natural, list(map(_least_width, kept)), screen)
    if _total(sizes) > screen:
        return align(columns, rows)
    folds = [size < whole and whole > _SENTENCE for size, whole in zip(sizes, natural, strict=True)]
    top, *body = zip(*map(partial(_shorten_column, mark=mark), kept, sizes, folds), strict=True)
    return _fold([top, *body], sizes) if any(folds) else align(top, body)


def _shorten_column(column: Sequence[str], size: int, is_folded: bool, mark: str) -> list[str]:
    """Return a column's texts shortened to `size`; those of a column that will be folded are shortened word by word."""
    top, *texts = column
    if not is_folded:
        return [shorten(text, size, mark) for text in column]
    return [shorten(top, size, mark), *(" ".join(shorten(word, size, mark) for word in text.split(" ")) for text in texts)]


def _total(sizes: Iterable[int]) -> int:
    return sum(size + len(_GAP) for size in sizes) - len(_GAP)


def _least_width(column: Sequence[str]) -> int:
    """Return the narrowest that a column may become: as wide as the ids in it, or as is worth reading."""
    if column[0].endswith("ID"):
        return max(map(text_width, column))
    ids = (len(word) for cell in column for word in cell.split() if len(word) >= _ID_LEAST and re.fullmatch(_ID, word))
    return max(min(_NARROW, max(map(text_width, column))), *ids, 0)


def _share_screen(natural: Sequence[int], least: Sequence[int], screen: int) -> list[int]:
    """Return each column's width: its natural one, but all that are too wide get the same."""
    most = max(natural)
    while most and _total(max(low, min(size, most)) for size, low in zip(natural, least, strict=True)) > screen:
        most -= 1
    return [max(low, min(size, most)) for size, low in zip(natural, least, strict=True)]


def _fold(table: Rows, sizes: Sequence[int]) -> list[str]:
    """Return header and rows as rich lays them out in columns of these sizes: a long text continues in the next line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Gaps are columns of their own: padding of the last column changed with rich's versions.
    grid = Table.grid(padding=0)
    for size in sizes:
        grid.add_column(width=size)
        grid.add_column(width=len(_GAP))
    for row in table:
        grid.add_row(*chain.from_iterable((Text(cell), Text()) for cell in row))
    paper = StringIO()
    # Everything rich would otherwise read from the environment is decided here.
    console = Console(
        file=paper, width=_total(sizes) + len(_GAP), height=100, force_terminal=False, color_system=None, legacy_windows=False,
        force_jupyter=False, markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    console.print(grid)
    return [line.rstrip() for line in paper.getvalue().splitlines()]
