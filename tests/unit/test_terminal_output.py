"""Output on a terminal: widths, colours, the live line, questions."""

import io
import threading
import time
from typing import TextIO

import pytest

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.output import Output
from spcli.output.prompt import strip_keys
from spcli.output.table import text_width
from tests.screens import PROJECT, Paper, list_projects, open_terminal


@pytest.mark.parametrize("columns", [0, 1, 2, 10, 23, 24, 40, 80, 400])
@pytest.mark.parametrize("told", [None, "", "abc", "-5", "0", "1", "2", "400", "9" * 30])
def test_every_terminal_width_shows_whole_ids(columns: int, told: str | None) -> None:
    with open_terminal({} if told is None else {"COLUMNS": told}, columns=columns) as terminal:
        list_projects(terminal.output, [PROJECT])
        terminal.output.draw("waiting for the window")
        terminal.output.clear()
        text = terminal.screen()
    assert PROJECT.id in text
    assert "Showroom" in text or columns == 24  # which is the id's own width


COLOURED = SpcliError("usage", "wrong")


@pytest.mark.parametrize(
    ("environ", "on_terminal", "in_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": "false"}, False, False),
        ({"FORCE_COLOR": ""}, True, False),
    ],
)
def test_colours_follow_the_environment(environ: dict[str, str], *, on_terminal: bool, in_pipe: bool) -> None:
    paper = Paper(environ)
    paper.output.error(COLOURED)
    list_projects(paper.output, [PROJECT])
    assert ("\x1b" in paper.err, "\x1b" in paper.out) == (in_pipe, in_pipe)
    with open_terminal(environ) as terminal:
        terminal.output.error(COLOURED)
        assert ("\x1b[31mwrong" in terminal.screen()) is on_terminal
        list_projects(terminal.output, [PROJECT])
        assert ("\x1b[1m" in terminal.screen()) is on_terminal
        terminal.output.no_color = True
        terminal.output.error(COLOURED)
        list_projects(terminal.output, [PROJECT])
        assert "\x1b" not in terminal.screen()


def test_the_live_line_is_drawn_over_itself_and_moves_below_messages() -> None:
    with open_terminal({"NO_COLOR": "1"}, columns=20) as terminal:
        assert terminal.output.live
        terminal.output.draw("waiting for the window 1:58")
        assert terminal.screen() == "\rwaiting for the …"
        terminal.output.draw("short\x1b[2J")
        assert terminal.screen() == "\rshort\\x1b[2J     "
        terminal.output.status("a line")
        assert terminal.screen() == f"\r{' ' * 14}\ra line\n\rshort\\x1b[2J"
        terminal.output.result(None, lines=["data"])
        assert terminal.screen() == f"\r{' ' * 14}\rdata\n"
        terminal.output.draw("again")
        terminal.output.clear()
        assert terminal.screen() == "\ragain\r       \r"


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 20, 399])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_live_line_never_wraps(columns: int, encoding: str) -> None:
    with open_terminal({"COLUMNS": "1000"}, columns=columns, encoding=encoding) as terminal:
        for text in ("⠋ 展示ルーム🎮 " * 60, "x", "é" * 500, ""):
            terminal.output.draw(text)
            assert all(text_width(part) < columns for part in terminal.screen().split("\r"))


def test_no_live_line_on_dumb_terminals_in_quiet_mode_and_in_pipes() -> None:
    with open_terminal({"TERM": "dumb"}) as terminal:
        terminal.output.draw("x")
        assert (terminal.output.live, terminal.screen()) == (False, "")
    with open_terminal() as terminal:
        terminal.output.quiet = True
        terminal.output.draw("x")
        assert (terminal.output.live, terminal.screen()) == (False, "")
    paper = Paper()
    paper.output.draw("x")
    paper.output.clear()
    assert (paper.output.live, paper.err) == (False, "")


