"""`spcli check` and `spcli upload` against storage hosts as they are in the field."""

import gzip
import json
import time
from typing import Any

import pytest

from spcli.check import check_url
from tests.checking import CANARY, LOCAL_API, always, codes, run_check
from tests.faults.rangeserver import RangeServer, Reply, Seen
from tests.faults.zips import GOOD, packaged, zipped
from tests.front import START, FakeClock, Front, Result, uploads

BIG = zipped({**GOOD, "Windows/Game/Content/Paks/b.pak": bytes(range(256)) * 400}, method=0)
EXPIRED = f"Game.zip?X-Amz-Date=20260921T130000Z&X-Amz-Expires=3600&X-Amz-Signature={CANARY}"
"""Signed an hour and 13 minutes before the test's clock, for an hour."""


REGION = "<Region>eu-west-1</Region>"
ENDPOINT = "<Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>"
CUT = "G.zip?X-Amz-Algorithm=AWS4-HMAC-SHA256"
GONE = "<Expires>2026-01-01T00:00:00Z</Expires><ServerTime>2026-01-01T00:09:00Z</ServerTime>"


def edges(seen: Seen) -> tuple[int, int]:
    first, last = seen.headers["range"].removeprefix("bytes=").split("-")
    return int(first), int(last)


def part(data: bytes, seen: Seen, status: int = 206, *, longest: int = 10**9, **headers: str) -> Reply:
    """The range that was requested, or its first `longest` bytes."""
    first, last = edges(seen)
    last = min(last, first + longest - 1, len(data) - 1)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Range": f"bytes {first}-{last}/{len(data)}", **named}, data[first : last + 1])


def xml(code: str, message: str = "", more: str = "") -> bytes:
    text = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}<StringToSign>{CANARY}</StringToSign></Error>"
    return f"<?xml version='1.0'?>\n{text}".encode()


def failure(result: Result) -> tuple[str, str]:
    """The one error: its message and its hint."""
    (found,) = (one for one in result.json["findings"] if one["level"] == "error")
    return found["message"], found["hint"]


def warnings(result: Result) -> dict[str, str]:
    """The warnings by code, without that of http."""
    return {one["code"]: one["message"] for one in result.json["findings"] if one["level"] == "warning" and one["code"] != "http"}


# Odd, but readable.


def test_ranges_with_status_200_are_read(spcli: Front) -> None:
    with RangeServer(b"", fault=lambda seen, number: part(BIG, seen, 200)) as host:
        result = run_check(spcli, host)
    assert (result.code, result.json["entries"], list(warnings(result))) == (0, len(GOOD) + 1, ["range-status"])


def test_ranges_with_status_200_and_without_their_place_are_not_damage(spcli: Front) -> None:
    def fault(seen: Seen, number: int) -> Reply:
        first, last = edges(seen)
        return Reply(200, {}, BIG[first : last + 1])

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, result.json["entries"], list(warnings(result))) == (0, None, ["range-status"])


def test_a_small_file_of_just_the_requested_length_is_read(spcli: Front) -> None:
    data = packaged()
    data = packaged(comment=b"c" * 400) if len(data) < 512 else data
    for size in (512, len(data)):
        with RangeServer(data[:size] if size < len(data) else data, ranges=False) as host:
            assert codes(run_check(spcli, host)) == (["damaged"] if size < len(data) else [])


def test_shortened_ranges_are_a_warning(spcli: Front) -> None:
    with RangeServer(b"", fault=lambda seen, number: part(BIG, seen, longest=20_000)) as host:
        result = run_check(spcli, host)
    assert (result.code, result.json["entries"], list(warnings(result))) == (0, len(GOOD) + 1, ["short-ranges"])


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        (('"a"', 'W/"a"'), "weak and strong ETags"),
        (('"a"', ""), "an ETag only sometimes"),
        (("", '"a"'), "an ETag only sometimes"),
        (('"node1-5f"', '"node2-60"'), "different ETags"),
    ],
)
def test_etags_that_differ_for_the_same_file_are_a_warning(spcli: Front, tags: tuple[str, str], says: str) -> None:
    def fault(seen: Seen, number: int) -> Reply:
        tag = tags[number % 2]
        return part(BIG, seen, **({"ETag": tag} if tag else {}))

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, result.json["entries"]) == (0, len(GOOD) + 1)
    assert says in warnings(result)["etag"]


