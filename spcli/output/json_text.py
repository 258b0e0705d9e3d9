"""Pure: one value as a JSON document that any parser, terminal and CI log takes unharmed."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import TYPE_CHECKING

from spcli.models import as_json, is_model
from spcli.output.escape import cut, redacted, traces, without_commands

if TYPE_CHECKING:
    from spcli.errors import SpcliError

LIMIT = 64 * 1024
"""Bytes of an error object, or of one model, past which its texts are cut."""


def document(value: object, *, indent: int | None = None, forms: Sequence[str] = ()) -> str:
    """`value` (a model, or what `json.loads` gives) as ASCII JSON, without a line end; secrets (`forms`) as `****`.

    Lone surrogates become U+FFFD, NaN and the infinities `null`. A single model over 64 KiB has its texts cut at 2 KiB;
    lists and plain data are never cut.
    """
    try:
        text = _dumps(as_json(value), indent)
    except ValueError:  # NaN
        text = ""
    if is_model(value) and len(text) > LIMIT:
        return _dumps(_clean(as_json(value), forms, short=True), indent)
    if not text or _has_lone_surrogate(text) or any(_dumps(trace, None)[1:-1] in text for trace in traces(forms)):
        return _dumps(_clean(as_json(value), forms), indent)
    return text


def error_object(error: SpcliError, forms: Sequence[str] = ()) -> dict[str, object]:
    """What `--json` says of a failure: at most 64 KiB of it, no secrets (`forms`), `retryAfter` in whole seconds, rounded up."""
    after = error.retry_after

    def shown(text: str) -> str:
        # In this order: a cut through a secret would leave a part of it that is found no more.
        return cut(redacted(text, forms))

    return {
        "error": {
            "kind": error.kind,
            "message": shown(error.message),
            "status": error.status,
            "exitCode": error.exit_code,
            "retryable": error.retryable,
            "retryAfter": max(0, ceil(after)) if after is not None and isfinite(after) else None,
            "outcome": error.outcome,
            "uploadId": None if error.upload_id is None else shown(error.upload_id),
            "hint": None if error.hint is None else shown(error.hint),
        }
    }


def without_marks(text: str) -> str:
    """A JSON document in which no runner finds its `##[…]` commands, and every parser finds the same values."""
    return text.replace("##", "#\\u0023")


def plain_body(body: bytes, forms: Sequence[str], *, is_json: bool, is_watched: bool) -> bytes:
    """`body` byte for byte, but for secrets; where a runner reads along (`is_watched`), with nothing in it that it would obey."""
    found = any(trace.encode("utf-8", "surrogatepass") in body for trace in traces(forms))
    if not found and not is_watched:
        return body
    text = redacted(body.decode("utf-8", "surrogateescape"), forms if found else ())
    if not is_watched:
        return text.encode("utf-8", "surrogateescape")
    return (without_marks(text) if is_json else without_commands(text)).encode("utf-8", "surrogateescape")


def _dumps(value: object, indent: int | None) -> str:
    import json

    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, indent=indent, separators=separators, default=str, allow_nan=False)


def _has_lone_surrogate(text: str) -> bool:
    if "\\ud" not in text:
        return False
    import re

    return any(found.group(1) for found in re.finditer(r"\\\\|\\ud[89ab]..\\ud[c-f]|\\(ud)", text))


def _clean(value: object, forms: Sequence[str], *, short: bool = False) -> object:
    if isinstance(value, str):
        text = redacted(value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"), forms)
        return cut(text) if short else text
    if isinstance(value, dict):
        return {_clean(key, forms, short=short): _clean(item, forms, short=short) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, forms, short=short) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
