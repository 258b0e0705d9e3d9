import os
import stat
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.settings.credentials import clean_key, describe_key_shape, key_variable, login_hint, read_key_file, run_key_command
from spcli.settings.places import find_program

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="scripts with a first line")


def text_of(error: SpcliError) -> str:
    return f"{error.message}\n{error.hint}"


def script(folder: Path, body: str, *, name: str = "keeper") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("raw", [b"sp_key", b"sp_key\n", b"sp_key\r\n", b"sp_key\r", b"\xef\xbb\xbfsp_key\r\n"])
def test_a_byte_order_mark_and_one_line_end_are_not_part_of_the_key(raw: bytes) -> None:
    assert clean_key(raw).reveal() == "sp_key"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"CANARY key\n", "position 7 of 10"),
        (b" CANARY", "position 1 of"),
        (b"CANARY\n\n", "position 7 of 7"),
        (b"CANARY\0", "position 7"),
        (b"CANARY\x1b[2J", "position 7"),
        ("CANARY\u200b".encode(), "position 7"),
        ("CANARY\u00a0x".encode(), "position 7"),
        (b"CANARY\xff", "byte 7"),
        (b"CANARY" * 1000, "longer than"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        ("CANARY".encode("utf-16"), "UTF-16"),
    ],
)
def test_an_invalid_key_is_refused_with_the_position_and_not_shown(raw: bytes, text: str) -> None:
    with pytest.raises(SpcliError, match=r"^the key from standard input ") as caught:
        clean_key(raw, source="the key from standard input")
    assert caught.value.exit_code == 3
    assert text in text_of(caught.value)
    assert "CANARY" not in text_of(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_clean_key_or_refused(raw: bytes) -> None:
    key, kind = "", ""
    try:
        key = clean_key(raw).reveal()
    except SpcliError as error:
        kind = error.kind
    assert kind == "config" or (key.isprintable() and key.split() == [key])


def test_a_key_file_may_be_readable_by_everyone(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"sp_key\n")
    file.chmod(0o444)
    assert read_key_file(str(file)).reveal() == "sp_key"


def test_the_error_of_an_unreadable_key_file_has_its_path(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SpcliError, match="STREAMPIXEL_API_KEY_FILE") as caught:
            read_key_file(str(path))
        assert caught.value.exit_code == 3
        assert str(path) in caught.value.message


def test_a_key_file_of_any_size_is_read_only_to_the_longest_key(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"x" * 1_000_000)
    with pytest.raises(SpcliError, match="longer than 4096"):
        read_key_file(str(file))


def test_both_key_variables_are_a_usage_error_with_the_command_to_run() -> None:
    with pytest.raises(SpcliError) as caught:
        key_variable({"STREAMPIXEL_API_KEY": "CANARY", "STREAMPIXEL_API_KEY_FILE": "-"})
    assert caught.value.exit_code == 2
    assert "unset STREAMPIXEL_API_KEY_FILE" in text_of(caught.value)
    assert "CANARY" not in text_of(caught.value)
    assert key_variable({"STREAMPIXEL_API_KEY": "", "STREAMPIXEL_API_KEY_FILE": "-"}) == "STREAMPIXEL_API_KEY_FILE"
    assert key_variable({}) is None


def test_the_login_hint_names_the_profile_and_the_others() -> None:
    assert "auth login\n" in login_hint("default", ["default"])
    assert "other profiles" not in login_hint("default", ["default"])
    hint = login_hint("work", ["default", "work"])
    assert "auth login --profile work" in hint
    assert "other profiles: default" in hint


@posix_only
def test_a_key_command_gets_no_input_and_no_variable_with_a_key(tmp_path: Path) -> None:
    program = script(tmp_path, 'test -z "$STREAMPIXEL_API_KEY$STREAMPIXEL_API_KEY_FILE$(cat)" && echo "$1-$STREAMPIXEL_USER_ID"')
    environ = {**os.environ, "STREAMPIXEL_API_KEY": "a", "STREAMPIXEL_API_KEY_FILE": "b", "STREAMPIXEL_USER_ID": "me"}
    assert run_key_command([program, "$HOME;x"], environ).reveal() == "$HOME;x-me"


@posix_only
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("echo CANARY; exit 7", "exit code 7"),
        ("echo CANARY; kill -9 $$", "signal 9"),
        ("yes CANARY", "64 KiB"),
        ("echo CANARY CANARY", "position 7"),
        ("true", "is empty"),
        ("exec 2>/dev/null; echo CANARY; sleep 30", "did not end"),
        ("echo CANARY; exec >&-; sleep 30", "did not end"),
    ],
)
def test_the_error_of_a_key_command_does_not_show_its_output(tmp_path: Path, body: str, text: str) -> None:
    with pytest.raises(SpcliError) as caught:
        run_key_command([script(tmp_path, body), "CANARY"], os.environ, seconds=10.0 if text != "did not end" else 0.2)
    assert caught.value.exit_code == 3
    assert "keeper" in caught.value.message
    assert text in caught.value.message
    assert "CANARY" not in text_of(caught.value)


