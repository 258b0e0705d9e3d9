"""`spcli projects`, in both generations of the service."""

import json
from typing import Any

import pytest

from spcli.completion import answer as completion
from spcli.errors import Interrupted
from spcli.sandbox.seeds import CONFIGURATOR_EU, INACTIVE, MAIN, OTHER, SHOWROOM, TOKYO
from tests.faultd import FaultServer, answer
from tests.front import FakeClock, Front

GENERATIONS = ("paged", "status")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_list_prints_every_project_id_in_json(spcli: Front, service: Any, generation: str) -> None:
    service(generation=generation)
    listed = spcli("projects", "list", "--json")
    assert listed.code == 0, listed
    assert [project["id"] for project in listed.json] == [project.id for project in MAIN.projects]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_list_shows_the_same_status_in_both_generations(spcli: Front, service: Any, generation: str) -> None:
    service(generation=generation)
    by_name = {project["name"]: project for project in spcli("projects", "list", "--json").json}
    assert by_name[SHOWROOM.name]["status"] == "active"
    assert by_name[INACTIVE.name]["status"] == "inactive"


def test_list_fetches_all_pages_on_one_connection(spcli: Front, service: Any) -> None:
    server = service()
    server.world.max_limit = 2
    listed = spcli("projects", "list", "--json", "-v")
    assert [project["id"] for project in listed.json] == [project.id for project in MAIN.projects]
    assert [dict(record.query)["page"] for record in server.requests] == ["1", "2", "3"]


def listing_server(count: int, page_size: int, *, is_bare: bool = False, end: Any = None) -> FaultServer:
    """A service that sends `page_size` projects a page, whatever is asked for, and no counter; `end` answers a page beyond."""
    listed = [{"_id": f"{number:024x}", "name": str(number)} for number in range(count)]

    def handler(request: Any) -> Any:
        first = page_size * (int(dict(request.query)["page"]) - 1)
        page = listed[first : first + page_size]
        return answer(200, page if is_bare else {"projects": page}) if page or end is None else end

    return FaultServer(handler=handler)


@pytest.mark.parametrize("is_bare", [False, True])
@pytest.mark.parametrize(("count", "page_size", "pages"), [(0, 50, 1), (49, 50, 2), (50, 50, 2), (120, 50, 4), (45, 20, 4)])
def test_list_without_counters_goes_on_while_pages_bring_new_projects(
    spcli: Front, count: int, page_size: int, pages: int, is_bare: bool
) -> None:
    with listing_server(count, page_size, is_bare=is_bare) as server:
        spcli.use(server.url)
        listed = spcli("projects", "list", "-q")
    assert listed.out.split() == [f"{number:024x}" for number in range(count)]
    assert len(server.ledger) == pages


@pytest.mark.parametrize(("status", "code"), [(404, 0), (400, 0), (403, 43)])
def test_a_page_beyond_the_last_may_not_exist(spcli: Front, status: int, code: int) -> None:
    with listing_server(45, 20, end=answer(status, {"message": "no such page"})) as server:
        spcli.use(server.url)
        listed = spcli("projects", "list", "-q")
    assert (listed.code, len(listed.out.split())) == (code, 0 if code else 45)


def test_a_list_longer_than_the_cap_of_pages_is_noted(spcli: Front) -> None:
    with listing_server(500, 2) as server:
        spcli.use(server.url)
        listed = spcli("projects", "list")
    assert listed.code == 0, listed
    assert len(listed.out.splitlines()) == 401
    assert listed.err == "note: only the first 400 projects were read: the account has more\n"


def test_a_server_that_ignores_the_page_gets_no_third_request(spcli: Front) -> None:
    page = {"projects": [{"_id": f"{number:024x}", "name": "x"} for number in range(50)], "totalPages": 9}
    with FaultServer([answer(200, page), answer(200, page)]) as server:
        spcli.use(server.url)
        assert len(spcli("projects", "list", "--json").json) == 50
    assert len(server.ledger) == 2


@pytest.mark.parametrize(("generation", "shown"), [("paged", "REGION"), ("status", "SUBSCRIPTION")])
def test_list_in_a_pipe_is_aligned_and_shows_only_columns_with_content(
    spcli: Front, service: Any, generation: str, shown: str
) -> None:
    service(generation=generation)
    listed = spcli("projects", "list", env={"COLUMNS": "20"})
    lines = listed.out.splitlines()
    assert lines[0].split() == ["ID", "NAME", "STATUS", shown]
    assert any(TOKYO.id in line and TOKYO.name in line for line in lines)
    assert "\x1b" not in listed.out


def test_list_quietly_prints_bare_ids(spcli: Front, service: Any) -> None:
    service()
    listed = spcli("projects", "list", "-q")
    assert listed.out.split() == [project.id for project in MAIN.projects]
    assert listed.err == ""


