"""`spcli webhooks listen` as a whole: address, token, what is shown, and when it ends."""

import errno
import secrets
import shutil
import threading
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.webhooks import forward as actions
from spcli.webhooks import guard, payload
from spcli.webhooks import server as listener
from spcli.webhooks.until import Until

if TYPE_CHECKING:
    import socket

    from spcli.runtime import Runtime
    from spcli.state.events import Event
    from spcli.state.store import State

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")
DEADLINE = 2 * 3600.0
SHOWN_AT_MOST = 10_000


class Asked(NamedTuple):
    """What the command line asks for."""

    host: str
    port: int
    public_url: str | None
    path_token: str | None
    forward_to: str | None
    command: str | None
    globs: tuple[str, ...]
    upload_id: str | None
    until: str | None
    deadline: float | None


def listen(runtime: "Runtime", asked: Asked) -> None:
    """Receive until a signal, `until` or `deadline`.

    Raises:
        SpcliError: `usage` for unfit addresses; `config` when events can't be stored; with `until`, the verdict of the build.
    """
    public_host = None if asked.public_url is None else _host_of(asked.public_url, "--public-url", can_have_query=False)
    handed_on = _actions(runtime, asked)
    if asked.path_token is None and runtime.output.quiet:
        raise SpcliError("usage", "-q shows no URL, and nobody could deliver", hint="choose its end: --path-token TOKEN")
    # One that is empty is a variable that was not set, and not what the dashboard has.
    token = secrets.token_urlsafe(24) if asked.path_token is None else asked.path_token
    if len(token) < 16 or not all(letter.isalnum() or letter in "-_" for letter in token):
        raise SpcliError(
            "usage", "--path-token needs at least 16 letters, digits, - or _", hint="leave it out to have one made up"
        )
    runtime.state.events.refresh_listener()
    try:
        listening = listener.bound_socket(asked.host, asked.port)
    except OSError as error:
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "--port 0 takes a free one" if is_port else "--host takes an address of this machine, such as 127.0.0.1"
        raise SpcliError("usage", f"cannot listen on {asked.host}:{asked.port}: {error.strerror}", hint=hint) from None
    with listening:
        port = listening.getsockname()[1]
        _tell_address(runtime, asked, port, token)
        any_address = port if asked.host in ANY_ADDRESS else None
        rules = guard.Rules(token, guard.allowed_hosts(asked.host, port, public_host), any_address)
        _Listening(runtime, asked, handed_on).run(listening, rules)


def _host_of(url: str, option: str, *, can_have_query: bool) -> str:
    """Host and port of a URL that was given with `option`. Raises `SpcliError` (usage) for one that can't be used."""
    try:
        parts = urlsplit(url)
        is_sendable = url.isascii() and url.isprintable() and " " not in url and parts.port != 0
        is_plain = "@" not in parts.netloc and (can_have_query or not parts.query)
        if parts.scheme in ("http", "https") and parts.hostname and is_plain and is_sendable:
            return parts.netloc
    except ValueError:
        pass
    what = "without a user" if can_have_query else "without a user and a query"
    raise SpcliError("usage", f"{option} must be an http(s) URL {what}", hint=f"{option} https://hooks.example.com")


def _actions(runtime: "Runtime", asked: Asked) -> list[actions.Action]:
    found: list[actions.Action] = []
    if asked.forward_to is not None:
        _host_of(asked.forward_to, "--forward-to", can_have_query=True)
        target = urlsplit(asked.forward_to)
        if target.scheme == "http" and target.hostname not in LOOPBACK:
            raise SpcliError("usage", "--forward-to takes http on this machine only, and https elsewhere")
        found.append(actions.forward(asked.forward_to, runtime.environ))
    if asked.command is not None:
        from spcli.settings.table import parse_command_line

        try:
            command = parse_command_line(asked.command)
        except ValueError as problem:
            raise SpcliError("usage", f"--exec {problem}") from None
        if shutil.which(command[0], path=runtime.environ.get("PATH")) is None:
            raise SpcliError("usage", f"--exec names no program that can be run: {command[0]}", hint="give its whole path")
        found.append(actions.execute(command, runtime.environ))
    return found


