"""Pure: the one judge of a build's URL. `upload` and `check` act on its findings before anything is fetched.

The service downloads the build from a direct link (https://docs.streampixel.io, upload-file). Presigned links carry a query,
which an older page forbids and the newest one uses.
"""

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, parse_qsl, urlsplit

from spcli.check.finding import Finding, error, info, warning
from spcli.check.names import split_part
from spcli.check.signature import signature_findings
from spcli.errors import SpcliError
from spcli.models import bare_url
from spcli.transport.proxies import is_loopback
from spcli.transport.request import bracketed_host, parse_origin

MALFORMED = frozenset({"url", "scheme", "userinfo"})
"""Codes of errors in a URL that cannot even be sent: `upload` treats them as a usage error."""
_GET_LINK = (
    "put the zip on S3, GCS, Azure or any web server and pass its direct https link "
    "(for S3: aws s3 presign s3://BUCKET/Game.zip --expires-in 43200)"
)
_USE_BUCKET = "put the zip into a bucket (S3, GCS, Azure) or on any web server, and pass the direct link"
_HOST_LIMIT = 1000
_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]{1,20}|[0-9]{1,20})(?:\.(?:0x[0-9a-f]{1,20}|[0-9]{1,20})){0,3}", re.IGNORECASE)
_DRIVE_FILE = re.compile(r"/file/(?:u/[0-9]{1,4}/)?d/([A-Za-z0-9_-]{10,100})(?:/|$)")
_DRIVE_ID = re.compile(r"[A-Za-z0-9_-]{10,100}")


def judge_url(url: str, *, now: float, local_api: bool) -> list[Finding]:
    """Return what is wrong with `url`, or may be; no text contains its query, user or password.

    Args:
        now: Unix seconds, to compare signatures with.
        local_api: the API is on this machine, so it reaches private hosts.
    """
    problem = _syntax_problem(url)
    if problem is not None:
        return [problem]
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not local_api and is_private_host(host):
        return [error("private-host", f"{bracketed_host(host)} is a private address: Streampixel cannot reach it", _USE_BUCKET)]
    share = share_page(parts)
    if share is not None:
        return [share]
    signed = signature_findings(parts.query, host.lower(), now) if parts.query else []
    if parts.query and not signed:
        text = "the URL has a query: if it is a signature, it must stay valid until the download starts, which can take 2 hours"
        signed = [info("query", text)]
    return [*_form_findings(parts), *signed]


def malformed_url(findings: Sequence[Finding]) -> SpcliError | None:
    """Return the usage error for a URL that cannot be sent, or None."""
    for finding in findings:
        if finding.code in MALFORMED:
            return SpcliError("usage", finding.message, hint=finding.hint, outcome="not_sent")
    return None


def _syntax_problem(url: str) -> Finding | None:
    if " " in url or not url.isprintable():
        position = next(place for place, one in enumerate(url, 1) if one == " " or not one.isprintable())
        text = f"the URL has a space or control character at position {position}"
        return error("url", text, "write a space in a URL as %20")
    if not url:
        return error("url", "the URL is empty", _GET_LINK)
    if "://" not in url:
        return _without_scheme(url)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return error("url", "the URL's host or port is invalid", _GET_LINK)
    if parts.scheme.lower() not in ("http", "https"):
        return error("scheme", "the URL must begin with https:// or http://", _GET_LINK)
    if not host:
        return error("url", "the URL has no host", _GET_LINK)
    # A name has at most 253 characters; encoding a longer one takes seconds.
    if len(host) > _HOST_LIMIT:
        return error("url", "the URL's host is too long", _GET_LINK)
    if "@" in parts.netloc:
        hint = "use a public or presigned link: Streampixel cannot log in"
        return error("userinfo", "the URL contains a user or password", hint)
    try:
        parse_origin(url)
    except SpcliError:
        return error("url", "the URL's host is invalid", _GET_LINK)
    return None


