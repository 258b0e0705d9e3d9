"""Arguments and options that commands share, each declared once; words become values here, and a bad word is a usage error.

Durations are written `90`, `45s`, `0.2s`, `10m`, `2h`, `1h30m`; they become seconds.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from spcli.errors import Interrupted

if TYPE_CHECKING:
    from spcli.output import Output
    from spcli.runtime import Runtime

# Kept as text: most commands take no duration.
_DURATION = r"(?a)(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?"
_SECONDS = r"(?a)\d+(?:\.\d+)?"
LONGEST = 30 * 24 * 3600.0
LONGEST_CALL = 600.0
LEAST_INTERVAL = 5.0
LEAST_LOCAL_INTERVAL = 0.2


def parse_duration(text: str) -> float:
    """Return the seconds of a duration such as `1h30m`. Raises `typer.BadParameter`."""
    word = text.strip().lower()
    # A number alone is seconds; after a unit it would be ambiguous.
    found = re.fullmatch(_DURATION, f"{word}s" if re.fullmatch(_SECONDS, word) else word)
    if found is None or not any(found.groups()):
        raise typer.BadParameter("not a duration: write 90, 45s, 0.2s, 10m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > LONGEST:
        raise typer.BadParameter("must be at most 30 days")
    return total


def parse_timeout(text: str) -> float:
    """Return the seconds that one call may take, more than 0. Raises `typer.BadParameter`."""
    seconds = parse_duration(text)
    if not 0 < seconds <= LONGEST_CALL:
        raise typer.BadParameter("must be more than 0s and at most 10m")
    return seconds


def parse_on_limit(text: str) -> str:
    """Return `wait` or `fail`. Raises `typer.BadParameter`."""
    if text not in ("wait", "fail"):
        raise typer.BadParameter("must be wait or fail")
    return text


def parse_count(text: str) -> int:
    """Return a whole number. Raises `typer.BadParameter`."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise typer.BadParameter("must be a whole number; 0 shows all")
    return int(text)


def without_line_end(text: str) -> str:
    """Return a word without the end of its line: `$(cat url.txt)` leaves the CR of a file written on Windows."""
    return text.rstrip("\r\n")


def parse_name(text: str) -> str:
    """Return a name, an ID or a place as typed. Raises `typer.BadParameter` if it is empty."""
    if not text.strip():
        raise typer.BadParameter("must not be empty")
    return without_line_end(text)


def parse_upload_id(text: str) -> str:
    """Return an upload ID as it is compared. Raises `typer.BadParameter` if it is empty."""
    from spcli.models import normalize_id  # not at the top: help does not need the models

    return normalize_id(parse_name(text))


def parse_port(text: str | int) -> int:
    """Return a TCP port, as typed or as a default. Raises `typer.BadParameter`."""
    text = str(text)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:
        raise typer.BadParameter("must be a port; 0 takes a free one")
    return int(text)


def raise_interval(interval: float | None, scale: float, output: "Output") -> float | None:
    """Return `--interval`, raised with a note to the least time between two polls: 5 s, scaled for a local service."""
    least = max(LEAST_INTERVAL * min(scale, 1.0), LEAST_LOCAL_INTERVAL)
    if interval is None or interval >= least:
        return interval
    output.note(f"--interval raised to {least:g}s, the minimum time between polls")
    return least


@contextmanager
def end_by_signal(output: "Output") -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command that has no other end, without an error message. The exit code stays.

    With `--json` the error object is printed, because scripts expect it after any exit code but 0.
    """
    try:
        yield
    except Interrupted as signal:
        if output.json_mode:
            raise
        output.clear()
        raise typer.Exit(signal.exit_code) from None


def find_project_id(runtime: "Runtime", wanted: str | None = None) -> str:
    """Return the ID of the project `wanted`: an ID, the URL of its page, or a name; else of the one in force, or the only one.

    Raises:
        SpcliError: `no-target`, with the candidates; whatever reading the project list raises.
    """
    from spcli import lookup  # not at the top: help does not need it

    wanted = runtime.settings.project if wanted is None else wanted
    if wanted is not None and (project_id := lookup.parse_project_id(wanted)) is not None:
        return project_id
    projects = lookup.list_projects(runtime.api, runtime.state.names, runtime.account, runtime.output)
    return lookup.choose_project(projects, wanted).id


Project = Annotated[
    str | None,
    typer.Option(
        "-p", "--project", parser=parse_name, metavar="PROJECT", help="The project's ID, name or URL.", show_default=False
    ),
]
ProjectArgument = Annotated[
    str | None, typer.Argument(parser=parse_name, metavar="[PROJECT]", help="A project's ID, name or URL.", show_default=False)
]
Timeout = Annotated[
    float | None,
    typer.Option(
        parser=parse_timeout,
        metavar="DUR",
        help="Maximum time for one API call (default 60s for writes, 20s for reads).",
        show_default=False,
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until processing finishes; the exit code is the result.")]
Deadline = Annotated[
    float | None,
    typer.Option(
        parser=parse_duration,
        metavar="DUR",
        help="Stop waiting after DUR (default 2h). The build itself continues.",
        show_default=False,
    ),
]
Interval = Annotated[
    float | None,
    typer.Option(
        parser=parse_duration, metavar="DUR", help="Maximum time between polls (default 5s to 30s).", show_default=False
    ),
]
WatchInterval = Annotated[
    float | None,
    typer.Option(
        parser=parse_duration,
        metavar="DUR",
        help="With --watch: time between updates (default 10s, at least 5s).",
        show_default=False,
    ),
]
OnLimit = Annotated[
    str | None,
    typer.Option(
        parser=parse_on_limit,
        metavar="wait|fail",
        help="When rate-limited: wait (default), or fail at once with 49.",
        show_default=False,
    ),
]
MaxWait = Annotated[
    float | None,
    typer.Option(
        parser=parse_duration, metavar="DUR", help="Maximum total wait for rate limits (default 10m).", show_default=False
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the request, key masked, and send nothing.")]
Message = Annotated[
    str | None, typer.Option("-m", "--message", metavar="TEXT", help="Reason, kept in the history.", show_default=False)
]
Limit = Annotated[
    int | None, typer.Option(parser=parse_count, metavar="N", help="Show at most N (default 20, 0 for all).", show_default=False)
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation.")]
OutputFile = Annotated[
    str | None,
    typer.Option("--output-file", metavar="PATH", help="Write KEY=value lines for later CI steps to PATH.", show_default=False),
]
UploadIds = Annotated[
    list[str] | None,
    typer.Argument(parser=parse_upload_id, metavar="[UPLOAD_ID]...", help="Upload IDs of the builds.", show_default=False),
]
