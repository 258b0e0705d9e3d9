"""`spcli api`."""

import io
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from spcli.api.raw import field_value
from spcli.cli import main
from spcli.clock import Clock
from spcli.runtime import Runtime
from spcli.sandbox.seeds import MAIN, SHOWROOM, SHOWROOM_OLD
from tests.faultd import FaultServer, answer, close_after_request, hang, huge_body, no_content, raw, redirect, response, truncate
from tests.front import Front, Result, releases, uploads

URL = "https://builds.example.com/Game-1.4.zip"
KEY, USER = MAIN.api_key, MAIN.user_id


def at(spcli: Front, server: FaultServer) -> None:
    spcli.use(server.url)


def test_read_carries_fields_and_credentials_in_its_query(spcli: Front) -> None:
    with FaultServer([answer(200, {"a": 1})]) as server:
        at(spcli, server)
        assert spcli("api", "get", "/projects?page=2", "-f", "limit=5", "-f", "x=true").code == 0
        (request,) = server.ledger
    assert (request.method, request.path, request.body) == ("GET", "/projects", b"")
    assert request.query == (
        ("page", "2"), ("limit", "5"), ("x", "true"), ("userId", USER), ("apikey", KEY), ("apiKey", KEY),
    )  # fmt: skip


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_write_carries_fields_and_credentials_in_its_json_body(spcli: Front, method: str) -> None:
    with FaultServer([answer(200, {})]) as server:
        at(spcli, server)
        words = ("-f", "a=b=c", "-f", "n=1.5", "-f", "yes=true", "-f", "no=null", "-f", "empty=")
        assert spcli("api", method, "/projects/test-webhook", *words).code == 0
        (request,) = server.ledger
    assert request.method == method
    assert request.query == ()
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"apiKey": KEY, "userId": USER, "a": "b=c", "n": 1.5, "yes": True, "no": None, "empty": ""}


def test_a_query_in_the_path_stays_there_whatever_the_method(spcli: Front) -> None:
    with FaultServer([answer(200, {})]) as server:
        at(spcli, server)
        assert spcli("api", "POST", "/projects/x?dryRun=true", "-f", "a=1").code == 0
        (request,) = server.ledger
    assert request.query == (("dryRun", "true"),)
    assert request.json == {"apiKey": KEY, "userId": USER, "a": 1}
    assert spcli("api", "POST", "/projects/upload-file?x=1").code == 2


def test_delete_carries_everything_in_its_query_and_is_sent_once(spcli: Front) -> None:
    with FaultServer([answer(500, {"message": "Internal server error"})]) as server:
        at(spcli, server)
        refused = spcli("api", "DELETE", "/projects/1", "-f", "hard=true", "--json")
        (request,) = server.ledger
    assert (refused.code, refused.error["outcome"]) == (50, "refused")
    assert request.query[0] == ("hard", "true")
    assert request.body == b""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-0.5e3", -500.0), ("true", True), ("false", False), ("null", None), ("True", "True"), ("007", "007"),
        ("", ""), ("1_000", "1_000"), ("NaN", "NaN"), ("Infinity", "Infinity"), ("1e999", "1e999"), ("٣", "٣"), ('"5"', '"5"'),
        (" 5", " 5"),
        ("123456789012345678901234", "123456789012345678901234"), ("12345678901234567890123e", "12345678901234567890123e"),
        ("1234567890123456789012e4", "1234567890123456789012e4"), ("9" * 400, "9" * 400), ("[1]", "[1]"),
    ],
)  # fmt: skip
def test_field_is_a_string_unless_json_has_another_word_for_it(text: str, value: object) -> None:
    found = field_value(text)
    assert (type(found), found) == (type(value), value)


