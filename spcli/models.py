"""The service's answers in our types: frozen values whose fields are the JSON keys of `--json`.

A field `live_users` is the key `liveUsers`; one of type `Inside[…]` stays inside the program. They are named tuples: eight data
classes would take a twentieth of a command's time to make, and each of ten thousand projects three times as long.
Sources: https://docs.streampixel.io (list-projects, get-project, project-user-stats, upload-file, distribute-file).
"""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeVar

T = TypeVar("T")
Inside = Annotated[T, "no key of the JSON"]
"""The type of a model's field that `--json` does not show."""

DASHBOARD = "https://dashboard.streampixel.io"
SHARE = "https://share.streampixel.io"
SUPPORT = "support@streampixel.io"


def is_id(text: str) -> bool:
    """Return whether `text` has the form of the service's IDs: 24 hex digits."""
    return len(text) == 24 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def normalize_id(text: str) -> str:
    """Return an ID of a project or build as it is compared: the service's 24 hex digits in lower case, any other as it is.

    Every ID is normalized where it comes in (typed, or from an answer, an event), so that inside `==` is enough.
    """
    text = text.strip()
    return text.lower() if is_id(text) else text


class Secret:
    """A credential that cannot print itself; `reveal()` is the one way to its text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the credential itself: for the wire only."""
        return self._text

    def __repr__(self) -> str:
        return "****"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never stored")


def bare_url(url: str) -> str:
    """Return `url` without user, password, query and fragment: the part that may be shown or stored.

    Presigned storage URLs carry their secret in the query.
    """
    head = url.split("#", 1)[0].split("?", 1)[0]
    scheme, mark, rest = head.partition("://")
    if not mark:
        return head
    host, slash, path = rest.partition("/")
    if not host.startswith("[") and not host.rpartition(":")[2].isdigit() and ":" in host.rpartition("@")[2]:
        # No port: a password with a slash in it, which no parser takes for one.
        host, slash, path = rest.rpartition("@")[2].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def url_digest(url: str) -> str:
    """Return a fingerprint of the whole URL, query included: equal for equal URLs, and safe to store."""
    import hashlib  # 2 ms, and only a build with a URL needs it

    return hashlib.sha256(url.encode("utf-8", "surrogatepass")).hexdigest()


def file_name(url: str | None) -> str:
    """Return the last part of the URL's path: the only label a build has."""
    return bare_url(url or "").rstrip("/").rpartition("/")[2]


def share_url(project_id: str) -> str:
    """Return the page that viewers open."""
    return f"{SHARE}/{project_id}"


def dashboard_url(project_id: str) -> str:
    """Return the project's page for its owner."""
    return f"{DASHBOARD}/projectdetail/{project_id}"


def iso_utc(wall: float) -> str:
    """Return Unix seconds as ISO 8601 UTC with milliseconds."""
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_time(iso: str | None) -> float | None:
    """Return the Unix seconds of an ISO 8601 instant (UTC if it names no zone); None for anything that is no UTC time."""
    try:
        instant = datetime.fromisoformat(iso or "")
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


class Project(NamedTuple):
    """One project of the account. `status` is `active`, `inactive` or the server's own word; times are ISO 8601 UTC."""

    id: str
    name: str | None
    status: str | None
    region: str | None
    subscription_status: str | None
    created_at: str | None
    updated_at: str | None


class ProjectDetail(NamedTuple):
    """One project with its live figures; a figure that the service did not report is None, never 0."""

    id: str
    name: str | None
    status: str | None
    region: str | None
    subscription_status: str | None
    created_at: str | None
    updated_at: str | None
    live_users: int | None
    queued_users: int | None
    custom_domain: str | None
    builds: int | None
    share_url: str
    dashboard_url: str


class UserStats(NamedTuple):
    """Viewers connected, and viewers waiting for a worker, `at` an ISO 8601 UTC instant of this machine's clock."""

    project_id: str
    live_users: int | None
    queued_users: int | None
    at: str


class Build(NamedTuple):
    """One build. `status` is the server's word, `state` ours (`lifecycle.state_of`); `file_url` has no query.

    `digest` is the fingerprint of the whole URL (`url_digest`), for telling our own upload from another's.
    `source` is `server` (build list), `local` (this machine's ledger) or `webhook` (a received event).
    """

    upload_id: str
    project_id: str
    status: str | None
    state: str
    file_url: str | None
    date: str | None
    objection: str | None
    source: str
    digest: Inside[str | None] = None


class UploadResult(NamedTuple):
    """An accepted upload. `confirmed_by` is `response` or `build-list`; `build` is what `--wait` ended with."""

    upload_id: str | None
    project_id: str
    file_url: str
    auto_release: bool
    message: str | None
    confirmed_by: str
    build: Build | None = None


class DistributeResult(NamedTuple):
    """A triggered release."""

    upload_id: str
    project_id: str
    message: str | None
    region: str | None
    build: Build | None = None


class RollbackResult(NamedTuple):
    """A triggered release of an earlier build; `previous_upload_id` was live before, as far as is known."""

    upload_id: str
    project_id: str
    message: str | None
    region: str | None
    previous_upload_id: str | None
    build: Build | None = None


class HistoryEntry(NamedTuple):
    """One write sent from this machine.

    `action` is `upload`, `distribute` or `rollback`; `outcome` as in an error, None while it is being sent. `previous_upload_id`
    was live before a release. `actor` and `note` say who sent it and why. `at` is ISO 8601 UTC.
    """

    at: str
    action: str
    project_id: str
    upload_id: str | None
    previous_upload_id: str | None
    file: str | None
    outcome: str | None
    message: str | None
    actor: str | None
    note: str | None


class Limit(NamedTuple):
    """One limited endpoint's window. Times are ISO 8601 UTC; `seconds_left` 0 means open; `queued` counts waiting processes."""

    endpoint: str
    allowed_at: str | None
    seconds_left: float
    queued: int
    last_call_at: str | None


def to_camel_case(name: str) -> str:
    """Return `live_users` as `liveUsers`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def is_model(value: object) -> bool:
    """Return whether `value` is an object in JSON: a named tuple; any other tuple is an array."""
    return isinstance(value, tuple) and hasattr(value, "_fields")


@cache
def json_keys(kind: Any) -> tuple[str | None, ...]:
    """Return the key of each field of a model, in order; None for one that stays inside."""
    inside = {name for name, annotation in kind.__annotations__.items() if hasattr(annotation, "__metadata__")}
    return tuple(None if name in inside else to_camel_case(name) for name in kind._fields)


_CONTAINERS = (dict, list, tuple)


def as_json(value: Any) -> Any:
    """Return `value` as plain JSON data: models by their fields, in order, in the service's spelling."""
    if not isinstance(value, _CONTAINERS):
        return value
    if is_model(value):
        pairs = zip(json_keys(value.__class__), value, strict=True)
        # Most fields hold text: a call for each of them would take half of the time of a long list.
        return {key: as_json(item) if isinstance(item, _CONTAINERS) else item for key, item in pairs if key is not None}
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value]
