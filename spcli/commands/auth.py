"""`spcli auth`: store, forget and verify credentials."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.commands import options
from spcli.errors import SpcliError
from spcli.models import Secret

if TYPE_CHECKING:
    from spcli.runtime import Runtime

WHERE = (
    "both are in the dashboard's account menu: Copy User ID, and Request API Key, "
    "which comes by e-mail (asking again ends the old one at once)"
)


def login(
    ctx: typer.Context,
    user_id: Annotated[
        str | None, typer.Option("--user-id", metavar="ID", help="The account's user id.", show_default=False)
    ] = None,
    key_stdin: Annotated[bool, typer.Option("--key-stdin", help="Read the API key from standard input.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Store without asking the service.")] = False,
    timeout: options.Timeout = None,
) -> None:
    """Store the user id and API key of a profile.

    Asks on a terminal; the key is not shown. In a script it comes from standard input.

    \b
      printf %s "$KEY" | spcli auth login --user-id ID --key-stdin
      $env:KEY | spcli auth login --user-id ID --key-stdin     in PowerShell
    """
    runtime: Runtime = ctx.obj
    runtime.timeout, runtime.creates_profile = timeout, True
    settings = runtime.settings
    if not runtime.output.interactive and (user_id is None or not key_stdin):
        lacking = "the user id" if user_id is None else "the API key"
        hint = 'type: printf %s "$KEY" | spcli auth login --user-id ID --key-stdin'
        raise SpcliError("usage", f"{lacking} is needed, and there is no terminal to ask on", hint=hint)
    user, key = _asked(runtime, user_id, key_stdin)
    runtime.output.redactor.register(key)
    if not no_verify:
        _verify(runtime, user, key)
    settings.config.store_login(settings.profile, user_id=user, key=key, base_url=settings.base_url)
    settings.config.save()
    how = "not verified" if no_verify else "verified"
    runtime.output.result(
        {"profile": settings.profile, "userId": user, "baseUrl": settings.base_url, "verified": None if no_verify else True},
        lines=[f"stored for profile {settings.profile} in {settings.config_path} ({how})"],
        bare=settings.profile,
    )
    for name in ("STREAMPIXEL_API_KEY", "STREAMPIXEL_API_KEY_FILE", "STREAMPIXEL_USER_ID"):
        if runtime.environ.get(name):
            runtime.output.note(f"{name} is set and wins over what was stored")


def _verify(runtime: "Runtime", user: str, key: Secret) -> None:
    api = runtime.api_for(user, key)
    try:
        api.check_credentials()
    finally:
        api.close()


def _asked(runtime: "Runtime", user_id: str | None, key_stdin: bool) -> tuple[str, Secret]:
    from spcli.settings.credentials import clean_key
    from spcli.settings.table import parse_user_id

    if runtime.output.interactive and (user_id is None or not key_stdin):
        runtime.output.note(WHERE)
    try:
        user = parse_user_id(user_id if user_id is not None else runtime.output.ask("User id", "--user-id ID"))
    except ValueError as problem:
        raise SpcliError("usage", f"the user id {problem}") from None
    if not user:
        raise SpcliError("usage", "the user id is empty")
    if key_stdin:
        return user, clean_key(runtime.output.read_secret_stdin(), source="the key from standard input")
    typed = runtime.output.ask_secret("API key")
    return user, clean_key(typed.reveal().encode("utf-8", "surrogateescape"), source="the typed key")


def logout(ctx: typer.Context) -> None:
    """Forget the stored key of a profile."""
    runtime: Runtime = ctx.obj
    settings = runtime.settings
    forgotten = settings.config.forget_login(settings.profile)
    if forgotten:
        settings.config.save()
    text = (
        f"forgot {', '.join(forgotten)} of profile {settings.profile}"
        if forgotten
        else f"profile {settings.profile} stored no credentials"
    )
    runtime.output.result({"profile": settings.profile, "removed": forgotten}, lines=[text], bare=settings.profile)


def status(
    ctx: typer.Context,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not ask the service.")] = False,
    timeout: options.Timeout = None,
) -> None:
    """Show which credentials are used and where they come from, and verify them by one read."""
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
            ("user id", f"{settings.user_id}  ({sources['user_id']})"),
            ("API key", f"****  ({sources['api_key']})"),
            ("service", f"{settings.base_url}  ({sources['base_url']})"),
            ("verified", "not asked" if no_verify else "yes: the service answered"),
        ],
        bare=settings.user_id,
    )
