"""The writer, over real streams: buffers, a pseudo-terminal, pipes, full disks."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import DistributeResult, Project, Secret
from spcli.output import Output

ROOT = Path(__file__).parents[2]
PROJECT = Project("65f0c0ffee65f0c0ffee65f0", "Showroom", "active", "eu", None, None, None)
REFUSED = SpcliError("http-401", "Invalid API key", status=401, outcome="refused", hint="spcli auth login")


class Paper:
    """stdout and stderr as a pipe would take them: encoded bytes."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, encoding: str = "utf-8", stdin: str = "") -> None:
        self.bytes = io.BytesIO(), io.BytesIO()
        self.streams = [io.TextIOWrapper(raw, encoding=encoding, newline="\n") for raw in self.bytes]
        self.encoding = encoding
        self.output = Output(io.StringIO(stdin), self.streams[0], self.streams[1], environ or {})

    @property
    def out(self) -> str:
        return self.bytes[0].getvalue().decode(self.encoding)

    @property
    def err(self) -> str:
        return self.bytes[1].getvalue().decode(self.encoding)


class Terminal:
    """An Output whose three streams are one pseudo-terminal of a given width."""

    def __init__(self, output: Output, master: int, slave: int) -> None:
        self.output = output
        self._master, self._slave = master, slave
        self._shown = bytearray()
        # Read all the time: a terminal that nobody reads holds a few kilobytes, and then its writer.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that nobody writes any more
            while data := os.read(self._master, 65536):
                self._shown += data

    def close(self) -> None:
        self._reader.join(10)
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def seen(self) -> str:
        """All that was written until now: a mark behind it tells when the reader has it."""
        os.write(self._slave, b"\0")
        while (end := self._shown.find(b"\0")) < 0:
            time.sleep(0.001)
        data = bytes(self._shown[:end])
        del self._shown[: end + 1]
        return data.decode().replace("\r\n", "\n")


@contextmanager
def terminal(environ: Mapping[str, str] | None = None, *, columns: int = 80, encoding: str = "utf-8") -> Iterator[Terminal]:
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    import struct

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    mode = {"encoding": encoding, "newline": "\n"}
    with (
        os.fdopen(os.dup(slave), "r", encoding=encoding) as stdin,
        os.fdopen(os.dup(slave), "w", **mode) as stdout,  # type: ignore[call-overload]
        os.fdopen(slave, "w", **mode) as stderr,  # type: ignore[call-overload]
    ):
        screen = Terminal(Output(stdin, stdout, stderr, environ or {}), master, stdout.fileno())
        yield screen
    screen.close()


def show(output: Output, projects: list[Project]) -> None:
    rows = [[project.id, project.name or "", project.status or ""] for project in projects]
    bare = [project.id for project in projects]
    output.listing(projects, columns=["ID", "NAME", "STATUS"], rows=rows, bare=bare, empty="No projects.")


def project_as_json() -> dict[str, object]:
    keys = ("id", "name", "status", "region", "subscriptionStatus", "createdAt", "updatedAt")
    return dict(zip(keys, (PROJECT.id, "Showroom", "active", "eu", None, None, None), strict=True))


def test_one_call_reads_so_in_every_mode() -> None:
    people = Paper()
    people.output.result(PROJECT, lines=["Found it.", ("Id", PROJECT.id), ("Name", "Showroom")], bare=PROJECT.id)
    assert people.out == f"Found it.\nId:    {PROJECT.id}\nName:  Showroom\n"

    quiet = Paper()
    quiet.output.quiet = True
    quiet.output.result(PROJECT, lines=["Found it."], bare=PROJECT.id)
    assert quiet.out == f"{PROJECT.id}\n"

    script = Paper()
    script.output.json_mode = True
    script.output.result(PROJECT, lines=["Found it."], bare=PROJECT.id)
    assert script.out == json.dumps(project_as_json(), separators=(",", ":")) + "\n"

    with terminal() as screen:
        screen.output.json_mode = True
        screen.output.result(PROJECT, lines=["Found it."])
        assert screen.seen() == json.dumps(project_as_json(), indent=2) + "\n"
    assert people.err == quiet.err == script.err == ""


