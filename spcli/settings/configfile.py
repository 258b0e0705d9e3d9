"""The config file: TOML, read whole, written whole and atomically, private from its first byte.

Errors never repeat the file's content: a broken line may contain the key.
"""

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, NamedTuple

from spcli.errors import SpcliError
from spcli.settings.places import config_path
from spcli.settings.table import DEFAULT_PROFILE, SPEC_OF, parse_profile_name, spec_of, typed_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from spcli.models import Secret

_LARGEST = 1 << 20
_LOGIN_KEYS = ("api_key", "api_key_command", "user_id")


class _Access(NamedTuple):
    mode: int
    owner: int


class ConfigFile:
    """One config file's content in memory. A missing file is an empty one; nothing is written before `save`.

    `note` is the reason why a file that may exist was not read.
    """

    def __init__(self, path: "Path", *, explicit: bool = True) -> None:
        self.path = path
        self.note: str | None = None
        self._explicit = explicit
        self._top: dict[str, object] = {}
        self._access: _Access | None = None

    @classmethod
    def load(cls, environ: "Mapping[str, str]") -> "ConfigFile":
        """Read the config file that `environ` names, or the default one.

        Raises:
            SpcliError: `config`, for a folder, a file that cannot be read, or one that is not TOML (with line and column, never
                its content).
        """
        config = cls(config_path(environ), explicit=bool(environ.get("SPCLI_CONFIG")))
        raw = config._read_bytes()
        if raw:
            config._top = _parse_toml(raw, config.path)
            config._check_shape()
        return config

    def _read_bytes(self) -> bytes:
        try:
            # O_NONBLOCK: opening a named pipe without a writer would hang.
            flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            with open(os.open(self.path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                self._access = _Access(status.st_mode, status.st_uid)
                raw = file.read(_LARGEST + 1)
        except FileNotFoundError:
            # Windows reports a path through a file like a missing one.
            parent = next((folder for folder in self.path.parents if folder.exists()), None)
            if parent is None or parent.is_dir():
                return b""
            reason = f"{parent} is a file"
        except OSError as exc:
            reason = exc.strerror or "unreadable"
        else:
            if len(raw) <= _LARGEST:
                return raw
            reason = "is larger than 1 MiB"
        return self._handle_unreadable(reason)

    def _handle_unreadable(self, reason: str) -> bytes:
        """Return nothing and keep a note if the default folder cannot be read (a container's user without a home)."""
        if os.path.isdir(self.path):
            raise self._error("is a folder", "point SPCLI_CONFIG to a file in it, such as " + str(self.path / "config.toml"))
        if self._explicit or os.path.lexists(self.path):
            raise self._error(f"cannot be read: {reason}", "fix its path or permissions, or point SPCLI_CONFIG to another file")
        self.note = f"ignoring {self.path}: {reason}"
        return b""

    def _check_shape(self) -> None:
        profiles = self._top.get("profiles", {})
        if not isinstance(profiles, dict):
            raise self._error("profiles must be a table", "write [profiles.default] above the settings of a profile")
        for name, profile in profiles.items():
            if not isinstance(profile, dict):
                label = name if name.isprintable() else "?"
                raise self._error(f"profiles.{label} must be a table", "write [profiles.NAME] above the settings of a profile")

    def _error(self, what: str, hint: str) -> SpcliError:
        return SpcliError("config", f"{self.path}: {what}", hint=hint)

    @property
    def _profile_tables(self) -> "dict[str, dict[str, object]]":
        return self._top.get("profiles", {})  # type: ignore[return-value]  # checked by _check_shape

    def profile_names(self) -> list[str]:
        """Return the names of the profiles in the file, in its order."""
        return list(self._profile_tables)

    @property
    def default_profile(self) -> str | None:
        """Return the file's `default_profile`. Raises `SpcliError` (config) if that is not a profile name."""
        name = self._top.get("default_profile") or None
        try:
            return name if name is None else parse_profile_name(name)
        except ValueError as reason:
            problem = f"default_profile {reason}"
        raise self._error(problem, f"run spcli config set default_profile {DEFAULT_PROFILE}")

    def get(self, profile: str, key: str) -> object | None:
        """Return the value in the file, of its TOML type; an empty string counts as unset."""
        value = self._profile_tables.get(profile, {}).get(key)
        return None if value == "" else value

    def set(self, profile: str, key: str, text: str) -> None:
        """Set `key` as typed by the user; `default_profile` is set for the whole file.

        Raises:
            SpcliError: `usage`, for a value that `table.typed_value` refuses, or a default profile that does not exist.
        """
        value = typed_value(key, text)
        if key != "default_profile":
            self._profile_table(profile)[key] = value
            return
        if value != DEFAULT_PROFILE and value not in self._profile_tables:
            raise SpcliError("usage", f"there is no profile {value}", hint=self.profile_hint(str(value)))
        self._top["default_profile"] = value

    def unset(self, profile: str, key: str) -> bool:
        """Remove `key` and return whether it was set. Raises `SpcliError` (usage) for a name that is not a setting."""
        table = self._top if key == "default_profile" else self._profile_tables.get(profile, {})
        if key not in table:
            spec_of(key)
            return False
        del table[key]
        return True

    def store_login(self, profile: str, *, user_id: str, key: "Secret", base_url: str) -> None:
        """Set credentials, bound to `base_url` (from `table.parse_base_url`)."""
        table = self._profile_table(profile)
        table["user_id"], table["api_key"] = user_id, key.reveal()
        if base_url != SPEC_OF["base_url"].default or table.get("base_url"):
            table["base_url"] = base_url

    def forget_login(self, profile: str) -> list[str]:
        """Remove the profile's key, key command and user ID; return the names of those that were set."""
        table = self._profile_tables.get(profile, {})
        return [key for key in _LOGIN_KEYS if table.pop(key, None) is not None]

    def _profile_table(self, profile: str) -> dict[str, object]:
        try:
            name = parse_profile_name(profile)
        except ValueError as reason:
            raise SpcliError("usage", f"the profile name {reason}") from None
        self._top.setdefault("profiles", {})
        return self._profile_tables.setdefault(name, {})

    def profile_hint(self, name: str) -> str:
        """Return a hint for a profile name that does not exist."""
        names = ", ".join(self.profile_names()) or "none"
        return f"profiles in {self.path}: {names}\nto create it, run spcli auth login --profile {name}"

    def check_private(self, *, readable: bool) -> None:
        """Refuse to use the credentials of a file that other users can change.

        Args:
            readable: the file contains the key itself, so other users must not be able to read it either.

        Raises:
            SpcliError: `config`, with the command that fixes it.
        """
        # On Windows the folder's access list keeps other users out, and file modes have no meaning.
        if self._access and sys.platform != "win32":
            problem = privacy_problem(self._access.mode, self._access.owner, user=os.geteuid(), readable=readable)
            if problem:
                import shlex  # only for this error

                what, command = problem
                raise self._error(f"{what}, so its key is not used", f"run {command} {shlex.quote(str(self.path))}")

    def save(self) -> None:
        """Write the file, mode 0600 from the first byte; a crash leaves the old file or the new one.

        A link is followed and its target replaced: people keep their settings in a folder of links.

        Raises:
            SpcliError: `config`, if it cannot be written; the old file is unchanged then.
        """
        from spcli.files import replace_file  # most commands write no config

        target = os.path.realpath(self.path)
        if os.path.exists(target) and not os.path.isfile(target):
            raise self._error("is not a regular file, nothing was written", "point SPCLI_CONFIG to a regular file")
        try:
            replace_file(target, self._to_toml())
        except OSError as exc:
            reason = exc.strerror or "unwritable"
            is_held_open = isinstance(exc, PermissionError) and sys.platform == "win32" and os.path.exists(target)
        else:
            return
        hint = "point SPCLI_CONFIG to a file in a folder that you can write to"
        if is_held_open:
            hint = "close the program that has the file open, such as an editor"
        raise self._error(f"cannot be written: {reason}", hint)

    def _to_toml(self) -> bytes:
        import tomli_w

        return tomli_w.dumps(self._top).encode()


def privacy_problem(mode: int, owner: int, *, user: int, readable: bool) -> tuple[str, str] | None:
    """Return why a file with that mode and owner is not private to `user`, and the command that fixes it; None if it is.

    Root may own it, as in a container with mounted settings. Root may also use the key in a user's file, as with sudo or in a
    container, but does not run that user's key command.
    """
    if owner not in (user, 0) and not (user == 0 and readable):
        return "belongs to another user", "sudo chown $(id -u)"
    if readable and stat.S_IMODE(mode) & 0o077:
        return "other users can read or write it", "chmod 600"
    if stat.S_IMODE(mode) & 0o022:
        return "other users can write it", "chmod go-w"
    return None


def _parse_toml(raw: bytes, path: "Path") -> dict[str, object]:
    import tomllib

    try:
        # Windows editors write a byte order mark, which TOML does not allow.
        return tomllib.loads(raw.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as exc:
        where = f" at byte {exc.start + 1}: save it as UTF-8"
    except (ValueError, RecursionError) as exc:
        where = _error_position(str(exc), raw)
    raise SpcliError("config", f"{path} is not TOML{where}", hint="fix that line, or move the file away and run spcli auth login")


def _error_position(message: str, raw: bytes) -> str:
    match = re.search(r"\(at line (\d+), column (\d+)\)\Z", message)
    if match:
        return f": line {match[1]}, column {match[2]}"
    if not message.endswith("(at end of document)"):
        return ""
    last = raw.rpartition(b"\n")[2].decode("utf-8")
    return f": line {raw.count(10) + 1}, column {len(last) + 1}, where the file ends"
