"""Decide which requests the receiver accepts; pure.

Deliveries are not signed, so a secret token in the path takes the place of a signature. A browser must not be able to deliver
(cross-site requests carry `Origin` or `Sec-Fetch-Site`), nor a name that was rebound to this machine (`Host` must be allowed).
"""

import hmac
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from spcli.transport.request import bracketed_host
from spcli.webhooks.payload import BODY_LIMIT

PREFIX = "/hooks/"
HEAD_LIMIT = 16 * 1024


class AccessRules(NamedTuple):
    """The token at the end of the path, and the allowed values of `Host`, in lower case.

    `any_address`: the port of a socket that listens on every address; `Host` may then be any address with that port.
    """

    token: str
    hosts: Collection[str]
    any_address: int | None = None


class Refusal(NamedTuple):
    """Why a request is refused: the HTTP status and a reason for the sender.

    `lost_host`: the `Host` of a delivery with the right token, which is lost although it is probably real.
    """

    status: int
    reason: str
    lost_host: str | None = None


def refusal(method: str, path: str, headers: Mapping[str, list[str]], rules: AccessRules) -> Refusal | None:
    """Return why a request with these headers (names in lower case) is refused, or None if it is accepted."""
    if len(path) + sum(len(name) + len(value) for name, values in headers.items() for value in values) > HEAD_LIMIT:
        return Refusal(431, "request head too large")
    is_browser = "origin" in headers or "sec-fetch-site" in headers
    hosts = [host.strip().lower() for host in headers.get("host", [])]
    if len(hosts) != 1 or not (hosts[0] in rules.hosts or _is_address(hosts[0], rules.any_address)):
        is_lost = len(hosts) == 1 and method == "POST" and not is_browser and has_token(path, rules.token)
        return Refusal(403, "host not allowed", hosts[0] if is_lost else None)
    if is_browser:
        return Refusal(403, "browsers are not served")
    if not has_token(path, rules.token):
        return Refusal(404, "not found")
    if method != "POST":
        return Refusal(405, "POST only")
    if "content-length" in headers and "transfer-encoding" in headers:
        return Refusal(400, "two lengths")
    if [_media_type(value) for value in headers.get("content-type", [])] != ["application/json"]:
        return Refusal(415, "application/json only")
    if any(not length.isdigit() or int(length[:9]) > BODY_LIMIT for length in headers.get("content-length", [])):
        return Refusal(413, "too large")
    return None


def has_token(path: str, token: str) -> bool:
    """Return whether the path ends in the token, compared in constant time."""
    return hmac.compare_digest(path.encode("utf-8", "surrogateescape"), (PREFIX + token).encode())


def _is_address(host: str, port: int | None) -> bool:
    """Return whether `host` is an address with this port: a name can be rebound, an address can't."""
    address, _, given = host.rpartition(":") if port != 80 or host.rpartition(":")[2] == "80" else (host, "", "80")
    try:
        return port is not None and given == str(port) and bool(ip_address(address.strip("[]")))
    except ValueError:
        return False


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def allowed_hosts(host: str, port: int, public_host: str | None) -> frozenset[str]:
    """Return the values of `Host` that lead here: loopback names, the bound address and the tunnel's name."""
    names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", bracketed_host(host).lower())}
    if port == 80:
        names |= {name.rpartition(":")[0] for name in names}
    if public_host:
        # Clients omit the scheme's own port, even if the URL has it.
        names |= {public_host.lower(), public_host.lower().removesuffix(":443").removesuffix(":80")}
    return frozenset(names)
