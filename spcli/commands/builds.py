"""`spcli builds`: list, show, wait."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli import ci
from spcli.builds import progress as stages
from spcli.builds import wait as waiting
from spcli.builds.lifecycle import STATES, state_of
from spcli.builds.local import KnownBuilds, LocalHistory, find_build, known_builds
from spcli.commands import options
from spcli.commands import writing as handover
from spcli.errors import SpcliError
from spcli.models import Build, file_name
from spcli.output.words import local_time

if TYPE_CHECKING:
    from spcli.runtime import Runtime

LIMIT = 20


def _state(text: str) -> str:
    wanted = text.strip().casefold()
    state = wanted if wanted in STATES else state_of(text)
    if state == "unknown" and wanted != "unknown":
        raise typer.BadParameter(f"one of {', '.join(STATES)}")
    return state


def list_builds(
    ctx: typer.Context,
    project: options.Project = None,
    limit: options.Limit = None,
    status: Annotated[
        str | None, typer.Option(parser=_state, metavar="S", help="Only builds in state S.", show_default=False)
    ] = None,
    timeout: options.Timeout = None,
) -> None:
    """List the project's builds, newest first.

    Where the service tells no builds, those sent from this machine are listed.

    \b
      spcli builds --limit 5
      spcli builds --status approved --json | jq -r '.[0].uploadId'
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    found = _known_builds(runtime, options.find_project_id(runtime))
    wanted = [build for build in found.builds if status is None or build.state == status]
    builds = wanted[: (LIMIT if limit is None else limit) or None]
    local = local_time
    runtime.output.listing(
        builds,
        columns=("UPLOAD ID", "STATUS", "DATE", "FILE"),
        rows=lambda: [(b.upload_id, b.status or b.state, local(b.date), file_name(b.file_url)) for b in builds],
        bare=[build.upload_id for build in builds],
        empty="the project has no build" if status is None else f"the project has no build in state {status}",
    )


def _history(runtime: "Runtime", project_id: str) -> LocalHistory:
    return LocalHistory(runtime.state, runtime.account, project_id)


def _known_builds(runtime: "Runtime", project_id: str) -> KnownBuilds:
    return known_builds(runtime.api, _history(runtime, project_id), runtime.output)


def show(
    ctx: typer.Context,
    upload_id: Annotated[str, typer.Argument(parser=options.upload_id, metavar="UPLOAD_ID", help="The build's upload id.")],
    project: options.Project = None,
    timeout: options.Timeout = None,
) -> None:
    """Show one build."""
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    project_id = options.find_project_id(runtime)
    build = find_build(_known_builds(runtime, project_id).builds, project_id, upload_id)
    runtime.output.result(build, lines=_build_lines(runtime, build), bare=build.upload_id)


def _build_lines(runtime: "Runtime", build: Build) -> list[tuple[str, str]]:
    lines = [
        ("upload id", build.upload_id),
        ("project", build.project_id),
        ("status", build.status or build.state),
        ("file", file_name(build.file_url)),
        ("url", build.file_url),
        ("date", local_time(build.date)),
        ("objection", build.objection),
        ("source", None if build.source == "server" else build.source),
    ]
    return [(label, value) for label, value in lines if value]


def wait(
    ctx: typer.Context,
    upload_ids: options.UploadIds = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest build of the project.")] = False,
    project: options.Project = None,
    deadline: options.Deadline = None,
    interval: options.Interval = None,
    timeout: options.Timeout = None,
    output_file: options.OutputFile = None,
) -> None:
    """Wait until builds are processed; the exit code is the verdict.

    0 approved, 10 rejected, 11 deadline passed, 13 no such build, 17 status unreadable.

    \b
      spcli builds wait 665a2b3c4d5e6f7a8b9c0e1f
      spcli builds wait --latest --deadline 45m
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    ids = tuple(dict.fromkeys(upload_ids or ()))
    if bool(ids) == latest:
        raise SpcliError("usage", "name the builds to wait for, or --latest, and not both", hint="spcli builds wait UPLOAD_ID")
    project_id = options.find_project_id(runtime)
    if latest:
        ids = (_latest(runtime, project_id),)
    handover.prepare(output_file)
    on_end, released = _print_line if len(ids) > 1 else None, _just_released(runtime, project_id)
    ended = stages.wait_shown(runtime, project_id, ids, stages.Limits(deadline, interval), released=released, on_end=on_end)
    if len(ids) == 1 and ended[0].verdict != "no-target":
        build = ended[0].build
        lines = [("upload id", build.upload_id), *stages.verdict_lines(ended[0])]
        runtime.output.result(build, lines=lines, bare=build.upload_id)
    failure = waiting.failure_of(ended, project_id, None)
    deciding = next((one for one in ended if failure is not None and one.verdict == failure.kind), ended[-1])
    # An id that nobody knows is nothing a later step should act on.
    if deciding.verdict != "no-target":
        handover.hand_over(runtime, ci.facts_of(deciding.build.upload_id, project_id, deciding.state), output_file)
    if failure is not None:
        raise failure


def _just_released(runtime: "Runtime", project_id: str) -> dict[str, float]:
    """Builds released from here a moment ago: what they show may be from before."""
    history = _history(runtime, project_id)
    return history.recent_releases(runtime.clock.wall(), waiting.grace(runtime.settings.scale))


def _latest(runtime: "Runtime", project_id: str) -> str:
    builds = _known_builds(runtime, project_id).builds
    if not builds:
        raise SpcliError("no-target", f"project {project_id} has no build")
    return builds[0].upload_id


def _print_line(runtime: "Runtime", ended: waiting.Ended) -> None:
    build = ended.build
    if ended.verdict == "no-target":
        return
    runtime.output.line_object(
        build, build.upload_id if runtime.output.quiet else f"{build.upload_id}  {build.status or build.state}"
    )
