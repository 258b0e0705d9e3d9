import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.settings import SETTINGS, Flags, Settings, resolve_settings
from spcli.settings.table import DEFAULT_BASE_URL

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes and scripts as POSIX has them")

LOOPBACK = "http://127.0.0.1:8080"
KEY = Secret("CANARY0123456789")


class Place:
    """A config file and a state folder of one test's own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.toml"
        self.environ = {"SPCLI_CONFIG": str(self.path), "SPCLI_STATE_DIR": str(folder / "state"), "PATH": os.environ["PATH"]}

    def write(self, content: str, *, mode: int = 0o600) -> None:
        self.path.write_text(content)
        self.path.chmod(mode)

    def resolve(self, flags: Flags | None = None, *, stdin: Callable[[], bytes] | None = None, **environ: str) -> Settings:
        return resolve_settings(flags or Flags(), {**self.environ, **environ}, stdin=stdin)

    def refused(self, read: Callable[[Settings], object], flags: Flags | None = None, **environ: str) -> SpcliError:
        with pytest.raises(SpcliError) as caught:
            read(self.resolve(flags, **environ))
        assert "CANARY" not in f"{caught.value.message}{caught.value.hint}"
        assert caught.value.hint
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def credentials(settings: Settings) -> tuple[str, Secret]:
    return settings.require_credentials()


def test_the_three_variables_of_the_vendors_recipe_are_enough(place: Place) -> None:
    settings = place.resolve(STREAMPIXEL_API_KEY=KEY.reveal(), STREAMPIXEL_USER_ID="me", STREAMPIXEL_PROJECT_ID="p1")
    assert settings.require_credentials() == ("me", KEY)
    assert (settings.project, settings.base_url, settings.profile) == ("p1", DEFAULT_BASE_URL, "default")
    assert (settings.on_limit, settings.window, settings.scale, settings.is_loopback) == ("wait", 122.0, 1.0, False)
    assert settings.notes == ()


def test_a_flag_wins_over_the_environment_over_the_profile_over_the_default(place: Place) -> None:
    place.write('[profiles.default]\non_limit = "fail"\nproject = "of profile"')
    everything = {"SPCLI_ON_LIMIT": "wait", "STREAMPIXEL_PROJECT_ID": "of environment"}
    cases = [
        (Flags(on_limit="fail", project="of flag"), everything, ("fail", "flag --on-limit"), ("of flag", "flag --project")),
        (
            Flags(),
            everything,
            ("wait", "environment SPCLI_ON_LIMIT"),
            ("of environment", "environment STREAMPIXEL_PROJECT_ID"),
        ),
        (
            Flags(),
            dict.fromkeys(everything, ""),
            ("fail", f"profile default in {place.path}"),
            ("of profile", f"profile default in {place.path}"),
        ),
    ]
    for flags, environ, limit, project in cases:
        settings = place.resolve(flags, **environ)
        assert settings.value("on_limit")[1:] == limit
        assert settings.value("project")[1:] == project
    place.path.unlink()
    assert place.resolve().value("on_limit")[1:] == ("wait", "default")
    assert place.resolve().value("project")[1:] == (None, "not set")


def test_every_setting_is_listed_in_the_order_of_the_table_without_the_key(place: Place) -> None:
    place.write(f'[profiles.default]\napi_key = "{KEY.reveal()}"\napi_key_command = ["/bin/op", "{KEY.reveal()}"]')
    values = place.resolve(SPCLI_WINDOW="3").values()
    assert [value.key for value in values] == [spec.key for spec in SETTINGS]
    assert "CANARY" not in repr(values)
    by_key = {value.key: value[1:] for value in values}
    of_profile = f"profile default in {place.path}"
    assert by_key["api_key"] == (None, of_profile)
    assert by_key["api_key_command"] == ("op", of_profile)
    assert by_key["user_id"] == (None, "not set")
    assert by_key["base_url"] == (DEFAULT_BASE_URL, "default")
    assert by_key["window"] == (122.0, "fixed, because base_url is not on this machine (environment SPCLI_WINDOW is ignored)")
    assert by_key["default_profile"] == ("default", "default")
    assert by_key["config_file"] == (str(place.path), "environment SPCLI_CONFIG")
    assert by_key["state_dir"] == (place.environ["SPCLI_STATE_DIR"], "environment SPCLI_STATE_DIR")


def test_the_source_of_the_key_is_shown_without_reading_it(place: Place) -> None:
    def source(**environ: str) -> str:
        return place.resolve(**environ).value("api_key").source

    assert source() == "not set"
    assert source(STREAMPIXEL_API_KEY_FILE="/missing") == "environment STREAMPIXEL_API_KEY_FILE"
    place.write('[profiles.default]\napi_key_command = ["/missing"]')
    assert source() == f"api_key_command of profile default in {place.path}"


def test_an_unknown_setting_is_a_usage_error(place: Place) -> None:
    assert place.refused(lambda settings: settings.value("basurl")).exit_code == 2


def test_the_profile_comes_from_flag_environment_or_file(place: Place) -> None:
    place.write('default_profile = "a"\n[profiles.a]\nproject = "pa"\n[profiles.b]\nproject = "pb"\n[profiles.c]')
    assert place.resolve().value("default_profile")[1:] == ("a", str(place.path))
    assert place.resolve(SPCLI_PROFILE="b").project == "pb"
    settings = place.resolve(Flags(profile="c"), SPCLI_PROFILE="b")
    assert settings.value("default_profile")[1:] == ("c", "flag --profile")
    assert settings.project is None
    assert place.resolve(Flags(profile="default")).project is None


def test_an_unknown_profile_lists_the_others_unless_it_is_being_created(place: Place) -> None:
    place.write("[profiles.a]\n[profiles.b]")
    error = place.refused(credentials, Flags(profile="wrok"))
    assert error.exit_code == 3
    assert "no profile wrok (flag --profile)" in error.message
    assert "a, b" in str(error.hint)
    assert "auth login --profile wrok" in str(error.hint)
    assert resolve_settings(Flags(profile="wrok"), place.environ, create_profile=True).profile == "wrok"


@pytest.mark.parametrize(
    ("flags", "environ", "code"),
    [
        (Flags(profile="CANARY key"), {}, 2),
        (Flags(profile=""), {}, 2),
        (Flags(project=""), {}, 2),
        (Flags(on_limit="CANARY"), {}, 2),
        (Flags(), {"SPCLI_PROFILE": "CANARY key"}, 3),
        (Flags(), {"SPCLI_ON_LIMIT": "CANARY"}, 3),
        (Flags(), {"STREAMPIXEL_PROJECT_ID": " "}, 3),
        (Flags(), {"STREAMPIXEL_USER_ID": "CANARY CANARY"}, 3),
        (Flags(), {"STREAMPIXEL_BASE_URL": "http://api.streampixel.io/CANARY"}, 3),
        (Flags(), {"STREAMPIXEL_BASE_URL": LOOPBACK, "SPCLI_WINDOW": "CANARY"}, 3),
    ],
)
def test_the_error_of_an_invalid_value_names_its_source(place: Place, flags: Flags, environ: dict[str, str], code: int) -> None:
    error = place.refused(Settings.values, flags, **environ)
    assert error.exit_code == code
    for name in set(environ) - {"STREAMPIXEL_BASE_URL"} or environ:
        assert name in error.message
        assert f"unset {name}" in str(error.hint)
        assert f"Env:{name}" in str(error.hint)


@pytest.mark.parametrize(
    "line",
    ["user_id = 5", "project = [1]", "base_url = 'ftp://CANARY'", "on_limit = true", "api_key = 7", "api_key_command = 'x'"],
)
def test_the_error_of_a_wrong_type_in_the_file_names_its_key(place: Place, line: str) -> None:
    place.write(f"[profiles.default]\n{line}")
    key = line.partition(" ")[0]
    error = place.refused(lambda settings: getattr(settings, key if key != "api_key_command" else "api_key"))
    assert error.exit_code == 3
    assert error.message.startswith(f"{key} (profile default in {place.path}) must")
    assert error.hint == f"run spcli config unset {key} --profile default"


def test_a_window_counts_only_on_loopback_and_scales_all_times(place: Place) -> None:
    local = place.resolve(STREAMPIXEL_BASE_URL=LOOPBACK + "/", SPCLI_WINDOW="6")
    assert (local.base_url, local.is_loopback, local.window, local.scale) == (LOOPBACK, True, 6.0, 0.05)
    assert local.value("window")[1:] == (6.0, "environment SPCLI_WINDOW")
    assert place.resolve(STREAMPIXEL_BASE_URL=LOOPBACK).window == 122.0
    real = place.resolve(SPCLI_WINDOW="6")
    assert (real.window, real.scale) == (122.0, 1.0)
    assert place.resolve().value("window")[1:] == (122.0, "default")
    place.write("[profiles.default]\nwindow = 0.5")
    assert place.resolve(STREAMPIXEL_BASE_URL=LOOPBACK).window == 0.5


def test_a_key_from_the_environment_is_used_for_any_service(place: Place) -> None:
    place.write('[profiles.default]\nuser_id = "me"\napi_key = "another"')
    settings = place.resolve(STREAMPIXEL_API_KEY=KEY.reveal() + "\n", STREAMPIXEL_BASE_URL=LOOPBACK)
    assert settings.require_credentials() == ("me", KEY)
    assert settings.api_key is settings.api_key


def test_a_key_that_is_not_text_is_refused(place: Place) -> None:
    error = place.refused(lambda settings: settings.api_key, STREAMPIXEL_API_KEY="CANARY\udcff")
    assert error.message == "STREAMPIXEL_API_KEY is not UTF-8 text at byte 7"


def test_a_key_comes_from_a_file_or_standard_input_read_once(place: Place, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY.reveal() + "\n")
    assert place.resolve(STREAMPIXEL_API_KEY_FILE=str(tmp_path / "key")).api_key == KEY
    reads: list[bytes] = [b"\xef\xbb\xbf" + KEY.reveal().encode() + b"\r\n"]
    settings = place.resolve(stdin=reads.pop, STREAMPIXEL_API_KEY_FILE="-")
    assert settings.value("api_key").source == "environment STREAMPIXEL_API_KEY_FILE"
    assert reads
    assert (settings.api_key, settings.api_key, reads) == (KEY, KEY, [])
    error = place.refused(lambda settings: settings.api_key, STREAMPIXEL_API_KEY_FILE="-")
    assert error.message == "the key from standard input is empty"


def test_both_key_variables_are_a_usage_error(place: Place) -> None:
    assert place.refused(credentials, STREAMPIXEL_API_KEY="CANARY", STREAMPIXEL_API_KEY_FILE="-").exit_code == 2


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "no user ID and no API key is set"),
        ({"STREAMPIXEL_USER_ID": "me"}, "no API key is set"),
        ({"STREAMPIXEL_API_KEY": "CANARY"}, "no user ID is set"),
        ({"STREAMPIXEL_API_KEY_FILE": "/never/read"}, "no user ID is set"),
    ],
)
def test_missing_credentials_come_with_the_commands_to_run(place: Place, environ: dict[str, str], missing: str) -> None:
    error = place.refused(credentials, **environ)
    assert error.exit_code == 3
    assert error.message == f"{missing} for profile default"
    for line in ("spcli auth login", "export STREAMPIXEL_USER_ID=", "$env:STREAMPIXEL_USER_ID="):
        assert line in str(error.hint)


def test_a_stored_key_is_sent_only_to_its_own_service(place: Place) -> None:
    place.write(f'[profiles.default]\napi_key = "{KEY.reveal()}"\n[profiles.box]\nbase_url = "{LOOPBACK}/a"\napi_key = "k"')
    assert place.resolve().api_key == KEY
    assert place.resolve(STREAMPIXEL_BASE_URL="https://API.streampixel.io:443/other").api_key == KEY
    assert place.resolve(Flags(profile="box")).api_key == Secret("k")
    for base_url in ("https://streampixel.example/pixelStripeApi", LOOPBACK, "https://api.streampixel.io:444"):
        error = place.refused(lambda settings: settings.api_key, STREAMPIXEL_BASE_URL=base_url)
        assert error.exit_code == 3
        assert "belongs to https://api.streampixel.io and is not sent to" in error.message
        assert "unset STREAMPIXEL_BASE_URL" in str(error.hint)
    error = place.refused(lambda settings: settings.api_key, Flags(profile="box"), STREAMPIXEL_BASE_URL=DEFAULT_BASE_URL)
    assert f"belongs to {LOOPBACK}" in error.message


def test_a_key_with_an_invalid_base_url_is_not_sent(place: Place) -> None:
    place.write(f'[profiles.default]\napi_key = "{KEY.reveal()}"\nbase_url = "CANARY"')
    error = place.refused(lambda settings: settings.api_key, STREAMPIXEL_BASE_URL=DEFAULT_BASE_URL)
    assert error.message.startswith("base_url (profile default")


@posix_only
def test_a_file_that_others_can_read_is_refused_only_for_its_key(place: Place) -> None:
    place.write(f'[profiles.default]\napi_key = "{KEY.reveal()}"\nuser_id = "me"\nproject = "p"', mode=0o644)
    settings = place.resolve()
    assert (settings.project, settings.user_id) == ("p", "me")
    error = place.refused(credentials)
    assert error.exit_code == 3
    assert error.hint == f"run chmod 600 {place.path}"
    assert place.resolve(STREAMPIXEL_API_KEY="other").require_credentials() == ("me", Secret("other"))
    place.path.chmod(0o600)
    assert place.resolve().require_credentials() == ("me", KEY)


@posix_only
def test_a_key_command_runs_once_and_only_when_a_key_is_needed(place: Place, tmp_path: Path) -> None:
    runs, program = tmp_path / "runs", tmp_path / "keeper"
    program.write_text(f'#!/bin/sh\necho run >> {runs}\necho "$1"\n')
    program.chmod(0o755)
    place.write(f'[profiles.default]\nuser_id = "me"\napi_key_command = ["{program}", "{KEY.reveal()}"]', mode=0o644)
    settings = place.resolve()
    settings.values()
    assert not runs.exists()
    assert settings.require_credentials() == ("me", KEY)
    assert settings.require_credentials() == ("me", KEY)
    assert runs.read_text() == "run\n"
    place.path.chmod(0o666)
    assert place.refused(credentials).hint == f"run chmod go-w {place.path}"
    place.path.chmod(0o600)
    place.refused(credentials, STREAMPIXEL_BASE_URL=LOOPBACK)
    assert runs.read_text() == "run\n"


def test_a_stored_key_wins_over_the_key_command(place: Place) -> None:
    place.write(f'[profiles.default]\napi_key = "{KEY.reveal()}"\napi_key_command = ["/missing"]')
    assert place.resolve().api_key == KEY