def test_body_is_printed_byte_for_byte_in_a_pipe(spcli: Front, tmp_path: Path) -> None:
    body = b'{"b":1,\n  "a":"\xff\x1b[31m"}\r\n'
    with FaultServer([answer(200, body)]) as server:
        out = io.BytesIO()
        spcli.use(server.url)
        stream = io.TextIOWrapper(out, "ascii")
        runtime = Runtime(dict(spcli.environ), stdin=None, stdout=stream, stderr=None, clock=spcli.clock)
        assert main(["api", "GET", "/x"], runtime) == 0
        assert out.getvalue() == body


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def on_terminal(spcli: Front, *argv: str) -> Result:
    out, err = io.BytesIO(), io.BytesIO()
    environ = {**spcli.environ, "TERM": "xterm", "NO_COLOR": "1"}
    streams = {"stdout": Terminal(out, "utf-8", newline="\n"), "stderr": io.TextIOWrapper(err, "utf-8", newline="\n")}
    code = main(list(argv), Runtime(environ, stdin=None, **streams, clock=spcli.clock))
    for stream in streams.values():
        stream.flush()
    spcli.printed.append(Result(code, out.getvalue(), err.getvalue()))
    return spcli.printed[-1]


def test_on_a_terminal_json_is_laid_out_and_other_text_is_inert(spcli: Front) -> None:
    page = b"line one\n\x1b[2Jline two"
    with FaultServer([answer(200, b'{"a":[1,"\xc3\xa9"]}'), answer(200, page)]) as server:
        at(spcli, server)
        assert on_terminal(spcli, "api", "GET", "/x").out == '{\n  "a": [\n    1,\n    "\\u00e9"\n  ]\n}\n'
        assert on_terminal(spcli, "api", "GET", "/x").out == "line one\n\\x1b[2Jline two\n"


def test_json_prints_the_document_and_refuses_what_is_none(spcli: Front) -> None:
    with FaultServer([answer(200, b' {"a" : 1} '), no_content(), answer(200, b"<html>")]) as server:
        at(spcli, server)
        assert spcli("api", "GET", "/x", "--json").out == '{"a":1}\n'
        assert spcli("api", "GET", "/x", "--json").out == "null\n"
        odd = spcli("api", "GET", "/x", "--json")
    assert (odd.code, odd.error["kind"], odd.out) == (62, "protocol", "")


def test_include_shows_status_and_headers_before_the_body(spcli: Front) -> None:
    headers = [("X-One", "1"), ("X-One", "2")]
    with FaultServer([answer(201, {"a": 1}, headers), answer(201, {"a": 1}, headers)]) as server:
        at(spcli, server)
        lines = spcli("api", "GET", "/x", "--include").out.splitlines()
        assert (lines[0], lines[-2:]) == ("HTTP 201", ["", '{"a": 1}'])
        assert "X-One: 2" in lines
        document = spcli("api", "GET", "/x", "--include", "--json").json
    assert (document["status"], document["headers"]["X-One"], document["body"]) == (201, "1, 2", {"a": 1})


def test_echoed_key_and_file_query_are_starred_in_every_form(spcli: Front) -> None:
    echo = {"key": KEY, "url": URL + "?X-Amz-Signature=5ec4e7canary"}
    with FaultServer([answer(200, echo)] * 2) as server:
        at(spcli, server)
        for words in ((), ("--json",)):
            shown = spcli("api", "POST", "/echo", "-f", f"fileUrl={echo['url']}", *words)
            assert "****" in shown.out
            assert "5ec4e7canary" not in shown.out + shown.err


def test_a_signature_that_is_quoted_alone_shows_nowhere(spcli: Front) -> None:
    signature = "5ec4e7canary5ec4e7canary"
    with FaultServer([answer(400, {"message": f"bad signature {signature}"})]) as server:
        at(spcli, server)
        sent = spcli("api", "POST", "/projects/upload-file", "-f", f"fileUrl={URL}?X-Amz-Signature={signature}", "--json")
    assert sent.error["message"] == "bad signature ****"
    assert signature.encode() not in b"".join(path.read_bytes() for path in (spcli.home / "state").iterdir())


