"""`spcli distribute [UPLOAD_ID]`: release a processed build, or release it again."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.builds.live import find_live, unreleasable_error
from spcli.builds.local import LocalHistory, find_listed
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
from spcli.models import Build, DistributeResult, file_name
from spcli.writes.release import ReleaseRequest, ReleaseWrite, builds_in_progress, find_open_releases

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime


def distribute(
    ctx: typer.Context,
    upload_id: Annotated[
        str | None,
        typer.Argument(parser=options.parse_upload_id, metavar="[UPLOAD_ID]", help="The build's upload id.", show_default=False),
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="Release the newest approved build.")] = False,
    project: options.Project = None,
    wait: options.Wait = False,
    deadline: options.Deadline = None,
    interval: options.Interval = None,
    on_limit: options.OnLimit = None,
    max_wait: options.MaxWait = None,
    timeout: options.Timeout = None,
    dry_run: options.DryRun = False,
    output_file: options.OutputFile = None,
    force: Annotated[bool, typer.Option("--force", help="Release even if the build list doesn't show the build.")] = False,
    message: options.Message = None,
) -> None:
    """Release a processed build, or release it again.

    The service accepts one release every two minutes. spcli waits for its turn.

    \b
      spcli distribute 665a2b3c4d5e6f7a8b9c0e1f --wait
      spcli distribute --latest -p showroom
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project, runtime.on_limit = timeout, project, on_limit
    empty_output_file(output_file, runtime.environ, is_dry_run=dry_run)
    if (upload_id is not None) == latest:
        raise SpcliError(
            "usage", "give either an upload ID or --latest", hint="list releasable builds with `spcli builds --status approved`"
        )
    limits = read_wait_limits(wait, deadline, interval)
    runtime.output.assert_stdout()
    project_id = options.find_project_id(runtime)
    page = None if dry_run and not latest else _read_page(runtime, project_id, is_required=latest)
    builds = None if page is None else page.builds
    build = _find_newest(runtime, builds) if upload_id is None else _check_build(runtime, page, upload_id, force=force)
    wanted = build.upload_id if build is not None else upload_id or ""
    if dry_run:
        print_request(runtime, "/projects/distribute-file", runtime.api.distribute_body(project_id, wanted))
        return
    sender = new_sender(runtime, "distribute", max_wait)
    note = note_of(runtime, message, _live_upload_id(runtime, project_id, builds))
    request = ReleaseRequest(project_id, wanted, note=note, before=build, in_progress=builds_in_progress(builds))
    with handing_over_on_failure(runtime, project_id, "distributing", output_file), sender.settle_interruptions():
        result = ReleaseWrite(sender, request).send()
    finish_write(runtime, result, limits, lines=_result_lines(result, build), path=output_file)


def _live_upload_id(runtime: "Runtime", project_id: str, builds: list[Build] | None) -> str | None:
    """Return the build that is live before this release, as far as the list and this machine know."""
    history = LocalHistory(runtime.state, runtime.account, project_id)
    record = history.release_record(history.list_builds() if builds is None else builds, is_listed=builds is not None)
    live = find_live(record)
    return None if live is None else live.upload_id


def _find_newest(runtime: "Runtime", builds: list[Build] | None) -> Build:
    """Return the newest approved build of the list. Raises `SpcliError` (no-target) if there is none."""
    newest = next((build for build in builds or () if build.state == "approved" or _is_own_release(runtime, build)), None)
    if newest is None or builds is None:
        why = "the service doesn't provide a build list" if builds is None else "the project has no approved build"
        raise SpcliError("no-target", why, hint="give the upload ID: spcli distribute UPLOAD_ID")
    newer = next((one for one in builds[: builds.index(newest)] if one.state == "distributing"), None)
    if newer is not None:
        text = f"build {newer.upload_id} is newer and being distributed; this command releases {newest.upload_id} instead"
        runtime.output.note(text, name="warning")
    return newest


def _check_build(runtime: "Runtime", page: "ProjectPage | None", upload_id: str, *, force: bool) -> Build | None:
    """Return the build as it is listed, or None if it isn't (then the service decides).

    Raises:
        SpcliError: `guard` for a build that is rejected or not finished; `no-target` for one that a complete list doesn't show,
            unless `force` is set.
    """
    builds = (page and page.builds) or ()
    build = find_listed(builds, upload_id)
    if build is None and builds and page is not None and page.whole and not force:
        error = unlisted_error(upload_id, builds)
        error.hint = f"{error.hint}\nrelease it anyway with --force"
        raise error
    if build is not None and build.state not in ("approved", "unknown") and not _is_own_release(runtime, build):
        raise unreleasable_error(build)
    return build


def _is_own_release(runtime: "Runtime", build: Build) -> bool:
    """Return whether the build is being distributed and an earlier release of it from here has an unknown outcome.

    That release is settled first, so that the same command again, `--latest` included, never releases an older build instead.
    """
    return build.state == "distributing" and bool(
        find_open_releases(runtime.state.ledger, runtime.account, build.project_id, build.upload_id)
    )


def _read_page(runtime: "Runtime", project_id: str, *, is_required: bool) -> "ProjectPage | None":
    """Read the project with its build list; None if that fails: a build given by its id is released without the list."""
    try:
        return runtime.api.read_project(project_id)
    except SpcliError as failure:
        if is_required or not failure.may_pass:
            raise
        runtime.output.note(f"could not read the build list: {failure.message}")
        return None


def _result_lines(result: DistributeResult, build: Build | None) -> list[str | tuple[str, str]]:
    lines: list[str | tuple[str, str]] = [result.message or "release accepted", ("upload id", result.upload_id)]
    if build is not None and build.file_url:
        lines.append(("file", file_name(build.file_url)))
    return [*lines, *([("region", result.region)] if result.region else [])]