def test_without_a_terminal_every_question_is_an_error() -> None:
    output = Paper(stdin="y\n").output
    assert not output.interactive
    with pytest.raises(SpcliError) as unconfirmed:
        output.confirm("Release b1?")
    assert (unconfirmed.value.kind, unconfirmed.value.exit_code) == ("unconfirmed", 15)
    assert "--yes" in (unconfirmed.value.hint or "")
    with pytest.raises(SpcliError) as usage:
        output.ask("user ID", "--user-id ID")
    assert (usage.value.kind, usage.value.hint) == ("usage", "use --user-id ID")
    with pytest.raises(SpcliError) as secret:
        output.ask_secret("API key")
    assert secret.value.hint == "use --key-stdin"


@pytest.mark.parametrize(
    ("environ", "asks"),
    [({}, True), ({"CI": "true"}, False), ({"CI": "false"}, True), ({"CI": ""}, True), ({"GITHUB_ACTIONS": "true"}, False)],
)
def test_ci_systems_are_not_asked(environ: dict[str, str], *, asks: bool) -> None:
    with open_terminal(environ) as terminal:
        assert terminal.output.interactive is asks
        terminal.output.json_mode = True
        assert not terminal.output.interactive


@pytest.mark.parametrize(("answer", "yes"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_only_yes_confirms(answer: str, *, yes: bool) -> None:
    with open_terminal() as terminal:
        terminal.type(answer)
        assert terminal.output.confirm("Release \x1bb1?") is yes
        assert "Release \\x1bb1? [y/N] " in terminal.screen()


def test_an_empty_answer_is_an_error() -> None:
    with open_terminal() as terminal:
        terminal.type(" me@x \n")
        assert terminal.output.ask("user ID") == "me@x"
        terminal.type("\n")
        with pytest.raises(SpcliError, match="nothing was entered"):
            terminal.output.ask("user ID")


def test_a_secret_is_not_echoed_while_it_is_typed() -> None:
    with open_terminal() as terminal:
        typing = threading.Timer(0.15, terminal.type, ("canary-key\n",))
        typing.start()
        assert terminal.output.ask_secret("API key") == Secret("canary-key")
        typing.join()
        assert terminal.screen() == "API key: \n"
        terminal.type("visible\n")
        terminal.output.ask("user ID")
        assert "visible" in terminal.screen()


def test_a_secret_on_standard_input_is_read_as_bytes() -> None:
    raw = io.TextIOWrapper(io.BytesIO(b"\xff key\r\n" + b"x" * 100_000))
    assert Output(raw, None, None, {}).read_secret_stdin() == (b"\xff key\r\n" + b"x" * 100_000)[:65537]
    assert Output(io.StringIO("key\n"), None, None, {}).read_secret_stdin() == b"key\n"
    for closed in (None, closed_stream()):
        with pytest.raises(SpcliError) as error:
            Output(closed, None, None, {}).read_secret_stdin()
        assert error.value.kind == "usage"


def closed_stream() -> TextIO:
    stream = io.StringIO()
    stream.close()
    return stream


def test_arrow_and_function_keys_add_nothing_to_an_answer() -> None:
    with open_terminal() as terminal:
        typing = threading.Timer(0.15, terminal.type, ("\x1b[Acanary\x1b[1;5D-key\x1bOP\x1b[3~\n",))
        typing.start()
        assert terminal.output.ask_secret("API key") == Secret("canary-key")
        typing.join()
        terminal.type("me\x1b[D@x\n")
        assert terminal.output.ask("user ID") == "me@x"


@pytest.mark.parametrize("text", ["\x1b[" * 2**19, "\x1b[" + "0" * 2**20, "\x1b" * 2**20, "\x1b[0;" * 2**18], ids=len)
def test_a_mebibyte_of_keys_is_stripped_in_linear_time(text: str) -> None:
    started = time.process_time()
    strip_keys(text)
    assert time.process_time() - started < 2
