"""Columns: how wide text is, and what becomes of rows."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.output.progress import spinner, stage_bar
from spcli.output.table import aligned, cells, drawn, fits, shortened, width

ID = "65f0c0ffee65f0c0ffee65f0"
ROWS = [
    [ID, "Showroom", "active"],
    ["65f0c0ffee65f0c0ffee65f1", "展示ルーム 🎮", "inactive"],
    ["65f0c0ffee65f0c0ffee65f2", "e\u0301", ""],
]
COLUMNS = ["ID", "NAME", "STATUS"]
CELL = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp", "Mn", "Me", "Mc"]), max_size=40)


def same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("text", "columns"), [("", 0), ("abc", 3), ("展示", 4), ("🎮", 2), ("\U0001fae8", 2), ("e\u0301", 1), ("שלום", 4)]
)
def test_width_is_what_a_terminal_uses(text: str, columns: int) -> None:
    assert width(text) == columns


def test_plain_columns_line_up_whatever_the_script() -> None:
    lines = aligned(COLUMNS, ROWS)
    assert lines == [
        "ID                        NAME           STATUS",
        "65f0c0ffee65f0c0ffee65f0  Showroom       active",
        "65f0c0ffee65f0c0ffee65f1  展示ルーム 🎮  inactive",
        "65f0c0ffee65f0c0ffee65f2  e\u0301",
    ]
    starts = {width(line[: line.index(word)]) for line, word in zip(lines, ["STATUS", "active", "inactive"], strict=False)}
    assert len(starts) == 1


def test_one_huge_cell_neither_is_cut_nor_pads_every_other() -> None:
    lines = aligned(["NAME", "ID"], [["x" * 2000, ID], ["y", ID]])
    assert lines[1] == "x" * 2000 + "  " + ID
    assert len(lines[2]) == 100 + 2 + len(ID)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_nothing_is_lost_in_plain_columns(rows: list[tuple[str, str]]) -> None:
    lines = aligned(["A", "B"], rows)
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        assert "".join(line.split()) == "".join("".join(row).split())


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.integers(1, 400))
def test_nothing_is_lost_in_a_drawn_table_that_fits(rows: list[tuple[str, str]], screen: int) -> None:
    table = [[ID, *row] for row in rows]
    if fits(["ID", "A", "B"], table, screen):
        text = "\n".join(drawn(["ID", "A", "B"], table, screen=screen, colour=False))
        assert sorted("".join(text.split())) == sorted("".join("".join(["IDAB", *map("".join, table)]).split()))
        assert text.count(ID) == len(rows)
        assert all(width(line) <= screen for line in text.split("\n"))


def test_markup_stays_literal_in_a_drawn_table() -> None:
    hostile = [["[/]", "[link=x]y[/link]"], [":bomb:", "[@click=a]\\[b]"]]
    text = "\n".join(drawn(["[red]A", "B"], hostile, screen=80, colour=True))
    for cell in ("[/]", "[link=x]y[/link]", ":bomb:", "[@click=a]\\[b]", "[red]A"):
        assert cell in text


def test_only_the_header_of_a_drawn_table_is_bold_and_only_in_colour() -> None:
    header, *rest = drawn(COLUMNS, ROWS, screen=80, colour=True)
    assert "\x1b[1m" in header
    assert "\x1b" not in "".join(rest)
    assert drawn(COLUMNS, ROWS, screen=80, colour=False) == [re.sub(r"\x1b\[\d*m", "", header).rstrip(), *rest]


def test_a_long_text_is_folded_and_the_id_stays_whole() -> None:
    lines = drawn(["ID", "URL"], [[ID, "https://x.example/" + "a" * 60]], screen=50, colour=False)
    assert len(lines) > 3
    assert sum(ID in line for line in lines) == 1


def test_a_screen_too_narrow_for_ids_is_no_place_for_a_drawn_table() -> None:
    assert fits(COLUMNS, ROWS, 80)
    assert not any(fits(COLUMNS, ROWS, screen) for screen in range(40))


def test_cells_are_inert_even_out_and_are_left_alone_when_ordinary() -> None:
    assert cells([["a"], ["b", "c"]], 2, same) == [["a", ""], ["b", "c"]]
    assert cells([["\x1b[2J", "a\nb"]], 2, same) == [["\\x1b[2J", "a ⏎ b"]]
    assert cells([["x" * 9999]], 1, same)[0][0].endswith("(truncated, 9999 bytes)")


@given(CELL, st.integers(-1, 50))
def test_a_shortened_text_fits(text: str, columns: int) -> None:
    short = shortened(text, columns)
    assert width(short) <= max(0, columns)
    assert short == text or short.endswith("…") or columns <= 0


def test_a_stage_bar_is_filled_as_far_as_the_build_is() -> None:
    assert [stage_bar(done, 5) for done in (-1, 0, 3, 5, 9)] == ["□□□□□", "□□□□□", "■■■□□", "■■■■■", "■■■■■"]


def test_the_spinner_turns_ten_times_a_second() -> None:
    assert len({spinner(tick / 10 + 0.05) for tick in range(10)}) == 10
