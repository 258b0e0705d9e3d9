"""Collect the keys of every `--json` document: the program prints each one against its own sandbox.

The topic `json` and the sections JSON OUTPUT of the man pages are made from them.
"""

import contextlib
import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from spcli.cli import main  # noqa: E402
from spcli.clock import Clock  # noqa: E402
from spcli.commands import demo  # noqa: E402
from spcli.errors import Interrupted  # noqa: E402
from spcli.runtime import Runtime  # noqa: E402
from spcli.sandbox.seeds import MAIN, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD  # noqa: E402
from spcli.sandbox.server import Sandbox  # noqa: E402
from spcli.sandbox.world import World  # noqa: E402
from spcli.state.store import State  # noqa: E402
from spcli.webhooks import payload  # noqa: E402

Shape = dict[str, "Inner | None"]
"""The keys of an object, each with the shape of its value if that is an object or an array of objects."""


class Inner(NamedTuple):
    """The value of a key."""

    shape: Shape
    is_list: bool


class Document(NamedTuple):
    """What one command prints. `thing` is its name in the list, `when` the option that selects it."""

    thing: str
    command: str
    when: str
    shape: Shape
    is_list: bool


URL = "https://builds.example.com/Game-1.4.zip"
# Thing, command, the options that print this document, what else is typed to see all keys. Each run builds on those before.
RUNS = (
    ("project", "projects list", "", ""),
    ("project, shown", "projects show", "", ""),
    ("stats", "projects stats", "", ""),
    ("default project", "projects use", "", "showroom"),
    ("report", "check", "", "no-such-file.zip"),
    ("upload", "upload", "", f"{URL} --no-auto-release --wait"),
    ("request", "upload", "--dry-run", URL),
    ("build", "builds list", "", ""),
    ("build", "builds show", "", SHOWROOM_NEW),
    ("build", "builds wait", "", SHOWROOM_NEW),
    ("distribute", "distribute", "", f"{SHOWROOM_NEW} --wait"),
    ("request", "distribute", "--dry-run", "--latest"),
    ("rollback", "rollback", "", f"--to {SHOWROOM_OLD} --yes --wait"),
    ("request", "rollback", "--dry-run", f"--to {SHOWROOM_NEW}"),
    ("page", "open", "", "--print"),
    ("history", "history", "", ""),
    ("limits", "limits", "", ""),
    ("event", "webhooks events", "", ""),
    ("event sent", "webhooks send", "", "build.rejected --to {RECEIVER}"),
    ("webhook test", "webhooks test", "", ""),
    ("api answer", "api", "--include", "GET /projects"),
    ("login", "auth login", "", f"--user-id {MAIN.user_id} --key-stdin"),
    ("auth status", "auth status", "", ""),
    ("logout", "auth logout", "", ""),
    ("setting", "config list", "", ""),
    ("setting", "config get", "", "base_url"),
    ("setting written", "config set", "", "on_limit wait"),
    ("setting written", "config unset", "", "on_limit"),
    ("config file", "config path", "", ""),
    ("profile", "config profiles", "", ""),
    ("diagnosis", "doctor", "", ""),
    ("demo step", "demo", "", ""),
    ("exit code", "exit-codes", "", ""),
    ("help topic", "help", "", ""),
    ("help page", "help", "TOPIC", ""),
    ("script", "completion", "", "bash"),
    ("version", "", "--version", ""),
)
# Keys whose value depends on the call.
OPEN = {"api answer": ("headers", "body"), "request": ("body",)}


class _Still(Clock):
    """A clock that only sleeping moves, so that a wait takes no time. It begins after the sandbox's history."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def wall(self) -> float:
        return 1_790_000_000.0 + self._seconds

    def mono(self) -> float:
        return 1000.0 + self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += max(0.0, seconds)


class _Ok(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Log nothing."""


@contextlib.contextmanager
def _receiver() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Ok) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hooks/token"
        finally:
            server.shutdown()
            thread.join()


def _line(command: str, when: str, more: str, receiver: str) -> str:
    """Return the command line of a run. A command's word stands for TOPIC: the topics themselves are made from here."""
    return f"{command} {when} {more}".replace("{RECEIVER}", receiver).replace("TOPIC", "upload")


@cache
def documents() -> tuple[Document, ...]:
    """Return every document in the order of `RUNS`; then those of `status`, of commands that run until Ctrl-C, and the error."""
    clock = _Still()
    with (
        tempfile.TemporaryDirectory() as home,
        _receiver() as receiver,
        Sandbox(World(window=120, stage=60), now=clock.wall, webhook=receiver) as sandbox,
        mock.patch.object(demo, "STEPS", demo.STEPS[:1]),
    ):
        environ = {
            "SPCLI_CONFIG": f"{home}/config.toml",
            "SPCLI_STATE_DIR": f"{home}/state",
            "STREAMPIXEL_API_KEY": MAIN.api_key,
            "STREAMPIXEL_USER_ID": MAIN.user_id,
            "STREAMPIXEL_PROJECT_ID": SHOWROOM.id,
            "STREAMPIXEL_BASE_URL": sandbox.base_url,
        }
        _receive_one(f"{home}/state", clock)
        found = [
            _document(thing, command, when, _printed(_line(command, when, more, receiver), environ, clock))
            for thing, command, when, more in RUNS
        ]
        _printed(f"upload {URL} --no-auto-release", environ, clock)
        found.append(_document("status", "status", "", _status(environ, clock)))
        found.append(_document("error", "", "on failure", _printed("builds show nosuch", environ, clock, is_error=True)["error"]))
    event = next(one for one in found if one.thing == "event")
    return (*found, event._replace(command="webhooks listen", is_list=False), _document("sandbox", "sandbox", "", _sandbox()))


