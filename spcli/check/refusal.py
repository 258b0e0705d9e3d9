"""Pure: explain a storage host's refusal by its status, its own error code, and what the URL itself says."""

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from spcli.check.finding import Finding, error
from spcli.check.signature import SIGN_LONGER, Signature
from spcli.transport.ranges import Part
from spcli.transport.request import bracketed_host
from spcli.transport.response import http_date

BODY_LIMIT = 16 * 1024
_MESSAGE_LIMIT = 160
_CLOCK_SKEW = 300
_FIELD = r"<{0}>\s{{0,9}}([^<>]{{1,500}})</{0}>"
_JSON_FIELD = r'"(?:{0})"\s{{0,9}}:\s{{0,9}}"([^"\\]{{1,500}})"'
# Codes of a bad or expired signature: every client gets them. Others, such as AccessDenied, may depend on who asks.
_BAD_SIGNATURE = frozenset(
    [
        "signaturedoesnotmatch",
        "invalidaccesskeyid",
        "expiredtoken",
        "expiredrequest",
        "requestexpired",
        "invalidtoken",
        "tokenrefreshrequired",
        "authorizationqueryparameterserror",
        "authorizationheadermalformed",
        "invalidsecurity",
        "invalidsecuritytoken",
        "securitytokenexpired",
        "authenticationfailed",
        "malformedpolicy",
        "missingkey",
        "invalidkey",
        "malformedsignature",
        "invalidsignature",
        "signatureexpired",
        "expired_auth_token",
        "bad_auth_token",
        "invalidjwt",
    ]
)
_CERTAIN = (404, 410)
_REDIRECTS = (301, 302, 303, 307, 308)
_REGION_CODES = ("permanentredirect", "authorizationqueryparameterserror", "authorizationheadermalformed", "temporaryredirect")
_SIGN_AGAIN = "sign it again, and pass the whole URL in quotes"
_CODE_HINTS = {
    "invalidaccesskeyid": "sign it again with an access key that exists",
    "expiredtoken": "the session that signed it has expired: sign it again",
    "nosuchbucket": "the bucket does not exist: check its name and region",
    "authorizationpermissionmismatch": "sign it with read permission (sp=r)",
    "authorizationfailure": "check the storage account's network rules: Streampixel downloads from its own addresses",
    "invalidobjectstate": "the object is in an archive tier: restore it first",
    "blobarchived": "the blob is in the archive tier: restore it first",
}
_STATUS_HINTS = {
    401: "make the object public, or presign the link",
    403: "make the object public, or presign the link with s3:GetObject rights; ignore this if only this machine is refused",
    404: "not found: check the bucket, the path and upper/lower case",
    410: "the file is gone: put the zip there again",
    416: "upload the zip again",
    429: "the host limits requests: try again in a minute",
    503: "the host is busy: try again in a minute",
}
_DIRECT = "pass the final link, without a page or login in between: Streampixel does not follow redirects"
# Headers by which firewalls mark the answers that they give to clients they take for robots.
_BOT_HEADERS = ("cf-mitigated", "x-amzn-waf-action", "x-vercel-mitigated", "x-sucuri-block", "x-datadome")
_EXPLAINING = ("expired", "not-yet-valid", "incomplete-query", "signature-headers", "signature-days", "ip-bound", "fragment")


class HostError(NamedTuple):
    """A storage host's own words in an error body: XML as S3, GCS, Azure and OSS send it, or JSON."""

    code: str
    message: str
    region: str
    is_expired: bool


def read_host_error(body: bytes, code: str = "") -> HostError:
    """Return the code, message and region in an error body; "" for what is missing. Azure repeats its code in a header."""
    text = body[:BODY_LIMIT].decode("utf-8", "replace")
    code = _xml_field("Code", text) or _json_field("code|error", text) or code
    message = _xml_field("Message", text) or _json_field("message", text)
    # S3 and OSS say when the signature expired and what time it is there.
    expires, server_time = _xml_field("Expires", text), _xml_field("ServerTime", text)
    is_expired = expires[:2] == "20" and server_time[:2] == "20" and server_time > expires
    is_code = re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) is not None
    return HostError(code if is_code else "", " ".join(message.split())[:_MESSAGE_LIMIT], _region_name(text), is_expired)