def test_runner_that_reads_along_finds_no_command_in_a_body(spcli: Front) -> None:
    with FaultServer([answer(200, b"::set-output name=a::b\n"), answer(200, b'{"a":"##[error]x"}')]) as server:
        at(spcli, server)
        text = spcli("api", "GET", "/x", env={"GITHUB_ACTIONS": "true"}).out
        assert not text.lstrip().startswith("::")
        found = spcli("api", "GET", "/x", env={"GITHUB_ACTIONS": "true"})
    assert "##[" not in found.out
    assert found.json == {"a": "##[error]x"}


def test_a_path_may_be_given_without_its_slash(spcli: Front) -> None:
    with FaultServer([answer(200, {}), answer(200, {}), answer(200, {"uploadId": SHOWROOM_OLD})]) as server:
        at(spcli, server)
        assert spcli("api", "GET", "projects?page=2").code == 0
        assert spcli("api", "GET", f"projects/{SHOWROOM.id}").code == 0
        assert spcli("api", "POST", "projects/upload-file", "-f", f"fileUrl={URL}").code == 0
        assert [request.path for request in server.ledger] == ["/projects", f"/projects/{SHOWROOM.id}", "/projects/upload-file"]
    upload, _ = spcli("limits", "--json").json
    assert upload["secondsLeft"] > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("GET", ""), "one slash"),
        (("GET", "\\projects"), "one slash"),
        (("GET", "?limit=5"), "one slash"),
        (("GET", "projects/../admin"), ".."),
        (("GET", "C:/Program Files/Git/projects"), "Git Bash"),
        (("POST", "D:\\msys64\\projects\\upload-file"), "Git Bash"),
        (("GET", "//evil.example/x"), "one slash"),
        (("GET", "https://evil.example/projects"), "not below"),
        (("GET", "http://127.0.0.1:1.evil.example/x"), "not below"),
        (("GET", "/../admin"), ".."),
        (("GET", "/%2e%2e/admin"), ".."),
        (("GET", "/a b"), "character"),
        (("GET", "/a#b"), "character"),
        (("GET", "/a\n"), "character"),
        (("BREW", "/coffee"), "method"),
        (("GET", "/x", "-f", "limit"), "KEY=VALUE"),
        (("GET", "/x", "-f", "=5"), "KEY=VALUE"),
        (("GET", "/x", "-f", f"apiKey={KEY}"), "spcli adds"),
        (("GET", f"/x?api_key={KEY}"), "spcli adds"),
        (("POST", "/x", "-f", "userId=1"), "spcli adds"),
        (("POST", "/x", "-f", "a=1", "-f", "a=2"), "twice"),
    ],
)
def test_bad_words_are_usage_errors_and_nothing_is_sent(spcli: Front, words: tuple[str, ...], says: str) -> None:
    with FaultServer() as server:
        at(spcli, server)
        refused = spcli("api", *words, "--json")
        assert (refused.code, refused.error["kind"], refused.out) == (2, "usage", "")
        assert says in refused.error["message"]
        assert refused.error["outcome"] == (None if words[0] == "GET" else "not_sent")


def test_full_url_of_the_same_base_is_accepted(spcli: Front, service: Any) -> None:
    server = service()
    shown = spcli("api", "GET", f"{server.base_url}/projects/{SHOWROOM.id}")
    assert shown.json["name"] == SHOWROOM.name
    outside = spcli("api", "GET", server.base_url.rpartition("/")[0] + "/other")
    assert outside.code == 2


def test_error_of_the_service_is_shown_as_everywhere(spcli: Front, service: Any) -> None:
    service()
    missing = spcli("api", "GET", "/projects/nothing-here", "--json")
    assert (missing.code, missing.error["status"], missing.error["outcome"], missing.out) == (44, 404, None, "")
    assert missing.err.startswith("Project not found")


def test_read_is_tried_again_and_a_cut_one_is_no_answer(spcli: Front) -> None:
    with FaultServer([answer(500, {"message": "later"}), truncate(), close_after_request(), answer(200, [])]) as server:
        at(spcli, server)
        assert spcli("api", "GET", "/x").out == "[]"
        assert len(server.ledger) == 4


