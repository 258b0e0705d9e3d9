"""`spcli check`, and the look that `spcli upload` takes first."""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import pytest

from spcli.check import before_upload, check_url
from spcli.runtime import Runtime
from spcli.sandbox.seeds import MAIN
from tests.faults.rangeserver import Asked, RangeServer, Reply
from tests.faults.zips import GOOD, crowded, sparse, zipped
from tests.front import Front, Result, uploads

LOCAL_API = {"STREAMPIXEL_BASE_URL": "http://127.0.0.1:1/x"}
CANARY = "5ec4e7C4N4RY"
SIGNED = f"builds/Game%201.4.zip?X-Amz-Date=20260921T141320Z&X-Amz-Expires=43200&X-Amz-Signature={CANARY}%2F+x&a=b"
HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"


def checked(spcli: Front, host: RangeServer, *options: str, path: str = SIGNED) -> Result:
    """The check of the host's file, after which no signature may show and no HEAD may have been sent."""
    result = spcli("check", host.url(path), "--json", *options, env=LOCAL_API)
    assert CANARY not in result.out + result.err
    assert {asked.method for asked in host.asked} <= {"GET"}
    assert host.sent < 200_000
    return result


def codes(result: Result, *levels: str) -> list[str]:
    return [one["code"] for one in result.json["findings"] if one["level"] in (levels or ("error",))]


def always(status: int, body: bytes = b"", **headers: str) -> Callable[[Asked, int], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda asked, number: Reply(status, named, body)


def test_a_good_zip_is_ok_and_read_by_ranges_alone(spcli: Front) -> None:
    big = zipped({**GOOD, "Windows/Game/Content/Paks/b.pak": os.urandom(3_000_000)})
    with RangeServer(big) as host:
        result = checked(spcli, host)
        assert result.code == 0, result
        assert list(result.json) == ["target", "size", "ok", "findings", "entries"]
        assert {tuple(one) for one in result.json["findings"]} == {("level", "code", "message", "hint")}
        assert result.json["target"] == host.url("builds/Game%201.4.zip")
        assert (result.json["size"], result.json["ok"], result.json["entries"]) == (len(big), True, len(GOOD) + 1)
        assert codes(result) == []
        assert codes(result, "warning") == ["http"]
        assert all(asked.headers["range"].startswith("bytes=") for asked in host.asked)
        assert len(host.asked) <= 3


def test_the_link_goes_out_byte_for_byte_and_nothing_of_ours_with_it(spcli: Front) -> None:
    with RangeServer(zipped()) as host:
        secret = {"STREAMPIXEL_API_KEY": MAIN.api_key, "STREAMPIXEL_USER_ID": MAIN.user_id}
        spcli("check", host.url(f"{SIGNED}#part"), env={**LOCAL_API, **secret})
        assert {asked.target for asked in host.asked} == {f"/{SIGNED}"}
        for asked in host.asked:
            assert set(asked.headers) == {"host", "accept", "accept-encoding", "connection", "range", "user-agent"}
            assert asked.headers["accept-encoding"] == "identity"
            assert MAIN.api_key not in f"{asked}"
            assert MAIN.user_id not in f"{asked}"


def test_people_get_a_line_for_each_finding_and_a_verdict(spcli: Front) -> None:
    with RangeServer(zipped({"readme.txt": b"x"})) as host:
        result = spcli("check", host.url("Game.zip"), env=LOCAL_API)
    lines = result.out.splitlines()
    assert result.code == 12
    assert lines[0].startswith("error: there is no .exe in the zip at depth 2 or less; package it in Unreal")
    assert lines[1].startswith("warning: the URL is http")
    assert lines[-1] == "bad: Game.zip, 121 bytes, 1 entry"
    assert result.err.startswith("there is no .exe")


def test_a_bad_verdict_is_on_stdout_and_the_error_on_stderr(spcli: Front) -> None:
    with RangeServer(b"", fault=always(404)) as host:
        result = checked(spcli, host)
    assert (result.code, result.json["ok"], result.json["entries"]) == (12, False, None)
    assert (result.error["kind"], result.error["exitCode"], result.error["retryable"]) == ("bad-file", 12, False)
    assert (result.error["status"], result.error["outcome"]) == (None, None)


QUOTING = f"<?xml version='1.0'?><Error><Code>AccessDenied</Code><StringToSign>{CANARY}</StringToSign></Error>".encode()


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (always(302, Location=f"https://login.example.com/?token={CANARY}"), "redirect", "to login.example.com (HTTP 302)"),
        (always(307, Location="https://[bad"), "redirect", "the link redirects (HTTP 307)"),
        (always(404), "http-error", "answered 404"),
        (always(403, QUOTING), "http-error", "answered 403 AccessDenied"),
        (always(503), "http-error", "answered 503"),
        (always(204), "http-error", "answered 204"),
        (always(416), "empty", "the file is empty"),
        (always(200, HTML, Content_Type="text/html; charset=utf-8"), "html", "a web page"),
        (always(200, HTML, Content_Type="application/zip"), "html", "a web page"),
        (always(206, b"<!DO", Content_Type="text/html", Content_Range="bytes 0-3/900"), "html", "a web page"),
        (always(200, b'{"a":1}', Content_Type="application/json"), "not-zip", "no zip file but application/json"),
        (always(206, b"Rar!", Content_Range="bytes 0-3/900"), "not-zip", "a RAR archive"),
        (always(200, b"\x1f\x8b12", Content_Encoding="gzip"), "not-zip", "a gzip file"),
        (always(200, b"PK\5\6" + b"\0" * 18), "empty", "the zip is empty"),
        (always(200, b""), "empty", "the file is empty"),
        (always(206, b"abcd", Content_Range="bytes 4-7/900"), "odd-answer", "another part"),
    ],
)  # fmt: skip
def test_what_is_no_zip_is_an_error(spcli: Front, fault: Any, code: str, says: str) -> None:
    with RangeServer(zipped(), fault=fault) as host:
        result = checked(spcli, host, "-v")
    assert result.code == 12
    (found,) = (one for one in result.json["findings"] if one["level"] == "error")
    assert found["code"] == code
    assert says in found["message"]
    assert found["hint"] or code == "http-error"


