"""When to try again and how often to look."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.errors import Refused
from spcli.ratelimit import window as policy

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
    ],
)
def test_the_wait_named_in_a_message_is_understood(message: str, seconds: float) -> None:
    assert policy.seconds_in(message) == seconds


@UNHURRIED
@given(st.text() | st.from_regex(r"(\d{1,6}\s*(s|sec|min|hours?)\W*){1,5}"))
def test_no_message_asks_for_more_than_a_quarter_hour(message: str) -> None:
    assert 0 <= policy.seconds_in(message) <= policy.MESSAGE_CAP


@pytest.mark.parametrize(
    ("message", "hinted", "is_block", "seconds"),
    [
        ("", None, False, 0),
        ("in 2 minutes", None, False, 120),
        ("in 2 minutes", 300.0, False, 300),
        ("in 5 minutes", 120.0, False, 300),
        ("Access denied", None, True, policy.BLOCKED),
        ("Access denied", 3600.0, True, 3600),
    ],
)
def test_the_largest_hint_counts(message: str, hinted: float | None, is_block: bool, seconds: float) -> None:
    assert policy.limit_hint(message, hinted, is_block=is_block) == seconds


def test_reads_are_tried_again_on_429_and_5xx_only() -> None:
    assert [status for status in range(200, 700) if policy.is_retryable(status)] == [429, *range(500, 600)]


@UNHURRIED
@given(st.integers(1, policy.READ_ATTEMPTS), CHANCES, st.none() | st.floats(0, 1e4))
def test_a_read_waits_with_full_jitter_and_at_least_as_long_as_asked(attempt: int, chance: float, hinted: float | None) -> None:
    pause = policy.read_delay(attempt, chance, hinted)
    assert pause == max(hinted or 0, chance * [1, 2, 4, 8, 16][attempt - 1])
    assert policy.read_delay(12, chance) == chance * 60


@UNHURRIED
@given(CHANCES)
def test_competing_clients_do_not_meet_in_step_again_after_the_second_429(chance: float) -> None:
    assert policy.resend_spread(2, 120.0, chance) == pytest.approx(chance * 30)
    assert policy.resend_spread(2, 1e9, chance) == chance * 600
    assert [policy.resend_spread(limits, 120.0, chance) for limits in (1, policy.MAX_SENDS)] == [0, 0]


@pytest.mark.parametrize(
    ("scale", "least", "moments"),
    [(1.0, 6.0, [2, 20, 60]), (0.5, 6.0, [1, 10, 30]), (0.01, 6.0, [0.2, 2, 6]), (0.01, 90.0, [2, 20, 60])],
)
def test_a_sandbox_is_quick_but_not_instant(scale: float, least: float, moments: list[float]) -> None:
    assert policy.scaled((2.0, 20.0, 60.0), scale, least) == pytest.approx(moments)


@pytest.mark.parametrize(
    ("status", "documented", "ending", "answer"),
    [
        (429, True, ("limited", 120.0), "limited"),
        (429, False, ("limited", policy.BLOCKED), "limited"),
        (403, True, ("ended", 0.0), "refused"),
        (403, False, ("limited", policy.BLOCKED), "refused"),
        (503, False, ("limited", policy.BLOCKED), "unclear"),
        (503, True, ("ended", 0.0), "failed"),
        (500, True, ("ended", 0.0), "failed"),
        (502, False, ("ended", 0.0), "unclear"),
        (400, True, ("ended", 0.0), "refused"),
        (404, False, ("ended", 0.0), "refused"),
        (302, False, ("ended", 0.0), "refused"),
    ],
)
def test_a_refusal_says_how_the_call_ended_and_what_it_means(
    status: int, documented: bool, ending: tuple[str, float], answer: str
) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=documented, is_page=not documented)
    assert (policy.ending_of(refused), policy.answer_of(refused)) == (ending, answer)


def test_a_refusal_without_a_status_is_final() -> None:
    refused = Refused(400, "no", documented=True)
    refused.status = None
    assert policy.answer_of(refused) == "refused"


@pytest.mark.parametrize(("status", "ending"), [(403, ("ended", 0.0)), (429, ("limited", 120.0)), (503, ("ended", 0.0))])
def test_json_without_the_services_message_and_an_empty_answer_are_no_block_page(status: int, ending: tuple[str, float]) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=False)
    assert policy.ending_of(refused) == ending


@pytest.mark.parametrize(("status", "ending"), [(403, ("ended", 0.0)), (429, ("limited", 120.0)), (503, ("ended", 0.0))])
def test_a_page_with_retry_after_is_taken_at_its_word(status: int, ending: tuple[str, float]) -> None:
    refused = Refused(status, "Try again in 2 minutes.", documented=False, is_page=True, hinted=1.0)
    assert policy.ending_of(refused) == ending
