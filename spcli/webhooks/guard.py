"""Pure: which requests the receiver takes.

Deliveries are not signed, so an unguessable token in the path stands for a signature. A browser must not be able to deliver
(cross-site requests carry `Origin` or `Sec-Fetch-Site`), nor a name rebound to this machine (`Host` must be one of ours).
"""

import hmac
from collections.abc import Collection, Mapping
from typing import NamedTuple

from spcli.webhooks.payload import BODY_LIMIT

PREFIX = "/hooks/"


class Rules(NamedTuple):
    """The token that must end the path, and the values that `Host` may have, in lower case.

    `any_address`: the port of a socket on every address of this machine, which may then be called by any of them.
    """

    token: str
    hosts: Collection[str]
    any_address: int | None = None


class Refusal(NamedTuple):
    """Why a request is not taken: the HTTP status and a word for the sender."""

    status: int
    reason: str


def refusal(method: str, path: str, headers: Mapping[str, list[str]], rules: Rules) -> Refusal | None:
    """Why a request with these headers (names in lower case) is not taken, `None` if it is."""
    hosts = [host.strip().lower() for host in headers.get("host", [])]
    if len(hosts) != 1 or not (hosts[0] in rules.hosts or _is_address(hosts[0], rules.any_address)):
        return Refusal(403, "host not allowed")
    if "origin" in headers or "sec-fetch-site" in headers:
        return Refusal(403, "browsers are not served")
    if not is_ours(path, rules.token):
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


def is_ours(path: str, token: str) -> bool:
    """Whether the path ends in the token, compared in constant time."""
    return hmac.compare_digest(path.encode("utf-8", "surrogateescape"), (PREFIX + token).encode())


def _is_address(host: str, port: int | None) -> bool:
    """Whether `host` is an address with this port: a name could be rebound to it, an address cannot."""
    from ipaddress import ip_address

    address, _, told = host.rpartition(":") if port != 80 or host.rpartition(":")[2] == "80" else (host, "", "80")
    try:
        return port is not None and told == str(port) and bool(ip_address(address.strip("[]")))
    except ValueError:
        return False


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def allowed_hosts(host: str, port: int, public_host: str | None) -> frozenset[str]:
    """The values of `Host` that lead here: loopback's names, the address bound to, and a tunnel's name."""
    bracketed = f"[{host}]" if ":" in host else host
    names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", bracketed.lower())}
    if port == 80:
        names |= {name.rpartition(":")[0] for name in names}
    if public_host:
        # Clients leave the scheme's own port out, whether it was written in the URL or not.
        names |= {public_host.lower(), public_host.lower().removesuffix(":443").removesuffix(":80")}
    return frozenset(names)