@pytest.mark.parametrize("told", [{"Content_Range": "bytes 0-3/900"}, {"Content_Range": "bytes 0-3/*"}, {}])
def test_a_part_that_is_not_the_one_asked_for_but_begins_like_a_zip_is_a_doubt(spcli: Front, told: dict[str, str]) -> None:
    with RangeServer(b"", fault=always(206, b"PK\3\4more", **told)) as host:
        result = checked(spcli, host)
    assert (result.code, codes(result, "warning"), result.json["size"]) == (0, ["http", "no-ranges"], None)


def test_a_host_without_ranges_is_a_doubt_and_is_not_drained(spcli: Front) -> None:
    with RangeServer(zipped({"a.exe": bytes(40_000_000)}, method=ZIP_STORED), ranges=False) as host:
        result = spcli("check", host.url("Game.zip"), "--json", env=LOCAL_API)
        assert (result.code, codes(result, "error", "warning")) == (0, ["http", "no-ranges"])
        assert result.json["size"] == host.size
        assert host.sent < 20_000_000  # what the sockets' buffers took


def test_a_small_file_from_a_host_without_ranges_is_judged_all_the_same(spcli: Front) -> None:
    with RangeServer(zipped({"a.txt": b""}), ranges=False) as host:
        result = checked(spcli, host)
    assert codes(result) == ["no-exe"]
    assert result.json["entries"] == 1


@pytest.mark.parametrize(
    ("later", "code"),
    [
        (Reply(500), "not-read"),
        (Reply(200, {}, b"all of it"), "not-read"),
        (Reply(206, {"Content-Range": "bytes 0-3/9", "ETag": '"1"'}, b"PK\3\4"), "changing"),
        (Reply(206, {"Content-Range": "bytes 0-99/SIZE", "ETag": '"2"'}, b"x" * 100), "changing"),
        (Reply(206, {"Content-Range": "bytes 0-3/SIZE", "ETag": '"1"'}, b"PK\3\4"), "not-read"),
        (Reply(206, {"Content-Range": "bytes FIRST-LAST/SIZE", "ETag": '"1"'}, b"x" * 1000, drop=True), "not-read"),
        (Reply(206, {"ETag": '"1"'}, b"x" * 100), "changing"),
    ],
)
def test_a_host_that_answers_otherwise_the_second_time_is_a_doubt(spcli: Front, later: Reply, code: str) -> None:
    data = zipped()
    parts = {"SIZE": str(len(data)), "FIRST": "0", "LAST": str(len(data) - 1)}

    def fault(asked: Asked, number: int) -> Reply | None:
        text = dict(later.headers)
        for name, value in parts.items():
            text = {key: field.replace(name, value) for key, field in text.items()}
        return later._replace(headers=text) if number > 1 else None

    with RangeServer(data, fault=fault) as host:
        result = checked(spcli, host)
    assert (result.code, codes(result, "warning")) == (0, ["http", code]), result
    assert spcli("check", "--strict", "x").code == 12


