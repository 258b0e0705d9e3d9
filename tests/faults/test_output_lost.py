"""A result that cannot be written: after a write it is exit 19, and the ID is on stderr, in the history and in `builds`."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faultd import FaultServer, answer
from tests.faults.shipping import NEW, OLD, URL, Process, Service, Shipper
from tests.unit.test_ci import github_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="streams as POSIX has them")
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.fixture
def ship(tmp_path: Path) -> Iterator[Callable[..., tuple[Service, Shipper]]]:
    opened: list[Any] = []

    def start(**environ: str) -> tuple[Service, Shipper]:
        service = Service(
            lambda request: (
                answer(201, {"message": "Build queued", "uploadId": NEW})
                if request.path.endswith("/upload-file")
                else answer(200, {"message": "Distribution triggered"})
            )
        )
        server = FaultServer(handler=service)
        shipper = Shipper(tmp_path, server, window=1.0)
        shipper.environ |= environ
        opened.extend([shipper, server])
        return service, shipper

    yield start
    for one in opened:
        one.close()


def closed_stdout(shipper: Shipper, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run as `spcli … >&-` in a shell."""
    from tests.faults.shipping import command

    script = 'exec "$@" >&-'
    return subprocess.run(
        ["sh", "-c", script, "sh", *command(), *argv], env=shipper.environ, stderr=subprocess.PIPE, text=True, timeout=30
    )


def gone_reader(shipper: Shipper, *argv: str) -> Process:
    """Run with a pipe as stdout whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return shipper.run(*argv, stdout=writer)
    finally:
        os.close(writer)


def full_disk(shipper: Shipper, *argv: str) -> Process:
    with open("/dev/full", "wb") as full:
        return shipper.run(*argv, stdout=full)


WAYS = [pytest.param(gone_reader, id="reader gone"), pytest.param(full_disk, id="disk full", marks=FULL)]
MODES = pytest.mark.parametrize("words", [(), ("-q",), ("--wait",), ("-q", "--wait")], ids=" ".join)


@pytest.mark.parametrize("way", WAYS)
@MODES
def test_lost_result_of_an_upload_is_19_and_the_id_is_not_lost(ship: Any, way: Any, words: tuple[str, ...]) -> None:
    service, shipper = ship()
    lost = way(shipper, "upload", URL, *words)
    assert lost.code == 19, lost
    assert NEW in lost.err
    assert "Traceback" not in lost.err
    assert (len(service.writes), shipper.ledger(), shipper.ledger("upload_id")) == (1, ["done"], [NEW])


@pytest.mark.parametrize("way", WAYS)
@MODES
def test_later_steps_get_the_id_of_a_lost_result(ship: Any, way: Any, words: tuple[str, ...], tmp_path: Path) -> None:
    output = tmp_path / "output"
    _, shipper = ship(GITHUB_ACTIONS="true", GITHUB_OUTPUT=str(output))
    assert way(shipper, "upload", URL, *words).code == 19
    assert github_file(output.read_text())["upload-id"] == NEW


def test_id_of_a_lost_result_is_shown_by_builds_where_the_service_has_no_list(ship: Any) -> None:
    service, shipper = ship()
    service.on_read = lambda _request: answer(405, {"message": "no list"})
    assert gone_reader(shipper, "upload", URL).code == 19
    assert [build["uploadId"] for build in json.loads(shipper.run("builds", "--json").out)] == [NEW]


@pytest.mark.parametrize("way", WAYS)
def test_error_object_of_a_lost_result_reports_that_it_happened(ship: Any, way: Any) -> None:
    _, shipper = ship()
    lost = way(shipper, "upload", URL, "--json")
    error = lost.error
    assert (error["kind"], error["exitCode"], error["outcome"], error["uploadId"]) == ("output-lost", 19, "done", NEW)
    assert error["retryable"] is False
    assert f"spcli builds show {NEW}" in error["hint"]


@pytest.mark.parametrize("way", WAYS)
def test_lost_result_of_a_release_is_19_too(ship: Any, way: Any) -> None:
    service, shipper = ship()
    lost = way(shipper, "distribute", OLD, "--json")
    assert (lost.code, lost.error["outcome"], lost.error["uploadId"]) == (19, "done", OLD), lost
    assert (len(service.writes), shipper.ledger()) == (1, ["done"])


@pytest.mark.parametrize("way", WAYS)
def test_lost_unbuffered_output_is_19_too(ship: Any, way: Any) -> None:
    _, shipper = ship(PYTHONUNBUFFERED="1")
    assert way(shipper, "upload", URL, "--json").code == 19


@pytest.mark.parametrize("argv", [("upload", URL), ("upload", URL, "--json"), ("distribute", OLD)], ids=" ".join)
def test_closed_stdout_is_noticed_before_anything_is_sent(ship: Any, argv: tuple[str, ...]) -> None:
    service, shipper = ship()
    refused = closed_stdout(shipper, *argv)
    assert refused.returncode == 2, refused
    assert "nothing was sent" in refused.stderr
    if "--json" in argv:
        error = json.loads(refused.stderr.splitlines()[-1])["error"]
        assert (error["outcome"], error["retryable"]) == ("not_sent", False)
    assert service.writes == []


def test_lost_result_of_a_read_is_141_and_silent(ship: Any) -> None:
    _, shipper = ship()
    lost = gone_reader(shipper, "builds", "--json")
    assert (lost.code, lost.err) == (141, "")


@FULL
def test_full_disk_under_a_read_is_reported(ship: Any) -> None:
    _, shipper = ship()
    lost = full_disk(shipper, "builds")
    assert lost.code == 141
    assert "No space left" in lost.err
    assert "Traceback" not in lost.err


def test_closed_stderr_changes_nothing(ship: Any) -> None:
    service, shipper = ship()
    from tests.faults.shipping import command

    sent = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command(), "upload", URL, "-q"],
        env=shipper.environ,
        stdout=subprocess.PIPE,
        timeout=30,
    )
    assert (sent.returncode, sent.stdout.decode().strip()) == (0, NEW)
    assert len(service.writes) == 1
