"""Places: the config file, the state folder, and programs on PATH. Never the current folder."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from spcli.errors import SpcliError


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the config file: `SPCLI_CONFIG`, else the platform's place for a user's configuration.

    Without a home folder it is the null device, which reads as an empty file. Raises `SpcliError` (config) as `_absolute_path`.
    """
    if environ.get("SPCLI_CONFIG"):
        return _absolute_path("SPCLI_CONFIG", environ)
    from platformdirs import user_config_dir

    folder = _absolute_folder(lambda: user_config_dir("spcli", appauthor=False))
    return folder / "config.toml" if folder else Path(os.devnull)


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of `state.db`: `SPCLI_STATE_DIR`, else the platform's place for a user's state.

    Without a home folder it is a path that cannot exist, so the state goes to the temp dir. Raises `SpcliError` (config) as
    `_absolute_path`.
    """
    if environ.get("SPCLI_STATE_DIR"):
        return _absolute_path("SPCLI_STATE_DIR", environ)
    from platformdirs import user_state_dir

    return _absolute_folder(lambda: user_state_dir("spcli", appauthor=False)) or Path(os.devnull, "spcli")


def _absolute_path(variable: str, environ: Mapping[str, str]) -> Path:
    """Return the path in `variable`. Raises `SpcliError` (config) if it is relative and the current folder was deleted."""
    if sys.platform == "win32" and environ[variable].rstrip(":").upper() in ("NUL", "\\\\.\\NUL"):
        return Path(os.devnull)  # `abspath` returns a path without a name
    try:
        return Path(os.path.abspath(environ[variable]))
    except OSError:
        raise SpcliError(
            "config",
            f"cannot use {variable} ({environ[variable]}): the path is relative, and the current folder was deleted",
            hint=f"set {variable} to an absolute path, or change to a folder that exists",
        ) from None


def _absolute_folder(find: Callable[[], str]) -> Path | None:
    """Return the folder; None for a user without a home, where platformdirs raises or leaves a relative `~`."""
    try:
        folder = find()
    except RuntimeError:
        return None
    return Path(folder) if os.path.isabs(folder) else None


def find_program(program: str, environ: Mapping[str, str], *, platform: str = sys.platform) -> str | None:
    """Return the absolute path of `program`: itself if absolute, else the first on PATH; None if there is none.

    Relative entries of PATH (also an empty one and `.`) are ignored: a file in the current folder must never see the key. On
    Windows a name without one of the extensions in PATHEXT gets one: npm puts a shell script `tool` beside `tool.cmd`.
    """
    endings = [""]
    if platform == "win32":
        extensions = [ending for ending in environ.get("PATHEXT", ".COM;.EXE;.BAT;.CMD").split(";") if ending]
        is_complete = program.lower().endswith(tuple(map(str.lower, extensions)))
        endings = [*([""] if is_complete else []), *extensions]
    if os.path.isabs(program):
        return _first_executable([program + ending for ending in endings]) or program
    if os.path.basename(program) != program:
        return None
    folders = [folder.strip('"') for folder in environ.get("PATH", os.defpath).split(os.pathsep)]
    return _first_executable(
        [os.path.join(folder, program + ending) for folder in folders if os.path.isabs(folder) for ending in endings]
    )


def _first_executable(paths: list[str]) -> str | None:
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def find_batch_character(argv: Sequence[str], *, platform: str = sys.platform) -> str | None:
    """Return the first character of `argv` that cmd.exe would interpret, if the program is a batch file; None if all are safe.

    Windows runs batch files by cmd.exe, which expands `%` and obeys `&` in quoted arguments as well.
    """
    if platform != "win32" or not argv[0].lower().rstrip(". ").endswith((".bat", ".cmd")):
        return None
    return next((letter for word in argv for letter in word if letter in '&|<>^%!"\r\n'), None)
