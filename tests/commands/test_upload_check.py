"""The check that `spcli upload` makes first."""

import time
from typing import Any

import pytest

from spcli.check import check_before_upload
from spcli.check.url import judge_url
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.output import Output
from spcli.sandbox.seeds import MAIN
from tests.checking import CANARY, SIGNED, always, codes, run_check
from tests.faults.rangeserver import RangeServer, Reply
from tests.faults.zips import zipped
from tests.front import Front, uploads


def test_upload_stops_at_a_bad_file_and_keeps_its_turn(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(zipped({"readme.txt": b""})) as host:
        result = spcli("upload", host.url(SIGNED), "--json")
        assert (result.code, result.error["kind"], result.error["outcome"]) == (12, "bad-file", "not_sent")
        assert result.out == ""
        assert "--no-check" in result.error["hint"]
        assert uploads(server) == []
        assert [limit["secondsLeft"] for limit in spcli("limits", "--json").json] == [0, 0]
        assert spcli("upload", host.url(SIGNED), "--no-check").code == 0
        assert len(uploads(server)) == 1


def test_upload_checks_the_file_first_and_sends_the_host_no_key(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(zipped()) as host:
        result = spcli("upload", host.url(SIGNED), "-v")
        assert result.code == 0, result
        assert len(host.seen) >= 2
        assert MAIN.api_key not in f"{host.seen}"
    assert len(uploads(server)) == 1
    assert CANARY not in result.out + result.err


@pytest.mark.parametrize("fault", [always(503), always(429), always(206, b"abcd", Content_Range="bytes 4-7/900")])
def test_upload_goes_on_with_a_note_after_an_uncertain_error(spcli: Front, service: Any, fault: Any) -> None:
    server = service()
    with RangeServer(b"", fault=fault) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0
    assert "note: check: the storage host answered" in result.err
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda seen, number: Reply(200, {"Content-Length": "900"}, b"PK", drop=True),
        always(200, b"\x1f\x8b12", Content_Encoding="gzip"),
    ],
    ids=["broke off", "packed once more"],
)
def test_an_answer_without_usable_bytes_does_not_stop_an_upload(spcli: Front, service: Any, fault: Any) -> None:
    server = service()
    with RangeServer(b"", fault=fault) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0, result
    assert "note: check:" in result.err
    assert len(uploads(server)) == 1


def test_a_deep_executable_is_an_error_but_does_not_stop_an_upload(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(zipped({"builds/Game-1.4/Windows/Game.exe": b"MZ"})) as host:
        assert codes(run_check(spcli, host)) == ["no-exe"]
        result = spcli("upload", host.url("Game.zip"))
    assert (result.code, "not a folder around it" in result.err) == (0, True)
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(
    "target", [f"bucket.example.com/Game.zip?X-Amz-Signature={CANARY}", f"https://user:pa/{CANARY}@host.example.com/Game.zip"]
)
def test_no_signature_or_password_of_a_malformed_link_is_shown(spcli: Front, target: str) -> None:
    result = spcli("check", target, "--json")
    assert result.code == 12
    assert CANARY not in result.out + result.err


def test_a_link_without_its_scheme_is_recognised(spcli: Front) -> None:
    link = "builds.example.com/Game.zip"
    assert f"https://{link}" in spcli("check", link, "--json").json["findings"][0]["hint"]
    refused = spcli("upload", link, "--json")
    assert (refused.code, refused.error["hint"]) == (2, f"did you mean https://{link}?")
    assert "local file" in spcli("upload", "Game-1.4.zip").err
    assert "local file" in spcli("upload", "builds/Game.zip").err


def test_upload_from_an_unreachable_host_continues_with_a_note(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(b"") as host:
        url = host.url("Game.zip")
    result = spcli("upload", url)
    assert result.code == 0
    assert "note: check:" in result.err
    assert "refused the connection" in result.err
    assert len(uploads(server)) == 1


def test_upload_prints_each_warning_once(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(zipped({"Game.exe": b""})) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0
    assert "note: check: beside Game.exe" in result.err
    assert result.err.count("the URL is http") == 1


def test_a_sandbox_upload_does_not_check_a_file_elsewhere(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(b"", fault=always(404)) as proxy:
        result = spcli("upload", "http://builds.example.com/Game.zip", env={"HTTP_PROXY": proxy.url("")})
        assert proxy.seen == []
    assert result.code == 0
    assert "check:" not in result.err
    assert len(uploads(server)) == 1


def test_a_dry_run_sends_the_host_no_request(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(b"", fault=always(404)) as host:
        assert spcli("upload", host.url("Game.zip"), "--dry-run").code == 0
        assert host.seen == []


def test_an_earlier_unclear_upload_is_settled_before_its_link_is_checked(spcli: Front, service: Any) -> None:
    gone: list[bool] = []
    with RangeServer(zipped(), fault=lambda seen, number: Reply(403) if gone else None) as host:
        blind = service(faults=("upload:close-after-store", "project:500x*"))
        assert spcli("upload", host.url(SIGNED)).code == 61
        reads = sum(record.method == "GET" for record in blind.requests)
        server = service(faults=("upload:close-after-store", f"project:500x{reads}"))
        assert spcli("upload", host.url(SIGNED)).code == 61
        assert server.faults_left == []
        gone.append(True)
        again = spcli("upload", host.url(SIGNED), "--json")
    assert again.code == 0, again
    assert again.json["confirmedBy"] == "build-list"
    assert len(uploads(server)) == 1


def test_with_the_real_service_a_public_file_is_checked_before_the_upload(spcli: Front) -> None:
    with RangeServer(b"", fault=always(404)) as proxy:
        account = {"STREAMPIXEL_API_KEY": MAIN.api_key, "STREAMPIXEL_USER_ID": MAIN.user_id}
        findings = judge_url(f"http://builds.example.com/{SIGNED}", now=spcli.clock.wall(), local_api=False)
        with pytest.raises(SpcliError) as stopped:
            check_before_upload(
                f"http://builds.example.com/{SIGNED}",
                findings,
                clock=Clock(),
                environ={"HTTP_PROXY": proxy.url(""), **account},
                output=Output(None, None, None, {}),
                local_api=False,
            )
        assert len(proxy.seen) == 1
    assert (stopped.value.kind, stopped.value.outcome) == ("bad-file", "not_sent")
    assert CANARY not in f"{stopped.value.message}{stopped.value.hint}"


@pytest.mark.parametrize("filling", [b" ", b"\t", b"\r\n", b"<", b"\xef\xbb\xbf ", b"<Code>"])
def test_a_body_of_blanks_does_not_hold_up_an_upload(spcli: Front, service: Any, filling: bytes) -> None:
    server = service()
    body = filling * (64 * 1024 // len(filling))
    with RangeServer(body, ranges=False) as host:
        started = time.process_time()
        stopped = spcli("upload", host.url("Game.zip"))
        with RangeServer(b"", fault=always(403, body)) as other:
            spcli("upload", other.url("Game.zip"))
        assert time.process_time() - started < 4
    assert stopped.code == 12
    assert len(uploads(server)) == 1