@posix_only
def test_the_children_of_a_hanging_key_command_are_killed(tmp_path: Path) -> None:
    alive = tmp_path / "pid"
    program = script(tmp_path, f"sleep 60 & echo $! > {alive}; wait")
    with pytest.raises(SpcliError, match="did not end within"):
        run_key_command([program], os.environ, seconds=0.3)
    pid = int(alive.read_text())
    deadline = time.monotonic() + 5
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return not Path("/proc/self").exists()
    return state != "Z"


@posix_only
def test_a_key_command_that_cannot_be_started_is_a_config_error(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x7fnot a program")
    junk.chmod(0o755)
    for command in ([str(tmp_path / "missing")], [str(junk)], [str(junk), "a\0b"]):
        with pytest.raises(SpcliError, match="cannot be started") as caught:
            run_key_command(command, os.environ)
        assert caught.value.exit_code == 3


@posix_only
def test_a_program_in_the_current_folder_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted, trusted = tmp_path / "planted", tmp_path / "trusted"
    for folder in (planted, trusted):
        folder.mkdir()
        script(folder, "echo x", name="op")
    monkeypatch.chdir(planted)
    path = os.pathsep.join(["", ".", "../planted", str(trusted)])
    assert find_program("op", {"PATH": path}) == str(trusted / "op")
    for refused in ("./op", "../planted/op"):
        with pytest.raises(SpcliError, match="relative path"):
            run_key_command([refused], {"PATH": path})
    with pytest.raises(SpcliError, match="not on PATH"):
        run_key_command(["op"], {"PATH": ":.:"})


@posix_only
def test_a_file_that_cannot_be_executed_is_ignored(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "op").write_text("not executable")
    (tmp_path / "a" / "op").chmod(stat.S_IRUSR)
    program = script(tmp_path / "b", "echo x", name="op")
    assert find_program("op", {"PATH": f"{tmp_path / 'a'}:{tmp_path / 'b'}"}) == program


@posix_only
def test_windows_programs_are_found_by_their_ending(tmp_path: Path) -> None:
    program = script(tmp_path, "", name="op.CMD")
    assert find_program("op", {"PATH": f'"{tmp_path}"'}, platform="win32") == program
    assert find_program("op", {"PATH": str(tmp_path)}, platform="linux") is None


@posix_only
def test_a_background_process_of_a_key_command_is_not_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = script(tmp_path, f"sleep 5 >/dev/null 2>&1 & echo $! > {pid_file}; echo sp_key")
    assert run_key_command([program], os.environ).reveal() == "sp_key"
    pid = int(pid_file.read_text())
    assert is_running(pid)
    os.kill(pid, 9)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('"CANARY-0123"', "has quotes around it"),
        ("'CANARY-0123", "has quotes around it"),
        ("CANARY-0123\u201d", "has quotes around it"),
        ("$(CANARY)", "looks like an unexpanded $(…)"),
        ("${CANARY}", "looks like an unexpanded ${…}"),
        ("${{secrets.CANARY}}", "looks like an unexpanded ${…}"),
        ("{{CANARY}}", "looks like an unexpanded ${…}"),
        ("%CANARY%", "looks like an unexpanded %…%"),
        ("$CANARY", "looks like an unexpanded $…"),
        ("$env:CANARY", "looks like an unexpanded $…"),
        ("STREAMPIXEL_API_KEY=CANARY", "looks like NAME=KEY"),
        ("****", "is only a mask"),
        ('{"key":"CANARY"}', "looks like JSON"),
        ("op://CANARY/item/key", "looks like a reference to a secret store"),
        ("/run/secrets/CANARY", "looks like a path"),
        ("~/CANARY", "looks like a path"),
        ("C:\\CANARY\\key", "looks like a path"),
        ("CANARY.txt", "looks like a path"),
        ("<CANARY>", "looks like a placeholder"),
        ("YOUR_API_KEY", "looks like a placeholder"),
        ("CANARY-user", "is the user ID"),
    ],
)
def test_a_text_that_does_not_look_like_a_key_is_described_without_it(text: str, problem: str) -> None:
    shape = describe_key_shape(Secret(text), "CANARY-user")
    assert shape is not None
    assert shape.problem == problem
    assert shape.fix
    assert "CANARY" not in shape.problem + shape.fix


@pytest.mark.parametrize(
    "text",
    [
        "sp_live_0123456789abcdef", "0f8fad5b-d9cb-469f-a165-70867728950e", "YWJjZGVmZ2hpamtsbW5vcA==", "/9j+4AAQSkZJRg/AB+Q==",
        "eyJhbGciOiJIUzI1NiJ9.e30.abc_-", "a$b%c{d}e", "k" * 40,
    ],
)  # fmt: skip
def test_a_text_that_looks_like_a_key_has_nothing_to_describe(text: str) -> None:
    assert describe_key_shape(Secret(text), "u") is None
