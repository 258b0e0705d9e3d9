"""The command line: options in every position, help, suggestions, and usage errors."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli import __version__
from spcli.commands import TABLE, Group
from spcli.sandbox.seeds import MAIN, SHOWROOM
from tests.faultd import FaultServer, answer
from tests.front import Front

ROOT = Path(__file__).parents[2]
COMMANDS = [
    (name, *member)
    for name, entry in TABLE.items()
    for member in ([(word,) for word in entry.commands] if isinstance(entry, Group) else [()])
]
WORDS = [" ".join(command) for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=WORDS)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_command_has_help(spcli: Front, command: tuple[str, ...], flag: str) -> None:
    found = spcli(*command, flag)
    assert (found.code, found.err) == (0, ""), found
    assert found.out.startswith(f"Usage: spcli {' '.join(command)}")
    for option in ("--json", "--profile", "-q, --quiet", "-v, --verbose", "--no-color", "-h, --help"):
        assert option in found.out
    assert max(len(line) for line in found.out.splitlines() if not line.startswith("    spcli ")) <= 100


def test_the_program_without_arguments_shows_help_with_commands_and_exit_codes(spcli: Front) -> None:
    found = spcli()
    assert (found.code, found.err) == (0, "")
    assert found.out == spcli("--help").out == spcli("-h").out
    for name, entry in TABLE.items():
        assert f"  {name} " in found.out
        assert entry.help.split()[0] in found.out
    for text in ("spcli demo", "Exit codes", "61 outcome unknown", "130 interrupted", "spcli exit-codes"):
        assert text in found.out


@pytest.mark.parametrize("group", [name for name, entry in TABLE.items() if isinstance(entry, Group) and entry.default is None])
def test_a_group_without_a_command_shows_its_help(spcli: Front, group: str) -> None:
    found = spcli(group)
    assert (found.code, found.err) == (0, "")
    assert found.out == spcli(group, "--help").out


EVERY_HELP = """
import sys
from spcli.cli import main
from spcli.runtime import Runtime
for line in sys.argv[1:]:
    main([*line.split(), "--help"], Runtime({}, stdin=None, stdout=sys.stdout, stderr=sys.stderr))
