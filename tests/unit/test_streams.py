"""Writing to streams that fail: closed pipes, full disks, encodings; buffers and whole processes."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest

from spcli.errors import SpcliError
from spcli.output import Output
from tests.platforms import posix
from tests.screens import PROJECT, Paper, list_projects

ROOT = Path(__file__).parents[2]
ASCII_ONLY = posix("on Windows our own characters are ASCII in a pipe of such an encoding")
REFUSED = SpcliError("http-401", "Invalid API key", status=401, outcome="refused", hint="spcli auth login")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", "a \\n b... \\u5c55\n"),
        pytest.param("cp1252", "a \\n b… \\u5c55\n", marks=ASCII_ONLY),
        ("utf-8", "a ⏎ b… 展\n"),
        pytest.param("shift_jis", "a \\n b… 展\n", marks=ASCII_ONLY),
    ],
)
def test_letters_that_the_encoding_lacks_become_look_alikes(encoding: str, shown: str) -> None:
    paper = Paper(encoding=encoding)
    paper.output.line_object(None, "a\nb… 展")
    assert paper.out == shown


def test_print_to_our_streams_cannot_fail_on_the_encoding() -> None:
    paper = Paper(encoding="ascii")
    print("展", file=paper.streams[0], flush=True)
    assert paper.out == "\\u5c55\n"


def test_columns_line_up_in_an_encoding_that_lacks_letters() -> None:
    paper = Paper(encoding="ascii")
    paper.output.listing([], columns=["NAME", "ID"], rows=[["展示", "1"], ["x", "2"]], bare=[], empty="")
    assert paper.out == "NAME          ID\n\\u5c55\\u793a  1\nx             2\n"


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
    if sys.platform == "win32" or not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w", encoding="utf-8") as stream:
        yield stream


def test_a_closed_pipe_is_exit_141_without_a_message() -> None:
    err = io.StringIO()
    with broken_pipe() as stdout:
        output = Output(None, stdout, err, {})
        output.json_mode = True
        with pytest.raises(SpcliError) as error:
            list_projects(output, [PROJECT] * 5000)
        output.error(error.value)
        output.clear()
    assert (error.value.kind, error.value.exit_code, err.getvalue()) == ("closed-pipe", 141, "")


def test_a_full_disk_after_a_read_is_exit_141_with_a_message() -> None:
    err = io.StringIO()
    with full_disk() as stdout:
        output = Output(None, stdout, err, {})
        with pytest.raises(SpcliError) as error:
            list_projects(output, [PROJECT])
        output.error(error.value)
        output.clear()
    assert error.value.exit_code == 141
    assert "No space left on device" in err.getvalue()


@pytest.mark.parametrize("stream", [broken_pipe, full_disk])
@pytest.mark.parametrize("way", ["result", "announce", "line_object"])
def test_a_result_lost_after_a_write_is_exit_19_with_the_id_on_stderr(stream: Callable[[], object], way: str) -> None:
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
        output.clear()
    assert (error.value.exit_code, error.value.outcome, error.value.upload_id) == (19, "done", "b1")
    assert not error.value.retryable
    assert err.getvalue().startswith("build b1 was accepted, but")


def test_a_lost_result_without_an_id_is_reported() -> None:
    with broken_pipe() as stdout:
        output = Output(None, stdout, None, {})
        output.write_happened = ""
        with pytest.raises(SpcliError) as error:
            output.result(None, lines=["x"])
    assert (error.value.kind, error.value.upload_id) == ("output-lost", None)


@pytest.mark.parametrize("stdout", [None, "closed"])
def test_a_missing_stdout_is_refused_before_a_side_effect(stdout: str | None) -> None:
    output = Output(None, closed_stream() if stdout else None, None, {})
    with pytest.raises(SpcliError) as error:
        output.assert_stdout()
    assert (error.value.kind, error.value.outcome) == ("usage", "not_sent")
    with pytest.raises(SpcliError) as lost:
        output.result(None, lines=["x"])
    assert lost.value.kind == "closed-pipe"
    output.clear()


def test_an_open_stdout_is_accepted_before_a_side_effect() -> None:
    Paper().output.assert_stdout()


@pytest.mark.parametrize("stream", [broken_pipe, full_disk])
def test_a_failing_stderr_does_not_stop_the_result(stream: Callable[[], object]) -> None:
    out = io.StringIO()
    with stream() as stderr:  # type: ignore[attr-defined]
        output = Output(None, out, stderr, {})
        output.json_mode = True
        output.note("x")
        output.error(REFUSED)
        output.result([1])
        output.clear()
    assert out.getvalue() == "[1]\n"


SCRIPT = """
import sys

from spcli.errors import SpcliError
from spcli.output import Output
output = Output(sys.stdin, sys.stdout, sys.stderr, {})
output.write_happened = {happened!r}
try:
    output.listing([1], columns=["A"], rows=[["é" * 50]] * 5000, bare=[], empty="")
    output.clear()
except SpcliError as error:
    output.error(error)
    sys.exit(error.exit_code)
"""


def run(
    command: str, *, happened: str | None = None, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """`command` in a shell, where `"$PYTHON" -c "$CODE"` writes 5000 rows."""
    if sys.platform == "win32" or not os.path.exists("/bin/sh") or not os.path.exists("/dev/full"):
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
def test_exit_code_when_stdout_is_closed_or_full(redirect: str, happened: str | None, code: int, said: bytes) -> None:
    done = run(f'"$PYTHON" -c "$CODE" {redirect}', happened=happened)
    assert done.returncode == code
    assert said in done.stderr
    assert bool(said) == bool(done.stderr)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_whose_reader_leaves_prints_nothing(unbuffered: str) -> None:
    done = run('{ "$PYTHON" -c "$CODE"; echo "code $?" >&2; } | head -1', environ={"PYTHONUNBUFFERED": unbuffered})
    assert done.stderr == b"code 141\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_every_encoding_is_written_without_a_failure(encoding: str, unbuffered: str) -> None:
    environ = {"PYTHONIOENCODING": f"{encoding}:strict", "LC_ALL": "C", "PYTHONUNBUFFERED": unbuffered}
    done = run('"$PYTHON" -c "$CODE"', environ=environ)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count("é".encode(encoding, "backslashreplace") * 50 + b"\n") == 5000


@posix("pipes that do not block")
def test_a_non_blocking_pipe_loses_nothing() -> None:
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
        list_projects(Output(None, stdout, None, {}), [PROJECT] * 20_000)
    thread.join()
    assert received[0].count(b"\n") == 20_001


@pytest.mark.parametrize("json_mode", ["True", "False"])
def test_json_is_imported_only_if_it_is_written(json_mode: str) -> None:
    code = "import sys; from spcli.output import Output; before = {*sys.modules};"
    code += "o = Output(None, sys.stdout, sys.stderr, {});"
    code += f"o.json_mode = {json_mode}; o.listing([1], columns=['A'], rows=[['展']], bare=[], empty='');"
    code += "o.error(__import__('spcli.errors').errors.SpcliError('usage', 'x')); print({*sys.modules}, before)"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    shown = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert ("'json'" in shown) == (json_mode == "True")
