"""Where every setting comes from: flag over environment over profile over default.

Nothing is judged, read or run before it is asked for, so that a command which needs no key never runs the key command, and a
bad value can be mended with `spcli config`.
"""

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from spcli.errors import SpcliError
from spcli.settings.configfile import ConfigFile
from spcli.settings.credentials import clean_key, key_variable, login_hint, read_key_file, run_key_command
from spcli.settings.places import state_dir
from spcli.settings.table import (
    DEFAULT_PROFILE,
    NOMINAL_WINDOW,
    SETTINGS,
    SPEC_OF,
    WINDOW,
    SettingSpec,
    is_loopback,
    origin,
    parse_base_url,
    parse_command,
    parse_on_limit,
    parse_profile_name,
    parse_text,
    parse_user_id,
    parse_window,
    spec_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spcli.models import Secret

__all__ = ["SETTINGS", "Flags", "SettingSpec", "Settings", "Value", "resolve"]

_T = TypeVar("_T")
_NOT_SET = "not set"


class Value(NamedTuple):
    """A setting in force. `source` says in words where it came from; `value` is `None` when unset, and for the key always."""

    key: str
    value: object | None
    source: str


class Flags(NamedTuple):
    """What the command line said of the settings; `None` where it said nothing."""

    profile: str | None = None
    project: str | None = None
    on_limit: str | None = None


def resolve(
    flags: Flags,
    environ: Mapping[str, str],
    *,
    stdin: Callable[[], bytes] | None = None,
    create_profile: bool = False,
) -> "Settings":
    """The settings of one run.

    Args:
        stdin: reads standard input to its end, for `STREAMPIXEL_API_KEY_FILE=-`.
        create_profile: the profile need not exist yet (`auth login`, `config set`).

    Raises:
        SpcliError: `config` for an unusable config file or an unknown profile; `usage` for an unfit flag.
    """
    settings = Settings(flags, environ, stdin=stdin)
    name, known = settings.profile, settings.config.profiles()
    if name != DEFAULT_PROFILE and name not in known and not create_profile:
        source = settings.value("default_profile").source
        raise SpcliError("config", f"there is no profile {name} ({source})", hint=settings.config.profile_hint(name))
    return settings


class Settings:
    """The settings of one run, each worked out when first read.

    Every property raises `SpcliError` (`config`, for a flag `usage`) naming the source of a value it cannot use, never the value.
    """

    def __init__(self, flags: Flags, environ: Mapping[str, str], *, stdin: Callable[[], bytes] | None = None) -> None:
        self._flags = {"--profile": flags.profile, "--project": flags.project, "--on-limit": flags.on_limit}
        self._environ = environ
        self._stdin = stdin
        self.config = ConfigFile.load(environ)

    @property
    def config_path(self) -> "Path":
        """The config file, whether it exists or not."""
        return self.config.path

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about the config file, though nothing failed."""
        return (self.config.note,) if self.config.note else ()

    @cached_property
    def profile(self) -> str:
        """The name of the profile in force."""
        return self._read("default_profile", parse_profile_name) or DEFAULT_PROFILE

    @cached_property
    def state_dir(self) -> "Path":
        """The folder of `state.db`; without a home folder a path that cannot exist, which sends the state to the temp dir."""
        return state_dir(self._environ)

    @cached_property
    def base_url(self) -> str:
        """The service, without a slash at the end."""
        return self._read("base_url", parse_base_url) or ""

    @cached_property
    def user_id(self) -> str | None:
        """The id of the account."""
        return self._read("user_id", parse_user_id)

    @cached_property
    def project(self) -> str | None:
        """The id or name of the project to act on."""
        return self._read("project", parse_text)

    @cached_property
    def on_limit(self) -> str:
        """`wait` or `fail`: what to do while a window is closed."""
        return self._read("on_limit", parse_on_limit) or ""

    @property
    def is_loopback(self) -> bool:
        """Whether the service is a sandbox or test server on this machine."""
        return is_loopback(self.base_url)

    @cached_property
    def window(self) -> float:
        """Seconds between limited calls; 122 for every service that is not on this machine, whatever is set."""
        return (self.is_loopback and self._read("window", parse_window)) or WINDOW

    @property
    def scale(self) -> float:
        """What every fixed time is multiplied with: 1 for the real service, less for a quick sandbox."""
        return self.window / NOMINAL_WINDOW if self.is_loopback else 1.0

    def values(self) -> list[Value]:
        """Every setting with its source, in the order of `SETTINGS`."""
        return [self.value(spec.key) for spec in SETTINGS]

    def value(self, key: str) -> Value:
        """One setting with its source; a credential shows only that it is set.

        Raises:
            SpcliError: `usage` for an unknown setting; `config` for a value that cannot be used.
        """
        spec = spec_of(key)
        if key == "api_key":
            return Value(key, None, self._key_source())
        if key == "api_key_command":
            # Its arguments may hold a secret, so only the program is shown.
            command = self._read(key, parse_command)
            return Value(key, command and os.path.basename(command[0]), self._found(spec).source)
        if key in ("config_file", "state_dir"):
            path = self.config_path if key == "config_file" else self.state_dir
            variable = spec.environment[0]
            return Value(key, str(path), f"environment {variable}" if self._environ.get(variable) else "default")
        shown: object = self.profile if key == "default_profile" else getattr(self, key)
        source = self._found(spec).source
        if key == "window" and not self.is_loopback:
            source = "default" if source == "default" else f"fixed, as base_url is not on this machine (not from {source})"
        return Value(key, shown, source)

    @cached_property
    def api_key(self) -> "Secret | None":
        """The API key, `None` when nothing sets one.

        Raises:
            SpcliError: `usage` when both variables are set; `config` when what is set gives no usable key, when others can read
                the config file, or when a stored key belongs to another service than `base_url`.
        """
        variable = key_variable(self._environ)
        if variable == "STREAMPIXEL_API_KEY":
            return clean_key(self._environ[variable].encode("utf-8", "surrogateescape"), source=variable)
        if variable:
            return self._key_of_file(self._environ[variable])
        stored = self.config.get(self.profile, "api_key")
        if stored is not None:
            self._check_stored(readable=True)
            if not isinstance(stored, str):
                raise self._unfit("api_key", self._profile_source, problem="must be text in quotes")
            return clean_key(stored.encode("utf-8"), source=f"the api_key of {self._profile_source}")
        command = self._read("api_key_command", parse_command)
        if command is None:
            return None
        self._check_stored(readable=False)
        return run_key_command(command, self._environ)

    def require_credentials(self) -> "tuple[str, Secret]":
        """User id and API key.

        Raises:
            SpcliError: `config`, with the lines to type, when one is missing; whatever `user_id` and `api_key` raise.
        """
        user_id = self.user_id
        # The user id first: a key command may ask for a fingerprint, which would be for nothing.
        key = self.api_key if user_id or self._key_source() == _NOT_SET else None
        if user_id and key:
            return user_id, key
        lacking = "user id" if self._key_source() != _NOT_SET else "API key" if user_id else "user id and no API key"
        raise SpcliError(
            "config", f"no {lacking} is set for profile {self.profile}", hint=login_hint(self.profile, self.config.profiles())
        )

    def _key_of_file(self, path: str) -> "Secret":
        if path != "-":
            return read_key_file(path)
        return clean_key(self._stdin() if self._stdin else b"", source="the key from standard input")

    def _key_source(self) -> str:
        variable = key_variable(self._environ)
        if variable:
            return f"environment {variable}"
        if self.config.get(self.profile, "api_key") is not None:
            return self._profile_source
        if self.config.get(self.profile, "api_key_command") is not None:
            return f"api_key_command of {self._profile_source}"
        return _NOT_SET

    @property
    def _profile_source(self) -> str:
        return f"profile {self.profile} in {self.config_path}"

    def _check_stored(self, *, readable: bool) -> None:
        """Refuse a stored key that others can read, or that belongs to another service than the one in force."""
        self.config.check_private(readable=readable)
        own = self.config.get(self.profile, "base_url") or SPEC_OF["base_url"].default
        try:
            home = origin(parse_base_url(own))
        except ValueError as problem:
            raise self._unfit("base_url", self._profile_source, problem=str(problem)) from None
        target = origin(self.base_url)
        if home != target:
            raise SpcliError(
                "config",
                f"the key of profile {self.profile} belongs to {home} and is not sent to {target}",
                hint="give the key of that service in STREAMPIXEL_API_KEY, or store it: spcli auth login --profile NAME\n"
                "or go back to the profile's own; in bash: unset STREAMPIXEL_BASE_URL\n"
                "in PowerShell: Remove-Item Env:STREAMPIXEL_BASE_URL",
            )

    def _found(self, spec: SettingSpec) -> Value:
        """The setting as its first source gave it."""
        flag = self._flags.get(spec.flag or "")
        if flag is not None:
            return Value(spec.key, flag, f"flag {spec.flag}")
        for name in spec.environment:
            if self._environ.get(name):
                return Value(spec.key, self._environ[name], f"environment {name}")
        if spec.key == "default_profile":
            stored: object = self.config.default_profile
            place = str(self.config_path)
        else:
            stored, place = self.config.get(self.profile, spec.key), self._profile_source
        if stored is not None:
            return Value(spec.key, stored, place)
        return Value(spec.key, spec.default, "default" if spec.default is not None else _NOT_SET)

    def _read(self, key: str, parse: Callable[[object], _T]) -> _T | None:
        """The setting in force, judged by `parse`; `None` when nothing sets it."""
        found = self._found(SPEC_OF[key])
        if found.value is None:
            return None
        try:
            value = parse(found.value)
        except ValueError as problem:
            raise self._unfit(key, found.source, problem=str(problem)) from None
        if value == "":
            raise self._unfit(key, found.source, problem="is empty")
        return value

    def _unfit(self, key: str, source: str, *, problem: str) -> SpcliError:
        kind, _, variable = source.partition(" ")
        if kind == "flag":
            return SpcliError("usage", f"{variable} {problem}", hint=f"{key}: {SPEC_OF[key].description}")
        if kind == "environment":
            hint = f"in bash: unset {variable}\nin PowerShell: Remove-Item Env:{variable}"
        else:
            hint = f"type: spcli config unset {key} --profile {self.profile}"
        return SpcliError("config", f"{key} ({source}) {problem}", hint=hint)
