"""Doubles and processes for tests of faults."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faultd import Behaviour, FaultServer, rst_after_request
from tests.faults.doubles import URL, Double, failure, ledger
from tests.faults.listening import Listener
from tests.front import FakeClock, Front


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    """Start listeners that share one state; kill what is left of them."""
    started: list[Listener] = []

    def start(*words: str, **options: Any) -> Listener:
        started.append(Listener(tmp_path, *words, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


@pytest.fixture
def double(spcli: Front, clock: FakeClock) -> Iterator[Callable[..., Double]]:
    """Start doubles of the service and point `spcli` to the last one."""
    servers: list[FaultServer] = []

    def start(*behaviours: Behaviour, **kwargs: Any) -> Double:
        world = Double(*behaviours, clock=clock, **kwargs)
        servers.append(FaultServer(handler=world))
        spcli.use(servers[-1].url)
        return world

    yield start
    for server in servers:
        server.close()
        assert server.problems == []


@pytest.fixture
def remembered(spcli: Front, double: Any) -> Callable[..., Double]:
    """Run a command that ends in 61; its baseline was readable, and the list is readable again."""

    def run(*behaviours: Behaviour, command: tuple[str, ...] = ("upload", URL), **kwargs: Any) -> Double:
        world: Double = double(rst_after_request(), *behaviours, blind=True, **kwargs)
        sent = spcli(*command, "--json")
        assert failure(sent) == (61, "unknown", "unknown", True), sent
        assert ledger(spcli) == ["unclear"]
        world.blind = False
        return world

    return run
