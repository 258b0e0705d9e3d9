"""The findings of a check and its report: the values behind `spcli check --json`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spcli.errors import SpcliError
from spcli.models import Inside

ERROR, WARNING, INFO = LEVELS = ("error", "warning", "info")
_PATH_WIDTH = 80


class Finding(NamedTuple):
    """One finding. `level` is `error`, `warning` or `info`; `hint` says what to do.

    `certain` separates an error that Streampixel must meet too from one that may only exist here (a network, a firewall): only a
    certain error stops an upload.
    """

    level: str
    code: str
    message: str
    hint: str | None = None
    certain: Inside[bool] = True

    @property
    def line(self) -> str:
        """Return the message and the hint on one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Report(NamedTuple):
    """The result of a check. `target` is the URL without its query, or the path; `size` counts bytes; `entries` the zip's."""

    target: str
    size: int | None
    ok: bool
    findings: tuple[Finding, ...]
    entries: int | None


def error(code: str, message: str, hint: str | None = None, *, certain: bool = True) -> Finding:
    """Return a reason for Streampixel to refuse the file."""
    return Finding(ERROR, code, message, hint, certain)


def warning(code: str, message: str, hint: str | None = None) -> Finding:
    """Return a problem with which the file may still work."""
    return Finding(WARNING, code, message, hint)


def info(code: str, message: str, hint: str | None = None) -> Finding:
    """Return a fact worth knowing."""
    return Finding(INFO, code, message, hint)


def sort_by_level(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with errors first, then warnings, otherwise in their order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def has_errors(findings: Iterable[Finding]) -> bool:
    """Return whether one of the findings is an error."""
    return any(finding.level == ERROR for finding in findings)


def build_report(target: str, findings: Sequence[Finding], size: int | None, entries: int | None, *, strict: bool) -> Report:
    """Return the report of a check; `strict` makes warnings fail it."""
    failing = (ERROR, WARNING) if strict else (ERROR,)
    ok = not any(finding.level in failing for finding in findings)
    return Report(target, size, ok, tuple(sort_by_level(findings)), entries)


def report_error(report: Report) -> SpcliError | None:
    """Return the error that a report ends in, or None for a good one."""
    if report.ok:
        return None
    errors = [finding for finding in report.findings if finding.level == ERROR]
    if not errors:
        return SpcliError("bad-file", "the check found warnings, and --strict is given", hint="omit --strict to allow warnings")
    more = f" ({len(errors) - 1} more above)" if len(errors) > 1 else ""
    return SpcliError("bad-file", f"{errors[0].message}{more}", hint=errors[0].hint)


def format_path(path: str) -> str:
    """Return a path inside the archive on one line, cut in the middle if it is long."""
    flat = path if path.isprintable() else "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in path)
    return flat if len(flat) <= _PATH_WIDTH else f"{flat[: _PATH_WIDTH // 2]}…{flat[1 - _PATH_WIDTH // 2 :]}"
