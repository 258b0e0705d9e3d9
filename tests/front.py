"""The front door for tests: `main(argv)` in this process, over real HTTP, with a clock that only moves in sleeps."""

import io
import json
import re
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from spcli.cli import main
from spcli.clock import Clock
from spcli.runtime import Runtime
from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from spcli.signals import Signals

# Late enough for the sandbox's history to lie in the past.
START = 1_790_000_000.0
RAW_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class FakeClock(Clock):
    """A clock that only sleeping moves; the server of a test runs on the same one.

    `meanwhile` happens once, during the next sleep. `stepped` is how far the wall clock was set forward.
    """

    def __init__(self) -> None:
        self.seconds = self.stepped = 0.0
        self.slept: list[float] = []
        self.chances = 0.5
        self.meanwhile: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def wall(self) -> float:
        return START + self.seconds + self.stepped

    def mono(self) -> float:
        return 1000.0 + self.seconds

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.seconds += max(0.0, seconds)
            happening, self.meanwhile = self.meanwhile, None
        if happening is not None:
            happening()

    def chance(self) -> float:
        return self.chances


class Result:
    """A command's exit code and output."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode()
        self.err = err.decode()

    @property
    def json(self) -> Any:
        """Parse the one document on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Parse the error object, stderr's last line."""
        return json.loads(self.err.splitlines()[-1])["error"]

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Front:
    """Run commands as one user in one home, and remember what they printed."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self.clock = clock
        self.signals: Signals | None = None
        self.printed: list[Result] = []
        self.environ = {"SPCLI_CONFIG": str(home / "config.toml"), "SPCLI_STATE_DIR": str(home / "state"), "TZ": "UTC"}

    def use(self, base_url: str, *, window: float = 120, project: str | None = MAIN.projects[0].id) -> None:
        """Set the credentials of the sandbox's first account in the environment, as in the vendor's recipe."""
        self.environ |= {
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_BASE_URL": base_url,
            "SPCLI_WINDOW": str(window),
        }
        if project is not None:
            self.environ["STREAMPIXEL_PROJECT_ID"] = project

    def __call__(self, *argv: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Result:
        out, err = io.BytesIO(), io.BytesIO()
        streams = {"stdout": io.TextIOWrapper(out, "utf-8", newline="\n"), "stderr": io.TextIOWrapper(err, "utf-8", newline="\n")}
        runtime = Runtime(
            {**self.environ, **(env or {})},
            stdin=io.TextIOWrapper(io.BytesIO(stdin), "utf-8", newline="\n"),
            **streams,
            clock=self.clock,
            signals=self.signals,
        )
        code = main(list(argv), runtime)
        for stream in streams.values():
            stream.flush()
        result = Result(code, out.getvalue(), err.getvalue())
        self.printed.append(result)
        return result


def sandbox(clock: Clock, *, faults: tuple[str, ...] = (), **world: Any) -> Sandbox:
    """Return a sandbox whose world runs on the test's clock; `window` and `stage` are seconds of that clock."""
    return Sandbox(World(**{"window": 120, "stage": 60, **world}), now=clock.wall, faults=faults)


def uploads(server: Sandbox) -> list[Any]:
    """Return the upload requests that arrived."""
    return [record for record in server.requests if record.path.endswith("/upload-file")]


def releases(server: Sandbox) -> list[Any]:
    """Return the distribute requests that arrived."""
    return [record for record in server.requests if record.path.endswith("/distribute-file")]


def spacing_problems(server: Sandbox) -> list[str]:
    """Return the limited calls that were less than a window apart."""
    problems = []
    for arrived in (uploads(server), releases(server)):
        for earlier, later in pairwise(arrived):
            if later.time - earlier.time < server.world.window - 1e-6:
                problems.append(f"{later.path} came {later.time - earlier.time:.3f} s after the one before")
    return problems


def leaks(front: Front, canary: str) -> list[str]:
    """Return where the key shows: in printed output, or in a file other than the config file."""
    from urllib.parse import quote

    forms = {canary, quote(canary, safe=""), json.dumps(canary)[1:-1]}
    found = [f"printed: {result!r}" for result in front.printed if any(form in result.out + result.err for form in forms)]
    for path in front.home.rglob("*"):
        if path.is_file() and path.name != "config.toml" and any(form.encode() in path.read_bytes() for form in forms):
            found.append(str(path))
    return found
