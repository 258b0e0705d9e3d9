"""Usage errors: the command that was resolved decides the outcome and the hints, never a word that may be an option's value."""

from typing import Any

import pytest

from spcli.commands import TABLE, Entry
from spcli.completion.tree import COMMANDS
from spcli.usage import IMPOSSIBLE, SYNONYMS, find_command, split_words
from tests.front import Front

URL = "https://builds.example.com/Game-1.4.zip"


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (["--profile", "status", "upload", URL], "not_sent"),
        (["--profile", "upload", "projects", "list"], None),
        (["--profile", "rollback", "builds"], None),
        (["--profile", "api", "distribute", "x"], "not_sent"),
        (["builds", "wait", "upload", "--profile", "nosuch"], None),
        (["projects", "show", "upload", "--profile", "nosuch"], None),
        (["api", "GET", "/projects", "--profile", "POST"], None),
        (["api", "POST", "/projects/get", "--profile", "GET"], "not_sent"),
        (["api", "POST", "/projects/x", "-f", "x=get", "--profile", "nosuch"], "not_sent"),
        (["api", "GET", "--profile", "upload"], None),  # the path is missing
        (["api", "POST", "--profile", "GET"], "not_sent"),
        (["api", "--profile", "GET", "DELETE"], "not_sent"),
        (["upload", URL, "--bogus"], "not_sent"),
        (["projects", "list", "--bogus", "upload"], None),
        (["--bogus", "upload", URL], None),
        (["--deadline", "5m", "upload", URL], "not_sent"),
        (["--deadline", "upload", "builds", "wait", "x"], None),
        (["-f", "x=POST", "api", "GET", "/projects"], None),
        (["-f", "x=GET", "api", "POST", "/projects"], "not_sent"),
        (["uplod", "upload"], None),
    ],
    ids=str,
)
def test_the_outcome_follows_the_resolved_command(spcli: Front, service: Any, words: list[str], outcome: str | None) -> None:
    server = service()
    found = spcli(*words, "--json")
    assert (found.code, found.error["outcome"]) in [(2, outcome), (3, outcome)], found
    assert server.requests == []


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["--profile", "upload", "builds", "wait", "x", "--deadline"], "spcli builds wait"),
        (["builds", "--limit", "5", "--json=x"], "spcli builds list"),
        (["projects", "show", "upload", "--timeout"], "spcli projects show"),
        (["--profile", "upload", "--json=x"], "spcli"),
    ],
)
def test_the_hint_names_the_resolved_command(spcli: Front, words: list[str], command: str) -> None:
    assert spcli("--json", *words).error["hint"] == f"see `{command} --help`"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["builds", "--limit", "5", "wait", "x"], "put the options after the subcommand: spcli builds wait …"),
        (
            ["builds", "--limit", "5", "wait", "x", "--deadline", "5m"],
            "put the options after the subcommand: spcli builds wait …",
        ),
        (["builds", "-p", "show", "--zzz"], "see `spcli builds list --help`"),
        (["builds", "-p", "show", "wait"], "put the options after the subcommand: spcli builds wait …"),
        (["builds", "--limit", "wait"], "see `spcli builds list --help`"),
    ],
)
def test_options_before_a_subcommand_are_explained(spcli: Front, service: Any, words: list[str], hint: str) -> None:
    service()
    found = spcli(*words, "--json")
    assert (found.code, found.error["hint"]) == (2, hint)


@pytest.mark.parametrize(
    ("words", "is_json"),
    [
        (["projects", "show", "-p", "--json", "--bogus"], False),
        (["builds", "-p", "--json"], False),
        (["builds", "-p", "x", "--bogus", "--json"], True),
        (["--bogus", "--json"], True),
        (["builds", "--", "--json", "x"], False),
        (["--version", "--json"], True),
    ],
)
def test_an_options_value_is_not_taken_for_the_json_option(spcli: Front, service: Any, words: list[str], is_json: bool) -> None:
    service()
    found = spcli(*words)
    assert (found.err or found.out).rstrip().endswith("}") is is_json, found


