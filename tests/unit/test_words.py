"""Times and numbers as people read them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.output.words import count_of, duration, local_time

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("iso", "shown"),
    [
        (None, ""),
        ("", ""),
        ("soon", "soon"),
        ("2026-04-30", "2026-04-30"),
        ("not-a-date-at-all", "not-a-date-at-all"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_text_that_is_not_a_time_is_shown_as_it_is(iso: str | None, shown: str) -> None:
    assert local_time(iso) == shown


def test_times_are_local() -> None:
    code = "from spcli.output.words import clock_time, local_time;"
    code += 'print([local_time(t) for t in ("2026-04-30T12:00:59.123Z", "2026-04-30T12:00", "2026-04-30T12:00:00+02:00")],'
    code += 'local_time("2026-04-30T12:00:59.123Z", precision="seconds"), clock_time(0.0))'
    environ = {**os.environ, "TZ": "UTC-2", "PYTHONPATH": str(ROOT)}
    shown = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout
    assert shown == "['2026-04-30 14:00', '2026-04-30 14:00', '2026-04-30 12:00'] 2026-04-30 14:00:59 02:00:00\n"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0s"), (0.2, "1s"), (59, "59s"), (60, "1m"), (93, "1m33s"), (3600, "1h"), (7325.5, "2h2m6s")]
)
def test_durations_are_rounded_up_to_seconds(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_counts_have_a_plural() -> None:
    assert [count_of(number, "file") for number in (0, 1, 2, 1234)] == ["0 files", "1 file", "2 files", "1,234 files"]
