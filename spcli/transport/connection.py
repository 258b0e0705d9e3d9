"""The wire: one connection of httpcore's whose every wait ends with the call's deadline, and which knows whether bytes had left.

httpcore is the engine of httpx. It has no total timeout (a server that drips bytes holds it for ever), and its errors can't tell
"never sent" from "maybe processed"; its network backend and its trace can, and both are used here. It does nothing of its own
accord: no cookies, no redirects, no decoding, nothing from the environment.
"""

import ssl
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from spcli.errors import SpcliError
from spcli.transport.dns import HANDSHAKE_SECONDS, each_address, tls_refusal, unreachable
from spcli.transport.exchange import Answer, Exchange
from spcli.transport.libraries import httpcore
from spcli.transport.proxies import Proxy
from spcli.transport.request import Call, Origin, content, headers, target

_T = TypeVar("_T")
BODY_LIMIT = 8 * 1024 * 1024
IDLE_SECONDS = 20.0
_PIECE = 16 * 1024
# A wait on Windows holds Ctrl-C back until it ends, so long ones are cut into slices.
_SLICE = 0.5
_LOGGERS = ("httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks")
WIRE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
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
            secured: httpcore.NetworkStream
            if isinstance(self._inner.get_extra_info("socket"), ssl.SSLSocket):
                secured = _TlsInTls(self._inner, ssl_context, server_hostname, seconds)
            else:
                secured = self._inner.start_tls(ssl_context, server_hostname, seconds)
            self._backend.secured(secured)
            return _Stream(secured, self._backend)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError, ValueError) as error:
            failure = error
        self._inner.close()
        raise tls_refusal(server_hostname or "the server", failure.__cause__ or failure)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _TlsInTls(httpcore.NetworkStream):
    """TLS to the service inside TLS to the proxy.

    httpcore has one, which gives every piece that arrives the whole timeout again.
    """

    def __init__(self, outer: httpcore.NetworkStream, context: ssl.SSLContext, name: str | None, timeout: float) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._run(self._tls.do_handshake, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._run(lambda: self._tls.read(max_bytes), timeout)
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._run(lambda: self._tls.write(buffer), timeout)

    def _run(self, step: Callable[[], _T], timeout: float | None) -> _T:
        """Take `step` until it has all the bytes it wants from the proxy, `timeout` seconds at most."""
        end = time.monotonic() + (timeout or 0.0)
        while True:
            wants = False
            try:
                return step()
            except ssl.SSLWantReadError:
                wants = True
            finally:
                # Also the last word of a handshake that fails.
                if self._outgoing.pending:
                    self._outer.write(self._outgoing.read(), max(0.001, end - time.monotonic()))
                if wants:
                    self._take(end - time.monotonic())

    def _take(self, seconds: float) -> None:
        if seconds <= 0:
            raise httpcore.ReadTimeout
        if data := self._outer.read(_PIECE, seconds):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def close(self) -> None:
        self._outer.close()

    def get_extra_info(self, info: str) -> object:
        return self._tls if info == "ssl_object" else self._outer.get_extra_info(info)


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


class Wire:
    """One connection of httpcore's, kept while it can be used again."""

    def __init__(self, *, tls: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        # They write every target, the key in it, and exist once httpcore is imported; `logging` with them.
        logging = sys.modules["logging"]
        for name in _LOGGERS:
            logging.getLogger(name).disabled = True
        self._backend = _Backend(proxy)
        self._pool = _pool(self._backend, tls, proxy)
        self._connection: httpcore.ConnectionInterface | None = None
        self._is_at_rest = True

    @property
    def address(self) -> str:
        """The address last connected to, the proxy's where there is one; empty before."""
        return self._backend.address

    @property
    def tls(self) -> tuple[str | None, Mapping[str, object]]:
        """TLS version of the last handshake and the server's certificate as `ssl.getpeercert` gives it; `None` without TLS."""
        return self._backend.tls_version, self._backend.certificate or {}

    def fetch(self, request: httpcore.Request, exchange: Exchange, *, limit: int = BODY_LIMIT) -> Answer | SpcliError:
        """Send `request` and read its answer. Failures come back instead of being raised: so no httpcore error is their context.

        A body over `limit` bytes is cut there, and the connection closed. An interruption passes through.
        """
        self._backend.exchange = exchange
        connection, self._is_at_rest = self._usable(), False
        try:
            request.extensions["trace"] = exchange.trace if connection is None else None
            if connection is None:
                # httpcore's pool knows the way, straight or by a proxy; what it has for keeping several is half of a call's time.
                connection = self._connection = self._pool.create_connection(request.url.origin)
            else:
                # Nothing comes before the request any more, and telling so five times takes a tenth of the call.
                exchange.begin_request()
            response = connection.handle_request(request)
        except SpcliError as error:
            return error.with_traceback(None)
        except WIRE_ERRORS as error:
            return exchange.verdict(error)
        answer = _read(response, limit)
        self._is_at_rest = True
        return answer

    def close(self) -> None:
        """Close the connection, if any. A later `fetch` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _usable(self) -> httpcore.ConnectionInterface | None:
        """The kept connection, if it is fit: an interrupted call may have left a lock held, and the next would wait for ever."""
        kept = self._connection
        if kept is None or not self._is_at_rest or not kept.is_available() or kept.has_expired():
            self.close()
        return self._connection


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


def build_request(call: Call, origin: Origin, fresh: bool) -> httpcore.Request:
    """`call` as it goes out."""
    body = content(call)
    return _request(call.method, origin, target(call, origin.prefix), headers(origin, body, fresh), body)


def aim(request: httpcore.Request, call: Call, origin: Origin) -> httpcore.Request:
    """An earlier GET's `request` as that of `call`, another GET: two hundred pages differ in their target alone."""
    request.url.target = target(call, origin.prefix)
    return request


def build_get(origin: Origin, target: bytes, fields: Sequence[tuple[str, str]]) -> httpcore.Request:
    """A GET of `target`, byte for byte: a signature covers the query as it was written."""
    return _request("GET", origin, target, [("Host", origin.authority), *fields], None)


def _request(
    method: str, origin: Origin, target: bytes, fields: Sequence[tuple[str, str]], body: bytes | None
) -> httpcore.Request:
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.stated_port, target=target)
    return httpcore.Request(method, url, headers=fields, content=body, extensions={})


def _read(response: httpcore.Response, limit: int) -> Answer:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers)
    chunks, left, is_cut = list[bytes](), limit, False
    try:
        for chunk in response.iter_stream():
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                break
    except WIRE_ERRORS:
        is_cut = True
    finally:
        response.close()
    return Answer(response.status, headers, b"".join(chunks)[:limit], oversized=left < 0, cut=is_cut)
