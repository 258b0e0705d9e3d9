"""`spcli auth`: credentials in, checked, and forgotten."""

import os
import stat
import sys
import tomllib
from typing import Any

import pytest

from spcli.sandbox.seeds import MAIN, SHOWROOM
from tests.front import Front

NEW_KEY = "fresh-key-0123456789abcdef"
NOT_ELSEWHERE = {"STREAMPIXEL_API_KEY": "", "STREAMPIXEL_USER_ID": "", "STREAMPIXEL_PROJECT_ID": ""}


def login(spcli: Front, *words: str, key: bytes = MAIN.api_key.encode(), env: dict[str, str] | None = None) -> Any:
    return spcli(
        "auth", "login", "--user-id", MAIN.user_id, "--key-stdin", *words, stdin=key, env={**NOT_ELSEWHERE, **(env or {})}
    )


def stored(spcli: Front) -> dict[str, Any]:
    return tomllib.loads((spcli.home / "config.toml").read_text())


@pytest.mark.parametrize("generation", ["paged", "status"])
def test_login_verifies_with_one_read_and_stores_the_credentials(spcli: Front, service: Any, generation: str) -> None:
    server = service(generation=generation)
    found = login(spcli, "--json")
    assert found.code == 0, found
    assert found.json["verified"] is True
    assert [record.status for record in server.requests][-1] == 200
    assert stored(spcli)["profiles"]["default"]["api_key"] == MAIN.api_key
    listed = spcli("projects", "list", "-q", env=NOT_ELSEWHERE | {"STREAMPIXEL_BASE_URL": ""})
    assert SHOWROOM.id in listed.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps others out by access lists")
def test_the_stored_file_is_private_for_every_umask(spcli: Front, service: Any) -> None:
    service()
    before = os.umask(0)
    try:
        login(spcli)
    finally:
        os.umask(before)
    assert stat.S_IMODE((spcli.home / "config.toml").stat().st_mode) == 0o600


def test_login_refused_by_the_service_stores_nothing(spcli: Front, service: Any) -> None:
    service()
    found = login(spcli, "--json", key=NEW_KEY.encode())
    assert (found.code, found.error["kind"], found.error["message"]) == (41, "http-401", "Unauthorized: Invalid API Key")
    assert not (spcli.home / "config.toml").exists()


def test_no_verify_stores_without_a_request(spcli: Front, service: Any) -> None:
    server = service()
    found = login(spcli, "--no-verify", "--json", key=NEW_KEY.encode())
    assert (found.code, found.json["verified"], server.requests) == (0, None, [])
    assert stored(spcli)["profiles"]["default"]["api_key"] == NEW_KEY


@pytest.mark.parametrize("raw", [b"\xef\xbb\xbf%s\r\n", b"%s\n", b"%s\r", b"%s"])
def test_one_line_end_and_a_byte_order_mark_are_dropped(spcli: Front, service: Any, raw: bytes) -> None:
    service()
    assert login(spcli, key=raw % MAIN.api_key.encode()).code == 0
    assert stored(spcli)["profiles"]["default"]["api_key"] == MAIN.api_key


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (b"abc def-secret", "position 4"),
        (b" abcdef-secret", "position 1"),
        (b"abcdef-secret\n\n", "position 14"),
        (b"abc\x1bdef-secret", "position 4"),
        ("abc\u00a0def-secret".encode(), "position 4"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"\xff\x80secret", "UTF-8"),
        (b"secret" * 1000, "longer"),
    ],
)
def test_an_invalid_key_is_refused_with_the_position_and_not_shown(spcli: Front, service: Any, key: bytes, says: str) -> None:
    server = service()
    found = login(spcli, "--json", key=key)
    assert (found.code, found.error["kind"], found.out) == (3, "config", "")
    assert says in found.error["message"]
    assert "secret" not in found.err
    assert server.requests == []
    assert not (spcli.home / "config.toml").exists()


