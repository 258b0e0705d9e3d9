"""`spcli config`: settings and their sources."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.settings import Value

Key = Annotated[str, typer.Argument(metavar="KEY", help="A setting, as listed by `spcli config list`.")]


def _value_text(value: "Value") -> str:
    if value.key == "api_key":
        return "" if value.source == "not set" else "****"
    return "" if value.value is None else str(value.value)


def list_settings(ctx: typer.Context) -> None:
    """List all settings and their sources.

    The API key itself is never shown.
    """
    runtime: Runtime = ctx.obj
    values = runtime.settings.values()
    runtime.output.listing(
        [{"key": value.key, "value": value.value, "source": value.source} for value in values],
        columns=("SETTING", "VALUE", "SOURCE"),
        rows=[(value.key, _value_text(value), value.source) for value in values],
        bare=[f"{value.key}={_value_text(value)}" for value in values],
        empty="",
    )


def get(ctx: typer.Context, key: Key) -> None:
    """Print one setting.

    If it is not set, prints nothing and exits with 13.
    """
    runtime: Runtime = ctx.obj
    value = runtime.settings.value(key)
    if value.source == "not set":
        hint = f"run spcli config set {key} VALUE" if key != "api_key" else "run spcli auth login"
        raise SpcliError("no-target", f"{key} is not set", hint=hint)
    text = _value_text(value)
    # The key is never shown, but its source is.
    line = f"{text} ({value.source})" if key == "api_key" else text
    runtime.output.result({"key": value.key, "value": value.value, "source": value.source}, lines=[line], bare=text)


def set_setting(
    ctx: typer.Context,
    key: Key,
    value: Annotated[list[str], typer.Argument(metavar="VALUE", help="The value.")],
) -> None:
    """Write a setting to the profile.

    \b
      spcli config set project 665a2b3c4d5e6f7a8b9c0d1e
      spcli config set on_limit fail --profile ci
    """
    runtime: Runtime = ctx.obj
    runtime.creates_profile = True
    settings = runtime.settings
    settings.config.set(settings.profile, key, _join_words(key, value))
    settings.config.save()
    _report_change(runtime, key, f"set {key} in {settings.config_path}")
    if key == "project":
        runtime.output.note("the project was not looked up: verify it with `spcli projects show`")


def _join_words(key: str, words: list[str]) -> str:
    """Return the words as one value. Only `api_key_command` takes several."""
    if len(words) == 1:
        return words[0]
    if key == "api_key_command":
        import json  # only for this setting

        return json.dumps(words)
    raise SpcliError("usage", f"{key} takes one value", hint="quote a value that contains spaces")


def unset(ctx: typer.Context, key: Key) -> None:
    """Remove a setting from the profile."""
    runtime: Runtime = ctx.obj
    settings = runtime.settings
    was_set = settings.config.unset(settings.profile, key)
    if was_set:
        settings.config.save()
    _report_change(runtime, key, f"removed {key}" if was_set else f"{key} was not set in profile {settings.profile}")


def _report_change(runtime: "Runtime", key: str, text: str) -> None:
    settings = runtime.settings
    runtime.output.result({"key": key, "profile": settings.profile, "path": str(settings.config_path)}, lines=[text], bare="")


def path(ctx: typer.Context) -> None:
    """Print the config file's path, even if it does not exist."""
    runtime: Runtime = ctx.obj
    config_path = str(runtime.settings.config_path)
    runtime.output.result({"path": config_path}, lines=[config_path], bare=config_path)


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
        empty=f"no profiles in {settings.config_path}; create one with spcli auth login",
    )