def test_a_host_that_hangs_up_the_second_time_is_a_doubt(spcli: Front) -> None:
    def fault(asked: Asked, number: int) -> Reply | None:
        if number > 1:
            raise ConnectionAbortedError
        return None

    with RangeServer(zipped(), fault=fault) as host:
        result = checked(spcli, host)
        assert len(host.asked) == 3
    assert (result.code, codes(result, "warning")) == (0, ["http", "not-read"])


def test_https_is_verified_against_the_authorities_of_the_environment(spcli: Front, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], cwd=tmp_path, check=True, capture_output=True
    )
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    with RangeServer(zipped(), tls=(certificate, key)) as host:
        url = host.url(SIGNED)
        trusted = spcli("check", url, "--json", env={**LOCAL_API, "SSL_CERT_FILE": certificate})
        assert (trusted.code, trusted.json["entries"], codes(trusted, "warning")) == (0, len(GOOD), [])
        assert codes(spcli("check", url, "--json", env=LOCAL_API)) == ["unreachable"]
        assert spcli("check", url, "--json", env={**LOCAL_API, "SSL_CERT_FILE": "/none"}).code == 3


def test_a_connection_closed_between_two_ranges_is_opened_again(spcli: Front) -> None:
    def fault(asked: Asked, number: int) -> Reply | None:
        first = zipped()[:4]
        return (
            Reply(206, {"Content-Range": f"bytes 0-3/{len(zipped())}", "ETag": '"1"', "Connection": "close"}, first)
            if number == 1
            else None
        )

    with RangeServer(zipped(), fault=fault) as host:
        assert checked(spcli, host).json["entries"] == len(GOOD)


def test_damaged_encrypted_and_hostile_archives_fail(spcli: Front) -> None:
    encrypted = bytearray(zipped())
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    cases = {"damaged": zipped()[:-30], "encrypted": bytes(encrypted), "unsafe-path": zipped({**GOOD, "../evil.exe": b""})}
    for code, data in cases.items():
        with RangeServer(data) as host:
            result = checked(spcli, host)
        assert (result.code, codes(result)) == (12, [code])


def test_strict_turns_warnings_into_failure(spcli: Front, tmp_path: Path) -> None:
    path = tmp_path / "Game.zip"
    path.write_bytes(zipped({"Game.exe": b""}))
    lax, strict = (spcli("check", str(path), "--json", *more) for more in ((), ("--strict",)))
    assert (lax.code, lax.json["ok"], codes(lax, "warning")) == (0, True, ["no-engine"])
    assert (strict.code, strict.json["ok"], strict.error["kind"]) == (12, False, "bad-file")


def test_an_unreachable_host_fails_the_check(spcli: Front) -> None:
    with RangeServer(b"") as host:
        url = host.url(SIGNED)
    result = spcli("check", url, "--json", env=LOCAL_API)
    assert (result.code, codes(result)) == (12, ["unreachable"])
    assert CANARY not in result.out + result.err


def test_a_dripping_host_does_not_hold_the_check(tmp_path: Path) -> None:
    def fault(asked: Asked, number: int) -> Reply | None:
        time.sleep(0.3)
        return None

    environ = {"SPCLI_CONFIG": str(tmp_path / "c"), **LOCAL_API}
    with RangeServer(zipped(), fault=fault) as host:
        report = check_url(runtime_of(environ), host.url("Game.zip"), seconds=0.1)
        assert len(host.asked) <= 1
    assert [finding.code for finding in report.findings if finding.level == "error"] == ["unreachable"]


def test_a_share_page_or_a_private_host_is_not_even_asked(spcli: Front) -> None:
    with RangeServer(zipped()) as host:
        assert codes(spcli("check", host.url("Game.zip"), "--json")) == ["private-host"]
        assert codes(spcli("check", "https://www.dropbox.com/s/a/Game.zip?dl=0", "--json")) == ["share-page"]
        assert codes(spcli("check", "ftp://example.com/Game.zip", "--json")) == ["scheme"]
        assert host.asked == []