def test_key_is_sent_in_both_spellings_and_with_the_user_id(spcli: Front, service: Any) -> None:
    server = service()
    spcli("projects", "list")
    query = dict(server.requests[0].query)
    assert (query["userId"], query["apikey"], query["apiKey"]) == (MAIN.user_id, MAIN.api_key, MAIN.api_key)


@pytest.mark.parametrize("named", [SHOWROOM.id, "Showroom Demo", "showroom demo", "show", SHOWROOM.id.upper()])
def test_show_takes_id_name_any_case_and_prefix(spcli: Front, service: Any, named: str) -> None:
    service(project=None)
    shown = spcli("projects", "show", named, "--json")
    assert shown.code == 0, shown
    assert shown.json["id"] == SHOWROOM.id
    assert (shown.json["liveUsers"], shown.json["queuedUsers"]) == (7, 2)
    assert shown.json["shareUrl"] == f"https://share.streampixel.io/{SHOWROOM.id}"


def test_an_ambiguous_prefix_names_the_candidates(spcli: Front, service: Any) -> None:
    service(project=None)
    shown = spcli("projects", "show", "configurator", "--json")
    assert (shown.code, shown.error["kind"], shown.out) == (13, "no-target", "")
    assert CONFIGURATOR_EU.id in shown.error["hint"]
    assert "Configurator APAC" in shown.error["hint"]
    assert shown.error["message"] == "'configurator' matches 2 projects"


def test_an_unknown_name_is_no_target_and_lists_what_there_is(spcli: Front, service: Any) -> None:
    service(project=None)
    shown = spcli("projects", "show", "nosuch")
    assert shown.code == 13
    assert SHOWROOM.name in shown.err


def test_an_id_is_not_looked_up(spcli: Front, service: Any) -> None:
    server = service(project=None)
    spcli("projects", "show", SHOWROOM.id)
    assert [record.path for record in server.requests] == [f"/projects/{SHOWROOM.id}"]


def test_the_only_project_of_an_account_needs_no_name(spcli: Front, service: Any) -> None:
    service(project=None)
    shown = spcli("projects", "show", "--json", env={"STREAMPIXEL_API_KEY": OTHER.api_key, "STREAMPIXEL_USER_ID": OTHER.user_id})
    assert shown.json["id"] == OTHER.projects[0].id


def test_several_projects_and_none_named_is_no_target(spcli: Front, service: Any) -> None:
    service(project=None)
    shown = spcli("projects", "show")
    assert shown.code == 13
    assert "spcli projects use" in shown.err


def test_show_in_the_newest_generation_has_the_fields_of_the_list(spcli: Front, service: Any) -> None:
    service(generation="status")
    shown = spcli("projects", "show", "--json")
    assert shown.code == 0, shown
    assert (shown.json["name"], shown.json["builds"], shown.json["liveUsers"]) == (SHOWROOM.name, None, 7)


def test_show_where_a_project_has_no_page_takes_what_other_endpoints_tell(spcli: Front, service: Any) -> None:
    service(faults=("project:405x*",))
    shown = spcli("projects", "show", "--json")
    assert (shown.json["name"], shown.json["liveUsers"], shown.json["queuedUsers"]) == (SHOWROOM.name, 7, 2)


@pytest.mark.parametrize("fault", ["stats:500x*", "stats:404x*"])
def test_show_works_without_user_counts(spcli: Front, service: Any, fault: str) -> None:
    service(generation="status", faults=(fault,))
    shown = spcli("projects", "show", "--json")
    assert shown.code == 0, shown
    assert (shown.json["name"], shown.json["liveUsers"]) == (SHOWROOM.name, None)
    assert ("note: some details could not be read" in shown.err) == (fault == "stats:500x*")


def test_a_wrong_id_is_the_servers_404_and_not_a_missing_endpoint(spcli: Front, service: Any) -> None:
    service(generation="status")
    shown = spcli("projects", "show", "0" * 24, "--json")
    assert (shown.code, shown.error["kind"], shown.error["status"]) == (44, "http-404", 404)


def test_another_accounts_project_is_the_servers_word(spcli: Front, service: Any) -> None:
    service()
    shown = spcli("projects", "show", OTHER.projects[0].id)
    assert shown.code == 43
    assert shown.err.startswith("Forbidden: project does not belong to this user\n")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_stats_counts_users_in_both_generations(spcli: Front, service: Any, generation: str) -> None:
    service(generation=generation)
    stats = spcli("projects", "stats", "--json").json
    assert {key: stats[key] for key in ("projectId", "liveUsers", "queuedUsers")} == {
        "projectId": SHOWROOM.id,
        "liveUsers": 7,
        "queuedUsers": 2,
    }
    assert stats["at"].endswith("Z")


def test_stats_fall_back_to_the_projects_own_counts(spcli: Front, service: Any) -> None:
    server = service(faults=("stats:404x*",))
    assert spcli("projects", "stats", "--json").json["liveUsers"] == 7
    assert [record.path.split("/")[2] for record in server.requests] == ["userStats", SHOWROOM.id]


