"""Fixtures, and the checks that stand behind every test that runs a command."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from tests.front import RAW_CONTROL, FakeClock, Front, leaks, sandbox, spacing_problems

# A busy machine is no failure: no example is held to a time.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def spcli(tmp_path: Path, clock: FakeClock) -> Iterator[Front]:
    """Runs a command through `main`; afterwards the key must show nowhere and no control character may have been printed."""
    front = Front(tmp_path, clock)
    yield front
    assert leaks(front, MAIN.api_key) == []
    raw = [result for result in front.printed if RAW_CONTROL.search(result.out + result.err)]
    assert raw == []


@pytest.fixture
def service(spcli: Front, clock: FakeClock) -> Iterator[Callable[..., Sandbox]]:
    """Starts a sandbox and logs `spcli` in to it; afterwards limited calls must have kept their distance."""
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
