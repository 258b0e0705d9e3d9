"""Windows and macOS where no such machine is at hand: what branches on the platform is run under the other name.

`tests/test_architecture.py` looks for POSIX-only names outside such branches.
"""

import errno
import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from spcli.completion.names import live_offers
from spcli.files import replace_file, replace_patiently
from spcli.output.stream import is_closed_pipe
from spcli.settings.places import config_path, find_batch_character, find_program, state_dir
from spcli.settings.table import parse_command_line
from spcli.state.account import Account
from spcli.state.processes import is_process_gone, is_process_running, own_process
from spcli.state.store import State
from spcli.transport.proxies import proxy_for
from spcli.transport.tls import tls_context
from tests.front import FakeClock, sandbox
from tests.platforms import posix

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "spcli"

# The standard library and the dependencies are loaded as what they are; from then on this is another machine.
OTHER_MACHINE = """
import io, json, os, signal, sys, time
import email.utils, getpass, hashlib, html, http.client, ipaddress, secrets, shlex, shutil, socket, sqlite3, ssl, subprocess
import tempfile, tomllib, urllib.parse, urllib.request, uuid, zipfile
import httpcore, httpx, platformdirs, rich.console, rich.table, tomli_w, typer.core
lacking = {time: ["CLOCK_BOOTTIME"]}
if sys.argv[1] == "win32":
    lacking[os] = ["fork", "getuid", "geteuid", "getgid", "getegid", "killpg", "setsid", "mkfifo", "fchmod", "chown"]
    lacking[os] += ["O_NOFOLLOW", "O_CLOEXEC"]
    lacking[signal] = ["SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGHUP", "setitimer", "pthread_sigmask"]
    lacking[time] += ["clock_gettime"]
    sys.modules.update(dict.fromkeys(("fcntl", "termios", "pwd", "grp", "resource", "tty", "pty")))
for module, names in lacking.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = sys.argv[1]
import importlib, pkgutil
import spcli
for module in pkgutil.walk_packages(spcli.__path__, "spcli."):
    if not module.name.startswith(("spcli.webhooks.listen", "spcli.webhooks.server", "spcli.__main__")):
        importlib.import_module(module.name)
from spcli.cli import main
from spcli.runtime import Runtime
codes = {}
for words in json.loads(sys.argv[2]):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in "ab")
    stdin = io.TextIOWrapper(io.BytesIO(b"a-key-of-the-test"), "utf-8")
    code = main(words, Runtime(dict(os.environ), stdin=stdin, stdout=out, stderr=err))
    err.flush()
    codes[" ".join(words)] = [code, err.buffer.getvalue().decode()]
sys.stdout.write(json.dumps(codes))
"""
URL = "https://builds.example.com/Game-1.4.zip"
COMMANDS = [
    ["projects", "list"],
    ["projects", "use", "65f0c0ffee65f0c0ffee65f0"],
    ["config", "set", "on_limit", "wait"],
    ["config", "list"],
    ["auth", "login", "--user-id", "somebody", "--key-stdin", "--no-verify", "--profile", "new"],
    ["auth", "logout", "--profile", "new"],
    ["upload", URL, "--json", "--wait", "--output-file", "facts.env"],
    ["builds", "list"],
    ["limits"],
    ["limits", "--reset", "--yes"],
    ["status"],
]


@pytest.mark.parametrize("platform", ["win32", pytest.param("darwin", marks=posix("macOS has what POSIX has"))])
def test_the_commands_work_without_what_only_linux_has(platform: str, tmp_path: Path) -> None:
    from spcli.clock import Clock

    server = sandbox(Clock(), window=0.2, stage=0.1).start()  # type: ignore[arg-type]
    account = server.world.accounts[0]
    environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP", "TMP") if name in os.environ}
    environ |= {
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
        "SPCLI_CONFIG": str(tmp_path / "config.toml"),
        "SPCLI_STATE_DIR": str(tmp_path / "state"),
        "SPCLI_WINDOW": "0.2",
        "STREAMPIXEL_BASE_URL": server.base_url,
        "STREAMPIXEL_USER_ID": account.user_id,
        "STREAMPIXEL_API_KEY": account.api_key,
        "STREAMPIXEL_PROJECT_ID": account.projects[0].id,
    }
    try:
        command = [sys.executable, "-c", OTHER_MACHINE, platform, json.dumps(COMMANDS)]
        ran = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    finally:
        server.stop()
    assert ran.returncode == 0, ran.stderr
    codes = json.loads(ran.stdout)
    assert {words: found for words, found in codes.items() if found[0] != 0} == {}
    assert len(codes) == len(COMMANDS)
    assert "STREAMPIXEL_UPLOAD_ID=" in (tmp_path / "facts.env").read_text()


