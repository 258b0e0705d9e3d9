"""Routes: directly or through a proxy, from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the system's setting.

Proxy URLs may hold a password, so no message shows one: a bad variable is named, never quoted.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from spcli.errors import NotSent, SpcliError
from spcli.models import Secret
from spcli.transport.request import Origin, bracketed_host

if TYPE_CHECKING:
    from spcli.transport.tls import Trust

_ENTRY_LENGTH = 60


class Proxy(NamedTuple):
    """A proxy. `variable` is the setting that names it; `scheme` is `http` or `https`."""

    variable: str
    scheme: str
    host: str
    port: int
    user: Secret | None = None
    password: Secret | None = None

    @property
    def label(self) -> str:
        """Return the proxy in a message."""
        return f"the proxy {bracketed_host(self.host)}:{self.port} ({self.variable})"


class Route(NamedTuple):
    """How to reach an origin. `trust` is None without TLS; `notes` are settings that are ignored."""

    proxy: Proxy | None
    trust: "Trust | None"
    notes: tuple[str, ...]


class _Setting(NamedTuple):
    variable: str
    value: Secret


def find_route(origin: Origin, environ: Mapping[str, str]) -> Route:
    """Return how to reach `origin`.

    Raises:
        SpcliError: `config`, for a proxy or CA variable that cannot be used.
    """
    proxy = proxy_for(origin.scheme, origin.host, origin.port, environ)
    notes = () if is_loopback(origin.host) else no_proxy_notes(environ)
    if "https" not in (origin.scheme, proxy and proxy.scheme):
        return Route(proxy, None, notes)
    from spcli.transport.tls import load_trust  # ssl is heavy, and a sandbox needs none

    trust = load_trust(environ)
    return Route(proxy, trust, (*notes, *trust.notes))


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for `scheme://host:port`, None for a direct connection, as to this machine.

    Raises:
        SpcliError: `config`, naming the variable, for a proxy URL that cannot be used, SOCKS included.
    """
    if is_loopback(host):
        return None
    settings = proxy_settings(environ)
    if not settings and sys.platform in ("darwin", "win32"):
        return _system_proxy(scheme, host)
    setting = settings.get(scheme) or settings.get("all")
    if setting is None or any(_entry_matches(entry, host, port) for entry in _no_proxy_entries(settings)):
        return None
    return parse_proxy(setting.variable, setting.value.reveal())


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine, by name or address (`127.evil.com` is not)."""
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
            if value.strip() and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in environ):
                settings[scheme] = _Setting(name, Secret(value.strip()))
            elif lower_only:
                settings.pop(scheme, None)
    return settings


def _system_proxy(scheme: str, host: str) -> Proxy | None:
    from urllib.request import getproxies, proxy_bypass  # heavy

    url = getproxies().get(scheme)
    return parse_proxy("the system's proxy setting", url) if url and not proxy_bypass(host) else None


def no_proxy_notes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each entry of `NO_PROXY` that cannot be read, if a proxy is set."""
    settings = proxy_settings(environ)
    if not settings.keys() - {"no"} or "no" not in settings:
        return ()
    variable = settings["no"].variable
    return tuple(
        f"ignoring {_printable_entry(entry)} in {variable}: not a host, address or network"
        for entry in _no_proxy_entries(settings)
        if not _is_readable(entry)
    )


def _printable_entry(entry: str) -> str:
    return repr(entry.rpartition("@")[2][:_ENTRY_LENGTH])


def _no_proxy_entries(settings: Mapping[str, _Setting]) -> list[str]:
    """Return the entries, separated by commas, semicolons or spaces, each reduced to a host, address or network and its port.

    As in curl and requests, a scheme, a path and dots around a name are dropped; `*.corp` means the same as `.corp`.
    """
    if "no" not in settings:
        return []
    entries = re.split(r"[,;\s]+", settings["no"].value.reveal().lower())
    return [_normalize_entry(entry) for entry in entries if entry]


def _normalize_entry(entry: str) -> str:
    entry = entry.rpartition("://")[2].rpartition("@")[2]
    head, slash, tail = entry.partition("/")
    if slash and not (re.fullmatch(r"[0-9.]+", tail) and _is_address(head.strip("[]"))):
        entry = head  # the slash begins a path, not the mask of a network
    if entry == "*":
        return entry
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and "/" not in entry and (":" not in name or name.endswith("]")):
        return f"{_normalize_name(name)}:{port}"
    return _normalize_name(entry)


def _normalize_name(name: str) -> str:
    return name.removeprefix("*").strip(".") if name.startswith("*.") else name.strip(".")


def _is_readable(entry: str) -> bool:
    """Return whether an entry is a host, `*`, an address or a network, perhaps with a port."""
    name, _ = _split_port(entry)
    if name.count("[") != name.count("]"):
        return False
    if "/" in name or ":" in name:
        try:
            ip_network(name.replace("[", "").replace("]", ""), strict=False)
        except ValueError:
            return False
        return True
    return re.fullmatch(r"[\w.*<>-]+", name) is not None


