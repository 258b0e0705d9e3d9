"""`spcli open`: the project's page in the browser."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from spcli import ci
from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import dashboard_url, share_url

if TYPE_CHECKING:
    from spcli.runtime import Runtime

_PAGES = {"share": share_url, "dashboard": dashboard_url}
# By whether the upper and the lower module are dark.
_BLOCKS = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}


def _parse_page(text: str) -> str:
    if text not in _PAGES:
        raise typer.BadParameter("must be share or dashboard")
    return text


def open_page(
    ctx: typer.Context,
    page: Annotated[
        str,
        typer.Argument(
            parser=_parse_page,
            metavar="[share|dashboard]",
            help="The page for viewers (default), or the dashboard's.",
            show_default=False,
        ),
    ] = "share",
    project: options.Project = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the address and open nothing.")] = False,
    qr: Annotated[bool, typer.Option("--qr", help="Draw the address as a QR code, for a phone, and open nothing.")] = False,
    timeout: options.Timeout = None,
) -> None:
    """Open the project's page in the browser, and print its address.

    In an SSH session, a CI job or without a display, and with --json or -q, it only prints the address.

    \b
      spcli open
      spcli open dashboard -p showroom
      spcli open --print
      spcli open --qr
    """  # fmt: skip
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.project = timeout, project
    output = runtime.output
    project_id = options.find_project_id(runtime)
    url = _PAGES[page](project_id)
    drawing = draw_qr_code(url) if qr else ""
    output.result({"projectId": project_id, "page": page, "url": url}, lines=[url], bare=url)
    if only_print or qr or output.json_mode or output.quiet:
        if drawing and not output.json_mode and not output.quiet:
            output.text(drawing)
        return
    obstacle = "a sandbox has no pages" if runtime.settings.is_loopback else find_obstacle(runtime.environ, sys.platform)
    if obstacle is None and not _start_browser(url):
        obstacle = "no browser could be started"
    if obstacle is not None:
        output.note(f"{obstacle}: open the address yourself")


def draw_qr_code(text: str) -> str:
    """Return a QR code in half blocks, two of its rows to a line; light modules are drawn, for a dark terminal.

    Raises:
        SpcliError: `config`, without the extra `qr`.
    """
    try:
        import segno  # an extra: most installations do without
    except ImportError:
        hint = "in a checkout, run pip install '.[qr]'; or print the address with --print"
        raise SpcliError("config", "--qr needs the extra 'qr'", hint=hint) from None
    rows = [list(row) for row in segno.make(text, micro=False).matrix_iter(border=2)]
    pairs = zip(rows[::2], [*rows[1::2], [1] * len(rows[0])], strict=False)
    return "\n".join("".join(_BLOCKS[bool(up), bool(down)] for up, down in zip(*pair, strict=True)) for pair in pairs)


def find_obstacle(environ: Mapping[str, str], platform: str) -> str | None:
    """Return why no browser would appear before the person who typed the command; None if one should.

    A `BROWSER` that is set is trusted over SSH, too: editors set it to a program that opens the page on the other side.
    """
    if ci.is_ci(environ):
        return "this is a CI job"
    if environ.get("BROWSER"):
        return None
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return "this is an SSH session"
    has_display = platform in ("win32", "darwin") or environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return None if has_display else "there is no display"


def _start_browser(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except (OSError, webbrowser.Error):
        return False
