"""Pure: what a URL tells before anything is fetched: scheme, host, share pages, and how long its signature lasts.

Times rest on https://docs.streampixel.io (build lifecycle, dashboard): a build waits for a slot, "over 2 h is unusual", and its
download takes up to 10 minutes.
"""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from spcli.check import url as file_url
from spcli.check.finding import Finding, error, info, warning
from spcli.errors import SpcliError
from spcli.transport.proxies import is_loopback
from spcli.transport.request import parse_origin

QUEUE_SECONDS = 2 * 3600
DOWNLOAD_SECONDS = 600
_CLOCK_SKEW = 300
_BUCKET = "put the zip into a bucket (S3, GCS, Azure) or on any web server, and pass the direct link"
_SIGN_LONGER = "sign it for 12 hours (for S3: aws s3 presign s3://BUCKET/Game.zip --expires-in 43200)"
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+)){0,3}", re.IGNORECASE)
_DRIVE_FILE = re.compile(r"/file/(?:u/[0-9]+/)?d/([A-Za-z0-9_-]{10,100})(?:/|$)")


class Signature(NamedTuple):
    """Whose signature a link bears, and from when until when it holds, in Unix seconds."""

    service: str
    ends: float
    begins: float | None = None
    temporary: bool = False


def url_findings(url: str, *, now: float, local_api: bool) -> list[Finding]:
    """What is wrong with `url`, or may be; none of the texts holds its query.

    Args:
        now: Unix seconds, to compare signatures with.
        local_api: the API is on this machine, so it reaches private hosts.
    """
    try:
        file_url.notes_on(url)
        parse_origin(url)
    except SpcliError as problem:
        if problem.kind != "usage":
            return [error("url", "the URL's host cannot be read", file_url.HOW_TO_GET_ONE)]
        return [error(_unfit_code(url), problem.message, problem.hint)]
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not local_api and is_private(host):
        return [error("private-host", f"{host} is an address that only this network knows: Streampixel cannot reach it", _BUCKET)]
    share = share_page(parts)
    return [share] if share is not None else [*_doubts(parts), *expiry_findings(parts.query, now)]


def _unfit_code(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in ("http", "https"):
        return "scheme"
    return "userinfo" if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0] else "url"


def _doubts(parts: SplitResult) -> list[Finding]:
    doubts = []
    if parts.scheme.lower() == "http":
        doubts.append(warning("http", "the URL is http: anybody on the way can read or change the build", "use an https link"))
    if not parts.path.lower().endswith(".zip"):
        doubts.append(warning("name", "the URL's path does not end in .zip", "name the object like Game-1.4.zip"))
    return doubts


def is_private(host: str) -> bool:
    """Whether only this machine or its network can know `host`: by name, or by an address in any spelling resolvers take."""
    host = host.lower().rstrip(".")
    if is_loopback(host) or host.endswith(_PRIVATE_SUFFIXES):
        return True
    address = _numeric(host) if _NUMERIC.fullmatch(host) else host
    return is_private_address(address) or not ("." in host or ":" in host or address != host)


def _numeric(host: str) -> str:
    """`127.1` and `2130706433` are `127.0.0.1` to every resolver."""
    import socket

    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def is_private_address(address: str) -> bool:
    """Whether an IP address is not one of the public internet; a name is not an address."""
    from ipaddress import IPv6Address, ip_address

    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    found = mapped or found
    return not found.is_global or found.is_multicast


def share_page(parts: SplitResult) -> Finding | None:
    """The finding for a link to a page that shows a download button, with the direct form where one exists."""
    host = (parts.hostname or "").lower().rstrip(".")
    query = {key.lower(): value for key, value in parse_qsl(parts.query)}
    if host in ("drive.google.com", "docs.google.com"):
        found = _DRIVE_FILE.match(parts.path)
        direct = f"https://drive.usercontent.google.com/download?id={found[1] if found else 'ID'}&export=download&confirm=t"
        return _share("Google Drive", f"its direct form is {direct}, but Drive limits downloads; better: {_BUCKET}")
    if _is_at(host, "dropbox.com") and query.get("dl") != "1" and query.get("raw") != "1":
        return _share(
            "Dropbox", "the same link on the host dl.dropboxusercontent.com, with dl=1 in its query, is the direct form"
        )
    # The last is what SharePoint's own pages sign for a download.
    path = parts.path.lower()
    is_direct = path.startswith("/download") or path.endswith("/download.aspx") or query.get("download") == "1"
    if host == "1drv.ms" or (not is_direct and any(_is_at(host, site) for site in ("onedrive.live.com", "sharepoint.com"))):
        return _share("OneDrive", f"it has no lasting direct form: {_BUCKET}")
    if _is_at(host, "wetransfer.com") or host == "we.tl":
        return _share("WeTransfer", f"it has no direct form: {_BUCKET}")
    return None


def _is_at(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _share(service: str, hint: str) -> Finding:
    return error("share-page", f"that is a {service} page with a download button, not the file", hint)


def expiry_findings(query: str, now: float) -> list[Finding]:
    """How long the link holds, against the time that queue and download take."""
    signed = signature(query)
    if signed is None:
        return []
    if signed.begins is not None and signed.begins > now + _CLOCK_SKEW:
        return [
            warning("not-yet-valid", f"the {signed.service} signature holds only in {span(signed.begins - now)}", "sign it anew")
        ]
    left = signed.ends - now
    if left <= 0:
        return [warning("expired", f"the {signed.service} signature expired {span(-left)} ago", _SIGN_LONGER)]
    found = [_lasting(signed.service, left)]
    if signed.temporary:
        found.append(
            info(
                "session",
                "the link is signed with temporary credentials: it ends with their session, perhaps before its own time",
            )
        )
    return found


def _lasting(service: str, left: float) -> Finding:
    text = f"the {service} signature expires in {span(left)}"
    if left < DOWNLOAD_SECONDS:
        return warning("expiry", f"{text}: a download alone can take 10 minutes", _SIGN_LONGER)
    if left < QUEUE_SECONDS + DOWNLOAD_SECONDS:
        return warning(
            "expiry", f"{text}: a build may wait up to 2 hours in the queue, then downloads for 10 minutes", _SIGN_LONGER
        )
    return info("expiry", text)


def signature(query: str) -> Signature | None:
    """The signature in a query: S3 and GCS (both versions), CloudFront, Azure; `None` without one whose end can be read."""
    fields = {key.lower(): value for key, value in parse_qsl(query)}
    for service, prefix in (("S3", "x-amz"), ("GCS", "x-goog")):
        begins, seconds = _compact_time(fields.get(f"{prefix}-date")), _whole(fields.get(f"{prefix}-expires"))
        if begins is not None and seconds is not None:
            return Signature(service, begins + seconds, begins, "x-amz-security-token" in fields)
    if "sig" in fields and (ends := _iso_time(fields.get("se"))) is not None:
        return Signature("Azure", ends, _iso_time(fields.get("st")))
    moment = _whole(fields.get("expires"))
    if moment is not None and "signature" in fields:
        service = "GCS" if "googleaccessid" in fields else "CloudFront" if "key-pair-id" in fields else "S3"
        return Signature(service, moment)
    return None


def _whole(text: str | None) -> float | None:
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


def span(seconds: float) -> str:
    """A length of time in words: `45 minutes`, `3 h 20 min`, `6 days`."""
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} minute{'s' * (minutes != 1)}" if minutes else f"{int(seconds)} seconds"
    hours, minutes = divmod(minutes, 60)
    if hours >= 72:
        return f"{hours // 24:,} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
