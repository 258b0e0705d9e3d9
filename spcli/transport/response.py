"""What a response says, read without trusting it: JSON, error texts, dates, and the status of one that broke off.

Errors of the service are documented as `{"message": "…"}`, but gateways and proxies in between answer with pages of their own.
Source: https://docs.streampixel.io (rate-limits-and-errors), RFC 9110 sections 5.6.7 and 10.2.3.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from spcli.models import Secret

EXCERPT = 200
HINT_CAP = 6 * 3600.0
_EXCERPT_SOURCE = 64 * 1024
# Kept as text: compiling takes longer than reading most answers, and `re` remembers what it has compiled.
_STATUS_LINE = rb"HTTP/[0-9]\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n"
_SECONDS = r"\s*[0-9]{1,9}\s*"
_TAG = r"(<[^<>]*>)"
_LEAST_KEY = 12


def parse_json(body: bytes) -> object:
    """The value `body` holds; invalid UTF-8 becomes U+FFFD, a byte-order mark is skipped.

    Raises:
        ValueError: not JSON, or JSON nobody can hold: nested too deep, integers of thousands of digits, NaN, 1e999.
    """
    import json

    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    try:
        value: object = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError("not a finite number")
    return value


def plain_message(body: bytes, content_type: str | None) -> tuple[str, bool]:
    """An error body's message, and whether it is the service's documented `{"message": "…"}`.

    The documented message comes back whole and word for word. Anything else gives at most 200 characters of visible text,
    or an empty string when there is none.
    """
    try:
        data = parse_json(body)
    except ValueError:
        return _excerpt(body, content_type), False
    message = data.get("message") if isinstance(data, dict) else None
    if isinstance(message, str):
        return (message, True) if message.strip() else ("", False)
    return _excerpt(body, content_type) if data else "", False


def error_text(status: int, body: bytes, content_type: str | None) -> tuple[str, bool]:
    """What to show for an error answer, and whether it is the service's own documented message."""
    message, documented = plain_message(body, content_type)
    if documented:
        return message, True
    if not message:
        return f"HTTP {status}{_phrase(status)} without a message", False
    return f"HTTP {status} with an HTML page: {message}" if is_html(body, content_type) else f"HTTP {status}: {message}", False


def is_edge_page(body: bytes, content_type: str | None) -> bool:
    """Whether the answer comes from an edge in front of the service: HTML, or the line Cloudflare has for programs.

    JSON is none, whatever its type says.
    """
    if not is_html(body, content_type) and not body.lstrip().lower().startswith(b"error code: "):
        return False
    try:
        parse_json(body)
    except ValueError:
        return bool(body.strip())
    return False


def is_html(body: bytes, content_type: str | None) -> bool:
    """Whether the answer is a page meant for a browser, as gateways and proxies send."""
    if "html" in (content_type or "").lower():
        return True
    return body[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html"))


def _phrase(status: int) -> str:
    from http.client import responses

    phrase = responses.get(status)
    return f" ({phrase})" if phrase else ""


def _excerpt(body: bytes, content_type: str | None) -> str:
    text = body[:_EXCERPT_SOURCE].decode("utf-8-sig", "replace")
    if is_html(body, content_type):
        text = _unescaped(" ".join(_visible(text)))
    return " ".join(text.split())[:EXCERPT]


def _visible(page: str) -> Iterator[str]:
    hidden = ""
    for piece in re.split(_TAG, page):
        tag = piece[:8].lower()
        if hidden:
            hidden = "" if tag.startswith(f"</{hidden}") else hidden
        elif tag.startswith(("<script", "<style")):
            hidden = "script" if tag.startswith("<script") else "style"
        elif not piece.startswith("<"):
            yield piece


def _unescaped(text: str) -> str:
    from html import unescape

    return unescape(text)


@lru_cache(4)
def http_date(text: str) -> float | None:
    """An HTTP date as Unix time, `None` for anything else."""
    from email.utils import parsedate_tz

    # The parser indexes into words it never counted, so odd dates end in other errors than ValueError.
    try:
        parts = parsedate_tz(text)
        return None if parts is None else _unix_time(parts)
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


def _unix_time(parts: Sequence[int | None]) -> float:
    from datetime import UTC, datetime

    year, month, day, hour, minute, second = (int(part or 0) for part in parts[:6])
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() - (parts[9] or 0)


def retry_after_hint(values: Sequence[str], server_wall: float | None, now_wall: float) -> float | None:
    """Seconds to wait by the `Retry-After` headers: the largest usable one, at most 6 hours; `None` without any.

    A date counts from the response's own `Date` (`server_wall`), so that a wrong clock here does no harm; one that has passed is
    0. Malformed values are as good as absent. Never raises.
    """
    base = now_wall if server_wall is None else server_wall
    hints = [hint for hint in (_seconds(value, base) for value in values) if hint is not None]
    return min(max(hints), HINT_CAP) if hints else None


def _seconds(value: str, base: float) -> float | None:
    if re.fullmatch(_SECONDS, value):
        return float(value)
    until = http_date(value)
    return None if until is None else max(0.0, until - base)


def status_of_head(head: bytes) -> int | None:
    """The final status in a response that broke off in its header block; interim 1xx blocks are skipped."""
    while line := re.match(_STATUS_LINE, head):
        status = int(line[1])
        if status >= 200:
            return status
        _, end, head = head.partition(b"\r\n\r\n")
        if not end:
            return None
    return None


def masked(text: str, secrets: Sequence[Secret]) -> str:
    """`text` with every known secret replaced by stars, also where a server echoes it percent-, JSON- or HTML-escaped."""
    for secret in secrets:
        if secret.reveal():
            text = re.sub("".join(map(_any_spelling, secret.reveal())), "****", text)
    return text


def masked_body(body: bytes, secrets: Sequence[Secret]) -> bytes:
    """`body` with secrets replaced, as `masked` does; one shorter than real keys are may be a word of the JSON."""
    for secret in secrets:
        if len(secret.reveal()) >= _LEAST_KEY and _longest_run(secret) in body:
            body = masked(body.decode("utf-8", "surrogateescape"), [secret]).encode("utf-8", "surrogateescape")
    return body


@lru_cache(4)
def _longest_run(secret: Secret) -> bytes:
    """The secret's longest run of letters and digits. No encoder escapes those: where they are missing, so is the key."""
    return max(re.findall("[0-9A-Za-z]+", secret.reveal()), key=len, default="").encode()


def _any_spelling(letter: str) -> str:
    from html import escape

    percent = "".join(f"%{byte:02x}" for byte in letter.encode("utf-8", "replace"))
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    escapes = "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
    plain = {letter, escape(letter), f"\\{letter}"} | ({"+"} if letter == " " else set())
    exact = "|".join(re.escape(form) for form in sorted(plain, key=len, reverse=True))
    return f"(?:{exact}|(?i:{re.escape(percent)}|{re.escape(escapes)}))"
