"""The judge of a build's URL, before anything is fetched."""

import time
from urllib.parse import urlsplit

import pytest

from spcli.check.remote import address_findings
from spcli.check.signature import parse_signature
from spcli.check.url import is_private_host, judge_url, malformed_url, share_page
from spcli.output.words import format_span

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
CANARY = "CANARY0123456789"


def codes(url: str, *, local_api: bool = False) -> list[tuple[str, str]]:
    found = judge_url(url, now=NOW, local_api=local_api)
    assert (malformed_url(found) is not None) == any(finding.code in ("url", "scheme", "userinfo") for finding in found)
    assert not any(CANARY in f"{finding.message} {finding.hint}" for finding in found)
    return [(finding.level, finding.code) for finding in found]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://host.example/Game.zip", "scheme"),
        ("file:///tmp/Game.zip", "scheme"),
        ("s3://bucket/Game.zip", "scheme"),
        (f"https://user:{CANARY}@host.example/Game.zip", "userinfo"),
        ("https:///Game.zip", "url"),
        ("https://host.example:99999/Game.zip", "url"),
        ("https://[::1/Game.zip", "url"),
        ("https://ho<st>.example/Game.zip", "url"),
        ("https://host.example/My Game.zip", "url"),
        (f"https://host.example/Game.zip?a=\n{CANARY}", "url"),
    ],
)
def test_a_url_that_cannot_be_fetched_is_an_error(url: str, code: str) -> None:
    assert codes(url) == [("error", code)]


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "build.localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "[::1]",
        "0.0.0.0",
        "10.1.2.3", "172.16.0.1", "192.168.1.2", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]",
        "224.0.0.1", "nas.local", "fileserver", "minio.internal",
    ],
)  # fmt: skip
def test_a_private_host_is_refused(host: str) -> None:
    assert codes(f"https://{host}/Game.zip") == [("error", "private-host")]
    assert ("error", "private-host") not in codes(f"https://{host}/Game.zip", local_api=True)


@pytest.mark.parametrize(
    "host", ["example.com", "127.evil.com", "8.8.8.8", "2606:4700::1111", "10.example.com", "localhost.example", "999.1.1.1"]
)
def test_a_public_host_is_not_private(host: str) -> None:
    assert not is_private_host(host)


def test_a_query_without_a_known_signature_is_reported() -> None:
    assert codes("https://host.example/Game.zip?a=b") == [("info", "query")]


def test_a_plain_link_is_fine_and_http_and_other_names_are_warnings() -> None:
    assert codes("https://host.example/builds/Game.ZIP") == []
    assert codes("http://host.example/download") == [("warning", "http"), ("warning", "name")]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://drive.google.com/file/d/1AbCdEfGhIjKlMn/view?usp=sharing", "download?id=1AbCdEfGhIjKlMn&"),
        ("https://drive.google.com/open?id=1AbCdEfGhIjKlMn", "download?id=1AbCdEfGhIjKlMn&"),
        ("https://drive.google.com/uc?export=download&id=1AbCdEfGhIjKlMn", "download?id=1AbCdEfGhIjKlMn&"),
        ("https://docs.google.com/uc?id=1AbCdEfGhIjKlMn", "download?id=1AbCdEfGhIjKlMn&"),
        ("https://drive.google.com/drive/folders/1AbCdEfGhIjKlMn", "download?id=ID&"),
        ("https://www.dropbox.com/s/abc/Game.zip?dl=0", "dl=1"),
        ("https://www.dropbox.com/scl/fi/abc/Game.zip?rlkey=CANARY0123456789", "dl=1"),
        ("https://1drv.ms/u/s!abc", "no lasting direct form"),
        ("https://onedrive.live.com/?id=abc", "no lasting direct form"),
        ("https://corp-my.sharepoint.com/:u:/g/personal/x", "no lasting direct form"),
        ("https://we.tl/t-abc", "no direct form"),
        ("https://wetransfer.com/downloads/abc", "no direct form"),
    ],
)
def test_a_share_page_is_an_error_with_the_direct_form_if_there_is_one(url: str, hint: str) -> None:
    (found,) = judge_url(url, now=NOW, local_api=False)
    assert (found.level, found.code) == ("error", "share-page")
    assert hint in (found.hint or "")
    assert CANARY not in f"{found.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.dropbox.com/s/abc/Game.zip?dl=1",
        "https://dl.dropboxusercontent.com/s/abc/Game.zip",
        "https://drive.usercontent.google.com/download?id=1AbCdEfGhIjKlMn&export=download&confirm=t",
        "https://onedrive.live.com/download?resid=abc",
        "https://corp-my.sharepoint.com/personal/x/_layouts/15/download.aspx?UniqueId=1&tempauth=abc",
        "https://notdropbox.com/Game.zip",
    ],
)
def test_a_direct_form_is_not_a_share_page(url: str) -> None:
    assert share_page(urlsplit(url)) is None


