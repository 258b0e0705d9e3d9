"""`spcli demo`: run the whole pipeline against a sandbox in this process."""

import io
import os.path
from typing import TYPE_CHECKING

import typer

from spcli.errors import Interrupted

if TYPE_CHECKING:
    from spcli.runtime import Runtime

SEED = 1
WINDOW = 1.5
STAGE = 0.4
STEPS = (
    ("List your projects:", ["projects", "list"]),
    (
        "Register a build by URL and wait until it is processed:",
        ["upload", "https://builds.example.com/Showroom-1.4.zip", "--no-auto-release", "--wait"],
    ),
    ("Release it:", ["distribute", "--latest", "--wait"]),
    ("List the project's builds:", ["builds", "--limit", "4"]),
    (
        "Upload a build that Streampixel rejects (exit code 10 in CI):",
        ["upload", "https://builds.example.com/Broken-1.5.zip", "--wait"],
    ),
    ("An error tells you what to do next:", ["projects", "show", "shworoom"]),
    ("Every command prints JSON on request:", ["limits", "--json"]),
)
CLOSING = """
That was the whole pipeline, against a sandbox on this machine. With an account, continue with:
  spcli auth login
  spcli projects list
"""


def demo(ctx: typer.Context) -> None:
    """Show the whole pipeline against a sandbox, in a few seconds.

    The demo needs no account and no network, and leaves nothing behind.
    """
    import tempfile

    from spcli.sandbox.seeds import MAIN
    from spcli.sandbox.server import Sandbox
    from spcli.sandbox.world import World

    runtime: Runtime = ctx.obj
    world = World(SEED, WINDOW, stage=STAGE, reject="Broken*")
    with tempfile.TemporaryDirectory(prefix="spcli-demo-", ignore_cleanup_errors=True) as home, Sandbox(world) as server:
        environ = _clean_environ(runtime.environ, home) | {
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_PROJECT_ID": MAIN.projects[0].id,
            "STREAMPIXEL_BASE_URL": server.base_url,
            "SPCLI_WINDOW": str(WINDOW),
        }
        quiet = ["-q"] if runtime.output.quiet else []
        steps = [_run_step(runtime, environ, title, [*argv, *quiet]) for title, argv in STEPS]
    runtime.output.result(steps, lines=CLOSING.rstrip().split("\n"))


def _clean_environ(environ: dict[str, str], home: str) -> dict[str, str]:
    """Return the environment with the config and state of `home` instead of the user's settings."""
    kept = {name: value for name, value in environ.items() if not name.startswith(("STREAMPIXEL_", "SPCLI_"))}
    return kept | {"SPCLI_CONFIG": os.path.join(home, "config.toml"), "SPCLI_STATE_DIR": os.path.join(home, "state")}


def _run_step(runtime: "Runtime", environ: dict[str, str], title: str, argv: list[str]) -> dict[str, object]:
    """Run one real command and print it with its output. With `--json`, collect the output instead."""
    collected = io.StringIO() if runtime.output.json_mode else None
    if collected is None:
        runtime.output.text(f"\n{title}\n$ spcli {' '.join(argv)}")
    stdout, stderr = (collected, collected) if collected is not None else (runtime.stdout, runtime.stderr)
    code = runtime.run_command(argv, environ, stdout, stderr)
    if code in (130, 143):
        raise Interrupted(code)
    if collected is None and code:
        runtime.output.text(f"(exit code {code})")
    return {"command": ["spcli", *argv], "exitCode": code, "output": None if collected is None else collected.getvalue()}