def test_one_list_reads_so_in_every_mode() -> None:
    expected = {
        "people": f"ID                        NAME      STATUS\n{PROJECT.id}  Showroom  active\n",
        "quiet": f"{PROJECT.id}\n",
        "json": json.dumps([project_as_json()], separators=(",", ":")) + "\n",
    }
    for mode, text in expected.items():
        paper = Paper()
        paper.output.quiet, paper.output.json_mode = mode == "quiet", mode == "json"
        show(paper.output, [PROJECT])
        assert (paper.out, paper.err) == (text, "")
    with terminal() as screen:
        show(screen.output, [PROJECT])
        assert re.sub(r"\x1b\[\d*m", "", screen.seen()) == expected["people"]


def test_an_empty_list_leaves_stdout_empty_and_says_so_on_stderr() -> None:
    people, quiet, script = Paper(), Paper(), Paper()
    quiet.output.quiet, script.output.json_mode = True, True
    for paper in (people, quiet, script):
        show(paper.output, [])
    assert (people.out, people.err) == ("", "note: No projects.\n")
    assert (quiet.out, quiet.err) == ("", "")
    assert (script.out, script.err) == ("[]\n", "")


def test_json_does_not_pay_for_cells() -> None:
    paper = Paper()
    paper.output.json_mode = True
    paper.output.listing([1], columns=["A"], rows=lambda: pytest.fail("built"), bare=["1"], empty="")
    assert paper.out == "[1]\n"
    paper.output.json_mode = False
    paper.output.listing([1], columns=["A"], rows=lambda: [["one"]], bare=["1"], empty="")
    assert paper.out == "[1]\nA\none\n"


@pytest.mark.parametrize("columns", [0, 1, 2, 10, 23, 24, 40, 80, 400])
@pytest.mark.parametrize("told", [None, "", "abc", "-5", "0", "1", "2", "400", "9" * 30])
def test_no_width_crashes_or_loses_an_id(columns: int, told: str | None) -> None:
    with terminal({} if told is None else {"COLUMNS": told}, columns=columns) as screen:
        show(screen.output, [PROJECT])
        screen.output.draw("waiting for the window")
        screen.output.clear()
        text = screen.seen()
    assert PROJECT.id in text
    assert "Showroom" in text or columns == 24  # which is the id's own width


def test_a_table_is_cut_to_the_terminal_and_whole_in_a_pipe() -> None:
    rows = [[str(number), "x" * 70] for number in range(200)]
    with terminal({"NO_COLOR": "1"}, columns=60) as screen:
        screen.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
        lines = screen.seen().splitlines()
    assert (len(lines), {len(line) for line in lines[1:]}, lines[1][-1]) == (201, {60}, "…")
    paper = Paper({"COLUMNS": "60"})
    paper.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
    assert paper.out.count("x" * 70) == 200


def test_what_is_cut_ends_in_dots_that_the_terminal_can_show_and_moves_no_column() -> None:
    rows = [["1", "x" * 70, "no such id, or none " * 3], ["2", "y", "z"]]
    with terminal({"NO_COLOR": "1"}, columns=40, encoding="ascii") as screen:
        screen.output.listing(rows, columns=["N", "TEXT", "MEANING"], rows=rows, bare=[], empty="")
        lines = screen.seen().splitlines()
    assert lines[1].startswith("1  xxxxxxxxxxxxxx...  no such")
    assert lines[1].index("no such") == lines[0].index("MEANING")


def test_what_a_cut_left_of_a_secret_is_shown_in_no_table() -> None:
    paper, rows = Paper(), [["1", "key k3y-a1b2a1…"]]
    paper.output.secrets.append(Secret("k3y-" + "a1b2" * 6))
    paper.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
    assert paper.out == "N  TEXT\n1  key ****…\n"