def _split_port(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and "/" not in entry and (":" not in name or name.endswith("]")):
        return name, int(port)
    return entry, None


def _entry_matches(entry: str, host: str, port: int) -> bool:
    """Return whether an entry covers `host:port`: by name with its subdomains, wildcard, address or network."""
    name, entry_port = _split_port(entry)
    host = host.lower().rstrip(".")
    if entry_port not in (None, port) or not name:
        return False
    if name == "<local>":  # Windows: names without a dot
        return "." not in host and ":" not in host
    name = name.replace("[", "").replace("]", "")
    if _is_address(host):
        try:
            return ip_address(host) in ip_network(name, strict=False)
        except ValueError:
            return "*" in name and fnmatchcase(host, name)
    if "*" in name:
        return fnmatchcase(host, name)
    if not name.isascii():
        name = _ascii_name(name)
    return host == name or host.endswith(f".{name}")


def _ascii_name(name: str) -> str:
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def parse_proxy(variable: str, url: str) -> Proxy:
    """Return the proxy of a URL; `host:port` alone means `http://`.

    The user and password end at the last `@`, so a password may hold `#`, `/`, `?` and `[` as they are, as in curl.

    Raises:
        SpcliError: `config`, naming the variable and what is wrong with it, never its value.
    """
    scheme, _, rest = url.strip().partition("://") if "://" in url else ("http", "", url.strip())
    login, at, address = rest.rpartition("@")
    scheme = scheme.lower()
    if scheme.startswith("socks"):
        raise _proxy_error(variable, "SOCKS proxies are not supported")
    if scheme not in ("http", "https"):
        raise _proxy_error(variable, "its scheme is neither http nor https")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[\w.-]+)(?::([0-9]{0,5}))?", re.split(r"[/?#]", address, maxsplit=1)[0])
    if match is None or not match[1].isascii() or (match[1].startswith("[") and not _is_address(match[1].strip("[]"))):
        raise _proxy_error(variable, "its host or port is malformed")
    port = int(match[2]) if match[2] else 443 if scheme == "https" else 80
    if not 0 < port < 65536:
        raise _proxy_error(variable, "its host or port is malformed")
    user, _, password = login.partition(":")
    secrets = (Secret(unquote(user)), Secret(unquote(password))) if at else (None, None)
    return Proxy(variable, scheme, match[1].strip("[]"), port, *secrets)


def _proxy_error(variable: str, reason: str) -> SpcliError:
    return SpcliError("config", f"cannot use {variable}: {reason}", hint=f"set {variable} to http://HOST:PORT, or unset it")


def login_error(proxy: Proxy, challenges: Sequence[str]) -> NotSent:
    """Return the failure for a proxy's 407; `challenges` are its `Proxy-Authenticate` headers."""
    schemes = _login_schemes(challenges)
    if schemes and "basic" not in schemes:
        names = " or ".join({"ntlm": "NTLM", "negotiate": "Negotiate (Kerberos)"}.get(one, one.capitalize()) for one in schemes)
        message = f"{proxy.label} accepts only {names} logins, which spcli does not support"
        return NotSent(message, hint="run a local proxy that logs in for you, such as px or cntlm", transient=False)
    if proxy.user is None:
        hint = f"add them to {proxy.variable}: http://USER:PASSWORD@HOST:PORT"
        return NotSent(f"{proxy.label} asks for a user and password", hint=hint, transient=False)
    hint = f"check them in {proxy.variable}; write special characters as %XX, such as %40 for @ and %25 for %"
    return NotSent(f"{proxy.label} rejected the user and password", hint=hint, transient=False)


def _login_schemes(challenges: Iterable[str]) -> list[str]:
    """Return the schemes of `Proxy-Authenticate` headers, in lower case and without repeats."""
    plain = ",".join(re.sub(r'"[^"]*"', "", challenge) for challenge in challenges)
    words = [part.split(None, 1)[0].lower() for part in plain.split(",") if part.strip()]
    return list(dict.fromkeys(word for word in words if "=" not in word))


def tunnel_error(proxy: Proxy, host_port: str, status: int | None, *, timed_out: bool) -> NotSent:
    """Return the failure for a proxy that did not open a tunnel to `host_port`; `status` is its answer's, if it gave one."""
    if status is None:
        what = "did not answer in time" if timed_out else "closed the connection"
        message = f"{proxy.label} {what} when asked to connect to {host_port}"
        return NotSent(message, hint=f"check that {proxy.variable} names an HTTP proxy")
    hint = f"ask the proxy's administrator to allow {host_port}, or add the host to NO_PROXY if it can be reached directly"
    return NotSent(f"{proxy.label} refused to connect to {host_port}: HTTP {status}", hint=hint)


def proxy_tls_error(proxy: Proxy, failure: NotSent) -> NotSent:
    """Return a failed TLS handshake with the proxy itself: most proxies speak plain HTTP, also to reach https URLs."""
    url = f"http://{bracketed_host(proxy.host)}:{proxy.port}"
    hint = f"try {proxy.variable}={url}: most proxies speak plain HTTP, also for https URLs"
    return NotSent(failure.message, hint=hint, transient=False)
