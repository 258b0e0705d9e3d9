"""`spcli limits`: this machine's record of the windows."""

from typing import Any

import pytest

from tests.front import Front, uploads

URL = "https://builds.example.com/Game.zip"


def test_untouched_windows_are_open(spcli: Front, service: Any) -> None:
    server = service()
    assert spcli("limits", "--json").json == [
        {"endpoint": "upload", "allowedAt": None, "secondsLeft": 0, "queued": 0, "lastCallAt": None},
        {"endpoint": "distribute", "allowedAt": None, "secondsLeft": 0, "queued": 0, "lastCallAt": None},
    ]
    assert server.requests == []


def test_an_upload_closes_its_window_and_not_the_other(spcli: Front, service: Any, clock: Any) -> None:
    service()
    spcli("upload", URL)
    clock.sleep(20)
    upload, distribute = spcli("limits", "--json").json
    assert upload["secondsLeft"] == 100
    assert upload["allowedAt"] > upload["lastCallAt"]
    assert distribute["secondsLeft"] == 0
    text = spcli("limits").out
    assert "in 1m40s, at " in text
    assert spcli("limits", "-q").out == "upload 100\ndistribute 0\n"


def test_windows_belong_to_an_account(spcli: Front, service: Any) -> None:
    service()
    spcli("upload", URL)
    other = spcli("limits", "--json", env={"STREAMPIXEL_USER_ID": "0" * 24})
    assert [row["secondsLeft"] for row in other.json] == [0, 0]


def test_reset_without_a_terminal_needs_yes(spcli: Front, service: Any) -> None:
    service()
    spcli("upload", URL)
    refused = spcli("limits", "--reset", "--json")
    assert (refused.code, refused.error["kind"], refused.out) == (15, "unconfirmed", "")
    assert "--yes" in refused.error["hint"]
    assert spcli("limits", "--json").json[0]["secondsLeft"] == 120


def test_reset_opens_the_window_for_the_next_call(spcli: Front, service: Any, clock: Any) -> None:
    server = service()
    spcli("upload", URL)
    clock.sleep(130)  # the service's own window: only ours is forgotten
    spcli("upload", URL)
    clock.sleep(130)
    assert spcli("limits", "--reset", "-y", "--json").json[0]["secondsLeft"] == 0
    assert spcli("upload", URL, "--on-limit", "fail").code == 0
    assert len(uploads(server)) == 3


@pytest.mark.parametrize("words", [("--yes", "extra"), ("--rest",), ("--reset=1",)])
def test_wrong_arguments_change_nothing(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    service()
    assert spcli("limits", *words).code == 2


def test_limits_need_no_key_but_a_user_id(spcli: Front) -> None:
    assert spcli("limits", env={"STREAMPIXEL_USER_ID": "u1"}).code == 0
    assert spcli("limits").code == 3
