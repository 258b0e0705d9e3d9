"""`spcli demo`: the whole pipeline against an in-process sandbox."""

import io
from typing import TYPE_CHECKING, TextIO

import typer

from spcli.errors import Interrupted

if TYPE_CHECKING:
    from spcli.runtime import Runtime

SEED = 1
WINDOW = 1.5
STAGE = 0.4
STEPS = (
    ("Your projects:", ["projects", "list"]),
    (
        "Register a build by URL and wait until it is processed:",
        ["upload", "https://builds.example.com/Showroom-1.4.zip", "--no-auto-release", "--wait"],
    ),
    ("Release it:", ["distribute", "--latest", "--wait"]),
    ("The project's builds:", ["builds", "--limit", "4"]),
    (
        "A build that Streampixel rejects; a CI step sees exit code 10:",
        ["upload", "https://builds.example.com/Broken-1.5.zip", "--wait"],
    ),
    ("An error says what to do next:", ["projects", "show", "shworoom"]),
    ("Everything speaks JSON:", ["limits", "--json"]),
)
CLOSING = """
That was the whole pipeline, against a sandbox on this machine. With an account:
  spcli auth login
  spcli projects list
"""


def demo(ctx: typer.Context) -> None:
    """Show the whole pipeline against a sandbox, in a few seconds.

    It needs no account and no network, and leaves nothing behind.
    """
    import tempfile

    from spcli.sandbox.seeds import MAIN
    from spcli.sandbox.server import Sandbox
    from spcli.sandbox.world import World

    runtime: Runtime = ctx.obj
    world = World(SEED, WINDOW, stage=STAGE, reject="Broken*")
    with tempfile.TemporaryDirectory(prefix="spcli-demo-", ignore_cleanup_errors=True) as home, Sandbox(world) as server:
        environ = _environ(runtime.environ, home) | {
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_PROJECT_ID": MAIN.projects[0].id,
            "STREAMPIXEL_BASE_URL": server.base_url,
            "SPCLI_WINDOW": str(WINDOW),
        }
        quiet = ["-q"] if runtime.output.quiet else []
        told = [_step(runtime, environ, title, [*argv, *quiet]) for title, argv in STEPS]
    runtime.output.result(told, lines=CLOSING.rstrip().split("\n"))


def _environ(environ: dict[str, str], home: str) -> dict[str, str]:
    """The environment without the user's own settings, and with a home that goes away."""
    import os.path

    kept = {name: value for name, value in environ.items() if not name.startswith(("STREAMPIXEL_", "SPCLI_"))}
    return kept | {"SPCLI_CONFIG": os.path.join(home, "config.toml"), "SPCLI_STATE_DIR": os.path.join(home, "state")}


def _step(runtime: "Runtime", environ: dict[str, str], title: str, argv: list[str]) -> dict[str, object]:
    """One real command, printed as typed, with its real output; with `--json` the output is collected instead."""
    collected = io.StringIO() if runtime.output.json_mode else None
    if collected is None:
        runtime.output.text(f"\n{title}\n$ spcli {' '.join(argv)}")
        runtime.output.finish()
    code = runtime.again(argv, environ, _or(collected, runtime.stdout), _or(collected, runtime.stderr))
    if code in (130, 143):
        raise Interrupted(code)
    if collected is None and code:
        runtime.output.text(f"(exit code {code})")
    return {"command": ["spcli", *argv], "exitCode": code, "output": None if collected is None else collected.getvalue()}


def _or(collected: io.StringIO | None, stream: TextIO | None) -> TextIO | None:
    return stream if collected is None else collected
