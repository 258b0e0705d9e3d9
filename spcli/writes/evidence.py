"""Evidence from the build list about a write whose outcome is unknown.

The service has no idempotency key and warns that a timed-out upload may have happened: look at the project's build list before
sending again (https://docs.streampixel.io, rate limits and errors). A list that could not be read proves nothing; a list that was
read before the send (the baseline) can prove that nothing was created. Dates and clocks never rule a build out by less than five
minutes, and without a baseline absence is never proved.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from posixpath import normpath
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from spcli.api.client import Api, ProjectPage
from spcli.builds.lifecycle import created_at, state_of
from spcli.clock import Clock
from spcli.errors import Refused, SpcliError
from spcli.models import Build, file_name

SETTLE_READS = (2.0, 5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds after the call's end at which the build list is read."""
LOOK_SECONDS = 10.0
LOOKS_FOR_ABSENCE = 3
GRACE = 2.0
CLOCK_MARGIN = 2.0
"""Seconds by which a date and a `Date` header may differ without a wrong clock: both are cut, a round trip apart."""
CLOCK_DOUBT = 300.0
"""Seconds by which the service's own clocks may differ, and by which its dates may lag."""


class Evidence(NamedTuple):
    """The verdict of the build list on a write.

    `found`: this build is it. `absent`: the list proves that the write did nothing. `doubtful`: one of these builds may be it
    (none, where the list itself is in doubt). `unproven`: no build may be it, but nothing is proved. `unreadable`: there is no
    list to judge.
    """

    kind: Literal["found", "absent", "doubtful", "unproven", "unreadable"]
    builds: tuple[Build, ...] = ()


Judge = Callable[[ProjectPage], Evidence]


def settle_by_list(
    api: Api, clock: Clock, project_id: str, judge: Judge, *, scale: float, age: float = 0.0, had_list: bool = True
) -> Evidence:
    """Read the build list at 2, 5, 10, 20, 40 and 60 s after the call's end until `judge` finds the build.

    Args:
        scale: factor for the moments (a sandbox is quick).
        age: seconds that have passed since the call ended; a remembered attempt is not waited for again.
        had_list: whether the list could be read before the call; where it could not, a 404 or 405 means that there is none.
    """
    started, good = clock.mono(), 0
    last: Evidence | None = None
    for moment in reading_moments(scale, age):
        clock.sleep(started + moment - clock.mono())
        page = read_list(api, project_id)
        if page == "gone" and not had_list:
            return Evidence("unreadable")
        last = None if page is None or page == "gone" else judge(page)
        if last is not None:
            good += 1
            if last.kind == "found":
                return last
    # Only a list that is read at the end shows what has appeared by then.
    if last is None or (last.kind == "absent" and good < LOOKS_FOR_ABSENCE):
        return Evidence("unreadable")
    return last


def reading_moments(scale: float, age: float) -> list[float]:
    """Return when to read, in seconds from now; the last three readings are always made, since one alone is no proof."""
    # A sandbox is quick but not instant: the last reading comes after two seconds at least.
    factor = max(scale, min(1.0, GRACE / SETTLE_READS[-1]))
    moments = [moment * factor - age for moment in SETTLE_READS]
    step = min(1.0, scale)
    late = [max(moment, (index + 1) * step) for index, moment in enumerate(moments[-LOOKS_FOR_ABSENCE:])]
    return [*(moment for moment in moments[:-LOOKS_FOR_ABSENCE] if moment > 0), *late]


def read_list(api: Api, project_id: str, seconds: float = LOOK_SECONDS) -> ProjectPage | Literal["gone"] | None:
    """Return the project with its build list, in one attempt; None if it could not be read, `gone` if this service has none."""
    try:
        page = api.glance_project(project_id, seconds)
    except Refused as refused:
        return "gone" if refused.status in (404, 405) else None
    except SpcliError:
        return None
    return None if page.builds is None else page


class UploadTraits(NamedTuple):
    """How an upload is recognised in a build list.

    `bare_url` is the URL without its query and `digest` the fingerprint of all of it; `baseline` holds the ids that the list
    showed before the send, None where it could not be read; `recorded` maps the ids that belong to other attempts to their bare
    URLs; `api_host` is the service's own host.
    """

    bare_url: str
    digest: str
    baseline: Collection[str] | None
    recorded: Mapping[str, str | None]
    api_host: str


