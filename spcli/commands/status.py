"""`spcli status`: account, project, rate limits, builds and users at a glance."""

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from spcli.api.parse import complete_project
from spcli.builds.lifecycle import created_at, is_final
from spcli.builds.live import ReleaseRecord, find_live, list_standings, unseen_releases
from spcli.builds.local import NO_LIST, LocalHistory
from spcli.builds.wait import release_grace
from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import Build, Limit, ProjectDetail, UserStats, as_json, file_name, iso_utc
from spcli.output.words import clock_time, duration, local_time, opening_time

if TYPE_CHECKING:
    from spcli.api.client import ProjectPage
    from spcli.runtime import Runtime

PAUSE = 10.0
RECENT = 5
UNREAD = "could not read the build list. Showing builds uploaded from this machine and webhook events received here"
_STANDING_WORDS = {"live": "live", "assumed": "assumed live", "releasing": "being released"}


class RunningBuild(NamedTuple):
    """A build in progress and for how many seconds, by the service's clock; None if unknown."""

    build: Build
    elapsed: float | None


class LiveBuild(NamedTuple):
    """The build that was released last, as far as is known: `live`, `assumed` to be, or `releasing` until that is done.

    `since` is ISO 8601 UTC; None if unknown.
    """

    upload_id: str
    standing: Literal["live", "assumed", "releasing"]
    since: str | None


class ScreenProblem(NamedTuple):
    """A section that could not be read (`project`, `builds`, `stats`, `limits`), and why."""

    section: str
    failure: SpcliError


class BuildSection(NamedTuple):
    """The builds in progress, the last ones, and the live one."""

    running: list[RunningBuild]
    recent: list[Build]
    live: LiveBuild | None


class Screen(NamedTuple):
    """The data of one moment; a section that could not be read is None or empty, and a problem gives the reason.

    `no_project` is why there is no project to show.
    """

    project_id: str | None
    no_project: SpcliError | None
    project: ProjectDetail | None
    stats: UserStats | None
    limits: list[Limit]
    builds: BuildSection
    problems: list[ScreenProblem]


