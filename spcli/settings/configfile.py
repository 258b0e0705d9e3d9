"""The config file: TOML, read whole, written whole and atomically, private from its first byte.

What the file says is never repeated in an error: a broken line may be the one with the key.
"""

import os
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

    `note` says, for people, why a file that may exist was not looked at.
    """

    def __init__(self, path: "Path", *, explicit: bool = True) -> None:
        self.path = path
        self.note: str | None = None
        self._explicit = explicit
        self._top: dict[str, object] = {}
        self._access: _Access | None = None

    @classmethod
    def load(cls, environ: "Mapping[str, str]") -> "ConfigFile":
        """Read the config file that `environ` leads to.

        Raises:
            SpcliError: `config`, for a folder in its place, a file that cannot be read, or one that is not TOML (with line and
                column, never its content).
        """
        config = cls(config_path(environ), explicit=bool(environ.get("SPCLI_CONFIG")))
        raw = config._read()
        if raw:
            config._top = _parsed(raw, config.path)
            config._check_shape()
        return config

    def _read(self) -> bytes:
        try:
            # O_NONBLOCK: a named pipe without a writer would hold us for ever.
            flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            with open(os.open(self.path, flags), "rb") as file:
                status = os.fstat(file.fileno())
                self._access = _Access(status.st_mode, status.st_uid)
                raw = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return b""
        except OSError as exc:
            reason = exc.strerror or "unreadable"
        else:
            if len(raw) <= _LARGEST:
                return raw
            reason = "is larger than 1 MiB"
        return self._unreadable(reason)

    def _unreadable(self, reason: str) -> bytes:
        """Empty, with a note, when only the default place is closed to us (a container's user without a home)."""
        if os.path.isdir(self.path):
            raise self.problem("is a folder", "point SPCLI_CONFIG at a file in it, such as " + str(self.path / "config.toml"))
        if self._explicit or os.path.lexists(self.path):
            raise self.problem(f"cannot be read: {reason}", "mend its permissions, or point SPCLI_CONFIG at another file")
        self.note = f"{self.path} was not looked at: {reason}"
        return b""

    def _check_shape(self) -> None:
        profiles = self._top.get("profiles", {})
        if not isinstance(profiles, dict):
            raise self.problem("profiles must be a table", "write [profiles.default] above the settings of a profile")
        for name, profile in profiles.items():
            if not isinstance(profile, dict):
                shown = name if name.isprintable() else "?"
                raise self.problem(f"profiles.{shown} must be a table", "write [profiles.NAME] above the settings of a profile")

    def problem(self, what: str, hint: str) -> SpcliError:
        """The `config` error that says `what` of this file."""
        return SpcliError("config", f"{self.path}: {what}", hint=hint)

    @property
    def _profiles(self) -> "dict[str, dict[str, object]]":
        return self._top.get("profiles", {})  # type: ignore[return-value]  # _check_shape saw to it

    def profiles(self) -> list[str]:
        """The names of the profiles in the file, in its order."""
        return list(self._profiles)

    @property
    def default_profile(self) -> str | None:
        """The file's `default_profile`. Raises `SpcliError` (config) when that is no profile name."""
        name = self._top.get("default_profile") or None
        try:
            return name if name is None else parse_profile_name(name)
        except ValueError as reason:
            problem = f"default_profile {reason}"
        raise self.problem(problem, f"type: spcli config set default_profile {DEFAULT_PROFILE}")

    def get(self, profile: str, key: str) -> object | None:
        """What the file holds, as TOML typed it; an empty text counts as unset."""
        value = self._profiles.get(profile, {}).get(key)
        return None if value == "" else value

    def set(self, profile: str, key: str, text: str) -> None:
        """Set `key` as typed by the user; `default_profile` is set for the file, whatever `profile` says.

        Raises:
            SpcliError: `usage`, for what `settingspec.typed_value` refuses and a default profile that does not exist.
        """
        value = typed_value(key, text)
        if key != "default_profile":
            self._table(profile)[key] = value
            return
        if value != DEFAULT_PROFILE and value not in self._profiles:
            raise SpcliError("usage", f"there is no profile {value}", hint=self.profile_hint(str(value)))
        self._top["default_profile"] = value

    def unset(self, profile: str, key: str) -> bool:
        """Remove `key`; whether it was there. Raises `SpcliError` (usage) for a name that is no setting and not in the file."""
        table = self._top if key == "default_profile" else self._profiles.get(profile, {})
        if key not in table:
            spec_of(key)
            return False
        del table[key]
        return True

    def store_login(self, profile: str, *, user_id: str, key: "Secret", base_url: str) -> None:
        """Remember credentials, bound to `base_url` (in the form `settingspec.parse_base_url` gives)."""
        table = self._table(profile)
        table["user_id"], table["api_key"] = user_id, key.reveal()
        if base_url != SPEC_OF["base_url"].default or table.get("base_url"):
            table["base_url"] = base_url

    def forget_login(self, profile: str) -> list[str]:
        """Remove the profile's key, key command and user id; the names of those that were there."""
        table = self._profiles.get(profile, {})
        return [key for key in _LOGIN_KEYS if table.pop(key, None) is not None]

    def _table(self, profile: str) -> dict[str, object]:
        try:
            name = parse_profile_name(profile)
        except ValueError as reason:
            raise SpcliError("usage", f"a profile's name {reason}") from None
        self._top.setdefault("profiles", {})
        return self._profiles.setdefault(name, {})

    def profile_hint(self, name: str) -> str:
        """What to type when a profile of that name does not exist."""
        names = ", ".join(self.profiles()) or "none"
        return f"profiles in {self.path}: {names}\nto make it, type: spcli auth login --profile {name}"

    def check_private(self, *, readable: bool) -> None:
        """Refuse to use credentials of a file that is not ours alone.

        Args:
            readable: the file holds the key itself, so that others must not read it; else they must not write it.

        Raises:
            SpcliError: `config`, with the line to type.
        """
        # Windows keeps other users out by the folder's access list; its modes say nothing.
        if self._access and sys.platform != "win32":
            found = privacy_problem(self._access.mode, self._access.owner, user=os.geteuid(), readable=readable)
            if found:
                import shlex

                what, command = found
                raise self.problem(f"{what}, so its key is not used", f"type: {command} {shlex.quote(str(self.path))}")

    def save(self) -> None:
        """Write the file, mode 0600 from the first byte; a crash leaves the old one or the new one.

        A link is followed and its target replaced, as people keep their settings in a folder of links.

        Raises:
            SpcliError: `config`, when it cannot be written; the old file is untouched then.
        """
        from spcli.files import replace_file

        target = os.path.realpath(self.path)
        if os.path.exists(target) and not os.path.isfile(target):
            raise self.problem("is not a regular file, nothing was written", "point SPCLI_CONFIG at a file of your own")
        try:
            replace_file(target, self._dumped())
        except OSError as exc:
            reason = exc.strerror or "unwritable"
        else:
            return
        raise self.problem(f"could not be written: {reason}", "point SPCLI_CONFIG at a file in a folder you may write to")

    def _dumped(self) -> bytes:
        import tomli_w

        return tomli_w.dumps(self._top).encode()


def privacy_problem(mode: int, owner: int, *, user: int, readable: bool) -> tuple[str, str] | None:
    """Why a file with that mode and owner is not private to `user`, and the command that mends it; `None` when it is.

    The system's administrator (0) may own it, as in a container whose settings are mounted.
    """
    if owner not in (user, 0):
        return "belongs to another user", "sudo chown $(id -u)"
    if readable and stat.S_IMODE(mode) & 0o077:
        return "can be read or written by others", "chmod 600"
    if stat.S_IMODE(mode) & 0o022:
        return "can be written by others", "chmod go-w"
    return None


def _parsed(raw: bytes, path: "Path") -> dict[str, object]:
    import tomllib

    try:
        # Windows' editors put a byte order mark first, which TOML does not know.
        return tomllib.loads(raw.decode("utf-8").removeprefix("\ufeff"))
    except UnicodeDecodeError as exc:
        where = f" at byte {exc.start + 1}: save it as UTF-8"
    except (ValueError, RecursionError) as exc:
        where = _place(str(exc), raw)
    raise SpcliError(
        "config", f"{path} is not TOML{where}", hint="mend that line, or move the file away and type: spcli auth login"
    )


def _place(message: str, raw: bytes) -> str:
    import re

    found = re.search(r"\(at line (\d+), column (\d+)\)\Z", message)
    if found:
        return f": line {found[1]}, column {found[2]}"
    if not message.endswith("(at end of document)"):
        return ""
    last = raw.rpartition(b"\n")[2].decode("utf-8")
    return f": line {raw.count(10) + 1}, column {len(last) + 1}, where the file ends"