PLACES = """
import os, sys
sys.platform = sys.argv[1]
if sys.argv[1] == "win32":
    os.getuid = None
from spcli.settings.places import config_path, state_dir
sys.stdout.write(f"{config_path({})}\\n{state_dir({})}")
"""


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there the real thing is tested")
def test_on_a_mac_the_files_lie_in_the_library(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", PLACES, "darwin"], env=environ, capture_output=True, text=True, check=True)
    folder = tmp_path / "Library" / "Application Support" / "spcli"
    assert ran.stdout.splitlines() == [str(folder / "config.toml"), str(folder)]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks for the platform is told Windows."""
    monkeypatch.setattr(sys, "platform", "win32")


def test_a_backslash_of_a_windows_path_stays(windows: None) -> None:
    assert parse_command_line(r'C:\Tools\op.exe read "op://vault/my item"') == (r"C:\Tools\op.exe", "read", "op://vault/my item")


def test_programs_are_found_by_their_endings_on_windows(tmp_path: Path) -> None:
    program = tmp_path / "op.EXE"
    program.write_bytes(b"")
    program.chmod(0o755)
    assert find_program("op", {"PATH": str(tmp_path), "PATHEXT": ".BAT;.EXE"}, platform="win32") == str(program)


def test_a_shell_script_beside_a_batch_file_is_not_taken_for_the_program_on_windows(tmp_path: Path) -> None:
    for name in ("tool", "tool.cmd", "other.ps1"):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": str(tmp_path), "PATHEXT": ".com;.exe;.cmd"}
    batch = str(tmp_path / "tool.cmd")
    assert find_program("tool", environ, platform="win32") == batch
    assert find_program("tool.cmd", environ, platform="win32") == batch
    assert find_program(str(tmp_path / "tool"), environ, platform="win32") == batch
    assert find_program("other.ps1", environ, platform="win32") is None
    assert find_program("tool", environ, platform="linux") == str(tmp_path / "tool")


@pytest.mark.parametrize(
    ("argv", "platform", "letter"),
    [
        ((r"C:\bin\tool.cmd", "a b", "c"), "win32", None),
        ((r"C:\bin\tool.cmd", "a&calc"), "win32", "&"),
        ((r"C:\bin\tool.BAT", "100%"), "win32", "%"),
        ((r"C:\bin\tool.bat. .", "a^b"), "win32", "^"),
        ((r"C:\R&D\tool.cmd",), "win32", "&"),
        ((r"C:\bin\tool.cmd", "a\nb"), "win32", "\n"),
        ((r"C:\bin\tool.exe", "a&b"), "win32", None),
        (("/bin/tool.cmd", "a&b"), "linux", None),
    ],
)
def test_characters_that_cmd_exe_would_interpret_are_found(argv: tuple[str, ...], platform: str, letter: str | None) -> None:
    assert find_batch_character(argv, platform=platform) == letter


def test_a_reader_that_went_away_says_einval_on_windows(windows: None) -> None:
    assert is_closed_pipe(OSError(errno.EINVAL, "Invalid argument"))
    assert not is_closed_pipe(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.skipif(sys.platform == "win32", reason="another platform")
def test_elsewhere_einval_is_a_failure_of_its_own() -> None:
    assert not is_closed_pipe(OSError(errno.EINVAL, "Invalid argument"))


def test_nobody_is_provably_dead_or_alive_on_windows(windows: None) -> None:
    stored = own_process()
    assert not is_process_gone(stored)
    assert not is_process_running(stored)
    assert not is_process_gone(f"{stored.rsplit('/', 2)[0]}/999999/1")


@pytest.fixture
def held(windows: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A virus scanner that looks into every file: each is let go at the fourth try. What was tried."""
    replace, tried = os.replace, []

    def denied(source: str, target: str) -> None:
        tried.append(os.path.basename(target))
        if tried.count(tried[-1]) < 4:
            raise PermissionError(errno.EACCES, "Access is denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", denied)
    return tried


def test_a_config_file_that_a_virus_scanner_holds_open_is_replaced_a_moment_later(held: list[str], tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    replace_file(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert held == [path.name] * 4


def test_a_state_file_that_a_virus_scanner_holds_open_is_put_in_place_a_moment_later(held: list[str], tmp_path: Path) -> None:
    clock, notes = FakeClock(), []
    state = State(tmp_path / "state", clock=clock, environ={}, note=notes.append)
    assert state.probe() == tmp_path / "state" / "state.db"
    state.close()
    (tmp_path / "state" / "state.db").write_bytes(b"not a database" * 100)
    state = State(tmp_path / "state", clock=clock, environ={}, note=notes.append)
    assert state.probe() == tmp_path / "state" / "state.db"
    state.close()
    assert held[:4] == ["state.db"] * 4
    assert held.count("state.db.damaged-1") == 4
    assert [note for note in notes if "using" in note] == []
    assert 0 < max(clock.slept) < 1


def test_a_file_that_may_not_be_replaced_is_an_error_at_once_and_on_windows_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(sys, "platform", "linux")

    def denied(_source: str, _target: str) -> None:
        raise PermissionError(errno.EACCES, "Access is denied")

    monkeypatch.setattr(os, "replace", denied)
    with pytest.raises(PermissionError):
        replace_patiently("new", "old", clock)
    assert clock.slept == []
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(PermissionError):
        replace_patiently("new", "old", clock)
    assert 0 < sum(clock.slept) < 1


@posix("two slashes before a path of this machine")
def test_names_are_found_in_a_state_folder_on_a_network_drive(tmp_path: Path) -> None:
    # A path that begins with two slashes, as all do there: SQLite must not take what follows for a host.
    environ = {"SPCLI_CONFIG": str(tmp_path / "config.toml"), "SPCLI_STATE_DIR": f"/{tmp_path}", "STREAMPIXEL_USER_ID": "u1"}
    state = State(tmp_path, clock=FakeClock(), environ={}, note=pytest.fail)
    state.names.remember_projects(Account("https://api.streampixel.io/pixelStripeApi", "u1"), [("a" * 24, "Showroom")])
    state.close()
    assert live_offers("project", environ, None) == [("Showroom", "a" * 24), ("a" * 24, "Showroom")]


def test_the_null_device_of_windows_keeps_its_name(windows: None) -> None:
    for name in ("NUL", "nul:", "\\\\.\\NUL"):
        assert config_path({"SPCLI_CONFIG": name}) == Path(os.devnull)
        assert state_dir({"SPCLI_STATE_DIR": name}) == Path(os.devnull)


def test_windows_own_certificates_are_verified_against(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(ssl, "enum_certificates", lambda store: asked.append(store) or [], raising=False)
    context = tls_context({})
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert "ROOT" in asked


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_variables_go_before_the_proxy_of_the_system(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    proxy = proxy_for("https", "api.example.com", 443, {"HTTPS_PROXY": "http://proxy.example.com:3128"})
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.variable) == ("proxy.example.com", 3128, "HTTPS_PROXY")


CTRL_BREAK = """
import os, signal, sys
if not hasattr(signal, "SIGBREAK"):
    signal.SIGBREAK = signal.SIGUSR1
from spcli.errors import Interrupted
from spcli.signals import Signals
signals = Signals()
signals.install_handlers()
try:
    with signals.deliver():
        signal.raise_signal(signal.SIGBREAK)
except Interrupted as interrupted:
    sys.exit(interrupted.exit_code)
"""


def test_ctrl_break_is_an_interruption_like_ctrl_c() -> None:
    ran = subprocess.run([sys.executable, "-c", CTRL_BREAK], env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False)
    assert ran.returncode == 130


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_line_to_type_in_bash_stands_beside_one_for_powershell(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(re.findall(r"in bash: ", text)) <= len(re.findall(r"in PowerShell: ", text))
