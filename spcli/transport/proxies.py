"""Proxies: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, then the system's setting.

Values may hold a password, so no message shows one: a bad variable is named, never quoted.
"""

import sys
from collections.abc import Mapping
from typing import NamedTuple

from spcli.errors import NotSent, SpcliError
from spcli.models import Secret


class Proxy(NamedTuple):
    """A proxy. `variable` is the setting that names it; `scheme` is `http` or `https`."""

    variable: str
    scheme: str
    host: str
    port: int
    user: Secret | None = None
    password: Secret | None = None


class _Setting(NamedTuple):
    variable: str
    value: Secret


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for `scheme://host:port`, None for a direct connection, as to this machine.

    Raises:
        SpcliError: `config`, naming the variable, for a proxy URL or a `NO_PROXY` entry that cannot be used, SOCKS included.
    """
    if is_loopback(host):
        return None
    settings = proxy_settings(environ)
    if not settings and sys.platform in ("darwin", "win32"):
        return _system_proxy(scheme, host)
    setting = settings.get(scheme) or settings.get("all")
    if setting is None:
        return None
    if "no" in settings and is_bypassed(host, port, settings["no"]):
        return None
    return parse_proxy(setting.variable, setting.value.reveal())


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine, by name or address (`127.evil.com` is not)."""
    from ipaddress import ip_address

    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def proxy_settings(environ: Mapping[str, str]) -> dict[str, _Setting]:
    """Return the `*_proxy` variables by scheme. Lower case wins; an empty lower-case variable switches the other off.

    Under CGI, `HTTP_PROXY` is a header of the client's request (CVE-2016-1000110), so only the lower-case variable counts.
    """
    settings = {}
    for lower_only in (False, True):
        for name, value in environ.items():
            if not name.lower().endswith("_proxy") or (lower_only and not name.endswith("_proxy")):
                continue
            scheme = name.lower().removesuffix("_proxy")
            if value and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
                settings[scheme] = _Setting(name, Secret(value))
            elif lower_only:
                settings.pop(scheme, None)
    return settings


def _system_proxy(scheme: str, host: str) -> Proxy | None:
    from urllib.request import getproxies, proxy_bypass

    url = getproxies().get(scheme)
    return parse_proxy("the system's proxy setting", url) if url and not proxy_bypass(host) else None


def is_bypassed(host: str, port: int, setting: _Setting) -> bool:
    """Return whether `NO_PROXY` lists the host: `*`, a name (with its subdomains), an address, a network, a port where given.

    Raises:
        SpcliError: `config`, for an entry that is none of these.
    """
    entries = [entry.strip().lower() for entry in setting.value.reveal().split(",")]
    # Read every entry, so that a bad one is reported even if an earlier one matches.
    verdicts = [_entry_matches(entry, host.lower(), port, setting.variable) for entry in entries if entry]
    return any(verdicts)


def _entry_matches(entry: str, host: str, port: int, variable: str) -> bool:
    from ipaddress import ip_address, ip_network

    if entry == "*":
        return True
    try:
        if "/" in entry or (entry.count(":") > 1 and not entry.startswith("[")):
            network = ip_network(entry, strict=False)
            return _is_address(host) and ip_address(host) in network
        name, entry_port = _split_port(entry)
    except ValueError:
        raise SpcliError(
            "config", f"{variable} has an entry that is not a host, address or network", hint=f"fix {variable}, or unset it"
        ) from None
    name = name.lstrip(".")
    return entry_port in (None, port) and (host == name or (host.endswith(f".{name}") and not _is_address(host)))


def _split_port(entry: str) -> tuple[str, int | None]:
    from ipaddress import ip_address

    if entry.startswith("["):
        address, bracket, rest = entry[1:].partition("]")
        ip_address(address)
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("unbalanced bracket")
        return address, int(rest[1:]) if rest else None
    name, _, port = entry.partition(":")
    return name, int(port) if port else None


def _is_address(host: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def parse_proxy(variable: str, url: str) -> Proxy:
    """Return the proxy of a URL; `host:port` alone means `http://`.

    Raises:
        SpcliError: `config`, naming the variable and what is wrong with it, never its value.
    """
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise _proxy_error(variable, "its host or port is malformed") from None
    if parts.scheme.startswith("socks"):
        raise _proxy_error(variable, "SOCKS proxies are not supported")
    if parts.scheme not in ("http", "https"):
        raise _proxy_error(variable, "its scheme is neither http nor https")
    if not host or not host.isascii() or not host.isprintable() or " " in host or port == 0:
        raise _proxy_error(variable, "its host or port is malformed")
    user = None if parts.username is None else Secret(unquote(parts.username))
    password = None if parts.username is None else Secret(unquote(parts.password or ""))
    return Proxy(variable, parts.scheme, host, port or (443 if parts.scheme == "https" else 80), user, password)


def _proxy_error(variable: str, reason: str) -> SpcliError:
    return SpcliError("config", f"cannot use {variable}: {reason}", hint=f"set {variable} to http://HOST:PORT, or unset it")


def missing_login() -> NotSent:
    """Return the failure for a proxy's 407."""
    hint = "put them into the proxy variable: http://USER:PASSWORD@HOST:PORT"
    return NotSent("the proxy asks for a user and password", hint=hint, transient=False)
