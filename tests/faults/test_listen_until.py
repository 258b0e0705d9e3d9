"""`spcli webhooks listen --until` as a process: when the wait ends, and with which result. Also its usage errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spcli.sandbox.seeds import MAIN
from tests.faultd import Behaviour, FaultServer, Request, answer
from tests.faults.listening import UNREACHABLE, Listener, answering, event, project, take_script
from tests.front import Front

pytest.importorskip("uvicorn")
UNTIL = ("--until", "build.approved", "--upload-id", "u1")


@pytest.mark.parametrize(
    ("name", "code", "base_url"), [("build.approved", 0, UNREACHABLE), ("build.rejected", 10, None)], ids=["approved", "rejected"]
)
def test_until_ends_with_the_events_result_where_the_service_cannot_be_asked(
    listen: Callable[..., Listener], name: str, code: int, base_url: str | None
) -> None:
    with answering(405, {"message": "no build list"}) as service:
        listener = listen(*UNTIL, base_url=base_url or service.url)
        listener.post(event("other"))
        listener.post(event("u1", name))
        assert listener.ended()[0] == code


def test_until_does_not_believe_an_event_that_the_service_denies(listen: Callable[..., Listener]) -> None:
    with answering(200, project("Downloading Files")) as service:
        listener = listen(*UNTIL, "--deadline", "2s", base_url=service.url)
        listener.post(event("u1"))
        code, _out, err = listener.ended()
    assert code == 11, err
    assert "the service reports Downloading Files" in err


@pytest.mark.parametrize(("status", "code"), [("Approved", 0), ("Reject", 10)])
def test_until_ends_without_an_event_when_the_build_has_ended_already(
    listen: Callable[..., Listener], status: str, code: int
) -> None:
    with answering(200, project(status)) as service:
        ended, out, err = listen(*UNTIL, "--deadline", "30s", base_url=service.url).ended()
    assert (ended, out) == (code, ""), err
    assert f"the service reports {status}" in err


@pytest.mark.parametrize(
    ("status", "body", "codes"), [(200, project("Approved", "other"), {11, 13}), (401, {"message": "No"}, {41})]
)
def test_until_does_not_believe_an_event_that_the_service_does_not_know(
    listen: Callable[..., Listener], status: int, body: Any, codes: set[int]
) -> None:
    """Whatever project the event names, the configured one is asked."""
    with answering(status, body) as service:
        listener = listen(*UNTIL, "--deadline", "1.5s", base_url=service.url)
        listener.post(event("u1"))
        code, _out, err = listener.ended()
    assert code in codes, err


def test_until_compares_ids_without_letter_case(listen: Callable[..., Listener]) -> None:
    upload_id, project_id = "665a2b3c4d5e6f7a8b9c0e1f", MAIN.projects[0].id

    def handler(request: Request) -> Behaviour:
        is_known = request.path == f"/projects/{project_id}"
        return answer(200, project("Approved", upload_id)) if is_known else answer(404, {"message": "Project not found"})

    words = ("--until", "build.approved", "--upload-id", upload_id.upper(), "--deadline", "30s")
    with FaultServer(handler=handler, strict=False) as service:
        code, _out, err = listen(*words, base_url=service.url, project_id=project_id.upper()).ended()
    assert (code, "the service reports Approved" in err) == (0, True), err


def test_until_ends_at_the_deadline(listen: Callable[..., Listener]) -> None:
    code, out, err = listen("--until", "build.approved", "--deadline", "0.3s").ended()
    assert (code, out) == (11, ""), err


def test_command_runs_for_the_event_that_ends_the_wait_too(listen: Callable[..., Listener], tmp_path: Path) -> None:
    slow = "name = json.load(sys.stdin)['event']\ntime.sleep(name == 'build.saving')\nopen(got, 'a').write(name + '\\n')\n"
    with answering(200, project("Approved")) as service:
        listener = listen("--exec", take_script(tmp_path, slow), "--until", "build.approved", base_url=service.url)
        listener.post(event("u1", "build.saving"))
        listener.post(event("u1"))
        code, _out, err = listener.ended()
    assert code == 0, err
    assert (tmp_path / "got").read_text().split() == ["build.saving", "build.approved"]


@pytest.mark.parametrize(
    ("words", "blamed"),
    [
        (("--path-token", "short"), "--path-token"),
        (("--public-url", "ftp://x"), "--public-url"),
        (("--public-url", "https://hooks.example.com:99999"), "--public-url"),
        (("--forward-to", "http://example.com/"), "--forward-to"),
        (("--forward-to", "http://127.0.0.1:99999/x"), "--forward-to"),
        (("--forward-to", "http://127.0.0.1:9/\u00e9"), "--forward-to"),
        (("--exec", "'unclosed"), "--exec"),
        (("--exec", "/no/such/program"), "--exec"),
        (("--until", "x"), "--until"),
        (("--host", "192.0.2.1"), "--host"),
        (("-q",), "--path-token"),
    ],
)
def test_options_that_cannot_be_used_are_usage_errors(spcli: Front, words: tuple[str, ...], blamed: str) -> None:
    refused = spcli("webhooks", "listen", *words)
    assert refused.code == 2, refused
    assert blamed in refused.err
