"""The sandbox's own page: accounts, keys, projects, rate limits and builds."""

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import unquote, urlsplit

from spcli.sandbox.builds import OBJECTION, REJECT, iso_time
from spcli.sandbox.faults import Fault
from spcli.sandbox.seeds import Account
from spcli.sandbox.world import LIMITED, World

_BUILDS_SHOWN = 10
_STYLE = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:75rem}table{border-collapse:collapse;margin:.5rem 0}\
td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;vertical-align:top}code{user-select:all}"


def render_page(world: World, now: float, *, base_url: str, faults: Sequence[Fault]) -> str:
    """Return the page as HTML. Foreign text is escaped, and no URL's query is shown."""
    settings = [
        ("base URL", base_url),
        ("seed", str(world.seed)),
        ("rate limit", f"one call per {world.window:g} s, user and endpoint"),
        ("stage", f"{world.stage:g} s"),
        ("generation", world.generation),
        ("rejected files", world.reject or "none"),
        ("webhooks to", _url_origin(world.webhook_url)),
        ("faults left", ", ".join(_fault_spec(fault) for fault in faults) or "none"),
    ]
    parts = ["<h1>spcli sandbox</h1>", _html_table((), settings)]
    parts += [_account_section(world, account, now) for account in world.accounts]
    head = f'<meta charset="utf-8"><title>spcli sandbox</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _account_section(world: World, account: Account, now: float) -> str:
    facts = [("user id", account.user_id), ("API key", account.api_key)]
    facts += [(f"next {name}", _time_left(world.seconds_left(account.user_id, name, now))) for name in LIMITED]
    projects = [
        (
            project.id,
            project.name,
            project.region,
            "active" if project.active else "inactive",
            f"{project.live} + {project.queued}",
        )
        for project in account.projects
    ]
    listed = _html_table(("project", "name", "region", "status", "users + queued"), projects)
    return f"<h2>Account {escape(account.label)}</h2>" + _html_table((), facts) + listed + _builds_table(world, account, now)


def _builds_table(world: World, account: Account, now: float) -> str:
    rows = []
    for project in account.projects:
        for build in world.builds_of(project.id)[:_BUILDS_SHOWN]:
            status = world.status_of(build.id, now) or ""
            remark = OBJECTION if status == REJECT else ""
            file = unquote(urlsplit(build.url).path).rpartition("/")[2]
            rows.append((iso_time(build.created), project.name, build.id, file, status, remark))
    return _html_table(("date", "project", "build", "file", "status", "objection"), sorted(rows, reverse=True))


def _html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = _html_row("th", heads) if heads else ""
    return "<table>" + head + "".join(_html_row("td", row) for row in rows) + "</table>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _time_left(seconds: float) -> str:
    return f"in {seconds:.1f} s" if seconds else "now"


def _url_origin(url: str | None) -> str:
    # A receiver's path and query may hold its secret token.
    parts = urlsplit(url or "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if url else "nowhere"


def _fault_spec(fault: Fault) -> str:
    return f"{fault.endpoint}:{fault.kind}x{'*' if fault.times is None else fault.times}"