def test_behind_a_proxy_a_public_host_is_looked_at_and_the_proxys_address_is_no_finding(spcli: Front) -> None:
    with RangeServer(zipped()) as proxy:
        result = spcli("check", f"http://builds.example.com/{SIGNED}", "--json", env={"HTTP_PROXY": proxy.url("")})
        assert codes(result, "error", "warning") == ["http"]
        assert {asked.target for asked in proxy.asked} == {f"http://builds.example.com/{SIGNED}"}


def test_a_proxy_that_wants_a_password_is_told_as_such(spcli: Front) -> None:
    with RangeServer(b"", fault=always(407)) as proxy:
        result = spcli("check", "http://builds.example.com/Game.zip", "--json", env={"HTTP_PROXY": proxy.url("")})
    assert "proxy asks for a user" in result.error["message"]


def test_a_local_file_is_judged_like_a_remote_one(spcli: Front, tmp_path: Path) -> None:
    path = tmp_path / "Game.zip"
    path.write_bytes(zipped())
    result = spcli("check", str(path), "--json", env={"STREAMPIXEL_BASE_URL": "never read"})
    assert result.code == 0, result
    assert result.json["target"] == str(path)
    assert (result.json["size"], result.json["entries"]) == (path.stat().st_size, len(GOOD))
    for content, code in ((b"", "empty"), (b"PK", "not-zip"), (HTML, "html"), (b"PK\3\4", "damaged"), (zipped()[:-9], "damaged")):
        path.write_bytes(content)
        assert codes(spcli("check", str(path), "--json")) == [code]


def test_a_path_without_a_zip_fails(spcli: Front, tmp_path: Path) -> None:
    assert codes(spcli("check", str(tmp_path / "none.zip"), "--json")) == ["no-file"]
    assert codes(spcli("check", "a\0b", "--json")) == ["no-file"]
    assert codes(spcli("check", str(tmp_path), "--json")) == ["not-zip"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert codes(spcli("check", str(tmp_path / "pipe"), "--json")) == ["not-zip"]


def test_a_size_over_the_soft_limit_is_a_doubt(spcli: Front) -> None:
    with RangeServer(b"", fault=always(206, b"PK\3\4", Content_Range="bytes 0-3/24000000001")) as host:
        result = checked(spcli, host)
    assert "large" in codes(result, "warning")
    assert result.json["size"] == 24_000_000_001


MEASURE = """
import resource, sys
from spcli.cli import main
from spcli.runtime import Runtime
from spcli.signals import Signals
code = main(sys.argv[1:], Runtime.of_process(Signals()))
if sys.platform == "linux":  # where ru_maxrss begins with that of the process which started this one
    peak = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(code, peak, file=sys.stderr)
"""


def measured(tmp_path: Path, url: str) -> tuple[int, float]:
    environ = {**os.environ, **LOCAL_API, "SPCLI_CONFIG": str(tmp_path / "c"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, "check", url, "--json"], env=environ, capture_output=True, text=True, check=True
    )
    code, peak = done.stderr.split()[-2:]
    return int(code), float(peak)


@pytest.mark.skipif(sys.platform == "win32", reason="measured with resource, on a file with holes")
def test_thirty_gigabytes_are_judged_by_a_few_kilobytes_and_in_a_hundred_mebibytes(tmp_path: Path) -> None:
    path = tmp_path / "Game.zip"
    sparse(path, 30_000_000_000)
    if path.stat().st_blocks * 512 > 1_000_000:
        pytest.skip("this file system keeps no holes")
    with RangeServer(path) as host:
        code, peak = measured(tmp_path, host.url("Game.zip"))
        assert host.sent < 200_000
    assert code == 0
    assert peak < 100 * 1024 * 1024


def test_two_hundred_thousand_entries_are_judged(spcli: Front, tmp_path: Path) -> None:
    path = tmp_path / "Game.zip"
    crowded(path, 200_000)
    with RangeServer(path) as host:
        result = spcli("check", host.url("Game.zip"), "--json", env=LOCAL_API)
    assert (result.code, result.json["entries"]) == (0, 200_000 + len(GOOD)), result


# The look before an upload.


def test_upload_stops_at_a_bad_file_and_spends_no_window(spcli: Front, service: Any) -> None:
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


def test_upload_of_a_good_file_looks_first_and_gives_the_host_no_key(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(zipped()) as host:
        result = spcli("upload", host.url(SIGNED), "-v")
        assert result.code == 0, result
        assert len(host.asked) >= 2
        assert MAIN.api_key not in f"{host.asked}"
    assert len(uploads(server)) == 1
    assert CANARY not in result.out + result.err


@pytest.mark.parametrize("fault", [always(503), always(429), always(206, b"abcd", Content_Range="bytes 4-7/900")])
def test_upload_only_notes_what_is_not_certain(spcli: Front, service: Any, fault: Any) -> None:
    server = service()
    with RangeServer(b"", fault=fault) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0
    assert "note: check: the storage host answered" in result.err
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        lambda asked, number: Reply(200, {"Content-Length": "900"}, b"PK", drop=True),
        always(200, b"\x1f\x8b12", Content_Encoding="gzip"),
    ],
    ids=["broke off", "packed once more"],
)
def test_an_answer_that_shows_nothing_of_the_file_stops_no_upload(spcli: Front, service: Any, fault: Any) -> None:
    server = service()
    with RangeServer(b"", fault=fault) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0, result
    assert "note: check:" in result.err
    assert len(uploads(server)) == 1