def test_the_json_keys_follow_the_watch_line_by_line() -> None:
    paper = Paper()
    paper.output.line_object(PROJECT, "Showroom: 3 users\nlive")
    assert paper.out == "Showroom: 3 users ⏎ live\n"
    with terminal() as screen:
        screen.output.json_mode = True
        screen.output.line_object({"a": 1}, "")
        screen.output.line_object({"a": 2}, "")
        assert screen.seen() == '{"a":1}\n{"a":2}\n'


def test_an_error_gives_the_servers_words_first_then_our_hint() -> None:
    paper = Paper()
    paper.output.quiet = True
    paper.output.error(REFUSED)
    assert (paper.out, paper.err) == ("", "Invalid API key\nhint: spcli auth login\n")


def test_an_error_ends_in_its_json_object() -> None:
    paper = Paper()
    paper.output.json_mode = True
    paper.output.error(SpcliError("usage", "No such option: --jsn\nTry again", hint="--json"))
    *words, last = paper.err.splitlines()
    assert words == ["No such option: --jsn", "  Try again", "hint: --json"]
    assert json.loads(last)["error"]["message"] == "No such option: --jsn\nTry again"
    assert json.loads(last)["error"]["exitCode"] == 2
    assert paper.out == ""


def test_an_error_without_words_is_told_by_its_meaning() -> None:
    paper = Paper()
    paper.output.error(SpcliError("http-400", " ", status=400))
    assert paper.err == "the service answered 400: malformed request\n"


def test_what_goes_to_stderr_obeys_quiet_and_verbose() -> None:
    plain, quiet, verbose = Paper(), Paper(), Paper()
    quiet.output.quiet = quiet.output.verbose = True
    verbose.output.verbose = True
    for paper in (plain, quiet, verbose):
        paper.output.note("kept")
        paper.output.note("careful", name="warning")
        paper.output.status("queued")
        paper.output.detail("GET /projects 200")
    assert plain.err == "note: kept\nwarning: careful\nqueued\n"
    assert quiet.err == ""
    assert verbose.err == plain.err + "GET /projects 200\n"


def test_an_accepted_id_is_announced_where_it_does_not_disturb_the_document() -> None:
    people, script, quiet = Paper(), Paper(), Paper()
    script.output.json_mode, quiet.output.quiet = True, True
    for paper in (people, script, quiet):
        paper.output.announce("Upload id: b1")
    assert (people.out, people.err) == ("Upload id: b1\n", "")
    assert (script.out, script.err) == ("", "Upload id: b1\n")
    assert (quiet.out, quiet.err) == ("", "")


def everything(output: Output, text: str) -> None:
    output.result(DistributeResult(text, text, text, None), lines=[text, (text, text), ("objection", text)], bare=text)
    output.listing([text], columns=["A", "B"], rows=[[text, "x"]], bare=[text], empty=text)
    output.line_object([text], text)
    output.announce(text)
    output.note(text)
    output.status(text)
    output.detail(text)
    output.draw(text)
    output.error(SpcliError("http-400", text, hint=text, upload_id=text, outcome="refused"))


def in_all_modes(environ: Mapping[str, str], encoding: str, use: Callable[[Output], None]) -> Iterator[str]:
    for json_mode, quiet in ((False, False), (False, True), (True, False)):
        paper = Paper(environ, encoding=encoding)
        paper.output.json_mode, paper.output.quiet, paper.output.verbose = json_mode, quiet, True
        use(paper.output)
        yield from (paper.out, paper.err)


@given(st.text(st.characters(), max_size=20), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "cp437", "shift_jis"]))
def test_no_raw_control_character_reaches_a_stream(text: str, encoding: str) -> None:
    for shown in in_all_modes({}, encoding, lambda output: everything(output, text)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown)


def test_every_code_point_is_harmless_on_every_way_out() -> None:
    letters = "".join(map(chr, (*range(0x300), *range(0x2000, 0x2100), 0xD800, 0xDFFF, 0xFE0F, 0xFEFF, 0xE0041)))
    for start in range(0, len(letters), 64):
        for shown in in_all_modes({}, "utf-8", lambda output, start=start: everything(output, letters[start : start + 64])):  # type: ignore[misc]
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufe0f]", shown)


