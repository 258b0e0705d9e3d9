"""Pure: which CI system runs this process, and how it reads values, problems and files.

Each system obeys lines that a step prints, so every value is escaped by that system's own rules: GitHub's workflow commands,
Azure Pipelines' logging commands, TeamCity's service messages. Dotenv files, which people
also source, are percent-encoded down to letters without a meaning in any shell.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

System = Literal["github", "azure", "teamcity"]
Level = Literal["error", "warning"]
_CI_VARIABLES = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-")


class Facts(NamedTuple):
    """A build as later steps of a job get it; `share_url` is empty as long as the link shows another build."""

    upload_id: str
    project_id: str
    state: str
    share_url: str

    def by_variable(self) -> dict[str, str]:
        """Return the facts by the names of their environment variables."""
        return {
            "STREAMPIXEL_UPLOAD_ID": self.upload_id,
            "STREAMPIXEL_PROJECT_ID": self.project_id,
            "STREAMPIXEL_STATE": self.state,
            "STREAMPIXEL_SHARE_URL": self.share_url,
        }


def make_facts(upload_id: str, project_id: str, state: str, *, is_live: bool) -> Facts:
    """Return the facts of a build in that state; only a live build has a share URL."""
    from spcli.models import share_url  # not at the top: help does not need the models

    return Facts(upload_id, project_id, state, share_url(project_id) if is_live else "")


def system_of(environ: Mapping[str, str]) -> System | None:
    """Return the system that runs this step, as its environment variables say."""
    if environ.get("GITHUB_ACTIONS", "").lower() == "true":
        return "github"
    if environ.get("TF_BUILD", "").lower() == "true":
        return "azure"
    return "teamcity" if environ.get("TEAMCITY_VERSION") else None


def is_ci(environ: Mapping[str, str]) -> bool:
    """Return whether a CI system runs this process: no person can answer a question, and logs are UTF-8."""
    return any(environ.get(name, "").lower() not in ("", "0", "false") for name in _CI_VARIABLES)


def percent_encode(value: str) -> str:
    """Return `value` with all but plain letters percent-encoded: safe in a dotenv file, even if a shell sources it."""
    return "".join(
        letter if letter in _PLAIN else "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "replace")) for letter in value
    )


def dotenv_lines(facts: Facts) -> str:
    """Return `KEY=value` lines for GitLab's dotenv report, Jenkins' readProperties and `source`."""
    return "".join(f"{name}={percent_encode(value)}\n" for name, value in facts.by_variable().items())


def github_output(facts: Facts, delimiter: str) -> str:
    """Return lines for the file `$GITHUB_OUTPUT`; `delimiter` is random, so that no value can end its own block."""
    named = {"upload-id": facts.upload_id, "state": facts.state, "project-id": facts.project_id, "share-url": facts.share_url}
    return "".join(f"{name}<<{delimiter}\n{percent_encode(value)}\n{delimiter}\n" for name, value in named.items())


def github_summary(title: str, facts: Facts) -> str:
    """Return a table for the file `$GITHUB_STEP_SUMMARY`."""
    rows = [("build", facts.upload_id), ("state", facts.state), ("project", facts.project_id), ("share", facts.share_url)]
    if facts.state == "approved" and not facts.share_url:
        rows.append(("next", f"Not live yet. Release it: spcli distribute {facts.upload_id}"))
    body = "".join(f"| {name} | {_escape_markdown(value)} |\n" for name, value in rows if value)
    return f"### {_escape_markdown(title)}\n\n| | |\n| --- | --- |\n{body}\n"


def _escape_markdown(text: str) -> str:
    """Return text that Markdown and HTML leave alone: punctuation as numeric entities, except that of IDs and URLs."""
    return "".join(
        letter if letter.isalnum() or letter in " .:/-" else f"&#{ord(letter)};" for letter in text if letter.isprintable()
    )


def variable_lines(system: System, facts: Facts) -> list[str]:
    """Return the lines that hand the facts to later steps, if the system reads them from the log."""
    if system == "azure":
        return [
            f"##vso[task.setvariable variable={name};isOutput=true]{percent_encode(value)}"
            for name, value in facts.by_variable().items()
        ]
    if system == "teamcity":
        # A percent sign begins a reference to another parameter there, and later steps put the value into a command line.
        values = {name: percent_encode(value).replace("%", "%%") for name, value in facts.by_variable().items()}
        return [f"##teamcity[setParameter name='env.{name}' value='{_escape_teamcity(value)}']" for name, value in values.items()]
    return []


def problem_line(system: System, level: Level, message: str) -> str:
    """Return the line that shows a problem beside the step."""
    if system == "github":
        return f"::{level} title=spcli::{_escape_github(message)}"
    if system == "azure":
        return f"##vso[task.logissue type={level}]{_escape_azure(message)}"
    # Not as a build problem: that would fail the build even if the script ignores the exit code.
    return f"##teamcity[message text='{_escape_teamcity(message)}' status='{level.upper()}']"


def _drop_controls(text: str) -> str:
    return "".join(letter if letter.isprintable() or letter in "\r\n" else " " for letter in text)


def _escape_github(message: str) -> str:
    escaped = _drop_controls(message).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    # The runner looks for the older form of its commands, `##[`, anywhere in a line.
    while "##" in escaped:
        escaped = escaped.replace("##", "# #")
    return escaped


def _escape_azure(message: str) -> str:
    escapes = {"%": "%AZP25", "\r": "%0D", "\n": "%0A", ";": "%3B", "]": "%5D", "#": "%23"}
    return "".join(escapes.get(letter, letter) for letter in _drop_controls(message))


def _escape_teamcity(text: str) -> str:
    escapes = {"|": "||", "'": "|'", "\n": "|n", "\r": "|r", "[": "|[", "]": "|]"}
    return "".join(
        escapes.get(letter) or (letter if letter.isascii() else _escape_wide(letter)) for letter in _drop_controls(text)
    )


def _escape_wide(letter: str) -> str:
    units = letter.encode("utf-16-be", "replace")
    return "".join(f"|0x{units[at] << 8 | units[at + 1]:04X}" for at in range(0, len(units), 2))
