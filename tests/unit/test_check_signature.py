"""Presigned links of storage services and content delivery networks."""

import base64
import json

import pytest

from spcli.check.signature import parse_signature, signature_findings

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
S3 = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20260921%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20260921T141320Z"


def policy(**condition: object) -> str:
    """A CloudFront policy as it stands in a query."""
    text = json.dumps({"Statement": [{"Resource": "https://d.cloudfront.net/*", "Condition": condition}]})
    return base64.b64encode(text.encode()).decode().translate(str.maketrans("+=/", "-_~"))


def jwt(**claims: object) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in ({"alg": "HS256"}, claims))
    return f"{'.'.join(parts)}.c2ln"


def codes(query: str, host: str = "files.example.com") -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in signature_findings(query, host, NOW)]


@pytest.mark.parametrize(
    ("query", "service", "left"),
    [
        (f"{S3}&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature=x", "S3", 3600),
        ("X-Goog-Date=20260921T141320Z&X-Goog-Expires=604800&X-Goog-Signature=x", "GCS", 604800),
        (f"Policy={policy(DateLessThan={'AWS:EpochTime': int(NOW) + 60})}&Signature=x&Key-Pair-Id=K", "CloudFront", 60),
        (f"Policy={policy(DateLessThan={'AWS:EpochTime': int(NOW) - 60}, IpAddress={'AWS:SourceIp': '0.0.0.0/0'})}&Signature=x",
         "CloudFront", -60),
        ("OSSAccessKeyId=L&Expires=1790000060&Signature=x", "OSS", 60),
        ("x-oss-date=20260921T141320Z&x-oss-expires=60&x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-signature=x", "OSS", 60),
        ("q-sign-algorithm=sha1&q-ak=A&q-sign-time=1790000000;1790000060&q-key-time=1790000000;2&q-signature=x", "COS", 60),
        ("q-sign-algorithm=sha1&q-sign-time=1790000000%3B1790000060&q-signature=x", "COS", 60),
        ("md5=abc_DEF&expires=1790000060", "nginx secure_link", 60),
        ("st=abc&e=1790000060", "nginx secure_link", 60),
        ("temp_url_sig=x&temp_url_expires=1790000060", "Swift", 60),
        ("temp_url_sig=x&temp_url_expires=2026-09-21T14:14:20Z", "Swift", 60),
        ("token=abc&expires=1790000060", "CDN", 60),
        ("Expires=1790000060&KeyName=k&Signature=x", "Cloud CDN", 60),
        ("AccessKeyId=k&Expires=1790000060&Signature=x", "OBS", 60),
        ("hdnea=st=1789990000~exp=1790000060~acl=/*~hmac=x", "Akamai", 60),
        ("ex=6ab13bbc&is=6ab0e9fc&hm=x", "Discord", 60),
        (f"token={jwt(exp=int(NOW) + 60)}", "token", 60),
    ],
)  # fmt: skip
def test_the_expiry_of_many_services_is_read(query: str, service: str, left: float) -> None:
    signed = parse_signature(query)
    assert signed is not None
    assert (signed.service, signed.ends - NOW) == (service, left)
    assert codes(query)[-1][1] == ("expired" if left < 0 else "expiry")


@pytest.mark.parametrize(
    "query",
    [
        "", "e=5&st=1", "v=2&e=1", "Policy=%%%&Signature=x", "Policy=bm90IGpzb24_&Signature=x", "Policy=W10_&Signature=x",
        f"Policy={'[' * 8000}&Signature=x", "token=a.b.c", "token=...&expires=soon", "q-signature=x&q-sign-time=;;",
        "q-signature=x&q-sign-time=soon", "x-oss-date=x&x-oss-expires=1&x-oss-signature=y", "hdnea=exp=soon", "ex=zz&hm=1",
        "temp_url_sig=x&temp_url_expires=now", "md5=x&expires=12",
    ],
)  # fmt: skip
def test_a_query_that_is_not_a_known_signature_is_ignored(query: str) -> None:
    assert parse_signature(query) is None


@pytest.mark.parametrize(
    ("query", "host", "says"),
    [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256", "b.s3.amazonaws.com", "the S3 signature"),
        ("AWSAccessKeyId=AKIA", "b.s3.amazonaws.com", "the S3 signature"),
        ("X-Goog-Algorithm=GOOG4-RSA-SHA256", "storage.googleapis.com", "the GCS signature"),
        ("GoogleAccessId=a%40b", "storage.googleapis.com", "the GCS signature"),
        ("OSSAccessKeyId=L", "b.oss-cn-hangzhou.aliyuncs.com", "the OSS signature"),
        ("q-sign-algorithm=sha1", "b.cos.ap-nanjing.myqcloud.com", "the COS signature"),
        ("sv=2024-01-01", "a.blob.core.windows.net", "the Azure signature"),
        ("sp=r", "a.blob.core.windows.net", "the Azure signature"),
        ("Expires=1790003600", "d1.cloudfront.net", "the CloudFront signature"),
        ("Policy=eyJ", "d1.cloudfront.net", "the CloudFront signature"),
    ],
)
def test_a_query_cut_at_its_first_ampersand_is_recognised(query: str, host: str, says: str) -> None:
    (found,) = signature_findings(query, host, NOW)
    assert (found.level, found.code) == ("warning", "incomplete-query")
    assert found.message == f"{says} in the URL is incomplete: the query ends after its first parameter"
    assert found.hint == "put the URL in quotes: the shell cuts it at &"


def test_a_query_that_lacks_only_its_signature_is_incomplete() -> None:
    (found,) = signature_findings(f"{S3}&X-Amz-Expires=3600", "b.s3.amazonaws.com", NOW)
    assert found.message == "the S3 signature in the URL is incomplete"


@pytest.mark.parametrize("query", ["sv=3", "expires=1790003600", "policy=x"])
def test_a_query_of_another_host_is_not_taken_for_a_cut_signature(query: str) -> None:
    assert codes(query) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"{S3}&X-Amz-Expires=43200&X-Amz-SignedHeaders=host%3Brange&X-Amz-Signature=x", "signature-headers"),
        (f"{S3}&X-Amz-Expires=43200&X-Amz-SignedHeaders=host;x-amz-date&X-Amz-Signature=x", "signature-headers"),
        (f"{S3}&X-Amz-Expires=604801&X-Amz-SignedHeaders=host&X-Amz-Signature=x", "signature-days"),
        ("X-Goog-Date=20260921T141320Z&X-Goog-Expires=864000&X-Goog-Signature=x", "signature-days"),
        ("sv=2024-01-01&se=2026-09-23&sip=10.0.0.1-10.0.0.9&sig=x", "ip-bound"),
        (f"Policy={policy(DateLessThan={'AWS:EpochTime': int(NOW) + 90_000}, IpAddress={'AWS:SourceIp': '192.0.2.0/24'})}"
         "&Signature=x", "ip-bound"),
    ],
)  # fmt: skip
def test_a_signature_that_may_not_hold_for_streampixel_is_a_warning(query: str, code: str) -> None:
    assert ("warning", code) in codes(query)


def test_a_signature_for_seven_days_is_fine() -> None:
    assert codes(f"{S3}&X-Amz-Expires=604800&X-Amz-SignedHeaders=host&X-Amz-Signature=x") == [("info", "expiry")]


def test_an_address_in_a_warning_is_harmless() -> None:
    (found, *_) = signature_findings("sip=\x1b[2J%0a##&se=2026-09-23&sig=x", "h.example", NOW)
    assert "\x1b" not in found.message
    assert "\n" not in found.message
