"""Responses, read without trust: JSON, error texts, dates, and the status of one that broke off.

The service documents its errors as `{"message": "…"}`, but gateways and proxies in between answer with pages of their own.
Source: https://docs.streampixel.io (rate-limits-and-errors), RFC 9110 sections 5.6.7 and 10.2.3.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

EXCERPT = 200
HINT_CAP = 6 * 3600.0
_EXCERPT_SOURCE = 64 * 1024
# Kept as text: compiling takes longer than reading most answers, and `re` remembers what it has compiled.
_STATUS_LINE = rb"HTTP/[0-9]\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n"
_SECONDS = r"\s*[0-9]{1,9}\s*"
_TAG = r"(<[^<>]*>)"


class Answer(NamedTuple):
    """A response as it came.

    `cut`: it broke off, or the deadline passed, before its end. `oversized`: reading stopped at the limit.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    cut: bool = False
    oversized: bool = False

    def values(self, name: str) -> list[str]:
        """Return all values of the header `name` (lower case)."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str | None:
        """Return the first value of the header `name` (lower case)."""
        return next(iter(self.values(name)), None)

    @property
    def encoding(self) -> str:
        """Return the encodings of the body, such as `gzip`; empty without one, as spcli asks for it."""
        values = [value.strip().lower() for key, value in self.headers if key.lower() == "content-encoding"]
        return ", ".join(value for value in values if value != "identity")

    @property
    def location_host(self) -> str | None:
        """Return the host of the `Location` header, None if it names none."""
        try:
            return urlsplit(self.value("location") or "").hostname
        except ValueError:
            return None


def parse_json(body: bytes) -> object:
    """Return the value in `body`; invalid UTF-8 becomes U+FFFD, a byte-order mark is skipped.

    Raises:
        ValueError: not JSON, or nested too deep, or with integers of thousands of digits, NaN or 1e999.
    """
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        value: object = json.loads(text, parse_constant=_finite_number, parse_float=_finite_number)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _finite_number(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError("not a finite number")
    return value


def plain_message(body: bytes, content_type: str | None) -> tuple[str, bool]:
    """Return an error body's message, and whether it is the service's documented `{"message": "…"}`.

    The documented message comes back whole. Anything else gives at most 200 characters of visible text, perhaps none.
    """
    try:
        data = parse_json(body)
    except ValueError:
        return _excerpt(body, content_type), False
    message = data.get("message") if isinstance(data, dict) else None
    if isinstance(message, str):
        return (message, True) if message.strip() else ("", False)
    return _excerpt(body, content_type) if data else "", False


def error_text(status: int, body: bytes, content_type: str | None, encoding: str = "") -> tuple[str, bool]:
    """Return the text to show for an error answer, and whether it is the service's documented message."""
    if encoding:
        return f"HTTP {status}{_status_phrase(status)} with a compressed message ({encoding})", False
    message, documented = plain_message(body, content_type)
    if documented:
        return message, True
    if not message:
        return f"HTTP {status}{_status_phrase(status)} without a message", False
    return f"HTTP {status} with an HTML page: {message}" if is_html(body, content_type) else f"HTTP {status}: {message}", False


def is_edge_page(body: bytes, content_type: str | None) -> bool:
    """Return whether the answer comes from a CDN or proxy in front of the service: HTML, or Cloudflare's line for programs.

    JSON never does, under any content type.
    """
    if not is_html(body, content_type) and not body.lstrip().lower().startswith(b"error code: "):
        return False
    try:
        parse_json(body)
    except ValueError:
        return bool(body.strip())
    return False


def is_html(body: bytes, content_type: str | None) -> bool:
    """Return whether the answer is a page for a browser, as gateways and proxies send it."""
    if "html" in (content_type or "").lower():
        return True
    return body[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _status_phrase(status: int) -> str:
    from http.client import responses  # only for an error without a message

    phrase = responses.get(status)
    return f" ({phrase})" if phrase else ""


def _excerpt(body: bytes, content_type: str | None) -> str:
    text = body[:_EXCERPT_SOURCE].decode("utf-8-sig", "replace")
    if is_html(body, content_type):
        text = _unescape_html(" ".join(_visible_text(text)))
    return " ".join(text.split())[:EXCERPT]


def _visible_text(page: str) -> Iterator[str]:
    hidden = ""
    for piece in re.split(_TAG, page):
        tag = piece[:8].lower()
        if hidden:
            hidden = "" if tag.startswith(f"</{hidden}") else hidden
        elif tag.startswith(("<script", "<style")):
            hidden = "script" if tag.startswith("<script") else "style"
        elif not piece.startswith("<"):
            yield piece


def _unescape_html(text: str) -> str:
    from html import unescape  # only for an HTML page

    return unescape(text)


def server_time(headers: Sequence[tuple[str, str]]) -> float | None:
    """Return the `Date` header as Unix time."""
    text = next((value for name, value in headers if name.lower() == "date"), None)
    return None if text is None else http_date(text)


@lru_cache(4)
def http_date(text: str) -> float | None:
    """Return an HTTP date as Unix time, None for anything else."""
    from email.utils import parsedate_tz

    # The parser does not check how many words a date has, so odd dates raise more than ValueError.
    try:
        parts = parsedate_tz(text)
        if parts is None:
            return None
        year, month, day, hour, minute, second = (int(part or 0) for part in parts[:6])
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() - (parts[9] or 0)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


def retry_after_hint(values: Sequence[str], server_wall: float | None, now_wall: float) -> float | None:
    """Return the seconds to wait by the `Retry-After` headers: the largest usable one, at most 6 hours; None without any.

    A date counts from the response's own `Date` (`server_wall`), so this machine's clock may be wrong; a date in the past is 0.
    Malformed values are ignored.
    """
    base = now_wall if server_wall is None else server_wall
    hints = [hint for hint in (_wait_seconds(value, base) for value in values) if hint is not None]
    return min(max(hints), HINT_CAP) if hints else None


def _wait_seconds(value: str, base: float) -> float | None:
    if re.fullmatch(_SECONDS, value):
        return float(value)
    until = http_date(value)
    return None if until is None else max(0.0, until - base)


def status_of_head(head: bytes) -> int | None:
    """Return the final status of a response that broke off in its headers; interim 1xx blocks are skipped."""
    while line := re.match(_STATUS_LINE, head):
        status = int(line[1])
        if status >= 200:
            return status
        _, end, head = head.partition(b"\r\n\r\n")
        if not end:
            return None
    return None
