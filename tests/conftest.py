"""Fixtures, and the checks that follow every test that runs a command."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from tests.front import RAW_CONTROL, FakeClock, Front, leaks, sandbox, spacing_problems

# A slow example on a busy machine is not a failure. `--hypothesis-profile thorough` searches longer.
settings.register_profile("quick", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("quick")


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Restore SIGINT where the parent ignores it (`pytest &` in a script, some CI agents).

    Every process that a test starts would inherit that, and spcli rightly keeps a signal ignored.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spcli(tmp_path: Path, clock: FakeClock) -> Iterator[Front]:
    """Run a command through `main`; afterwards check that the key shows nowhere and no control character was printed."""
    front = Front(tmp_path, clock)
    yield front
    assert leaks(front, MAIN.api_key) == []
    raw = [result for result in front.printed if RAW_CONTROL.search(result.out + result.err)]
    assert raw == []


@pytest.fixture
def service(spcli: Front, clock: FakeClock) -> Iterator[Callable[..., Sandbox]]:
    """Start a sandbox and log `spcli` in to it; afterwards check that limited calls were a window apart."""
    started: list[Sandbox] = []

    def start(*, project: str | None = MAIN.projects[0].id, **kwargs: Any) -> Sandbox:
        server = sandbox(clock, **kwargs).start()
        started.append(server)
        spcli.use(server.base_url, window=server.world.window, project=project)
        return server

    yield start
    for server in started:
        server.stop()
        assert spacing_problems(server) == []
