"""Pure: the documented webhook payload, read and forged.

Source: https://docs.streampixel.io, webhook events. There is no signature, no id and no retry: an event is a hint, and
the same one may arrive twice.
"""

import json

from spcli.builds.lifecycle import FINAL, STAGES
from spcli.models import bare_url, camel, iso_utc, normalize_id
from spcli.state.events import Event

STATUS_OF = {
    "build.uploaded": STAGES[0].word,
    "build.downloading": STAGES[1].word,
    "build.extracting": STAGES[2].word,
    "build.saving": STAGES[3].word,
    "build.distributing": STAGES[4].word,
    "build.approved": FINAL["approved"],
    "build.rejected": FINAL["rejected"],
    "webhook.test": "test",
}
BODY_LIMIT = 64 * 1024
TEXT_LIMIT = 4096


class Unreadable(Exception):
    """The body is not a documented payload; the text says why and quotes nothing of it."""


def shown(event: Event) -> dict[str, str | None]:
    """The event by the contract's keys."""
    named = {camel(name): value for name, value in event._asdict().items() if name != "received"}
    return {**named, "receivedAt": iso_utc(event.received)}


def parse(body: bytes, now: float) -> Event:
    """The event in a delivery's body, received at `now` (Unix seconds); its URL without the query.

    Raises:
        Unreadable: it is not a JSON object with the text `event`.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the body is not JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str) or not data["event"].strip():
        raise Unreadable("the body is not an object with an event")
    url = _text(data.get("fileUrl"))
    return Event(
        _text(data["event"]),
        _id_text(data.get("projectId")),
        _id_text(data.get("uploadId")),
        None if url is None else bare_url(url),
        _text(data.get("status")),
        _text(data.get("objection")),
        _text(data.get("timestamp")),
        now,
    )


def _id_text(value: object) -> str | None:
    text = _text(value)
    return text and normalize_id(text)


def _text(value: object) -> str | None:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    return str(value).encode("utf-8", "replace").decode()[:TEXT_LIMIT].strip() or None


def forged(
    event: str, now: float, *, project_id: str, upload_id: str | None, file_url: str | None, objection: str | None
) -> dict[str, object]:
    """A payload as the service would send it at `now`; `webhook.test` has no build."""
    is_build = event.startswith("build.")
    return {
        "event": event,
        "projectId": project_id,
        "uploadId": upload_id if is_build else None,
        "fileUrl": file_url if is_build else None,
        "status": STATUS_OF.get(event, "test"),
        "objection": objection if event == "build.rejected" else None,
        "timestamp": iso_utc(now),
    }
