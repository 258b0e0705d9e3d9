"""`spcli check` of URLs and local files."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED

import pytest

from spcli.check import check_url
from spcli.check.archive import ENTRY_LIMIT
from spcli.clock import Clock
from spcli.sandbox.seeds import MAIN
from tests.checking import CANARY, HTML, LOCAL_API, SIGNED, always, codes, run_check
from tests.faults.rangeserver import RangeServer, Reply, Seen
from tests.faults.zips import GOOD, Raw, crowded, packaged, sparse, zipped
from tests.front import Front


def test_a_good_zip_is_ok_and_read_by_ranges_alone(spcli: Front) -> None:
    big = zipped({**GOOD, "Windows/Game/Content/Paks/b.pak": os.urandom(3_000_000)})
    with RangeServer(big) as host:
        result = run_check(spcli, host)
        assert result.code == 0, result
        assert list(result.json) == ["target", "size", "ok", "findings", "entries"]
        assert {tuple(one) for one in result.json["findings"]} == {("level", "code", "message", "hint")}
        assert result.json["target"] == host.url("builds/Game%201.4.zip")
        assert (result.json["size"], result.json["ok"], result.json["entries"]) == (len(big), True, len(GOOD) + 1)
        assert codes(result) == []
        assert codes(result, "warning") == ["http"]
        assert all(seen.headers["range"].startswith("bytes=") for seen in host.seen)
        assert len(host.seen) <= 3


def test_the_link_is_sent_byte_for_byte_without_credentials(spcli: Front) -> None:
    with RangeServer(zipped()) as host:
        secret = {"STREAMPIXEL_API_KEY": MAIN.api_key, "STREAMPIXEL_USER_ID": MAIN.user_id}
        spcli("check", host.url(f"{SIGNED}#part"), env={**LOCAL_API, **secret})
        assert {seen.target for seen in host.seen} == {f"/{SIGNED}"}
        for seen in host.seen:
            assert set(seen.headers) == {"host", "accept", "accept-encoding", "connection", "range", "user-agent"}
            assert seen.headers["accept-encoding"] == "identity"
            assert MAIN.api_key not in f"{seen}"
            assert MAIN.user_id not in f"{seen}"


def test_people_get_a_line_for_each_finding_and_the_result(spcli: Front) -> None:
    with RangeServer(zipped({"readme.txt": b"x"})) as host:
        result = spcli("check", host.url("Game.zip"), env=LOCAL_API)
    lines = result.out.splitlines()
    assert result.code == 12
    assert lines[0].startswith("error: there is no .exe in the zip at depth 2 or less; package it in Unreal")
    assert lines[1].startswith("warning: the URL is http")
    assert lines[-1] == "bad: Game.zip, 121 bytes, 1 entry"
    assert result.err.startswith("there is no .exe")


def test_a_bad_result_is_on_stdout_and_the_error_on_stderr(spcli: Front) -> None:
    with RangeServer(b"", fault=always(404)) as host:
        result = run_check(spcli, host)
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
        (always(206, b"<!DO", Content_Type="text/html", Content_Range="bytes 0-3/4"), "html", "a web page"),
        (always(200, b'{"a":1}', Content_Type="application/json"), "not-zip", "not a zip file but application/json"),
        (always(206, b"Rar!", Content_Range="bytes 0-3/4"), "not-zip", "a RAR archive"),
        (always(200, b"PK\5\6" + b"\0" * 18), "empty", "the zip is empty"),
        (always(200, b""), "empty", "the file is empty"),
        (always(206, b"abcd", Content_Range="bytes 4-7/900"), "odd-answer", "a different range"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_a_zip_is_an_error(spcli: Front, fault: Any, code: str, says: str) -> None:
    with RangeServer(zipped(), fault=fault) as host:
        result = run_check(spcli, host, "-v")
    assert result.code == 12
    (found,) = (one for one in result.json["findings"] if one["level"] == "error")
    assert found["code"] == code
    assert says in found["message"]
    assert found["hint"] or code == "http-error"


@pytest.mark.parametrize("told", [{"Content_Range": "bytes 0-3/900"}, {"Content_Range": "bytes 0-3/*"}, {}])
def test_a_wrong_range_that_begins_like_a_zip_is_a_warning(spcli: Front, told: dict[str, str]) -> None:
    with RangeServer(b"", fault=always(206, b"PK\3\4more", **told)) as host:
        result = run_check(spcli, host)
    assert (result.code, codes(result, "warning"), result.json["size"]) == (0, ["http", "no-ranges"], None)


def test_a_host_without_ranges_is_a_warning_and_is_not_drained(spcli: Front) -> None:
    with RangeServer(zipped({"a.exe": bytes(40_000_000)}, method=ZIP_STORED), ranges=False) as host:
        result = spcli("check", host.url("Game.zip"), "--json", env=LOCAL_API)
        assert (result.code, codes(result, "error", "warning")) == (0, ["http", "no-ranges"])
        assert result.json["size"] == host.size
        assert host.sent < 20_000_000  # the sockets' buffers


def test_a_small_file_from_a_host_without_ranges_is_judged(spcli: Front) -> None:
    with RangeServer(zipped({"a.txt": b""}), ranges=False) as host:
        result = run_check(spcli, host)
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
        (Reply(206, {"ETag": '"1"'}, b"x" * 100), "not-read"),
    ],
)
def test_a_different_answer_to_the_second_request_is_a_warning(spcli: Front, later: Reply, code: str) -> None:
    data = zipped()
    parts = {"SIZE": str(len(data)), "FIRST": "0", "LAST": str(len(data) - 1)}

    def fault(seen: Seen, number: int) -> Reply | None:
        text = dict(later.headers)
        for name, value in parts.items():
            text = {key: field.replace(name, value) for key, field in text.items()}
        return later._replace(headers=text) if number > 1 else None

    with RangeServer(data, fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, codes(result, "warning")) == (0, ["http", code]), result
    assert spcli("check", "--strict", "x").code == 12


def test_a_host_that_closes_the_second_connection_is_a_warning(spcli: Front) -> None:
    def fault(seen: Seen, number: int) -> Reply | None:
        if number > 1:
            raise ConnectionAbortedError
        return None

    with RangeServer(zipped(), fault=fault) as host:
        result = run_check(spcli, host)
        assert len(host.seen) == 3
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
    def fault(seen: Seen, number: int) -> Reply | None:
        first = zipped()[:4]
        return (
            Reply(206, {"Content-Range": f"bytes 0-3/{len(zipped())}", "ETag": '"1"', "Connection": "close"}, first)
            if number == 1
            else None
        )

    with RangeServer(zipped(), fault=fault) as host:
        assert run_check(spcli, host).json["entries"] == len(GOOD)


def test_damaged_encrypted_and_hostile_archives_fail(spcli: Front) -> None:
    encrypted = bytearray(zipped())
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    cases = {"damaged": zipped()[:-30], "encrypted": bytes(encrypted), "unsafe-path": zipped({**GOOD, "../evil.exe": b""})}
    for code, data in cases.items():
        with RangeServer(data) as host:
            result = run_check(spcli, host)
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


def test_a_slow_host_does_not_hold_up_the_check() -> None:
    def fault(seen: Seen, number: int) -> Reply | None:
        time.sleep(0.3)
        return None

    with RangeServer(zipped(), fault=fault) as host:
        report = check_url(host.url("Game.zip"), clock=Clock(), environ={}, local_api=True, seconds=0.1)
        assert len(host.seen) <= 1
    assert [finding.code for finding in report.findings if finding.level == "error"] == ["unreachable"]


def test_a_share_page_or_a_private_host_gets_no_request(spcli: Front) -> None:
    with RangeServer(zipped()) as host:
        assert codes(spcli("check", host.url("Game.zip"), "--json")) == ["private-host"]
        assert codes(spcli("check", "https://www.dropbox.com/s/a/Game.zip?dl=0", "--json")) == ["share-page"]
        assert codes(spcli("check", "ftp://example.com/Game.zip", "--json")) == ["scheme"]
        assert host.seen == []


def test_behind_a_proxy_the_proxys_address_is_not_a_finding(spcli: Front) -> None:
    with RangeServer(zipped()) as proxy:
        result = spcli("check", f"http://builds.example.com/{SIGNED}", "--json", env={"HTTP_PROXY": proxy.url("")})
        assert codes(result, "error", "warning") == ["http"]
        assert {seen.target for seen in proxy.seen} == {f"http://builds.example.com/{SIGNED}"}


def test_a_proxy_that_wants_a_password_is_reported_as_such(spcli: Front) -> None:
    with RangeServer(b"", fault=always(407)) as proxy:
        result = spcli("check", "http://builds.example.com/Game.zip", "--json", env={"HTTP_PROXY": proxy.url("")})
    assert "asks for a user and password" in result.error["message"]


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


def test_a_size_over_the_soft_limit_is_a_warning(spcli: Front) -> None:
    with RangeServer(b"", fault=always(206, b"PK\3\4", Content_Range="bytes 0-3/24000000001")) as host:
        result = run_check(spcli, host)
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


@pytest.mark.skipif(sys.platform == "win32", reason="measured with resource")
@pytest.mark.parametrize("shape", ["300,000 entries", "64 KiB names", "64 KiB names in folders"])
def test_memory_is_bounded_by_the_directory(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "Game.zip"
    if shape == "300,000 entries":
        crowded(path, ENTRY_LIMIT - len(GOOD))
    else:
        name = "\U0001f600" * 16_000 if shape == "64 KiB names" else "\u00e4/" * 21_000
        path.write_bytes(packaged(*(Raw(f"{number}{name}".encode(), flags=0x800) for number in range(900))))
    code, peak = measured(tmp_path, str(path))
    assert code == 0
    assert peak < 150 * 1024 * 1024


@pytest.mark.parametrize(
    "page",
    [HTML, b"\n\n  \t" + HTML, b"\xef\xbb\xbf<HTML>", b'<?xml version="1.0"?><html/>', b" " * 300 + HTML],
    ids=["doctype", "after blanks", "after a BOM", "xml", "after many blanks"],
)
def test_a_page_is_a_page_on_disk_and_by_ranges_whatever_its_type(spcli: Front, tmp_path: Path, page: bytes) -> None:
    path = tmp_path / "Game.zip"
    path.write_bytes(page)
    with RangeServer(page) as host:
        remote = run_check(spcli, host)
    local = spcli("check", str(path), "--json")
    for result in (remote, local):
        assert [(one["code"], one["message"]) for one in result.json["findings"] if one["level"] == "error"] == [
            ("html", "this is a web page, not a file")
        ]


def test_a_host_that_shortens_ranges_is_read_piece_by_piece(spcli: Front) -> None:
    data = zipped({**GOOD, "Windows/Game/Content/Paks/b.pak": os.urandom(30_000)})

    def fault(seen: Seen, number: int) -> Reply:
        first, last = (int(edge) for edge in seen.headers["range"].removeprefix("bytes=").split("-"))
        last = min(last, first + 9_999, len(data) - 1)
        return Reply(206, {"Content-Range": f"bytes {first}-{last}/{len(data)}"}, data[first : last + 1])

    with RangeServer(data, fault=fault) as host:
        assert run_check(spcli, host).json["entries"] == len(GOOD) + 1
