"""The ladder of a read: tried again on 429, 5xx and connection loss, at most 5 times and within 45 s."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.ratelimit import window as policy

if TYPE_CHECKING:
    from spcli.clock import Clock
    from spcli.transport import Call, Reply


def until_read(
    once: "Callable[[float], Reply | SpcliError]",
    call: "Call",
    *,
    clock: "Clock",
    timeout: float,
    log: Callable[[str], None],
) -> "Reply":
    """Try `once` (which takes the seconds of one attempt) until it gives an answer.

    Args:
        call: what is tried, for `log`, which receives a line for each retry.
        timeout: seconds of one attempt.

    Raises:
        SpcliError: the last failure, or the first that is not worth another attempt.
    """
    give_up, told = clock.mono() + max(policy.READ_BUDGET, timeout), ""
    for attempt in range(1, policy.READ_ATTEMPTS + 1):
        failure = once(min(timeout, give_up - clock.mono()))
        if not isinstance(failure, SpcliError):
            return failure
        delay = _delay(failure, attempt, clock)
        if delay is None or attempt == policy.READ_ATTEMPTS or clock.mono() + delay >= give_up:
            raise _completed(failure, told)
        told = failure.message if isinstance(failure, Refused) else told
        log(f"{call.method} {call.path}: {failure.message}; again in {delay:.1f} s")
        clock.sleep(delay)
    raise AssertionError("the last attempt returns or raises")


def _delay(failure: SpcliError, attempt: int, clock: "Clock") -> float | None:
    """Seconds until the next attempt, `None` for never. A host that can't be reached gets the quick retries only."""
    if isinstance(failure, NotSent):
        quick = policy.QUICK_RETRIES
        return quick[attempt - 1] if failure.transient and attempt <= len(quick) else None
    if isinstance(failure, Refused) and policy.is_retryable(failure.status or 0):
        return policy.read_delay(attempt, clock.chance(), failure.hinted)
    return policy.read_delay(attempt, clock.chance()) if isinstance(failure, Unclear) else None


def _completed(failure: SpcliError, told: str) -> SpcliError:
    """The failure of a read, with the wait it asks for; with what the service said last where the last attempt got no answer."""
    if isinstance(failure, Refused):
        failure.retry_after = failure.hinted
    elif told:
        failure.hint = f"before that, the service answered: {told}" + (f"; {failure.hint}" if failure.hint else "")
    return failure
