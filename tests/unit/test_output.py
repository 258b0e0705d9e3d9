"""The output: what is printed in every mode, and that nothing harmful is."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import DistributeResult, Secret
from spcli.output import Output
from tests.screens import PROJECT, Paper, list_projects, open_terminal

REFUSED = SpcliError("http-401", "Invalid API key", status=401, outcome="refused", hint="spcli auth login")


def project_as_json() -> dict[str, object]:
    keys = ("id", "name", "status", "region", "subscriptionStatus", "createdAt", "updatedAt")
    return dict(zip(keys, (PROJECT.id, "Showroom", "active", "eu", None, None, None), strict=True))


def test_one_thing_is_printed_in_every_mode() -> None:
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

    with open_terminal() as terminal:
        terminal.output.json_mode = True
        terminal.output.result(PROJECT, lines=["Found it."])
        assert terminal.screen() == json.dumps(project_as_json(), indent=2) + "\n"
    assert people.err == quiet.err == script.err == ""


def test_a_list_is_printed_in_every_mode() -> None:
    expected = {
        "people": f"ID                        NAME      STATUS\n{PROJECT.id}  Showroom  active\n",
        "quiet": f"{PROJECT.id}\n",
        "json": json.dumps([project_as_json()], separators=(",", ":")) + "\n",
    }
    for mode, text in expected.items():
        paper = Paper()
        paper.output.quiet, paper.output.json_mode = mode == "quiet", mode == "json"
        list_projects(paper.output, [PROJECT])
        assert (paper.out, paper.err) == (text, "")
    with open_terminal() as terminal:
        list_projects(terminal.output, [PROJECT])
        assert re.sub(r"\x1b\[\d*m", "", terminal.screen()) == expected["people"]


def test_an_empty_list_leaves_stdout_empty_and_notes_it_on_stderr() -> None:
    people, quiet, script = Paper(), Paper(), Paper()
    quiet.output.quiet, script.output.json_mode = True, True
    for paper in (people, quiet, script):
        list_projects(paper.output, [])
    assert (people.out, people.err) == ("", "note: no projects\n")
    assert (quiet.out, quiet.err) == ("", "")
    assert (script.out, script.err) == ("[]\n", "")


def test_json_output_makes_no_cells() -> None:
    paper = Paper()
    paper.output.json_mode = True
    paper.output.listing([1], columns=["A"], rows=lambda: pytest.fail("built"), bare=["1"], empty="")
    assert paper.out == "[1]\n"
    paper.output.json_mode = False
    paper.output.listing([1], columns=["A"], rows=lambda: [["one"]], bare=["1"], empty="")
    assert paper.out == "[1]\nA\none\n"


def test_a_table_is_shortened_on_a_terminal_and_whole_in_a_pipe() -> None:
    rows = [[str(number), "x" * 70] for number in range(200)]
    with open_terminal({"NO_COLOR": "1"}, columns=60) as terminal:
        terminal.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
        lines = terminal.screen().splitlines()
    assert (len(lines), {len(line) for line in lines[1:]}, lines[1][-1]) == (201, {60}, "…")
    paper = Paper({"COLUMNS": "60"})
    paper.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
    assert paper.out.count("x" * 70) == 200


def test_shortened_cells_end_in_dots_that_the_encoding_has() -> None:
    rows = [["1", "x" * 70, "no such id, or none " * 3], ["2", "y", "z"]]
    with open_terminal({"NO_COLOR": "1"}, columns=40, encoding="ascii") as terminal:
        terminal.output.listing(rows, columns=["N", "TEXT", "MEANING"], rows=rows, bare=[], empty="")
        lines = terminal.screen().splitlines()
    assert lines[1].startswith("1  xxxxxxxxxxxxxx...  no such")
    assert lines[1].index("no such") == lines[0].index("MEANING")


def test_a_table_shows_no_start_of_a_secret() -> None:
    paper, rows = Paper(), [["1", "key k3y-a1b2a1b2…"]]
    paper.output.redactor.register(Secret("k3y-" + "a1b2" * 6))
    paper.output.listing(rows, columns=["N", "TEXT"], rows=rows, bare=[], empty="")
    assert paper.out == "N  TEXT\n1  key ****…\n"


def test_line_objects_are_printed_one_per_line() -> None:
    paper = Paper()
    paper.output.line_object(PROJECT, "Showroom: 3 users\nlive")
    assert paper.out == "Showroom: 3 users ⏎ live\n"
    with open_terminal() as terminal:
        terminal.output.json_mode = True
        terminal.output.line_object({"a": 1}, "")
        terminal.output.line_object({"a": 2}, "")
        assert terminal.screen() == '{"a":1}\n{"a":2}\n'


def test_an_error_prints_the_message_then_the_hint() -> None:
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


def test_an_error_without_a_message_prints_the_meaning_of_its_code() -> None:
    paper = Paper()
    paper.output.error(SpcliError("http-400", " ", status=400))
    assert paper.err == "the service answered 400: malformed request\n"


def test_messages_obey_quiet_and_verbose() -> None:
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


def test_an_accepted_id_goes_to_stdout_or_with_json_to_stderr() -> None:
    people, script, quiet = Paper(), Paper(), Paper()
    script.output.json_mode, quiet.output.quiet = True, True
    for paper in (people, script, quiet):
        paper.output.announce("upload ID: b1")
    assert (people.out, people.err) == ("upload ID: b1\n", "")
    assert (script.out, script.err) == ("", "upload ID: b1\n")
    assert (quiet.out, quiet.err) == ("", "")


def print_everything(output: Output, text: str) -> None:
    output.result(DistributeResult(text, text, text, None), lines=[text, (text, text), ("objection", text)], bare=text)
    output.listing([text], columns=["A", "B"], rows=[[text, "x"]], bare=[text], empty=text)
    output.line_object([text], text)
    output.announce(text)
    output.note(text)
    output.status(text)
    output.detail(text)
    output.draw(text)
    output.error(SpcliError("http-400", text, hint=text, upload_id=text, outcome="refused"))


def print_in_all_modes(environ: Mapping[str, str], encoding: str, use: Callable[[Output], None]) -> Iterator[str]:
    for json_mode, quiet in ((False, False), (False, True), (True, False)):
        paper = Paper(environ, encoding=encoding)
        paper.output.json_mode, paper.output.quiet, paper.output.verbose = json_mode, quiet, True
        use(paper.output)
        yield from (paper.out, paper.err)


@given(st.text(st.characters(), max_size=20), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "cp437", "shift_jis"]))
def test_no_raw_control_character_reaches_a_stream(text: str, encoding: str) -> None:
    for printed in print_in_all_modes({}, encoding, lambda output: print_everything(output, text)):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", printed)


def test_every_code_point_is_escaped_in_every_kind_of_output() -> None:
    letters = "".join(map(chr, (*range(0x300), *range(0x2000, 0x2100), 0xD800, 0xDFFF, 0xFE0F, 0xFEFF, 0xE0041)))
    for start in range(0, len(letters), 64):
        for printed in print_in_all_modes({}, "utf-8", partial(print_everything, text=letters[start : start + 64])):
            assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufe0f]", printed)


@pytest.mark.parametrize("command", ["::error::x", " ::set-output name=a::b", "x\n::add-mask::y", "foo ##[error]", "##vso[a]b"])
@pytest.mark.parametrize("runner", [{}, {"GITHUB_ACTIONS": "true", "CI": "true"}, {"TF_BUILD": "True"}])
def test_no_line_is_a_command_to_a_ci_runner(command: str, runner: dict[str, str]) -> None:
    for printed in print_in_all_modes(runner, "utf-8", lambda output: print_everything(output, command)):
        for line in printed.splitlines():
            # Our own annotation is a command, and holds the text escaped.
            rest = re.sub(r"^(::error title=spcli::|##vso\[task\.logissue type=error\])", "", line)
            assert not rest.lstrip().startswith("::") or rest != line
            assert rest.startswith(("{", "[")) or "##" not in rest
            assert not runner or "##" not in rest


def test_json_escapes_command_marks_inside_a_ci_runner_only() -> None:
    plain, runner = Paper(), Paper({"GITHUB_ACTIONS": "true"})
    for paper in (plain, runner):
        paper.output.json_mode = True
        paper.output.result(["##[group]"])
    assert plain.out == '["##[group]"]\n'
    assert runner.out == '["#\\u0023[group]"]\n'


def test_a_registered_secret_is_never_printed() -> None:
    key = "can/ary+key=é"
    echoes = [key, "can%2Fary%2Bkey%3D%C3%A9", json.dumps({"apiKey": key}), "x" * 2040 + key]
    for echo in echoes:

        def use(output: Output, echo: str = echo) -> None:
            output.redactor.register(Secret(key))
            print_everything(output, echo)

        for printed in print_in_all_modes({}, "utf-8", use):
            assert not re.search("ary|canary", printed)


def test_a_message_of_ten_megabytes_is_truncated() -> None:
    for printed in print_in_all_modes({}, "utf-8", lambda output: output.error(SpcliError("http-400", "A" * 10_000_000))):
        assert len(printed) < 65536
    paper = Paper()
    paper.output.error(SpcliError("http-400", "A" * 10_000_000))
    assert paper.err == "A" * 2048 + " (truncated, 10000000 bytes)\n"


def test_our_own_text_is_printed_unchanged() -> None:
    paper = Paper()
    script = 'x="${y##[a-z]}"\n\t::comment\n'
    paper.output.text(script)
    paper.output.text("no line end")
    assert paper.out == script + "no line end\n"