@pytest.mark.parametrize("command", ["::error::x", " ::set-output name=a::b", "x\n::add-mask::y", "foo ##[error]", "##vso[a]b"])
@pytest.mark.parametrize("runner", [{}, {"GITHUB_ACTIONS": "true", "CI": "true"}, {"TF_BUILD": "True"}])
def test_no_line_is_a_command_to_the_runner(command: str, runner: dict[str, str]) -> None:
    for shown in in_all_modes(runner, "utf-8", lambda output: everything(output, command)):
        for line in shown.splitlines():
            assert not line.lstrip().startswith("::")
            assert line.startswith(("{", "[")) or "##" not in line
            assert not runner or "##" not in line


def test_json_keeps_its_marks_outside_of_a_runner_and_its_values_inside() -> None:
    plain, runner = Paper(), Paper({"GITHUB_ACTIONS": "true"})
    for paper in (plain, runner):
        paper.output.json_mode = True
        paper.output.result(["##[group]"])
    assert plain.out == '["##[group]"]\n'
    assert runner.out == '["#\\u0023[group]"]\n'


def test_a_known_secret_never_shows() -> None:
    key = "can/ary+key=é"
    echoes = [key, "can%2Fary%2Bkey%3D%C3%A9", json.dumps({"apiKey": key}), "x" * 2040 + key]
    for echo in echoes:

        def use(output: Output, echo: str = echo) -> None:
            output.secrets.append(Secret(key))
            everything(output, echo)

        for shown in in_all_modes({}, "utf-8", use):
            assert not re.search("ary|canary", shown)


def test_a_ten_megabyte_message_is_cut() -> None:
    for shown in in_all_modes({}, "utf-8", lambda output: output.error(SpcliError("http-400", "A" * 10_000_000))):
        assert len(shown) < 65536
    paper = Paper()
    paper.output.error(SpcliError("http-400", "A" * 10_000_000))
    assert paper.err == "A" * 2048 + " (truncated, 10000000 bytes)\n"


def test_our_own_text_is_written_word_for_word() -> None:
    paper = Paper()
    script = 'x="${y##[a-z]}"\n\t::comment\n'
    paper.output.text(script)
    paper.output.text("no line end")
    assert paper.out == script + "no line end\n"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "a \\n b... \\u5c55\n"),
        ("cp1252", "a \\n b… \\u5c55\n"),
        ("utf-8", "a ⏎ b… 展\n"),
        ("shift_jis", "a \\n b… 展\n"),
    ],
)
def test_an_encoding_without_the_letters_gets_look_alikes(encoding: str, shown: str) -> None:
    paper = Paper(encoding=encoding)
    paper.output.line_object(None, "a\nb… 展")
    assert paper.out == shown


def test_what_others_print_to_our_streams_cannot_crash_either() -> None:
    paper = Paper(encoding="ascii")
    print("展", file=paper.streams[0], flush=True)
    assert paper.out == "\\u5c55\n"


def test_columns_line_up_in_an_encoding_without_the_letters() -> None:
    paper = Paper(encoding="ascii")
    paper.output.listing([], columns=["NAME", "ID"], rows=[["展示", "1"], ["x", "2"]], bare=[], empty="")
    assert paper.out == "NAME          ID\n\\u5c55\\u793a  1\nx             2\n"


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
    ],
)
def test_colour_follows_the_environment(environ: dict[str, str], *, on_terminal: bool, in_pipe: bool) -> None:
    paper = Paper(environ)
    paper.output.error(COLOURED)
    show(paper.output, [PROJECT])
    assert ("\x1b" in paper.err, "\x1b" in paper.out) == (in_pipe, in_pipe)
    with terminal(environ) as screen:
        screen.output.error(COLOURED)
        assert ("\x1b[31mwrong" in screen.seen()) is on_terminal
        show(screen.output, [PROJECT])
        assert ("\x1b[1m" in screen.seen()) is on_terminal
        screen.output.no_color = True
        screen.output.error(COLOURED)
        show(screen.output, [PROJECT])
        assert "\x1b" not in screen.seen()


