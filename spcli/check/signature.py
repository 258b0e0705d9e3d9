"""Pure: presigned links: until when they are valid, compared with the time that the queue and the download take.

Times rest on https://docs.streampixel.io (build lifecycle, dashboard): a build waits for a slot, "over 2 h is unusual", and its
download takes up to 10 minutes. The forms of signatures rest on the documentation of each storage service.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import parse_qsl

from spcli.check.finding import Finding, error, info, warning
from spcli.models import unix_time
from spcli.output.words import format_span

QUEUE_SECONDS = 2 * 3600
DOWNLOAD_SECONDS = 600
SIGN_LONGER = "sign it for 12 hours (for S3: aws s3 presign s3://BUCKET/Game.zip --expires-in 43200)"
_CLOCK_SKEW = 300
_MOST_DAYS = 7 * 86400
_PLAIN_HEADERS = {"host", ""}
_QUOTE = "put the URL in quotes: the shell cuts it at &"

_SETS = (
    ("S3", ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders"), "x-amz-signature"),
    (
        "GCS",
        ("x-goog-algorithm", "x-goog-credential", "x-goog-date", "x-goog-expires", "x-goog-signedheaders"),
        "x-goog-signature",
    ),
    ("OSS", ("x-oss-signature-version", "x-oss-credential", "x-oss-date", "x-oss-expires"), "x-oss-signature"),
    ("COS", ("q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list"), "q-signature"),
    ("S3", ("awsaccesskeyid",), "signature"),
    ("GCS", ("googleaccessid",), "signature"),
    ("OSS", ("ossaccesskeyid",), "signature"),
    ("CloudFront", ("key-pair-id",), "signature"),
)
"""Presigned queries: the service, fields that only occur in one, and the field without which it is incomplete."""
_AZURE_FIELDS = ("sv", "se", "sp", "sr", "st", "spr", "ss", "srt", "sip", "skoid")
_UNIX_PAIRS = (
    # Service, signature field, expiry field: the expiry is a Unix time.
    ("Swift", "temp_url_sig", "temp_url_expires"),
    ("nginx secure_link", "md5", "expires"),
    ("nginx secure_link", "md5", "e"),
    ("nginx secure_link", "st", "e"),
    ("nginx secure_link", "hash", "expires"),
    ("CDN", "token", "expires"),
    ("CDN", "token", "expire"),
    ("CDN", "token", "e"),
    ("CDN", "hmac", "expires"),
    ("CDN", "sig", "expires"),
)


class Signature(NamedTuple):
    """The service and validity of a presigned URL, in Unix seconds. `seconds`: the validity it was signed for, if it says so."""

    service: str
    ends: float
    begins: float | None = None
    temporary: bool = False
    seconds: float | None = None


def signature_findings(query: str, host: str, now: float) -> list[Finding]:
    """Return how long the link is valid, compared with queue and download, and what else may keep Streampixel out."""
    fields = _fields_of(query)
    incomplete = _incomplete_query(query, fields, host)
    if incomplete is not None:
        return [incomplete]
    signed = _parse_fields(fields)
    return [*_binding_findings(fields), *([] if signed is None else _validity_findings(signed, now))]


def _fields_of(query: str) -> dict[str, str]:
    return {key.lower(): value for key, value in parse_qsl(query, keep_blank_values=True)}


def _incomplete_query(query: str, fields: Mapping[str, str], host: str) -> Finding | None:
    """Return a warning for a presigned query without its signature, as a shell leaves it that cuts at &."""
    service = next((name for name, marks, needed in _SETS if needed not in fields and any(one in fields for one in marks)), "")
    is_azure = host.endswith((".core.windows.net", ".azureedge.net", ".azurefd.net"))
    if not service and is_azure and "sig" not in fields and any(one in fields for one in _AZURE_FIELDS):
        service = "Azure"
    if not service and host.endswith(".cloudfront.net") and "signature" not in fields and {"policy", "expires"} & fields.keys():
        service = "CloudFront"
    if not service:
        return None
    text = f"the {service} signature in the URL is incomplete"
    if "&" not in query:
        return warning("incomplete-query", f"{text}: the query ends after its first parameter", _QUOTE)
    return warning("incomplete-query", text, "pass the whole URL, in quotes")


def _binding_findings(fields: Mapping[str, str]) -> list[Finding]:
    """Return warnings for a signature that holds only for certain requests."""
    found = []
    for prefix in ("x-amz", "x-goog"):
        names = [name for name in fields.get(f"{prefix}-signedheaders", "").lower().split(";") if name not in _PLAIN_HEADERS]
        if names:
            text = f"the signature requires the header {_plain(names[0])}, which Streampixel does not send"
            found.append(warning("signature-headers", text, "sign it with the host header alone"))
    policy = _cloudfront_policy(fields.get("policy"))
    address = fields.get("sip") if "sig" in fields else _policy_address(policy)
    if address:
        text = f"the signature holds only for the address {_plain(address)}: Streampixel downloads from its own addresses"
        found.append(warning("ip-bound", text, "sign it without an address"))
    return found


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.:/_-]", "?", text[:60])


def _validity_findings(signed: Signature, now: float) -> list[Finding]:
    if signed.begins is not None and signed.begins > now + _CLOCK_SKEW:
        text = f"the {signed.service} signature is not valid for another {format_span(signed.begins - now)}"
        return [warning("not-yet-valid", text, "check this machine's clock, or sign it again")]
    left = signed.ends - now
    if left <= 0:
        text = f"the {signed.service} signature expired {format_span(-left)} ago"
        return [error("expired", text, SIGN_LONGER, certain=-left > _CLOCK_SKEW)]
    if signed.seconds is not None and signed.seconds > _MOST_DAYS:
        text = f"the {signed.service} signature is for {format_span(signed.seconds)}: storage services accept 7 days at most"
        return [warning("signature-days", text, SIGN_LONGER)]
    found = [_time_left(signed.service, left)]
    if signed.temporary:
        text = "the link is signed with temporary credentials: it becomes invalid when they expire, which may be sooner"
        found.append(info("session", text))
    return found


def _time_left(service: str, left: float) -> Finding:
    text = f"the {service} signature expires in {format_span(left)}"
    if left < DOWNLOAD_SECONDS:
        return warning("expiry", f"{text}: a download alone can take 10 minutes", SIGN_LONGER)
    if left < QUEUE_SECONDS + DOWNLOAD_SECONDS:
        text = f"{text}: a build may wait 2 hours in the queue and then download for 10 minutes"
        return warning("expiry", text, SIGN_LONGER)
    return info("expiry", text)


def parse_signature(query: str) -> Signature | None:
    """Return the signature in a query, or None if no expiry can be read.

    Known are S3, GCS and OSS (each in two versions), COS, CloudFront (policies, too), Azure, Swift, Akamai, Discord, JSON web
    tokens, and the secure links of nginx and content delivery networks.
    """
    return _parse_fields(_fields_of(query))


def _parse_fields(fields: Mapping[str, str]) -> Signature | None:
    for service, prefix in (("S3", "x-amz"), ("GCS", "x-goog"), ("OSS", "x-oss"), ("OBS", "x-obs")):
        begins, seconds = _compact_time(fields.get(f"{prefix}-date")), _whole_number(fields.get(f"{prefix}-expires"))
        if begins is not None and seconds is not None:
            return Signature(service, begins + seconds, begins, f"{prefix}-security-token" in fields, seconds)
    if "sig" in fields and (ends := unix_time(fields.get("se"))) is not None:
        return Signature("Azure", ends, unix_time(fields.get("st")))
    if "q-signature" in fields:
        begins, ends = (_whole_number(part) for part in [*fields.get("q-sign-time", "").split(";"), "", ""][:2])
        return None if ends is None else Signature("COS", ends, begins)
    if "policy" in fields and "signature" in fields:
        return _parse_policy(fields["policy"])
    moment = _expiry_time(fields.get("expires"))
    if moment is not None and "signature" in fields:
        return Signature(_service_of(fields), moment, temporary="x-amz-security-token" in fields)
    return _parse_token(fields)


def _service_of(fields: Mapping[str, str]) -> str:
    for name, service in (
        ("googleaccessid", "GCS"), ("key-pair-id", "CloudFront"), ("ossaccesskeyid", "OSS"), ("keyname", "Cloud CDN"),
        ("accesskeyid", "OBS"),
    ):  # fmt: skip
        if name in fields:
            return service
    return "S3"


def _parse_token(fields: Mapping[str, str]) -> Signature | None:
    """Return a signature that is a token or a secure link."""
    for service, mark, name in _UNIX_PAIRS:
        if mark in fields and (moment := _expiry_time(fields.get(name))) is not None:
            return Signature(service, moment)
    for name in ("hdnea", "hdnts", "__token__", "__gda__"):
        match = re.search(r"(?:^|~)exp=([0-9]{9,11})(?:~|$)", fields.get(name, ""))
        if match is not None:
            return Signature("Akamai", float(match[1]))
    if "hm" in fields and re.fullmatch(r"[0-9a-f]{8}", fields.get("ex", "")):
        return Signature("Discord", float(int(fields["ex"], 16)))
    for name in ("token", "jwt", "access_token"):
        if fields.get(name, "").count(".") == 2 and (ends := _jwt_expiry(fields[name])) is not None:
            return Signature("token", ends)
    return None


def _parse_policy(text: str) -> Signature | None:
    policy = _cloudfront_policy(text)
    ends = _policy_number(policy, "DateLessThan")
    return None if ends is None else Signature("CloudFront", ends, _policy_number(policy, "DateGreaterThan"))


def _cloudfront_policy(text: str | None) -> Mapping[str, object]:
    """Return the conditions of a CloudFront policy: JSON in base64 with -, _ and ~ for +, = and /."""
    policy = _object(_parse_json(_decode_base64((text or "").translate(_POLICY_LETTERS))))
    statements = policy.get("Statement")
    return _object(_object(statements[0] if isinstance(statements, list) and statements else None).get("Condition"))


_POLICY_LETTERS = str.maketrans("-_~", "+=/")


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _policy_number(policy: Mapping[str, object], name: str) -> float | None:
    value = _object(policy.get(name)).get("AWS:EpochTime")
    return float(value) if isinstance(value, int) and 0 < value < 10**12 else None


def _policy_address(policy: Mapping[str, object]) -> str:
    value = _object(policy.get("IpAddress")).get("AWS:SourceIp")
    return value if isinstance(value, str) and not value.endswith("/0") else ""


def _jwt_expiry(token: str) -> float | None:
    value = _object(_parse_json(_decode_base64(token.split(".")[1].translate(str.maketrans("-_", "+/"))))).get("exp")
    return float(value) if isinstance(value, int) and 10**8 < value < 10**12 else None


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text[:8192].rstrip("=") + "=" * (-len(text[:8192].rstrip("=")) % 4))
    except ValueError:
        return b""


def _parse_json(data: bytes) -> object:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def _whole_number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) <= 12 else None


def _expiry_time(text: str | None) -> float | None:
    """Return a Unix time, which for Swift may be written as a date; small numbers are versions or counters."""
    moment = _whole_number(text)
    if moment is None:
        return unix_time(text) if text and "T" in text else None
    return moment if moment >= 10**8 else None


def _compact_time(text: str | None) -> float | None:
    try:
        return datetime.strptime(text or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