def status(
    ctx: typer.Context,
    project: options.Project = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every 10 s until Ctrl-C.")] = False,
    interval: options.WatchInterval = None,
    timeout: options.Timeout = None,
) -> None:
    """Show account, project, rate limits and builds at a glance.

    If part of the screen can't be loaded, the reason is shown instead. The command fails only if nothing could be loaded.

    \b
      spcli status -p showroom --watch
      spcli status --json | jq '.running[].uploadId'
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    if interval is not None and not watch:
        raise SpcliError("usage", "--interval needs --watch", hint="add --watch, or omit --interval")
    runtime.settings.require_credentials()
    screen = _read_first_screen(runtime, project)
    if not watch:
        runtime.output.result(_screen_document(runtime, screen), lines=_screen_lines(runtime, screen))
        return
    scale = runtime.settings.scale
    pause = options.raise_interval(interval, scale, runtime.output) or PAUSE * scale
    is_first = True
    with options.end_by_signal(runtime.output), runtime.output.full_screen() as is_full_screen:
        while True:
            if is_full_screen:
                runtime.output.draw_screen(_timed_lines(runtime, screen))
            else:
                _print_screen(runtime, screen, is_first=is_first)
            is_first = False
            runtime.clock.sleep(pause)
            screen = _read_screen(runtime, screen.project_id, screen.no_project)
            _raise_refusal(screen)


def _read_first_screen(runtime: "Runtime", named: str | None) -> Screen:
    """Read the screen. Raises `SpcliError` if nothing of the service could be read, or the project given does not exist."""
    project_id, no_project = None, None
    try:
        project_id = options.find_project_id(runtime)
    except SpcliError as failure:
        # An account with several projects and no default still has rate limits to show.
        if named is not None or failure.kind != "no-target":
            raise
        no_project = failure
    screen = _read_screen(runtime, project_id, no_project)
    if no_project is None and screen.project is None and screen.stats is None:
        first = screen.problems[0].failure
        more = "show the rate limits with `spcli limits`; look for the cause with `spcli doctor`"
        first.hint = f"{first.hint}\n{more}" if first.hint else more
        raise first
    return screen


def _raise_refusal(screen: Screen) -> None:
    """End a watch if the service refuses us for good; a temporary failure of the network or the service must not end it."""
    for problem in screen.problems:
        failure = problem.failure
        if problem.section in ("project", "stats") and not failure.may_pass and failure.kind != "no-target":
            raise failure


def _read_screen(runtime: "Runtime", project_id: str | None, no_project: SpcliError | None) -> Screen:
    problems: list[ScreenProblem] = []
    project, stats, builds = None, None, BuildSection([], [], None)
    if no_project is not None:
        problems.append(ScreenProblem("project", no_project))
    if project_id is not None:
        page = _read_page(runtime, project_id, problems)
        is_reachable = page is not None or problems[-1].failure.kind != "network"
        if is_reachable:
            stats = _read_stats(runtime, project_id, problems)
        if page is not None:
            project = page.detail
        elif is_reachable and problems[0].failure.may_pass:
            project = _find_in_list(runtime, project_id)
        builds = _read_builds(runtime, project_id, page, problems)
    limits = _read_limits(runtime, problems)
    return Screen(project_id, no_project, project, stats, limits, builds, problems)


def _read_page(runtime: "Runtime", project_id: str, problems: list[ScreenProblem]) -> "ProjectPage | None":
    try:
        return runtime.api.read_project(project_id)
    except SpcliError as failure:
        problems.append(ScreenProblem("project", failure))
        return None


def _read_stats(runtime: "Runtime", project_id: str, problems: list[ScreenProblem]) -> UserStats | None:
    try:
        return runtime.api.read_stats(project_id)
    except SpcliError as failure:
        problems.append(ScreenProblem("stats", failure))
        return None


def _read_limits(runtime: "Runtime", problems: list[ScreenProblem]) -> list[Limit]:
    try:
        return runtime.state.windows.list_limits(runtime.account)
    except SpcliError as failure:
        problems.append(ScreenProblem("limits", failure))
        return []


def _find_in_list(runtime: "Runtime", project_id: str) -> ProjectDetail | None:
    """Return the project as the project list shows it, for when its own page fails."""
    try:
        project = next((one for one in runtime.api.read_projects() if one.id == project_id), None)
    except SpcliError:
        return None
    return None if project is None else complete_project(project)


def _read_builds(runtime: "Runtime", project_id: str, page: "ProjectPage | None", problems: list[ScreenProblem]) -> BuildSection:
    history = LocalHistory(runtime.state, runtime.account, project_id)
    listed = None if page is None else page.builds
    builds = history.list_builds() if listed is None else listed
    if listed is None:
        # An unreadable list is not an empty one: the local history is shown instead.
        problems.append(ScreenProblem("builds", SpcliError("unreadable", UNREAD if page is None else NO_LIST)))
    server = page.server_wall if page is not None else None
    now = runtime.clock.wall() if server is None else server
    record = history.release_record(builds, is_listed=listed is not None)
    released = {one.upload_id: one.at for one in list_standings(record) if one.is_known}
    # A build of the local history without a known state may be in progress or not.
    moving = [
        build for build in builds if not is_final(build.state) and not (build.source == "local" and build.state == "unknown")
    ]
    running = [RunningBuild(build, _elapsed_seconds(build, released.get(build.upload_id), now)) for build in moving]
    return BuildSection(running, builds[:RECENT], _live_build(runtime, record))


def _live_build(runtime: "Runtime", record: ReleaseRecord) -> LiveBuild | None:
    """Return the build that was released last; until its release is seen to finish, or had the time to, it is `releasing`."""
    live = find_live(record)
    if live is None:
        return None
    recent = unseen_releases(record.attempts, runtime.clock.wall(), release_grace(runtime.settings.scale))
    is_moving = any(one.upload_id == live.upload_id and one.state == "distributing" for one in record.builds)
    since = iso_utc(live.at) if live.is_known and live.at > 0 else None
    if is_moving or live.upload_id in recent:
        return LiveBuild(live.upload_id, "releasing", since)
    return LiveBuild(live.upload_id, "live" if live.is_known else "assumed", since)


def _elapsed_seconds(build: Build, released: float | None, now: float) -> float | None:
    """Return the seconds since the build was uploaded, or released again."""
    begun = max((moment for moment in (created_at(build), released) if moment is not None), default=None)
    return None if begun is None else round(max(0.0, now - begun), 1)


def _screen_document(runtime: "Runtime", screen: Screen) -> dict[str, object]:
    """Return the content for `--json`."""
    settings = runtime.settings
    return {
        "profile": settings.profile,
        "userId": settings.user_id,
        "baseUrl": settings.base_url,
        "project": as_json(screen.project),
        "limits": as_json(screen.limits),
        "running": [{**as_json(one.build), "secondsElapsed": one.elapsed} for one in screen.builds.running],
        "recent": as_json(screen.builds.recent),
        "stats": as_json(screen.stats),
        "problems": [
            {"what": one.section, "kind": one.failure.kind, "message": one.failure.message, "hint": one.failure.hint}
            for one in screen.problems
        ],
        "live": as_json(screen.builds.live),
    }


def _print_screen(runtime: "Runtime", screen: Screen, *, is_first: bool) -> None:
    """Print one screen below the last one, where it can't be redrawn: to a file, a pipe, or as JSON."""
    output = runtime.output
    if output.json_mode:
        output.line_object(_screen_document(runtime, screen), "")
        return
    if not is_first:
        output.text("")
    output.result(None, lines=_timed_lines(runtime, screen))


