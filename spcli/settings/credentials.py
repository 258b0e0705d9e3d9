"""API keys: from bytes, from a file, from a program that prints one. No error shows what was read."""

import os
import re
import select
import signal
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.settings.places import find_batch_character, find_program
from spcli.settings.table import DEFAULT_PROFILE, unset_hint
from spcli.signals import Postponement

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from typing import IO

COMMAND_SECONDS = 10.0
_LONGEST_OUTPUT = 65536
_PIECE = 8192
_SLICE = 0.25
_LONGEST_KEY = 4096
_KEY_VARIABLES = "STREAMPIXEL_API_KEY"


def key_variable(environ: "Mapping[str, str]") -> str | None:
    """Return the variable that sets the key, None without one. Raises `SpcliError` (usage) if both are set."""
    variables = [name for name in ("STREAMPIXEL_API_KEY", "STREAMPIXEL_API_KEY_FILE") if environ.get(name)]
    if len(variables) < 2:
        return variables[0] if variables else None
    raise SpcliError(
        "usage",
        "both STREAMPIXEL_API_KEY and STREAMPIXEL_API_KEY_FILE are set",
        hint=f"unset one of them:\n{unset_hint('STREAMPIXEL_API_KEY_FILE')}",
    )


def login_hint(profile: str, profiles: "Sequence[str]") -> str:
    """Return a hint for a `profile` without credentials; `profiles` are those in the config file."""
    option = "" if profile == DEFAULT_PROFILE else f" --profile {profile}"
    lines = [
        f"run spcli auth login{option}",
        "or, in bash: export STREAMPIXEL_USER_ID=… STREAMPIXEL_API_KEY=…",
        'or, in PowerShell: $env:STREAMPIXEL_USER_ID="…"; $env:STREAMPIXEL_API_KEY="…"',
    ]
    if sys.platform == "win32":
        lines.append("or, in cmd: set STREAMPIXEL_USER_ID=…& set STREAMPIXEL_API_KEY=…")
    others = [name for name in profiles if name != profile]
    if others:
        lines.append(f"other profiles: {', '.join(others)} (use one with --profile NAME)")
    return "\n".join(lines)


