"""`spcli config`: settings with their sources, and what a broken config file says."""

import sys
import tomllib
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM
from tests.front import Front

KEYS = [
    "api_key",
    "api_key_command",
    "user_id",
    "project",
    "base_url",
    "on_limit",
    "window",
    "default_profile",
    "config_file",
    "state_dir",
]
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")


def write(spcli: Front, text: str, mode: int = 0o600) -> None:
    path = spcli.home / "config.toml"
    path.write_text(text)
    path.chmod(mode)


def test_list_shows_each_setting_with_its_source(spcli: Front, service: Any) -> None:
    service()
    write(spcli, "[profiles.default]\non_limit = 'fail'\n")
    listed = {row["key"]: row for row in spcli("config", "list", "--json").json}
    assert list(listed) == KEYS
    assert listed["user_id"]["source"] == "environment STREAMPIXEL_USER_ID"
    assert listed["on_limit"]["value"] == "fail"
    assert str(spcli.home / "config.toml") in listed["on_limit"]["source"]
    assert listed["api_key_command"] == {"key": "api_key_command", "value": None, "source": "not set"}


def test_precedence_is_flag_environment_profile_default(spcli: Front) -> None:
    def source_of(*words: str, env: dict[str, str] | None = None) -> Any:
        return spcli("config", "get", "default_profile", *words, "-q", env=env).out.strip()

    write(spcli, "default_profile = 'filed'\n[profiles.filed]\n[profiles.flagged]\n[profiles.variable]\n")
    assert source_of() == "filed"
    assert source_of(env={"SPCLI_PROFILE": "variable"}) == "variable"
    assert source_of("--profile", "flagged", env={"SPCLI_PROFILE": "variable"}) == "flagged"
    assert source_of(env={"SPCLI_PROFILE": ""}) == "filed"


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_profile_option_works_before_and_after_the_command(spcli: Front, place: str) -> None:
    write(spcli, "[profiles.ci]\nproject = 'from-ci'\n")
    words = ["config", "get", "project", "-q"]
    found = spcli("--profile", "ci", *words) if place == "before" else spcli(*words, "--profile", "ci")
    assert found.out == "from-ci\n"


def test_the_key_is_shown_as_set_without_its_value(spcli: Front, service: Any) -> None:
    service()
    assert spcli("config", "get", "api_key").out == "**** (environment STREAMPIXEL_API_KEY)\n"
    assert spcli("config", "get", "api_key", "--json").json["value"] is None
    assert spcli("config", "get", "api_key", "-q").out == "****\n"


@pytest.mark.parametrize("key", ["project", "api_key"])
def test_get_of_an_unset_setting_is_exit_13_with_the_command_to_run(spcli: Front, key: str) -> None:
    found = spcli("config", "get", key, "--json")
    assert (found.code, found.error["kind"], found.out) == (13, "no-target", "")
    assert found.error["hint"].startswith("run spcli auth login" if key == "api_key" else "run spcli config set project")


def test_unknown_setting_suggests_the_nearest(spcli: Front) -> None:
    for command in (["get", "base-url"], ["set", "base-url", "x"], ["unset", "base-url"]):
        found = spcli("config", *command, "--json")
        assert (found.code, found.error["kind"]) == (2, "usage")
        assert "did you mean base_url?" in found.error["message"]


def test_set_then_get_then_unset(spcli: Front) -> None:
    stored = spcli("config", "set", "project", "Showroom Demo")
    assert (stored.code, stored.err) == (0, "note: the project was not looked up: verify it with `spcli projects show`\n")
    assert spcli("config", "set", "on_limit", "fail").err == ""
    assert spcli("config", "get", "project").out == "Showroom Demo\n"
    assert spcli("config", "unset", "project").code == 0
    assert spcli("config", "get", "project").code == 13


def test_quiet_set_prints_nothing(spcli: Front) -> None:
    found = spcli("config", "set", "project", "x", "-q")
    assert (found.code, found.out, found.err) == (0, "", "")


def test_an_api_key_in_argv_is_refused_and_not_shown(spcli: Front) -> None:
    found = spcli("config", "set", "api_key", "canary-5ec4e7-key", "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", "")
    assert "spcli auth login" in found.error["hint"]
    assert "5ec4e7" not in found.err
    assert not (spcli.home / "config.toml").exists()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("window", "abc", "seconds"),
        ("window", "0", "more than 0"),
        ("window", "nan", "seconds"),
        ("on_limit", "maybe", "wait or fail"),
        ("base_url", "http://api.example.com/x", "https"),
        ("base_url", "https://user:pw@host/x", "without user, password"),
        ("base_url", "host/x", "https://host/path"),
        ("project", "", "empty"),
        ("default_profile", "nosuch", "no profile nosuch"),
        ("state_dir", "/tmp/x", "SPCLI_STATE_DIR"),
        ("config_file", "/tmp/x", "SPCLI_CONFIG"),
        ("api_key_command", "'open", "quote"),
    ],
)
def test_an_invalid_value_is_a_usage_error_and_not_written(spcli: Front, key: str, value: str, says: str) -> None:
    found = spcli("config", "set", key, value, "--json")
    assert (found.code, found.error["kind"], found.out) == (2, "usage", ""), found
    assert says in found.error["message"] + (found.error["hint"] or "")
    assert "pw" not in found.err.replace("password", "")
    assert not (spcli.home / "config.toml").exists()


