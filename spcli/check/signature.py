"""Pure: until when a presigned link is valid, compared with the time that the queue and the download take.

Times rest on https://docs.streampixel.io (build lifecycle, dashboard): a build waits for a slot, "over 2 h is unusual", and its
download takes up to 10 minutes.
"""

from typing import NamedTuple
from urllib.parse import parse_qsl

from spcli.check.finding import Finding, format_span, info, warning

QUEUE_SECONDS = 2 * 3600
DOWNLOAD_SECONDS = 600
_CLOCK_SKEW = 300
_SIGN_LONGER = "sign it for 12 hours (for S3: aws s3 presign s3://BUCKET/Game.zip --expires-in 43200)"


class Signature(NamedTuple):
    """The service and validity of a presigned URL, in Unix seconds."""

    service: str
    ends: float
    begins: float | None = None
    temporary: bool = False


def expiry_findings(query: str, now: float) -> list[Finding]:
    """Return how long the link is valid, compared with the time that the queue and the download take."""
    signed = parse_signature(query)
    if signed is None:
        return []
    if signed.begins is not None and signed.begins > now + _CLOCK_SKEW:
        text = f"the {signed.service} signature is not valid for another {format_span(signed.begins - now)}"
        return [warning("not-yet-valid", text, "check this machine's clock, or sign it again")]
    left = signed.ends - now
    if left <= 0:
        return [warning("expired", f"the {signed.service} signature expired {format_span(-left)} ago", _SIGN_LONGER)]
    found = [_time_left(signed.service, left)]
    if signed.temporary:
        text = "the link is signed with temporary credentials: it becomes invalid when they expire, which may be sooner"
        found.append(info("session", text))
    return found


def _time_left(service: str, left: float) -> Finding:
    text = f"the {service} signature expires in {format_span(left)}"
    if left < DOWNLOAD_SECONDS:
        return warning("expiry", f"{text}: a download alone can take 10 minutes", _SIGN_LONGER)
    if left < QUEUE_SECONDS + DOWNLOAD_SECONDS:
        return warning("expiry", f"{text}: a build may wait 2 hours in the queue and then download for 10 minutes", _SIGN_LONGER)
    return info("expiry", text)


def parse_signature(query: str) -> Signature | None:
    """Return the signature in a query (S3 and GCS in both versions, CloudFront, Azure), or None if no expiry can be read."""
    fields = {key.lower(): value for key, value in parse_qsl(query)}
    for service, prefix in (("S3", "x-amz"), ("GCS", "x-goog")):
        begins, seconds = _compact_time(fields.get(f"{prefix}-date")), _whole_number(fields.get(f"{prefix}-expires"))
        if begins is not None and seconds is not None:
            return Signature(service, begins + seconds, begins, "x-amz-security-token" in fields)
    if "sig" in fields and (ends := _iso_time(fields.get("se"))) is not None:
        return Signature("Azure", ends, _iso_time(fields.get("st")))
    moment = _whole_number(fields.get("expires"))
    if moment is not None and "signature" in fields:
        service = "GCS" if "googleaccessid" in fields else "CloudFront" if "key-pair-id" in fields else "S3"
        return Signature(service, moment)
    return None


def _whole_number(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) <= 12 else None


def _compact_time(text: str | None) -> float | None:
    from datetime import UTC, datetime

    try:
        return datetime.strptime(text or "", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _iso_time(text: str | None) -> float | None:
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
