"""Reading an API key: from bytes, from a file, from a program that prints it. No error here ever shows what was read."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.settings.table import DEFAULT_PROFILE

if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Mapping, Sequence

COMMAND_SECONDS = 10.0
_LONGEST_OUTPUT = 65536
_LONGEST_KEY = 4096
_KEY_VARIABLES = "STREAMPIXEL_API_KEY"


def key_variable(environ: "Mapping[str, str]") -> str | None:
    """The environment variable that gives the key, if one does. Raises `SpcliError` (usage) when both are set."""
    named = [name for name in ("STREAMPIXEL_API_KEY", "STREAMPIXEL_API_KEY_FILE") if environ.get(name)]
    if len(named) < 2:
        return named[0] if named else None
    raise SpcliError(
        "usage",
        "STREAMPIXEL_API_KEY and STREAMPIXEL_API_KEY_FILE are both set",
        hint="keep one; in bash: unset STREAMPIXEL_API_KEY_FILE\nin PowerShell: Remove-Item Env:STREAMPIXEL_API_KEY_FILE",
    )


def login_hint(profile: str, profiles: "Sequence[str]") -> str:
    """The lines to type when `profile` has no credentials; `profiles` are those in the config file."""
    option = "" if profile == DEFAULT_PROFILE else f" --profile {profile}"
    lines = [
        f"type: spcli auth login{option}",
        "or, in bash: export STREAMPIXEL_USER_ID=… STREAMPIXEL_API_KEY=…",
        'or, in PowerShell: $env:STREAMPIXEL_USER_ID="…"; $env:STREAMPIXEL_API_KEY="…"',
    ]
    others = [name for name in profiles if name != profile]
    if others:
        lines.append(f"other profiles: {', '.join(others)} (use one with --profile NAME)")
    return "\n".join(lines)


def clean_key(raw: bytes, *, source: str = "the API key") -> Secret:
    """The key in `raw`: a byte order mark and one line end are dropped, every other odd character is refused.

    Args:
        source: begins the error's sentence, such as `STREAMPIXEL_API_KEY` or `the key from standard input`.

    Raises:
        SpcliError: `config`, naming the position (from 1) of a white space or control character, never the character.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        # Windows PowerShell 5 writes UTF-16 with its > operator.
        raise SpcliError(
            "config", f"{source} is UTF-16 text", hint="save it as UTF-8; in PowerShell: Set-Content -Encoding ascii"
        )
    body = raw.removeprefix(b"\xef\xbb\xbf")
    body = body.removesuffix(b"\n").removesuffix(b"\r") if body.endswith(b"\n") else body.removesuffix(b"\r")
    problem = _key_problem(body)
    if problem:
        raise SpcliError("config", f"{source} {problem}", hint="copy the key again, from https://dashboard.streampixel.io")
    return Secret(body.decode("utf-8"))


def _key_problem(body: bytes) -> str | None:
    if not body:
        return "is empty"
    if len(body) > _LONGEST_KEY:
        return f"is longer than {_LONGEST_KEY} bytes: that is no API key"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        return f"is not UTF-8 text at byte {exc.start + 1}"
    for position, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable():
            return f"has white space or a control character at position {position} of {len(text)}"
    return None