def test_several_words_are_a_command_line_for_the_key_command_only(spcli: Front) -> None:
    assert spcli("config", "set", "api_key_command", "pass", "show", "streampixel key").code == 0
    stored = tomllib.loads((spcli.home / "config.toml").read_text())
    assert stored["profiles"]["default"]["api_key_command"] == ["pass", "show", "streampixel key"]
    assert spcli("config", "set", "project", "a", "b").code == 2


def test_unknown_keys_survive_a_rewrite(spcli: Front) -> None:
    write(spcli, "future = 3\n[profiles.default]\nlater = 'kept'\n[profiles.other]\nproject = 'x'\n")
    spcli("config", "set", "on_limit", "fail")
    stored = tomllib.loads((spcli.home / "config.toml").read_text())
    assert stored == {"future": 3, "profiles": {"default": {"later": "kept", "on_limit": "fail"}, "other": {"project": "x"}}}


def test_broken_toml_is_exit_3_with_line_and_column_without_the_content(spcli: Front) -> None:
    write(spcli, "[profiles.default]\napi_key = canary-5ec4e7\n")
    for command in (["config", "list"], ["projects", "list"], ["config", "set", "project", "x"]):
        found = spcli(*command, "--json")
        assert (found.code, found.error["kind"], found.out) == (3, "config", "")
        assert "line 2, column " in found.error["message"]
        assert found.error["hint"]
        assert "5ec4e7" not in found.err


@posix
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_in_a_config_that_others_can_read_is_refused_with_a_chmod_hint(spcli: Front, service: Any, mode: int) -> None:
    server = service()
    write(spcli, f"[profiles.default]\nuser_id = 'u'\napi_key = 'k-12345'\nbase_url = '{server.base_url}'\n", mode)
    found = spcli("projects", "list", "--json", env={"STREAMPIXEL_API_KEY": ""})
    assert (found.code, found.error["kind"]) == (3, "config")
    assert found.error["hint"] == f"run chmod 600 {spcli.home / 'config.toml'}"
    assert server.requests == []
    assert spcli("config", "list").code == 0


def test_a_config_path_that_is_a_folder_is_exit_3_with_a_hint(spcli: Front) -> None:
    found = spcli("config", "list", "--json", env={"SPCLI_CONFIG": str(spcli.home)})
    assert (found.code, found.error["kind"]) == (3, "config")
    assert "is a folder" in found.error["message"]
    assert "SPCLI_CONFIG" in found.error["hint"]


def test_an_unknown_profile_lists_the_known_ones(spcli: Front) -> None:
    write(spcli, "[profiles.ci]\n[profiles.home]\n")
    found = spcli("projects", "list", "--profile", "cj", "--json")
    assert (found.code, found.error["kind"]) == (3, "config")
    assert "ci, home" in found.error["hint"]
    assert "spcli auth login --profile cj" in found.error["hint"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ü"])
def test_an_invalid_profile_name_is_a_usage_error(spcli: Front, name: str) -> None:
    assert spcli("--profile", name, "config", "list").code == 2


def test_profiles_marks_the_one_in_use(spcli: Front) -> None:
    write(spcli, "default_profile = 'home'\n[profiles.ci]\n[profiles.home]\n")
    assert spcli("config", "profiles", "--json").json == [{"name": "ci", "inUse": False}, {"name": "home", "inUse": True}]
    assert spcli("config", "profiles", "-q").out == "ci\nhome\n"


def test_path_is_printed_before_the_file_exists(spcli: Front) -> None:
    assert spcli("config", "path").out == f"{spcli.home / 'config.toml'}\n"
    assert spcli("config", "path", "--json").json == {"path": str(spcli.home / "config.toml")}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("STREAMPIXEL_BASE_URL", "http://api.example.com/x"),
        ("STREAMPIXEL_BASE_URL", "https://u:secret@host/"),
        ("STREAMPIXEL_PROJECT_ID", " "),
        ("SPCLI_ON_LIMIT", "perhaps"),
        ("SPCLI_WINDOW", "soon"),
    ],
)
def test_an_invalid_variable_is_exit_3_with_an_unset_hint(spcli: Front, service: Any, variable: str, value: str) -> None:
    server = service()
    found = spcli("upload", "https://host/Game.zip", "--json", env={variable: value})
    assert (found.code, found.error["kind"], found.error["outcome"]) == (3, "config", "not_sent"), found
    assert variable in found.error["message"]
    assert f"unset {variable}" in found.error["hint"]
    assert "secret" not in found.err
    assert [record for record in server.requests if record.method == "POST"] == []


def test_the_window_is_fixed_for_a_remote_service(spcli: Front) -> None:
    found = spcli(
        "config", "get", "window", "--json", env={"SPCLI_WINDOW": "3", "STREAMPIXEL_BASE_URL": "https://api.example.com/x"}
    )
    assert found.json["value"] == 122
    assert "SPCLI_WINDOW" in found.json["source"]


@posix
def test_an_unwritable_config_path_is_exit_3_with_a_hint(spcli: Front, service: Any) -> None:
    service()
    blocked = spcli.home / "file"
    blocked.write_text("")
    env = {"SPCLI_CONFIG": str(blocked / "config.toml")}
    found = spcli("config", "set", "project", "x", "--json", env=env)
    assert (found.code, found.error["kind"]) == (3, "config")
    assert "SPCLI_CONFIG" in found.error["hint"]


def test_the_three_variables_of_the_vendors_recipe_are_enough(spcli: Front, service: Any) -> None:
    service()
    shown = spcli("projects", "show", "--json", env={"SPCLI_CONFIG": str(spcli.home / "none.toml")})
    assert shown.json["id"] == SHOWROOM.id
