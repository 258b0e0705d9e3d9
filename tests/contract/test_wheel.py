"""What the wheel contains besides the package, and how the installed command exits."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.front import FakeClock, sandbox
from tests.platforms import posix

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LAUNCHER = "import sys\nfrom spcli.__main__ import run\nsys.exit(run())\n"


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, built without the network."""
    builder = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("dist")
    return Path(next(builder.WheelBuilder(str(ROOT)).build(directory=str(folder))))


@pytest.fixture(scope="module")
def wheel(wheel_file: Path) -> set[str]:
    """The names in the wheel."""
    return set(zipfile.ZipFile(wheel_file).namelist())


def shared(wheel: set[str]) -> set[str]:
    """What is installed below `share` of the environment's prefix."""
    return {name.partition(".data/data/share/")[2] for name in wheel}


def test_the_wheel_has_every_man_page_where_man_looks(wheel: set[str]) -> None:
    pages = {f"man/man{path.suffix[1]}/{path.name}" for path in (ROOT / "man").glob("spcli*.[1-8]")}
    assert len(pages) > 30
    assert pages <= shared(wheel)


def test_the_wheel_has_the_completions_where_the_shells_look(wheel: set[str]) -> None:
    assert shared(wheel) >= {
        "bash-completion/completions/spcli",
        "zsh/site-functions/_spcli",
        "fish/vendor_completions.d/spcli.fish",
    }


def test_topics_are_read_from_the_wheel_alone(wheel_file: Path, tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(wheel_file), "SPCLI_CONFIG": str(tmp_path / "c.toml"), "SPCLI_STATE_DIR": str(tmp_path / "s")}
    command = [sys.executable, "-c", "import sys, spcli; print(spcli.__file__, file=sys.stderr)\n" + LAUNCHER, "help", "ci"]
    ran = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert str(wheel_file) in ran.stderr
    assert (ran.returncode, "GITLAB" in ran.stdout) == (0, True)


def test_the_wheel_contains_only_the_package_and_its_data(wheel: set[str]) -> None:
    assert wheel >= {path.relative_to(ROOT).as_posix() for path in (ROOT / "spcli").rglob("*.py")} | {"spcli/py.typed"}
    assert wheel >= {path.relative_to(ROOT).as_posix() for path in (ROOT / "spcli/commands/topics").glob("*.md")}
    assert {name.partition("/")[0].partition("-")[0] for name in wheel} == {"spcli", "streampixel_cli"}


def test_six_packages_are_required_without_extras() -> None:
    named = {one.partition(">")[0] for one in PROJECT["dependencies"]}
    assert PROJECT["name"] == "streampixel-cli"
    assert named == {"typer", "rich", "httpx", "httpcore", "platformdirs", "tomli-w"}


def left(
    tmp_path: Path, *argv: str, before: str = "", redirect: str = "", env: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """How the console script ends: its code, stdout and stderr. It says on stderr when it was taken down in order."""
    script = tmp_path / "launch.py"
    script.write_text(f"import atexit, os\natexit.register(os.write, 2, b'in order')\n{before}\n{LAUNCHER}")
    environ = {"SPCLI_CONFIG": str(tmp_path / "c.toml"), "SPCLI_STATE_DIR": str(tmp_path / "s"), "PYTHONPATH": str(ROOT)}
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    command = [sys.executable, str(script), *argv]
    if redirect:
        command = ["sh", "-c", f'exec "$@" {redirect}', "sh", *command]
    ran = subprocess.run(command, env=kept | environ | (env or {}), capture_output=True, text=True, timeout=60, check=False)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(("argv", "code"), [(("--version",), 0), (("exit-codes",), 0), (("lst",), 2)], ids=str)
def test_the_script_exits_at_once_with_all_output_written(tmp_path: Path, argv: tuple[str, ...], code: int) -> None:
    status, out, err = left(tmp_path, *argv)
    assert status == code
    assert out or err
    assert out == "" or out.endswith("\n")
    assert "in order" not in err


@pytest.mark.parametrize(
    "watcher", ["sys.setprofile(lambda *_: None)", "sys.settrace(lambda *_: None)", "sys.modules['coverage'] = sys"]
)
def test_profilers_and_tracers_get_an_orderly_exit(tmp_path: Path, watcher: str) -> None:
    status, out, err = left(tmp_path, "--version", before=f"import sys; {watcher}")
    assert (status, out) == (0, f"spcli {version()}\n")
    assert "in order" in err


def version() -> str:
    from spcli import __version__

    return __version__


def test_the_database_is_closed_before_the_hard_exit(tmp_path: Path) -> None:
    server = sandbox(FakeClock()).start()
    bash, _ = server.exports(server.world.accounts[0])
    env = dict(line.removeprefix("export ").split("=", 1) for line in bash.splitlines())
    try:
        status, out, err = left(tmp_path, "upload", "https://builds.example.com/a.zip", "--json", "--no-check", env=env)
    finally:
        server.stop()
    assert (status, "in order" in err) == (0, False)
    assert '"uploadId"' in out
    # The last one to close it takes the journal into the file.
    assert not (tmp_path / "s" / "state.db-wal").exists()


@posix("writes to /dev/full")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("words", "code"), [("--version", 141), ("exit-codes", 141)])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_not_success(tmp_path: Path, words: str, code: int, unbuffered: str) -> None:
    status, _, err = left(tmp_path, words, redirect=">/dev/full", env={"PYTHONUNBUFFERED": unbuffered})
    assert (status, "Traceback" in err) == (code, False)


@pytest.mark.skipif(os.name == "nt", reason="the shell closes it")
def test_the_version_without_a_stdout_is_no_traceback(tmp_path: Path) -> None:
    status, _, err = left(tmp_path, "--version", redirect=">&-")
    assert status != 0
    assert "Traceback" not in err
