"""One request to the API, and the checks that every endpoint makes first.

Source: https://docs.streampixel.io (rate-limits-and-errors).
"""

import json
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit


class Request(NamedTuple):
    """One HTTP request; `path` begins after the API's base path and is percent-decoded."""

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    content_type: str | None = None
    body: bytes = b""


class Problem(Exception):
    """An error answer (400 and above): a JSON object with a string `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def json_object(request: Request) -> dict[str, object]:
    """Parse the JSON object in a POST's body. Raises Problem: 415 for the content type, 400 for anything but an object."""
    if (request.content_type or "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "Content-Type must be application/json")
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Problem(400, "Malformed request: the body must be a JSON object")
    return body


def text_field(body: dict[str, object], name: str) -> str:
    """Return the body's field `name`, a non-empty string. Raises Problem 400."""
    value = body.get(name)
    if value is None or value == "":
        raise Problem(400, f"Missing required field: {name}")
    if not isinstance(value, str):
        raise Problem(400, f"Invalid field: {name} must be a string")
    return value


def is_direct_zip(url: str) -> bool:
    """Return whether `url` can be the public direct download link that upload-file needs."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.path.lower().endswith(".zip")


def first_value(request: Request, name: str) -> str:
    """Return the first query parameter `name`, or an empty string."""
    return next((value for key, value in request.query if key == name), "")


def last_part(request: Request) -> str:
    """Return the last part of the path: the project ID."""
    return request.path.rstrip("/").rpartition("/")[2]


def number_parameter(request: Request, name: str, default: int) -> int:
    """Return the query parameter `name` as a whole number of at least 1, or `default` if it is not a number."""
    value = first_value(request, name)
    return max(1, int(value)) if value.isdecimal() and len(value) < 10 else default
