"""Pure: classify a refused call (429, 5xx, a block page): may it be sent again, and how long is the window closed?

The service answers 429 while a window is closed and blocks accounts that keep calling (https://docs.streampixel.io, rate limits
and errors). Every error of the service is JSON with a `message`; a page comes from a proxy or CDN in front of it.
"""

import re
from typing import Literal, NamedTuple

from spcli.errors import Refused
from spcli.ratelimit.window import RETRY_AFTER_CAP

MESSAGE_CAP = 15 * 60.0
"""Seconds: the longest wait that a message's own words may ask for."""
BLOCKED = 15 * 60.0
"""Seconds a window stays closed after a block page: the CDN blocks this account or address."""
MAX_SENDS = 3
"""Sends of one command, the first included."""

Meaning = Literal["limited", "failed", "unclear", "refused"]


class RefusalMeaning(NamedTuple):
    """The meaning of a status of 300 or more.

    `meaning`: `limited` (not processed, allowed again at the next window), `failed` (the service's own 5xx), `unclear` (a
    gateway's 5xx: the service behind it may have processed the call) or `refused` for good. `closed_for` is how many seconds
    the window stays closed for every process, 0 where the ordinary window applies.
    """

    meaning: Meaning
    closed_for: float = 0.0


def classify_refusal(refused: Refused) -> RefusalMeaning:
    """Return what `refused` means.

    A page instead of the service's JSON on a 403, 429 or 503 comes from a CDN that blocks clients which call too often. If it
    has a `Retry-After`, that counts instead.
    """
    status = refused.status or 0
    is_block = refused.is_page and refused.hinted is None and status in (403, 429, 503)
    asked_for = max(refused.hinted or 0.0, seconds_in_message(refused.message), BLOCKED if is_block else 0.0)
    closed_for = min(asked_for, RETRY_AFTER_CAP) if is_block or status == 429 else 0.0
    if status >= 500:
        return RefusalMeaning("failed" if refused.documented else "unclear", closed_for)
    return RefusalMeaning("limited" if status == 429 else "refused", closed_for)


def seconds_in_message(message: str) -> float:
    """Return the wait named in a message such as "Try again in 2 minutes.", 0 if there is none, at most `MESSAGE_CAP`."""
    units = {"s": 1, "m": 60, "h": 3600}
    found = re.findall(
        r"(?<![\d.])(\d{1,4})\s{0,9}(s|m|h)(?:ec(?:ond)?s?|in(?:ute)?s?|(?:ou)?rs?)?\b", message[:4096], re.IGNORECASE | re.ASCII
    )
    return min(MESSAGE_CAP, max((int(number) * units[unit.lower()] for number, unit in found), default=0.0))


def resend_spread(limits: int, window: float, chance: float) -> float:
    """Return the extra seconds to wait after a command's second 429, so that two clients of one account get out of step.

    0 after the first, which one call of the other client explains, and after the last, since nothing is sent again.
    """
    return chance * min(window / 4, 600.0) if 1 < limits < MAX_SENDS else 0.0
