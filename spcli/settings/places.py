"""Where this program's files lie: the two variables, else the platform's own places. Never the current folder."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path


def config_path(environ: Mapping[str, str]) -> Path:
    """The config file: `SPCLI_CONFIG`, else the platform's place for a user's configuration.

    Without a home folder it is the null device, which reads as an empty file.
    """
    if environ.get("SPCLI_CONFIG"):
        return Path(os.path.abspath(environ["SPCLI_CONFIG"]))
    from platformdirs import user_config_dir

    folder = _known(lambda: user_config_dir("spcli", appauthor=False))
    return folder / "config.toml" if folder else Path(os.devnull)


def state_dir(environ: Mapping[str, str]) -> Path:
    """The folder of `state.db`: `SPCLI_STATE_DIR`, else the platform's place for a user's state.

    Without a home folder it is a path that cannot exist, which sends the state to the temp dir.
    """
    if environ.get("SPCLI_STATE_DIR"):
        return Path(os.path.abspath(environ["SPCLI_STATE_DIR"]))
    from platformdirs import user_state_dir

    return _known(lambda: user_state_dir("spcli", appauthor=False)) or Path(os.devnull, "spcli")


def _known(find: Callable[[], str]) -> Path | None:
    """The folder, `None` for a container's user without a home: platformdirs raises then, or leaves a relative `~`."""
    try:
        folder = find()
    except RuntimeError:
        return None
    return Path(folder) if os.path.isabs(folder) else None
