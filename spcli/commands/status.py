"""`spcli status`: account, project, windows, builds and users on one screen."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar

import typer

from spcli.builds import live as release
from spcli.builds.lifecycle import created_at, is_final
from spcli.builds.local import NO_LIST, LocalHistory
from spcli.builds.wait import grace
from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import Build, Limit, ProjectDetail, UserStats, as_json, file_name, iso_utc
from spcli.output.words import clock_time, duration, local_time, opening_time

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime

PAUSE = 10.0
LEAST_PAUSE = 5.0
RECENT = 5
UNREAD = "the build list could not be read; shown are the builds sent from this machine and received events"
_STANDING = {"live": "live", "assumed": "assumed live", "releasing": "being released"}
_T = TypeVar("_T")


class Running(NamedTuple):
    """A build in progress and for how many seconds, by the service's clock; `None` where nothing tells."""

    build: Build
    elapsed: float | None


class Live(NamedTuple):
    """The build that was put live last, as far as is known: `live`, `assumed` to be, or `releasing` while that is on its way.

    `since` is ISO 8601 UTC; `None` where it is not known.
    """

    upload_id: str
    standing: Literal["live", "assumed", "releasing"]
    since: str | None


class Problem(NamedTuple):
    """What could not be read (`project`, `builds`, `stats`, `limits`), and why."""

    what: str
    failure: SpcliError


class Screen:
    """What is known at one moment; what could not be read is `None` or empty, and a problem says why.

    `unnamed` is why there is no project to show.
    """

    def __init__(self) -> None:
        self.project_id: str | None = None
        self.unnamed: SpcliError | None = None
        self.project: ProjectDetail | None = None
        self.stats: UserStats | None = None
        self.limits: list[Limit] = []
        self.running: list[Running] = []
        self.recent: list[Build] = []
        self.live: Live | None = None
        self.problems: list[Problem] = []

    def read(self, what: str, reading: Callable[[], _T]) -> _T | None:
        """What `reading` gives; a failure becomes a problem."""
        try:
            return reading()
        except SpcliError as failure:
            self.problems.append(Problem(what, failure))
            return None


