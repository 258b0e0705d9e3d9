"""Pure: the service's JSON as our models, parsed tolerantly, since the generations of its documentation disagree.

`_id` or `id`, booleans and numbers as text, any case of states and regions; unknown fields are ignored, unknown words passed on.
Pages: list-projects, get-project, project-user-stats, upload-file, distribute-file at https://docs.streampixel.io.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from spcli.builds.lifecycle import newest_first, state_of
from spcli.errors import SpcliError
from spcli.models import (
    Build,
    Project,
    ProjectDetail,
    bare_url,
    dashboard_url,
    iso_utc,
    normalize_id,
    share_url,
    unix_time,
    url_digest,
)

if TYPE_CHECKING:
    from spcli.transport import Reply


def require_object(data: object) -> dict[str, Any]:
    """Return `data` as a JSON object. Raises `SpcliError` (protocol) for anything else."""
    if isinstance(data, dict):
        return data
    raise SpcliError("protocol", "the service's answer is not a JSON object")


def parse_projects(data: object) -> list[Project]:
    """Return the projects of either generation of the list. Raises `SpcliError` (protocol) if there is no list."""
    items = data if isinstance(data, list) else require_object(data).get("projects")
    if not isinstance(items, list):
        raise SpcliError("protocol", "the service's answer has no list of projects")
    return [project for item in items if isinstance(item, dict) and (project := _parse_listed(item, _read_id(item))).id]


def page_count(data: object) -> int | None:
    """Return how many pages a project list has, None where the answer has no such counter."""
    return whole_number(data.get("totalPages")) if isinstance(data, dict) else None


def _parse_listed(item: Mapping[str, Any], project_id: str) -> Project:
    return Project(
        project_id, text_of(item.get("name")), _parse_status(item.get("status")), text_of(item.get("region")),
        text_of(item.get("subscriptionStatus")), iso_text(item.get("createdAt")), iso_text(item.get("updatedAt")),
    )  # fmt: skip


def parse_builds(data: Mapping[str, Any], project_id: str) -> list[Build] | None:
    """Return the project's builds, newest first; None if the answer has no build list (an empty list is one).

    A list that is put together from pages may show a build twice while it grows: it is one build, as it is shown first.
    """
    files = data.get("files")
    if not isinstance(files, list):
        return None
    builds = [_parse_build(item, project_id) for item in reversed(files) if isinstance(item, dict)]
    return newest_first({build.upload_id: build for build in builds if build.upload_id}.values())


def is_whole_list(data: Mapping[str, Any]) -> bool:
    """Return whether every entry of the build list has an id."""
    files = data.get("files")
    return isinstance(files, list) and all(isinstance(item, dict) and _id_text(item) for item in files)


def is_about(data: Mapping[str, Any], project_id: str) -> bool:
    """Return whether a get-project answer is about that project, as far as it and its builds say: a cache may mix them up."""
    wanted, files = normalize_id(project_id), data.get("files")
    builds = [item for item in files if isinstance(item, dict)] if isinstance(files, list) else []
    named = {_id_text(data), *(text_of(build.get("projectId")) for build in builds)} - {None}
    return all(normalize_id(one or "") == wanted for one in named)


def parse_project(data: dict[str, Any], project_id: str, builds: int | None) -> ProjectDetail:
    """Return the project of a get-project answer; `builds` is how many it has."""
    base = _parse_listed(data, project_id)
    return complete_project(
        base, live=live_users(data), queued=queued_users(data), domain=text_of(data.get("customDomain")), builds=builds
    )


def complete_project(
    base: Project, *, live: int | None = None, queued: int | None = None, domain: str | None = None, builds: int | None = None
) -> ProjectDetail:
    """Return a listed project with the figures known beyond the list."""
    return ProjectDetail(
        base.id, base.name, base.status, base.region, base.subscription_status, base.created_at, base.updated_at,
        live_users=live, queued_users=queued, custom_domain=domain, builds=builds,
        share_url=share_url(base.id), dashboard_url=dashboard_url(base.id),
    )  # fmt: skip


def _parse_build(item: dict[str, Any], project_id: str) -> Build:
    url = text_of(item.get("url")) or text_of(item.get("fileUrl"))
    status, date = text_of(item.get("status")), iso_text(item.get("date"))
    objection, upload_id = text_of(item.get("objection")), _read_id(item)
    file_url, digest = (None, None) if url is None else (bare_url(url), url_digest(url))
    return Build(upload_id, project_id, status, state_of(status), file_url, date, objection, source="server", digest=digest)


def _read_id(item: Mapping[str, Any]) -> str:
    return normalize_id(_id_text(item) or "")


def _id_text(item: Mapping[str, Any]) -> str | None:
    return text_of(item.get("_id")) or text_of(item.get("id"))


class Accepted(NamedTuple):
    """A write's 2xx. `upload_id` is None if it names no build; `server_wall` is its `Date`; `reply` is unchanged."""

    upload_id: str | None
    message: str | None
    region: str | None
    server_wall: float | None
    reply: "Reply"

    @property
    def is_foreign(self) -> bool:
        """Return whether the 2xx came whole and is not JSON, such as the login page of a captive portal."""
        return not (self.reply.readable or self.reply.cut)

    @property
    def is_denied(self) -> bool:
        """Return whether the answer says `success: false`, a documented field of a release."""
        return isinstance(self.reply.data, dict) and str(self.reply.data.get("success")).strip().lower() == "false"


