"""The wire: httpx over a connection pool whose every wait ends with the call's deadline, and which knows whether bytes had left.

httpx has no total timeout (a server that drips bytes holds it for ever), and its errors can't tell "never sent" from "maybe
processed". Both are known here, below it. Nothing here knows a call's path or query, so no text, log or exception of httpx can
show the key in them.
"""

import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from spcli.errors import SpcliError
from spcli.transport.exchange import Answer, Exchange
from spcli.transport.libraries import httpcore, httpx
from spcli.transport.proxies import Proxy
from spcli.transport.request import Call, Origin, content, headers, target
from spcli.transport.resolve import HANDSHAKE_SECONDS, each_address, tls_refusal, unreachable

BODY_LIMIT = 8 * 1024 * 1024
IDLE_SECONDS = 20.0
_PIECE = 16 * 1024
# A wait on Windows holds Ctrl-C back until it ends, so long ones are cut into slices.
_SLICE = 0.5
_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")
WIRE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpx.HTTPError,
    httpx.InvalidURL,
    OSError,
)


class _Stream(httpcore.NetworkStream):
    """A connection whose reads and writes end with the deadline of the exchange under way."""

    def __init__(self, inner: httpcore.NetworkStream, backend: "_Backend") -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = self._backend.exchange
        seconds = exchange.seconds_left()
        while seconds > 0:
            try:
                data = self._inner.read(max_bytes, timeout=min(seconds, _SLICE))
            except httpcore.ReadTimeout:
                seconds = min(seconds - _SLICE, exchange.seconds_left())
            else:
                exchange.received(data)
                return data
        raise httpcore.ReadTimeout

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: the inner stream gives every partial send the whole timeout again.
        for start in range(0, len(buffer), _PIECE):
            seconds = self._backend.exchange.about_to_write()
            self._inner.write(buffer[start : start + _PIECE], timeout=seconds)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = min(self._backend.exchange.seconds_left(), HANDSHAKE_SECONDS)
        failure: Exception
        try:
            if seconds <= 0:
                raise httpcore.ConnectTimeout
            secured = self._inner.start_tls(ssl_context, server_hostname, seconds)
            self._backend.secured(secured)
            return _Stream(secured, self._backend)
        except (httpcore.ConnectError, httpcore.ConnectTimeout, ValueError) as error:
            failure = error
        self._inner.close()
        raise tls_refusal(server_hostname or "the server", failure.__cause__ or failure)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    """Opens connections within the deadline of the exchange under way, trying every address of the host."""

    exchange: Exchange
    address = ""
    tls_version: str | None = None
    certificate: Mapping[str, object] | None = None

    def __init__(self, proxy: Proxy | None) -> None:
        self._tcp = httpcore.SyncBackend()
        self._role = "" if proxy is None else f"the proxy ({proxy.variable}) "

    def secured(self, stream: httpcore.NetworkStream) -> None:
        """Keep what the TLS handshake agreed upon; through a proxy the last one is the service's."""
        # TLS inside TLS has no socket of its own, only the object; elsewhere httpcore gives out a bare one without a public type.
        for session in (stream.get_extra_info("ssl_object"), stream.get_extra_info("socket")):
            if isinstance(session, ssl.SSLSocket | ssl.SSLObject):
                self.tls_version, self.certificate = session.version(), session.getpeercert()
                return

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception | None = None
        for address, seconds in each_address(host, port, self.exchange.seconds_left):
            try:
                # As bytes, as Python would load its tables of international names to make them out of text.
                where: Any = address.encode()
                stream = self._tcp.connect_tcp(where, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self.address = address
                return _Stream(stream, self)
        raise unreachable(f"{self._role}{host}:{port}", failure and failure.__cause__)


class Wire(httpx.BaseTransport):
    """httpx's transport over httpcore's pool. The request's real target comes in an extension; answers' headers go out in one.

    httpx sees neither: it would log the target, and act on `Location`, `Set-Cookie` and `Content-Encoding`.
    """

    def __init__(self, *, tls: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        self._backend = _Backend(proxy)
        self._pool = _pool(self._backend, tls, proxy)

    @property
    def address(self) -> str:
        """The address last connected to, the proxy's where there is one; empty before."""
        return self._backend.address

    @property
    def tls(self) -> tuple[str | None, Mapping[str, object]]:
        """TLS version of the last handshake and the server's certificate as `ssl.getpeercert` gives it; `None` without TLS."""
        return self._backend.tls_version, self._backend.certificate or {}

    def begin(self, exchange: Exchange) -> None:
        """Make `exchange` the one under way."""
        self._backend.exchange = exchange

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.extensions["target"]
        url = request.url
        inner = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=target),
            headers=request.headers.raw,
            content=request.stream,
            extensions={"trace": self._backend.exchange.trace},
        )
        response = self._pool.handle_request(inner)
        return httpx.Response(response.status, stream=_Body(response), extensions={"raw_headers": response.headers})

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


def _pool(backend: _Backend, tls: ssl.SSLContext | None, proxy: Proxy | None) -> httpcore.ConnectionPool:
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


def open_client(wire: Wire) -> httpx.Client:
    """An httpx client that sends through `wire` and does nothing of its own accord: no redirects, no environment, no logs."""
    # httpx logs every URL; both loggers exist once it is imported, and `logging` with them.
    logging = sys.modules["logging"]
    for name in _LOGGERS:
        logging.getLogger(name).disabled = True
    return httpx.Client(transport=wire, trust_env=False, follow_redirects=False, timeout=None)


def build_request(call: Call, origin: Origin, fresh: bool) -> httpx.Request:
    """`call` as httpx gets it: its URL is the origin alone, so nothing httpx logs or raises can show the query with the key."""
    extensions = {"target": target(call, origin.prefix)}
    return httpx.Request(call.method, _root(origin), headers=headers(call, fresh), content=content(call), extensions=extensions)


def build_get(origin: Origin, target: bytes, fields: dict[str, str]) -> httpx.Request:
    """A GET of `target`, byte for byte: a signature covers the query as it was written."""
    return httpx.Request("GET", _root(origin), headers=fields, extensions={"target": target})


@lru_cache(4)
def _root(origin: Origin) -> httpx.URL:
    """The origin as a URL, taken apart once: a long list has hundreds of pages."""
    return httpx.URL(f"{origin.scheme}://{origin.where}/")


def fetch(client: httpx.Client, request: httpx.Request, exchange: Exchange, *, limit: int = BODY_LIMIT) -> Answer | SpcliError:
    """Send `request` and read its answer. Failures come back instead of being raised: so no httpx error is their context.

    A body over `limit` bytes is cut there, and the connection closed. What the gate raises beyond `SpcliError` (an interruption)
    passes through.
    """
    try:
        response = client.send(request, stream=True)
    except SpcliError as error:
        return error.with_traceback(None)
    except WIRE_ERRORS as error:
        return exchange.verdict(error)
    try:
        return _read(response, limit)
    finally:
        response.close()


def _read(response: httpx.Response, limit: int) -> Answer:
    raw: list[tuple[bytes, bytes]] = response.extensions["raw_headers"]
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw)
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > limit:
                return Answer(response.status_code, headers, bytes(body[:limit]), oversized=True)
    except WIRE_ERRORS:
        return Answer(response.status_code, headers, bytes(body), cut=True)
    return Answer(response.status_code, headers, bytes(body))
