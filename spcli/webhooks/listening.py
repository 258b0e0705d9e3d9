"""`spcli webhooks listen` as a whole: address, token, what is shown, and when it ends."""

import errno
import secrets
import threading
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from spcli.errors import SpcliError
from spcli.lifecycle import is_final, state_of
from spcli.models import Build, Secret
from spcli.waiting import Ended, build_of, failure_of
from spcli.webhooks import actions, guard, listener, payload

if TYPE_CHECKING:
    import socket

    from spcli.runtime import Runtime
    from spcli.state import Event, State

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ENDING = {"build.approved": "approved", "build.rejected": "rejected"}


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
    token = asked.path_token or secrets.token_urlsafe(24)
    if len(token) < 16 or not all(letter.isalnum() or letter in "-_" for letter in token):
        raise SpcliError(
            "usage", "--path-token needs at least 16 letters, digits, - or _", hint="leave it out to have one made up"
        )
    runtime.state.listener_beat()
    try:
        listening = listener.bound_socket(asked.host, asked.port)
    except OSError as error:
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "--port 0 takes a free one" if is_port else "--host takes an address of this machine, such as 127.0.0.1"
        raise SpcliError("usage", f"cannot listen on {asked.host}:{asked.port}: {error.strerror}", hint=hint) from None
    with listening:
        port = listening.getsockname()[1]
        _tell_address(runtime, asked, port, token)
        rules = guard.Rules(token, guard.allowed_hosts(asked.host, port, public_host))
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
        from spcli.settings.settingspec import parse_command_line

        try:
            found.append(actions.execute(parse_command_line(asked.command), runtime.environ))
        except ValueError as problem:
            raise SpcliError("usage", f"--exec {problem}") from None
    return found


def _tell_address(runtime: "Runtime", asked: Asked, port: int, token: str) -> None:
    """The URL, once: from here on the token is a secret like any other."""
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    runtime.output.status(f"listening on http://{host}:{port}{guard.PREFIX}{token}")
    if asked.public_url is not None:
        runtime.output.status(f"enter in the dashboard: {asked.public_url.rstrip('/')}{guard.PREFIX}{token}")
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
        self._last: Event | None = None
        self._failure: BaseException | None = None
        self._started = runtime.clock.mono()

    def run(self, listening: "socket.socket", rules: guard.Rules) -> None:
        """Serve; afterwards finish what is queued and give the verdict."""
        store = listener.Store(self._open_state)
        receiver = listener.Receiver(rules, store, accept=self._accept, wall=self._runtime.clock.wall)
        self._server = listener.Server(receiver)
        timer = threading.Timer(self._asked.deadline or 0, self._server.stop)
        timer.daemon = True
        if self._asked.deadline is not None:
            timer.start()
        try:
            self._server.run(listening)
        finally:
            timer.cancel()
            store.close()
            self._worker.close(actions.FORWARD_SECONDS)
        if self._failure is not None:
            raise self._failure
        if self._asked.until is not None:
            self._verdict()

    def _open_state(self) -> "State":
        from spcli.state import State

        runtime = self._runtime
        return State(runtime.settings.state_dir, clock=runtime.clock, environ=runtime.environ, note=self._note)

    def _note(self, text: str) -> None:
        with self._lock:
            self._runtime.output.note(text)

    def _accept(self, event: "Event", body: bytes) -> None:
        """A new event, stored: show it, hand it on, and see whether it is the last."""
        asked = self._asked
        if asked.upload_id is not None and event.upload_id != asked.upload_id:
            return
        is_wanted = not asked.globs or any(fnmatchcase(event.event or "", glob) for glob in asked.globs)
        if is_wanted:
            self._show(event)
            self._worker.put(body)
        if asked.until is not None and (event.event == asked.until or event.event == "build.rejected"):
            self._last = event
            self._server.stop()

    def _show(self, event: "Event") -> None:
        output = self._runtime.output
        words = [output.local_time(event.timestamp), event.event, event.upload_id, event.status, event.objection]
        try:
            with self._lock:
                output.line_object(payload.shown(event), "  ".join(word for word in words if word))
        except SpcliError as gone:
            self._failure = gone
            self._server.stop()

    def _verdict(self) -> None:
        """The exit code of `until`: the event is a hint, so the service is asked where it tells a build's status."""
        event = self._last
        if event is None:
            raise SpcliError(
                "deadline", f"{self._asked.until} did not come in time", hint="spcli builds wait UPLOAD_ID asks the service"
            )
        build = self._confirmed(event)
        if event.event in ENDING and build.source == "server" and not is_final(build.state):
            # The service, which has the word, is not that far: a forged event, or one that is ahead of the list.
            build = self._ended(event)
        if build.state in ENDING.values() and event.event in ENDING:
            failure = failure_of([Ended(build, "approved" if build.state == "approved" else "rejected")], build.project_id, None)
            if failure is not None:
                raise failure

    def _ended(self, event: "Event") -> Build:
        """The build once the service itself says that it is processed, within what is left of the deadline."""
        from spcli import stages

        left = (
            None if self._asked.deadline is None else max(0.0, self._started + self._asked.deadline - self._runtime.clock.mono())
        )
        project_id, upload_id = event.project_id or "", event.upload_id or ""
        (ended,) = stages.wait_shown(self._runtime, project_id, (upload_id,), stages.Limits(left))
        failure = failure_of([ended], project_id, None)
        if failure is not None:
            raise failure
        return ended.build

    def _confirmed(self, event: "Event") -> Build:
        """The build as the service tells it, else as the event does."""
        told = build_of(event)
        if self._runtime.settings.user_id and event.project_id and event.upload_id:
            try:
                builds = self._runtime.api.project(event.project_id).builds or []
            except SpcliError as failure:
                self._note(f"the event could not be confirmed: {failure.message}")
                return told
            found = next((build for build in builds if build.upload_id == event.upload_id), None)
            if found is not None and found.state != state_of(event.status):
                self._note(f"the service says {found.status}, the event said {event.status}")
            return found or told
        return told
