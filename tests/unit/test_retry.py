"""When a read is retried."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.api.retry import QUICK_RETRIES, READ_ATTEMPTS, is_retryable, read_delay, retry_delay
from spcli.errors import NotSent, Refused, SpcliError, Unclear

# A busy machine is no failure.
UNHURRIED = settings(deadline=None)

CHANCES = st.floats(0, 1, exclude_max=True)


def test_reads_are_retried_on_429_and_5xx_only() -> None:
    assert [status for status in range(200, 700) if is_retryable(status)] == [429, *range(500, 600)]


@UNHURRIED
@given(st.integers(1, READ_ATTEMPTS), CHANCES, st.none() | st.floats(0, 1e4))
def test_a_read_waits_with_full_jitter_and_at_least_as_long_as_asked(attempt: int, chance: float, hinted: float | None) -> None:
    pause = read_delay(attempt, chance, hinted)
    assert pause == max(hinted or 0, chance * [1, 2, 4, 8, 16][attempt - 1])
    assert read_delay(12, chance) == chance * 60


@pytest.mark.parametrize(
    ("failure", "delays"),
    [
        (NotSent("refused"), [*QUICK_RETRIES, None]),
        (NotSent("unknown host", transient=False), [None]),
        (Refused(503, "no", documented=True), [0.5, 1.0, 2.0, 4.0, None]),
        (Refused(429, "no", documented=True, hinted=7.0), [7.0, 7.0, 7.0, 7.0, None]),
        (Refused(404, "no", documented=True), [None]),
        (Unclear("lost"), [0.5, 1.0, 2.0, 4.0, None]),
        (SpcliError("protocol", "not JSON"), [None]),
    ],
)
def test_each_failure_of_a_read_has_its_retries(failure: SpcliError, delays: list[float | None]) -> None:
    assert [retry_delay(failure, attempt, 0.5) for attempt in range(1, len(delays) + 1)] == delays