@pytest.mark.parametrize(
    ("query", "service", "left"),
    [
        ("X-Amz-Date=20260921T141320Z&X-Amz-Expires=3600&X-Amz-Signature=CANARY", "S3", 3600),
        ("AWSAccessKeyId=CANARY&Expires=1790000060&Signature=CANARY", "S3", 60),
        ("X-Goog-Date=20260921T141320Z&X-Goog-Expires=604800&X-Goog-Signature=CANARY", "GCS", 604800),
        ("GoogleAccessId=CANARY&Expires=1790000060&Signature=CANARY", "GCS", 60),
        ("Expires=1789999999&Signature=CANARY&Key-Pair-Id=K", "CloudFront", -1),
        ("sv=2024-01-01&se=2026-09-21T15%3A13%3A20Z&sr=b&sp=r&sig=CANARY", "Azure", 3600),
        ("se=2026-09-22&sig=CANARY", "Azure", 35200),
    ],
)
def test_the_expiry_of_a_signature_is_read(query: str, service: str, left: float) -> None:
    found = parse_signature(query)
    assert found is not None
    assert (found.service, found.ends - NOW) == (service, left)


@pytest.mark.parametrize(
    "query",
    [
        "", "dl=1", "Expires=soon&Signature=x", "Expires=1790000060", "X-Amz-Date=yesterday&X-Amz-Expires=3600",
        "sig=x&se=0001-01-01",
        "X-Amz-Date=20260921T141320Z&X-Amz-Expires=99999999999999999", "sig=x&se=²", "Expires=²²&Signature=x",
    ],
)  # fmt: skip
def test_an_unreadable_signature_is_ignored(query: str) -> None:
    found = parse_signature(query)
    assert found is None or found.ends < NOW


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-7200, ("error", "expired")),
        (0, ("error", "expired")),
        (300, ("warning", "expiry")),
        (3600, ("warning", "expiry")),
        (7799, ("warning", "expiry")),
        (7800, ("info", "expiry")),
        (43200, ("info", "expiry")),
    ],
)
def test_an_expiry_is_compared_with_queue_and_download(seconds: int, expected: tuple[str, str]) -> None:
    url = f"https://b.s3.amazonaws.com/Game.zip?Expires={int(NOW) + seconds}&Signature={CANARY}&AWSAccessKeyId={CANARY}"
    assert codes(url) == [expected]


def test_a_link_valid_from_tomorrow_and_temporary_credentials_are_reported() -> None:
    later = f"https://b.blob.core.windows.net/Game.zip?st=2026-09-23T00:00Z&se=2026-09-24T00:00Z&sig={CANARY}"
    assert codes(later) == [("warning", "not-yet-valid")]
    role = f"X-Amz-Date=20260921T141320Z&X-Amz-Expires=43200&X-Amz-Security-Token={CANARY}&X-Amz-Signature={CANARY}"
    assert codes(f"https://b.s3.amazonaws.com/Game.zip?{role}") == [("info", "expiry"), ("info", "session")]


def test_a_name_that_resolves_to_a_private_address_is_a_warning() -> None:
    (found,) = address_findings("files.example.com", "10.0.0.7")
    assert (found.level, found.code) == ("warning", "private-address")
    assert "10.0.0.7" in found.message
    for address in ("", "8.8.8.8", "2606:4700::1111"):
        assert address_findings("files.example.com", address) == []


def test_spans_are_written_in_words() -> None:
    texts = [format_span(5), format_span(60), format_span(2700), format_span(7200), format_span(12000), format_span(6 * 86400)]
    assert texts == ["5 seconds", "1 minute", "45 minutes", "2 h", "3 h 20 min", "6 days"]


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("https://host.example/Game#1.zip", "fragment", "everything after it is not sent"),
        ("https://host.example/Game.zip#part", "fragment", "everything after it is not sent"),
        ("https://host.example/Game.zip.001", "name", "one part of a split archive (.zip.001)"),
        ("https://host.example/Game.z01", "name", "one part of a split archive (.z01)"),
        ("https://host.example/Game.part1.rar", "name", "one part of a split archive (.part1.rar)"),
    ],
)
def test_a_link_that_names_something_else_than_the_zip_is_a_warning(url: str, code: str, says: str) -> None:
    found = {finding.code: finding for finding in judge_url(url, now=NOW, local_api=False)}
    assert found[code].level == "warning"
    assert says in found[code].message


def test_a_number_sign_in_a_link_is_to_be_written_as_percent_23() -> None:
    found = {finding.code: finding for finding in judge_url("https://h.example/a#b.zip", now=NOW, local_api=False)}
    assert "%23" in (found["fragment"].hint or "")


def test_a_megabyte_in_a_url_is_judged_at_once() -> None:
    for filling in (" ", "0", "a.", "&a=", ".zip", "~exp="):
        blob = filling * (1024 * 1024 // len(filling))
        for url in (f"https://{blob}/Game.zip", f"https://h.example/{blob}", f"https://h.example/G.zip?hdnea={blob}", blob):
            started = time.process_time()
            judge_url(url, now=NOW, local_api=False)
            assert time.process_time() - started < 3