def _without_scheme(text: str) -> Finding:
    if is_host_name(text.partition("/")[0]) and "/" in text:
        return error("scheme", "not a URL: https:// is missing at the start", f"did you mean https://{bare_url(text)}?")
    is_word = not any(mark in text for mark in ("/", "\\", ".", ":", "~"))
    return error("scheme", "not an http(s) URL" if is_word else "this is a local file, not a URL", _GET_LINK)


def is_host_name(text: str) -> bool:
    """Return whether `text` reads as a host name: labels separated by dots, the last of letters only and not `zip`."""
    labels = text.lower().partition(":")[0].split(".")
    plain = all(label and label.replace("-", "").isalnum() and label.isascii() for label in labels)
    return plain and len(labels) > 1 and labels[-1].isalpha() and labels[-1] != "zip"


def _form_findings(parts: SplitResult) -> list[Finding]:
    doubts = []
    if parts.scheme.lower() == "http":
        text = "the URL is http: anyone on the network path can read or change the build"
        doubts.append(warning("http", text, "use an https link"))
    if parts.fragment:
        text = "the URL has a #, and everything after it is not sent to the host"
        doubts.append(warning("fragment", text, "write %23 for a # in a file name"))
    part = split_part(parts.path)
    if part is not None:
        text = f"the URL names one part of a split archive ({part}): Streampixel takes a whole zip only"
        doubts.append(warning("name", text, "join the parts into one .zip file (7-Zip: Combine Files)"))
    elif not parts.path.lower().endswith(".zip"):
        text = "the URL's path does not end in .zip: Streampixel takes zip files only"
        doubts.append(warning("name", text, "name the object like Game-1.4.zip"))
    return doubts


def is_private_host(host: str) -> bool:
    """Return whether only this machine or its network can know `host`: by name, or by an address in any spelling."""
    host = host.lower().rstrip(".")
    if is_loopback(host) or host.endswith(_PRIVATE_SUFFIXES):
        return True
    address = _plain_address(host) if _NUMERIC.fullmatch(host) else host
    return is_private_address(address) or not ("." in host or ":" in host or address != host)


def _plain_address(host: str) -> str:
    """Return a numeric host in dotted form: `127.1` and `2130706433` are `127.0.0.1` to every resolver."""
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def is_private_address(address: str) -> bool:
    """Return whether an IP address does not belong to the public internet; a name is not an address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    public = mapped or parsed
    return not public.is_global or public.is_multicast


def share_page(parts: SplitResult) -> Finding | None:
    """Return the error for a link to a page with a download button, with the direct form if there is one."""
    host = (parts.hostname or "").lower().rstrip(".")
    query = {key.lower(): value for key, value in parse_qsl(parts.query)}
    if host in ("drive.google.com", "docs.google.com"):
        match = _DRIVE_FILE.match(parts.path)
        file_id = match[1] if match else query.get("id", "")
        file_id = file_id if _DRIVE_ID.fullmatch(file_id) else "ID"
        direct = f"https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t"
        return _share_error("Google Drive", f"its direct form is {direct}, but Drive limits downloads; better: {_USE_BUCKET}")
    if _belongs_to(host, "dropbox.com") and query.get("dl") != "1" and query.get("raw") != "1":
        hint = "its direct form is the same link on the host dl.dropboxusercontent.com with dl=1 in its query"
        return _share_error("Dropbox", hint)
    # The last form is what SharePoint's own pages sign for a download.
    path = parts.path.lower()
    is_direct = path.startswith("/download") or path.endswith("/download.aspx") or query.get("download") == "1"
    if host == "1drv.ms" or (not is_direct and any(_belongs_to(host, site) for site in ("onedrive.live.com", "sharepoint.com"))):
        return _share_error("OneDrive", f"it has no lasting direct form: {_USE_BUCKET}")
    if _belongs_to(host, "wetransfer.com") or host == "we.tl":
        return _share_error("WeTransfer", f"it has no direct form: {_USE_BUCKET}")
    return None


def _belongs_to(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _share_error(service: str, hint: str) -> Finding:
    return error("share-page", f"the link leads to a {service} page with a download button, not to the file", hint)
