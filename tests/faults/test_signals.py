"""Ctrl-C, SIGTERM and SIGKILL at every stage of a write: exit code, outcome, history, and what the next run does."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faultd import Behaviour, FaultServer, Request, answer, hang, hang_at_accept, rst_after_request
from tests.faults.shipping import NEW, OLD, URL, Process, Service, Shipper, eventually

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
SIGNALS = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
ACCEPTS = answer(201, {"message": "Build queued for processing", "uploadId": NEW})


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Callable[..., tuple[Service, Shipper]]]:
    opened: list[Any] = []

    def start(on_write: Callable[[Request], Behaviour], *, window: float = 1.0) -> tuple[Service, Shipper]:
        service = Service(on_write)
        server = FaultServer(handler=service)
        shipper = Shipper(tmp_path, server, window=window)
        opened.extend([shipper, server])
        return service, shipper

    yield start
    for one in opened:
        one.close()


def end_by(process: Process, number: int) -> Process:
    process.send(number)
    return process.end()


def failure(process: Process) -> tuple[Any, ...]:
    error = process.error
    return process.code, error["kind"], error["outcome"], error["retryable"]


@SIGNALS
def test_signal_while_queued_sends_nothing_and_leaves_the_queue(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: ACCEPTS, window=60)
    assert shipper.run("upload", URL).code == 0
    queued = shipper.start("upload", "https://builds.example.com/Next.zip", "--json")
    queued.wait_for("Rate limit: uploading at")
    end_by(queued, number)
    assert failure(queued) == (code, "interrupted", "not_sent", True), queued
    assert queued.out == ""
    assert len(service.writes) == 1
    assert shipper.ledger() == ["done"]
    limits = shipper.run("limits", "--json")
    assert '"queued":0' in limits.out.replace(" ", "")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2"]
    subprocess.run(
        [*made, "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=folder, check=True, capture_output=True
    )
    return str(folder / "cert.pem"), str(folder / "key.pem")


@SIGNALS
def test_signal_between_commit_and_first_byte_gives_the_window_back(
    tmp_path: Path, certificate: tuple[str, str], number: int, code: int
) -> None:
    """The write's own connection hangs in its handshake: the window is committed, and nothing has been sent."""
    service = Service(lambda _request: ACCEPTS)
    with FaultServer(handler=service, tls=certificate, strict=False) as server:
        shipper = Shipper(tmp_path, server, window=60)
        shipper.environ["SSL_CERT_FILE"] = certificate[0]

        def listing(_request: Request) -> Behaviour:
            if not server.unused:
                server.add(hang_at_accept())
            return answer(200, {"files": list(service.builds)})

        service.on_read = listing
        process = shipper.start("upload", URL, "--json")
        try:
            eventually(lambda: shipper.ledger() == ["sending"] and server.connections >= 2, "the commit")
            end_by(process, number)
            assert failure(process) == (code, "interrupted", "not_sent", True), process
            assert service.writes == []
            assert shipper.ledger() == ["unsent"]
            assert '"secondsLeft":0' in shipper.run("limits", "--json").out.replace(" ", "")
        finally:
            shipper.close()


