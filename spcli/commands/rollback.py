"""`spcli rollback`: release the previous good build again, guarded."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from spcli.builds import live as release
from spcli.builds import progress as stages
from spcli.builds.local import LocalHistory, known_builds
from spcli.commands import options
from spcli.commands import writing as handover
from spcli.commands.writing import print_request
from spcli.errors import SpcliError
from spcli.lookup import assert_upload_id
from spcli.models import Build, RollbackResult, file_name, iso_utc
from spcli.output.words import local_time
from spcli.writes import turn as limited
from spcli.writes import upload as pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spcli.runtime import Runtime
    from spcli.writes.turn import Patience

_WHO = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR", "BUILD_USER_ID", "USER", "LOGNAME", "USERNAME")


class Plan(NamedTuple):
    """What is live (`None`: not known at all) and what is to be; `source` is its build as the service lists it, if it does.

    `is_assumed`: that it was live before is only assumed. `in_progress`: builds still being processed, `None` if not known.
    """

    live: release.Standing | None
    upload_id: str
    builds: "Mapping[str, Build]"
    is_assumed: bool = False
    in_progress: tuple[str, ...] | None = None

    @property
    def source(self) -> Build | None:
        """The build to release, as the service's own list tells it."""
        build = self.builds.get(self.upload_id)
        return build if build is not None and build.source == "server" else None