@pytest.mark.parametrize("header", ["Last_Modified", "size"])
def test_a_file_that_changes_is_not_damage(spcli: Front, header: str) -> None:
    def fault(seen: Seen, number: int) -> Reply:
        data = BIG + bytes(number) if header == "size" else BIG
        return part(data, seen, ETag=f'"{number}"', Last_Modified=f"Mon, 21 Sep 2026 14:13:{number:02} GMT")

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, list(warnings(result))) == (0, ["changing"])


def test_an_error_in_contents_of_different_versions_proves_nothing(spcli: Front) -> None:
    def fault(seen: Seen, number: int) -> Reply:
        return part(BIG if number == 1 else bytes(len(BIG)), seen, ETag=f'"{number}"')

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, list(warnings(result))) == (0, ["changing"])


@pytest.mark.parametrize("ranges", [True, False])
def test_a_compressed_answer_is_a_warning(spcli: Front, ranges: bool) -> None:
    packed = gzip.compress(BIG)

    def fault(seen: Seen, number: int) -> Reply:
        return part(packed, seen, Content_Encoding="gzip") if ranges else Reply(200, {"Content-Encoding": "gzip"}, packed)

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, list(warnings(result))) == (0, ["encoding"])
    assert "sends the file compressed (Content-Encoding: gzip)" in warnings(result)["encoding"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_zip_that_is_only_labelled_as_compressed_is_read(spcli: Front, ranges: bool) -> None:
    data = BIG if ranges else packaged()

    def fault(seen: Seen, number: int) -> Reply:
        return part(data, seen, Content_Encoding="gzip") if ranges else Reply(200, {"Content-Encoding": "gzip"}, data)

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
    assert (result.code, result.json["entries"] is not None, list(warnings(result))) == (0, True, ["encoding"])


def test_a_compressed_page_is_a_page(spcli: Front) -> None:
    page = gzip.compress(b"<!DOCTYPE html><title>Sign in</title>")
    with RangeServer(b"", fault=always(200, page, Content_Encoding="gzip", Content_Type="application/zip")) as host:
        assert codes(run_check(spcli, host)) == ["html"]


def test_a_host_that_refuses_a_range_beyond_the_end_is_read(spcli: Front) -> None:
    data = zipped({"a.exe": b""})

    def fault(seen: Seen, number: int) -> Reply | None:
        return Reply(416, {"Content-Range": f"bytes */{len(data)}"}) if edges(seen)[1] >= len(data) else None

    with RangeServer(data, fault=fault) as host:
        assert run_check(spcli, host).json["entries"] == 1


# Refusals.


@pytest.mark.parametrize(
    ("reply", "is_certain"),
    [
        (Reply(403), False),
        (Reply(403, {}, b"<html><title>Attention Required</title></html>"), False),
        (Reply(403, {"cf-mitigated": "challenge"}), False),
        (Reply(403, {}, xml("AccessDenied", "Access Denied")), False),
        (Reply(403, {}, xml("AuthorizationFailure")), False),
        (Reply(401), False),
        (Reply(304), False),
        (Reply(405), False),
        (Reply(406), False),
        (Reply(429), False),
        (Reply(451), False),
        (Reply(503, {}, xml("SlowDown")), False),
        (Reply(403, {}, xml("SignatureDoesNotMatch")), True),
        (Reply(403, {}, xml("InvalidAccessKeyId")), True),
        (Reply(400, {}, xml("ExpiredToken")), True),
        (Reply(400, {}, xml("AuthorizationQueryParametersError")), True),
        (Reply(403, {}, xml("AuthenticationFailed")), True),
        (Reply(403, {}, xml("AccessDenied", "Request has expired", GONE)), True),
        (Reply(401, {}, b'{"code": "expired_auth_token", "message": "Authorization token has expired", "status": 401}'), True),
        (Reply(404), True),
        (Reply(410), True),
    ],
)  # fmt: skip
def test_only_the_storages_own_words_stop_an_upload(spcli: Front, service: Any, reply: Reply, is_certain: bool) -> None:
    server = service()
    with RangeServer(b"", fault=lambda seen, number: reply) as host:
        assert run_check(spcli, host).code == 12
        result = spcli("upload", host.url("Game.zip"))
    assert CANARY not in result.out + result.err
    assert (result.code, len(uploads(server))) == ((12, 0) if is_certain else (0, 1)), result
    assert is_certain or f"note: check: the storage host answered {reply.status}" in result.err


def test_a_page_of_a_bot_protection_does_not_stop_an_upload(spcli: Front, service: Any) -> None:
    server = service()
    page = b"<!DOCTYPE html><title>Just a moment...</title>"
    with RangeServer(b"", fault=always(200, page, cf_mitigated="challenge", Content_Type="text/html")) as host:
        assert codes(run_check(spcli, host)) == ["html"]
        assert spcli("upload", host.url("Game.zip")).code == 0
    assert len(uploads(server)) == 1


@pytest.mark.parametrize(
    ("reply", "path", "says", "hint"),
    [
        (Reply(403), EXPIRED, "answered 403; the S3 signature expired 13 minutes ago", "sign it for 12 hours"),
        (Reply(403, {}, xml("AccessDenied", "Request has expired")), EXPIRED, "403 AccessDenied: Request has expired; the S3",
         "12 hours"),
        (Reply(400, {}, xml("AuthorizationQueryParametersError", "expecting 'eu-west-1'", REGION)), "G.zip",
         "400 AuthorizationQueryParametersError: expecting 'eu-west-1'", "sign it for eu-west-1"),
        (Reply(400, {}, xml("AuthorizationHeaderMalformed", "", REGION)), "G.zip", "400", "sign it for eu-west-1"),
        (Reply(301, {}, xml("PermanentRedirect", "", ENDPOINT)), "G.zip", "301 without a Location", "browser"),
        (Reply(301, {"x-amz-bucket-region": "eu-west-1"}, xml("PermanentRedirect")), "G.zip", "another region (eu-west-1)",
         "sign it for eu-west-1"),
        (Reply(301), "G.zip", "the storage host answered 301 without a Location", "browser"),
        (Reply(403, {}, xml("SignatureDoesNotMatch", "The request signature we calculated")), "G.zip",
         "SignatureDoesNotMatch", "sign it again"),
        (Reply(404, {}, xml("NoSuchBucket")), "G.zip", "404 NoSuchBucket", "the bucket does not exist"),
        (Reply(403, {}, xml("InvalidObjectState")), "G.zip", "InvalidObjectState", "restore it"),
        (Reply(403), CUT, "the query ends after its first parameter", "quotes: the shell cuts it at &"),
        (Reply(400, {}, xml("AuthorizationQueryParametersError")), CUT, "first parameter", "quotes"),
        (Reply(403), "G.zip?AWSAccessKeyId=AKIAX", "the query ends after its first parameter", "quotes"),
        (Reply(404), "G#1.zip", "everything after it is not sent", "%23"),
        (Reply(403, {"x-ms-error-code": "AuthenticationFailed"}), "G.zip", "answered 403 AuthenticationFailed", "sign it again"),
        (Reply(403, {}, b'{"error": {"code": 403, "message": "Caller has no access"}}'), "G.zip", "403: Caller has no", "public"),
        (Reply(429), "G.zip", "answered 429", "limits requests: try again in a minute"),
        (Reply(503), "G.zip", "answered 503", "busy: try again in a minute"),
        (Reply(403, {"cf-mitigated": "challenge"}), "G.zip", "its bot protection blocks this client", "firewall"),
    ],
)  # fmt: skip
def test_a_refusal_is_shown_with_its_explanation(spcli: Front, reply: Reply, path: str, says: str, hint: str) -> None:
    with RangeServer(b"", fault=lambda seen, number: reply) as host:
        result = run_check(spcli, host, path=path)
    message, advice = failure(result)
    assert says in message
    assert hint in advice
    assert CANARY not in message + advice


def test_an_expired_link_stops_an_upload_if_the_host_refuses_it(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(b"", fault=always(403, Date="Mon, 21 Sep 2026 14:13:20 GMT")) as host:
        result = spcli("upload", host.url(EXPIRED), "--json")
    assert (result.code, result.error["outcome"]) == (12, "not_sent")
    assert "the S3 signature expired 13 minutes ago" in result.error["message"]


def test_a_wrong_clock_here_does_not_prove_that_a_link_expired(spcli: Front, service: Any) -> None:
    service()
    with RangeServer(b"", fault=always(403, Date="Mon, 21 Sep 2026 13:30:00 GMT")) as host:
        assert spcli("upload", host.url(EXPIRED)).code == 0


def test_an_expired_link_is_an_error_unless_the_host_still_delivers_the_file(spcli: Front, service: Any) -> None:
    server = service()
    with RangeServer(BIG) as host:
        url = host.url(EXPIRED)
        checked = run_check(spcli, host, path=EXPIRED)
        assert (checked.code, codes(checked)) == (0, [])
        assert "expired" in warnings(checked)
        assert spcli("upload", url).code == 0
    # The host is down now: only this machine's clock is left.
    checked = spcli("check", url, "--json", env=LOCAL_API)
    assert (checked.code, codes(checked)) == (12, ["expired", "unreachable"])
    refused = spcli("upload", url.replace("Game.zip", "Other.zip"), "--json")
    assert (refused.code, refused.error["kind"], refused.error["outcome"]) == (12, "bad-file", "not_sent")
    assert refused.error["message"] == "the S3 signature expired 13 minutes ago"
    unchecked = spcli("upload", url.replace("Game.zip", "Third.zip"), "--no-check")
    assert (unchecked.code, unchecked.err.count("the S3 signature expired")) == (0, 1)
    assert len(uploads(server)) == 2


def test_people_read_an_explanation_once(spcli: Front) -> None:
    with RangeServer(b"", fault=always(403)) as host:
        result = spcli("check", host.url(EXPIRED), env=LOCAL_API)
    assert result.out.count("expired 13 minutes ago") == 1


# One-time links, and hosts that stop in the middle.


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_link_that_can_be_read_once_is_reported_as_such(spcli: Front, service: Any, status: int) -> None:
    def fault(seen: Seen, number: int) -> Reply:
        return part(BIG, seen) if number == 1 else Reply(status)

    with RangeServer(b"", fault=fault) as host:
        result = run_check(spcli, host)
        message, hint = failure(result)
    assert codes(result) == ["one-time"]
    assert message == f"this link can be read once: the storage host answered {status} to the second request"
    assert "--no-check" in hint
    server = service()
    with RangeServer(b"", fault=fault) as host:
        code = spcli("upload", host.url("Game.zip")).code
    assert (code, len(uploads(server))) == ((0, 1) if status == 403 else (12, 0))


def test_a_host_that_refuses_only_the_end_of_the_file_is_a_warning(spcli: Front) -> None:
    with RangeServer(b"", fault=lambda seen, number: part(BIG, seen) if edges(seen)[0] == 0 else Reply(403)) as host:
        result = run_check(spcli, host)
    assert (result.code, list(warnings(result))) == (0, ["not-read"])


@pytest.mark.parametrize(("slow_request", "code"), [(1, "unreachable"), (2, "not-read")])
def test_a_slow_host_is_named_with_the_limit_of_the_check(slow_request: int, code: str) -> None:
    clock = FakeClock()

    def fault(seen: Seen, number: int) -> Reply:
        if number == slow_request:
            clock.sleep(100)
            time.sleep(0.6)  # longer than one wait of the connection
        return part(BIG, seen)

    with RangeServer(b"", fault=fault) as host:
        report = check_url(host.url("Game.zip"), clock=clock, environ={}, local_api=True)
    (found,) = (one for one in report.findings if one.code == code)
    assert "the storage host did not answer within 15 s, the limit of this check" in found.message


def test_a_host_that_closes_early_is_named(spcli: Front) -> None:
    with RangeServer(b"", fault=lambda seen, number: part(BIG, seen)._replace(drop=number > 1)) as host:
        result = run_check(spcli, host)
    assert (result.code, codes(result, "warning")) == (0, ["http", "not-read"])
    assert "closed the connection early" in warnings(result)["not-read"]
    with RangeServer(b"", fault=lambda seen, number: part(BIG, seen)._replace(drop=True)) as host:
        message, _ = failure(run_check(spcli, host))
    assert message == "the storage host closed the connection early"


def test_too_long_headers_are_named(spcli: Front) -> None:
    with RangeServer(b"", fault=lambda seen, number: Reply(206, {f"x-{n}": "y" * 1000 for n in range(200)})) as host:
        message, _ = failure(run_check(spcli, host))
    assert message == "the headers of the storage host's answer are over 100 kB"


# Files that are not the zip.


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b'<?xml version="1.0"?>\n<ListBucketResult xmlns="http://s3"><Name>b</Name></ListBucketResult>', "listing",
         "a listing of a bucket"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><EnumerationResults ContainerName="b"/>', "listing", "a listing of a bucket"),
        (b"<html><head><title>Index of /builds/</title></head></html>", "listing", "a listing of a bucket or folder"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not-zip", "a Git LFS pointer"),
        (bytes(257) + b"ustar", "not-zip", "a tar archive"),
        (b"MZ" + bytes(5000), "not-zip", "an .exe"),
        (b"PK\x07\x08" + packaged()[:2000], "damaged", "the first volume of a split zip"),
        (packaged(disk=2), "damaged", "the last volume of a split zip"),
        (zipped({"Game.zip": zipped(method=0)}, method=0), "no-exe", "the zip contains another archive (Game.zip)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_is_not_the_build_is_named(spcli: Front, body: bytes, code: str, says: str, ranges: bool) -> None:
    with RangeServer(body, ranges=ranges) as host:
        result = run_check(spcli, host)
    assert (result.code, codes(result)) == (12, [code])
    assert says in failure(result)[0]


@pytest.mark.parametrize("name", ["Game.zip.001", "Game.z01", "Game.7z.002"])
def test_a_part_of_a_split_archive_is_named_by_its_name(spcli: Front, name: str) -> None:
    with RangeServer(BIG[: len(BIG) // 2]) as host:
        result = run_check(spcli, host, path=name)
    assert (result.code, codes(result)) == (12, ["split"])
    assert "one part of a split archive" in failure(result)[0]


def test_json_of_an_error_keeps_the_signature_secret(spcli: Front) -> None:
    body = json.dumps({"code": "unauthorized", "message": f"signature {CANARY} is wrong"}).encode()
    with RangeServer(b"", fault=always(403, body)) as host:
        result = run_check(spcli, host, path=f"Game.zip?sig={CANARY}CANARY1&se=2027-01-01")
    assert "answered 403 unauthorized" in failure(result)[0]


def test_the_clock_of_the_expired_link_is_as_the_tests_say() -> None:
    assert START == 1_790_000_000.0