def test_redirect_and_flood_are_protocol_errors(spcli: Front) -> None:
    with FaultServer([redirect("https://evil.example/"), huge_body()]) as server:
        at(spcli, server)
        assert spcli("api", "GET", "/x").code == 62
        assert spcli("api", "GET", "/x").code == 62


def test_unreachable_service_is_60_and_a_write_says_not_sent(spcli: Front) -> None:
    with FaultServer() as server:
        at(spcli, server)
    assert spcli("api", "GET", "/x", "--json").error["outcome"] is None
    refused = spcli("api", "POST", "/x", "--json")
    assert (refused.code, refused.error["outcome"], refused.error["retryable"]) == (60, "not_sent", True)


@pytest.mark.parametrize("path", ["/projects/test-webhook", "/projects/upload-file", "/Projects//Distribute-File/"])
def test_write_without_a_usable_answer_is_61_and_sent_once(spcli: Front, path: str) -> None:
    page = raw(response(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}))
    with FaultServer([close_after_request(), page]) as server:
        at(spcli, server)
        for _ in range(2):
            lost = spcli("api", "POST", path, "-f", "fileUrl=" + URL, "-f", "uploadId=1", "--json")
            assert (lost.code, lost.error["kind"], lost.error["outcome"], lost.error["retryable"]) == (
                61,
                "unknown",
                "unknown",
                False,
            )
        assert len(server.ledger) == 2


def test_write_that_times_out_is_61(spcli: Front) -> None:
    with FaultServer([hang()]) as server:
        at(spcli, server)
        spcli.clock = Clock()
        assert spcli("api", "POST", "/x", "--timeout", "0.2s").code == 61


@pytest.mark.parametrize(
    "path", ["/projects/upload-file", "/projects/upload-file/", "/PROJECTS/Upload%2Dfile", "/project/upload-file"]
)
def test_limited_endpoint_goes_through_its_window_however_it_is_spelt(spcli: Front, path: str) -> None:
    accepted = answer(200, {"message": "Build queued for processing", "uploadId": "665a2b3c4d5e6f7a8b9c0e1f"})
    with FaultServer([accepted, accepted]) as server:
        at(spcli, server)
        words = ("api", "POST", path, "-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}")
        first = spcli(*words)
        assert first.json["uploadId"] == "665a2b3c4d5e6f7a8b9c0e1f"
        before = spcli.clock.mono()
        assert spcli(*words).code == 0
        assert spcli.clock.mono() - before >= 119
        assert spcli(*words, env={"SPCLI_ON_LIMIT": "fail"}).code == 49
        assert len(server.ledger) == 2


@pytest.mark.parametrize(
    "ending",
    [
        ";a=b",
        "%3Ba=b",
        "%00",
        "%3F",
        "%3f#",
        "%23",
        "%5C",
        "%2F",
        "/%2e",
        "%252F",
        "%25%32%66",
        "%0d%0a",
        "%c2%a0%7f",
        "%C0%AF",
        "%EF%BC%8Fx",
        "/x/%EF%BC%8E%EF%BC%8E",
        "/x",
        "/x/upload-files",
        ":",
        "::$DATA",
        ",",
        "&a=b",
        "%26",
        "|",
        "*",
        "'",
    ],
)
def test_a_path_that_a_server_may_cut_to_a_limited_one_is_refused(spcli: Front, ending: str) -> None:
    with FaultServer([]) as server:
        at(spcli, server)
        refused = spcli("api", "POST", f"/projects/upload-file{ending}", "--json")
        assert (refused.code, refused.error["outcome"]) == (2, "not_sent")
        assert server.ledger == []


