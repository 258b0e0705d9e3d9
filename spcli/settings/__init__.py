"""Settings, each from its first source: flag, environment, profile, default.

Nothing is parsed, read or run before it is needed: a command that needs no key does not run the key command, and `spcli config`
can fix a bad value.
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
    is_loopback_url,
    origin_of,
    parse_base_url,
    parse_command,
    parse_on_limit,
    parse_profile_name,
    parse_text,
    parse_user_id,
    parse_window,
    spec_of,
    unset_hint,
)

if TYPE_CHECKING:
    from pathlib import Path

    from spcli.models import Secret

__all__ = ["SETTINGS", "Flags", "SettingSpec", "Settings", "Value", "resolve_settings"]

_T = TypeVar("_T")
_NOT_SET = "not set"


class Value(NamedTuple):
    """A setting with its source in words. `value` is None if unset, and always for the key."""

    key: str
    value: object | None
    source: str


class Flags(NamedTuple):
    """Settings from the command line; None for those not given."""

    profile: str | None = None
    project: str | None = None
    on_limit: str | None = None


def resolve_settings(
    flags: Flags,
    environ: Mapping[str, str],
    *,
    stdin: Callable[[], bytes] | None = None,
    create_profile: bool = False,
) -> "Settings":
    """Return the settings of one run.

    Args:
        stdin: reads standard input to its end, for `STREAMPIXEL_API_KEY_FILE=-`.
        create_profile: the profile need not exist yet (`auth login`, `config set`).

    Raises:
        SpcliError: `config` for an unusable config file or an unknown profile; `usage` for an invalid flag.
    """
    settings = Settings(flags, environ, stdin=stdin)
    name = settings.profile
    if name != DEFAULT_PROFILE and name not in settings.config.profile_names() and not create_profile:
        source = settings.value("default_profile").source
        raise SpcliError("config", f"there is no profile {name} ({source})", hint=settings.config.profile_hint(name))
    return settings


class Settings:
    """The settings of one run, each computed when first read.

    Every property raises `SpcliError` (`config`, for a flag `usage`) with the source of a value that cannot be used, never the
    value.
    """

    def __init__(self, flags: Flags, environ: Mapping[str, str], *, stdin: Callable[[], bytes] | None = None) -> None:
        self._flags = {"--profile": flags.profile, "--project": flags.project, "--on-limit": flags.on_limit}
        self._environ = environ
        self._stdin = stdin
        self.config = ConfigFile.load(environ)

    @property
    def config_path(self) -> "Path":
        """Return the config file, whether it exists or not."""
        return self.config.path

    @property
    def notes(self) -> tuple[str, ...]:
        """Return notes about the config file that are not failures."""
        return (self.config.note,) if self.config.note else ()

    @cached_property
    def profile(self) -> str:
        """Return the name of the profile in use."""
        return self._read_setting("default_profile", parse_profile_name) or DEFAULT_PROFILE

    @cached_property
    def state_dir(self) -> "Path":
        """Return the folder of `state.db`; without a home folder a path that cannot exist, so the state goes to the temp dir."""
        return state_dir(self._environ)

    @cached_property
    def base_url(self) -> str:
        """Return the service's URL, without a slash at the end."""
        return self._read_setting("base_url", parse_base_url) or ""

    @cached_property
    def user_id(self) -> str | None:
        """Return the ID of the account."""
        return self._read_setting("user_id", parse_user_id)

    @cached_property
    def project(self) -> str | None:
        """Return the ID, name or URL of the project to act on."""
        return self._read_setting("project", parse_text)

    @cached_property
    def on_limit(self) -> str:
        """Return `wait` or `fail`: what to do at a rate limit."""
        return self._read_setting("on_limit", parse_on_limit) or ""

    @cached_property
    def is_loopback(self) -> bool:
        """Return whether the service is a sandbox or test server on this machine."""
        return is_loopback_url(self.base_url)

    @cached_property
    def window(self) -> float:
        """Return the seconds between limited calls; always 122 for a service that is not on this machine."""
        return (self.is_loopback and self._read_setting("window", parse_window)) or WINDOW

    @property
    def scale(self) -> float:
        """Return the factor of all fixed times: 1 for the real service, less for a quick sandbox."""
        return self.window / NOMINAL_WINDOW if self.is_loopback else 1.0

    def values(self) -> list[Value]:
        """Return every setting with its source, in the order of `SETTINGS`."""
        return [self.value(spec.key) for spec in SETTINGS]

    def value(self, key: str) -> Value:
        """Return one setting with its source, but never the key.

        Raises:
            SpcliError: `usage` for an unknown setting; `config` for a value that cannot be used.
        """
        spec = spec_of(key)
        if key == "api_key":
            return Value(key, None, self._key_source())
        if key == "api_key_command":
            # Its arguments may contain a secret, so only the program is shown.
            command = self._read_setting(key, parse_command)
            return Value(key, command and os.path.basename(command[0]), self._first_source(spec).source)
        if key in ("config_file", "state_dir"):
            path = self.config_path if key == "config_file" else self.state_dir
            variable = spec.environment[0]
            return Value(key, str(path), f"environment {variable}" if self._environ.get(variable) else "default")
        value: object = self.profile if key == "default_profile" else getattr(self, key)
        source = self._first_source(spec).source
        if key == "window" and not self.is_loopback:
            source = "default" if source == "default" else f"fixed, because base_url is not on this machine ({source} is ignored)"
        return Value(key, value, source)

    @cached_property
    def api_key(self) -> "Secret | None":
        """Return the API key, None if none is set.

        Raises:
            SpcliError: `usage` if both variables are set; `config` if the key cannot be used, if other users can read the config
                file, or if a stored key belongs to another service than `base_url`.
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
                raise self._setting_error("api_key", self._profile_source, problem="must be a string")
            return clean_key(stored.encode("utf-8"), source=f"the api_key of {self._profile_source}")
        command = self._read_setting("api_key_command", parse_command)
        if command is None:
            return None
        self._check_stored(readable=False)
        return run_key_command(command, self._environ)

    def require_credentials(self) -> "tuple[str, Secret]":
        """Return user ID and API key.

        Raises:
            SpcliError: `config`, with the commands that set them, if one is missing; errors of `user_id` and `api_key`.
        """
        user_id = self.user_id
        # The user ID first: a key command may ask for a fingerprint, in vain if the user ID is missing.
        key = self.api_key if user_id or self._key_source() == _NOT_SET else None
        if user_id and key:
            return user_id, key
        missing = "user ID" if self._key_source() != _NOT_SET else "API key" if user_id else "user ID and no API key"
        hint = login_hint(self.profile, self.config.profile_names())
        raise SpcliError("config", f"no {missing} is set for profile {self.profile}", hint=hint)

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
        """Refuse a stored key that other users can read, or that belongs to another service than `base_url`."""
        self.config.check_private(readable=readable)
        own = self.config.get(self.profile, "base_url") or SPEC_OF["base_url"].default
        try:
            stored = origin_of(parse_base_url(own))
        except ValueError as problem:
            raise self._setting_error("base_url", self._profile_source, problem=str(problem)) from None
        target = origin_of(self.base_url)
        if stored != target:
            raise SpcliError(
                "config",
                f"the key of profile {self.profile} belongs to {stored} and is not sent to {target}",
                hint="set STREAMPIXEL_API_KEY to that service's key, or store it with spcli auth login --profile NAME\n"
                f"or use the profile's own service:\n{unset_hint('STREAMPIXEL_BASE_URL')}",
            )

    def _first_source(self, spec: SettingSpec) -> Value:
        """Return the setting from its first source, not parsed yet."""
        flag = self._flags.get(spec.flag or "")
        if flag is not None:
            return Value(spec.key, flag, f"flag {spec.flag}")
        for name in spec.environment:
            if self._environ.get(name):
                return Value(spec.key, self._environ[name], f"environment {name}")
        is_profile = spec.key == "default_profile"
        stored = self.config.default_profile if is_profile else self.config.get(self.profile, spec.key)
        if stored is not None:
            return Value(spec.key, stored, str(self.config_path) if is_profile else self._profile_source)
        return Value(spec.key, spec.default, "default" if spec.default is not None else _NOT_SET)

    def _read_setting(self, key: str, parse: Callable[[object], _T]) -> _T | None:
        """Return the setting, parsed by `parse`; None if nothing sets it."""
        raw = self._first_source(SPEC_OF[key])
        if raw.value is None:
            return None
        try:
            value = parse(raw.value)
        except ValueError as problem:
            raise self._setting_error(key, raw.source, problem=str(problem)) from None
        if value == "":
            raise self._setting_error(key, raw.source, problem="is empty")
        return value

    def _setting_error(self, key: str, source: str, *, problem: str) -> SpcliError:
        kind, _, variable = source.partition(" ")
        if kind == "flag":
            return SpcliError("usage", f"{variable} {problem}", hint=f"{key}: {SPEC_OF[key].description}")
        hint = unset_hint(variable) if kind == "environment" else f"run spcli config unset {key} --profile {self.profile}"
        return SpcliError("config", f"{key} ({source}) {problem}", hint=hint)