def _xml_field(name: str, text: str) -> str:
    match = re.search(_FIELD.format(name), text)
    return "" if match is None else match[1].strip()


def _json_field(names: str, text: str) -> str:
    match = re.search(_JSON_FIELD.format(names), text) if text.lstrip()[:1] == "{" else None
    return "" if match is None else match[1].strip()


def _region_name(text: str) -> str:
    region = _xml_field("Region", text)
    return region if re.fullmatch(r"[a-z0-9-]{1,30}", region) else ""


def judge_refusal(part: Part, *, signature: Signature | None, url_findings: Sequence[Finding], now: float) -> Finding:
    """Return the finding for an answer of 300 or more, together with what explains it.

    Only a missing file and a bad or expired signature are the same for every client: a 403 may be meant for this machine.

    Args:
        now: Unix seconds of this machine's clock, used if the host does not send its own.
    """
    host_error = read_host_error(part.body, part.header("x-ms-error-code"))
    if 300 <= part.status < 400:
        return _redirect(part, host_error)
    code = f" {host_error.code}" if host_error.code else ""
    text = f"the storage host answered {part.status}{code}{f': {host_error.message}' if host_error.message else ''}"
    if part.status == 416:
        return error("empty", "the file is empty (HTTP 416)", _STATUS_HINTS[416], certain=False)
    if is_bot_answer(part):
        hint = "let Streampixel's downloads pass the host's firewall; ignore this if it does"
        return error("http-error", f"{text}: its bot protection blocks this client", hint, certain=False)
    is_expired = host_error.is_expired or _is_expired(part, signature, now)
    is_certain = part.status in _CERTAIN or (part.status in (400, 401, 403) and host_error.code.lower() in _BAD_SIGNATURE)
    hint = _hint(part.status, host_error, _region_of(part, host_error))
    explanation = next((finding for finding in url_findings if finding.code in _EXPLAINING), None)
    if explanation is not None and part.status in (400, 401, 403, 404, 410):
        text, hint = f"{text}; {explanation.message}", explanation.hint or hint
    return error("http-error", text, hint, certain=is_certain or (is_expired and part.status in (400, 401, 403)))


def _is_expired(part: Part, signature: Signature | None, now: float) -> bool:
    if signature is None:
        return False
    server_time = http_date(part.header("date"))
    return signature.ends < (server_time or now) - (60 if server_time else _CLOCK_SKEW)


def _hint(status: int, host_error: HostError, region: str) -> str:
    code = host_error.code.lower()
    if region and code in _REGION_CODES:
        return f"the bucket is in {region}: sign it for {region}"
    if host_error.is_expired:
        return SIGN_LONGER
    if code in _CODE_HINTS:
        return _CODE_HINTS[code]
    if code in _BAD_SIGNATURE:
        return _SIGN_AGAIN
    return _STATUS_HINTS.get(status) or (
        "try again in a minute" if status >= 500 else "open the link in a private browser window: it must download at once"
    )


def _region_of(part: Part, host_error: HostError) -> str:
    region = part.header("x-amz-bucket-region")
    return host_error.region or (region if re.fullmatch(r"[a-z0-9-]{1,30}", region) else "")


def _redirect(part: Part, host_error: HostError) -> Finding:
    region = _region_of(part, host_error)
    if region and host_error.code.lower() in _REGION_CODES:
        text = f"the storage host answered {part.status} {host_error.code}: the bucket is in another region ({region})"
        return error("redirect", text, f"sign it for {region}, or use the bucket's address in {region}")
    location = part.header("location")
    if not location:
        text = f"the storage host answered {part.status} without a Location"
        return error("redirect", text, "check the link in a browser", certain=part.status in _REDIRECTS)
    try:
        host = urlsplit(location).hostname or ""
    except ValueError:
        host = ""
    return error("redirect", f"the link redirects{f' to {bracketed_host(host)}' if host else ''} (HTTP {part.status})", _DIRECT)


def is_bot_answer(part: Part) -> bool:
    """Return whether a firewall answered in place of the host, because it takes this client for a robot."""
    return any(part.header(name) for name in _BOT_HEADERS)
