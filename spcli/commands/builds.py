"""`spcli builds`: list, show, wait."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli import ci
from spcli.builds.lifecycle import STATES, state_of
from spcli.builds.local import KnownBuilds, LocalHistory, find_listed, known_builds
from spcli.builds.wait import BuildWait, WaitLimits, WaitTarget, deciding_build, release_grace, result_lines, wait_failure
from spcli.commands import options
from spcli.commands.writing import empty_output_file, hand_over, hand_over_quietly, run_wait, start_wait
from spcli.errors import Interrupted, SpcliError
from spcli.models import Build, file_name
from spcli.output.words import local_time

if TYPE_CHECKING:
    from spcli.runtime import Runtime

LIMIT = 20


def _parse_state(text: str) -> str:
    wanted = text.strip().casefold()
    state = wanted if wanted in STATES else state_of(text)
    if state == "unknown" and wanted != "unknown":
        raise typer.BadParameter(f"use one of {', '.join(STATES)}")
    return state


def list_builds(
    ctx: typer.Context,
    project: options.Project = None,
    limit: options.Limit = None,
    status: Annotated[
        str | None, typer.Option(parser=_parse_state, metavar="S", help="Show only builds in state S.", show_default=False)
    ] = None,
    timeout: options.Timeout = None,
) -> None:
    """List the project's builds, newest first.

    If the service doesn't provide a build list, the builds uploaded from this machine are listed.

    \b
      spcli builds --limit 5
      spcli builds --status approved --json | jq -r '.[0].uploadId'
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    known = _read_builds(runtime, options.find_project_id(runtime))
    wanted = [build for build in known.builds if status is None or build.state == status]
    builds = wanted[: (LIMIT if limit is None else limit) or None]
    local = local_time
    runtime.output.listing(
        builds,
        columns=("UPLOAD ID", "STATUS", "DATE", "FILE"),
        rows=lambda: [(b.upload_id, b.status or b.state, local(b.date), file_name(b.file_url)) for b in builds],
        bare=[build.upload_id for build in builds],
        empty="the project has no builds" if status is None else f"the project has no builds in state {status}",
    )


def _read_builds(runtime: "Runtime", project_id: str) -> KnownBuilds:
    return known_builds(runtime.api, LocalHistory(runtime.state, runtime.account, project_id), runtime.output)


def show(
    ctx: typer.Context,
    upload_id: Annotated[str, typer.Argument(parser=options.parse_upload_id, metavar="UPLOAD_ID", help="The build's upload id.")],
    project: options.Project = None,
    timeout: options.Timeout = None,
) -> None:
    """Show one build."""
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    project_id = options.find_project_id(runtime)
    build = find_listed(_read_builds(runtime, project_id).builds, upload_id)
    if build is None:
        raise SpcliError(
            "no-target",
            f"project {project_id} has no build {upload_id}",
            hint="list its builds with `spcli builds`; choose another project with -p",
        )
    runtime.output.result(build, lines=_build_lines(build), bare=build.upload_id)


def _build_lines(build: Build) -> list[tuple[str, str]]:
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
    latest: Annotated[bool, typer.Option("--latest", help="Wait for the newest build of the project.")] = False,
    project: options.Project = None,
    deadline: options.Deadline = None,
    interval: options.Interval = None,
    timeout: options.Timeout = None,
    output_file: options.OutputFile = None,
) -> None:
    """Wait until builds are processed; the exit code is the result.

    0 approved, 10 rejected, 11 deadline reached, 13 no such build, 17 status unreadable.

    \b
      spcli builds wait 665a2b3c4d5e6f7a8b9c0e1f
      spcli builds wait --latest --deadline 45m
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    empty_output_file(output_file, runtime.environ)
    ids = tuple(dict.fromkeys(upload_ids or ()))
    if bool(ids) == latest:
        raise SpcliError("usage", "give either upload IDs or --latest", hint="run spcli builds wait UPLOAD_ID")
    project_id = options.find_project_id(runtime)
    if latest:
        ids = (_find_newest(runtime, project_id),)
    history = LocalHistory(runtime.state, runtime.account, project_id)
    released = history.recent_releases(runtime.clock.wall(), release_grace(runtime.settings.scale))
    build_wait = start_wait(runtime, project_id, WaitTarget(ids, released), WaitLimits(deadline, interval))
    try:
        _print_ends(runtime, build_wait, is_single=len(ids) == 1)
    except (SpcliError, Interrupted):
        if (facts := _facts_of(build_wait, project_id)) is not None:
            hand_over_quietly(runtime, facts, output_file)
        raise
    if (facts := _facts_of(build_wait, project_id)) is not None:
        hand_over(runtime, facts, output_file)
    failure = wait_failure(build_wait.results(), project_id, None)
    if failure is not None:
        raise failure


def _find_newest(runtime: "Runtime", project_id: str) -> str:
    builds = _read_builds(runtime, project_id).builds
    if not builds:
        raise SpcliError("no-target", f"project {project_id} has no builds")
    return builds[0].upload_id


def _facts_of(build_wait: BuildWait, project_id: str) -> ci.Facts | None:
    """Return what later steps get: the build that decides, as last seen. An id that the list doesn't show is not handed over."""
    decides = deciding_build(build_wait.results())
    if decides is None or decides.result == "no-target":
        return None
    upload_id = decides.build.upload_id
    return ci.make_facts(upload_id, project_id, decides.state, is_live=build_wait.live_rank(upload_id) == "live")


def _print_ends(runtime: "Runtime", build_wait: BuildWait, *, is_single: bool) -> None:
    """Run the wait and print the only build's result, or a line for each of several as it ends."""
    output = runtime.output
    for ended in run_wait(build_wait):
        build = ended.build
        if ended.result == "no-target":
            continue
        if is_single:
            lines = result_lines(ended, build_wait.live_rank(build.upload_id))
            output.result(build, lines=[("upload id", build.upload_id), *lines], bare=build.upload_id)
        else:
            status = f"{build.upload_id}  {build.status or build.state}"
            output.line_object(build, build.upload_id if output.quiet else status)
