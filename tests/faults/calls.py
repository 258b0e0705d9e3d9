"""The transport's calls as tests make them: a read, a write, and what became of them."""

import contextlib
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.output.redact import Redactor, redact_key
from spcli.transport import Call, Reply, Transport

KEY = "canary+/key 7f3a"
SECRET = Secret(KEY)
READ = Call("GET", "/projects", query=(("userId", "u1"), ("apikey", KEY), ("apiKey", KEY)))
WRITE = Call(
    "POST", "/projects/upload-file", body={"apiKey": KEY, "userId": "u1", "fileUrl": "https://h.example/b.zip?sig=SIGNED"}
)
BOTH = pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
SHORT = 0.5 if sys.platform != "win32" else 3.0
"""Seconds for a call that is to end at its deadline; the store of Windows takes a second to load."""
NOWHERE: Mapping[str, str] = {}


@contextlib.contextmanager
def open_transport(
    url: str, environ: Mapping[str, str] = NOWHERE, *, clock: Clock | None = None, log: list[str] | None = None
) -> Iterator[Transport]:
    redactor = Redactor()
    redactor.register(SECRET)
    transport = Transport(
        url,
        clock=clock or Clock(),
        environ=environ,
        log=None if log is None else log.append,
        redact=redactor.redact,
        redact_body=partial(redact_key, key=SECRET),
    )
    try:
        yield transport
    finally:
        transport.close()


def send(url: str, call: Call, environ: Mapping[str, str] = NOWHERE, *, seconds: float = 10.0) -> Reply:
    clock = Clock()
    with open_transport(url, environ, clock=clock) as transport:
        return transport.send(call, deadline=clock.mono() + seconds, fresh=call.method == "POST")


def failure_of(url: str, call: Call, environ: Mapping[str, str] = NOWHERE, *, seconds: float = 10.0) -> SpcliError:
    with pytest.raises(SpcliError) as caught:
        send(url, call, environ, seconds=seconds)
    return caught.value


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