def read_key_file(path: str) -> Secret:
    """The key in the file that `STREAMPIXEL_API_KEY_FILE` names. Its mode is not judged: mounted secrets are 0444 by design.

    Raises:
        SpcliError: `config`, naming the path, for a file that cannot be read or holds no key.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_LONGEST_KEY + 8)
    except OSError as exc:
        reason = exc.strerror or "unreadable"
    else:
        return clean_key(raw, source=f"the key in {path}")
    raise SpcliError(
        "config",
        f"STREAMPIXEL_API_KEY_FILE: {path}: {reason}",
        hint="name a file that holds the key alone, or - to read it from standard input",
    )


def run_key_command(command: "Sequence[str]", environ: "Mapping[str, str]", *, seconds: float = COMMAND_SECONDS) -> Secret:
    """The key that `command` (a program and its arguments, run without a shell) prints on stdout; its stderr is ours.

    It gets no standard input and none of our key variables, and is killed with its children after `seconds`.

    Raises:
        SpcliError: `config`, naming the program and its exit code, never its arguments or what it printed.
    """
    import threading

    name = os.path.basename(command[0]) or "?"
    child_environ = {key: value for key, value in environ.items() if not key.upper().startswith(_KEY_VARIABLES)}
    child = _start([find_program(command[0], environ), *command[1:]], child_environ, name=name)
    printed = bytearray()
    # A thread, as a pipe cannot be read with a time limit on Windows.
    reader = threading.Thread(target=_read, args=(child, printed), daemon=True)
    reader.start()
    try:
        code = _exit_code(child, reader, printed=printed, seconds=seconds)
    finally:
        _end(child, reader)
    if len(printed) > _LONGEST_OUTPUT:
        raise _command_error(name, "printed more than 64 KiB", hint="it must print the key and nothing else")
    if code is None:
        raise _command_error(name, f"did not end within {seconds:g} s", hint="it must print the key without asking anything")
    if code:
        what = f"ended with exit code {code}" if code > 0 else f"was ended by signal {-code}"
        raise _command_error(name, what, hint="what it said stands above; run it by hand to see why")
    return clean_key(bytes(printed), source=f"what the key command {name} printed")


def _command_error(name: str, problem: str, *, hint: str) -> SpcliError:
    return SpcliError("config", f"the key command {name} {problem}", hint=f"api_key_command: {hint}")


def find_program(program: str, environ: "Mapping[str, str]", *, platform: str = sys.platform) -> str:
    """The absolute path of `program`: itself if absolute, else the first on PATH.

    Relative entries of PATH are passed over (an empty one and `.` too): a file in the current folder must never see the key.

    Raises:
        SpcliError: `config`, when there is none.
    """
    if os.path.isabs(program):
        return program
    name = os.path.basename(program)
    if name != program:
        raise _command_error(name, "has a relative path", hint="name a program on PATH, or its absolute path")
    endings = [""]
    if platform == "win32":
        endings += environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(";")
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(folder.strip('"')):
            for ending in endings:
                path = os.path.join(folder.strip('"'), name + ending)
                if os.path.isfile(path) and os.access(path, os.X_OK):
                    return path
    raise _command_error(
        name, "is not on PATH", hint="name its absolute path (folders of PATH that are not absolute are passed over)"
    )


def _start(argv: list[str], environ: dict[str, str], *, name: str) -> "subprocess.Popen[bytes]":
    import subprocess

    try:
        if sys.platform == "win32":
            group = subprocess.CREATE_NEW_PROCESS_GROUP
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, creationflags=group)
        else:
            # A group of its own, to kill it whole; not a session, as password managers know a sign-in by its terminal.
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, process_group=0)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "unfit name or argument"
    else:
        return child
    raise _command_error(name, f"could not be started: {reason}", hint="it is run without a shell")


def _read(child: "subprocess.Popen[bytes]", printed: bytearray) -> None:
    """Collect what the child prints, to a little past the limit."""
    while child.stdout and len(printed) <= _LONGEST_OUTPUT:
        piece = os.read(child.stdout.fileno(), 8192)
        if not piece:
            break
        printed.extend(piece)


def _exit_code(child: "subprocess.Popen[bytes]", reader: "threading.Thread", *, printed: bytearray, seconds: float) -> int | None:
    """The child's exit code, once its output has ended; `None` when the time or the room for its output ran out."""
    import subprocess

    from spcli.clock import Clock

    clock = Clock()
    deadline = clock.mono() + seconds
    reader.join(seconds)
    if reader.is_alive() or len(printed) > _LONGEST_OUTPUT:
        return None
    try:
        return child.wait(max(0.0, deadline - clock.mono()))
    except subprocess.TimeoutExpired:
        return None


def _end(child: "subprocess.Popen[bytes]", reader: "threading.Thread") -> None:
    """Leave no process, thread or pipe behind; what a child that ended well started in the background is left alone."""
    if child.poll() is None or reader.is_alive():
        _kill_tree(child)
    child.wait()
    reader.join(1.0)
    if child.stdout and not reader.is_alive():
        child.stdout.close()


def _kill_tree(child: "subprocess.Popen[bytes]") -> None:
    if sys.platform == "win32":
        import subprocess

        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        with suppress(OSError):
            subprocess.run([taskkill, "/T", "/F", "/PID", str(child.pid)], capture_output=True, check=False)
        child.kill()
    else:
        import signal

        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