def match_upload(traits: UploadTraits, page: ProjectPage, since: float | None) -> Evidence:
    """Return what `page` says about an upload that began at `since` (Unix seconds of the service's clock, None if not known)."""
    match = _match_builds(traits, page.builds or (), since)
    is_doubted = page.is_other or (match.kind == "absent" and not page.whole)
    return Evidence("doubtful") if is_doubted else match


def _match_builds(traits: UploadTraits, builds: Sequence[Build], since: float | None) -> Evidence:
    known = {*traits.recorded, *(traits.baseline or ())}
    new = [build for build in builds if build.upload_id not in known]
    if traits.baseline is None:
        new = [build for build in new if not _is_older(build, since)]
    exact = tuple(build for build in new if build.digest == traits.digest)
    if len(exact) == 1:
        is_certain = traits.baseline is not None or _is_younger(exact[0], since)
        return Evidence("found" if is_certain else "doubtful", exact)
    near = exact or tuple(build for build in new if may_be_upload(build, traits.bare_url))
    if near:
        return Evidence("doubtful", near)
    if traits.baseline is None:
        return Evidence("unproven")
    if new and not lists_urls_as_sent(builds, traits):
        return Evidence("doubtful", tuple(new))
    return Evidence("absent")


def _is_older(build: Build, since: float | None) -> bool:
    created = created_at(build)
    return created is not None and since is not None and created < since - CLOCK_DOUBT


def _is_younger(build: Build, since: float | None) -> bool:
    created = created_at(build)
    return created is not None and since is not None and created >= since - CLOCK_MARGIN


def may_be_upload(build: Build, bare_url: str) -> bool:
    """Return whether a build that does not show exactly our URL may be our upload: the same place, the same file name, or no URL.

    Presigned URLs change on every run, and the service may store its own spelling or its own copy.
    """
    if build.file_url is None:
        return True
    same_name = unquote(file_name(build.file_url)).casefold() == unquote(file_name(bare_url)).casefold()
    return same_name or place_of(build.file_url) == place_of(bare_url)


def lists_urls_as_sent(builds: Sequence[Build], traits: UploadTraits) -> bool:
    """Return whether this service lists URLs as they were sent, so that a build with another file name is another upload.

    Known if the list shows, letter for letter and without query, the URL of a build recorded here with its id, or if every URL in
    it is an http(s) URL on a host that is not the service's.
    """
    if any(build.file_url and traits.recorded.get(build.upload_id) == build.file_url for build in builds):
        return True
    return all(_is_foreign_url(build.file_url, traits.api_host) for build in builds)


def _is_foreign_url(url: str | None, api_host: str) -> bool:
    """Return whether `url` is an http(s) URL on a host outside the service's domain."""
    try:
        parts = urlsplit(url or "")
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    domain = api_host if api_host.replace(".", "").isdigit() or ":" in api_host else ".".join(api_host.split(".")[-2:])
    return parts.scheme in ("http", "https") and bool(host) and host != api_host and not f".{host}".endswith(f".{domain}")


def place_of(bare_url: str) -> tuple[str, ...]:
    """Return what a URL without its query names, however it is spelt (RFC 3986, 6.2): case of the host, port, percents, dots.

    http and https of one host count as the same place.
    """
    try:
        parts = urlsplit(bare_url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or 443
    except ValueError:
        return (bare_url,)
    scheme, port = ("https", 443) if parts.scheme in ("http", "https") and port in (80, 443) else (parts.scheme, port)
    return scheme, host, str(port), normpath("/" + unquote(parts.path).lstrip("/"))


def match_release(upload_id: str, status_before: str | None, page: ProjectPage) -> Evidence:
    """Return what `page` says about a release: the build must have left the state it was in (`status_before`, None if not known).

    A build that was being distributed before the call proves nothing by its state now.
    """
    build = next((build for build in page.builds or () if build.upload_id == upload_id), None)
    state = None if status_before is None else state_of(status_before)
    if build is None:
        return Evidence("doubtful")
    if state == "distributing" or (state is None and build.state != "distributing"):
        return Evidence("doubtful", (build,))
    return Evidence("absent") if build.state == state else Evidence("found", (build,))
