"""A short campaign of random faults against real processes; `python -m tests.faults.hostile` runs a longer one."""

import sys

import pytest

from tests.faults.hostile import draw_world, live

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
# 64: requests taken late, lost answers, a list that lags; 2: signals and kills, a list that breaks, presigned URLs.
SEEDS = (64, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_early_twice_or_untrue_in_a_hostile_world(seed: int) -> None:
    runs, service, problems = live(draw_world(seed), seconds=2.5)
    assert problems == [], "\n".join(problems)
    assert runs
    assert service.writes
