"""`spcli exit-codes`: print the table that scripts rely on."""

import typer

from spcli.errors import EXIT_CODES


def exit_codes(ctx: typer.Context) -> None:
    """List the exit codes and what they mean."""
    ctx.obj.output.listing(
        [
            {"code": row.code, "name": row.name, "meaning": row.meaning, "safeToRetry": row.safe_to_retry or None}
            for row in EXIT_CODES
        ],
        columns=("CODE", "NAME", "MEANING", "SAFE TO RETRY?"),
        rows=[(str(row.code), row.name, row.meaning, row.safe_to_retry) for row in EXIT_CODES],
        bare=[str(row.code) for row in EXIT_CODES],
        empty="",
    )
