"""Connections: every wait ends with the call's deadline, and a failure says whether the request had left.

This file is the only importer of httpcore, the engine of httpx, which would add cookies, redirects, a log of every URL, and a
fifth of a command's time. httpcore does nothing on its own: no cookies, no redirects, no decoding, nothing from the environment.

httpcore has no total timeout (a server that drips bytes holds it for ever), and its errors cannot tell "never sent" from "maybe
processed". Its network backend and its trace can; both are used here.
"""

import importlib
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, TypeVar

from spcli.clock import Clock
from spcli.errors import NotSent, SpcliError, Unclear
from spcli.models import iso_utc
from spcli.transport.dns import NAME_HINT, connect_error, look_up
from spcli.transport.proxies import Proxy, Route, login_error, proxy_tls_error, tunnel_error
from spcli.transport.request import Call, Origin, bracketed_host, encode_body, encode_target, request_headers
from spcli.transport.response import Answer, status_of_head
from spcli.transport.tls import HANDSHAKE_SECONDS, PROXY_HANDSHAKE_SECONDS, UntrustedCertificate, handshake_error

# spcli uses nothing asynchronous, and httpcore copes with a missing anyio. It asks certifi only for a TLS context of its own, and
# spcli passes one. Both imports would cost 40 ms.
_CERTIFI = ModuleType("certifi")
setattr(_CERTIFI, "where", lambda: importlib.import_module("certifi").where())  # noqa: B010
_STAND_INS: dict[str, ModuleType | None] = {"anyio": None, "certifi": _CERTIFI}
_PLACED = {name: module for name, module in _STAND_INS.items() if name not in sys.modules}
sys.modules.update(_PLACED)  # type: ignore[arg-type]
try:
    import httpcore
finally:
    for _name in _PLACED:
        del sys.modules[_name]

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

_T = TypeVar("_T")
BODY_LIMIT = 8 * 1024 * 1024
_PIECE = 16 * 1024
CONNECT_SECONDS = 4.0
IDLE_SECONDS = 20.0
_HEAD_KEPT = 4096
# On Windows, Ctrl-C waits until a socket wait ends, so long waits are cut into slices.
_SLICE = 0.5


class Exchange:
    """The state of one call, kept by httpcore's trace hook and the connection under it.

    Args:
        host_port: `host:port` of the service, for messages.
        deadline: reading of `clock.mono()` by which everything is over.

    Attributes:
        sent_at: reading of `clock.mono()` when the request's first byte was about to leave, None before.
        received_bytes: bytes of the response that have arrived, headers included.
    """

    def __init__(self, host_port: str, *, clock: Clock, deadline: float) -> None:
        self.sent_at: float | None = None
        self.received_bytes = 0
        self._host_port = host_port
        self._clock = clock
        self._deadline = deadline
        self._speaks_to_service = False
        self._head = b""
        self._connecting = False
        self._proxy_status: int | None = None
        self._challenges: list[str] = []

    def seconds_left(self) -> float:
        """Return the rest of the call's time; 0 or less when it is over."""
        return self._deadline - self._clock.mono()

    def local_time(self) -> str:
        """Return what this machine's clock shows, to the minute."""
        return iso_utc(self._clock.wall())[: len("2026-04-30T14:00")].replace("T", " ") + " UTC"

    def trace_event(self, name: str, info: dict[str, object]) -> None:
        """Follow httpcore's trace. A CONNECT goes to the proxy only: the service's first byte comes after it."""
        if name == "http11.send_request_headers.started":
            self._connecting = getattr(info["request"], "method", b"") == b"CONNECT"
            if not self._connecting:
                self.begin_request()
        elif name == "http11.receive_response_headers.complete" and self._connecting:
            result = info["return_value"]
            if isinstance(result, tuple):
                self._proxy_status = result[1]
                self._challenges = [value.decode("latin-1") for name, value in result[3] if name.lower() == b"proxy-authenticate"]

    def begin_request(self) -> None:
        """Count the next write as the request's first. Raises `NotSent` when the call's time is over."""
        if self.seconds_left() <= 0:
            raise self._too_late()
        self._speaks_to_service = True

    def _too_late(self) -> NotSent:
        return NotSent(f"the time for this call was over before it was sent to {self._host_port}")

    def about_to_write(self) -> float:
        """Return how many seconds the next write may take, and remember when the request's first one began."""
        # Read again here: the process may have been stopped since the request began.
        now = self._clock.mono()
        if now >= self._deadline:
            raise httpcore.WriteTimeout
        if self._speaks_to_service and self.sent_at is None:
            # Before the write, so that a signal that arrives during it finds the time.
            self.sent_at = now
        return self._deadline - now

    def keep_head(self, data: bytes) -> None:
        """Count the response's bytes and keep the first: its status counts even if the rest never comes."""
        if self._speaks_to_service:
            self.received_bytes += len(data)
            if len(self._head) < _HEAD_KEPT:
                self._head += data

    def classify_failure(self, error: Exception, proxy: Proxy | None) -> Answer | SpcliError:
        """Return what an error of the connection means for the call."""
        if self.sent_at is None:
            return self._not_sent(error, proxy)
        status = status_of_head(self._head)
        if status is not None:
            return Answer(status, cut=True)
        if isinstance(error, httpcore.TimeoutException):
            return Unclear(f"{self._host_port} did not answer in time")
        if self._head:
            return Unclear(f"the answer of {self._host_port} broke off or is not HTTP", is_over=True)
        return Unclear(f"{self._host_port} closed the connection without an answer", is_over=True)

    def _not_sent(self, error: Exception, proxy: Proxy | None) -> NotSent:
        timed_out = isinstance(error, httpcore.TimeoutException)
        if self._connecting and proxy is not None:
            if self._proxy_status == 407:
                return login_error(proxy, self._challenges)
            return tunnel_error(proxy, self._host_port, self._proxy_status, timed_out=timed_out)
        if timed_out:
            return self._too_late()
        transient = isinstance(error, (httpcore.NetworkError, OSError))
        return NotSent(f"could not send anything to {self._host_port}", transient=transient)


