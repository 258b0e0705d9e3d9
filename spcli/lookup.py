"""Which project, which build: what the user named, looked up at the service where a name needs it."""

import os
from typing import TYPE_CHECKING

from spcli.completion import names
from spcli.errors import SpcliError
from spcli.models import Build, Project, bare_url, file_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spcli.runtime import Runtime

CANDIDATES = 10
LONGEST = 80


def is_id(text: str) -> bool:
    """Whether `text` is an id of the service's form: 24 hex digits. It is not looked up."""
    return len(text) == 24 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def project_id(runtime: "Runtime", named: str | None = None) -> str:
    """The project's id: `named`, else the setting, else the account's only project.

    Raises:
        SpcliError: `no-target`, with the candidates; whatever reading the project list raises.
    """
    wanted = named if named is not None else runtime.settings.project
    if wanted is not None and is_id(wanted.strip()):
        return wanted.strip().lower()
    return chosen(list_projects(runtime), wanted).id


def list_projects(runtime: "Runtime") -> list[Project]:
    """Every project, remembered for completion."""
    projects, is_cut = runtime.api.list_projects()
    if is_cut:
        runtime.output.note(f"only the first {len(projects)} projects were read: the account has more")
    named = [(project.id, project.name or "") for project in projects]
    account, digest = runtime.account, names.digest_of(named)
    if not names.are_remembered(os.path.join(runtime.settings.state_dir, "state.db"), account, digest):
        runtime.state.names.remember_projects(account, named, digest=digest)
    return projects


def chosen(projects: list[Project], wanted: str | None) -> Project:
    """The project called `wanted`, or the only one. Raises `SpcliError` (no-target), with the candidates."""
    return only(projects) if wanted is None else matching(projects, wanted.strip())


def only(projects: list[Project]) -> Project:
    """The account's one project. Raises `SpcliError` (no-target) where there are several, or none."""
    if len(projects) == 1:
        return projects[0]
    if not projects:
        raise SpcliError(
            "no-target", "the account has no project", hint="create one in the dashboard: https://dashboard.streampixel.io"
        )
    raise SpcliError(
        "no-target",
        f"no project is named, and the account has {len(projects)}",
        hint=f"name one with -p, or choose a default: spcli projects use PROJECT\n{candidates(projects)}",
    )


def matching(projects: list[Project], wanted: str) -> Project:
    """The project called `wanted`: exact name, then any case, then a prefix that only one name has."""
    folded = wanted.casefold()
    names = [(project, (project.name or "").strip()) for project in projects]
    for found in (
        [project for project, name in names if name == wanted or project.id == wanted],
        [project for project, name in names if name.casefold() == folded],
        [project for project, name in names if folded and name.casefold().startswith(folded)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            raise SpcliError(
                "no-target", f"{len(found)} projects are called {wanted!r}, or begin so", hint=f"use the id:\n{candidates(found)}"
            )
    near = _near(projects, folded)
    hint = f"did you mean:\n{candidates(near)}" if near else f"the account's projects:\n{candidates(projects)}"
    if not projects:
        hint = "the account has no project"
    raise SpcliError("no-target", f"no project is called {wanted!r}", hint=hint)


def _near(projects: list[Project], folded: str) -> list[Project]:
    """Projects whose name, or as much of its start, is spelt nearly so."""
    from difflib import SequenceMatcher

    def likeness(project: Project) -> float:
        name = (project.name or "").strip().casefold()
        return max(SequenceMatcher(None, text, folded).ratio() for text in (name, name[: len(folded)]))

    return sorted((project for project in projects if likeness(project) >= 0.7), key=likeness, reverse=True)[:3]


def candidates(projects: list[Project]) -> str:
    """Ids and names to choose from, one a line."""
    lines = [f"{project.id}  {project.name or ''}".rstrip() for project in projects[:CANDIDATES]]
    more = len(projects) - CANDIDATES
    return "\n".join([*lines, *([f"and {more} more: spcli projects list"] if more > 0 else [])])


def assert_upload_id(word: str, builds: "Sequence[Build]") -> None:
    """Make sure that `word`, which none of the project's listed builds bears, can be an upload id at all: half of one, a file's
    name or a URL would cost a window. Ids of another form than the known one leave that to the service.

    Raises:
        SpcliError: `no-target`, with the builds that may be meant.
    """
    if builds and not is_id(word) and all(is_id(build.upload_id) for build in builds):
        raise SpcliError("no-target", f"{bare_url(word)[:LONGEST]!r} is no upload id", hint=_meant(word, builds))


def _meant(word: str, builds: "Sequence[Build]") -> str:
    """The builds that `word` may mean: part of an id or of a file's name, or an id mistyped."""
    from difflib import get_close_matches

    part, name = word.casefold(), file_name(word).casefold() or "/"
    close = get_close_matches(part, [build.upload_id for build in builds], n=CANDIDATES, cutoff=0.8)
    near = [
        f"{build.upload_id}  {file_name(build.file_url)}".rstrip()
        for build in builds
        if part in build.upload_id or build.upload_id in close or name in file_name(build.file_url).casefold()
    ]
    return "\n".join(["did you mean", *near[:CANDIDATES]]) if near else "`spcli builds` lists the project's builds"
