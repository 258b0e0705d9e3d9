"""The service's endpoints, one method each: paths, payloads, answers of every generation as models.

The documentation exists in several generations, and the live service may answer like any of them, so every read tries the newer
or richer endpoint first and understands both shapes. Pages: list-projects, get-project, project-user-stats, upload-file,
distribute-file at https://docs.streampixel.io.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from spcli.api.parse import (
    Accepted,
    complete_project,
    is_about,
    is_whole_list,
    live_users,
    page_count,
    parse_accepted,
    parse_builds,
    parse_project,
    parse_projects,
    queued_users,
    require_object,
    text_of,
    whole_number,
)
from spcli.api.raw import WITH_BODY, RawCall
from spcli.api.retry import read_with_retries
from spcli.clock import Clock
from spcli.errors import NotSent, Refused, SpcliError, Unclear
from spcli.models import Build, Project, ProjectDetail, Secret, UserStats, iso_utc
from spcli.transport import Call, Reply, Transport

READ_TIMEOUT = 20.0
WRITE_TIMEOUT = 60.0
PAGE_SIZE = 50
PAGES_AT_MOST = 200
_GONE = (404, 405)
RawReply = Reply
"""An answer as it came, for `spcli api`."""
_NO_SUCH_PAGE = (400, 404, 416, 422)


class ProjectPage(NamedTuple):
    """One project and its builds, newest first; `builds` is None where this service has no build history.

    A list that is not `whole` proves no absence: an entry has no id, or the page `is_other`: it, or a build in it, is another
    project's.
    """

    detail: ProjectDetail
    builds: list[Build] | None
    server_wall: float | None
    whole: bool = True
    is_other: bool = False


class ProjectList(NamedTuple):
    """The projects of an account; `is_cut` if the service has more pages of them than spcli reads."""

    projects: list[Project]
    is_cut: bool = False


class Api:
    """The service as one account sees it.

    Args:
        timeout: seconds for one call, instead of 20 for reads and 60 for writes.
        log: receives a line for each retried read.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        user_id: str,
        key: Secret,
        clock: Clock,
        timeout: float | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self.transport = transport
        self.user_id = user_id
        self._key = key
        self._clock = clock
        self._log = log or (lambda _line: None)
        self.read_timeout = timeout or READ_TIMEOUT
        self.write_timeout = timeout or WRITE_TIMEOUT

    @property
    def host(self) -> str:
        """Return the service's host name, in lower case."""
        return self.transport.host

    def close(self) -> None:
        """Close kept-alive connections."""
        self.transport.close()

    def read_projects(self, until: float | None = None) -> list[Project]:
        """Return every project of the account. Arguments and errors are those of `list_projects`."""
        return self.list_projects(until).projects

    def list_projects(self, until: float | None = None) -> ProjectList:
        """Read all pages of the project list; `until` as in `read`. Raises `SpcliError` (http-…, network, protocol)."""
        try:
            return self._read_pages(until)
        except Refused as refused:
            if refused.status not in _GONE:
                raise
            older = refused
        try:
            return ProjectList(parse_projects(self.read("/projects/projects-status", until).data))
        except Refused as refused:
            # The service has neither list: the first answer says more about the cause.
            raise (older if refused.status in _GONE else refused) from None

    def check_credentials(self) -> str:
        """Read one project, which is the cheapest read, and return the path that answered. Raises as `list_projects`."""
        path = "/projects"
        try:
            answer = self.read(path, page="1", limit="1")
        except Refused as refused:
            if refused.status not in _GONE:
                raise
            path = "/projects/projects-status"
            answer = self.read(path)
        # A captive portal may answer 200 with JSON, too.
        parse_projects(answer.data)
        return path

    def _read_pages(self, until: float | None) -> ProjectList:
        found: dict[str, Project] = {}
        pages: int | None = None
        for page in range(1, PAGES_AT_MOST + 1):
            try:
                data = self.read("/projects", until, page=str(page), limit=str(PAGE_SIZE)).data
            except Refused as refused:
                # Without a counter the list ends with a page that is empty or missing.
                if page == 1 or pages is not None or refused.status not in _NO_SUCH_PAGE:
                    raise
                break
            pages, known = page_count(data), len(found)
            for project in parse_projects(data):
                found.setdefault(project.id, project)
            # A service may send fewer than asked for; one that ignores `page` sends the same page again.
            if len(found) == known or (pages is not None and page >= pages):
                break
        else:
            return ProjectList(list(found.values()), is_cut=True)
        return ProjectList(list(found.values()))

    def read_project(self, project_id: str) -> ProjectPage:
        """Read one project with its build list.

        Raises:
            Refused: 404 for an id that the project list does not know either.
            SpcliError: other failures of the read.
        """
        try:
            reply = self.read(f"/projects/{_quote_segment(project_id)}")
        except Refused as refused:
            if refused.status not in _GONE:
                raise
            return ProjectPage(self._known_project(project_id, refused), None, None)
        return _parse_page(project_id, reply)

    def glance_project(self, project_id: str, within: float) -> ProjectPage:
        """Read a project in one attempt of at most `within` seconds, for polling and for evidence.

        Raises:
            Refused, NotSent, Unclear: the attempt failed.
            SpcliError: `protocol`, not the documented JSON.
        """
        return _parse_page(project_id, self.read(f"/projects/{_quote_segment(project_id)}", self._clock.mono() + within))

    def _known_project(self, project_id: str, refused: Refused) -> ProjectDetail:
        """Return the project as the project list shows it, for a service without project pages: a 404 alone could mean either."""
        if refused.status == 405:
            return parse_project({}, project_id, None)
        known = next((project for project in self.read_projects() if project.id == project_id), None)
        if known is None:
            raise refused
        return complete_project(known)

    def read_stats(self, project_id: str) -> UserStats:
        """Read live and queued users, from the project itself where the service has no `userStats`."""
        found = self.read_user_stats(project_id)
        if found is not None:
            return found
        detail = self.read_project(project_id).detail
        return UserStats(project_id, detail.live_users, detail.queued_users, iso_utc(self._clock.wall()))

    def read_user_stats(self, project_id: str) -> UserStats | None:
        """Read live and queued users from their own endpoint; None where the service has none."""
        try:
            data = require_object(self.read(f"/projects/userStats/{_quote_segment(project_id)}").data)
        except Refused as refused:
            if refused.status not in _GONE:
                raise
            return None
        return UserStats(project_id, live_users(data), queued_users(data), iso_utc(self._clock.wall()))

    def read(self, path: str, until: float | None = None, **query: str) -> Reply:
        """Read JSON, with retries on 429, 5xx and connection loss: at most 5 attempts and 45 s. With `until`, one attempt.

        Args:
            until: `Clock.mono()` by which the one attempt is over.

        Raises:
            Refused: the last refusal, or the first that is not worth a retry.
            NotSent: the service could not be reached.
            Unclear: no usable answer came.
            SpcliError: `protocol`, a 2xx that is not the documented JSON.
        """
        call = self._new_read(path, **query)
        if until is None:
            return self._read_with_retries(call, self._try_read)
        if isinstance(reply := self._try_read(call, min(until - self._clock.mono(), self.read_timeout)), SpcliError):
            raise reply
        return reply

    def _read_with_retries(self, call: Call, attempt: Callable[[Call, float], Reply | SpcliError]) -> Reply:
        return read_with_retries(call, attempt, clock=self._clock, timeout=self.read_timeout, log=self._log)

    def _new_read(self, path: str, **query: str) -> Call:
        # Older pages spell the parameter one way, newer ones the other.
        key = self._key.reveal()
        return Call("GET", path, query=(*query.items(), ("userId", self.user_id), ("apikey", key), ("apiKey", key)))

    def _try_read(self, call: Call, within: float) -> Reply | SpcliError:
        try:
            reply = self.transport.send(call, deadline=self._clock.mono() + within)
        except (NotSent, Refused, Unclear) as failure:
            return failure
        if reply.readable and reply.data is not None:
            return reply
        if reply.cut:
            return Unclear(f"the answer to GET {call.path} broke off")
        subject = f"the answer to GET {call.path} (HTTP {reply.status})"
        if reply.encoding:
            hint = "look for a proxy or CDN that compresses answers; spcli asks for uncompressed ones"
            return SpcliError("protocol", f"{subject} is compressed ({reply.encoding})", status=reply.status, hint=hint)
        return SpcliError("protocol", f"{subject} is not the documented JSON", status=reply.status)

    def test_webhook(self, project_id: str) -> dict[str, Any]:
        """Ask the service for a `webhook.test`; return its report: `success`, `message`, `statusCode` (0: no connection).

        Raises:
            Refused: 404 where the project has no webhook, or the service no such endpoint.
        """
        call = Call("POST", "/projects/test-webhook", body={**self._credentials(), "projectId": project_id})
        data = require_object(self.transport.send(call, deadline=self._clock.mono() + self.read_timeout, fresh=True).data)
        success = str(data.get("success")).strip().lower() == "true"
        return {"success": success, "message": text_of(data.get("message")), "statusCode": whole_number(data.get("statusCode"))}

    def upload_body(self, project_id: str, file_url: str, auto_release: bool) -> dict[str, object]:
        """Return the documented fields of `upload-file`, the key among them."""
        return {**self._credentials(), "projectId": project_id, "fileUrl": file_url, "autoRelease": auto_release}

    def distribute_body(self, project_id: str, upload_id: str) -> dict[str, object]:
        """Return the documented fields of `distribute-file`, the key among them."""
        return {**self._credentials(), "projectId": project_id, "uploadId": upload_id}

    def _credentials(self) -> dict[str, object]:
        return {"apiKey": self._key.reveal(), "userId": self.user_id}

    def send_write(
        self,
        path: str,
        body: Mapping[str, object],
        *,
        deadline: float,
        method: str = "POST",
    ) -> Accepted:
        """Send one call with a JSON body, once, on a connection of its own.

        Args:
            deadline: `Clock.mono()` by which everything is over.

        Raises:
            NotSent, Refused, Unclear: as `transport.Transport.send`.
        """
        return parse_accepted(self.transport.send(Call(method, path, body=body), deadline=deadline, fresh=True))

    def raw_read(self, method: str, path: str, query: Sequence[tuple[str, str]]) -> Reply:
        """Send any GET or HEAD, retried as `read`; the body of a 2xx may be anything. Raises as `read`, except `protocol`."""
        return self._read_with_retries(Call(method, path, query=(*query, *self._new_read(path).query)), self._try_raw)

    def _try_raw(self, call: Call, within: float) -> Reply | SpcliError:
        try:
            reply = self.transport.send(call, deadline=self._clock.mono() + within)
        except (NotSent, Refused, Unclear) as failure:
            return failure
        return Unclear(f"the answer to {call.method} {call.path} broke off") if reply.cut else reply

    def raw_body(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Return `fields` with the credentials."""
        return {**self._credentials(), **fields}

    def raw_write(self, raw: RawCall) -> Reply:
        """Send any other call once: the credentials go into its JSON body if it has one, else into its query.

        Raises:
            NotSent, Refused, Unclear: as `transport.Transport.send`.
        """
        if raw.method in WITH_BODY:
            call = Call(raw.method, raw.path, raw.query, self.raw_body(raw.body))
        else:
            call = Call(raw.method, raw.path, (*raw.query, *raw.fields, *self._new_read(raw.path).query))
        deadline = self._clock.mono() + self.write_timeout
        return self.transport.send(call, deadline=deadline, fresh=True)


def _parse_page(project_id: str, reply: Reply) -> ProjectPage:
    data = require_object(reply.data)
    builds, is_other = parse_builds(data, project_id), not is_about(data, project_id)
    whole = is_whole_list(data) and not is_other
    known = parse_project(data, project_id, None if builds is None else len(builds))
    return ProjectPage(known, builds, reply.server_wall, whole, is_other)


def _quote_segment(text: str) -> str:
    return quote(text, safe="")