def rollback(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Option("--to", parser=options.upload_id, metavar="ID", help="The build to go back to.", show_default=False),
    ] = None,
    expect_live: Annotated[
        str | None,
        typer.Option(
            "--expect-live",
            parser=options.upload_id,
            metavar="ID",
            help="Refuse (14) unless ID is what is live, as far as can be known.",
            show_default=False,
        ),
    ] = None,
    message: Annotated[
        str | None, typer.Option("-m", "--message", metavar="TEXT", help="Why, for the ledger.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
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

    What is live is the last release known from here or from received events; a build that was not uploaded from here is assumed
    to have released itself. The plan says so, and --yes then needs --to.

    \b
      spcli rollback --dry-run
      spcli rollback --to 665a2b3c4d5e6f7a8b9c0e1f --yes --wait -m "1.4 crashes"
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project, runtime.on_limit = timeout, project, on_limit
    limits = stages.asked(wait, deadline, interval)
    runtime.output.assert_stdout()
    if not dry_run:
        handover.prepare(output_file)
    project_id = options.find_project_id(runtime)
    plan = _plan(runtime, project_id, to, expect_live)
    _show(runtime, plan)
    if dry_run:
        body = runtime.api.distribute_body(project_id, plan.upload_id)
        print_request(runtime, "/projects/distribute-file", body)
        return
    if yes and to is None and plan.live is not None and not plan.live.is_known:
        raise SpcliError(
            "no-target", "what is live is only assumed", hint=f"name the build: spcli rollback --to {plan.upload_id} --yes"
        )
    if yes and plan.is_assumed:
        text = f"that {plan.upload_id} was live before is only assumed; --to names the build for certain"
        runtime.output.note(text, name="warning")
    if not yes and not runtime.output.confirm(_question(plan)):
        raise SpcliError("unconfirmed", "nothing was sent")
    with handover.of_what_happened(runtime, project_id, "distributing", output_file):
        result = _send(runtime, project_id, plan, limited.patience(runtime, max_wait), message)
    handover.conclude(runtime, result, limits, lines=_lines(result, plan), path=output_file)


def _plan(runtime: "Runtime", project_id: str, to: str | None, expect_live: str | None) -> Plan:
    """Find out what is live and what to go back to.

    Raises:
        SpcliError: `guard` for a build that can't be released and a live one that is not `expect_live`; `no-target` when there is
            nothing to go back to.
    """
    try:
        history = LocalHistory(runtime.state, runtime.account, project_id)
        builds, is_listed, is_proof = known_builds(runtime.api, history, runtime.output)
    except SpcliError as failure:
        if to is None or expect_live is not None or not failure.may_pass:
            raise
        runtime.output.note(f"could not read the build list: {failure.message}")
        return Plan(None, to, {})
    known = history.read_sources(builds, is_listed=is_listed)
    by_id = {build.upload_id: build for build in builds}
    live, unfinished = release.live(known), release.unfinished(known)
    moving = pipeline.in_progress(builds) if is_listed else None
    _guard_live(live, expect_live)
    if unfinished is not None:
        runtime.output.note(f"an earlier rollback to {unfinished}, whose outcome is unknown, may have made it live")
    wanted = to if to is not None else unfinished
    if wanted is not None:
        is_open = any(one.upload_id == wanted and one.phase != "done" for one in known.attempts)
        if by_id.get(wanted) is None and is_proof:
            assert_upload_id(wanted, builds)
            raise SpcliError(
                "no-target", f"the project has no build {wanted}", hint="`spcli builds --status approved` lists the good ones"
            )
        _guard_target(by_id.get(wanted), wanted, live, is_open=is_open)
        return Plan(live, wanted, by_id, in_progress=moving)
    found = release.previous(known)
    if found is None:
        raise SpcliError(
            "no-target",
            "no earlier build is known that could be released again",
            hint="`spcli builds --status approved` lists the good ones; name one: spcli rollback --to ID",
        )
    return Plan(live, found.upload_id, by_id, is_assumed=not found.is_known, in_progress=moving)


def _guard_live(live: release.Standing | None, expected: str | None) -> None:
    if expected is None or (live is not None and live.upload_id == expected):
        return
    what = "it is not known which build is live" if live is None else f"{_certainty(live)}: {live.upload_id}"
    raise SpcliError("guard", f"--expect-live {expected}: {what}", hint="`spcli rollback --dry-run` shows the plan")


def _guard_target(build: Build | None, to: str, live: release.Standing | None, *, is_open: bool) -> None:
    """Refuse what can't be released. An earlier release of unknown outcome (`is_open`) is gone on with, whatever it has begun."""
    allowed = ("approved", "unknown", "distributing") if is_open else ("approved", "unknown")
    if build is not None and build.state not in allowed:
        raise release.unfit(build)
    if live is not None and live.is_known and live.upload_id == to and not is_open:
        raise SpcliError("no-target", f"{to} is live already", hint=f"to release it once more: spcli distribute {to}")


def _certainty(live: release.Standing) -> str:
    return "another build is live" if live.is_known else "another build is live, it is assumed"


def _show(runtime: "Runtime", plan: Plan) -> None:
    """The plan, on stderr: stdout is for what comes of it."""
    if plan.live is None:
        runtime.output.status("from: not known")
    else:
        since = "" if plan.live.at <= 0 else f", since {local_time(iso_utc(plan.live.at))}"
        how = f"live{since}" if plan.live.is_known else "assumed to be live: its release was not seen from here"
        runtime.output.status(f"from: {_named(runtime, plan.builds.get(plan.live.upload_id), plan.live.upload_id)} ({how})")
    how = " (assumed to have been live: it was not released from here)" if plan.is_assumed else ""
    runtime.output.status(f"to:   {_named(runtime, plan.builds.get(plan.upload_id), plan.upload_id)}{how}")


def _named(runtime: "Runtime", build: Build | None, upload_id: str) -> str:
    if build is None:
        return upload_id
    known = (upload_id, file_name(build.file_url), local_time(build.date))
    return "  ".join(text for text in known if text)


def _question(plan: Plan) -> str:
    new = plan.builds.get(plan.upload_id)
    old = None if plan.live is None else plan.builds.get(plan.live.upload_id)
    instead = f" in place of {_short(old, plan.live.upload_id)}" if plan.live is not None else ""
    return f"Release {_short(new, plan.upload_id)}{instead}?"


def _short(build: Build | None, upload_id: str) -> str:
    return (file_name(build.file_url) if build is not None else "") or upload_id


def _send(runtime: "Runtime", project_id: str, plan: Plan, patience: "Patience", message: str | None) -> RollbackResult:
    before = None if plan.live is None else plan.live.upload_id
    note = _note(runtime, before, message)
    request = pipeline.ReleaseRequest(project_id, plan.upload_id, patience, "rollback", note, plan.in_progress)
    sent = pipeline.distribute(runtime, request, plan.source)
    return RollbackResult(sent.upload_id, project_id, sent.message, sent.region, before)


def _note(runtime: "Runtime", before: str | None, message: str | None) -> str:
    """Who and why, for the ledger."""
    who = next((name for variable in _WHO if (name := runtime.environ.get(variable))), "somebody")
    place = f" from {before}" if before else ""
    return f"{who}: rollback{place}" + (f": {message.strip()}" if message and message.strip() else "")


def _lines(result: RollbackResult, plan: Plan) -> list[str | tuple[str, str]]:
    build = plan.builds.get(result.upload_id)
    known = [
        ("upload id", result.upload_id),
        ("file", None if build is None else file_name(build.file_url)),
        ("before", result.previous_upload_id),
        ("region", result.region),
    ]
    return [result.message or "distribution triggered", *((label, value) for label, value in known if value)]
