"""Release a processed build, once: settle earlier attempts, send, and say what the service answered.

Documented at https://docs.streampixel.io, distribute-file. Releasing the same build again is documented as harmless.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spcli.api.client import ProjectPage
from spcli.builds.lifecycle import is_final
from spcli.errors import SpcliError
from spcli.models import Build, DistributeResult, iso_utc
from spcli.output.words import local_time
from spcli.state.account import Account
from spcli.state.ledger import Attempt, Ledger, NewAttempt, WriteNote
from spcli.writes.evidence import Evidence, match_release
from spcli.writes.send import Sender


class ReleaseRequest(NamedTuple):
    """One processed build to put live.

    `action` is the history's word: `distribute` or `rollback`; `note` says who, why and what was live; `before` is the build as
    the list showed it, None where it was not listed; `in_progress` are the builds still being processed, None where that is not
    known: they may release themselves later.
    """

    project_id: str
    upload_id: str
    action: str = "distribute"
    note: WriteNote = WriteNote()
    before: Build | None = None
    in_progress: tuple[str, ...] | None = None


def builds_in_progress(builds: Sequence[Build] | None) -> tuple[str, ...] | None:
    """Return the ids of the listed builds that are still being processed, None without a list."""
    return None if builds is None else tuple(build.upload_id for build in builds if not is_final(build.state))


def find_open_releases(ledger: Ledger, account: Account, project_id: str, upload_id: str) -> list[Attempt]:
    """Return earlier releases of the build from here whose outcome is unknown and that no live process handles."""
    return [
        attempt
        for action in ("distribute", "rollback")
        for attempt in ledger.find_unsettled(action, account, project_id, upload_id=upload_id)
    ]


class ReleaseWrite:
    """`POST /projects/distribute-file`, as `send.Write`."""

    path = "/projects/distribute-file"

    def __init__(self, sender: Sender, request: ReleaseRequest) -> None:
        self._sender = sender
        self._request = request
        self.project_id = request.project_id
        self.upload_id: str | None = request.upload_id
        self._before = request.before
        self._in_progress = request.in_progress
        self.looked_at = sender.clock.mono()
        sender.had_list = request.before is not None
        sender.begin(self)

    def send(self) -> DistributeResult:
        """Settle earlier releases of this build and send until settled. Raises `SpcliError` with its `outcome`."""
        sent = self._settle_earlier() or self._sender.send_until_settled(self)
        if isinstance(sent, Build):
            self._sender.confirm(self._request.upload_id, "confirmed by the build list")
            return DistributeResult(self._request.upload_id, self.project_id, None, None)
        if sent.is_denied:
            # A 2xx that says `success: false` is a refusal, with the service's own message.
            message = sent.message or "the service answered that the release did not succeed"
            denied = SpcliError("protocol", message, status=sent.reply.status)
            self._sender.deny(denied)
            raise denied
        if sent.is_foreign:
            self._check_state()
        self._sender.confirm(self._request.upload_id, sent.message)
        return DistributeResult(self._request.upload_id, self.project_id, sent.message, sent.region)

    def request_body(self) -> Mapping[str, object]:
        """Return the documented fields."""
        return self._sender.api.distribute_body(self.project_id, self._request.upload_id)

    def history_row(self) -> NewAttempt:
        """Return the row of the next send."""
        return NewAttempt(
            self._request.action, self._sender.account, self.project_id,
            url=None if self._before is None else self._before.file_url, digest=None, upload_id=self._request.upload_id,
            auto_release=None, baseline=self._in_progress, note=self._request.note,
        )  # fmt: skip

    def read_list_again(self) -> Build | None:
        """Read the build list before a send; return the build if an earlier release of it has begun after all."""
        page, found = self._sender.look(self), None
        if page is not None and self._sender.sends:
            match = self.judge(page)
            found = match.builds[0] if match.kind == "found" else None
        elif page is not None:
            builds = page.builds or []
            self._before = next((build for build in builds if build.upload_id == self._request.upload_id), self._before)
            self._in_progress = builds_in_progress(builds)
        return found or self._settle_earlier()

    def judge(self, page: ProjectPage) -> Evidence:
        """Return whether the build has left the state it was in."""
        self._sender.learn_clock(page.server_wall)
        return match_release(self._request.upload_id, None if self._before is None else self._before.status, page)

    def _check_state(self) -> None:
        """Check a 2xx that is not the service's JSON, as of a login page: the build's state must show the release."""
        found = self._sender.gather_evidence(self, "the answer to the release is not the documented JSON", accepted=True)
        if found.kind != "found":
            message = "the answer to the release is not the documented JSON, and the build's state doesn't show that it began"
            self._sender.record("unclear", message, accepted=True)
            raise self._sender.unknown_error(message, found, self.project_id)

    def _settle_earlier(self) -> Build | None:
        """Settle earlier releases of this build by its state; return the build when it is being distributed."""
        sender = self._sender
        for attempt in find_open_releases(sender.state.ledger, sender.account, self.project_id, self._request.upload_id):
            when = local_time(iso_utc(attempt.started))
            if self._before is not None and self._before.state == "distributing":
                sender.turn.attempt_id = attempt.id
                sender.output.note(
                    f"an earlier release of this build ({when}) was accepted and is under way; nothing was sent now"
                )
                return self._before
            sender.state.ledger.record(attempt.id, "superseded")
            sender.output.note(
                f"an earlier release of this build ({when}) left no trace in its state; releasing it again is harmless"
            )
        return None
