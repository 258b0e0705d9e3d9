"""The only importer of httpcore, the engine of httpx; it takes what spcli needs of it and keeps it quiet.

httpx itself would add cookies, redirects, a log of every URL, and a fifth of a command's time. httpcore does nothing on its own:
no cookies, no redirects, no decoding, nothing from the environment.
"""

import importlib
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from spcli.transport.proxies import Proxy

__all__ = ["WIRE_ERRORS", "httpcore", "open_pool"]

IDLE_SECONDS = 20.0


@contextmanager
def _substitute_modules(**others: ModuleType | None) -> Iterator[None]:
    """While importing, replace modules that are not imported yet by others; None makes a module impossible to import."""
    placed = {name: other for name, other in others.items() if name not in sys.modules}
    sys.modules.update(placed)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in placed:
            del sys.modules[name]


def _late_certifi() -> ModuleType:
    """Return a certifi that is imported when called. httpcore calls it for a TLS context of its own, and spcli passes one."""
    stand_in = ModuleType("certifi")
    setattr(stand_in, "where", lambda: importlib.import_module("certifi").where())  # noqa: B010
    return stand_in


# spcli uses nothing asynchronous, and httpcore copes with a missing anyio. Both imports would cost 40 ms.
with _substitute_modules(anyio=None, certifi=_late_certifi()):
    import httpcore

# These loggers write every request target, which holds the key. httpcore has imported `logging`.
for _name in ("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks"):
    sys.modules["logging"].getLogger(_name).disabled = True

WIRE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    OSError,
)


def open_pool(backend: httpcore.NetworkBackend, tls: ssl.SSLContext | None, proxy: Proxy | None) -> httpcore.ConnectionPool:
    """Return httpcore's pool, which knows how to connect: directly or through `proxy`."""
    if proxy is None:
        return httpcore.ConnectionPool(ssl_context=tls, keepalive_expiry=IDLE_SECONDS, network_backend=backend)
    login = None
    if proxy.user is not None and proxy.password is not None:
        login = (proxy.user.reveal().encode(errors="replace"), proxy.password.reveal().encode(errors="replace"))
    return httpcore.HTTPProxy(
        httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/"),
        proxy_auth=login,
        ssl_context=tls,
        proxy_ssl_context=tls if proxy.scheme == "https" else None,
        keepalive_expiry=IDLE_SECONDS,
        network_backend=backend,
    )
