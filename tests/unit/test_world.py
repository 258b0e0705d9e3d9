"""The sandbox's world: the documented answers of a Streampixel, at chosen times."""

import json
import re

import pytest

from spcli.sandbox import builds, seeds
from spcli.sandbox.request import Request
from spcli.sandbox.seeds import (
    CONFIGURATOR_APAC,
    INACTIVE,
    MAIN,
    OTHER,
    SHOWROOM,
    SHOWROOM_NEW,
    SHOWROOM_OLD,
    SHOWROOM_REJECTED,
    SOLO,
    SOLO_NEW,
    TOKYO,
)
from spcli.sandbox.world import Ping, World

NOW = 1_750_000_000.0
URL = "https://files.example.com/Game-1.zip"
JSON = "application/json"


def post(world, path, now=NOW, *, content_type=JSON, **fields):
    return world.handle(Request("POST", path, (), content_type, json.dumps(fields).encode()), now)


def get(world, path, now=NOW, **query):
    return world.handle(Request("GET", path, tuple(query.items())), now)


def upload(world, now=NOW, **changes):
    fields = {"apiKey": MAIN.api_key, "userId": MAIN.user_id, "projectId": SHOWROOM.id, "fileUrl": URL, **changes}
    return post(world, "/projects/upload-file", now, **fields)


def distribute(world, now=NOW, **changes):
    fields = {"apiKey": MAIN.api_key, "userId": MAIN.user_id, "projectId": SHOWROOM.id, "uploadId": SHOWROOM_NEW, **changes}
    return post(world, "/projects/distribute-file", now, **fields)


def files(world, now=NOW, project=SHOWROOM):
    return get(world, f"/projects/{project.id}", now, userId=MAIN.user_id)[1]["files"]


def walk(world, upload_id, seconds, start=NOW):
    return [world.status_of(upload_id, start + second) for second in seconds]


def test_constants_of_seed_1_never_change():
    assert (MAIN.user_id, MAIN.api_key) == ("64bb5a80c0cac31f77000001", "sandbox-main-bade7a0d995aa43d82782c85b29e7897")
    assert (OTHER.user_id, OTHER.api_key) == ("64bb5a80c0cac31f77000002", "sandbox-other-87aa49cd690d9cb29eeb5dd6eadb1214")
    assert [project.id for project in MAIN.projects] == [
        "64bb5a80c0cac31f77000100",
        "64bcac00c0cac31f77000101",
        "64bdfd80c0cac31f77000102",
        "64bf4f00c0cac31f77000103",
        "64c0a080c0cac31f77000104",
    ]


def test_another_seed_has_other_keys_users_and_projects():
    one, two = (
        {value for account in seeds.accounts(seed) for value in (account.user_id, account.api_key, account.projects[0].id)}
        for seed in (1, 2)
    )
    assert len(one) == len(two) == 6
    assert not one & two


def test_ids_are_24_lower_case_hex_digits_and_unique():
    ids = [account.user_id for account in seeds.accounts(1)]
    ids += [project.id for account in seeds.accounts(1) for project in account.projects]
    ids += [build.id for build in seeds.history(1)]
    assert len(ids) == len(set(ids)) == 2 + 6 + 9
    assert all(re.fullmatch("[0-9a-f]{24}", each) for each in ids)


def test_upload_id_begins_with_its_time():
    status, payload = upload(World(), NOW)
    assert (status, payload["message"]) == (201, "Build queued for processing")
    assert payload["uploadId"].startswith(f"{int(NOW):08x}")
    assert len(payload["uploadId"]) == 24


def test_upload_is_200_in_the_status_generation():
    assert upload(World(generation="status"))[0] == 200


