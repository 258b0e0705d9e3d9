"""The keys of every `--json` document, frozen: written by hand from the contract, in their order."""

import json
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM_NEW, SHOWROOM_OLD
from tests.front import Front

URL = "https://builds.example.com/Game-1.4.zip"
PROJECT = ["id", "name", "status", "region", "subscriptionStatus", "createdAt", "updatedAt"]
DETAIL = [*PROJECT, "liveUsers", "queuedUsers", "customDomain", "builds", "shareUrl", "dashboardUrl"]
STATS = ["projectId", "liveUsers", "queuedUsers", "at"]
UPLOAD = ["uploadId", "projectId", "fileUrl", "autoRelease", "message", "confirmedBy", "build"]
DISTRIBUTE = ["uploadId", "projectId", "message", "region", "build"]
BUILD = ["uploadId", "projectId", "status", "state", "fileUrl", "date", "objection", "source"]
LIMIT = ["endpoint", "allowedAt", "secondsLeft", "queued", "lastCallAt"]
AUTH = ["profile", "userId", "baseUrl", "sources", "verified"]
SETTING = ["key", "value", "source"]
EXIT_CODE = ["code", "name", "meaning", "safeToRetry"]
ERROR = ["kind", "message", "status", "exitCode", "retryable", "retryAfter", "outcome", "uploadId", "hint"]

LISTS = {
    "projects list": PROJECT,
    "builds": BUILD,
    "builds list": BUILD,
    "limits": LIMIT,
    "config list": SETTING,
    "exit-codes": EXIT_CODE,
}
THINGS = {
    "projects show": DETAIL,
    "projects stats": STATS,
    f"upload {URL}": UPLOAD,
    f"upload {URL} --wait": UPLOAD,
    f"distribute {SHOWROOM_OLD}": DISTRIBUTE,
    "distribute --latest --wait": DISTRIBUTE,
    f"builds show {SHOWROOM_NEW}": BUILD,
    f"builds wait {SHOWROOM_NEW}": BUILD,
    "builds wait --latest": BUILD,
    "auth status": AUTH,
    "config get base_url": SETTING,
    "projects use showroom": ["profile", "project"],
    "auth logout": ["profile", "removed"],
    "config path": ["path"],
    "open dashboard": ["projectId", "page", "url"],
    "config set project x": ["key", "profile", "path"],
    "config unset project": ["key", "profile", "path"],
    f"upload {URL} --dry-run": ["method", "url", "body"],
    "distribute --latest --dry-run": ["method", "url", "body"],
    "--version": ["version"],
}


@pytest.mark.parametrize("generation", ["paged", "status"])
@pytest.mark.parametrize("command", LISTS)
def test_list_is_an_array_of_objects_with_exactly_these_keys(spcli: Front, service: Any, command: str, generation: str) -> None:
    service(generation=generation)
    spcli("upload", URL)
    found = spcli(*command.split(), "--json")
    assert found.code == 0, found
    assert isinstance(found.json, list)
    assert found.json
    assert {tuple(item) for item in found.json} == {tuple(LISTS[command])}


@pytest.mark.parametrize("command", THINGS)
def test_thing_is_one_object_with_exactly_these_keys(spcli: Front, service: Any, command: str) -> None:
    service()
    found = spcli(*command.split(), "--json")
    assert found.code == 0, found
    assert list(found.json) == THINGS[command]
    if found.json.get("build"):
        assert list(found.json["build"]) == BUILD


@pytest.mark.parametrize("command", ["projects show", "projects stats", f"upload {URL}", f"distribute {SHOWROOM_OLD}"])
def test_keys_are_the_same_in_the_newest_generation(spcli: Front, service: Any, command: str) -> None:
    service(generation="status")
    assert list(spcli(*command.split(), "--json").json) == THINGS[command]


@pytest.mark.parametrize("command", [*LISTS, *THINGS])
def test_every_document_is_one_line_of_ascii_in_a_pipe(spcli: Front, service: Any, command: str) -> None:
    service()
    found = spcli(*command.split(), "--json")
    assert found.out.isascii()
    assert found.out.endswith("\n")
    assert found.out.count("\n") == 1
    json.loads(found.out)


def test_auth_status_sources_name_the_settings(spcli: Front, service: Any) -> None:
    service()
    assert list(spcli("auth", "status", "--json").json["sources"]) == ["api_key", "user_id", "project", "base_url"]


def test_several_builds_and_a_watch_are_one_compact_object_a_line(spcli: Front, service: Any) -> None:
    service(faults=("stats:403x*",))
    found = spcli("builds", "wait", SHOWROOM_NEW, SHOWROOM_OLD, "--json")
    assert [list(json.loads(line)) for line in found.out.splitlines()] == [BUILD, BUILD]


@pytest.mark.parametrize(
    "words", [["projects", "show", "nosuch"], ["upload"], ["config", "get", "nosuch"], ["distribute", "0" * 24]]
)
def test_error_object_has_exactly_these_keys(spcli: Front, service: Any, words: list[str]) -> None:
    service()
    assert list(spcli(*words, "--json").error) == ERROR


def test_times_are_iso_8601_utc_and_numbers_are_numbers(spcli: Front, service: Any) -> None:
    service()
    spcli("upload", URL)
    detail = spcli("projects", "show", "--json").json
    assert detail["createdAt"].endswith("Z")
    assert isinstance(detail["liveUsers"], int)
    limit = spcli("limits", "--json").json[0]
    assert limit["allowedAt"].endswith("Z")
    assert limit["lastCallAt"].endswith("Z")
    assert spcli("projects", "stats", "--json").json["at"].endswith("Z")
