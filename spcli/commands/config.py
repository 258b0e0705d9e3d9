"""`spcli config`: settings, each with where its value came from."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.settings import Value

Key = Annotated[str, typer.Argument(metavar="KEY", help="A setting: `spcli config list` names them.")]


def _shown(value: "Value") -> str:
    if value.key == "api_key":
        return "" if value.source == "not set" else "****"
    return "" if value.value is None else str(value.value)


def list_settings(ctx: typer.Context) -> None:
    """List all settings, each with where it comes from.

    The key itself is never shown.
    """
    runtime: Runtime = ctx.obj
    values = runtime.settings.values()
    runtime.output.listing(
        [{"key": value.key, "value": value.value, "source": value.source} for value in values],
        columns=("SETTING", "VALUE", "SOURCE"),
        rows=[(value.key, _shown(value), value.source) for value in values],
        bare=[f"{value.key}={_shown(value)}" for value in values],
        empty="",
    )


def get(ctx: typer.Context, key: Key) -> None:
    """Print one setting.

    Nothing, and exit 13, when it is not set.
    """
    runtime: Runtime = ctx.obj
    value = runtime.settings.value(key)
    if value.source == "not set":
        raise SpcliError(
            "no-target", f"{key} is not set", hint=f"spcli config set {key} VALUE" if key != "api_key" else "spcli auth login"
        )
    # A key is never shown: what can be told of it is where it is.
    shown = f"{_shown(value)} ({value.source})" if key == "api_key" else _shown(value)
    runtime.output.result({"key": value.key, "value": value.value, "source": value.source}, lines=[shown], bare=_shown(value))


def set_setting(
    ctx: typer.Context,
    key: Key,
    value: Annotated[list[str], typer.Argument(metavar="VALUE", help="Its value.")],
) -> None:
    """Write a setting to the profile.

    \b
      spcli config set project 665a2b3c4d5e6f7a8b9c0d1e
      spcli config set on_limit fail --profile ci
    """
    runtime: Runtime = ctx.obj
    runtime.creates_profile = True
    settings = runtime.settings
    settings.config.set(settings.profile, key, _joined(key, value))
    settings.config.save()
    _done(runtime, key, f"{key} set in {settings.config_path}")


def _joined(key: str, words: list[str]) -> str:
    """One value; several words are a command line for `api_key_command`, and a mistake for anything else."""
    if len(words) == 1:
        return words[0]
    if key == "api_key_command":
        import json

        return json.dumps(words)
    raise SpcliError("usage", f"{key} takes one value", hint="quote a value that holds spaces")


def unset(ctx: typer.Context, key: Key) -> None:
    """Remove a setting from the profile."""
    runtime: Runtime = ctx.obj
    settings = runtime.settings
    was_there = settings.config.unset(settings.profile, key)
    if was_there:
        settings.config.save()
    _done(runtime, key, f"{key} removed" if was_there else f"{key} was not set in profile {settings.profile}")


def _done(runtime: "Runtime", key: str, text: str) -> None:
    settings = runtime.settings
    runtime.output.result({"key": key, "profile": settings.profile, "path": str(settings.config_path)}, lines=[text], bare="")


def path(ctx: typer.Context) -> None:
    """Print the config file's path, whether it exists or not."""
    runtime: Runtime = ctx.obj
    where = str(runtime.settings.config_path)
    runtime.output.result({"path": where}, lines=[where], bare=where)


def profiles(ctx: typer.Context) -> None:
    """List the profiles."""
    runtime: Runtime = ctx.obj
    runtime.creates_profile = True
    settings = runtime.settings
    names = settings.config.profile_names()
    rows = [(name, "in use" if name == settings.profile else "") for name in names]
    runtime.output.listing(
        [{"name": name, "inUse": name == settings.profile} for name in names],
        columns=("PROFILE", ""),
        rows=rows,
        bare=names,
        empty=f"no profile yet in {settings.config_path}: spcli auth login makes one",
    )
