"""Processes that a test of faults starts, and their end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.listening import Listener


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
