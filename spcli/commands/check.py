"""`spcli check URL|FILE`: would Streampixel take this zip?"""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.models import file_name
from spcli.output.words import format_size

if TYPE_CHECKING:
    from spcli.check.finding import Report
    from spcli.runtime import Runtime


def check(
    ctx: typer.Context,
    subject: Annotated[
        str, typer.Argument(parser=options.parse_name, metavar="URL|FILE", help="Direct link to the zip, or path of a local zip.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
) -> None:
    """Check whether Streampixel would accept a zip.

    spcli does not download it. It prints one line per finding: error, warning or info, and what to do. The exit code is 12 if
    there is an error. No account is needed.

    \b
      spcli check https://host/Game-1.4.zip
      spcli check ./Game.zip --strict
      spcli check "$URL" --json | jq -r '.findings[].message'
    """
    # The modules of the check are not needed for --help.
    from spcli.check import check_file, check_url, is_url
    from spcli.check.finding import ERROR, report_error

    runtime: Runtime = ctx.obj
    if is_url(subject):
        runtime.output.redactor.register_url(subject)
        report = check_url(
            subject,
            clock=runtime.clock,
            environ=runtime.environ,
            local_api=runtime.settings.is_loopback,
            strict=strict,
            log=runtime.output.detail if runtime.output.verbose else None,
        )
    else:
        report = check_file(subject, strict=strict)
    # An error may contain a warning as its explanation.
    errors = [finding.message for finding in report.findings if finding.level == ERROR]
    shown = [one for one in report.findings if one.level == ERROR or not any(one.message in message for message in errors)]
    lines = [f"{finding.level}: {finding.line}" for finding in shown]
    runtime.output.result(report, lines=[*lines, _result_line(report)])
    failure = report_error(report)
    if failure is not None:
        raise failure


def _result_line(report: "Report") -> str:
    facts = [file_name(report.target) or report.target]
    if report.size is not None:
        facts.append(format_size(report.size))
    if report.entries is not None:
        facts.append(f"{report.entries:,} {'entry' if report.entries == 1 else 'entries'}")
    return f"{'ok' if report.ok else 'bad'}: {', '.join(facts)}"
