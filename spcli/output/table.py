"""Pure: how wide text is on a screen, and rows as aligned columns or as a drawn table."""

from collections.abc import Callable, Sequence

from spcli.output.inert import LIMIT, inert, is_plain

Rows = Sequence[Sequence[str]]

SCREENFUL = 200
"""Rows that rich may draw: it takes up to half a millisecond for each."""

_GAP = "  "
_PAD = 100  # one absurdly long cell must not pad ten thousand others
_WHOLE = 26  # cells up to this wide (an id has 24 letters) are never broken: people copy them
_FOLDED = 10  # the narrowest column worth folding text into


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


def fits(columns: Sequence[str], rows: Rows, screen: int) -> bool:
    """Whether a drawn table leaves ids whole on a screen of this width; long texts may be folded."""
    sizes = [_widest(column) for column in zip(columns, *rows, strict=True)]
    least = [size if size <= _WHOLE else _FOLDED for size in sizes]
    return sum(least) + len(_GAP) * (len(sizes) - 1) <= screen


def _widest(column: Sequence[str]) -> int:
    if is_plain("".join(column)):
        return max(map(len, column))
    from rich.cells import cell_len  # where it counts more than we do, it would cut a cell that we think fits

    return max(max(width(cell), cell_len(cell)) for cell in column)


def drawn(columns: Sequence[str], rows: Rows, *, screen: int, colour: bool) -> list[str]:
    """Header and rows as rich lays them out for a screen of this width (see `fits`): long cells folded, nothing cut."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_edge=False, pad_edge=False, padding=(0, len(_GAP), 0, 0), header_style="bold" if colour else "")
    for column in zip(columns, *rows, strict=True):
        table.add_column(Text(column[0]), overflow="fold", no_wrap=_widest(column) <= _WHOLE)
    for row in rows:
        table.add_row(*map(Text, row))
    paper = StringIO()
    # Everything rich would otherwise read from the environment is decided here.
    console = Console(
        file=paper,
        width=screen,
        height=100,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        legacy_windows=False,
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    console.print(table)
    return [line.rstrip() for line in paper.getvalue().splitlines()]
