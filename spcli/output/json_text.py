"""Pure: one value as a JSON document that any parser, terminal and CI log takes unharmed."""

from __future__ import annotations

import re
from math import ceil, isfinite
from typing import TYPE_CHECKING

from spcli.models import as_json, is_model
from spcli.output.escape import disarm_commands, truncate

if TYPE_CHECKING:
    from spcli.errors import SpcliError
    from spcli.output.redact import Redactor

LIMIT = 64 * 1024
"""Bytes of an error object, or of one model, above which its texts are truncated."""


def to_json(value: object, redactor: Redactor, *, indent: int | None = None) -> str:
    """Return `value` (a model, or what `json.loads` gives) as ASCII JSON without registered secrets, without a line end.

    Lone surrogates become U+FFFD, NaN and the infinities `null`. The texts of a single model over 64 KiB are truncated to 2 KiB;
    lists and plain data are never truncated.
    """
    data, traces = as_json(value), redactor.traces()
    try:
        text = _dumps(data, indent)
    except ValueError:  # NaN
        text = ""
    is_long = len(text) > LIMIT and is_model(value)
    # One look at the whole document spares a look at each of its texts.
    has_secret = any(_dumps(trace, None)[1:-1] in text for trace in traces)
    if is_long or not text or _has_lone_surrogate(text) or has_secret:
        return _dumps(_clean(data, redactor, short=is_long), indent)
    return text


def error_object(error: SpcliError, redactor: Redactor) -> dict[str, object]:
    """Return what `--json` prints of a failure: at most 64 KiB, redacted, `retryAfter` in whole seconds, rounded up."""
    after = error.retry_after

    def shorten(text: str | None) -> str | None:
        # Redaction first: truncating would cut through a secret.
        return None if text is None else truncate(redactor.redact(text))

    return {
        "error": {
            "kind": error.kind,
            "message": shorten(error.message),
            "status": error.status,
            "exitCode": error.exit_code,
            "retryable": error.retryable,
            "retryAfter": max(0, ceil(after)) if after is not None and isfinite(after) else None,
            "outcome": error.outcome,
            "uploadId": shorten(error.upload_id),
            "hint": shorten(error.hint),
        }
    }


def escape_marks(text: str) -> str:
    """Return a JSON document in which no runner finds its `##[…]` commands, and every parser finds the same values."""
    return text.replace("##", "#\\u0023")


def raw_body(body: bytes, redactor: Redactor, *, is_json: bool, in_runner: bool) -> bytes:
    """Return `body` as it came but without registered secrets; inside a CI runner also without anything it would obey."""
    text = redactor.redact_data(body.decode("utf-8", "surrogateescape"))
    if in_runner:
        text = escape_marks(text) if is_json else disarm_commands(text)
    return text.encode("utf-8", "surrogateescape")


def _dumps(value: object, indent: int | None) -> str:
    import json  # only for --json

    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(value, indent=indent, separators=separators, default=str, allow_nan=False)


def _has_lone_surrogate(text: str) -> bool:
    if "\\ud" not in text:
        return False
    return any(found.group(1) for found in re.finditer(r"\\\\|\\ud[89ab]..\\ud[c-f]|\\(ud)", text))


def _clean(value: object, redactor: Redactor, *, short: bool) -> object:
    if isinstance(value, str):
        text = redactor.redact_data(value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace"))
        return truncate(text) if short else text
    if isinstance(value, dict):
        return {_clean(key, redactor, short=short): _clean(item, redactor, short=short) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, redactor, short=short) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