@pytest.mark.parametrize(
    ("words", "options", "arguments"),
    [
        (["upload", "-p", "x", "u", "--wait"], ["-p", "--wait"], ["upload", "u"]),
        (["--profile=upload", "builds"], ["--profile"], ["builds"]),
        (["--bogus", "upload", "--json"], ["--bogus", "--json"], []),
        (["builds", "--", "-p", "x"], [], ["builds", "-p", "x"]),
        (["api", "GET", "-", "--profile"], ["--profile"], ["api", "GET", "-"]),
    ],
)
def test_options_and_arguments_are_told_apart(words: list[str], options: list[str], arguments: list[str]) -> None:
    assert split_words(words) == (options, arguments)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "spcli"),
        (["--profile", "upload"], "spcli"),
        (["-p", "x", "upload", "u"], "spcli upload"),
        (["-p", "x", "builds", "x"], "spcli builds list"),
        (["projects", "--deadline", "1h"], "spcli projects"),
        (["--bogus", "upload"], "spcli"),
    ],
)
def test_the_command_is_found_behind_known_options_only(words: list[str], command: str) -> None:
    assert find_command(words) == command


@pytest.mark.parametrize("duration", ["1h30", "1m5", "2h1", "1h 5", "5s5", "1h30m5", "", "h", "1.h", "-5", "1d"])
def test_a_duration_with_a_bare_number_after_a_unit_is_refused(spcli: Front, service: Any, duration: str) -> None:
    server = service()
    found = spcli("builds", "wait", "x", "--deadline", duration, "--json")
    assert (found.code, found.error["kind"]) == (2, "usage"), found
    assert "write 90, 45s, 0.2s, 10m, 2h or 1h30m" in found.error["message"]
    assert server.requests == []


@pytest.mark.parametrize("duration", ["90", "45s", "0.2s", "1.5", "1H30M", " 5s ", "1h5s", "1h30m5s"])
def test_a_duration_with_units_is_accepted(spcli: Front, service: Any, duration: str) -> None:
    service()
    assert spcli("builds", "wait", "--latest", "--deadline", duration, "--json").code == 0


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["whoami"], "did you mean `spcli auth status`?"),
        (["Deploy", "x"], "did you mean `spcli distribute`?"),
        (["release"], "did you mean `spcli distribute`?"),
        (["promote"], "did you mean `spcli distribute`?"),
        (["publish"], "did you mean `spcli distribute`?"),
        (["push", URL], "did you mean `spcli upload`?"),
        (["logs"], "did you mean `spcli builds list` or `spcli webhooks events`?"),
        (["env"], "did you mean `spcli config list`?"),
        (["version"], "did you mean `spcli --version`?"),
        (["config", "rm", "project"], "did you mean `spcli config unset`?"),
        (["webhooks", "list"], "did you mean `spcli webhooks events`?"),
        (["builds", "deploy"], "did you mean `spcli distribute`?"),
        (["browse"], "did you mean `spcli open`?"),
        (["proj"], "did you mean `spcli projects`?"),
    ],
    ids=" ".join,
)
def test_a_word_of_another_tool_names_the_command(spcli: Front, words: list[str], hint: str) -> None:
    found = spcli(*words, "--json")
    assert (found.code, found.error["hint"]) == (2, hint)


@pytest.mark.parametrize(
    ("word", "what"), [("delete", "deletes"), ("cancel", "stops"), ("builds rm", "deletes"), ("create", "creates")]
)
def test_what_the_service_cannot_do_is_said(spcli: Front, word: str, what: str) -> None:
    found = spcli(*word.split(), "x", "--json")
    assert (found.code, found.error["hint"].startswith(f"the service has no call that {what} a")) == (2, True), found


@pytest.mark.parametrize(
    "word", ["destroy", "unload", "reload", "download", "roll", "distinct", "distrust", "apt", "uploaf", "callback"]
)
def test_a_command_that_writes_is_never_offered_for_another_word(spcli: Front, word: str) -> None:
    hint = spcli(word, "--json").error["hint"]
    assert not any(f"`spcli {name}" in hint for name, entry in TABLE.items() if isinstance(entry, Entry) and entry.writes), hint


@pytest.mark.parametrize("words", [["auth", "logos"], ["config", "reset"], ["config", "onset"]], ids=" ".join)
def test_a_command_that_deletes_is_never_offered_for_another_word(spcli: Front, words: list[str]) -> None:
    hint = spcli(*words, "--json").error["hint"]
    assert "logout" not in hint
    assert "unset" not in hint


def test_every_synonym_names_a_command_and_is_none_itself() -> None:
    assert {command for command in SYNONYMS if not command.startswith("-")} <= set(COMMANDS)
    synonyms = [word for words in SYNONYMS.values() for word in words.split()]
    impossible = [word for words in IMPOSSIBLE.values() for word in words.split()]
    assert not set(synonyms + impossible) & set(TABLE)
    assert not set(synonyms) & set(impossible)
    assert not {word.replace(":", " ") for word in synonyms} & set(COMMANDS)
