"""`spcli upload`."""

import json
from typing import Any

import pytest

from spcli.sandbox.seeds import INACTIVE, MAIN, OTHER, SHOWROOM
from tests.front import Front, uploads

URL = "https://builds.example.com/Game-1.4.zip"


@pytest.mark.parametrize("generation", ["paged", "status"])
def test_upload_sends_exactly_the_documented_fields(spcli: Front, service: Any, generation: str) -> None:
    server = service(generation=generation)
    sent = spcli("upload", URL, "--json")
    assert sent.code == 0, sent
    (record,) = uploads(server)
    assert json.loads(record.body) == {
        "apiKey": MAIN.api_key,
        "userId": MAIN.user_id,
        "projectId": SHOWROOM.id,
        "fileUrl": URL,
        "autoRelease": True,
    }
    assert record.query == ()


def test_the_line_end_of_a_windows_file_is_no_part_of_the_url(spcli: Front, service: Any) -> None:
    server = service()
    sent = spcli("upload", f"{URL}?X-Amz-Signature=abc\r", "--json")
    assert (sent.code, sent.json["fileUrl"]) == (0, URL)
    (record,) = uploads(server)
    assert json.loads(record.body)["fileUrl"] == f"{URL}?X-Amz-Signature=abc"
    assert spcli("check", "https://127.0.0.1:1/Game.zip\r", "--json").json["target"] == "https://127.0.0.1:1/Game.zip"


def test_upload_result_has_the_id_and_how_it_is_known(spcli: Front, service: Any) -> None:
    server = service()
    result = spcli("upload", URL, "--no-auto-release", "--json").json
    newest = server.world.builds_of(SHOWROOM.id)[0]
    assert result == {
        "uploadId": newest.id,
        "projectId": SHOWROOM.id,
        "fileUrl": URL,
        "autoRelease": False,
        "message": "Build queued for processing",
        "confirmedBy": "response",
        "build": None,
    }


def test_quiet_upload_prints_the_bare_id(spcli: Front, service: Any) -> None:
    server = service()
    sent = spcli("upload", URL, "-q")
    assert sent.out == server.world.builds_of(SHOWROOM.id)[0].id + "\n"
    assert sent.err == ""


def test_presigned_query_is_sent_but_never_shown(spcli: Front, service: Any, tmp_path: Any) -> None:
    server = service()
    sent = spcli("upload", URL + "?X-Amz-Signature=5ec4e7", "--json", "-v")
    assert json.loads(uploads(server)[0].body)["fileUrl"].endswith("5ec4e7")
    assert sent.json["fileUrl"] == URL
    assert "5ec4e7" not in sent.out + sent.err
    state = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"5ec4e7" not in state
    assert MAIN.user_id.encode() not in state


def test_upload_with_wait_ends_with_the_build_and_the_share_url(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("upload", URL, "--wait")
    assert sent.code == 0, sent
    lines = sent.out.splitlines()
    assert lines[0].startswith("upload id:")
    assert f"https://share.streampixel.io/{SHOWROOM.id}" in sent.out
    assert "Downloading Files" in sent.err


def test_upload_with_wait_and_json_tells_the_id_at_once_on_stderr(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("upload", URL, "--wait", "--json")
    assert sent.json["build"]["state"] == "approved"
    assert sent.json["uploadId"] in sent.err.splitlines()[0]


def test_rejected_build_is_exit_10_with_the_objection_and_the_result(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "--wait", "--json")
    assert (sent.code, sent.error["kind"], sent.error["outcome"]) == (10, "rejected", "done")
    assert sent.json["build"]["objection"] == sent.error["message"]
    assert sent.error["uploadId"] == sent.json["uploadId"]


def test_deadline_is_exit_11_and_names_the_command_that_waits_on(spcli: Front, service: Any) -> None:
    service(stage=10_000)
    sent = spcli("upload", URL, "--wait", "--deadline", "10m", "--json")
    assert (sent.code, sent.error["kind"], sent.error["outcome"]) == (11, "deadline", "done")
    assert f"spcli builds wait {sent.json['uploadId']}" in sent.error["hint"]


def test_dry_run_prints_the_request_and_sends_nothing(spcli: Front, service: Any) -> None:
    server = service()
    shown = spcli("upload", URL + "?sig=5ec4e7", "--dry-run", "--json")
    assert shown.json["body"]["apiKey"] == "****"
    assert shown.json["body"]["fileUrl"] == URL
    assert "autoRelease:  true\n" in spcli("upload", URL, "--dry-run").out
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://host/a.zip", "https://"),
        ("https://user:pw@host/a.zip", "user or password"),
        ("https:///a.zip", "no host"),
        ("https://host/a b.zip", "position 15"),
        ("Game.zip", "pass its direct https link"),
        ("C:\\builds\\Game.zip", "pass its direct https link"),
        ("", "empty"),
        ("https://host:99999/a.zip", "port"),
    ],
)
def test_bad_url_is_a_usage_error_before_any_call(spcli: Front, service: Any, url: str, says: str) -> None:
    server = service()
    sent = spcli("upload", url, "--json")
    assert (sent.code, sent.error["kind"], sent.error["outcome"], sent.out) == (2, "usage", "not_sent", "")
    assert says in sent.error["message"] + sent.error["hint"]
    assert "pw" not in sent.err
    assert server.requests == []