@pytest.mark.parametrize("path", ["/projects/upload-files", "/projects/upload-file-list", "/projects/re-upload-file/x"])
def test_a_path_with_another_name_is_not_limited(spcli: Front, path: str) -> None:
    with FaultServer([answer(200, {}), answer(200, {})]) as server:
        at(spcli, server)
        assert [spcli("api", "POST", path, env={"SPCLI_ON_LIMIT": "fail"}).code for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("path", ["/projects/upload-file.", "/projects/upload-file%20", "/projects/\uff55pload-file"])
def test_other_spellings_of_a_limited_path_wait_for_the_window(spcli: Front, path: str) -> None:
    with FaultServer([answer(200, {"uploadId": "665a2b3c4d5e6f7a8b9c0e1f"})]) as server:
        at(spcli, server)
        assert spcli("api", "POST", path).code == 0
        assert spcli("api", "POST", path, env={"SPCLI_ON_LIMIT": "fail"}).code == 49


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_limited_endpoint_is_called_with_the_method_that_was_typed(spcli: Front, method: str) -> None:
    with FaultServer([answer(404, {"message": "Cannot find"})]) as server:
        at(spcli, server)
        words = ("-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}")
        assert spcli("api", method, "/projects/upload-file", *words).code == 44
        assert [request.method for request in server.ledger] == [method]


def test_raw_upload_is_in_the_ledger_and_shares_the_window_of_upload(spcli: Front, service: Any, tmp_path: Path) -> None:
    server = service()
    words = ("-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}?sig=5ec4e7", "-f", "autoRelease=false")
    sent = spcli("api", "POST", "/projects/upload-file", *words)
    assert sent.code == 0, sent
    assert json.loads(uploads(server)[0].body)["autoRelease"] is False
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    (row,) = connection.execute("SELECT action, upload_id, phase, url, auto_release, note FROM ledger").fetchall()
    connection.close()
    assert row == ("upload", sent.json["uploadId"], "done", URL, 0, json.dumps([None, "spcli api", None]))
    assert spcli("upload", URL, "--on-limit", "fail").code == 49


def test_raw_distribute_counts_as_a_release(spcli: Front, service: Any) -> None:
    server = service()
    words = ("-f", f"projectId={SHOWROOM.id}", "-f", f"uploadId={SHOWROOM_OLD}")
    assert spcli("api", "POST", "/projects/distribute-file", *words).code == 0
    assert len(releases(server)) == 1
    assert f"from: {SHOWROOM_OLD}" in spcli("rollback", "--dry-run").err


def test_lost_raw_upload_is_settled_first_by_the_next_upload(spcli: Front, service: Any) -> None:
    server = service(faults=("upload:reset-after-store",))
    words = ("-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}")
    assert spcli("api", "POST", "/projects/upload-file", *words).code == 61
    spcli.clock.sleep(300)
    settled = spcli("upload", URL, "--json")
    assert (settled.code, settled.json["confirmedBy"]) == (0, "build-list")
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(("fault", "accepted"), [("no-id", 1), ("204", 1), ("html", 0)])
def test_raw_upload_answered_without_an_id_is_left_for_the_next_upload_to_settle(
    spcli: Front, service: Any, tmp_path: Path, fault: str, accepted: int
) -> None:
    service(faults=(f"upload:{fault}",))
    words = ("-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}")
    assert spcli("api", "POST", "/projects/upload-file", *words).code == 0
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    rows = connection.execute("SELECT phase, upload_id, accepted FROM ledger").fetchall()
    connection.close()
    assert rows == [("unclear", None, accepted)]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_ctrl_c_while_a_raw_upload_is_under_way_is_61_and_remembered(spcli: Front, tmp_path: Path) -> None:
    with FaultServer([hang()]) as server:
        spcli.use(server.url, window=1)
        command = [sys.executable, "-m", "spcli", "api", "POST", "/projects/upload-file", "-f", f"fileUrl={URL}", "--json"]
        child = subprocess.Popen(command, env=spcli.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not server.ledger and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    ended = Result(child.returncode, out, err)
    spcli.printed.append(ended)
    assert (ended.code, ended.error["outcome"], ended.out) == (61, "unknown", "")
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    assert connection.execute("SELECT phase FROM ledger").fetchall() == [("unclear",)]
    connection.close()


def test_429_of_a_raw_call_closes_the_window_and_says_when(spcli: Front) -> None:
    message = "Rate limit exceeded. Try again in 2 minutes."
    with FaultServer([answer(429, {"message": message}, {"Retry-After": "300"})]) as server:
        at(spcli, server)
        refused = spcli("api", "POST", "/projects/distribute-file", "-f", "uploadId=1", "--json")
        assert (refused.code, refused.error["message"], refused.error["outcome"]) == (49, message, "refused")
        assert refused.error["retryAfter"] == 300
        words = ("api", "POST", "/projects/distribute-file", "-f", "uploadId=1", "--json")
        again = spcli(*words, env={"SPCLI_ON_LIMIT": "fail"})
        assert (again.code, again.error["outcome"], again.error["retryAfter"]) == (49, "not_sent", 300)
        assert len(server.ledger) == 1


def test_write_whose_answer_cannot_be_printed_is_19(spcli: Front) -> None:
    class Full(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    with FaultServer([answer(200, {"uploadId": "665a2b3c4d5e6f7a8b9c0e1f"})]) as server:
        at(spcli, server)
        err = io.TextIOWrapper(io.BytesIO(), "utf-8")
        stdout = io.TextIOWrapper(Full(), "utf-8", write_through=True)  # type: ignore[arg-type]
        runtime = Runtime(dict(spcli.environ), stdin=None, stdout=stdout, stderr=err, clock=spcli.clock)
        assert main(["api", "POST", "/projects/upload-file", "-f", f"fileUrl={URL}"], runtime) == 19


def test_head_prints_nothing_but_what_include_asks_for(spcli: Front) -> None:
    empty = raw(response(200, b"", {"Content-Length": "12"}))
    with FaultServer([empty, empty]) as server:
        at(spcli, server)
        assert spcli("api", "HEAD", "/x").out == ""
        assert spcli("api", "HEAD", "/x", "--include").out.startswith("HTTP 200\n")


@pytest.mark.parametrize(("method", "outcome"), [("POST", "not_sent"), ("delete", "not_sent"), ("GET", None), ("head", None)])
def test_a_failure_before_anything_was_sent_says_so_where_the_method_writes(
    spcli: Front, method: str, outcome: str | None
) -> None:
    failed = spcli("api", method, "/projects", "--profile", "nobody", "--json")
    assert (failed.code, failed.error["outcome"]) == (3, outcome), failed


@pytest.mark.parametrize("words", [["GET", "/x"], ["POST", "/x", "-f", "a=b"]], ids=" ".join)
def test_include_shows_a_refused_answer_on_stderr_before_the_error(spcli: Front, words: list[str]) -> None:
    body = f'{{"message": "No.", "requestId": "r\u202e1", "key": "{MAIN.api_key}"}}'.encode()
    with FaultServer([answer(404, body, {"X-Trace": "t1"})]) as server:
        spcli.use(server.url)
        found = spcli("api", *words, "--include", "--json")
    assert (found.code, found.out) == (44, "")
    lines = found.err.splitlines()
    assert lines[0] == "HTTP 404"
    assert "x-trace: t1" in map(str.lower, lines)
    assert lines.index("No.") > lines.index('{"message": "No.", "requestId": "r\\u202e1", "key": "****"}') > lines.index("")
    assert found.error["message"] == "No."


def test_without_include_a_refused_answer_is_its_message_and_the_hint_is_that_of_a_raw_call(spcli: Front) -> None:
    with FaultServer([answer(404, {"message": "No."}, {"X-Trace": "t1"})]) as server:
        spcli.use(server.url)
        found = spcli("api", "GET", "/x")
        assert "trace" not in found.err.lower()
        assert f"looks for PATH below {server.url}" in found.err
    assert "spcli builds" not in found.err


def test_include_without_an_answer_adds_nothing(spcli: Front) -> None:
    assert spcli("api", "GET", "/x", "--include", "--json").error["kind"] == "config"
