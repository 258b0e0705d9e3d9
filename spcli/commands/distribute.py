"""`spcli distribute [UPLOAD_ID]`: release a processed build, or release it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.builds import live as release
from spcli.builds import progress as stages
from spcli.commands import options
from spcli.commands import writing as handover
from spcli.commands.writing import print_request
from spcli.errors import SpcliError
from spcli.lookup import assert_upload_id
from spcli.models import Build, DistributeResult, file_name
from spcli.writes import turn as limited
from spcli.writes import upload as pipeline

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime


def distribute(
    ctx: typer.Context,
    upload_id: Annotated[
        str | None,
        typer.Argument(parser=options.upload_id, metavar="[UPLOAD_ID]", help="The build's upload id.", show_default=False),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest approved build.")] = False,
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
    """Release a processed build, or release it again.

    One release in two minutes is allowed: a closed window is waited for.

    \b
      spcli distribute 665a2b3c4d5e6f7a8b9c0e1f --wait
      spcli distribute --latest -p showroom
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project, runtime.on_limit = timeout, project, on_limit
    if (upload_id is not None) == latest:
        raise SpcliError(
            "usage", "name the build to release, or --latest, and not both", hint="`spcli builds --status approved` lists them"
        )
    limits = stages.asked(wait, deadline, interval)
    runtime.output.assert_stdout()
    if not dry_run:
        handover.prepare(output_file)
    project_id = options.find_project_id(runtime)
    page = None if dry_run and not latest else _page(runtime, project_id, is_needed=latest)
    builds = None if page is None else page.builds
    before = _newest(runtime, builds) if upload_id is None else _named(runtime, page, upload_id)
    wanted = upload_id or (before.upload_id if before else "")
    if dry_run:
        print_request(runtime, "/projects/distribute-file", runtime.api.distribute_body(project_id, wanted))
        return
    request = pipeline.ReleaseRequest(
        project_id, wanted, limited.patience(runtime, max_wait), in_progress=pipeline.in_progress(builds)
    )
    with handover.of_what_happened(runtime, project_id, "distributing", output_file):
        result = pipeline.distribute(runtime, request, before)
    handover.conclude(runtime, result, limits, lines=_lines(result, before), path=output_file)


def _newest(runtime: "Runtime", builds: list[Build] | None) -> Build:
    """The newest approved build of the list. Raises `SpcliError` (no-target) when there is none."""
    newest = next((build for build in builds or () if build.state == "approved" or _is_ours(runtime, build)), None)
    if newest is None or builds is None:
        why = "the service tells no build list" if builds is None else "the project has no approved build"
        raise SpcliError("no-target", why, hint="name the build: spcli distribute UPLOAD_ID")
    newer = next((one for one in builds[: builds.index(newest)] if one.state == "distributing"), None)
    if newer is not None:
        text = f"build {newer.upload_id} is newer and being distributed; this releases {newest.upload_id} in its place"
        runtime.output.note(text, name="warning")
    return newest


def _named(runtime: "Runtime", page: "ProjectPage | None", upload_id: str) -> Build | None:
    """What the list says of the build; `None` where it says nothing (then the service judges).

    Raises:
        SpcliError: `guard` for a build that is rejected or not finished; `no-target` for a word that can be no build's id.
    """
    builds = (page and page.builds) or ()
    build = next((build for build in builds if build.upload_id == upload_id), None)
    if build is None and page is not None and page.whole:
        assert_upload_id(upload_id, builds)
    if build is not None and build.state not in ("approved", "unknown") and not _is_ours(runtime, build):
        raise release.unfit(build)
    return build


def _is_ours(runtime: "Runtime", build: Build) -> bool:
    """Whether the build is being distributed and an earlier release of it from here is open: that one is settled, so that the
    same command again, `--latest` included, never releases an older build instead."""
    return build.state == "distributing" and pipeline.is_release_open(runtime, build.project_id, build.upload_id)


def _page(runtime: "Runtime", project_id: str, *, is_needed: bool) -> "ProjectPage | None":
    """The project with its build list; `None` where it can't be read: a named build is released without it."""
    try:
        return runtime.api.project(project_id)
    except SpcliError as failure:
        if is_needed or not failure.may_pass:
            raise
        runtime.output.note(f"could not read the build list: {failure.message}")
        return None


def _lines(result: DistributeResult, before: Build | None) -> list[str | tuple[str, str]]:
    lines: list[str | tuple[str, str]] = [result.message or "distribution triggered", ("upload id", result.upload_id)]
    if before is not None and before.file_url:
        lines.append(("file", file_name(before.file_url)))
    return [*lines, *([("region", result.region)] if result.region else [])]