def clean_key(raw: bytes, *, source: str = "the API key") -> Secret:
    """Return the key in `raw`, without a byte order mark and one line end; refuse white space and control characters.

    Args:
        source: the subject of an error, such as `STREAMPIXEL_API_KEY` or `the key from standard input`.

    Raises:
        SpcliError: `config`, with the position (from 1) of a white space or control character, never the character.
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
        return f"is longer than {_LONGEST_KEY} bytes and cannot be an API key"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        return f"is not UTF-8 text at byte {exc.start + 1}"
    for position, character in enumerate(text, 1):
        if character.isspace() or not character.isprintable():
            return f"has white space or a control character at position {position} of {len(text)}"
    return None


class KeyShape(NamedTuple):
    """Why a text does not look like an API key, and the fix. Neither part contains the text."""

    problem: str
    fix: str

    @property
    def line(self) -> str:
        """Return the problem and the fix on one line."""
        return f"the API key {self.problem}: {self.fix}"


_PLACEHOLDER = r"(?i)<.*>|.*(your|my)[-_]?(api)?[-_]?key.*|change[-_]?me|x{6,}|(api[-_]?)?key|secret|todo"
_SHAPES = (
    (r"(?s)([\"'`\u2018-\u201f\u00ab\u00bb]).*|.*[\"'`\u2018-\u201f\u00ab\u00bb]", "has quotes around it", "remove the quotes"),
    (r"\$\(.*\)?", "looks like an unexpanded $(…)", "check how this CI system or shell writes variables"),
    (r"\$?\{\{.*|\$\{.*\}?", "looks like an unexpanded ${…}", "check how this CI system or shell writes variables"),
    (r"%[A-Za-z_][\w.]*%", "looks like an unexpanded %…%", "check how this CI system or shell writes variables"),
    (r"(?i)\$(env:)?[a-z_]\w*", "looks like an unexpanded $…", "check how this CI system or shell writes variables"),
    (r"[*\u2022]+", "is only a mask", "set the key itself: a CI system shows stars instead of secrets"),
    (r"(?i)(export)?[a-z_][a-z0-9_]*=[^=].*", "looks like NAME=KEY", "set only the part after the ="),
    (r"(?s)[{\[].*", "looks like JSON", "extract the key from it"),
    (r"[a-z][a-z0-9+.-]*://.*", "looks like a reference to a secret store", "let api_key_command resolve it"),
    (r"(?i)(/[\w.-]+)+/[\w.-]*|(\.{1,2}[/\\]|~[/\\]|[a-z]:[/\\]|\\\\).*|.*\.(txt|key|pem|env)", "looks like a path",
     "to read the key from a file, set STREAMPIXEL_API_KEY_FILE"),
    (_PLACEHOLDER, "looks like a placeholder", "set your own key, from https://dashboard.streampixel.io"),
)  # fmt: skip


def describe_key_shape(key: Secret, user_id: str | None = None) -> KeyShape | None:
    """Return why `key` does not look like an API key; None if it does."""
    text = key.reveal()
    if text == user_id:
        return KeyShape("is the user ID", "set the API key instead")
    for pattern, problem, fix in _SHAPES:
        if re.fullmatch(pattern, text):
            return KeyShape(problem, fix)
    return None


def read_key_file(path: str) -> Secret:
    """Return the key in the file of `STREAMPIXEL_API_KEY_FILE`. Its mode does not matter: mounted secrets are 0444 by design.

    Raises:
        SpcliError: `config`, with the path, for a file that cannot be read or has no key.
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
        f"cannot read STREAMPIXEL_API_KEY_FILE ({path}): {reason}",
        hint="set it to a file that contains only the key, or to - to read the key from standard input",
    )


def run_key_command(command: "Sequence[str]", environ: "Mapping[str, str]", *, seconds: float = COMMAND_SECONDS) -> Secret:
    """Return the key that `command` (a program and its arguments, run without a shell) prints; it shares our stderr.

    It gets no standard input and no variable with a key, and is killed with its children after `seconds`.

    Raises:
        SpcliError: `config`, with the program and its exit code, never its arguments or its output.
    """
    name = os.path.basename(command[0]) or "?"
    child_environ = {key: value for key, value in environ.items() if not key.upper().startswith(_KEY_VARIABLES)}
    argv = [_program_path(command[0], environ), *command[1:]]
    letter = find_batch_character(argv)
    if letter is not None:
        hint = "use a program instead of a batch file, or put the arguments into the batch file"
        raise _command_error(name, f"is a batch file, and cmd.exe would interpret the character {letter!r}", hint=hint)
    printed, code = _run_child(argv, child_environ, name=name, seconds=seconds)
    if len(printed) > _LONGEST_OUTPUT:
        raise _command_error(name, "printed more than 64 KiB", hint="let the program print the key and nothing else")
    if code is None:
        raise _command_error(name, f"did not end within {seconds:g}s", hint="use a program that asks nothing")
    if code:
        what = f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
        raise _command_error(name, what, hint="see its messages above, or run it by hand")
    return clean_key(bytes(printed), source=f"the output of the key command {name}")


def _command_error(name: str, problem: str, *, hint: str) -> SpcliError:
    return SpcliError("config", f"the key command {name} {problem}", hint=f"api_key_command: {hint}")


def _program_path(program: str, environ: "Mapping[str, str]") -> str:
    name = os.path.basename(program)
    if name != program and not os.path.isabs(program):
        raise _command_error(name, "has a relative path", hint="use a program on PATH, or its absolute path")
    path = find_program(program, environ)
    if path is None:
        hint = "use its absolute path (spcli ignores folders of PATH that are not absolute)"
        raise _command_error(name, "is not on PATH", hint=hint)
    return path


