"""The service's JSON as our models: pure, and tolerant, since the generations of its documentation disagree.

`_id` or `id`, booleans and numbers as text, any case of states and regions; unknown fields are ignored, unknown words passed on.
Pages: list-projects, get-project, project-user-stats, upload-file, distribute-file at https://docs.streampixel.io.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from spcli.builds.lifecycle import newest_first, state_of
from spcli.errors import SpcliError
from spcli.models import Build, Project, ProjectDetail, bare_url, dashboard_url, iso_utc, normalize_id, share_url, url_digest

if TYPE_CHECKING:
    from spcli.transport import Reply


def mapping(data: object) -> dict[str, Any]:
    """`data` as a JSON object. Raises `SpcliError` (protocol) for anything else."""
    if isinstance(data, dict):
        return data
    raise SpcliError("protocol", "the service's answer is not a JSON object")


def projects_in(data: object) -> list[Project]:
    """The projects of either generation of the list. Raises `SpcliError` (protocol) where there is none."""
    items = data if isinstance(data, list) else mapping(data).get("projects")
    if not isinstance(items, list):
        raise SpcliError("protocol", "the service's answer holds no list of projects")
    return [project for item in items if isinstance(item, dict) and (project := _project(item)).id]


def page_count(data: object) -> int | None:
    """Return how many pages a project list has, None where the answer has no such counter."""
    return count(data.get("totalPages")) if isinstance(data, dict) else None


def _project(item: Mapping[str, Any]) -> Project:
    return Project(
        _id(item), text_of(item.get("name")), _status(item.get("status")), text_of(item.get("region")),
        text_of(item.get("subscriptionStatus")), iso_text(item.get("createdAt")), iso_text(item.get("updatedAt")),
    )  # fmt: skip


def builds_in(data: Mapping[str, Any], project_id: str) -> list[Build] | None:
    """The project's builds, newest first; `None` where the answer has no such list (an empty list is one)."""
    files = data.get("files")
    if not isinstance(files, list):
        return None
    return newest_first(_build(item, project_id) for item in files if isinstance(item, dict) and _id(item))


def is_about(data: dict[str, Any], project_id: str) -> bool:
    """Whether a get-project answer is that project's, as far as it says: a cache in between may mix them up."""
    return (_id(data) or project_id).casefold() == project_id.casefold()


def detail(data: dict[str, Any], project_id: str, builds: int | None) -> ProjectDetail:
    """The project of a get-project answer; `builds` is how many it has."""
    base = _project(data)._replace(id=project_id)
    return listed_detail(
        base, live=live_users(data), queued=queued_users(data), domain=text_of(data.get("customDomain")), builds=builds
    )


def listed_detail(
    base: Project, *, live: int | None = None, queued: int | None = None, domain: str | None = None, builds: int | None = None
) -> ProjectDetail:
    """A listed project with what is known beyond the list."""
    return ProjectDetail(
        base.id, base.name, base.status, base.region, base.subscription_status, base.created_at, base.updated_at,
        live_users=live, queued_users=queued, custom_domain=domain, builds=builds,
        share_url=share_url(base.id), dashboard_url=dashboard_url(base.id),
    )  # fmt: skip


def _build(item: dict[str, Any], project_id: str) -> Build:
    url = text_of(item.get("url")) or text_of(item.get("fileUrl"))
    status = text_of(item.get("status"))
    return Build(
        upload_id=_id(item),
        project_id=project_id,
        status=status,
        state=state_of(status),
        file_url=None if url is None else bare_url(url),
        date=iso_text(item.get("date")),
        objection=text_of(item.get("objection")),
        source="server",
        digest=None if url is None else url_digest(url),
    )


def _id(item: Mapping[str, Any]) -> str:
    return normalize_id(text_of(item.get("_id")) or text_of(item.get("id")) or "")


class Accepted(NamedTuple):
    """A write's 2xx. `upload_id` is `None` where it does not say which build, `server_wall` its `Date`; `reply` is as it came."""

    upload_id: str | None
    message: str | None
    region: str | None
    server_wall: float | None
    reply: "Reply"

    @property
    def is_foreign(self) -> bool:
        """Whether the 2xx came whole and is not JSON, as a login page in between gives."""
        return not (self.reply.readable or self.reply.cut)

    @property
    def is_denied(self) -> bool:
        """Whether it says of itself that it is no success: `success` is a documented field of a release."""
        return isinstance(self.reply.data, dict) and str(self.reply.data.get("success")).strip().lower() == "false"


def accepted(reply: "Reply") -> Accepted:
    """What the 2xx of `upload-file` or `distribute-file` says."""
    data = reply.data if isinstance(reply.data, dict) else {}
    return Accepted(_upload_id(data), text_of(data.get("message")), text_of(data.get("region")), reply.server_wall, reply)


def _upload_id(data: Mapping[str, Any]) -> str | None:
    """The build's id, wherever a generation may have put it."""
    for holder in (data, data.get("data"), data.get("file"), data.get("build")):
        if isinstance(holder, dict):
            found = next((text for name in ("uploadId", "_id", "id", "fileId") if (text := text_of(holder.get(name)))), None)
            if found:
                return normalize_id(found)
    return None


def text_of(value: object) -> str | None:
    """Text or a number as text; blank, absent or anything else is `None`."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or value is None:
        return None
    return str(value) if isinstance(value, (int, float)) else None


_STATUS = {"true": "active", "false": "inactive", "active": "active", "inactive": "inactive"}


def _status(value: object) -> str | None:
    text = str(value) if isinstance(value, bool) else text_of(value)
    return text if text is None else _STATUS.get(text.casefold(), text)


def live_users(data: Mapping[str, Any]) -> int | None:
    """Connected viewers, under any of the names in use."""
    return _first_count(data, "liveUser", "liveUsers")


def queued_users(data: Mapping[str, Any]) -> int | None:
    """Waiting viewers, under any of the names in use."""
    return _first_count(data, "queueUser", "usersInQueue", "queueUsers", "queuedUsers")


def _first_count(data: Mapping[str, Any], *names: str) -> int | None:
    return next((found for name in names if (found := count(data.get(name))) is not None), None)


def count(value: object) -> int | None:
    """A whole number, also when it comes as text; anything else is unknown, never 0."""
    if isinstance(value, bool):
        return None
    try:
        return max(0, int(float(value))) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def iso_text(value: object) -> str | None:
    """A service's date as ISO 8601 UTC; text that is no date as it came."""
    # What the service writes is already what comes out, be it a date or not.
    if isinstance(value, str) and len(value) == 24 and value[4:20:3] == "--T::." and value[23] == "Z":
        return value
    text = text_of(value)
    if text is None:
        return None
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
        return iso_utc((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError, OSError):
        return text