def test_two_uploads_in_one_second_get_two_ids():
    world = World(window=0)
    first, second = (upload(world, NOW)[1]["uploadId"] for _ in range(2))
    assert first != second
    assert [file["_id"] for file in files(world)[:2]] == [second, first]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"content_type": None}, 415, "Content-Type must be application/json"),
        ({"content_type": "text/plain"}, 415, "Content-Type must be application/json"),
        ({"fileUrl": None}, 400, "Missing required field: fileUrl"),
        ({"fileUrl": ""}, 400, "Missing required field: fileUrl"),
        ({"projectId": 7}, 400, "Invalid field: projectId must be a string"),
        ({"autoRelease": "yes"}, 400, "Invalid field: autoRelease must be a boolean"),
        ({"fileUrl": "ftp://example.com/a.zip"}, 400, "Invalid fileUrl: must be a public direct download link"),
        ({"fileUrl": "https://example.com/a.html"}, 400, "Invalid fileUrl: must be a public direct download link"),
        ({"fileUrl": "https://[/a.zip"}, 400, "Invalid fileUrl: must be a public direct download link"),
        ({"userId": "0" * 24}, 401, "Invalid User"),
        ({"apiKey": "wrong"}, 401, "Unauthorized: Invalid API Key"),
        ({"apiKey": None}, 401, "Unauthorized: Invalid API Key"),
        ({"apiKey": OTHER.api_key}, 401, "Unauthorized: Invalid API Key"),
        ({"projectId": "0" * 24}, 404, "Project not found"),
        ({"projectId": SOLO.id}, 403, "Forbidden: project does not belong to this user"),
    ],
)
def test_upload_is_refused_with_the_documented_message(changes, status, message):
    world = World()
    assert upload(world, **changes) == (status, {"message": message})
    assert len(world.builds_of(SHOWROOM.id)) == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
def test_body_that_is_not_a_json_object_is_a_400(body):
    status, payload = World().handle(Request("POST", "/projects/upload-file", (), JSON, body), NOW)
    assert status == 400
    assert isinstance(payload["message"], str)


def test_content_type_with_a_charset_is_json():
    assert upload(World(), content_type="Application/JSON; charset=utf-8")[0] == 201


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"uploadId": None}, 400, "Missing required field: uploadId"),
        ({"projectId": "0" * 24}, 404, "Project not found"),
        ({"projectId": SOLO.id, "uploadId": SOLO_NEW}, 403, "Forbidden: project does not belong to this user"),
        ({"projectId": INACTIVE.id}, 403, "Access denied"),
        ({"uploadId": "0" * 24}, 404, "File not found in project"),
        ({"projectId": TOKYO.id}, 404, "File not found in project"),
        ({"uploadId": SHOWROOM_REJECTED}, 400, "File has no URL yet"),
    ],
)
def test_distribute_is_refused_with_the_documented_message(changes, status, message):
    assert distribute(World(), **changes) == (status, {"message": message})


def test_distribute_answers_four_fields_in_the_paged_generation_and_one_in_the_newest():
    region_and_more = {"success": True, "uploadId": SHOWROOM_NEW, "region": "US-East-1"}
    assert distribute(World()) == (200, {**region_and_more, "message": "File distribution triggered successfully"})
    assert distribute(World(generation="status")) == (200, {"message": "Distribution triggered"})


def test_build_that_is_being_processed_cannot_be_distributed():
    world = World(stage=2)
    upload_id = upload(world)[1]["uploadId"]
    assert distribute(world, NOW + 1, uploadId=upload_id) == (400, {"message": "File has no URL yet"})


def test_auto_released_build_passes_the_states_in_order():
    world = World(stage=2)
    upload_id = upload(world, NOW)[1]["uploadId"]
    seen = walk(world, upload_id, [0, 0.49, 0.5, 2.49, 2.5, 4.5, 6.5, 8.49, 8.5, 1e6])
    assert seen == [
        "pending",
        "pending",
        "Downloading Files",
        "Downloading Files",
        "Extracting & Scanning",
        "Saving to Repository",
        "Distribute",
        "Distribute",
        "Approved",
        "Approved",
    ]


def test_build_without_auto_release_is_approved_and_not_distributed():
    world = World(stage=2)
    upload_id = upload(world, NOW, autoRelease=False)[1]["uploadId"]
    assert walk(world, upload_id, [4.5, 6.5, 100]) == ["Saving to Repository", "Approved", "Approved"]


def test_old_approved_stays_for_a_moment_after_distribute():
    world = World(stage=2)
    distribute(world, NOW)
    assert walk(world, SHOWROOM_NEW, [0, 0.49, 0.5, 2.49, 2.5]) == [
        "Approved",
        "Approved",
        "Distribute",
        "Distribute",
        "Approved",
    ]