def _printed(line: str, environ: dict[str, str], clock: Clock, *, is_error: bool = False) -> Any:
    """Return the document that a command line prints; with `is_error` the one on standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in "oe")
    stdin = io.TextIOWrapper(io.BytesIO(MAIN.api_key.encode()), "utf-8")
    main([*line.split(), "--json"], Runtime(dict(environ), stdin=stdin, stdout=out, stderr=err, clock=clock))
    for stream in (out, err):
        stream.flush()
    lines = (err if is_error else out).buffer.getvalue().decode().splitlines()
    if not lines:
        raise SystemExit(f"documents: `spcli {line}` printed none: {err.buffer.getvalue().decode()}")
    return json.loads(lines[-1])


def _status(environ: dict[str, str], clock: Clock) -> object:
    """Return the screen with a build in progress, and with the problem of an account that has no default project."""
    nameless = {**environ, "STREAMPIXEL_PROJECT_ID": "", "SPCLI_CONFIG": environ["SPCLI_CONFIG"] + ".none"}
    screen, problem = (_printed("status", one, clock) for one in (environ, nameless))
    return {**screen, "problems": problem["problems"]}


def _receive_one(state_dir: str, clock: Clock) -> None:
    body = payload.fake_payload("build.saving", clock.wall(), project_id=SHOWROOM.id, upload_id="x", file_url=URL, objection=None)
    state = State(Path(state_dir), clock=clock, environ={}, note=lambda _text: None)
    state.events.add_events([payload.parse_event(json.dumps(body).encode(), clock.wall())])
    state.close()


class _CtrlC(io.StringIO):
    """A standard error that raises Ctrl-C once, at the first text written to it."""

    is_pressed = False

    def write(self, text: str) -> int:
        if not self.is_pressed:
            self.is_pressed = True
            raise Interrupted(130)
        return len(text)


def _sandbox() -> object:
    """Return what `spcli sandbox` prints; it runs until Ctrl-C."""
    out = io.StringIO()
    main(["sandbox", "--port", "0", "--json"], Runtime({}, stdin=None, stdout=out, stderr=_CtrlC()))
    return json.loads(out.getvalue())


def _document(thing: str, command: str, when: str, value: object) -> Document:
    inner = _inner(value)
    if inner is None:
        raise SystemExit(f"documents: `spcli {command} {when}` printed nothing to read keys from")
    shape = {key: None if key in OPEN.get(thing, ()) else one for key, one in inner.shape.items()}
    return Document(thing, command, when, shape, inner.is_list)


def _inner(value: object) -> Inner | None:
    if isinstance(value, list):
        first = _inner(value[0]) if value else None
        return None if first is None else Inner(first.shape, True)
    if isinstance(value, dict):
        return Inner({key: _inner(one) for key, one in value.items()}, False)
    return None


def described(command: str) -> list[str]:
    """Return what a command prints, in sentences, one for each document; keys are in backticks."""
    return [_sentences(one) for one in documents() if one.command == command]


def _sentences(one: Document) -> str:
    if one.thing == "error":
        start = "On failure, the last line of standard error is an object: `error` is one with"
    else:
        what = "an array of objects with" if one.is_list else "one object with"
        start = f"With `{one.when}`, {what}" if one.when else what.capitalize()
    return f"{start} {_named(one.shape)}"


def _named(shape: Shape) -> str:
    """Return `the keys a, b.`, and a sentence for each key that holds objects."""
    inner = [
        f" `{key}` is {'an array of objects' if one.is_list else 'an object'} with {_named(one.shape)}"
        for key, one in shape.items()
        if one is not None
    ]
    return f"the key{'s' * (len(shape) > 1)} {', '.join(f'`{key}`' for key in shape)}.{''.join(inner)}"


def table_rows() -> list[tuple[str, str, str]]:
    """Return the rows of the topic `json`: thing, the commands that print it, its keys."""
    names = {tuple(one.shape): one.thing for one in reversed(documents())}
    by_thing: dict[str, list[Document]] = {}
    for one in documents():
        by_thing.setdefault(one.thing, []).append(one)
    return [(thing, _printers(found), _keys(found[0].shape, names)) for thing, found in by_thing.items()]


def _printers(found: list[Document]) -> str:
    """Return the commands, those with the same options together."""
    lines: dict[str, list[str]] = {}
    for one in found:
        lines.setdefault(one.when, []).append(f"`{one.command}`" + (" (list)" if one.is_list else ""))
    texts = []
    for when, commands in lines.items():
        named = ", ".join(command for command in commands if command != "``")
        option = f"`{when}`" if when.startswith("-") else when
        texts.append(f"{named} with {option}" if named and when else named or option)
    return "; ".join(texts)


def _keys(shape: Shape, names: dict[tuple[str, ...], str]) -> str:
    return " ".join(f"`{key}`" + ("" if inner is None else _inside(inner, names)) for key, inner in shape.items())


def _inside(inner: Inner, names: dict[tuple[str, ...], str]) -> str:
    known = names.get(tuple(inner.shape))
    many = "list: " if inner.is_list else ""
    return f" ({many}{known or _keys(inner.shape, names)})"