def test_an_executable_that_lies_deep_is_an_error_and_stops_no_upload(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(zipped({"builds/Game-1.4/Windows/Game.exe": b"MZ"})) as host:
        assert codes(checked(spcli, host)) == ["no-exe"]
        result = spcli("upload", host.url("Game.zip"))
    assert (result.code, "not one around it" in result.err) == (0, True)
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(
    "target", [f"bucket.example.com/Game.zip?X-Amz-Signature={CANARY}", f"https://user:pa/{CANARY}@host.example.com/Game.zip"]
)
def test_no_signature_or_password_shows_where_the_link_is_malformed(spcli: Front, target: str) -> None:
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


def test_upload_from_an_unreachable_host_goes_on_with_a_note(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(b"") as host:
        url = host.url("Game.zip")
    result = spcli("upload", url)
    assert result.code == 0
    assert "note: check:" in result.err
    assert "refused the connection" in result.err
    assert len(uploads(server)) == 1


def test_upload_tells_each_doubt_once(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(zipped({"Game.exe": b""})) as host:
        result = spcli("upload", host.url("Game.zip"))
    assert result.code == 0
    assert "note: check: beside Game.exe" in result.err
    assert result.err.count("http: anybody") == 1


def test_a_sandbox_upload_of_a_file_elsewhere_is_not_looked_at(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(b"", fault=always(404)) as proxy:
        result = spcli("upload", "http://builds.example.com/Game.zip", env={"HTTP_PROXY": proxy.url("")})
        assert proxy.asked == []
    assert result.code == 0
    assert "check:" not in result.err
    assert len(uploads(server)) == 1


def test_a_dry_run_looks_at_nothing(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(b"", fault=always(404)) as host:
        assert spcli("upload", host.url("Game.zip"), "--dry-run").code == 0
        assert host.asked == []


def test_an_earlier_unclear_upload_is_settled_before_its_expired_link_is_judged(spcli: Front, service: Any) -> None:
    gone: list[bool] = []
    with RangeServer(zipped(), fault=lambda asked, number: Reply(403) if gone else None) as host:
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


def runtime_of(environ: dict[str, str]) -> Runtime:
    return Runtime(environ, stdin=None, stdout=None, stderr=io.TextIOWrapper(io.BytesIO(), "utf-8"))


def test_with_the_real_service_a_public_file_is_looked_at_before_the_upload(tmp_path: Path) -> None:
    from spcli.errors import SpcliError

    with RangeServer(b"", fault=always(404)) as proxy:
        environ = {"SPCLI_CONFIG": str(tmp_path / "c"), "HTTP_PROXY": proxy.url("")}
        with pytest.raises(SpcliError) as stopped:
            before_upload(runtime_of(environ), f"http://builds.example.com/{SIGNED}")
        assert len(proxy.asked) == 1
    assert (stopped.value.kind, stopped.value.outcome) == ("bad-file", "not_sent")
    assert CANARY not in f"{stopped.value.message}{stopped.value.hint}"
