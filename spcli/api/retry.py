"""Retries of a read: on 429, 5xx and connection loss, at most 5 attempts within 45 seconds.

Backoff with full jitter over 1, 2, 4 and 8 seconds; `Retry-After` only lengthens a pause. A host that can't be reached at all
gets the quick retries only.
"""

import itertools
from collections.abc import Callable

from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.transport import Call, Reply

QUICK_RETRIES = (0.3, 1.0)
"""Pauses in seconds after a failure before the first byte, of reads and writes alike."""
READ_ATTEMPTS = 5
READ_BUDGET = 45.0
LONGEST_PAUSE = 60.0


def read_with_retries(
    call: Call,
    attempt: Callable[[Call, float], Reply | SpcliError],
    *,
    clock: Clock,
    timeout: float,
    log: Callable[[str], None],
) -> Reply:
    """Send a read until it is answered, or until a failure is final.

    Args:
        attempt: sends the call once, in the seconds it is given.
        timeout: seconds of one attempt.
        log: receives a line for each retry.

    Raises:
        SpcliError: the last failure, or the first that is not worth a retry.
    """
    give_up, last_answer = clock.mono() + max(READ_BUDGET, timeout), None
    for number in itertools.count(1):
        failure = attempt(call, min(timeout, give_up - clock.mono()))
        if not isinstance(failure, SpcliError):
            return failure
        delay = retry_delay(failure, number, clock.chance())
        if delay is None or clock.mono() + delay >= give_up:
            raise complete_failure(failure, last_answer)
        last_answer = failure.message if isinstance(failure, Refused) else last_answer
        log(f"{call.method} {call.path}: {failure.message}; retrying in {delay:.1f} s")
        clock.sleep(delay)
    raise AssertionError("unreachable")


def is_retryable(status: int) -> bool:
    """Return whether a read answered with this status is worth another attempt: 429 and 5xx, and nothing else."""
    return status == 429 or 500 <= status < 600


def read_delay(attempt: int, chance: float, hinted: float | None = None) -> float:
    """Return the pause after the failed read `attempt` (1 is the first): full jitter over 1, 2, 4, 8 s, at least `hinted`."""
    return max(hinted or 0.0, chance * min(LONGEST_PAUSE, float(2 ** (attempt - 1))))


def retry_delay(failure: SpcliError, attempt: int, chance: float) -> float | None:
    """Return the seconds until the attempt after `attempt`, None if the failure is final."""
    if attempt >= READ_ATTEMPTS:
        return None
    if isinstance(failure, NotSent):
        return QUICK_RETRIES[attempt - 1] if failure.transient and attempt <= len(QUICK_RETRIES) else None
    if isinstance(failure, Refused) and is_retryable(failure.status or 0):
        return read_delay(attempt, chance, failure.hinted)
    return read_delay(attempt, chance) if isinstance(failure, Unclear) else None


def complete_failure(failure: SpcliError, last_answer: str | None) -> SpcliError:
    """Return a read's final failure with the wait it asks for and, where the last attempt got no answer, the last answer before
    it."""
    if isinstance(failure, Refused):
        failure.retry_after = failure.hinted
    elif last_answer:
        before = f"the service answered before: {last_answer}"
        failure.hint = f"{before}; {failure.hint}" if failure.hint else before
    return failure