def status(
    ctx: typer.Context,
    project: options.Project = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every 10 s until Ctrl-C.")] = False,
    interval: options.WatchInterval = None,
    timeout: options.Timeout = None,
) -> None:
    """Show account, project, windows and builds on one screen.

    What could not be read says why; it fails only when nothing of the service could be read.

    \b
      spcli status -p showroom --watch
      spcli status --json | jq '.running[].uploadId'
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    if interval is not None and not watch:
        raise SpcliError("usage", "--interval needs --watch", hint="add --watch, or leave it out")
    runtime.settings.require_credentials()
    screen = _first(runtime, project)
    if not watch:
        runtime.output.result(_document(runtime, screen), lines=_lines(runtime, screen))
        return
    scale = runtime.settings.scale
    pause = PAUSE * scale if interval is None else max(interval, LEAST_PAUSE * min(scale, 1.0))
    is_first = True
    while True:
        _redraw(runtime, screen, is_first=is_first)
        is_first = False
        runtime.clock.sleep(pause)
        screen = _look(runtime, screen.project_id, screen.unnamed)
        _raise_final(screen)


def _first(runtime: "Runtime", named: str | None) -> Screen:
    """The first look. Raises `SpcliError` when nothing of the service could be read, or the project named does not exist."""
    project_id, unnamed = None, None
    try:
        project_id = options.find_project_id(runtime)
    except SpcliError as failure:
        # An account with several projects and no default still has windows to show.
        if named is not None or failure.kind != "no-target":
            raise
        unnamed = failure
    screen = _look(runtime, project_id, unnamed)
    if unnamed is None and screen.project is None and screen.stats is None:
        first = screen.problems[0].failure
        more = "`spcli limits` shows the windows, `spcli doctor` looks for the cause"
        first.hint = f"{first.hint}\n{more}" if first.hint else more
        raise first
    return screen


def _raise_final(screen: Screen) -> None:
    """End a watch when the service refuses us for good; a bad moment of the network or the service must not end it."""
    for problem in screen.problems:
        if problem.what in ("project", "stats") and not problem.failure.may_pass and problem.failure.kind != "no-target":
            raise problem.failure


def _look(runtime: "Runtime", project_id: str | None, unnamed: SpcliError | None) -> Screen:
    screen = Screen()
    screen.project_id, screen.unnamed = project_id, unnamed
    if unnamed is not None:
        screen.problems.append(Problem("project", unnamed))
    if project_id is not None:
        _read_project(runtime, screen, project_id)
    screen.limits = runtime.state.windows.list_limits(runtime.account)
    if runtime.state.problem is not None:
        screen.limits = []
        screen.problems.append(Problem("limits", runtime.state.problem))
    return screen


def _read_project(runtime: "Runtime", screen: Screen, project_id: str) -> None:
    page = screen.read("project", lambda: runtime.api.project(project_id))
    is_reachable = page is not None or screen.problems[-1].failure.kind != "network"
    if is_reachable:
        screen.stats = screen.read("stats", lambda: runtime.api.stats(project_id))
    if page is not None:
        screen.project = page.detail
    elif is_reachable and screen.problems[0].failure.may_pass:
        screen.project = _listed(runtime, project_id)
    _read_builds(runtime, screen, project_id, page)


def _listed(runtime: "Runtime", project_id: str) -> ProjectDetail | None:
    """The project as the list tells it, where its own page fails."""
    from spcli.api.parse import listed_detail

    try:
        known = next((one for one in runtime.api.projects() if one.id == project_id), None)
    except SpcliError:
        return None
    return None if known is None else listed_detail(known)


def _read_builds(runtime: "Runtime", screen: Screen, project_id: str, page: "ProjectPage | None") -> None:
    is_listed = page is not None and page.builds is not None
    history = LocalHistory(runtime.state, runtime.account, project_id)
    builds = page.builds if page is not None and page.builds is not None else history.list_builds()
    if page is not None and not is_listed:
        screen.problems.append(Problem("builds", SpcliError("unreadable", NO_LIST)))
    elif page is None:
        # An unreadable list is no empty one: what is shown in its place is this machine's own record.
        screen.problems.append(Problem("builds", SpcliError("unreadable", UNREAD)))
    server = page.server_wall if page is not None else None
    now = runtime.clock.wall() if server is None else server
    known = history.read_sources(builds, is_listed=is_listed)
    screen.live = _live(runtime, known)
    began = {one.upload_id: one.at for one in release.pile(known) if one.is_known}
    # A build of the ledger whose state nobody told may be in progress or not.
    moving = [
        build for build in builds if not is_final(build.state) and not (build.source == "local" and build.state == "unknown")
    ]
    screen.running = [Running(build, _elapsed(build, began.get(build.upload_id), now)) for build in moving]
    screen.recent = builds[:RECENT]


def _live(runtime: "Runtime", known: release.Sources) -> Live | None:
    """What the last release put live. Until it is seen at its end, or had the time for it, nobody should take it for done."""
    found = release.live(known)
    if found is None:
        return None
    fresh = release.unseen_releases(known.attempts, runtime.clock.wall(), grace(runtime.settings.scale))
    is_moving = any(one.upload_id == found.upload_id and one.state == "distributing" for one in known.builds)
    since = iso_utc(found.at) if found.is_known and found.at > 0 else None
    if is_moving or found.upload_id in fresh:
        return Live(found.upload_id, "releasing", since)
    return Live(found.upload_id, "live" if found.is_known else "assumed", since)


def _elapsed(build: Build, released: float | None, now: float) -> float | None:
    """Seconds since the build was uploaded, or put live again."""
    created = created_at(build)
    begun = max((moment for moment in (created, released) if moment is not None), default=None)
    return None if begun is None else round(max(0.0, now - begun), 1)


def _document(runtime: "Runtime", screen: Screen) -> dict[str, object]:
    """The content for `--json`; its keys are documented in the README."""
    settings = runtime.settings
    return {
        "profile": settings.profile,
        "userId": settings.user_id,
        "baseUrl": settings.base_url,
        "project": as_json(screen.project),
        "limits": as_json(screen.limits),
        "running": [{**as_json(one.build), "secondsElapsed": one.elapsed} for one in screen.running],
        "recent": as_json(screen.recent),
        "stats": as_json(screen.stats),
        "problems": [
            {"what": one.what, "kind": one.failure.kind, "message": one.failure.message, "hint": one.failure.hint}
            for one in screen.problems
        ],
        "live": as_json(screen.live),
    }


def _redraw(runtime: "Runtime", screen: Screen, *, is_first: bool) -> None:
    output = runtime.output
    if output.json_mode:
        output.line_object(_document(runtime, screen), "")
        return
    if not output.clear_screen() and not is_first:
        output.text("")
    now = clock_time(runtime.clock.wall())
    output.result(None, lines=[("time", now), *_lines(runtime, screen)])


def _lines(runtime: "Runtime", screen: Screen) -> list[str | tuple[str, str]]:
    settings, project = runtime.settings, screen.project
    lines: list[str | tuple[str, str]] = [("account", f"{settings.user_id}  (profile {settings.profile}, {settings.base_url})")]
    if project is not None:
        facts = (project.name, project.id, project.region, project.status)
        lines.append(("project", "  ".join(fact for fact in facts if fact)))
    elif screen.project_id is not None:
        lines.append(("project", screen.project_id))
    # The page of a project tells its users, too.
    users = screen.stats or project
    if users is not None and (users.live_users, users.queued_users) != (None, None):
        lines.append(("users", f"live {_figure(users.live_users)}, queued {_figure(users.queued_users)}"))
    for limit in screen.limits:
        queue = f", {limit.queued} waiting" if limit.queued else ""
        at = clock_time(runtime.clock.wall() + limit.seconds_left)
        lines.append((limit.endpoint, f"allowed {opening_time(limit.seconds_left, at)}{queue}"))
    if screen.project_id is not None:
        lines += _build_lines(runtime, screen)
    for problem in screen.problems:
        hint = f"; {problem.failure.hint}" if problem.failure.hint else ""
        lines.append((f"no {problem.what}", problem.failure.message + hint))
    return lines


def _build_lines(runtime: "Runtime", screen: Screen) -> list[str | tuple[str, str]]:
    none = "not known" if any(one.what == "builds" for one in screen.problems) else "none"
    lines: list[str | tuple[str, str]] = ["", "in progress:" if screen.running else f"in progress: {none}"]
    for one in screen.running:
        elapsed = "" if one.elapsed is None else f"  {duration(one.elapsed)} elapsed"
        lines.append(f"  {one.build.upload_id}  {_word(one.build)}{elapsed}  {file_name(one.build.file_url)}")
    lines.append("last builds:" if screen.recent else f"last builds: {none}")
    words = [_marked(build, screen.live) for build in screen.recent]
    for build, word in zip(screen.recent, words, strict=True):
        date = local_time(build.date)
        lines.append(f"  {build.upload_id}  {word:<{max(map(len, words))}}  {date}  {file_name(build.file_url)}".rstrip())
    if screen.live is not None and all(build.upload_id != screen.live.upload_id for build in screen.recent):
        lines.append(f"  {screen.live.upload_id}  earlier, {_STANDING[screen.live.standing]}")
    return [*lines, ""] if screen.problems else lines


def _marked(build: Build, live: Live | None) -> str:
    return _word(build) if live is None or live.upload_id != build.upload_id else f"{_word(build)}, {_STANDING[live.standing]}"


def _word(build: Build) -> str:
    return build.status or build.state


def _figure(count: int | None) -> str:
    return "unknown" if count is None else str(count)