"""


def test_help_is_the_same_without_docstrings() -> None:
    """PYTHONOPTIMIZE=2 drops the docstrings, which hold the help of the commands."""
    helps = []
    for optimize in ("", "2"):
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONOPTIMIZE": optimize, "PYTHONIOENCODING": "utf-8"}
        argv = [sys.executable, "-c", EVERY_HELP, "", *WORDS]
        helps.append(subprocess.run(argv, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert helps[1] == helps[0]
    assert helps[0].count("Usage: spcli") == len(WORDS) + 1


@pytest.mark.parametrize("command", ["upload", "distribute", "builds list", "builds wait", "projects list", "sandbox"])
def test_help_of_the_main_commands_has_examples(spcli: Front, command: str) -> None:
    assert (
        f"  spcli {command.removesuffix(' list') if command == 'builds list' else command}"
        in spcli(*command.split(), "--help").out
    )


@pytest.mark.parametrize("words", [("--version",), ("--version", "--json"), ("--json", "--version")])
def test_version(spcli: Front, words: tuple[str, ...]) -> None:
    found = spcli(*words)
    assert found.out == (f'{{"version":"{__version__}"}}\n' if "--json" in words else f"spcli {__version__}\n")


@pytest.mark.parametrize("option", ["--json", "-q", "--quiet"])
def test_common_options_work_in_every_position(spcli: Front, service: Any, option: str) -> None:
    service()
    words = ["projects", "list"]
    outputs = {spcli(*words[:place], option, *words[place:]).out for place in range(3)}
    assert len(outputs) == 1
    assert outputs != {spcli(*words).out}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_verbose_works_in_every_position_and_shows_no_key(spcli: Front, service: Any, place: int) -> None:
    service()
    words = ["projects", "list"]
    found = spcli(*words[:place], "-v", *words[place:])
    assert "GET /projects" in found.err
    assert MAIN.api_key not in found.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["uplod"], "`spcli upload`"),
        (["UPLOAD"], "`spcli upload`"),
        (["project"], "`spcli projects`"),
        (["projects", "lst"], "`spcli projects list`"),
        (["builds", "wiat"], "`spcli builds wait`"),
        (["config", "unste"], "`spcli config unset`"),
        (["uplaod"], "`spcli upload`"),
        (["wait"], "`spcli builds wait`"),
        (["wiat"], "`spcli builds wait`"),
        (["list"], "`spcli projects list` or `spcli builds list` or `spcli config list`"),
        (["login"], "`spcli auth login`"),
        (["show", "x"], "`spcli projects show` or `spcli builds show`"),
        (["listen"], "`spcli webhooks listen`"),
        (["projects", "wait"], "`spcli builds wait`"),
        (["builds", "upload"], "`spcli upload`"),
        (["zzzzzz"], "see `spcli --help` for the commands"),
        (["auth", "zzzzzz"], "see `spcli auth --help` for the commands"),
    ],
)
def test_unknown_command_suggests_the_nearest_and_fails(spcli: Front, words: list[str], hint: str) -> None:
    found = spcli(*words, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", "")
    assert found.error["message"].startswith("no such command")
    assert hint in found.error["hint"]


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["upload", "https://x/a.zip", "--timout", "5s"], "--timeout"),
        (["upload", "https://x/a.zip", "--auto-relase"], "--auto-release"),
        (["builds", "--statos", "approved"], "--status"),
        (["--jsn", "projects", "list"], "--json"),
    ],
)
def test_unknown_option_suggests_the_nearest_and_fails(spcli: Front, service: Any, words: list[str], near: str) -> None:
    server = service()
    found = spcli(*words, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", "")
    assert f"did you mean `{near}`?" in found.error["hint"]
    assert server.requests == []


@pytest.mark.parametrize(
    ("words", "option", "place"),
    [
        (["--deadline", "5m", "upload", "https://x/a.zip"], "--deadline", "spcli upload --deadline"),
        (["--project", "showroom", "upload", "https://x/a.zip"], "--project", "spcli upload --project"),
        (["--project=showroom", "builds", "wait", "x"], "--project", "spcli builds wait --project"),
        (["-p", "show", "builds"], "-p", "spcli builds list -p"),
        (["-p", "showroom"], "-p", "spcli COMMAND -p"),
        (["--wait", "limits"], "--wait", "spcli COMMAND --wait"),
        (["auth", "--user-id", "x", "login"], "--user-id", "spcli auth login --user-id"),
        (["projects", "-p", "x"], "-p", "spcli projects COMMAND -p"),
    ],
)
def test_an_option_before_its_command_names_its_place(spcli: Front, words: list[str], option: str, place: str) -> None:
    found = spcli(*words, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", "")
    assert found.error["message"].startswith(f"{option} is not an option of spcli")
    assert found.error["hint"] == f"put it after the command: {place} …"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile"], "option '--profile' requires an argument"),
        (["--json=x"], "option '--json' does not take a value"),
        (["builds", "--json=x", "wait", "x"], "option '--json' does not take a value"),
        (["builds", "wait", "x", "--profile"], "option '--profile' requires an argument"),
    ],
)
def test_a_missing_or_surplus_value_is_reported(spcli: Front, words: list[str], message: str) -> None:
    found = spcli(*words)
    assert (found.code, found.err.splitlines()[0]) == (2, message)
    assert "after the command" not in found.err


@pytest.mark.parametrize(
    ("named", "near"),
    [("showrom", ["Showroom Demo"]), ("shworoom", ["Showroom Demo"]), ("konfigurator", ["Configurator EU", "Configurator APAC"])],
)
def test_a_mistyped_project_suggests_similar_names(spcli: Front, service: Any, named: str, near: list[str]) -> None:
    service()
    found = spcli("builds", "-p", named, "--json")
    assert (found.code, found.error["kind"], found.error["message"]) == (13, "no-target", f"no project named {named!r}")
    head, *lines = found.error["hint"].splitlines()
    assert (head, sorted(line.partition("  ")[2] for line in lines)) == ("did you mean:", sorted(near))


def test_an_unknown_project_lists_all_projects(spcli: Front, service: Any) -> None:
    service()
    hint = spcli("projects", "show", "zzz", "--json").error["hint"]
    assert all(project.name in hint for project in MAIN.projects)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["upload"], "URL"),
        (["builds", "show"], "UPLOAD_ID"),
        (["projects", "use"], "PROJECT"),
        (["config", "get"], "KEY"),
        (["config", "set", "project"], "VALUE"),
        (["upload", "https://x/a.zip", "--max-wait"], "--max-wait"),
        (["upload", "https://x/a.zip", "-p"], "-p"),
        (["projects", "list", "--profile"], "--profile"),
        (["upload", "https://x/a.zip", "--help=3"], "--help"),
        (["upload", "https://x/a.zip", "--on-limit", "maybe"], "--on-limit"),
        (["upload", "https://x/a.zip", "--timeout", "0"], "--timeout"),
        (["upload", "https://x/a.zip", "--timeout", "601"], "--timeout"),
        (["upload", "https://x/a.zip", "-p", ""], "--project"),
        (["upload", "https://x/a.zip", "-p", "  "], "--project"),
        (["upload", "https://x/a.zip", "b"], "1 argument too many"),
        (["projects", "list", "a", "b"], "2 arguments too many"),
        (["exit-codes", "13", "a"], "1 argument too many"),
    ],
)
def test_a_usage_error_names_the_argument_and_the_help(spcli: Front, service: Any, words: list[str], names: str) -> None:
    server = service()
    found = spcli("--json", *words)
    error = found.error
    assert (found.code, error["kind"], error["exitCode"], found.out) == (2, "usage", 2, ""), found
    assert names in error["message"]
    command = " ".join(words[: 2 if isinstance(TABLE[words[0]], Group) else 1])
    assert f"`spcli {command} --help`" in error["hint"]
    assert error["outcome"] == ("not_sent" if words[0] == "upload" else None)
    assert server.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["canary5ec4e7"],
        ["--canary5ec4e7"],
        ["--canary-canary-canary-canary"],
        ["upload", "https://x/a.zip", "canary5ec4e7"],
        ["auth", "login", "canary5ec4e7"],
        ["auth", "login", "--canary5ec4e7"],
        ["auth", "login", "--api-key", "canary5ec4e7"],
        ["auth", "login", "--api-key=canary5ec4e7"],
        ["auth", "login", "--key-stdin=canary5ec4e7"],
        ["auth", "canary5ec4e7"],
        ["config", "set", "api_key", "canary5ec4e7"],
        ["config", "set", "canary5ec4e7", "x"],
        ["config", "get", "canary5ec4e7"],
        ["upload", "https://x/a.zip", "--timeout", "canary5ec4e7"],
        ["upload", "https://x/a.zip", "--on-limit", "canary5ec4e7"],
        ["upload", "canary5ec4e7"],
        ["builds", "--limit", "canary5ec4e7"],
        ["builds", "--status", "canary5ec4e7"],
        ["sandbox", "--seed", "canary5ec4e7"],
        ["sandbox", "--port", "canary5ec4e7"],
        ["completion", "canary5ec4e7"],
        ["--profile", "canary 5ec4e7", "projects", "list"],
        ["--json=canary5ec4e7", "projects", "list"],
    ],
)
def test_unknown_words_are_not_repeated_because_they_may_be_keys(spcli: Front, words: list[str]) -> None:
    for verbose in ([], ["-v", "--json"]):
        found = spcli(*verbose, *words)
        assert found.code == 2, found
        assert "canary" not in found.out + found.err


def test_words_after_a_double_dash_are_arguments(spcli: Front, service: Any) -> None:
    service()
    found = spcli("builds", "show", "--", "--json")
    assert (found.code, found.out) == (13, "")
    assert not found.err.rstrip().endswith("}")


def test_json_is_obeyed_after_an_unknown_option(spcli: Front) -> None:
    assert spcli("projects", "list", "--bogus", "--json").error["kind"] == "usage"


@pytest.mark.parametrize("words", [("--json",), ("-q",), ("config", "--json"), ("--json", "config"), ("projects", "-v")])
def test_options_without_a_command_are_a_usage_error(spcli: Front, words: tuple[str, ...]) -> None:
    found = spcli(*words)
    assert (found.code, found.out) == (2, "")
    assert "missing command" in found.err
    assert "--help" in found.err


@pytest.mark.parametrize("words", [("list", "-p", ""), ("stats", "--json", "-p")])
def test_an_empty_project_is_a_usage_error(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    assert spcli("projects", *words).code == 2
    assert server.requests == []


def test_a_project_is_found_by_a_prefix_of_its_name(spcli: Front, service: Any) -> None:
    service(project=None)
    assert spcli("builds", "-p", "SHOW", "--json").json[0]["projectId"] == SHOWROOM.id


def test_quiet_keeps_errors_and_drops_notes(spcli: Front, service: Any) -> None:
    service()
    quiet = spcli("-q", "projects", "show", "nosuch")
    assert quiet.err.startswith("no project named 'nosuch'")
    assert spcli("builds", "--status", "saving", "-q").err == ""


@pytest.mark.parametrize(
    ("names", "named", "found"),
    [
        (["Show", "show", "Showroom"], "Show", 0),
        (["Show", "show", "Showroom"], "show", 1),
        (["Show", "show", "Showroom"], "SHOW", None),
        (["Show", "Show"], "Show", None),
        (["Show", "Show"], "sh", None),
        (["Showroom", "Shower"], "SHOWR", 0),
        (["Showroom", "Shower"], "show", None),
        (["Straße"], "STRASSE", 0),
        ([" Padded "], "padded", 0),
        ([None, "x"], "x", 1),
        (["0123456789abcdef"], "0123456789abcdef", 0),
    ],
)
def test_a_name_is_matched_exactly_then_in_any_case_then_by_prefix(
    spcli: Front, names: list[Any], named: str, found: int | None
) -> None:
    projects = [{"_id": f"{place:024x}", "name": name} for place, name in enumerate(names)]

    def handler(request: Any) -> Any:
        return answer(200, {"projects": projects, "totalPages": 1} if request.path == "/projects" else {"files": []})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        shown = spcli("projects", "show", named, "--json")
    if found is None:
        assert (shown.code, shown.error["kind"]) == (13, "no-target")
        assert f"{0:024x}" in shown.error["hint"]
    else:
        assert shown.json["id"] == f"{found:024x}", shown


def test_reads_work_without_a_state_folder_and_note_it_once(spcli: Front, service: Any) -> None:
    service()
    blocked = spcli.home / "blocked"
    blocked.write_text("")
    env = {"SPCLI_STATE_DIR": str(blocked / "state"), "TMPDIR": str(blocked), "TEMP": str(blocked), "TMP": str(blocked)}
    for words in (["projects", "list"], ["builds"], ["projects", "show"], ["builds", "wait", "--latest"]):
        found = spcli(*words, env=env)
        assert found.code == 0, found
        assert found.err.count("note: ") <= 1
