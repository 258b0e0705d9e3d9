"""A short campaign of random faults against real processes; `python -m tests.faults.hostile` runs a longer one."""

import sys

import pytest

from tests.faults.hostile import draw_world, live

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
# Together: late requests, lost answers, kills, a list that lags, other spellings and clocks.
SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_early_twice_or_untrue_in_a_hostile_world(seed: int) -> None:
    runs, service, problems = live(draw_world(seed), seconds=2.5)
    assert problems == [], "\n".join(problems)
    assert runs
    assert service.writes