def test_second_distribute_restarts_the_first():
    world = World(stage=2, window=0)
    distribute(world, NOW)
    distribute(world, NOW + 1)
    assert walk(world, SHOWROOM_NEW, [1.4, 2.5, 3.4, 3.5]) == ["Distribute", "Distribute", "Distribute", "Approved"]
    assert [event["event"] for event in world.due_events(NOW + 100)] == [
        "build.distributing",
        "build.distributing",
        "build.approved",
    ]


def test_zip_with_a_matching_name_is_rejected_with_an_objection():
    world = World(stage=2, reject="*Broken.zip", window=0)
    bad = upload(world, NOW, fileUrl="https://files.example.com/Game-%62roken.zip?sig=1")[1]["uploadId"]
    good = upload(world, NOW, fileUrl="https://broken.example.com/Game.zip")[1]["uploadId"]
    assert walk(world, bad, [2.5, 4.49, 4.5, 100]) == ["Extracting & Scanning", "Extracting & Scanning", "Reject", "Reject"]
    assert walk(world, good, [100]) == ["Approved"]
    listed = {file["_id"]: file for file in files(world, NOW + 100)}
    assert listed[bad]["objection"] == builds.OBJECTION
    assert listed[good]["objection"] is None
    assert {file["_id"]: file["objection"] for file in files(world, NOW + 1)}[bad] is None


def test_second_upload_within_the_window_is_a_429():
    world = World(window=5)
    assert upload(world, NOW)[0] == 201
    assert upload(world, NOW + 4.99) == (429, {"message": "Rate limit exceeded. Try again in 5 seconds."})
    assert upload(world, NOW + 5)[0] == 201


def test_429_does_not_prolong_the_window():
    world = World(window=5)
    upload(world, NOW)
    upload(world, NOW + 4)
    assert world.seconds_left(MAIN.user_id, "upload", NOW + 4) == 1
    assert upload(world, NOW + 5)[0] == 201


@pytest.mark.parametrize(
    ("window", "words"),
    [(120, "2 minutes"), (60, "1 minute"), (90, "90 seconds"), (1, "1 second"), (0.3, "1 second"), (5.2, "6 seconds")],
)
def test_429_states_the_window_in_whole_seconds_or_minutes(window, words):
    assert World(window=window).limit_message() == f"Rate limit exceeded. Try again in {words}."


def test_each_user_and_endpoint_has_its_own_window():
    world = World()
    mine = {"userId": OTHER.user_id, "apiKey": OTHER.api_key, "projectId": SOLO.id}
    assert upload(world)[0] == 201
    assert distribute(world)[0] == 200
    assert upload(world, **mine)[0] == 201
    assert [upload(world)[0], distribute(world)[0], upload(world, **mine)[0]] == [429] * 3


def test_only_calls_with_valid_credentials_close_the_window():
    world = World()
    upload(world, fileUrl="")
    upload(world, apiKey="wrong")
    assert world.seconds_left(MAIN.user_id, "upload", NOW) == 0
    assert upload(world, projectId="0" * 24)[0] == 404
    assert world.seconds_left(MAIN.user_id, "upload", NOW) == 5


def test_window_of_zero_never_limits():
    world = World(window=0)
    assert [upload(world)[0] for _ in range(3)] == [201] * 3


def test_project_list_has_pages():
    world = World()
    status, first = get(world, "/projects", userId=MAIN.user_id, limit="2")
    assert (status, first["page"], first["totalPages"], first["totalProjects"]) == (200, 1, 3, 5)
    pages = [first, *(get(world, "/projects", userId=MAIN.user_id, limit="2", page=str(page))[1] for page in (2, 3, 4))]
    assert [[item["name"] for item in page["projects"]] for page in pages] == [
        ["Showroom Demo", "Configurator EU"],
        ["Configurator APAC", "東京ショールーム"],
        ["Trade Fair 2023"],
        [],
    ]


def test_listed_project_has_the_documented_fields():
    item = get(World(), "/projects", userId=MAIN.user_id)[1]["projects"][0]
    assert item == {
        "id": SHOWROOM.id,
        "name": "Showroom Demo",
        "region": "US-East-1",
        "status": "active",
        "createdAt": "2023-07-22T04:26:40.000Z",
        "updatedAt": "2023-08-08T04:26:40.000Z",
    }


