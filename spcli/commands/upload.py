"""`spcli upload URL`: register a build."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options

if TYPE_CHECKING:
    from spcli.models import UploadResult
    from spcli.runtime import Runtime


def upload(
    ctx: typer.Context,
    url: Annotated[
        str,
        typer.Argument(
            parser=options.without_line_end, metavar="URL", help="A direct link to the zip of the packaged Windows build."
        ),
    ],
    project: options.Project = None,
    auto_release: Annotated[
        bool, typer.Option("--auto-release/--no-auto-release", help="Release the build as soon as it is approved.")
    ] = True,
    wait: options.Wait = False,
    deadline: options.Deadline = None,
    interval: options.Interval = None,
    on_limit: options.OnLimit = None,
    max_wait: options.MaxWait = None,
    timeout: options.Timeout = None,
    dry_run: options.DryRun = False,
    output_file: options.OutputFile = None,
    force: Annotated[bool, typer.Option("--force", help="Upload even if an earlier attempt may have succeeded.")] = False,
    is_checked: Annotated[bool, typer.Option("--check/--no-check", help="Check the URL before uploading.")] = True,
    message: options.Message = None,
) -> None:
    """Register a build by URL.

    The upload ID is printed before any waiting. The service accepts one upload every two minutes. spcli waits for its turn.

    \b
      spcli upload https://host/Game-1.4.zip -p showroom --wait
      spcli upload "$URL" --no-auto-release --json | jq -r .uploadId
      id=$(spcli upload "$URL" -q)
      $id = spcli upload $env:URL -q     in PowerShell
    """
    # Not at the top: `upload --help` takes a third less time without them.
    from spcli import check
    from spcli.check.url import judge_url
    from spcli.commands import writing
    from spcli.writes.upload import UploadRequest, UploadWrite

    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project, runtime.on_limit = timeout, project, on_limit
    writing.empty_output_file(output_file, runtime.environ, is_dry_run=dry_run)
    limits = writing.read_wait_limits(wait, deadline, interval)
    runtime.output.redactor.register_url(url)
    findings = judge_url(url, now=runtime.clock.wall(), local_api=runtime.settings.is_loopback)
    check.note_url_findings(findings, runtime.output)
    runtime.output.assert_stdout()
    project_id = options.find_project_id(runtime)
    if dry_run:
        writing.print_request(runtime, "/projects/upload-file", runtime.api.upload_body(project_id, url, auto_release))
        return
    sender = writing.new_sender(runtime, "upload", max_wait)
    build = UploadWrite(sender, UploadRequest(project_id, url, auto_release, force, writing.note_of(runtime, message)))
    with writing.handing_over_on_failure(runtime, project_id, "queued", output_file), sender.settle_interruptions():
        result = build.resume_earlier()
        if result is None and is_checked:
            # Not before: a link that has expired since says nothing about earlier attempts.
            check.check_before_upload(
                url, findings, clock=runtime.clock, environ=runtime.environ, output=runtime.output,
                local_api=runtime.settings.is_loopback,
            )  # fmt: skip
        result = result or build.send()
    writing.finish_write(runtime, result, limits, lines=_lines(result), path=output_file)
    if limits is None:
        next_step = f"wait until it is processed: spcli builds wait {result.upload_id}"
        runtime.output.note(f"{writing.GOES_LIVE}; {next_step}" if auto_release else next_step)


def _lines(result: "UploadResult") -> list[str | tuple[str, str]]:
    confirmed = "the build list confirms the upload" if result.confirmed_by == "build-list" else "the upload was accepted"
    lines: list[str | tuple[str, str]] = [result.message or confirmed]
    from spcli.models import file_name  # not at the top: help does not need the models

    return [*lines, ("upload id", result.upload_id or ""), ("project", result.project_id), ("file", file_name(result.file_url))]
