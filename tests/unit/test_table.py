"""Columns: how wide text is, and what becomes of rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.output.progress import spinner, stage_bar
from spcli.output.table import SCREENFUL, aligned, cells, fitted, shortened, width

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


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.integers(len(ID), 400))
def test_no_line_of_a_fitted_table_is_wider_than_the_screen_and_ids_stay_whole(rows: list[tuple[str, str]], screen: int) -> None:
    lines = fitted(["ID", "A", "B"], [[ID, *row] for row in rows], screen)
    assert all(width(line) <= screen for line in lines)
    assert sum(line.startswith(ID) for line in lines) == len(rows)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_a_table_that_fits_is_that_of_a_pipe(rows: list[tuple[str, str]]) -> None:
    table = [[ID, *row] for row in rows]
    assert fitted(["ID", "A", "B"], table, 400) == aligned(["ID", "A", "B"], table)


def test_where_not_all_fits_empty_columns_go_first_and_names_are_cut_then() -> None:
    columns, rows = ["ID", "NAME", "STATUS", "SUBSCRIPTION"], [[ID, "Configurator APAC", "active", ""]]
    assert fitted(columns, rows, 65)[0] == f"{'ID':<24}  {'NAME':<17}  STATUS  SUBSCRIPTION"
    assert fitted(columns, rows, 64) == [f"{'ID':<24}  {'NAME':<17}  STATUS", f"{ID}  Configurator APAC  active"]
    assert fitted(columns, rows, 45) == [f"{'ID':<24}  {'NAME':<11}  STATUS", f"{ID}  Configurat…  active"]


def test_columns_too_many_for_the_screen_are_left_out_from_the_right() -> None:
    assert fitted(["UPLOAD ID", "STATUS", "FILE"], [[ID, "Approved", "Game-1.4.zip"]], 36) == [
        f"{'UPLOAD ID':<24}  STATUS",
        f"{ID}  Approved",
    ]


def test_a_sentence_is_folded_between_words_and_a_word_too_long_is_cut() -> None:
    _, *lines = fitted(["CODE", "MEANING"], [["13", "no such name or id, ambiguous, or https://x.example/" + "a" * 60]], 34)
    assert lines == ["13    no such name or id,", "      ambiguous, or", "      https://x.example/aaaaaaaaa…"]


def test_an_id_within_a_column_of_other_texts_stays_whole() -> None:
    columns, rows = ["SETTING", "VALUE"], [["a" * 15, ID], ["b", "https://x.example/a.zip"]]
    assert ID in fitted(columns, rows, 36)[1]


def test_a_screen_too_narrow_for_ids_cuts_nothing() -> None:
    for screen in range(len(ID)):
        assert fitted(COLUMNS, ROWS, screen) == aligned(COLUMNS, ROWS)


def test_the_mark_of_a_cut_header_is_one_that_the_screen_can_show() -> None:
    assert fitted(["ID", "A LONG HEADER"], [[ID, "x"]], 36, "...")[0] == f"{'ID':<24}  A LONG ..."


def test_past_a_screenful_of_rows_nothing_is_cut() -> None:
    rows = [[ID, "Configurator APAC"]] * (SCREENFUL + 1)
    assert fitted(["ID", "NAME"], rows, 40) == aligned(["ID", "NAME"], rows)
    assert fitted(["ID", "NAME"], rows[1:], 40)[1:] == [f"{ID}  Configurator …"] * SCREENFUL


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