def test_page_size_is_limited_and_bad_paging_is_ignored():
    world = World()
    world.max_limit = 3
    assert len(get(world, "/projects", userId=MAIN.user_id, limit="50")[1]["projects"]) == 3
    assert get(world, "/projects", userId=MAIN.user_id, limit="0", page="-1")[1]["totalPages"] == 5


def test_other_account_has_exactly_one_project():
    assert get(World(), "/projects", userId=OTHER.user_id)[1]["totalProjects"] == 1


def test_newest_project_list_has_boolean_states_and_no_pages():
    query = {"userId": MAIN.user_id, "apikey": MAIN.api_key}
    status, payload = get(World(generation="status"), "/projects/projects-status", **query)
    assert (status, payload["totalProjects"], set(payload)) == (200, 5, {"totalProjects", "projects"})
    assert payload["projects"][0] == {"_id": SHOWROOM.id, "name": "Showroom Demo", "status": True, "subscriptionStatus": "active"}
    assert payload["projects"][4]["status"] is False


def test_project_has_its_build_history_newest_first():
    status, payload = get(World(), f"/projects/{SHOWROOM.id}", userId=MAIN.user_id)
    assert status == 200
    assert [file["_id"] for file in payload["files"]] == [SHOWROOM_NEW, SHOWROOM_REJECTED, SHOWROOM_OLD]
    assert [file["status"] for file in payload["files"]] == ["Approved", "Reject", "Approved"]
    assert payload["files"][0] == {
        "_id": SHOWROOM_NEW,
        "url": "https://builds.example.com/Showroom-1.1.0.zip",
        "status": "Approved",
        "date": "2023-08-08T04:26:40.000Z",
        "objection": None,
    }
    assert (payload["liveUsers"], payload["usersInQueue"], payload["customDomain"]) == (7, 2, "showroom.example.com")
    assert files(World(), project=CONFIGURATOR_APAC) == []


@pytest.mark.parametrize("path", ["/projects", f"/projects/{SHOWROOM.id}", f"/projects/liveStats/{SHOWROOM.id}"])
def test_older_read_needs_no_key_but_checks_a_given_one(path):
    world = World()
    assert get(world, path)[0] == 400
    assert get(world, path, userId=MAIN.user_id)[0] == 200
    assert get(world, path, userId=MAIN.user_id, apikey=MAIN.api_key, apiKey=MAIN.api_key)[0] == 200
    assert get(world, path, userId="0" * 24) == (401, {"message": "Invalid User"})
    for spelling in ("apikey", "apiKey"):
        refused = get(world, path, userId=MAIN.user_id, **{spelling: "wrong"})
        assert refused == (401, {"message": "Unauthorized: Invalid API Key"})


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("/projects/projects-status", "userId and apikey are required"),
        (f"/projects/userStats/{SHOWROOM.id}", "projectId, userId and apikey are required"),
    ],
)
def test_newer_read_needs_the_key_in_lower_case(path, complaint):
    world = World(generation="status")
    assert get(world, path, userId=MAIN.user_id, apiKey=MAIN.api_key) == (400, {"message": complaint})
    assert get(world, path, apikey=MAIN.api_key) == (400, {"message": complaint})
    assert get(world, path, userId="0" * 24, apikey=MAIN.api_key) == (401, {"message": "Invalid User"})
    assert get(world, path, userId=MAIN.user_id, apikey="wrong") == (401, {"message": "Unauthorized: Invalid API Key"})
    assert get(world, path, userId=MAIN.user_id, apikey=MAIN.api_key)[0] == 200


@pytest.mark.parametrize("generation", ["paged", "status"])
def test_user_stats_exist_in_both_generations(generation):
    world = World(generation=generation)
    query = {"userId": MAIN.user_id, "apikey": MAIN.api_key}
    assert get(world, f"/projects/userStats/{SHOWROOM.id}", **query) == (200, {"liveUser": 7, "queueUser": 2})
    assert get(world, f"/projects/userStats/{SOLO.id}", **query) == (403, {"message": "Access denied"})
    assert get(world, f"/projects/userStats/{'0' * 24}", **query) == (404, {"message": "Project not found"})


def test_foreign_project_is_forbidden_and_an_unknown_one_not_found():
    world = World()
    forbidden = (403, {"message": "Forbidden: project does not belong to this user"})
    assert get(world, f"/projects/{SOLO.id}", userId=MAIN.user_id) == forbidden
    assert get(world, "/projects/nonsense", userId=MAIN.user_id) == (404, {"message": "Project not found"})


