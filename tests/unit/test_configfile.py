import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.settings.configfile import ConfigFile, privacy_problem
from spcli.settings.table import DEFAULT_BASE_URL

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="modes and links as POSIX has them")

FULL = """\
# a comment
default_profile = "work"
theme = "dark"

[profiles.default]
project = "Showroom Demo"

[profiles.work]
api_key = "sp_key"
user_id = "me"
colour = 2026-01-02
"""


def at(path: Path, content: str | bytes | None = None) -> ConfigFile:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o600)
    return ConfigFile.load({"SPCLI_CONFIG": str(path)})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_a_missing_file_reads_as_empty(path: Path) -> None:
    config = at(path)
    assert config.profile_names() == []
    assert (config.default_profile, config.get("default", "project"), config.note) == (None, None, None)
    assert not path.exists()


def test_a_file_is_read_with_its_byte_order_mark(path: Path) -> None:
    config = at(path, b"\xef\xbb\xbf" + FULL.encode())
    assert config.profile_names() == ["default", "work"]
    assert config.default_profile == "work"
    assert config.get("default", "project") == "Showroom Demo"


def test_unknown_keys_survive_a_rewrite(path: Path) -> None:
    config = at(path, FULL)
    config.set("work", "window", "2")
    config.set("new", "on_limit", "fail")
    config.save()
    expected = tomllib.loads(FULL)
    expected["profiles"]["work"]["window"] = 2
    expected["profiles"]["new"] = {"on_limit": "fail"}
    assert tomllib.loads(path.read_text()) == expected


def test_an_empty_text_counts_as_unset(path: Path) -> None:
    config = at(path, 'default_profile = ""\n[profiles.default]\nproject = ""')
    assert config.get("default", "project") is None
    assert config.default_profile is None


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('[profiles.default]\napi_key = "CANARY', ": line 2, column"),
        ("[profiles.default]\napi_key = CANARY\n", ": line 2, column 11"),
        ("[profiles.CANARY]\n[profiles.CANARY]", ": line 2, column"),
        ("CANARY = [1,", ": line 1, column 13"),
        (b"api_key = '\xffCANARY'", "at byte 12: save it as UTF-8"),
        ("CANARY = " + "9" * 5000, "is not TOML"),
        ("CANARY = " + "[" * 3000, "is not TOML"),
        ("profiles = 'CANARY'", "profiles must be a table"),
        ("[profiles]\nwork = 'CANARY'", "profiles.work must be a table"),
        ('[profiles]\n"\\u001b" = 1', "profiles.? must be a table"),
        ("#" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_the_error_of_a_broken_file_has_the_position_and_not_the_content(path: Path, content: str | bytes, text: str) -> None:
    with pytest.raises(SpcliError) as caught:
        at(path, content)
    error = caught.value
    assert error.exit_code == 3
    assert str(path) in error.message
    assert text in error.message
    assert "CANARY" not in f"{error.message}{error.hint}{error.__context__}{error.__cause__}"


def test_an_invalid_default_profile_can_be_fixed_with_config_set(path: Path) -> None:
    config = at(path, "default_profile = 5")
    with pytest.raises(SpcliError, match="default_profile must be") as caught:
        _ = config.default_profile
    assert "config set default_profile default" in str(caught.value.hint)
    config.set("default", "default_profile", "default")
    config.save()
    assert at(path).default_profile == "default"


def test_a_folder_instead_of_the_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(SpcliError, match="is a folder") as caught:
        at(tmp_path)
    assert caught.value.exit_code == 3
    assert str(tmp_path / "config.toml") in str(caught.value.hint)


def test_a_path_through_a_file_is_a_config_error(path: Path) -> None:
    path.write_text("")
    with pytest.raises(SpcliError, match="cannot be read"):
        at(path / "config.toml")


def test_an_unreadable_default_folder_reads_as_empty_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.write_text("a file where the folder of settings should be")
    variable = {"win32": "WIN_PD_OVERRIDE_LOCAL_APPDATA", "darwin": "HOME"}.get(sys.platform, "XDG_CONFIG_HOME")
    monkeypatch.setenv(variable, str(home))
    config = ConfigFile.load({})
    assert config.profile_names() == []
    assert str(config.note).startswith("ignoring ") or sys.platform == "win32"
    with pytest.raises(SpcliError, match="cannot be written"):
        config.save()


def test_the_null_device_reads_as_empty_and_is_not_replaced() -> None:
    config = at(Path(os.devnull))
    assert config.profile_names() == []
    config.set("default", "project", "x")
    with pytest.raises(SpcliError, match="not a regular file"):
        config.save()


@posix_only
def test_a_named_pipe_does_not_hang(path: Path) -> None:
    os.mkfifo(path)
    assert at(path).profile_names() == []


def test_a_login_is_stored_and_forgotten(path: Path) -> None:
    config = at(path, FULL)
    config.store_login("work", user_id="you", key=Secret("sp_new"), base_url=DEFAULT_BASE_URL)
    config.save()
    again = at(path)
    assert (again.get("work", "api_key"), again.get("work", "user_id")) == ("sp_new", "you")
    assert again.get("work", "base_url") is None
    assert again.forget_login("work") == ["api_key", "user_id"]
    assert again.forget_login("work") == []
    assert again.forget_login("missing") == []
    again.save()
    assert b"sp_new" not in path.read_bytes()
    assert at(path).profile_names() == ["default", "work"]


def test_a_login_to_another_service_binds_the_key_to_it(path: Path) -> None:
    config = at(path)
    config.store_login("box", user_id="u", key=Secret("k"), base_url="http://127.0.0.1:9")
    assert config.get("box", "base_url") == "http://127.0.0.1:9"
    config.store_login("box", user_id="u", key=Secret("k"), base_url=DEFAULT_BASE_URL)
    assert config.get("box", "base_url") == DEFAULT_BASE_URL


def test_a_profile_needs_a_plain_name(path: Path) -> None:
    for name in ("", "a b", "x" * 65, "../x"):
        with pytest.raises(SpcliError, match="the profile name must be") as caught:
            at(path).set(name, "project", "x")
        assert caught.value.kind == "usage"


def test_a_default_profile_must_exist(path: Path) -> None:
    config = at(path, FULL)
    config.set("ignored", "default_profile", "default")
    assert config.default_profile == "default"
    with pytest.raises(SpcliError, match="there is no profile other") as caught:
        config.set("default", "default_profile", "other")
    assert "default, work" in str(caught.value.hint)
    assert "auth login --profile other" in str(caught.value.hint)
    assert config.unset("default", "default_profile")
    assert config.default_profile is None


def test_a_setting_is_removed_and_an_unknown_one_refused(path: Path) -> None:
    config = at(path, FULL)
    assert config.unset("default", "project")
    assert not config.unset("default", "project")
    assert not config.unset("missing", "project")
    assert config.unset("work", "colour")
    with pytest.raises(SpcliError, match="no such setting"):
        config.unset("work", "colour")


@posix_only
def test_a_saved_file_and_its_folders_are_private_for_every_umask(tmp_path: Path) -> None:
    code = (
        "import os, sys; from spcli.settings.configfile import ConfigFile; os.umask(0)\n"
        "config = ConfigFile.load({'SPCLI_CONFIG': sys.argv[1]}); config.set('default', 'project', 'x'); config.save()"
    )
    path = tmp_path / "a" / "b" / "config.toml"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=Path(__file__).parents[2])
    modes = [stat.S_IMODE(part.stat().st_mode) for part in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]
    assert os.listdir(path.parent) == ["config.toml"]