def _tell_address(runtime: "Runtime", asked: Asked, port: int, token: str) -> None:
    """The URL, once: from here on the token is a secret like any other."""
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    runtime.output.status(f"listening on http://{host}:{port}{guard.PREFIX}{token}")
    if asked.public_url is not None:
        runtime.output.status(f"enter in the dashboard: {asked.public_url.rstrip('/')}{guard.PREFIX}{token}")
        if asked.path_token is None:
            runtime.output.note("the next start makes up another URL; --path-token TOKEN keeps it")
    if asked.host not in LOOPBACK and not asked.host.startswith("127."):
        runtime.output.note("others on the network can reach this port", name="warning")
    runtime.output.secrets.append(Secret(token))


class _Listening:
    """What happens to each event, and when it is over."""

    def __init__(self, runtime: "Runtime", asked: Asked, handed_on: list[actions.Action]) -> None:
        self._runtime = runtime
        self._asked = asked
        self._lock = threading.Lock()
        self._worker = actions.Worker(handed_on, self._note)
        # In a thread of its own: whoever reads our output may be slow, and the service does not deliver twice.
        self._shown = actions.Worker([self._show], self._note, most=SHOWN_AT_MOST, behind="the reader of standard output")
        self._failure: BaseException | None = None
        self._seconds = DEADLINE if asked.until is not None and asked.deadline is None else asked.deadline
        self._until: Until | None = None
        if asked.until is not None:
            self._until = Until(runtime, asked.until, asked.upload_id, deadline=self._seconds or 0.0, note=self._note)

    def run(self, listening: "socket.socket", rules: guard.Rules) -> None:
        """Serve; afterwards finish what is queued and give the verdict."""
        self._serve(listening, rules)
        if self._failure is not None:
            raise self._failure
        if self._until is not None:
            self._until.verdict()

    def _serve(self, listening: "socket.socket", rules: guard.Rules) -> None:
        store = listener.Store(self._open_state)
        receiver = listener.Receiver(rules, store, accept=self._accept, tell=self._detail, wall=self._runtime.clock.wall)
        self._server = listener.Server(receiver)
        timer = threading.Timer(self._seconds or 0, self._server.stop)
        timer.daemon = True
        if self._seconds is not None:
            timer.start()
        if self._until is not None:
            self._until.start(self._server.stop)
        patience = actions.FORWARD_SECONDS
        try:
            self._server.run(listening)
            # Nobody interrupts it: what an event was to run gets its time.
            patience = actions.EXEC_SECONDS if self._asked.command is not None else patience
        finally:
            timer.cancel()
            store.close()
            self._worker.close(patience)
            self._shown.close(actions.FORWARD_SECONDS)

    def _open_state(self) -> "State":
        from spcli.state.store import State

        runtime = self._runtime
        return State(runtime.settings.state_dir, clock=runtime.clock, environ=runtime.environ, note=self._note)

    def _note(self, text: str) -> None:
        with self._lock:
            self._runtime.output.note(text)

    def _detail(self, text: str) -> None:
        with self._lock:
            self._runtime.output.detail(text)

    def _accept(self, event: "Event", body: bytes) -> None:
        """A stored event that is news here: show it, hand it on, and see whether it is the last."""
        asked = self._asked
        if asked.upload_id is not None and event.upload_id != asked.upload_id:
            return
        if not asked.globs or any(fnmatchcase(event.event or "", glob) for glob in asked.globs):
            self._shown.put(event)
            self._worker.put(body)
        if self._until is not None and self._until.hears(event):
            self._server.stop()

    def _show(self, event: "Event") -> None:
        output = self._runtime.output
        words = [output.local_time(event.timestamp), event.event, event.upload_id, event.status, event.objection]
        try:
            output.line_object(payload.shown(event), "  ".join(word for word in words if word))
        except SpcliError as gone:
            self._failure = gone
            self._server.stop()