def _timed_lines(runtime: "Runtime", screen: Screen) -> list[str | tuple[str, str]]:
    return [("time", clock_time(runtime.clock.wall())), *_screen_lines(runtime, screen)]


def _screen_lines(runtime: "Runtime", screen: Screen) -> list[str | tuple[str, str]]:
    settings, project = runtime.settings, screen.project
    lines: list[str | tuple[str, str]] = [("account", f"{settings.user_id}  (profile {settings.profile}, {settings.base_url})")]
    if project is not None:
        facts = (project.name, project.id, project.region, project.status)
        lines.append(("project", "  ".join(fact for fact in facts if fact)))
    elif screen.project_id is not None:
        lines.append(("project", screen.project_id))
    # A project's own page shows its users, too.
    users = screen.stats or project
    if users is not None and (users.live_users, users.queued_users) != (None, None):
        live, queued = ("unknown" if count is None else count for count in (users.live_users, users.queued_users))
        lines.append(("users", f"live {live}, queued {queued}"))
    for limit in screen.limits:
        queue = f", {limit.queued} waiting" if limit.queued else ""
        at = clock_time(runtime.clock.wall() + limit.seconds_left)
        lines.append((limit.endpoint, f"allowed {opening_time(limit.seconds_left, at)}{queue}"))
    if screen.project_id is not None:
        lines += _build_lines(screen)
    for problem in screen.problems:
        hint = f"; {problem.failure.hint}" if problem.failure.hint else ""
        lines.append((f"no {problem.section}", problem.failure.message + hint))
    return lines


def _build_lines(screen: Screen) -> list[str | tuple[str, str]]:
    running, recent, live = screen.builds
    none = "unknown" if any(one.section == "builds" for one in screen.problems) else "none"
    lines: list[str | tuple[str, str]] = ["", "in progress:" if running else f"in progress: {none}"]
    for one in running:
        elapsed = "" if one.elapsed is None else f"  {duration(one.elapsed)} elapsed"
        lines.append(f"  {one.build.upload_id}  {_status_word(one.build)}{elapsed}  {file_name(one.build.file_url)}")
    lines.append("last builds:" if recent else f"last builds: {none}")
    words = [_marked_status(build, live) for build in recent]
    for build, word in zip(recent, words, strict=True):
        date = local_time(build.date)
        lines.append(f"  {build.upload_id}  {word:<{max(map(len, words))}}  {date}  {file_name(build.file_url)}".rstrip())
    if live is not None and all(build.upload_id != live.upload_id for build in recent):
        lines.append(f"  {live.upload_id}  earlier, {_STANDING_WORDS[live.standing]}")
    return [*lines, ""] if screen.problems else lines


def _marked_status(build: Build, live: LiveBuild | None) -> str:
    is_live = live is not None and live.upload_id == build.upload_id
    return f"{_status_word(build)}, {_STANDING_WORDS[live.standing]}" if live is not None and is_live else _status_word(build)


def _status_word(build: Build) -> str:
    return build.status or build.state
