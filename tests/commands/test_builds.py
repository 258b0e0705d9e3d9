"""`spcli builds`: list and show, where the service has a build list and where it has none."""

from typing import Any

import pytest

from spcli.sandbox.seeds import CONFIGURATOR_APAC, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED, SOLO, SOLO_NEW
from tests.front import Front, uploads

URL = "https://builds.example.com/Game-1.4.zip"
NEWEST_FIRST = [SHOWROOM_NEW, SHOWROOM_REJECTED, SHOWROOM_OLD]


@pytest.mark.parametrize("words", [("builds",), ("builds", "list"), ("builds", "--limit", "0"), ("--json", "builds")])
def test_builds_is_builds_list_newest_first(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    service()
    listed = spcli(*words, "--json")
    assert listed.code == 0, listed
    assert [build["uploadId"] for build in listed.json] == NEWEST_FIRST
    assert {build["source"] for build in listed.json} == {"server"}


def test_list_takes_options_before_and_after_the_word(spcli: Front, service: Any) -> None:
    service(project=None)
    for words in (
        ["builds", "-p", "showroom", "-q"],
        ["builds", "list", "-p", "showroom", "-q"],
        ["-q", "builds", "-p", "showroom"],
    ):
        assert spcli(*words).out.split() == NEWEST_FIRST


@pytest.mark.parametrize(
    "words",
    [
        ("-p", "showroom", "show", SHOWROOM_NEW),
        ("--limit", "3", "wait", "--latest"),
        ("--status", "approved", "list"),
        ("--timeout", "5s", "wait", SHOWROOM_NEW, "--deadline", "1m"),
    ],
)
def test_options_before_a_subcommand_are_a_usage_error_that_says_where_they_go(spcli: Front, service: Any, words: Any) -> None:
    server = service()
    found = spcli("builds", *words, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", ""), found
    word = next(word for word in words if word in ("show", "wait", "list"))
    assert f"spcli builds {word} " in found.error["hint"]
    assert server.requests == []


def test_common_options_before_a_subcommand_of_builds_go_after_the_programs_name(spcli: Front, service: Any) -> None:
    service()
    assert spcli("--json", "builds", "show", SHOWROOM_NEW).json["uploadId"] == SHOWROOM_NEW


def test_help_of_builds_shows_the_options_of_builds_list(spcli: Front) -> None:
    shown = spcli("builds", "--help")
    assert shown.code == 0
    listed, own = (spcli("builds", "list", "--help").out, shown.out.partition("Options of spcli builds list")[2])
    for option in ("-p, --project PROJECT", "--limit N", "--status S", "--timeout DUR"):
        assert option in own
        assert option in listed
    assert "Options of" not in spcli("webhooks", "--help").out


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("2", 2), ("0", 3), ("20", 3), ("999999999", 3)])
def test_limit_counts_after_the_status(spcli: Front, service: Any, limit: str, count: int) -> None:
    service()
    assert len(spcli("builds", "--limit", limit, "--json").json) == count
    assert len(spcli("builds", "--limit", limit, "--status", "approved", "--json").json) == min(count, 2)


@pytest.mark.parametrize("word", ["rejected", "Rejected", "REJECT", "Reject"])
def test_status_takes_our_word_or_the_services_in_any_case(spcli: Front, service: Any, word: str) -> None:
    service()
    assert spcli("builds", "--status", word, "-q").out.split() == [SHOWROOM_REJECTED]


@pytest.mark.parametrize(
    "words", [("--status", "done"), ("--status", ""), ("--limit", "-1"), ("--limit", "x"), ("--limit", "1e3"), ("--limit", "٣")]
)
def test_invalid_filter_is_a_usage_error_before_any_call(spcli: Front, service: Any, words: tuple[str, str]) -> None:
    server = service()
    found = spcli("builds", *words, "--json")
    assert (found.code, found.error["kind"], server.requests) == (2, "usage", [])


def test_empty_list_is_an_empty_array_and_a_note(spcli: Front, service: Any) -> None:
    service(project=CONFIGURATOR_APAC.id)
    assert spcli("builds", "--json").out == "[]\n"
    text = spcli("builds")
    assert (text.code, text.out) == (0, "")
    assert "no build" in text.err
    assert "in state saving" in spcli("builds", "--status", "saving").err


def test_show_prints_a_rejected_builds_objection(spcli: Front, service: Any) -> None:
    service()
    shown = spcli("builds", "show", SHOWROOM_REJECTED)
    assert shown.code == 0
    assert "objection:" in shown.out
    build = spcli("builds", "show", SHOWROOM_REJECTED, "--json").json
    assert (build["state"], build["status"]) == ("rejected", "Reject")
    assert build["objection"]


def test_query_of_a_builds_url_is_never_shown(spcli: Front, service: Any) -> None:
    service(project=None)
    found = spcli("builds", "-p", "Configurator EU", "--json", "-v")
    assert "5a11dbad" not in found.out + found.err
    assert any((build["fileUrl"] or "").endswith("Configurator-2.3.zip") for build in found.json)


@pytest.mark.parametrize("upload_id", [SOLO_NEW, "nosuch", "0" * 24, "../x"])
def test_unknown_build_is_exit_13(spcli: Front, service: Any, upload_id: str) -> None:
    service()
    found = spcli("builds", "show", upload_id, "--json")
    assert (found.code, found.error["kind"], found.out) == (13, "no-target", "")
    assert "spcli builds" in found.error["hint"]


@pytest.mark.parametrize("words", [("show", ""), ("show", "  "), ("wait", ""), ("wait", SHOWROOM_NEW, "")])
def test_empty_upload_id_is_a_usage_error_before_any_call(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    found = spcli("builds", *words, "--json")
    assert (found.code, found.error["kind"], server.requests) == (2, "usage", [])


@pytest.mark.parametrize("status", [404, 405])
def test_without_a_build_list_builds_uploaded_from_here_are_listed(spcli: Front, service: Any, status: int) -> None:
    server = service(generation="status") if status == 404 else service(faults=("project:405x*",))
    assert spcli("builds", "--json").json == []
    sent = spcli("upload", URL + "?sig=5ec4e7", "--json").json["uploadId"]
    listed = spcli("builds", "--json")
    assert listed.code == 0, listed
    (build,) = listed.json
    assert (build["uploadId"], build["source"], build["fileUrl"], build["state"]) == (sent, "local", URL, "unknown")
    assert "builds uploaded from this machine" in listed.err
    assert spcli("builds", "show", sent, "--json").json == build
    assert len(uploads(server)) == 1


def test_404_for_a_project_missing_from_the_list_is_exit_44(spcli: Front, service: Any) -> None:
    service(generation="status")
    found = spcli("builds", "-p", SOLO.id, "--json")
    assert (found.code, found.error["kind"], found.out) == (44, "http-404", "")


def test_list_of_a_foreign_project_prints_the_servers_message_and_a_hint(spcli: Front, service: Any) -> None:
    service()
    lines = spcli("builds", "-p", SOLO.id).err.splitlines()
    assert lines[0] == "Forbidden: project does not belong to this user"
    assert lines[1].startswith("hint: ")


def test_a_new_build_comes_first(spcli: Front, service: Any) -> None:
    service()
    sent = spcli("upload", URL, "-q").out.strip()
    assert spcli("builds", "-q").out.split() == [sent, *NEWEST_FIRST]
    assert spcli("builds", "--json", "-p", SHOWROOM.name).json[0]["fileUrl"] == URL