@pytest.mark.parametrize(("url", "says"), [("https://host.example/Game.rar", ".zip"), (URL + "?a=b", "query")])
def test_upload_prints_findings_about_the_url_as_notes(spcli: Front, service: Any, url: str, says: str) -> None:
    service(faults=("upload:400",))
    assert says in spcli("upload", url).err


def test_refusals_reach_the_operator_word_for_word(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("upload", URL, "-p", OTHER.projects[0].id)
    assert sent.code == 43
    assert sent.err.startswith("Forbidden: project does not belong to this user")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 40, "http-400"),
        (401, 41, "http-401"),
        (403, 43, "http-403"),
        (404, 44, "http-404"),
        (415, 45, "http-415"),
        (418, 48, "http-4xx"),
    ],
)
def test_each_refusal_has_its_exit_code_and_is_sent_once(spcli: Front, service: Any, status: int, code: int, kind: str) -> None:
    server = service(faults=(f"upload:{status}x*",))
    sent = spcli("upload", URL, "--json")
    assert (sent.code, sent.error["kind"], sent.error["status"], sent.error["outcome"]) == (code, kind, status, "refused")
    assert len(uploads(server)) == 1


def test_second_upload_waits_for_the_window_and_says_when(spcli: Front, service: Any) -> None:
    server = service()
    spcli("upload", URL)
    second = spcli("upload", URL)
    assert second.code == 0, second
    assert "Rate limit: uploading at" in second.err
    assert len(uploads(server)) == 2


def test_closed_window_with_on_limit_fail_is_exit_49_and_nothing_is_sent(spcli: Front, service: Any) -> None:
    server = service()
    spcli("upload", URL)
    second = spcli("upload", URL, "--on-limit", "fail", "--json")
    assert (second.code, second.error["outcome"], second.error["retryAfter"], second.error["retryable"]) == (
        49,
        "not_sent",
        120,
        True,
    )
    assert len(uploads(server)) == 1


def test_wait_longer_than_max_wait_fails_at_once(spcli: Front, service: Any, clock: Any) -> None:
    service()
    spcli("upload", URL)
    before = clock.seconds
    second = spcli("upload", URL, "--max-wait", "1m", "--json")
    assert (second.code, second.error["outcome"]) == (49, "not_sent")
    assert clock.seconds - before < 5


def test_upload_right_after_another_says_so_and_goes_on(spcli: Front, service: Any) -> None:
    service()
    first = spcli("upload", URL, "--json").json["uploadId"]
    second = spcli("upload", URL)
    assert first in second.err
    assert second.code == 0


def test_inactive_project_is_accepted_as_the_service_does(spcli: Front, service: Any) -> None:
    service()
    assert spcli("upload", URL, "-p", INACTIVE.id).code == 0


@pytest.mark.parametrize("words", [("--deadline", "1h"), ("--interval", "5s")])
def test_options_of_a_wait_need_the_wait(spcli: Front, service: Any, words: tuple[str, str]) -> None:
    server = service()
    assert spcli("upload", URL, *words).code == 2
    assert server.requests == []


@pytest.mark.parametrize("text", ["", "x", "1d", "-5", "1h30", "1e3", "5 m 2", "∞"])
def test_malformed_duration_is_a_usage_error(spcli: Front, service: Any, text: str) -> None:
    server = service()
    found = spcli("upload", URL, "--max-wait", text)
    assert found.code == 2, found
    if found.code:
        assert server.requests == []