def test_the_live_line_is_drawn_over_itself_and_makes_room() -> None:
    with terminal({"NO_COLOR": "1"}, columns=20) as screen:
        assert screen.output.live
        screen.output.draw("waiting for the window 1:58")
        assert screen.seen() == "\rwaiting for the …"
        screen.output.draw("short\x1b[2J")
        assert screen.seen() == "\rshort\\x1b[2J     "
        screen.output.status("a line")
        assert screen.seen() == f"\r{' ' * 14}\ra line\n\rshort\\x1b[2J"
        screen.output.result(None, lines=["data"])
        assert screen.seen() == f"\r{' ' * 14}\rdata\n"
        screen.output.draw("again")
        screen.output.finish()
        assert screen.seen() == "\ragain\r       \r"


@pytest.mark.parametrize("columns", [1, 2, 3, 5, 20, 399])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_live_line_never_wraps(columns: int, encoding: str) -> None:
    from spcli.output.table import width

    with terminal({"COLUMNS": "1000"}, columns=columns, encoding=encoding) as screen:
        for text in ("⠋ 展示ルーム🎮 " * 60, "x", "é" * 500, ""):
            screen.output.draw(text)
            assert all(width(part) < columns for part in screen.seen().split("\r"))


def test_there_is_no_live_line_where_it_would_be_noise() -> None:
    with terminal({"TERM": "dumb"}) as screen:
        screen.output.draw("x")
        assert (screen.output.live, screen.seen()) == (False, "")
    with terminal() as screen:
        screen.output.quiet = True
        screen.output.draw("x")
        assert (screen.output.live, screen.seen()) == (False, "")
    paper = Paper()
    paper.output.draw("x")
    paper.output.clear()
    assert (paper.output.live, paper.err) == (False, "")


def test_nobody_is_asked_without_a_terminal() -> None:
    output = Paper(stdin="y\n").output
    assert not output.interactive
    with pytest.raises(SpcliError) as unconfirmed:
        output.confirm("Release b1?")
    assert (unconfirmed.value.kind, unconfirmed.value.exit_code) == ("unconfirmed", 15)
    assert "--yes" in (unconfirmed.value.hint or "")
    with pytest.raises(SpcliError) as usage:
        output.ask("User id", "--user-id ID")
    assert (usage.value.kind, usage.value.hint) == ("usage", "Use --user-id ID.")
    with pytest.raises(SpcliError) as secret:
        output.ask_secret("API key")
    assert secret.value.hint == "Use --key-stdin."


@pytest.mark.parametrize(
    ("environ", "asks"),
    [({}, True), ({"CI": "true"}, False), ({"CI": "false"}, True), ({"CI": ""}, True), ({"GITHUB_ACTIONS": "true"}, False)],
)
def test_a_ci_is_nobody_to_ask(environ: dict[str, str], *, asks: bool) -> None:
    with terminal(environ) as screen:
        assert screen.output.interactive is asks
        screen.output.json_mode = True
        assert not screen.output.interactive


