"""Host names: their addresses within a time limit, and errors that say why a host could not be reached."""

import socket
from threading import Thread

from spcli.errors import NotSent

_JOIN_SLICE = 0.25
NAME_HINT = "check the host name and the network; behind a proxy, set HTTPS_PROXY; with a VPN, connect it first"


def look_up(host: str, port: int, seconds: float, *, name: str = "", hint: str = NAME_HINT) -> list[str]:
    """Return the host's addresses. The system's resolver has no timeout, so it runs in a thread that is abandoned after it.

    Args:
        name: the host in an error, if it has another name there.

    Raises:
        NotSent: no address; `transient` unless the name does not exist.
    """
    result = _resolve_name(host, port, seconds)
    if isinstance(result, list) and result:
        return list(dict.fromkeys(result))
    name = name or host
    if result is None:
        raise NotSent(f"cannot resolve {name}: the name server did not answer in time", hint=hint)
    is_temporary = isinstance(result, socket.gaierror) and result.errno in (socket.EAI_AGAIN, socket.EAI_FAIL)
    reason = "the name server did not answer" if is_temporary else "unknown host"
    raise NotSent(f"cannot resolve {name}: {reason}", hint=hint, transient=is_temporary)


def _resolve_name(host: str, port: int, seconds: float) -> list[str] | Exception | None:
    box: list[list[str] | Exception] = []

    def ask_resolver() -> None:
        try:
            box.append([_address_text(entry[4]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)])
        except (OSError, UnicodeError) as error:
            box.append(error)

    thread = Thread(target=ask_resolver, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # A limit of processes allows no thread. The resolver's own limit, usually half a minute, then bounds the look-up.
        ask_resolver()
    # In slices: on Windows, Ctrl-C waits until a join ends.
    while thread.is_alive() and seconds > 0:
        thread.join(min(seconds, _JOIN_SLICE))
        seconds -= _JOIN_SLICE
    return box[0] if box else None


def _address_text(sockaddr: tuple[object, ...]) -> str:
    scope = sockaddr[3] if len(sockaddr) == 4 else 0
    return f"{sockaddr[0]}%{scope}" if scope and "%" not in str(sockaddr[0]) else str(sockaddr[0])


def connect_error(where: str, cause: BaseException | None) -> NotSent:
    """Return the failure for a `host:port` that no address could be connected to; `cause` is the last address's."""
    if cause is None or isinstance(cause, TimeoutError):
        return NotSent(f"cannot connect to {where}: timed out")
    if isinstance(cause, ConnectionRefusedError):
        return NotSent(f"{where} refused the connection")
    reason = getattr(cause, "strerror", None)
    return NotSent(f"cannot connect to {where}" + (f": {reason}" if reason else ""))
