"""The documented webhook payload: parse a received one, build a fake one.

Source: https://docs.streampixel.io, webhook events. The service sends no signature and no id, and does not retry: an event is
a hint, and the same one may arrive twice.
"""

import json

from spcli.builds.lifecycle import FINAL, STAGES
from spcli.models import bare_url, iso_utc, normalize_id, to_camel_case
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
"""The documented events, and the status that each reports."""
BODY_LIMIT = 64 * 1024
TEXT_LIMIT = 4096


class InvalidPayload(Exception):
    """The body is not a documented payload. The text gives the reason and quotes nothing from the body."""


def event_json(event: Event) -> dict[str, str | None]:
    """Return the event with the contract's keys."""
    fields = {to_camel_case(name): value for name, value in event._asdict().items() if name != "received"}
    return {**fields, "receivedAt": iso_utc(event.received)}


def parse_event(body: bytes, now: float) -> Event:
    """Parse the body of a delivery that was received at `now` (Unix seconds). The event's URL loses its query.

    Raises:
        InvalidPayload: the body is not a JSON object with the text `event`.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidPayload("the body is not JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str) or not data["event"].strip():
        raise InvalidPayload("the body is not an object with an event")
    url = _plain_text(data.get("fileUrl"))
    return Event(
        _plain_text(data["event"]),
        _id_text(data.get("projectId")),
        _id_text(data.get("uploadId")),
        None if url is None else bare_url(url),
        _plain_text(data.get("status")),
        _plain_text(data.get("objection")),
        _plain_text(data.get("timestamp")),
        now,
    )


def _id_text(value: object) -> str | None:
    text = _plain_text(value)
    return text and normalize_id(text)


def _plain_text(value: object) -> str | None:
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        return None
    return str(value).encode("utf-8", "replace").decode()[:TEXT_LIMIT].strip() or None


def fake_payload(
    event: str, now: float, *, project_id: str, upload_id: str | None, file_url: str | None, objection: str | None
) -> dict[str, object]:
    """Build the payload that the service would send at `now`. `webhook.test` has no build."""
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
