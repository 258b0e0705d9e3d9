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


def test_files_lie_where_the_variables_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_path({"SPCLI_CONFIG": "c.toml"}) == tmp_path / "c.toml"
    assert state_dir({"SPCLI_STATE_DIR": "s"}) == tmp_path / "s"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the XDG variables")
def test_files_lie_in_the_xdg_folders_and_never_in_the_current_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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


def test_a_folder_is_not_made_in_a_files_place(path: Path) -> None:
    path.write_text("")
    with pytest.raises(FileExistsError):
        make_private_folder(str(path))
