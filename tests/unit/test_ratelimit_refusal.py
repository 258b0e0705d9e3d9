"""What a refusal means, and how long it closes a window."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.errors import Refused
from spcli.ratelimit.refusal import (
    BLOCKED,
    MAX_SENDS,
    MESSAGE_CAP,
    RefusalMeaning,
    classify_refusal,
    resend_spread,
    seconds_in_message,
)
from spcli.ratelimit.window import RETRY_AFTER_CAP

# A busy machine is no failure.
UNHURRIED = settings(deadline=None)

CHANCES = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit exceeded. Try again in 2 minutes.", 120),
        ("Try again in 5 seconds.", 5),
        ("wait 90 s", 90),
        ("wait 90secs, please", 90),
        ("in 1 min", 60),
        ("in 3 MINS", 180),
        ("Retry after 1 hour", 900),
        ("1 hr", 900),
        ("2h", 900),
        ("1 request per 2 minutes; try again in 47 seconds", 120),
        ("wait 14 minutes 59 seconds", 840),
        ("", 0),
        ("no number of minutes", 0),
        ("5 months", 0),
        ("250 ms", 0),
        ("1.5 hours", 0),
        ("12345 seconds", 0),
        ("٣ minutes", 0),
        ("0 minutes", 0),
        (" " * 5000 + "in 2 minutes", 0),
        ("2" + " " * 10**6 + "minutes", 0),
    ],
)
def test_the_wait_in_a_message_is_read(message: str, seconds: float) -> None:
    assert seconds_in_message(message) == seconds


@UNHURRIED
@given(st.text() | st.from_regex(r"(\d{1,6}\s*(s|sec|min|hours?)\W*){1,5}"))
def test_no_message_asks_for_more_than_a_quarter_hour(message: str) -> None:
    assert 0 <= seconds_in_message(message) <= MESSAGE_CAP


@pytest.mark.parametrize(
    ("message", "hinted", "is_page", "seconds"),
    [
        ("", None, False, 0),
        ("in 2 minutes", None, False, 120),
        ("in 2 minutes", 300.0, False, 300),
        ("in 5 minutes", 120.0, False, 300),
        ("Access denied", None, True, BLOCKED),
        ("Access denied", 3600.0, True, 3600),
        ("", 1e9, False, RETRY_AFTER_CAP),
    ],
)
def test_the_largest_wait_that_a_429_asks_for_counts(message: str, hinted: float | None, is_page: bool, seconds: float) -> None:
    refused = Refused(429, message, documented=not is_page, hinted=hinted, is_page=is_page)
    assert classify_refusal(refused) == RefusalMeaning("limited", seconds)


@UNHURRIED
@given(CHANCES)
def test_competing_clients_get_out_of_step_after_the_second_429(chance: float) -> None:
    assert resend_spread(2, 120.0, chance) == pytest.approx(chance * 30)
    assert resend_spread(2, 1e9, chance) == chance * 600
    assert [resend_spread(limits, 120.0, chance) for limits in (1, MAX_SENDS)] == [0, 0]


@pytest.mark.parametrize(
    ("status", "documented", "refusal"),
    [
        (429, True, RefusalMeaning("limited", 120.0)),
        (429, False, RefusalMeaning("limited", BLOCKED)),
        (403, True, RefusalMeaning("refused")),
        (403, False, RefusalMeaning("refused", BLOCKED)),
        (503, False, RefusalMeaning("unclear", BLOCKED)),
        (503, True, RefusalMeaning("failed")),
        (500, True, RefusalMeaning("failed")),
        (502, False, RefusalMeaning("unclear")),
        (400, True, RefusalMeaning("refused")),
        (404, False, RefusalMeaning("refused")),
        (302, False, RefusalMeaning("refused")),
    ],
)
def test_a_refusal_is_classified_by_status_and_body(status: int, documented: bool, refusal: RefusalMeaning) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=documented, is_page=not documented)
    assert classify_refusal(refused) == refusal


def test_a_refusal_without_a_status_is_final() -> None:
    refused = Refused(400, "no", documented=True)
    refused.status = None
    assert classify_refusal(refused) == RefusalMeaning("refused")


@pytest.mark.parametrize(("status", "closed_for"), [(403, 0.0), (429, 120.0), (503, 0.0)])
def test_json_without_a_message_and_an_empty_answer_are_not_block_pages(status: int, closed_for: float) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=False)
    assert classify_refusal(refused).closed_for == closed_for


@pytest.mark.parametrize(("status", "closed_for"), [(403, 0.0), (429, 120.0), (503, 0.0)])
def test_a_page_with_retry_after_is_believed(status: int, closed_for: float) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=False, is_page=True, hinted=1.0)
    assert classify_refusal(refused).closed_for == closed_for