@pytest.mark.parametrize(
    ("generation", "method", "path"),
    [
        ("paged", "GET", "/projects/projects-status"),
        ("paged", "DELETE", f"/projects/{SHOWROOM.id}"),
        ("paged", "GET", "/project/upload-file"),
        ("paged", "POST", "/project/upload-file"),
        ("paged", "GET", ""),
        ("status", "GET", "/projects"),
        ("status", "GET", f"/projects/{SHOWROOM.id}"),
        ("status", "GET", f"/projects/liveStats/{SHOWROOM.id}"),
        ("status", "POST", "/projects/test-webhook"),
    ],
)
def test_missing_route_is_a_404_with_another_message(generation, method, path):
    query = (("userId", MAIN.user_id), ("apikey", MAIN.api_key))
    assert World(generation=generation).handle(Request(method, path, query, JSON, b"{}"), NOW) == (404, {"message": "Not found"})


def test_each_change_of_a_build_is_one_event_with_the_documented_payload():
    world = World(stage=2)
    assert world.due_events(NOW) == []
    upload_id = upload(world, NOW)[1]["uploadId"]
    first = world.due_events(NOW)
    assert first == [
        {
            "event": "build.uploaded",
            "projectId": SHOWROOM.id,
            "uploadId": upload_id,
            "fileUrl": URL,
            "status": "pending",
            "objection": None,
            "timestamp": "2025-06-15T15:06:40.000Z",
        }
    ]
    assert world.due_events(NOW) == []
    later = world.due_events(NOW + 100)
    names = ["build.downloading", "build.extracting", "build.saving", "build.distributing", "build.approved"]
    assert [event["event"] for event in later] == names
    assert later[-1]["timestamp"] == "2025-06-15T15:06:48.500Z"
    assert world.due_events(NOW + 1000) == []


def test_release_fires_distributing_and_approved_again():
    world = World(stage=2)
    distribute(world, NOW)
    assert [event["event"] for event in world.due_events(NOW + 100)] == ["build.distributing", "build.approved"]


def test_rejection_is_the_last_event_and_has_the_objection():
    world = World(stage=2, reject="*.zip")
    upload(world, NOW)
    last = world.due_events(NOW + 100)[-1]
    assert (last["event"], last["status"], last["objection"]) == ("build.rejected", "Reject", builds.OBJECTION)


def test_events_of_several_builds_are_ordered_by_time():
    world = World(stage=2, window=0)
    upload(world, NOW)
    upload(world, NOW + 1)
    stamps = [event["timestamp"] for event in world.due_events(NOW + 100)]
    assert len(stamps) == 12
    assert stamps == sorted(stamps)


def test_test_webhook_needs_a_saved_url_and_asks_for_one_delivery():
    world = World()
    fields = {"apiKey": MAIN.api_key, "userId": MAIN.user_id, "projectId": SHOWROOM.id}
    assert post(world, "/projects/test-webhook", **fields) == (404, {"message": "No webhook URL configured"})
    world.webhook_url = "http://127.0.0.1:9/hook"
    assert post(world, "/projects/test-webhook", **{**fields, "apiKey": "wrong"}) == (401, {"message": "Unauthorized"})
    status, event = post(world, "/projects/test-webhook", **fields)
    assert (status, type(event), event["event"], event["uploadId"]) == (200, Ping, "webhook.test", None)


@pytest.mark.parametrize(
    ("status", "success", "message"),
    [
        (204, True, "Test webhook delivered"),
        (502, False, "Webhook endpoint returned non-2xx status"),
        (0, False, "Webhook endpoint could not be reached"),
    ],
)
def test_ping_report_has_the_receivers_status(status, success, message):
    assert World().ping_report(status) == {"success": success, "message": message, "statusCode": status}


@pytest.mark.parametrize("bad", [{"generation": "m2"}, {"window": -1}, {"stage": float("nan")}, {"window": float("inf")}])
def test_invalid_world_is_refused(bad):
    with pytest.raises(ValueError, match=r"generation|seconds"):
        World(**bad)


def test_stage_of_zero_is_approved_at_once():
    world = World(stage=0)
    assert world.status_of(upload(world)[1]["uploadId"], NOW) == "Approved"
    assert len(world.due_events(NOW)) == 6
