"""`spcli exit-codes`: print the table that scripts rely on, or one code of it."""

from typing import Annotated

import typer

from spcli.errors import EXIT_CODES, SpcliError


def exit_codes(
    ctx: typer.Context,
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A number or a name, such as 13 or no-target.", show_default=False)
    ] = None,
) -> None:
    """List the exit codes and what they mean, or explain one.

    \b
      spcli exit-codes
      spcli exit-codes 13
      spcli exit-codes no-target -q
    """
    wanted = None if code is None else code.strip().lower()
    rows = [row for row in EXIT_CODES if wanted is None or wanted in (str(row.code), row.name)]
    if not rows:
        raise SpcliError("usage", "no such exit code", hint="list them with `spcli exit-codes`")
    ctx.obj.output.listing(
        [{"code": row.code, "name": row.name, "meaning": row.meaning, "safeToRetry": row.safe_to_retry or None} for row in rows],
        columns=("CODE", "NAME", "MEANING", "SAFE TO RETRY?"),
        rows=[(str(row.code), row.name, row.meaning, row.safe_to_retry) for row in rows],
        bare=[str(row.code) for row in rows],
        empty="",
    )