def parse_accepted(reply: "Reply") -> Accepted:
    """Parse the 2xx of `upload-file` or `distribute-file`."""
    data = reply.data if isinstance(reply.data, dict) else {}
    return Accepted(_find_upload_id(data), text_of(data.get("message")), text_of(data.get("region")), reply.server_wall, reply)


def _find_upload_id(data: Mapping[str, Any]) -> str | None:
    """Return the build's id, from any place where a generation puts it."""
    for holder in (data, data.get("data"), data.get("file"), data.get("build")):
        if isinstance(holder, dict):
            found = next((text for name in ("uploadId", "_id", "id", "fileId") if (text := text_of(holder.get(name)))), None)
            if found:
                return normalize_id(found)
    return None


def text_of(value: object) -> str | None:
    """Return text, or a number as text; None for blank, absent or anything else."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool) or value is None:
        return None
    return str(value) if isinstance(value, (int, float)) else None


_STATUS = {"true": "active", "false": "inactive", "active": "active", "inactive": "inactive"}


def _parse_status(value: object) -> str | None:
    text = str(value) if isinstance(value, bool) else text_of(value)
    return text if text is None else _STATUS.get(text.casefold(), text)


def live_users(data: Mapping[str, Any]) -> int | None:
    """Return the connected viewers, under any of the names in use."""
    return _first_count(data, "liveUser", "liveUsers")


def queued_users(data: Mapping[str, Any]) -> int | None:
    """Return the waiting viewers, under any of the names in use."""
    return _first_count(data, "queueUser", "usersInQueue", "queueUsers", "queuedUsers")


def _first_count(data: Mapping[str, Any], *names: str) -> int | None:
    return next((found for name in names if (found := whole_number(data.get(name))) is not None), None)


def whole_number(value: object) -> int | None:
    """Return a whole number, also from text; None for anything else, never 0."""
    if isinstance(value, bool):
        return None
    try:
        return max(0, int(float(value))) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def iso_text(value: object) -> str | None:
    """Return a date as ISO 8601 UTC, and text that is not a date unchanged."""
    # The form the service writes is the form of the result.
    if isinstance(value, str) and len(value) == 24 and value[4:20:3] == "--T::." and value[23] == "Z":
        return value
    text = text_of(value)
    seconds = unix_time(text)
    return text if seconds is None else iso_utc(seconds)