@pytest.mark.parametrize(("answer", "yes"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_only_yes_is_a_yes(answer: str, *, yes: bool) -> None:
    with terminal() as screen:
        screen.type(answer)
        assert screen.output.confirm("Release \x1bb1?") is yes
        assert "Release \\x1bb1? [y/N] " in screen.seen()


def test_a_label_is_asked_for_and_an_empty_answer_is_an_error() -> None:
    with terminal() as screen:
        screen.type(" me@x \n")
        assert screen.output.ask("User id") == "me@x"
        screen.type("\n")
        with pytest.raises(SpcliError, match="nothing was entered"):
            screen.output.ask("User id")


def test_a_secret_is_not_echoed_while_it_is_typed() -> None:
    import threading

    with terminal() as screen:
        typing = threading.Timer(0.15, screen.type, ("canary-key\n",))
        typing.start()
        assert screen.output.ask_secret("API key") == Secret("canary-key")
        typing.join()
        assert screen.seen() == "API key: \n"
        screen.type("visible\n")
        screen.output.ask("User id")
        assert "visible" in screen.seen()


def test_a_secret_on_standard_input_comes_as_its_bytes() -> None:
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


@contextmanager
def broken_pipe() -> Iterator[TextIO]:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        yield stream


@contextmanager
def full_disk() -> Iterator[TextIO]:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w", encoding="utf-8") as stream:
        yield stream


def test_a_gone_reader_is_quiet_and_141() -> None:
    err = io.StringIO()
    with broken_pipe() as stdout:
        output = Output(None, stdout, err, {})
        output.json_mode = True
        with pytest.raises(SpcliError) as error:
            show(output, [PROJECT] * 5000)
        output.error(error.value)
        output.finish()
    assert (error.value.kind, error.value.exit_code, err.getvalue()) == ("closed-pipe", 141, "")


def test_a_full_disk_is_told_and_141_after_a_read() -> None:
    err = io.StringIO()
    with full_disk() as stdout:
        output = Output(None, stdout, err, {})
        with pytest.raises(SpcliError) as error:
            show(output, [PROJECT])
        output.error(error.value)
        output.finish()
    assert error.value.exit_code == 141
    assert "No space left on device" in err.getvalue()


@pytest.mark.parametrize("stream", [broken_pipe, full_disk])
@pytest.mark.parametrize("way", ["result", "announce", "line_object"])
def test_a_result_lost_after_a_write_is_19_with_the_id_on_stderr(stream: Callable[[], object], way: str) -> None:
    err = io.StringIO()
    with stream() as stdout:  # type: ignore[attr-defined]
        output = Output(None, stdout, err, {})
        output.write_happened = "b1"
        calls = {
            "result": lambda: output.result(PROJECT, lines=["x"]),
            "announce": lambda: output.announce("x"),
            "line_object": lambda: output.line_object(1, "x"),
        }
        with pytest.raises(SpcliError) as error:
            calls[way]()
        output.error(error.value)
        output.finish()
    assert (error.value.exit_code, error.value.outcome, error.value.upload_id) == (19, "done", "b1")
    assert not error.value.retryable
    assert err.getvalue().startswith("Build b1 was accepted, but")


def test_a_lost_result_without_a_known_id_says_so() -> None:
    with broken_pipe() as stdout:
        output = Output(None, stdout, None, {})
        output.write_happened = ""
        with pytest.raises(SpcliError) as error:
            output.result(None, lines=["x"])
    assert (error.value.kind, error.value.upload_id) == ("output-lost", None)


@pytest.mark.parametrize("stdout", [None, "closed"])
def test_a_missing_stdout_is_found_before_a_side_effect(stdout: str | None) -> None:
    output = Output(None, closed_stream() if stdout else None, None, {})
    with pytest.raises(SpcliError) as error:
        output.assert_stdout()
    assert (error.value.kind, error.value.outcome) == ("usage", "not_sent")
    with pytest.raises(SpcliError) as lost:
        output.result(None, lines=["x"])
    assert lost.value.kind == "closed-pipe"
    output.finish()


def test_a_present_stdout_is_fine_before_a_side_effect() -> None:
    Paper().output.assert_stdout()


@pytest.mark.parametrize("stream", [broken_pipe, full_disk])
def test_a_failing_stderr_stops_nothing(stream: Callable[[], object]) -> None:
    out = io.StringIO()
    with stream() as stderr:  # type: ignore[attr-defined]
        output = Output(None, out, stderr, {})
        output.json_mode = True
        output.note("x")
        output.error(REFUSED)
        output.result([1])
        output.finish()
    assert out.getvalue() == "[1]\n"


SCRIPT = """
import sys

from spcli.errors import SpcliError
from spcli.output import Output
output = Output(sys.stdin, sys.stdout, sys.stderr, {})
output.write_happened = {happened!r}
try:
    output.listing([1], columns=["A"], rows=[["é" * 50]] * 5000, bare=[], empty="")
    output.finish()
except SpcliError as error:
    output.error(error)
    sys.exit(error.exit_code)
"""


def run(
    command: str, *, happened: str | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`command` in a shell, where `"$PYTHON" -c "$CODE"` writes 5000 rows."""
    if not os.path.exists("/bin/sh") or not os.path.exists("/dev/full"):
        pytest.skip("no shell, or no /dev/full, here")
    call = [sys.executable, "-c", SCRIPT.replace("{happened!r}", repr(happened))]
    variables = {**os.environ, **(environ or {}), "PYTHON": call[0], "CODE": call[2], "PYTHONPATH": str(ROOT)}
    return subprocess.run(["/bin/sh", "-c", command], env=variables, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("redirect", "happened", "code", "said"),
    [
        (">/dev/null", None, 0, b""),
        (">&-", None, 141, b""),
        (">/dev/full", None, 141, b"No space left"),
        (">&-", "b1", 19, b"b1 was accepted"),
        (">/dev/full", "b1", 19, b"b1 was accepted"),
        (">/dev/full 2>&-", "b1", 19, b""),
        ("2>&- >/dev/null", None, 0, b""),
    ],
)
def test_a_process_ends_as_its_stdout_does(redirect: str, happened: str | None, code: int, said: bytes) -> None:
    done = run(f'"$PYTHON" -c "$CODE" {redirect}', happened=happened)
    assert done.returncode == code
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_whose_reader_leaves_is_quiet(unbuffered: str) -> None:
    done = run('{ "$PYTHON" -c "$CODE"; echo "code $?" >&2; } | head -1', environ={"PYTHONUNBUFFERED": unbuffered})
    assert done.stderr == b"code 141\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_no_encoding_crashes_a_process(encoding: str, unbuffered: str) -> None:
    environ = {"PYTHONIOENCODING": f"{encoding}:strict", "LC_ALL": "C", "PYTHONUNBUFFERED": unbuffered}
    done = run('"$PYTHON" -c "$CODE"', environ=environ)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count("é".encode(encoding, "backslashreplace") * 50 + b"\n") == 5000


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are always blocking there")
def test_a_pipe_left_non_blocking_loses_nothing() -> None:
    import threading

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received: list[bytes] = []

    def read() -> None:
        time.sleep(0.1)  # the pipe is full by then
        with os.fdopen(reader, "rb") as stream:
            received.append(stream.read())

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writer, "w", encoding="utf-8") as stdout:
        show(Output(None, stdout, None, {}), [PROJECT] * 20_000)
    thread.join()
    assert received[0].count(b"\n") == 20_001


@pytest.mark.parametrize(
    ("iso", "shown"),
    [
        (None, ""),
        ("", ""),
        ("soon", "soon"),
        ("2026-04-30", "2026-04-30"),
        ("not-a-date-at-all", "not-a-date-at-all"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_time_that_is_none_is_shown_as_it_is(iso: str | None, shown: str) -> None:
    assert Paper().output.local_time(iso) == shown


def test_times_are_local() -> None:
    code = "from spcli.output import Output; o = Output(None, None, None, {});"
    code += 'print([o.local_time(t) for t in ("2026-04-30T12:00:59.123Z", "2026-04-30T12:00", "2026-04-30T12:00:00+02:00")],'
    code += "o.clock_time(0.0))"
    environ = {**os.environ, "TZ": "UTC-2", "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert shown == "['2026-04-30 14:00', '2026-04-30 14:00', '2026-04-30 12:00'] 02:00:00\n"


@pytest.mark.parametrize("json_mode", ["True", "False"])
def test_json_is_loaded_where_it_is_written_only(json_mode: str) -> None:
    code = "import sys; from spcli.output import Output; before = {*sys.modules};"
    code += "o = Output(None, sys.stdout, sys.stderr, {});"
    code += f"o.json_mode = {json_mode}; o.listing([1], columns=['A'], rows=[['展']], bare=[], empty='');"
    code += "o.error(__import__('spcli.errors').errors.SpcliError('usage', 'x')); print({*sys.modules}, before)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    shown = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert ("'json'" in shown) == (json_mode == "True")