@pytest.mark.parametrize(
    "words", [(), ("--user-id", "u1"), ("--key-stdin",), ("--user-id", "u1", "--no-verify"), ("--key-stdin", "--json")]
)
def test_login_without_a_terminal_prints_the_command_to_run(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    found = spcli("auth", "login", *words, stdin=b"never-read-as-an-answer\n")
    assert (found.code, found.out) == (2, "")
    assert "| spcli auth login --user-id ID --key-stdin" in found.err.replace('\\"', '"')
    assert server.requests == []


@pytest.mark.parametrize("user_id", ["", " ", "a b", "a\x1bb"])
def test_an_invalid_user_id_is_a_usage_error(spcli: Front, service: Any, user_id: str) -> None:
    server = service()
    found = spcli("auth", "login", "--user-id", user_id, "--key-stdin", stdin=MAIN.api_key.encode())
    assert found.code == 2, found
    assert "user ID" in found.err
    assert server.requests == []


def test_login_creates_the_profile_and_binds_the_key_to_its_service(spcli: Front, service: Any) -> None:
    server = service()
    assert login(spcli, "--profile", "ci").code == 0
    assert stored(spcli)["profiles"]["ci"]["base_url"] == server.base_url
    elsewhere = spcli(
        "projects", "list", "--profile", "ci", "--json", env=NOT_ELSEWHERE | {"STREAMPIXEL_BASE_URL": "http://127.0.0.1:9"}
    )
    assert (elsewhere.code, elsewhere.error["kind"]) == (3, "config")
    assert "is not sent to" in elsewhere.error["message"]


def test_login_names_the_variables_that_override_the_profile(spcli: Front, service: Any) -> None:
    service()
    found = login(spcli, env={"STREAMPIXEL_USER_ID": MAIN.user_id})
    assert "STREAMPIXEL_USER_ID is set and overrides the profile" in found.err


def test_logout_deletes_the_credentials_and_keeps_the_rest(spcli: Front, service: Any) -> None:
    service()
    login(spcli)
    spcli("config", "set", "on_limit", "fail")
    gone = spcli("auth", "logout", "--json")
    assert gone.json == {"profile": "default", "removed": ["api_key", "user_id"]}
    assert stored(spcli)["profiles"]["default"]["on_limit"] == "fail"
    assert MAIN.api_key not in (spcli.home / "config.toml").read_text()
    assert spcli("auth", "logout", "--json").json["removed"] == []


def test_status_shows_every_source_and_verifies_the_key(spcli: Front, service: Any) -> None:
    service()
    found = spcli("auth", "status", "--json")
    assert found.json["verified"] is True
    assert found.json["sources"]["api_key"] == "environment STREAMPIXEL_API_KEY"
    assert spcli("auth", "status", "--no-verify", "--json").json["verified"] is None


def test_status_of_a_wrong_key_is_the_servers_message_with_a_hint(spcli: Front, service: Any) -> None:
    service()
    found = spcli("auth", "status", env={"STREAMPIXEL_API_KEY": NEW_KEY})
    assert found.code == 41
    lines = found.err.splitlines()
    assert lines[0] == "Unauthorized: Invalid API Key"
    assert "spcli auth login" in lines[1]
    assert NEW_KEY not in found.err


def test_missing_credentials_have_the_commands_to_run_as_a_hint(spcli: Front) -> None:
    for command in (["projects", "list"], ["auth", "status"], ["upload", "https://host/a.zip", "-p", "x"], ["limits"]):
        found = spcli(*command, "--json")
        assert (found.code, found.error["kind"], found.out) == (3, "config", ""), found
        assert "spcli auth login" in found.error["hint"]


def test_key_from_a_file_and_from_standard_input(spcli: Front, service: Any, tmp_path: Any) -> None:
    service()
    (tmp_path / "config.toml.key").write_bytes(b"x")
    key = tmp_path / "config.toml"  # the one file in which the standing check allows the key
    key.write_text(MAIN.api_key + "\n")
    env = {"STREAMPIXEL_API_KEY": "", "STREAMPIXEL_API_KEY_FILE": str(key), "SPCLI_CONFIG": str(tmp_path / "none.toml")}
    assert spcli("projects", "list", env=env).code == 0
    from_stdin = spcli("projects", "list", env=env | {"STREAMPIXEL_API_KEY_FILE": "-"}, stdin=MAIN.api_key.encode() + b"\n")
    assert from_stdin.code == 0
    key.unlink()
    missing = spcli("projects", "list", "--json", env=env)
    assert (missing.code, missing.error["kind"]) == (3, "config")
    assert "STREAMPIXEL_API_KEY_FILE" in missing.error["message"]


def test_both_key_variables_are_a_usage_error_with_the_command_to_run(spcli: Front, service: Any) -> None:
    server = service()
    found = spcli("projects", "list", "--json", env={"STREAMPIXEL_API_KEY_FILE": "/nowhere"})
    assert (found.code, found.error["kind"]) == (2, "usage")
    assert "unset STREAMPIXEL_API_KEY_FILE" in found.error["hint"]
    assert server.requests == []


def test_key_command_is_run_without_a_shell(spcli: Front, service: Any) -> None:
    service()
    program = f"import sys; print({MAIN.api_key!r}, end='')"
    config = spcli.home / "config.toml"
    from json import dumps

    config.write_text(
        f"[profiles.default]\nuser_id = {dumps(MAIN.user_id)}\nbase_url = {dumps(spcli.environ['STREAMPIXEL_BASE_URL'])}\n"
        f"api_key_command = [{dumps(sys.executable)}, '-c', {dumps(program)}]\n"
    )
    config.chmod(0o600)
    assert spcli("projects", "list", env=NOT_ELSEWHERE).code == 0


def test_a_failing_key_command_is_exit_3_without_its_arguments(spcli: Front, service: Any) -> None:
    server = service()
    from json import dumps

    config = spcli.home / "config.toml"
    config.write_text(
        f"[profiles.default]\nuser_id = 'u'\nbase_url = {dumps(server.base_url)}\n"
        f"api_key_command = [{dumps(sys.executable)}, '-c', 'import sys; sys.exit(7)  # token-5ec4e7']\n"
    )
    config.chmod(0o600)
    found = spcli("projects", "list", "--json", env=NOT_ELSEWHERE)
    assert (found.code, found.error["kind"]) == (3, "config")
    assert "exit code 7" in found.error["message"]
    assert "5ec4e7" not in found.err
    assert server.requests == []


QUOTED = '"sandbox-quoted-5ec4e7"'


@pytest.mark.parametrize("words", [["auth", "status"], ["projects", "list"], ["upload", "https://h/a.zip", "--no-check"]])
def test_a_refused_key_in_quotes_is_described_instead_of_asking_for_a_new_one(
    spcli: Front, service: Any, words: list[str]
) -> None:
    service()
    found = spcli(*words, "--json", env={"STREAMPIXEL_API_KEY": QUOTED})
    assert (found.code, found.error["kind"]) == (41, "http-401")
    assert found.error["hint"] == "the API key has quotes around it: remove the quotes"
    assert "5ec4e7" not in found.err


@pytest.mark.parametrize(("key", "message"), [(QUOTED.encode(), "has quotes around it"), (b"$(KEY)", "unexpanded $(\u2026)")])
def test_login_warns_about_a_key_that_does_not_look_like_one(spcli: Front, service: Any, key: bytes, message: str) -> None:
    service()
    stored = login(spcli, "--no-verify", key=key)
    assert stored.code == 0, stored
    assert "warning: the API key " in stored.err
    assert message in stored.err
    assert "5ec4e7" not in stored.out + stored.err
    assert login(spcli, key=key).code == 41


def test_doctor_describes_a_key_that_does_not_look_like_one(spcli: Front, service: Any) -> None:
    service()
    found = spcli("doctor", "--json", env={"STREAMPIXEL_API_KEY": QUOTED})
    checks = {check["name"]: check for check in found.json["checks"]}
    assert checks["credentials"]["level"] == "warn"
    assert "the key has quotes around it" in checks["credentials"]["message"]
    assert checks["access"]["hint"] == "the API key has quotes around it: remove the quotes"
    assert "5ec4e7" not in found.out + found.err
