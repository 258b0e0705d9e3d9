"""The errors that a write ends with: what became of it, and what to do next."""

from spcli.errors import Interrupted, Outcome, Refused, SpcliError
from spcli.models import dashboard_url
from spcli.output.words import duration
from spcli.ratelimit import window as policy
from spcli.writes.evidence import Finding
from spcli.writes.turn import COMPETITION

BLOCKED = "the answer is a page and not the service's own: what stands before the service may be blocking this account or network"
CHECKS_FIRST = "run the same command again with the same state folder: it checks the build list before it sends anything"


def unknown(endpoint: str, message: str, found: Finding, project_id: str, status: int | None = None) -> SpcliError:
    """The error for a write that may have happened; `found` is what the build list says."""
    ids = ", ".join(build.upload_id for build in found.builds)
    candidates = f"the build list shows what may be it: {ids}; " if ids else ""
    hint = f"the {endpoint} may have been processed; {candidates}{CHECKS_FIRST}"
    if endpoint == "upload":
        hint += f"; where {dashboard_url(project_id)} shows no such build, --force sends it all the same"
    return SpcliError("unknown", message, status=status, outcome="unknown", hint=hint)


def interrupted(signal: Interrupted, outcome: Outcome, upload_id: str | None) -> SpcliError:
    """Ctrl-C or SIGTERM once it is known what the write did."""
    hint = "nothing was created" if upload_id is None else f"it goes on: spcli builds wait {upload_id}"
    error = SpcliError("interrupted", "interrupted", hint=hint, outcome=outcome, upload_id=upload_id)
    error.code = signal.exit_code
    return error


def complete(failure: SpcliError, seconds: float, at: str) -> None:
    """Say in the failure of a write that did nothing what may help: its window opens in `seconds`, at the time of day `at`."""
    if not isinstance(failure, Refused) or policy.answer_of(failure) == "unclear":
        _nothing_done(failure, seconds)
    elif policy.ending_of(failure)[0] == "limited":
        _limit(failure, seconds, at)


def _limit(refused: Refused, seconds: float, at: str) -> None:
    """A 429 or a page that blocks us, although the spacing was kept: what it probably comes from."""
    refused.retry_after = max(1.0, seconds)
    refused.hint = f"try again at {at}, in {duration(seconds)}; {BLOCKED if refused.is_page else COMPETITION}"


def _nothing_done(failure: SpcliError, seconds: float) -> None:
    """An unclear write that is proven to have done nothing."""
    failure.hint = (
        f"the build list proves that it did nothing: run the same command again, its window opens in {duration(seconds)}"
    )
    failure.retry_after = max(1.0, seconds) if seconds > 0 else None
