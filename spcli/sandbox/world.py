"""The answers of a Streampixel: accounts, projects, builds and rate limits, with time as an argument.

Nothing here reads a clock, a file or a socket. The same calls at the same times give the same answers.
Source: https://docs.streampixel.io (upload-file, distribute-file, list-projects, get-project, live-stats, project-user-stats,
test-webhook-api, webhook-events, rate-limits-and-errors).
"""

import fnmatch
import math
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from spcli.sandbox import builds, seeds
from spcli.sandbox.builds import Build, iso_time
from spcli.sandbox.request import (
    Problem,
    Request,
    first_value,
    is_direct_zip,
    json_object,
    last_part,
    number_parameter,
    text_field,
)
from spcli.sandbox.seeds import Account, Project

BASE_PATH = "/pixelStripeApi"
GENERATIONS = ("paged", "status")
LIMITED = ("upload", "distribute")

Payload = dict[str, object]


class Ping(dict[str, object]):
    """An accepted test-webhook call: the event to deliver first. `ping_report` then makes the answer."""


Route = Callable[[Request, float], tuple[int, Payload]]


class World:
    """One Streampixel.

    Args:
        seed: determines accounts, keys, projects and their history.
        window: seconds between two calls of one user to one of the limited endpoints; 0 means no limit.
        stage: seconds a build spends in each state (`pending`: a quarter of it).
        generation: `paged` answers like the documentation of early 2026, `status` like the newest, which has no build list.
        reject: a file-name pattern (`*broken*`); builds whose zip matches end in Reject.

    Raises ValueError for an unknown generation and for negative times.
    """

    # The largest page of `GET /projects`. The service does not document its own limit.
    max_limit = 100

    def __init__(
        self, seed: int = 1, window: float = 5.0, *, stage: float = 2.0, generation: str = "paged", reject: str | None = None
    ) -> None:
        if generation not in GENERATIONS:
            raise ValueError(f"no generation {generation!r}: use {' or '.join(GENERATIONS)}")
        if not (0 <= window < math.inf and 0 <= stage < math.inf):
            raise ValueError("window and stage must be 0 or more seconds")
        self.seed = seed
        self.window = window
        self.stage = stage
        self.generation = generation
        self.reject = reject
        self.webhook_url: str | None = None
        self.accounts = seeds.accounts(seed)
        self._builds = seeds.history(seed)
        self._calls: dict[tuple[str, str], float] = {}
        for build in self._builds:
            build.events_sent = len(builds.timeline(build, stage))

    def handle(self, request: Request, now: float) -> tuple[int, Payload]:
        """Return the status and JSON body for `request` at `now` (Unix seconds)."""
        try:
            return self._find_route(request)(request, now)
        except Problem as problem:
            return problem.status, {"message": problem.message}

    def builds_of(self, project_id: str) -> list[Build]:
        """Return the project's builds, newest first."""
        return [build for build in reversed(self._builds) if build.project_id == project_id]

    def status_of(self, upload_id: str, now: float) -> str | None:
        """Return the build's status at `now`, or None if the ID does not exist."""
        return next((builds.status_at(build, self.stage, now) for build in self._builds if build.id == upload_id), None)

    def seconds_left(self, user_id: str, endpoint: str, now: float) -> float:
        """Return the seconds until `user_id` may call `upload` or `distribute` again."""
        last = self._calls.get((user_id, endpoint))
        return 0.0 if last is None else max(0.0, last + self.window - now)

    def limit_message(self) -> str:
        """Return the documented text of a 429, with this world's window."""
        return f"Rate limit exceeded. Try again in {_duration_in_words(self.window)}."

    def due_events(self, now: float) -> list[Payload]:
        """Return the webhook payloads up to `now` that were not returned before, oldest first."""
        due = []
        for build in self._builds:
            fresh = [change for change in builds.timeline(build, self.stage)[build.events_sent :] if change.at <= now]
            build.events_sent += len(fresh)
            due += [(change.at, self._event_payload(build, change)) for change in fresh]
        return [payload for _, payload in sorted(due, key=lambda pair: pair[0])]

    def ping_report(self, status: int) -> Payload:
        """Return the answer of test-webhook for a receiver that answered `status`; 0 means no connection."""
        success = 200 <= status < 300
        if success:
            message = "Test webhook delivered"
        else:
            message = "Webhook endpoint returned non-2xx status" if status else "Webhook endpoint could not be reached"
        return {"success": success, "message": message, "statusCode": status}

    def _find_route(self, request: Request) -> Route:
        paged = self.generation == "paged"
        match [request.method, *request.path.strip("/").split("/")]:
            case ["POST", "projects", "upload-file"]:
                return self._upload_file
            case ["POST", "projects", "distribute-file"]:
                return self._distribute_file
            case ["POST", "projects", "test-webhook"] if paged:
                return self._test_webhook
            case ["GET", "projects", "userStats", _]:
                return self._user_stats
            case ["GET", "projects", "projects-status"]:
                return _not_found if paged else self._projects_status
            case ["GET", "projects"] if paged:
                return self._list_projects
            case ["GET", "projects", "liveStats", _] if paged:
                return self._live_stats
            case ["GET", "projects", _] if paged:
                return self._get_project
        return _not_found

    def _upload_file(self, request: Request, now: float) -> tuple[int, Payload]:
        body = json_object(request)
        user_id, project_id, url = (text_field(body, name) for name in ("userId", "projectId", "fileUrl"))
        auto_release = body.get("autoRelease", True)
        if not isinstance(auto_release, bool):
            raise Problem(400, "Invalid field: autoRelease must be a boolean")
        if not is_direct_zip(url):
            raise Problem(400, "Invalid fileUrl: must be a public direct download link")
        account = self._authenticate(user_id, [body.get("apiKey")])
        self._take_window(account, "upload", now)
        project = self._own_project(account, project_id, refusal="Forbidden: project does not belong to this user")
        build = self._register_build(project, url, now)
        build.auto_release = auto_release
        status = 201 if self.generation == "paged" else 200
        return status, {"message": "Build queued for processing", "uploadId": build.id}

    def _register_build(self, project: Project, url: str, now: float) -> Build:
        serial = 0x1000 + len(self._builds)
        build = Build(seeds.object_id(self.seed, now, serial), project.id, url=url, created=now)
        # The zip's name is the only label a build has.
        name = unquote(urlsplit(url).path).rpartition("/")[2]
        build.rejected = self.reject is not None and fnmatch.fnmatchcase(name.lower(), self.reject.lower())
        self._builds.append(build)
        return build

    def _distribute_file(self, request: Request, now: float) -> tuple[int, Payload]:
        body = json_object(request)
        user_id, project_id, upload_id = (text_field(body, name) for name in ("userId", "projectId", "uploadId"))
        account = self._authenticate(user_id, [body.get("apiKey")])
        self._take_window(account, "distribute", now)
        project = self._own_project(account, project_id, refusal="Forbidden: project does not belong to this user")
        if not project.active:
            raise Problem(403, "Access denied")
        build = next((build for build in self.builds_of(project.id) if build.id == upload_id), None)
        if build is None:
            raise Problem(404, "File not found in project")
        if self.status_of(build.id, now) not in (builds.APPROVED, builds.DISTRIBUTE):
            raise Problem(400, "File has no URL yet")
        build.releases.append(now)
        if self.generation == "status":
            return 200, {"message": "Distribution triggered"}
        message = "File distribution triggered successfully"
        return 200, {"success": True, "uploadId": build.id, "region": project.region, "message": message}

    def _test_webhook(self, request: Request, now: float) -> tuple[int, Payload]:
        body = json_object(request)
        user_id, project_id = (text_field(body, name) for name in ("userId", "projectId"))
        # The one endpoint whose page documents a bare "Unauthorized".
        account = self._authenticate(user_id, [body.get("apiKey")], refusal="Unauthorized")
        project = self._own_project(account, project_id, refusal="Forbidden: project does not belong to this user")
        if self.webhook_url is None:
            raise Problem(404, "No webhook URL configured")
        nothing: Payload = {"uploadId": None, "fileUrl": None, "status": "test", "objection": None}
        return 200, Ping({"event": "webhook.test", "projectId": project.id, **nothing, "timestamp": iso_time(now)})

    def _projects_status(self, request: Request, now: float) -> tuple[int, Payload]:
        account = self._key_holder(request, "userId and apikey are required")
        projects = [
            {"_id": project.id, "name": project.name, "status": project.active, "subscriptionStatus": "active"}
            for project in account.projects
        ]
        return 200, {"totalProjects": len(projects), "projects": projects}

    def _list_projects(self, request: Request, now: float) -> tuple[int, Payload]:
        account = self._reader_account(request)
        page = number_parameter(request, "page", 1)
        limit = min(number_parameter(request, "limit", 20), self.max_limit)
        shown = account.projects[(page - 1) * limit : page * limit]
        total = len(account.projects)
        projects = [self._project_entry(project) for project in shown]
        return 200, {"projects": projects, "page": page, "totalPages": math.ceil(total / limit), "totalProjects": total}

    def _get_project(self, request: Request, now: float) -> tuple[int, Payload]:
        account = self._reader_account(request)
        project = self._own_project(account, last_part(request), refusal="Forbidden: project does not belong to this user")
        return 200, {
            **self._project_entry(project),
            "webhookUrl": self.webhook_url,
            "webhookEvents": list(builds.EVENTS.values()) if self.webhook_url else [],
            "customDomain": project.custom_domain or None,
            "files": [self._file_entry(build, now) for build in self.builds_of(project.id)],
            "liveUsers": project.live,
            "usersInQueue": project.queued,
            "subscriptionStatus": "active",
        }

    def _user_stats(self, request: Request, now: float) -> tuple[int, Payload]:
        account = self._key_holder(request, "projectId, userId and apikey are required")
        project = self._own_project(account, last_part(request), refusal="Access denied")
        return 200, {"liveUser": project.live, "queueUser": project.queued}

    def _live_stats(self, request: Request, now: float) -> tuple[int, Payload]:
        project = self._own_project(self._reader_account(request), last_part(request), refusal="Access denied")
        return 200, {"liveUser": project.live, "queueUser": project.queued}

    def _reader_account(self, request: Request) -> Account:
        """Return the account of an older GET, which needs only a userId. A key, if given, must be right."""
        user_id = first_value(request, "userId")
        if not user_id:
            raise Problem(400, "Missing required field: userId")
        return self._authenticate(user_id, [value for name, value in request.query if name in ("apikey", "apiKey")])

    def _key_holder(self, request: Request, complaint: str) -> Account:
        """Return the account of a newer GET. The key is mandatory there, and spelled `apikey`."""
        user_id, key = first_value(request, "userId"), first_value(request, "apikey")
        if not user_id or not key:
            raise Problem(400, complaint)
        return self._authenticate(user_id, [key])

    def _authenticate(self, user_id: str, keys: Sequence[object], *, refusal: str = "Unauthorized: Invalid API Key") -> Account:
        account = next((account for account in self.accounts if account.user_id == user_id), None)
        if account is None:
            raise Problem(401, "Invalid User")
        if any(key != account.api_key for key in keys):
            raise Problem(401, refusal)
        return account

    def _own_project(self, account: Account, project_id: str, *, refusal: str) -> Project:
        everyone = [project for owner in self.accounts for project in owner.projects]
        project = next((project for project in everyone if project.id == project_id), None)
        if project is None:
            raise Problem(404, "Project not found")
        if project not in account.projects:
            raise Problem(403, refusal)
        return project

    def _take_window(self, account: Account, endpoint: str, now: float) -> None:
        """Count a call with valid credentials, also one that will fail. A 429 does not prolong the window."""
        if self.seconds_left(account.user_id, endpoint, now) > 0:
            raise Problem(429, self.limit_message())
        self._calls[account.user_id, endpoint] = now

    def _project_entry(self, project: Project) -> Payload:
        newest = self.builds_of(project.id)[:1]
        return {
            "id": project.id,
            "name": project.name,
            "region": project.region,
            "status": "active" if project.active else "inactive",
            "createdAt": iso_time(project.created),
            "updatedAt": iso_time(newest[0].created if newest else project.created),
        }

    def _file_entry(self, build: Build, now: float) -> Payload:
        status = builds.status_at(build, self.stage, now)
        objection = builds.OBJECTION if status == builds.REJECT else None
        return {"_id": build.id, "url": build.url, "status": status, "date": iso_time(build.created), "objection": objection}

    def _event_payload(self, build: Build, change: builds.Change) -> Payload:
        return {
            "event": builds.EVENTS[change.status],
            "projectId": build.project_id,
            "uploadId": build.id,
            "fileUrl": build.url,
            "status": change.status,
            "objection": builds.OBJECTION if change.status == builds.REJECT else None,
            "timestamp": iso_time(change.at),
        }


def _not_found(request: Request, now: float) -> tuple[int, Payload]:
    raise Problem(404, "Not found")


def _duration_in_words(seconds: float) -> str:
    # Whole numbers only, rounded up: the service never prints a fraction, and "0.3 seconds" would be read as 3.
    count, unit = math.ceil(seconds), "second"
    if count >= 60 and count % 60 == 0:
        count, unit = count // 60, "minute"
    return f"{count} {unit}{'' if count == 1 else 's'}"
