"""`spcli check URL|FILE`: would Streampixel take this zip?"""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options

if TYPE_CHECKING:
    from spcli.check.finding import Finding, Report
    from spcli.runtime import Runtime


def check(
    ctx: typer.Context,
    subject: Annotated[
        str, typer.Argument(parser=options.name, metavar="URL|FILE", help="A direct link to the zip, or the zip on this disk.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
) -> None:
    """Check whether Streampixel would accept a zip.

    It is not downloaded. One line per finding: error, warning or info, and what to do. Exit 0, or 12 when there is an error. No
    account is needed.

    \b
      spcli check https://host/Game-1.4.zip
      spcli check ./Game.zip --strict
      spcli check "$URL" --json | jq -r '.findings[].message'
    """
    from spcli.check import check_file, check_url, failure_of, is_url

    runtime: Runtime = ctx.obj
    report = check_url(runtime, subject, strict=strict) if is_url(subject) else check_file(subject, strict=strict)
    runtime.output.result(report, lines=[*map(_line, report.findings), _verdict(report)])
    failure = failure_of(report)
    if failure is not None:
        raise failure


def _line(finding: "Finding") -> str:
    return f"{finding.level}: {finding.message}" + (f"; {finding.hint}" if finding.hint else "")


def _verdict(report: "Report") -> str:
    from spcli.check.finding import amount
    from spcli.models import file_name

    facts = [file_name(report.target) or report.target]
    if report.size is not None:
        facts.append(amount(report.size))
    if report.entries is not None:
        facts.append(f"{report.entries:,} {'entry' if report.entries == 1 else 'entries'}")
    return f"{'ok' if report.ok else 'bad'}: {', '.join(facts)}"