@posix_only
def test_a_save_makes_an_open_file_private_again(path: Path) -> None:
    config = at(path, FULL)
    path.chmod(0o644)
    config.save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@posix_only
def test_a_linked_config_file_is_written_through_its_link(tmp_path: Path, path: Path) -> None:
    target = tmp_path / "dotfiles" / "spcli.toml"
    path.symlink_to(target)
    config = at(path)
    config.set("default", "project", "x")
    config.save()
    assert path.is_symlink()
    assert at(target).get("default", "project") == "x"


only_root = pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can give a file away")


@only_root
def test_root_uses_the_key_in_a_users_file_but_not_its_key_command(path: Path) -> None:
    path.write_text(FULL)
    path.chmod(0o600)
    os.chown(path, 54321, -1)
    config = ConfigFile.load({"SPCLI_CONFIG": str(path)})
    config.check_private(readable=True)
    with pytest.raises(SpcliError, match="belongs to another user") as caught:
        config.check_private(readable=False)
    assert caught.value.hint == f"run sudo chown $(id -u) {path}"


@only_root
@pytest.mark.parametrize("exists", [True, False])
def test_root_leaves_the_file_to_the_owner_of_the_home(tmp_path: Path, exists: bool) -> None:
    home, path = tmp_path / "home", tmp_path / "home" / ".config" / "spcli" / "config.toml"
    home.mkdir()
    os.chown(home, 54321, 54322)
    if exists:
        path.parent.mkdir(parents=True)
        path.write_text("")
        os.chown(path, 54323, 54324)
    config = ConfigFile.load({"SPCLI_CONFIG": str(path)})
    config.set("default", "project", "x")
    config.save()
    owner = (54323, 54324) if exists else (54321, 54322)
    info = path.stat()
    assert ((info.st_uid, info.st_gid), stat.S_IMODE(info.st_mode)) == (owner, 0o600)
    if not exists:
        assert [(folder.stat().st_uid, folder.stat().st_gid) for folder in path.parents[:2]] == [owner, owner]


@posix_only
def test_a_hard_link_to_the_file_keeps_the_old_content(tmp_path: Path, path: Path) -> None:
    config = at(path, FULL)
    os.link(path, tmp_path / "other")
    config.forget_login("work")
    config.save()
    assert (tmp_path / "other").read_text() == FULL


@pytest.mark.parametrize(
    ("mode", "owner", "readable", "command"),
    [
        (0o100600, 1000, True, None),
        (0o100400, 1000, True, None),
        (0o100600, 0, True, None),
        (0o100644, 1000, True, "chmod 600"),
        (0o100640, 0, True, "chmod 600"),
        (0o100602, 1000, True, "chmod 600"),
        (0o100644, 1000, False, None),
        (0o100664, 1000, False, "chmod go-w"),
        (0o100600, 1001, True, "sudo chown $(id -u)"),
        (0o100600, 1001, False, "sudo chown $(id -u)"),
    ],
)
def test_a_file_with_a_key_is_private_to_its_user(mode: int, owner: int, readable: bool, command: str | None) -> None:
    found = privacy_problem(mode, owner, user=1000, readable=readable)
    assert (found and found[1]) == command