def _start_command(argv: list[str], environ: dict[str, str], *, name: str) -> "subprocess.Popen[bytes]":
    import subprocess

    try:
        if sys.platform == "win32":
            group = subprocess.CREATE_NEW_PROCESS_GROUP
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, creationflags=group)
        # A new group, so that all of it can be killed; no new session: password managers know a login by its terminal.
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, process_group=0)
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "invalid name or argument"
    raise _command_error(
        name, f"cannot be started: {reason}", hint="name a program, not a shell command: spcli runs it without a shell"
    )


def _run_child(argv: list[str], environ: dict[str, str], *, name: str, seconds: float) -> tuple[bytearray, int | None]:
    """Return the child's output and its exit code, None if it took too long or printed too much.

    Leaves no process behind, except background processes of a child that ended well.
    """
    clock, printed = Clock(), bytearray()
    deadline, code = clock.mono() + seconds, None
    child: subprocess.Popen[bytes] | None = None
    try:
        with Postponement():
            child = _start_command(argv, environ, name=name)
        if _read_output(child, printed, clock, deadline):
            code = _wait_for_exit(child, clock, deadline)
    except RuntimeError:
        hint = "raise the limit of processes and threads of this user or container"
        raise _command_error(name, "cannot be read: no thread can be started", hint=hint) from None
    finally:
        if child is not None:
            _end_child(child, kill=code is None)
    return printed, code


def _end_child(child: "subprocess.Popen[bytes]", *, kill: bool) -> None:
    if kill:
        _kill_tree(child)
    child.wait()
    if child.stdout and sys.platform != "win32":
        child.stdout.close()


def _read_output(child: "subprocess.Popen[bytes]", printed: bytearray, clock: Clock, deadline: float) -> bool:
    """Collect the child's output, up to a little over the limit. Return whether it ended in time and within the limit.

    In slices: on Windows, Ctrl-C waits until a wait ends. Raises `RuntimeError` if no thread can be started.
    """
    assert child.stdout is not None
    if sys.platform == "win32":
        # A pipe cannot be read with a time limit there.
        reader = Thread(target=_collect_output, args=(child.stdout, printed), daemon=True)
        reader.start()
        while reader.is_alive() and (left := deadline - clock.mono()) > 0:
            reader.join(min(left, _SLICE))
        return not reader.is_alive() and len(printed) <= _LONGEST_OUTPUT
    while len(printed) <= _LONGEST_OUTPUT and (left := deadline - clock.mono()) > 0:
        if select.select([child.stdout], [], [], min(left, _SLICE))[0]:
            piece = os.read(child.stdout.fileno(), _PIECE)
            if not piece:
                return True
            printed.extend(piece)
    return False


def _collect_output(stdout: "IO[bytes]", printed: bytearray) -> None:
    """Collect the output until it ends or is too long, then close the pipe."""
    while len(printed) <= _LONGEST_OUTPUT and (piece := os.read(stdout.fileno(), _PIECE)):
        printed.extend(piece)
    stdout.close()


def _wait_for_exit(child: "subprocess.Popen[bytes]", clock: Clock, deadline: float) -> int | None:
    """Return the child's exit code, None if it is still running at the deadline. In slices, as above."""
    import subprocess

    while True:
        try:
            return child.wait(max(0.0, min(deadline - clock.mono(), _SLICE)))
        except subprocess.TimeoutExpired:
            if clock.mono() >= deadline:
                return None


def _kill_tree(child: "subprocess.Popen[bytes]") -> None:
    if sys.platform == "win32":
        import subprocess

        taskkill = os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        with suppress(OSError):
            subprocess.run([taskkill, "/T", "/F", "/PID", str(child.pid)], capture_output=True, check=False)
        child.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