class _Stream(httpcore.NetworkStream):
    """A stream whose reads and writes end with the deadline of the exchange in progress."""

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
                exchange.keep_head(data)
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
        is_nested = isinstance(self._inner.get_extra_info("socket"), ssl.SSLSocket)
        proxy = None if is_nested else self._backend.tls_proxy
        seconds = min(self._backend.exchange.seconds_left(), PROXY_HANDSHAKE_SECONDS if proxy else HANDSHAKE_SECONDS)
        failure: Exception
        try:
            if seconds <= 0:
                raise httpcore.ConnectTimeout
            secured: httpcore.NetworkStream
            if is_nested:
                secured = _TlsInTls(self._inner, ssl_context, server_hostname, seconds)
            else:
                secured = self._inner.start_tls(ssl_context, server_hostname, seconds)
            self._backend.keep_session(secured)
            return _Stream(secured, self._backend)
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError, ValueError) as error:
            failure = error
        self._inner.close()
        raise self._handshake_error(bracketed_host(server_hostname or "the server"), failure.__cause__ or failure, proxy)

    def _handshake_error(self, host: str, cause: BaseException, proxy: Proxy | None) -> NotSent:
        error = handshake_error(proxy.label if proxy else host, cause, self._backend.exchange.local_time())
        return error if proxy is None or isinstance(error, UntrustedCertificate) else proxy_tls_error(proxy, error)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> object:
        return self._inner.get_extra_info(info)


