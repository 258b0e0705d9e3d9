"""Where the config file and the state folder are, and that writing there is atomic."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.files import make_private_folder, replace_file
from spcli.settings.places import config_path, state_dir


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_the_variables_name_the_config_file_and_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path({"SPCLI_CONFIG": "c.toml"}) == tmp_path / "c.toml"
    assert state_dir({"SPCLI_STATE_DIR": "s"}) == tmp_path / "s"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG variables")
def test_the_defaults_are_the_xdg_folders_and_not_the_current_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert config_path({"SPCLI_CONFIG": ""}) == tmp_path / "c" / "spcli" / "config.toml"
    assert state_dir({"SPCLI_STATE_DIR": ""}) == tmp_path / "s" / "spcli"
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "HOME"):
        monkeypatch.setenv(name, "relative")
    assert config_path({}).is_absolute()
    assert state_dir({}).is_absolute()


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root can become a user without a home")
def test_a_user_without_a_home_has_an_empty_config_and_an_unusable_state_folder() -> None:
    code = (
        "import os, pwd, platformdirs, platformdirs.unix; from spcli.settings.places import config_path, state_dir\n"
        "os.environ.clear(); os.setgid(54321); os.setuid(54321); print(config_path({}), state_dir({}))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.split() == [os.devnull, f"{os.devnull}/spcli"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        replace_file(str(path), None)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_does_not_replace_a_file(path: Path) -> None:
    path.write_text("")
    with pytest.raises(FileExistsError):
        make_private_folder(str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not delete a current folder")
@pytest.mark.parametrize("variable", ["SPCLI_CONFIG", "SPCLI_STATE_DIR"])
def test_a_relative_path_in_a_deleted_folder_is_a_config_error(variable: str, tmp_path: Path) -> None:
    code = (
        "import os, sys; folder = sys.argv[1]; os.mkdir(folder); os.chdir(folder); os.rmdir(folder)\n"
        "from spcli.__main__ import run; sys.argv[1:] = ['config', 'list', '--json']; run()"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), variable: "relative"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path / "gone")], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done
    assert f"cannot use {variable} (relative)" in done.stderr