@pytest.mark.parametrize("words", [[], ["--watch"]])
def test_stats_without_any_source_is_unreadable(spcli: Front, words: list[str]) -> None:
    def handler(request: Any) -> Any:
        return answer(404, {"message": "no such route"}) if "userStats" in request.path else answer(200, {"name": "Showroom"})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        stats = spcli("projects", "stats", "--json", *words)
    assert (stats.code, stats.out, stats.error["kind"]) == (17, "", "unreadable")
    assert f"https://dashboard.streampixel.io/projectdetail/{SHOWROOM.id}" in stats.error["hint"]


@pytest.mark.parametrize(("words", "kinds"), [([], []), (["--json"], ["interrupted"])])
def test_watch_of_stats_ends_by_ctrl_c_without_a_message(spcli: Front, service: Any, words: list[str], kinds: list[str]) -> None:
    class Stopped(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            raise Interrupted(130)

    service()
    spcli.clock = Stopped()
    watched = spcli("projects", "stats", "--watch", *words)
    assert (watched.code, len(watched.out.splitlines())) == (130, 1)
    assert [json.loads(line)["error"]["kind"] for line in watched.err.splitlines()[-1:]] == kinds


def test_stats_with_one_of_two_counts_shows_it(spcli: Front) -> None:
    with FaultServer([answer(200, {"liveUser": 3})]) as server:
        spcli.use(server.url)
        stats = spcli("projects", "stats", "-q")
    assert (stats.code, stats.out) == (0, "live 3  queued unknown\n")


def test_use_remembers_the_project_in_the_profile(spcli: Front, service: Any) -> None:
    service(project=None)
    used = spcli("projects", "use", "show")
    assert used.code == 0, used
    assert spcli("config", "get", "project", "-q").out.strip() == SHOWROOM.id
    assert spcli("projects", "show", "--json").json["id"] == SHOWROOM.id


@pytest.mark.parametrize(
    "page",
    [
        f"https://dashboard.streampixel.io/projectdetail/{TOKYO.id}",
        f"https://dashboard.streampixel.io/projectdetail/{TOKYO.id}/builds?tab=1#top",
        f"https://share.streampixel.io/{TOKYO.id.upper()}?resolution=1080p",
        f"share.streampixel.io/{TOKYO.id}/",
    ],
)
def test_the_url_of_a_projects_page_stands_for_its_id(spcli: Front, service: Any, page: str) -> None:
    server = service(project=None)
    assert spcli("projects", "use", page, "--json").json["project"] == TOKYO.id
    assert server.requests == []
    for words, env in ((["-p", page], {}), ([page], {}), ([], {"STREAMPIXEL_PROJECT_ID": page})):
        assert spcli("projects", "show", *words, "--json", env=env).json["id"] == TOKYO.id
    assert spcli("webhooks", "send", "build.approved", "--to", "http://127.0.0.1:1/", "-p", page).code == 16
    assert not [record for record in server.requests if record.path == "/projects"]


@pytest.mark.parametrize(
    "page", [f"https://example.com/{TOKYO.id}", "https://share.streampixel.io/", f"https://share.streampixel.io/x/{TOKYO.id}"]
)
def test_another_url_is_not_a_project(spcli: Front, service: Any, page: str) -> None:
    service(project=None)
    assert spcli("projects", "show", page, "--json").error["kind"] == "no-target"


def test_project_named_twice_differently_is_a_usage_error(spcli: Front, service: Any) -> None:
    server = service()
    assert spcli("projects", "show", SHOWROOM.id, "-p", TOKYO.id).code == 2
    assert server.requests == []


def offered(spcli: Front) -> list[str]:
    """The names that TAB offers for a project."""
    pressed = {"_SPCLI_COMPLETE": "complete_fish", "COMP_WORDS": "spcli\nupload\n-p\n", "COMP_CWORD": "3"}
    words = (completion.answer({**spcli.environ, **pressed}) or "").splitlines()[1:]
    return [word.partition("\t")[0] for word in words if len(word.partition("\t")[0]) != 24]


def test_tab_offers_the_projects_of_the_last_list_and_no_others(spcli: Front, service: Any) -> None:
    server = service()
    spcli("projects", "list")
    assert offered(spcli) == [project.name for project in MAIN.projects]
    rest = tuple(project for project in MAIN.projects if project != TOKYO)
    renamed = tuple(project._replace(name="Showroom 2") if project == SHOWROOM else project for project in rest)
    for projects in (rest, renamed):
        server.world.accounts = (MAIN._replace(projects=projects), *server.world.accounts[1:])
        spcli("projects", "list")
        assert offered(spcli) == [project.name for project in projects]


def test_a_list_that_is_known_already_writes_nothing(spcli: Front, service: Any) -> None:
    service()
    database = spcli.home / "state" / "state.db"
    spcli("projects", "list")
    written, at = database.read_bytes(), database.stat().st_mtime_ns
    spcli("projects", "list")
    assert (database.read_bytes(), database.stat().st_mtime_ns) == (written, at)
