"""What a check finds, and what it says in the end: the values behind `spcli check --json`."""

from typing import NamedTuple

from spcli.models import Inside

ERROR, WARNING, INFO = "error", "warning", "info"
_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SHOWN = 80


class Finding(NamedTuple):
    """One thing found. `level` is `error`, `warning` or `info`; `hint` says what to do.

    `certain` tells an error that must be the same for Streampixel from one that may be ours alone (a network, a firewall): only
    the former stops an upload.
    """

    level: str
    code: str
    message: str
    hint: str | None = None
    certain: Inside[bool] = True


class Report(NamedTuple):
    """The verdict. `target` is the URL without its query, or the path; `size` counts bytes; `entries` those of the zip."""

    target: str
    size: int | None
    ok: bool
    findings: tuple[Finding, ...]
    entries: int | None


def error(code: str, message: str, hint: str | None = None, *, certain: bool = True) -> Finding:
    """A reason for Streampixel to refuse the file."""
    return Finding(ERROR, code, message, hint, certain)


def warning(code: str, message: str, hint: str | None = None) -> Finding:
    """A doubt: it may work all the same."""
    return Finding(WARNING, code, message, hint)


def info(code: str, message: str, hint: str | None = None) -> Finding:
    """Good to know."""
    return Finding(INFO, code, message, hint)


def plural(count: int, noun: str) -> str:
    """`1 file`, `1,234 files`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def amount(size: int) -> str:
    """Bytes in decimal units, as storage services count them: `29.9 GB`."""
    if size < 1000:
        return plural(size, "byte")
    power = 1
    while size >= 999.95 * 1000**power and power < len(_UNITS):
        power += 1
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"


def name(path: str) -> str:
    """A path inside the archive on one line, cut in the middle when it is long."""
    flat = (
        path
        if path.isprintable()
        else "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in path)
    )
    return flat if len(flat) <= _SHOWN else f"{flat[: _SHOWN // 2]}…{flat[1 - _SHOWN // 2 :]}"
