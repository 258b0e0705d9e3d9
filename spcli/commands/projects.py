"""`spcli projects`: list, show, stats, use."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli import lookup as target
from spcli.api.parse import listed_detail
from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import ProjectDetail, UserStats

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from spcli.runtime import Runtime

    LocalTime = Callable[[str | None], str]
    T = TypeVar("T")

WATCH_PAUSE = 10.0


def list_projects(ctx: typer.Context, timeout: options.Timeout = None) -> None:
    """List every project of the account.

    \b
      spcli projects list
      spcli projects list --json | jq -r '.[].id'
    """
    runtime = ctx.obj
    runtime.timeout = timeout
    projects = target.list_projects(runtime)
    runtime.output.listing(
        projects,
        columns=("ID", "NAME", "STATUS", "REGION", "SUBSCRIPTION"),
        rows=lambda: [(p.id, p.name or "", p.status or "", p.region or "", p.subscription_status or "") for p in projects],
        bare=[project.id for project in projects],
        empty="the account has no project",
    )


def show(
    ctx: typer.Context,
    project: options.ProjectArgument = None,
    also: options.Project = None,
    timeout: options.Timeout = None,
) -> None:
    """Show one project: its region, state, live and queued users.

    Without PROJECT: the default one, or the account's only project.
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, _named(project, also)
    detail = _whole(runtime, target.project_id(runtime))
    runtime.output.result(detail, lines=_detail_lines(detail, runtime.output.local_time), bare=detail.id)


def _whole(runtime: "Runtime", project_id: str) -> ProjectDetail:
    """The project, and from elsewhere what its own page does not tell: its users, and all else where it has no page at all."""
    detail = runtime.api.project(project_id).detail
    if detail.name is None:
        projects = _perhaps(runtime, runtime.api.projects) or []
        detail = next((listed_detail(project) for project in projects if project.id == project_id), detail)
    if detail.live_users is None or detail.queued_users is None:
        users = _perhaps(runtime, lambda: runtime.api.user_stats(project_id))
        if users is not None:
            detail = detail._replace(live_users=users.live_users, queued_users=users.queued_users)
    return detail


def _perhaps(runtime: "Runtime", read: "Callable[[], T]") -> "T | None":
    try:
        return read()
    except SpcliError as failure:
        runtime.output.note(f"not all could be read: {failure.message}")
        return None


def _named(argument: str | None, option: str | None) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise SpcliError("usage", "PROJECT and -p name two projects", hint="give one of them")
    return argument if argument is not None else option


def _detail_lines(detail: ProjectDetail, local: "LocalTime") -> list[tuple[str, str]]:
    known = [
        ("project", detail.name),
        ("id", detail.id),
        ("status", detail.status),
        ("region", detail.region),
        ("subscription", detail.subscription_status),
        ("live users", detail.live_users),
        ("queued users", detail.queued_users),
        ("builds", detail.builds),
        ("domain", detail.custom_domain),
        ("created", local(detail.created_at)),
        ("updated", local(detail.updated_at)),
        ("share", detail.share_url),
        ("dashboard", detail.dashboard_url),
    ]
    return [(label, str(value)) for label, value in known if value not in (None, "")]


def stats(
    ctx: typer.Context,
    project: options.ProjectArgument = None,
    also: options.Project = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every 10 s until Ctrl-C.")] = False,
    interval: options.WatchInterval = None,
    timeout: options.Timeout = None,
) -> None:
    """Show live and queued users.

    \b
      spcli projects stats showroom
      spcli projects stats --watch --json      one object a line
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, _named(project, also)
    if interval is not None and not watch:
        raise SpcliError("usage", "--interval needs --watch", hint="add --watch, or leave it out")
    wanted = target.project_id(runtime)
    figures = runtime.api.stats(wanted)
    if not watch:
        lines = [
            ("project", wanted),
            ("live users", _figure(figures.live_users)),
            ("queued users", _figure(figures.queued_users)),
        ]
        runtime.output.result(figures, lines=lines, bare=_line(figures, ""))
        return
    # Faster polling is the most common cause of being throttled, says the service's page on live stats.
    scale = runtime.settings.scale
    pause = WATCH_PAUSE * scale if interval is None else max(interval, 5.0 * scale)
    while True:
        runtime.output.line_object(figures, _line(figures, runtime.output.clock_time(runtime.clock.wall())))
        figures = _next(runtime, wanted, pause)


def _next(runtime: "Runtime", wanted: str, pause: float) -> UserStats:
    """The next reading: one failed poll must not end the watch."""
    while True:
        runtime.clock.sleep(pause)
        try:
            return runtime.api.stats(wanted)
        except SpcliError as failure:
            if not failure.may_pass:
                raise
            runtime.output.note(f"could not read the users: {failure.message}")


def _figure(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _line(figures: UserStats, at: str) -> str:
    return f"{at}  live {_figure(figures.live_users)}  queued {_figure(figures.queued_users)}".strip()


def use(
    ctx: typer.Context,
    project: Annotated[str, typer.Argument(parser=options.name, metavar="PROJECT", help="A project's id or name.")],
    timeout: options.Timeout = None,
) -> None:
    """Remember PROJECT as this profile's default.

    A 24-digit id is stored as it is; a name is looked up first.
    """
    runtime = ctx.obj
    runtime.timeout, runtime.creates_profile = timeout, True
    chosen = target.project_id(runtime, project)
    settings = runtime.settings
    settings.config.set(settings.profile, "project", chosen)
    settings.config.save()
    runtime.output.result(
        {"profile": settings.profile, "project": chosen},
        lines=[f"profile {settings.profile} now uses project {chosen}"],
        bare=chosen,
    )
    if runtime.environ.get("STREAMPIXEL_PROJECT_ID"):
        runtime.output.note("STREAMPIXEL_PROJECT_ID is set and wins over the profile")
