"""Tables: how wide text is, and how rows are aligned, shortened and folded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.output.progress import spinner, stage_bar
from spcli.output.table import SCREENFUL, align, fit_to_screen, fold_words, make_cells, shorten, text_width

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
def test_text_width_counts_terminal_columns(text: str, columns: int) -> None:
    assert text_width(text) == columns


def test_columns_line_up_in_every_script() -> None:
    lines = align(COLUMNS, ROWS)
    assert lines == [
        "ID                        NAME           STATUS",
        "65f0c0ffee65f0c0ffee65f0  Showroom       active",
        "65f0c0ffee65f0c0ffee65f1  展示ルーム 🎮  inactive",
        "65f0c0ffee65f0c0ffee65f2  e\u0301",
    ]
    starts = {text_width(line[: line.index(word)]) for line, word in zip(lines, ["STATUS", "active", "inactive"], strict=False)}
    assert len(starts) == 1


def test_one_huge_cell_stays_whole_and_does_not_pad_the_others() -> None:
    lines = align(["NAME", "ID"], [["x" * 2000, ID], ["y", ID]])
    assert lines[1] == "x" * 2000 + "  " + ID
    assert len(lines[2]) == 100 + 2 + len(ID)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_aligning_loses_no_text(rows: list[tuple[str, str]]) -> None:
    lines = align(["A", "B"], rows)
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines[1:], rows, strict=True):
        assert "".join(line.split()) == "".join("".join(row).split())


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5), st.integers(len(ID), 400))
def test_a_fitted_table_is_no_wider_than_the_screen_and_keeps_ids_whole(rows: list[tuple[str, str]], screen: int) -> None:
    lines = fit_to_screen(["ID", "A", "B"], [[ID, *row] for row in rows], screen)
    assert all(text_width(line) <= screen for line in lines)
    assert sum(line.startswith(ID) for line in lines) == len(rows)


@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=5))
def test_a_table_that_fits_is_not_changed(rows: list[tuple[str, str]]) -> None:
    table = [[ID, *row] for row in rows]
    assert fit_to_screen(["ID", "A", "B"], table, 400) == align(["ID", "A", "B"], table)


def test_empty_columns_are_dropped_before_names_are_shortened() -> None:
    columns, rows = ["ID", "NAME", "STATUS", "SUBSCRIPTION"], [[ID, "Configurator APAC", "active", ""]]
    assert fit_to_screen(columns, rows, 65)[0] == f"{'ID':<24}  {'NAME':<17}  STATUS  SUBSCRIPTION"
    assert fit_to_screen(columns, rows, 64) == [f"{'ID':<24}  {'NAME':<17}  STATUS", f"{ID}  Configurator APAC  active"]
    assert fit_to_screen(columns, rows, 45) == [f"{'ID':<24}  {'NAME':<11}  STATUS", f"{ID}  Configurat…  active"]


def test_columns_are_dropped_from_the_right() -> None:
    assert fit_to_screen(["UPLOAD ID", "STATUS", "FILE"], [[ID, "Approved", "Game-1.4.zip"]], 36) == [
        f"{'UPLOAD ID':<24}  STATUS",
        f"{ID}  Approved",
    ]


def test_sentences_are_folded_between_words_and_long_words_shortened() -> None:
    _, *lines = fit_to_screen(
        ["CODE", "MEANING"], [["13", "no such name or id, ambiguous, or https://x.example/" + "a" * 60]], 34
    )
    assert lines == ["13    no such name or id,", "      ambiguous, or", "      https://x.example/aaaaaaaaa…"]


def test_an_id_among_other_texts_stays_whole() -> None:
    columns, rows = ["SETTING", "VALUE"], [["a" * 15, ID], ["b", "https://x.example/a.zip"]]
    assert ID in fit_to_screen(columns, rows, 36)[1]


def test_a_screen_narrower_than_an_id_shortens_nothing() -> None:
    for screen in range(len(ID)):
        assert fit_to_screen(COLUMNS, ROWS, screen) == align(COLUMNS, ROWS)


def test_a_shortened_header_ends_in_the_given_mark() -> None:
    assert fit_to_screen(["ID", "A LONG HEADER"], [[ID, "x"]], 36, "...")[0] == f"{'ID':<24}  A LONG ..."


def test_more_rows_than_a_screenful_are_not_shortened() -> None:
    rows = [[ID, "Configurator APAC"]] * (SCREENFUL + 1)
    assert fit_to_screen(["ID", "NAME"], rows, 40) == align(["ID", "NAME"], rows)
    assert fit_to_screen(["ID", "NAME"], rows[1:], 40)[1:] == [f"{ID}  Configurator …"] * SCREENFUL


def test_cells_are_escaped_and_rows_filled_up() -> None:
    assert make_cells([["a"], ["b", "c"]], 2, same) == [["a", ""], ["b", "c"]]
    assert make_cells([["\x1b[2J", "a\nb"]], 2, same) == [["\\x1b[2J", "a ⏎ b"]]
    assert make_cells([["x" * 9999]], 1, same)[0][0].endswith("(truncated, 9999 bytes)")


@given(CELL, st.integers(-1, 50))
def test_a_shortened_text_fits(text: str, columns: int) -> None:
    short = shorten(text, columns)
    assert text_width(short) <= max(0, columns)
    assert short == text or short.endswith("…") or columns <= 0


@pytest.mark.parametrize(
    ("text", "columns", "indent", "lines"),
    [
        ("it fits", 7, 2, ["it fits"]),
        ("hint: add --wait, or omit them", 16, 6, ["hint: add", "      --wait, or", "      omit them"]),
        ("  two  columns  of  text", 15, 4, ["  two  columns", "    of  text"]),
        (f"id {ID} ok", 10, 1, ["id", f" {ID}", " ok"]),
        ("a b c", 1, 9, ["a", "b", "c"]),
        ("展示 ルーム", 6, 0, ["展示", "ルーム"]),
    ],
)
def test_long_lines_are_folded_between_words(text: str, columns: int, indent: int, lines: list[str]) -> None:
    assert fold_words(text, columns, indent) == lines


@given(CELL, st.integers(1, 50), st.integers(0, 30))
def test_folding_loses_no_word_and_keeps_to_the_screen(text: str, columns: int, indent: int) -> None:
    lines = fold_words(text, columns, indent)
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line) <= columns or len(line.split()) == 1 for line in lines)


def test_the_stage_bar_is_filled_up_to_the_stage() -> None:
    assert [stage_bar(done, 5) for done in (-1, 0, 3, 5, 9)] == ["□□□□□", "□□□□□", "■■■□□", "■■■■■", "■■■■■"]


def test_the_spinner_changes_ten_times_a_second() -> None:
    assert len({spinner(tick / 10 + 0.05) for tick in range(10)}) == 10