class _TlsInTls(httpcore.NetworkStream):
    """TLS to the service inside TLS to the proxy.

    httpcore's own gives every piece that arrives the whole timeout again.
    """

    def __init__(self, outer: httpcore.NetworkStream, context: ssl.SSLContext, name: str | None, timeout: float) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._run_step(self._tls.do_handshake, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._run_step(lambda: self._tls.read(max_bytes), timeout)
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._run_step(lambda: self._tls.write(buffer), timeout)

    def _run_step(self, step: Callable[[], _T], timeout: float | None) -> _T:
        """Repeat `step` until it has all the bytes it needs from the proxy, for at most `timeout` seconds."""
        end = time.monotonic() + (timeout or 0.0)
        while True:
            wants = False
            try:
                return step()
            except ssl.SSLWantReadError:
                wants = True
            finally:
                # A handshake that fails also sends a last record.
                if self._outgoing.pending:
                    self._outer.write(self._outgoing.read(), max(0.001, end - time.monotonic()))
                if wants:
                    self._receive_piece(end - time.monotonic())

    def _receive_piece(self, seconds: float) -> None:
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
    """Opens connections within the deadline of the exchange in progress, trying every address of the host."""

    exchange: Exchange
    address = ""
    tls_version: str | None = None
    certificate: Mapping[str, object] | None = None

    def __init__(self, proxy: Proxy | None) -> None:
        self._tcp = httpcore.SyncBackend()
        self._proxy = proxy

    @property
    def tls_proxy(self) -> Proxy | None:
        """Return the proxy, if it is reached over TLS."""
        return self._proxy if self._proxy is not None and self._proxy.scheme == "https" else None

    def keep_session(self, stream: httpcore.NetworkStream) -> None:
        """Keep the result of a TLS handshake; through a proxy the last one is the service's."""
        # TLS inside TLS has no socket of its own, only the object; elsewhere httpcore returns one without a public type.
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
        addresses = [host] if is_address(host) else self._look_up(host, port)
        for index, address in enumerate(addresses):
            seconds = connect_seconds(self.exchange.seconds_left(), len(addresses) - index)
            if seconds <= 0:
                break
            try:
                # As bytes: for text Python would load its tables of international names.
                encoded: Any = address.encode()
                stream = self._tcp.connect_tcp(encoded, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self.address = address
                return _Stream(stream, self)
        label = f"{bracketed_host(host)}:{port}" if self._proxy is None else self._proxy.label
        raise connect_error(label, failure and failure.__cause__)

    def _look_up(self, host: str, port: int) -> list[str]:
        name, hint = (host, NAME_HINT) if self._proxy is None else (self._proxy.label, f"check {self._proxy.variable}")
        return look_up(host, port, self.exchange.seconds_left(), name=name, hint=hint)


class HttpConnection:
    """One connection to a service, kept while it can be used again."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._backend = _Backend(route.proxy)
        self._pool = open_pool(self._backend, route.trust.context if route.trust else None, route.proxy)
        self._connection: httpcore.ConnectionInterface | None = None
        self._is_at_rest = True

    @property
    def address(self) -> str:
        """Return the address last connected to, which is the proxy's if there is one; empty before."""
        return self._backend.address

    @property
    def tls_session(self) -> tuple[str | None, Mapping[str, object]]:
        """Return the last handshake's TLS version and certificate (as `ssl.getpeercert` returns it); None without TLS."""
        return self._backend.tls_version, self._backend.certificate or {}

    def fetch(self, request: httpcore.Request, exchange: Exchange, *, limit: int = BODY_LIMIT) -> Answer | SpcliError:
        """Send `request` and read its answer. Failures are returned, so that no httpcore error becomes their context.

        A body over `limit` bytes is cut there, and the connection closed. An interruption passes through.
        """
        answer = self._fetch_once(request, exchange, limit)
        trust = self._route.trust
        if isinstance(answer, UntrustedCertificate) and trust is not None and trust.add_bundle():
            return self._fetch_once(request, exchange, limit)
        return answer

    def _fetch_once(self, request: httpcore.Request, exchange: Exchange, limit: int) -> Answer | SpcliError:
        self._backend.exchange = exchange
        connection, self._is_at_rest = self._reusable_connection(), False
        try:
            request.extensions["trace"] = exchange.trace_event if connection is None else None
            if connection is None:
                # httpcore's pool knows how to connect; managing several connections would take half of a call's time.
                connection = self._connection = self._pool.create_connection(request.url.origin)
            else:
                # Nothing precedes the request on a kept connection, and tracing it takes a tenth of the call.
                exchange.begin_request()
            response = connection.handle_request(request)
        except SpcliError as error:
            return error.with_traceback(None)
        except WIRE_ERRORS as error:
            return exchange.classify_failure(error, self._route.proxy)
        answer = _read_answer(response, limit)
        self._is_at_rest = True
        return answer

    def close(self) -> None:
        """Close the connection, if any. A later `fetch` opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _reusable_connection(self) -> httpcore.ConnectionInterface | None:
        """Return the kept connection if it is fit; an interrupted call may have left its lock held, and the next would hang."""
        kept = self._connection
        if kept is None or not self._is_at_rest or not kept.is_available() or kept.has_expired():
            self.close()
        return self._connection


def connect_seconds(left: float, addresses: int) -> float:
    """Return how long connecting to one of `addresses` not tried yet may take.

    At most 4 s, and never so long that those after it are not tried: one address family may be unreachable.
    """
    return min(CONNECT_SECONDS, left / addresses)


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address, which needs no look-up."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


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


def build_request(call: Call, origin: Origin, fresh: bool) -> httpcore.Request:
    """Return `call` as an HTTP request."""
    body = encode_body(call)
    return _new_request(call.method, origin, encode_target(call, origin.prefix), request_headers(origin, body, fresh), body)


def retarget_get(request: httpcore.Request, call: Call, origin: Origin) -> httpcore.Request:
    """Point an earlier GET's `request` to the target of `call`: the pages of a list differ in nothing else."""
    request.url.target = encode_target(call, origin.prefix)
    return request


def build_get(origin: Origin, target: bytes, fields: Sequence[tuple[str, str]]) -> httpcore.Request:
    """Return a GET of `target`, byte for byte: a signature covers the query as it was written."""
    return _new_request("GET", origin, target, [("Host", origin.host_header), *fields], None)


def _new_request(
    method: str, origin: Origin, target: bytes, fields: Sequence[tuple[str, str]], body: bytes | None
) -> httpcore.Request:
    url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.stated_port, target=target)
    return httpcore.Request(method, url, headers=fields, content=body, extensions={})


def _read_answer(response: httpcore.Response, limit: int) -> Answer:
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
