"""Finding and reaching a host within a bound, and saying in our own words why it could not be reached."""

import socket
import ssl
from collections.abc import Callable, Iterator

from spcli.errors import NotSent

CONNECT_SECONDS = 4.0
HANDSHAKE_SECONDS = 10.0
_JOIN_SLICE = 0.25
_TRUST_HINT = "if a company proxy or a private CA is in the way, point SSL_CERT_FILE to its certificates"


def each_address(host: str, port: int, seconds_left: Callable[[], float]) -> Iterator[tuple[str, float]]:
    """The host's addresses in the system's order, each with the seconds a connection to it may take.

    At most 4 s each, and never so long that the addresses after it get no turn: one family may be a black hole.

    Raises:
        NotSent: the name has no address, or the time is over.
    """
    addresses = look_up(host, port, seconds_left())
    for index, address in enumerate(addresses):
        seconds = min(CONNECT_SECONDS, seconds_left() / (len(addresses) - index))
        if seconds <= 0:
            return
        yield address, seconds


def look_up(host: str, port: int, seconds: float) -> list[str]:
    """The host's addresses. The system's resolver knows no timeout, so it works in a thread that is left behind when time is up.

    Raises:
        NotSent: no address; `transient` unless the name is known not to exist.
    """
    if _is_literal(host):
        return [host]
    found = _resolve(host, port, seconds)
    if isinstance(found, list) and found:
        return list(dict.fromkeys(found))
    if found is None:
        raise NotSent(f"the address of {host} could not be found in time", hint=_NAME_HINT)
    again = isinstance(found, socket.gaierror) and found.errno in (socket.EAI_AGAIN, socket.EAI_FAIL)
    reason = "the name server did not answer" if again else "unknown host"
    raise NotSent(f"the address of {host} could not be found: {reason}", hint=_NAME_HINT, transient=again)


_NAME_HINT = "check the host name and the network; behind a proxy set HTTPS_PROXY, with a VPN connect first"


def _is_literal(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def _resolve(host: str, port: int, seconds: float) -> list[str] | Exception | None:
    from threading import Thread

    box: list[list[str] | Exception] = []

    def ask() -> None:
        try:
            box.append([_address(entry[4]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            box.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    # Windows holds Ctrl-C back for as long as a join lasts.
    while thread.is_alive() and seconds > 0:
        thread.join(min(seconds, _JOIN_SLICE))
        seconds -= _JOIN_SLICE
    return box[0] if box else None


def _address(sockaddr: tuple[object, ...]) -> str:
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{sockaddr[0]}%{scope}" if scope and "%" not in str(sockaddr[0]) else str(sockaddr[0])


def unreachable(where: str, cause: BaseException | None) -> NotSent:
    """The failure for a `host:port` none of whose addresses took the connection; `cause` is the last one's."""
    if cause is None or isinstance(cause, TimeoutError):
        return NotSent(f"{where} could not be reached in time")
    if isinstance(cause, ConnectionRefusedError):
        return NotSent(f"{where} refused the connection")
    reason = getattr(cause, "strerror", None)
    return NotSent(f"{where} could not be reached" + (f": {reason}" if reason else ""))


def tls_refusal(host: str, cause: BaseException) -> NotSent:
    """The failure of a TLS handshake. A certificate stays wrong; a connection that broke off may work the next time."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return NotSent(f"the certificate of {host} was not accepted: {cause.verify_message}", hint=_TRUST_HINT, transient=False)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return NotSent(f"{host} broke the TLS handshake off")
    if isinstance(cause, (ssl.SSLError, ValueError)):
        return NotSent(f"{host} does not speak TLS that can be used here", hint=_TRUST_HINT, transient=False)
    return NotSent(f"{host} did not finish the TLS handshake in time")
