"""`spcli auth`: store, forget and verify credentials."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import Secret

if TYPE_CHECKING:
    from spcli.runtime import Runtime

WHERE = (
    'find both in the dashboard\'s account menu: "Copy User ID" and "Request API Key" '
    "(sent by e-mail; a new key revokes the old one immediately)"
)


def login(
    ctx: typer.Context,
    user_id: Annotated[
        str | None, typer.Option("--user-id", metavar="ID", help="The account's user ID.", show_default=False)
    ] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the API key from standard input.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Store the credentials without verifying them.")] = False,
    timeout: options.Timeout = None,
) -> None:
    """Store the user ID and API key of a profile.

    Asks for both on a terminal, without showing the key. In a script, pass the key on standard input.

    \b
      printf %s "$KEY" | spcli auth login --user-id ID --key-stdin
      $env:KEY | spcli auth login --user-id ID --key-stdin     in PowerShell
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.creates_profile = timeout, True
    settings = runtime.settings
    if not runtime.output.interactive and (user_id is None or not key_stdin):
        missing = "the user ID" if user_id is None else "the API key"
        hint = f"pass it on standard input:\n{_pipe_hint()}"
        raise SpcliError("usage", f"cannot ask for {missing} without a terminal", hint=hint)
    user, key = _read_credentials(runtime, user_id, key_stdin)
    runtime.output.redactor.register(key)
    _warn_about_shape(runtime, user, key)
    if not no_verify:
        _verify_credentials(runtime, user, key)
    settings.config.store_login(settings.profile, user_id=user, key=key, base_url=settings.base_url)
    settings.config.save()
    how = "not verified" if no_verify else "verified"
    runtime.output.result(
        {"profile": settings.profile, "userId": user, "baseUrl": settings.base_url, "verified": None if no_verify else True},
        lines=[f"stored credentials of profile {settings.profile} in {settings.config_path} ({how})"],
        bare=settings.profile,
    )
    for name in ("STREAMPIXEL_API_KEY", "STREAMPIXEL_API_KEY_FILE", "STREAMPIXEL_USER_ID"):
        if runtime.environ.get(name):
            runtime.output.note(f"{name} is set and overrides the profile")


def _pipe_hint() -> str:
    command = "spcli auth login --user-id ID --key-stdin"
    lines = [f'in bash: printf %s "$KEY" | {command}', f"in PowerShell: $env:KEY | {command}"]
    return "\n".join([*lines[::-1], f"in cmd: echo %KEY%| {command}"] if sys.platform == "win32" else lines)


def _warn_about_shape(runtime: "Runtime", user: str, key: Secret) -> None:
    from spcli.settings.credentials import describe_key_shape

    shape = describe_key_shape(key, user)
    if shape is not None:
        runtime.output.note(shape.line, name="warning")


def _verify_credentials(runtime: "Runtime", user: str, key: Secret) -> None:
    api = runtime.api_for(user, key)
    try:
        api.check_credentials()
    finally:
        api.close()


def _read_credentials(runtime: "Runtime", user_id: str | None, key_stdin: bool) -> tuple[str, Secret]:
    from spcli.settings.credentials import clean_key  # with the settings: help does not need them
    from spcli.settings.table import parse_user_id

    if runtime.output.interactive and (user_id is None or not key_stdin):
        runtime.output.note(WHERE)
    try:
        user = parse_user_id(user_id if user_id is not None else runtime.output.ask("User ID", "--user-id ID"))
    except ValueError as problem:
        raise SpcliError("usage", f"the user ID {problem}") from None
    if not user:
        raise SpcliError("usage", "the user ID is empty")
    if key_stdin:
        return user, clean_key(runtime.output.read_secret_stdin(), source="the key from standard input")
    typed = runtime.output.ask_secret("API key")
    return user, clean_key(typed.reveal().encode("utf-8", "surrogateescape"), source="the typed key")


def logout(ctx: typer.Context) -> None:
    """Delete the stored credentials of a profile."""
    runtime: Runtime = ctx.obj
    settings = runtime.settings
    removed = settings.config.forget_login(settings.profile)
    text = f"profile {settings.profile} has no stored credentials"
    if removed:
        settings.config.save()
        text = f"deleted {', '.join(removed)} of profile {settings.profile}"
    runtime.output.result({"profile": settings.profile, "removed": removed}, lines=[text], bare=settings.profile)


def status(
    ctx: typer.Context,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not verify the credentials with the service.")] = False,
    timeout: options.Timeout = None,
) -> None:
    """Show which credentials are used and where they come from, and verify them with one read."""
    runtime: Runtime = ctx.obj
    runtime.timeout = timeout
    settings = runtime.settings
    sources = {
        value.key: value.source for value in settings.values() if value.key in ("api_key", "user_id", "base_url", "project")
    }
    settings.require_credentials()
    if not no_verify:
        runtime.api.check_credentials()
    verified = None if no_verify else True
    runtime.output.result(
        {
            "profile": settings.profile,
            "userId": settings.user_id,
            "baseUrl": settings.base_url,
            "sources": sources,
            "verified": verified,
        },
        lines=[
            ("profile", settings.profile),
            ("user ID", f"{settings.user_id}  ({sources['user_id']})"),
            ("API key", f"****  ({sources['api_key']})"),
            ("service", f"{settings.base_url}  ({sources['base_url']})"),
            ("verified", "no (--no-verify)" if no_verify else "yes"),
        ],
        bare=settings.user_id,
    )
