"""`spcli rollback`: release the previous good build again, guarded."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from spcli.builds.live import Standing, find_live, find_previous, unfinished_rollback, unreleasable_error
from spcli.builds.local import LocalHistory, find_listed, known_builds
from spcli.commands import options
from spcli.commands.writing import (
    empty_output_file,
    finish_write,
    handing_over_on_failure,
    new_sender,
    note_of,
    print_request,
    read_wait_limits,
)
from spcli.errors import SpcliError
from spcli.lookup import unlisted_error
from spcli.models import Build, RollbackResult, file_name, iso_utc
from spcli.output.words import local_time
from spcli.writes.release import ReleaseRequest, ReleaseWrite, builds_in_progress

if TYPE_CHECKING:
    from spcli.runtime import Runtime

LIVE_ASSUMED = "the live build is only assumed"


class RollbackPlan(NamedTuple):
    """The live build (None: unknown), and the build to release instead.

    `is_assumed`: the build is only assumed to have been live. `in_progress`: builds being processed, None if unknown.
    """

    live: Standing | None
    upload_id: str
    builds: Mapping[str, Build]
    is_assumed: bool = False
    in_progress: tuple[str, ...] | None = None

    @property
    def listed_build(self) -> Build | None:
        """Return the build to release as the service's own list shows it."""
        build = self.builds.get(self.upload_id)
        return build if build is not None and build.source == "server" else None


