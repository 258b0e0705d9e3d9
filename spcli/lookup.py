"""Turn the project or build that the user typed into its ID, asking the service only where a name needs it."""

from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING

from spcli.errors import SpcliError
from spcli.models import Build, Project, bare_url, dashboard_url, file_name, is_id, normalize_id, share_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spcli.api.client import Api
    from spcli.output import Output
    from spcli.state.account import Account
    from spcli.state.names import Names

CANDIDATES = 10
LONGEST = 80

_CREATE_ONE = "create a project in the dashboard: https://dashboard.streampixel.io"


def parse_project_id(text: str) -> str | None:
    """Return the ID in `text`: an ID itself, or the URL of a project's page in the dashboard or for viewers; None for a name."""
    word = text.strip()
    page = bare_url(word if "://" in word else f"https://{word}").lower()
    for start in (dashboard_url(""), share_url("")):
        if page.startswith(start):
            word = page.removeprefix(start).partition("/")[0]
    return normalize_id(word) if is_id(word) else None


def list_projects(api: "Api", names: "Names", account: "Account", output: "Output") -> list[Project]:
    """Read every project of the account and remember their names for completion; a note says if the list was cut."""
    projects, is_cut = api.list_projects()
    if is_cut:
        output.note(f"only the first {len(projects)} projects were read: the account has more")
    names.remember_projects(account, [(project.id, project.name or "") for project in projects])
    return projects


def choose_project(projects: list[Project], wanted: str | None) -> Project:
    """Return the project named `wanted`, or the only one for None. Raises `SpcliError` (no-target), with the candidates."""
    if wanted is not None:
        return match_project(projects, wanted.strip())
    if len(projects) == 1:
        return projects[0]
    if not projects:
        raise SpcliError("no-target", "this account has no project", hint=_CREATE_ONE)
    raise SpcliError(
        "no-target",
        f"no project selected (this account has {len(projects)})",
        hint=f"choose one with -p, or set a default: spcli projects use PROJECT\n{_list_candidates(projects)}",
    )


def match_project(projects: list[Project], wanted: str) -> Project:
    """Return the project of that ID or exact name; else in any letter case; else by a prefix that only one name has.

    Raises:
        SpcliError: `no-target`, with the candidates.
    """
    folded, wanted_id = wanted.casefold(), normalize_id(wanted)
    names = [(project, (project.name or "").strip()) for project in projects]
    for matches in (
        [project for project, name in names if name == wanted or project.id == wanted_id],
        [project for project, name in names if name.casefold() == folded],
        [project for project, name in names if folded and name.casefold().startswith(folded)],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise SpcliError(
                "no-target",
                f"{wanted!r} matches {len(matches)} projects",
                hint=f"use a longer name or the ID:\n{_list_candidates(matches)}",
            )
    similar = _similar_projects(projects, folded)
    hint = (
        f"did you mean:\n{_list_candidates(similar)}"
        if similar
        else f"choose one of this account's projects:\n{_list_candidates(projects)}"
    )
    raise SpcliError("no-target", f"no project named {wanted!r}", hint=hint if projects else _CREATE_ONE)


def _similar_projects(projects: list[Project], folded: str) -> list[Project]:
    """Return up to three projects whose name, or the same length of its start, is spelled almost like `folded`."""

    def likeness(project: Project) -> float:
        name = (project.name or "").strip().casefold()
        return max(SequenceMatcher(None, text, folded).ratio() for text in (name, name[: len(folded)]))

    return sorted((project for project in projects if likeness(project) >= 0.7), key=likeness, reverse=True)[:3]


def _list_candidates(projects: list[Project]) -> str:
    """Return IDs and names to choose from, one a line."""
    lines = [f"{project.id}  {project.name or ''}".rstrip() for project in projects[:CANDIDATES]]
    more = len(projects) - CANDIDATES
    return "\n".join([*lines, *([f"and {more} more: spcli projects list"] if more > 0 else [])])


def unlisted_error(word: str, builds: "Sequence[Build]") -> SpcliError:
    """Return the error for a word that is not the ID of a listed build: a mistyped ID, half of one, a file name or a URL.

    Sending it would spend the rate limit on a 404.
    """
    may_be_id = is_id(word) or not all(is_id(build.upload_id) for build in builds)
    shown = bare_url(word)[:LONGEST]
    message = f"the project has no build {shown}" if may_be_id else f"{shown!r} is not an upload ID"
    return SpcliError("no-target", message, hint=_suggest_builds(word, builds))


def _suggest_builds(word: str, builds: "Sequence[Build]") -> str:
    """Return the builds that `word` may mean: part of an ID or of a file name, or a mistyped ID."""
    part, name = word.casefold(), file_name(word).casefold() or "/"
    close = get_close_matches(part, [build.upload_id for build in builds], n=CANDIDATES, cutoff=0.8)
    near = [
        f"{build.upload_id}  {file_name(build.file_url)}".rstrip()
        for build in builds
        if part in build.upload_id or build.upload_id in close or name in file_name(build.file_url).casefold()
    ]
    return "\n".join(["did you mean:", *near[:CANDIDATES]]) if near else "list the builds of the project with `spcli builds`"