def test_signal_after_bytes_left_is_61_and_the_next_run_checks_first(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("upload", URL, "--json", "--timeout", "1s")
    eventually(lambda: service.writes, "the upload")
    end_by(process, signal.SIGTERM)
    assert failure(process) == (61, "unknown", "unknown", True), process
    assert process.error["uploadId"] is None
    assert shipper.ledger() == ["unclear"]
    service.on_write = lambda _request: ACCEPTS
    again = shipper.run("upload", URL, "--json")
    assert again.code == 0, again
    assert "did nothing" in again.err
    assert (len(service.writes), shipper.ledger()) == (2, ["absent", "done"])


def test_next_run_after_a_signal_adopts_the_build_that_was_made(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("upload", URL, "--json")
    eventually(lambda: service.writes, "the upload")
    assert end_by(process, signal.SIGINT).code == 61
    service.builds.append(service.build(NEW, URL))
    again = shipper.run("upload", URL, "--json")
    assert (again.code, f'"uploadId":"{NEW}"' in again.out) == (0, True), again
    assert (len(service.writes), shipper.ledger()) == (1, ["done"])


@SIGNALS
def test_signal_after_bytes_left_finds_the_build_in_a_quick_look(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("upload", URL, "--json")
    eventually(lambda: service.writes, "the upload")
    service.builds.append(service.build(NEW, URL))
    end_by(process, number)
    assert failure(process) == (code, "interrupted", "done", False), process
    assert process.error["uploadId"] == NEW
    assert f"spcli builds wait {NEW}" in process.error["hint"]
    assert (shipper.ledger(), shipper.ledger("upload_id")) == (["done"], [NEW])


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_the_quick_look_at_once(ship: Any, second: int) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("upload", URL, "--json")
    eventually(lambda: service.writes, "the upload")
    before = len(service.reads)
    service.on_read = lambda _request: hang()
    process.send(signal.SIGINT)
    eventually(lambda: len(service.reads) > before, "the quick look")
    end_by(process, second)
    assert failure(process) == (61, "unknown", "unknown", True), process
    assert shipper.ledger() == ["unclear"]


@pytest.mark.parametrize("pause", [0.0, 0.0005, 0.001, 0.0015, 0.003, 0.01])
def test_burst_of_signals_after_bytes_left_never_reports_that_nothing_was_sent(ship: Any, pause: float) -> None:
    # Each with a service of its own: the other's window is not waited for.
    started = []
    for _ in range(2):
        service, shipper = ship(lambda _request: hang())
        started.append((shipper.start("upload", URL, "--json"), service))
    for process, service in started:
        eventually(lambda written=service.writes: written, "the upload")
        for _ in range(5):
            process.send(signal.SIGINT)
            threading.Event().wait(pause)
    for process, _service in started:
        process.end()
        assert failure(process) == (61, "unknown", "unknown", True), process
    assert shipper.ledger() == ["unclear"] * 2


def test_signal_while_the_list_is_read_for_evidence_is_61(ship: Any) -> None:
    _, shipper = ship(lambda _request: rst_after_request(), window=60)
    process = shipper.start("upload", URL, "--json")
    process.wait_for("reading the build list")
    end_by(process, signal.SIGTERM)
    assert failure(process) == (61, "unknown", "unknown", True), process
    assert shipper.ledger() == ["unclear"]


def test_signal_while_an_accepted_uploads_id_is_looked_up_is_61_and_remembered_as_accepted(ship: Any) -> None:
    _, shipper = ship(lambda _request: answer(201, {"message": "queued"}), window=60)
    process = shipper.start("upload", URL, "--json")
    process.wait_for("reading the build list")
    end_by(process, signal.SIGINT)
    assert failure(process) == (61, "unknown", "unknown", True), process
    assert (shipper.ledger(), shipper.ledger("accepted")) == (["unclear"], [1])


@SIGNALS
def test_signal_while_queued_for_a_second_send_reports_the_first_as_refused(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: answer(429, {"message": "Rate limit exceeded."}), window=60)
    process = shipper.start("upload", URL, "--json")
    process.wait_for("Rate limit: uploading at")
    end_by(process, number)
    assert (process.code, process.error["kind"], process.error["outcome"]) == (code, "interrupted", "refused"), process
    assert (len(service.writes), shipper.ledger()) == (1, ["refused"])


@SIGNALS
def test_signal_during_the_wait_reports_the_upload_and_how_to_resume(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: ACCEPTS)
    process = shipper.start("upload", URL, "--wait", "--json")
    eventually(lambda: service.writes, "the upload")
    service.builds.append(service.build(NEW, URL))
    process.wait_for(NEW)
    end_by(process, number)
    assert failure(process) == (code, "interrupted", "done", False), process
    assert process.error["uploadId"] == NEW
    assert f"spcli builds wait {NEW}" in process.error["hint"]
    assert shipper.ledger() == ["done"]


def test_signal_after_a_release_left_is_61_and_the_next_run_adopts_it(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("distribute", OLD, "--json")
    eventually(lambda: service.writes, "the release")
    end_by(process, signal.SIGTERM)
    assert failure(process) == (61, "unknown", "unknown", True), process
    service.builds[0]["status"] = "Distribute"
    again = shipper.run("distribute", OLD, "--json")
    assert again.code == 0, again
    assert (len(service.writes), shipper.ledger()) == (1, ["done"])


@SIGNALS
def test_signal_during_a_read_is_not_a_write(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: ACCEPTS)
    service.on_read = lambda _request: hang()
    process = shipper.start("builds", "--json")
    eventually(lambda: service.reads, "the read")
    end_by(process, number)
    assert (process.code, process.error["outcome"], process.out) == (code, None, ""), process


@SIGNALS
def test_signals_after_a_raw_write_left_are_61(ship: Any, number: int, code: int) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("api", "POST", "/projects/test-webhook", "-f", "projectId=1", "--json")
    eventually(lambda: service.writes, "the call")
    process.send(number)
    end_by(process, signal.SIGINT)
    assert failure(process) == (61, "unknown", "unknown", False), process
    assert "check whether it was processed before you send it again" in process.error["hint"]


LOADED = ("resource", "typing", "typer", "typer.core", "spcli.commands", "spcli.usage", "spcli.cli", "spcli.output", "httpcore")
LOADING = [*(("upload", module) for module in LOADED), *(("builds", module) for module in LOADED[::3])]


@pytest.mark.parametrize(("verb", "module"), LOADING)
def test_signal_while_the_program_is_loading_is_reported_as_any_other(ship: Any, verb: str, module: str) -> None:
    """`-X importtime` prints a module's name on stderr as soon as it is loaded."""
    service, shipper = ship(lambda _request: ACCEPTS)
    service.on_read = lambda _request: hang()
    program = [sys.executable, "-X", "importtime", "-m", "spcli"]
    process = shipper.start(verb, *([URL] if verb == "upload" else []), "--json", program=program)
    eventually(lambda: re.search(rf"\| +{re.escape(module)}\n", process.err), module)
    end_by(process, signal.SIGINT)
    assert failure(process) == (130, "interrupted", "not_sent" if verb == "upload" else None, verb == "upload"), process
    assert (process.out, service.writes) == ("", [])


def test_ctrl_c_before_the_handlers_are_installed_prints_no_traceback(ship: Any, tmp_path: Path) -> None:
    """Replace the `signal` module by one that is interrupted while it loads."""
    _, shipper = ship(lambda _request: ACCEPTS)
    (tmp_path / "signal.py").write_text("import os, _signal\nos.kill(os.getpid(), _signal.SIGINT)\n")
    shipper.environ["PYTHONPATH"] = str(tmp_path)
    process = shipper.run("upload", URL)
    assert (process.code, process.out, process.err) == (130, "", ""), process


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe that is full")
@pytest.mark.parametrize("is_tab", [False, True], ids=["version", "tab"])
def test_ctrl_c_while_a_quick_answer_is_written_leaves_no_traceback(ship: Any, is_tab: bool) -> None:
    _, shipper = ship(lambda _request: ACCEPTS)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65536)
    os.set_blocking(writer, True)
    asked = {"_SPCLI_COMPLETE": "complete_bash", "COMP_WORDS": "spcli\n", "COMP_CWORD": "1"} if is_tab else {}
    program = [sys.executable, "-X", "importtime", "-m", "spcli", *([] if is_tab else ["--version"])]
    with subprocess.Popen(program, env=shipper.environ | asked, stdout=writer, stderr=subprocess.PIPE) as child:
        assert child.stderr is not None
        read = b""
        while not re.search(rb"\| +spcli(\.completion\.answer)?\n$", read) or (is_tab and not read.endswith(b"answer\n")):
            read += child.stderr.readline()
        threading.Event().wait(0.3)  # it writes, and the pipe is full
        child.send_signal(signal.SIGINT)
        try:
            err = child.communicate(timeout=20)[1]
        finally:
            child.kill()
            os.close(reader)
            os.close(writer)
    assert child.returncode == 130, err
    assert b"Traceback" not in err


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells a process's limits")
def test_crash_leaves_no_core_file_with_the_key_in_it(ship: Any) -> None:
    import resource

    service, shipper = ship(lambda _request: hang())
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("no core files here anyway")
    process = shipper.start("upload", URL)
    eventually(lambda: service.writes, "the upload")
    limits = Path(f"/proc/{process.popen.pid}/limits").read_text()
    assert re.search(r"Max core file size +0 ", limits)
    end_by(process, KILL)


# Killed: nothing could be printed.


def test_run_after_a_kill_checks_first_and_adopts(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang())
    process = shipper.start("upload", URL, "--json")
    eventually(lambda: service.writes, "the upload")
    end_by(process, KILL)
    assert shipper.ledger() == ["sending"]
    service.builds.append(service.build(NEW, URL))
    again = shipper.run("upload", URL, "--json")
    assert (again.code, f'"uploadId":"{NEW}"' in again.out) == (0, True), again
    assert (len(service.writes), shipper.ledger()) == (1, ["done"])


def test_upload_that_a_live_process_still_handles_is_not_unclear(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang(), window=60)
    first = shipper.start("upload", URL, "--json")
    eventually(lambda: service.writes, "the upload")
    second = shipper.run("upload", URL, "--json", "--on-limit", "fail")
    assert failure(second) == (49, "rate-limited", "not_sent", True), second
    end_by(first, KILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a dead process is known at once where there is /proc")
def test_queued_process_settles_the_upload_of_a_killed_one_before_it_sends(ship: Any) -> None:
    service, shipper = ship(lambda _request: hang())
    first = shipper.start("upload", URL, "--json", "--timeout", "4s")
    eventually(lambda: service.writes, "the upload")
    second = shipper.start("upload", URL, "--json")
    second.wait_for("Rate limit: uploading at")
    service.builds.append(service.build(NEW, URL))
    service.on_write = lambda _request: ACCEPTS
    end_by(first, KILL)
    second.end()
    assert (second.code, f'"uploadId":"{NEW}"' in second.out) == (0, True), second
    assert '"confirmedBy":"build-list"' in second.out
    assert (len(service.writes), shipper.ledger()) == (1, ["done"])
