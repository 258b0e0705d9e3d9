"""`--dry-run`: the request as it would be sent."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spcli.models import bare_url

if TYPE_CHECKING:
    from spcli.runtime import Runtime


def print_request(runtime: "Runtime", path: str, body: Mapping[str, object]) -> None:
    """What would be sent, for `--dry-run`: the key as stars, the file's URL without its query."""
    shown = {
        name: "****" if name == "apiKey" else bare_url(str(value)) if name == "fileUrl" else value for name, value in body.items()
    }
    request = {"method": "POST", "url": f"{runtime.settings.base_url}{path}", "body": shown}
    lines: list[str | tuple[str, str]] = [f"POST {request['url']}", *((name, _word(value)) for name, value in shown.items())]
    runtime.output.result(request, lines=lines, bare="")
    runtime.output.note("nothing was sent (--dry-run)")


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
