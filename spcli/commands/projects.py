"""`spcli projects`: list, show, stats, use."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli import lookup
from spcli.api.parse import complete_project
from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import Project, ProjectDetail, UserStats, dashboard_url
from spcli.output.table import filled_columns
from spcli.output.words import clock_time, local_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    projects = lookup.list_projects(runtime.api, runtime.state.names, runtime.account, runtime.output)
    columns = _table_columns(projects)
    runtime.output.listing(
        projects,
        columns=tuple(columns),
        rows=lambda: list(zip(*columns.values(), strict=True)),
        bare=[project.id for project in projects],
        empty="this account has no projects",
    )


def _table_columns(projects: "Sequence[Project]") -> "dict[str, Sequence[str]]":
    """Return the cells of each column, without the columns that are empty: no answer has both a region and a subscription."""
    columns = {
        "ID": [project.id for project in projects],
        "NAME": [project.name or "" for project in projects],
        "STATUS": [project.status or "" for project in projects],
        "REGION": [project.region or "" for project in projects],
        "SUBSCRIPTION": [project.subscription_status or "" for project in projects],
    }
    return filled_columns(columns)


def show(
    ctx: typer.Context,
    project: options.ProjectArgument = None,
    also: options.Project = None,
    timeout: options.Timeout = None,
) -> None:
    """Show one project: region, status, live and queued users.

    Without PROJECT, show the default project, or the account's only one.
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, _one_project(project, also)
    detail = _read_detail(runtime, options.find_project_id(runtime))
    runtime.output.result(detail, lines=_detail_lines(detail, local_time), bare=detail.id)


def _read_detail(runtime: "Runtime", project_id: str) -> ProjectDetail:
    """Read a project; what its own page leaves out comes from the project list and the user counts."""
    detail = runtime.api.read_project(project_id).detail
    if detail.name is None:
        projects = _read_optional(runtime, runtime.api.read_projects) or []
        detail = next((complete_project(project) for project in projects if project.id == project_id), detail)
    if detail.live_users is None or detail.queued_users is None:
        users = _read_optional(runtime, lambda: runtime.api.read_user_stats(project_id))
        if users is not None:
            detail = detail._replace(live_users=users.live_users, queued_users=users.queued_users)
    return detail


def _read_optional(runtime: "Runtime", read: "Callable[[], T]") -> "T | None":
    """Run `read`; on failure, print a note and return None."""
    try:
        return read()
    except SpcliError as failure:
        runtime.output.note(f"some details could not be read: {failure.message}")
        return None


def _one_project(argument: str | None, option: str | None) -> str | None:
    if argument is not None and option is not None and argument != option:
        raise SpcliError("usage", "PROJECT and -p name different projects", hint="use only one of them")
    return argument if argument is not None else option


def _detail_lines(detail: ProjectDetail, local: "LocalTime") -> list[tuple[str, str]]:
    fields = [
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
    return [(label, str(value)) for label, value in fields if value not in (None, "")]


def stats(
    ctx: typer.Context,
    project: options.ProjectArgument = None,
    also: options.Project = None,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat every 10s until Ctrl-C.")] = False,
    interval: options.WatchInterval = None,
    timeout: options.Timeout = None,
) -> None:
    """Show live and queued users.

    \b
      spcli projects stats showroom
      spcli projects stats --watch --json      one object per line
    """
    runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, _one_project(project, also)
    if interval is not None and not watch:
        raise SpcliError("usage", "--interval needs --watch", hint="add --watch, or omit --interval")
    project_id = options.find_project_id(runtime)
    counts = runtime.api.read_stats(project_id)
    if counts.live_users is None and counts.queued_users is None:
        hint = f"see the dashboard: {dashboard_url(project_id)}"
        raise SpcliError("unreadable", "the service does not report this project's users", hint=hint)
    if not watch:
        lines = [
            ("project", project_id),
            ("live users", _count_text(counts.live_users)),
            ("queued users", _count_text(counts.queued_users)),
        ]
        runtime.output.result(counts, lines=lines, bare=_counts_line(counts, ""))
        return
    # The service's page on live stats names faster polling as the most common cause of throttling.
    scale = runtime.settings.scale
    pause = options.raise_interval(interval, scale, runtime.output) or WATCH_PAUSE * scale
    with options.end_by_signal(runtime.output):
        while True:
            runtime.output.line_object(counts, _counts_line(counts, clock_time(runtime.clock.wall())))
            counts = _next_counts(runtime, project_id, pause)


def _next_counts(runtime: "Runtime", project_id: str, pause: float) -> UserStats:
    """Return the next counts; a failed poll is a note and does not end the watch."""
    while True:
        runtime.clock.sleep(pause)
        try:
            return runtime.api.read_stats(project_id)
        except SpcliError as failure:
            if not failure.may_pass:
                raise
            runtime.output.note(f"could not read the user counts: {failure.message}")


def _count_text(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def _counts_line(counts: UserStats, at: str) -> str:
    return f"{at}  live {_count_text(counts.live_users)}  queued {_count_text(counts.queued_users)}".strip()


def use(
    ctx: typer.Context,
    project: Annotated[str, typer.Argument(parser=options.parse_name, metavar="PROJECT", help="The project's ID, name or URL.")],
    timeout: options.Timeout = None,
) -> None:
    """Make PROJECT this profile's default.

    An ID of 24 hex digits, also in the URL of a project's page, is stored without a look-up; a name is looked up first.
    """
    runtime = ctx.obj
    runtime.timeout, runtime.creates_profile = timeout, True
    chosen = options.find_project_id(runtime, project)
    settings = runtime.settings
    settings.config.set(settings.profile, "project", chosen)
    settings.config.save()
    runtime.output.result(
        {"profile": settings.profile, "project": chosen},
        lines=[f"profile {settings.profile} now uses project {chosen}"],
        bare=chosen,
    )
    if runtime.environ.get("STREAMPIXEL_PROJECT_ID"):
        runtime.output.note("STREAMPIXEL_PROJECT_ID is set and overrides the profile")