def rollback(
    ctx: typer.Context,
    upload_id: Annotated[
        str | None,
        typer.Argument(
            parser=options.parse_upload_id, metavar="[UPLOAD_ID]", help="Roll back to this build, like --to.", show_default=False
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", parser=options.parse_upload_id, metavar="ID", help="Roll back to this build.", show_default=False),
    ] = None,
    expect_live: Annotated[
        str | None,
        typer.Option(
            "--expect-live",
            parser=options.parse_upload_id,
            metavar="ID",
            help="Fail (14) unless this build is live, as far as is known.",
            show_default=False,
        ),
    ] = None,
    message: options.Message = None,
    yes: options.Yes = False,
    project: options.Project = None,
    wait: options.Wait = False,
    deadline: options.Deadline = None,
    interval: options.Interval = None,
    on_limit: options.OnLimit = None,
    max_wait: options.MaxWait = None,
    timeout: options.Timeout = None,
    dry_run: options.DryRun = False,
    output_file: options.OutputFile = None,
) -> None:
    """Release the previous good build again.

    The live build is the last release known from this machine or from received events. A build uploaded elsewhere is assumed to
    have released itself. If the live build is only assumed, --yes needs --to. If the build to go back to was only assumed live
    before, --yes prints a warning and continues.

    \b
      spcli rollback --dry-run
      spcli rollback --to 665a2b3c4d5e6f7a8b9c0e1f --yes --wait -m "1.4 crashes"
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project, runtime.on_limit = timeout, project, on_limit
    if None not in (upload_id, to) and upload_id != to:
        raise SpcliError("usage", "UPLOAD_ID and --to name different builds", hint="use only one of them")
    to = upload_id if to is None else to
    empty_output_file(output_file, runtime.environ, is_dry_run=dry_run)
    limits = read_wait_limits(wait, deadline, interval)
    runtime.output.assert_stdout()
    project_id = options.find_project_id(runtime)
    plan = _make_plan(runtime, project_id, to, expect_live)
    _print_plan(runtime, plan)
    if dry_run:
        body = runtime.api.distribute_body(project_id, plan.upload_id)
        print_request(runtime, "/projects/distribute-file", body)
        if to is None and _is_live_assumed(plan):
            runtime.output.note(f"--yes would be refused: {LIVE_ASSUMED}. Use: spcli rollback --to {plan.upload_id} --yes")
        return
    if yes and to is None and _is_live_assumed(plan):
        raise SpcliError(
            "no-target",
            f"{LIVE_ASSUMED}, so --yes needs --to",
            hint=f"choose the build: spcli rollback --to {plan.upload_id} --yes",
        )
    if yes and plan.is_assumed:
        text = f"assuming {plan.upload_id} was live before (it wasn't released from this machine). Use --to to choose the build"
        runtime.output.note(text, name="warning")
    if not yes and not runtime.output.confirm(_confirm_question(plan)):
        raise SpcliError("unconfirmed", "nothing was sent")
    sender = new_sender(runtime, "distribute", max_wait)
    previous = None if plan.live is None else plan.live.upload_id
    note = note_of(runtime, message, previous)
    request = ReleaseRequest(project_id, plan.upload_id, "rollback", note, before=plan.listed_build, in_progress=plan.in_progress)
    with handing_over_on_failure(runtime, project_id, "distributing", output_file), sender.settle_interruptions():
        sent = ReleaseWrite(sender, request).send()
    result = RollbackResult(sent.upload_id, project_id, sent.message, sent.region, previous)
    finish_write(runtime, result, limits, lines=_result_lines(result, plan), path=output_file)


def _is_live_assumed(plan: RollbackPlan) -> bool:
    return plan.live is not None and not plan.live.is_known


def _make_plan(runtime: "Runtime", project_id: str, to: str | None, expect_live: str | None) -> RollbackPlan:
    """Find the live build and the build to roll back to.

    Raises:
        SpcliError: `guard` for a build that can't be released and a live one that is not `expect_live`; `no-target` if there is
            nothing to roll back to.
    """
    history = LocalHistory(runtime.state, runtime.account, project_id)
    try:
        builds, is_listed, is_proof = known_builds(runtime.api, history, runtime.output)
    except SpcliError as failure:
        if to is None or expect_live is not None or not failure.may_pass:
            raise
        runtime.output.note(f"could not read the build list: {failure.message}")
        return RollbackPlan(None, to, {})
    record = history.release_record(builds, is_listed=is_listed)
    by_id = {build.upload_id: build for build in builds}
    live, unfinished = find_live(record), unfinished_rollback(record)
    in_progress = builds_in_progress(builds) if is_listed else None
    _check_live(live, expect_live)
    if unfinished is not None:
        runtime.output.note(f"the outcome of an earlier rollback to {unfinished} is unknown: it may be live")
    wanted = to if to is not None else unfinished
    if wanted is not None:
        build = find_listed(builds, wanted)
        if build is None and is_proof:
            raise unlisted_error(wanted, builds)
        upload_id = wanted if build is None else build.upload_id
        is_open = any(one.upload_id == upload_id and one.phase != "done" for one in record.attempts)
        _check_target(build, upload_id, live, is_open=is_open)
        return RollbackPlan(live, upload_id, by_id, in_progress=in_progress)
    previous = find_previous(record)
    if previous is None:
        raise SpcliError(
            "no-target",
            "no earlier build is known that could be released again",
            hint="list good builds with `spcli builds --status approved`, then choose one: spcli rollback --to ID",
        )
    return RollbackPlan(live, previous.upload_id, by_id, is_assumed=not previous.is_known, in_progress=in_progress)


def _check_live(live: Standing | None, expected: str | None) -> None:
    """Raise `SpcliError` (guard) if `expected` is given and another build is live, or probably is."""
    if expected is None or (live is not None and live.upload_id == expected):
        return
    if live is None:
        reason = "the live build is unknown"
    else:
        reason = f"it is {live.upload_id}" if live.is_known else f"it is probably {live.upload_id}"
    raise SpcliError("guard", f"expected {expected} to be live, but {reason}", hint="show the plan: spcli rollback --dry-run")


def _check_target(build: Build | None, to: str, live: Standing | None, *, is_open: bool) -> None:
    """Raise `SpcliError` for a build that can't be released, unless an earlier release of it is to be resumed (`is_open`)."""
    allowed = ("approved", "unknown", "distributing") if is_open else ("approved", "unknown")
    if build is not None and build.state not in allowed:
        raise unreleasable_error(build)
    if live is not None and live.is_known and live.upload_id == to and not is_open:
        raise SpcliError("no-target", f"{to} is live already", hint=f"release it once more: spcli distribute {to}")


def _print_plan(runtime: "Runtime", plan: RollbackPlan) -> None:
    """Print the plan to standard error: standard output is for the result."""
    output = runtime.output
    if plan.live is None:
        output.status("from: unknown")
    else:
        since = "" if plan.live.at <= 0 else f" since {local_time(iso_utc(plan.live.at))}"
        how = f"live{since}" if plan.live.is_known else "assumed live: it wasn't released from this machine"
        output.status(f"from: {_build_words(plan.builds.get(plan.live.upload_id), plan.live.upload_id)} ({how})")
    how = " (assumed to have been live: it wasn't released from this machine)" if plan.is_assumed else ""
    output.status(f"to:   {_build_words(plan.builds.get(plan.upload_id), plan.upload_id)}{how}")


def _build_words(build: Build | None, upload_id: str) -> str:
    if build is None:
        return upload_id
    words = (upload_id, file_name(build.file_url), local_time(build.date))
    return "  ".join(text for text in words if text)


def _confirm_question(plan: RollbackPlan) -> str:
    new = _short_name(plan, plan.upload_id)
    return f"Release {new}?" if plan.live is None else f"Release {new} in place of {_short_name(plan, plan.live.upload_id)}?"


def _short_name(plan: RollbackPlan, upload_id: str) -> str:
    build = plan.builds.get(upload_id)
    return (file_name(build.file_url) if build is not None else "") or upload_id


def _result_lines(result: RollbackResult, plan: RollbackPlan) -> list[str | tuple[str, str]]:
    build = plan.builds.get(result.upload_id)
    lines = [
        ("upload id", result.upload_id),
        ("file", None if build is None else file_name(build.file_url)),
        ("previous", result.previous_upload_id),
        ("region", result.region),
    ]
    return [result.message or "release accepted", *((label, value) for label, value in lines if value)]
