"""`spcli history`: the uploads, releases and rollbacks sent from this machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from spcli.commands import options
from spcli.models import HistoryEntry, file_name, iso_utc
from spcli.output.table import filled_columns
from spcli.output.words import local_time

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.state.ledger import Attempt

LIMIT = 20
_OUTCOMES = {"done": "done", "refused": "refused", "absent": "refused", "unsent": "not_sent"}


def history(ctx: typer.Context, project: options.Project = None, limit: options.Limit = None) -> None:
    """List uploads, releases and rollbacks sent from this machine, newest first.

    \b
      spcli history --limit 5
      spcli history -p showroom --json | jq -r ".[0].uploadId"
    """
    runtime: Runtime = ctx.obj
    project_id = None
    if project is not None:
        project_id = options.find_project_id(runtime, project)
    most = LIMIT if limit is None else limit or None
    entries = [entry_of(one) for one in runtime.state.ledger.find_writes(runtime.account, project_id=project_id, limit=most)]
    columns = _table_columns(entries)
    runtime.output.listing(
        entries,
        columns=tuple(columns),
        rows=lambda: list(zip(*columns.values(), strict=True)),
        bare=[entry.upload_id or "" for entry in entries],
        empty="nothing was sent from this machine" + ("" if project_id is None else " to this project"),
    )


def entry_of(attempt: "Attempt") -> HistoryEntry:
    """Return a row of the history; its outcome is None while its process is still at work."""
    outcome = None if attempt.is_live else _OUTCOMES.get(attempt.phase, "unknown")
    note = attempt.note
    return HistoryEntry(
        iso_utc(attempt.started), attempt.action, attempt.project_id, attempt.upload_id, note.previous_upload_id,
        file_name(attempt.url) or None, outcome, attempt.message, note.actor, note.text,
    )  # fmt: skip


def _table_columns(entries: list[HistoryEntry]) -> dict[str, Sequence[str]]:
    """Return the cells of each column, without the columns that are empty."""
    columns = {
        "WHEN": [local_time(entry.at) for entry in entries],
        "WHO": [entry.actor or "" for entry in entries],
        "ACTION": [entry.action for entry in entries],
        "UPLOAD ID": [entry.upload_id or "" for entry in entries],
        "FROM": [entry.previous_upload_id or "" for entry in entries],
        "FILE": [entry.file or "" for entry in entries],
        "OUTCOME": [_outcome_words(entry) for entry in entries],
        "REASON": [entry.note or "" for entry in entries],
    }
    return filled_columns(columns)


def _outcome_words(entry: HistoryEntry) -> str:
    if entry.outcome is None:
        return "sending"
    words = {"not_sent": "not sent", "refused": "failed"}.get(entry.outcome, entry.outcome)
    return words if entry.outcome == "done" or not entry.message else f"{words}: {entry.message}"
