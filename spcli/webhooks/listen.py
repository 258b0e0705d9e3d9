"""Run `spcli webhooks listen`: the address, the token, what happens to each event, and when it ends."""

import errno
import secrets
import socket
import threading
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from spcli.api.client import Api
from spcli.builds.wait import Ended
from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.models import Secret
from spcli.output import Output
from spcli.output.words import local_time
from spcli.state.events import Event
from spcli.state.store import State
from spcli.transport.request import bracketed_host
from spcli.webhooks import guard
from spcli.webhooks.deliver import parse_public_url, parse_receiver_url
from spcli.webhooks.forward import COMMAND_SECONDS, FORWARD_SECONDS, Action, Worker, command_action, forward_action
from spcli.webhooks.payload import event_json
from spcli.webhooks.server import EventStore, Receiver, bind_socket, serve_until
from spcli.webhooks.until import ENDING, ServiceWatch, Unconfirmed, UntilEvent, Wanted, ended_build

LOOPBACK = ("127.0.0.1", "localhost", "::1")
ANY_ADDRESS = ("0.0.0.0", "::")
PRINT_LIMIT = 10_000


class ListenOptions(NamedTuple):
    """The command line. `deadline` is in seconds; without one, listening ends with `until` or a signal."""

    host: str
    port: int
    public_url: str | None
    path_token: str | None
    forward_to: str | None
    command: tuple[str, ...] | None
    globs: tuple[str, ...]
    upload_id: str | None
    until: str | None
    deadline: float | None


class Service(NamedTuple):
    """The service for `--until`: the project in force, and an API for each of the two threads (None without credentials)."""

    project: str | None
    api: Api | None
    watch_api: Api | None
    scale: float


class Notes:
    """Lines for people from several threads, one at a time."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()

    def add_note(self, text: str) -> None:
        """Print a note."""
        with self._lock:
            self._output.note(text)

    def add_warning(self, text: str) -> None:
        """Print a warning."""
        with self._lock:
            self._output.note(text, name="warning")

    def add_detail(self, text: str) -> None:
        """Print a line with `--verbose`."""
        with self._lock:
            self._output.detail(text)


def listen(
    options: ListenOptions,
    service: Service,
    *,
    output: Output,
    notes: Notes,
    state: State,
    clock: Clock,
    environ: Mapping[str, str],
) -> Ended | Unconfirmed | None:
    """Receive events until a signal, `until` or the deadline. Return how the build ended, if `until` waits for its end.

    Args:
        state: is used by a thread, and must not be open.

    Raises:
        SpcliError: `usage` for bad addresses; `config` if events can't be stored; with `until`, `deadline` and what the service
            answers.
    """
    public_host = None if options.public_url is None else parse_public_url(options.public_url).netloc
    actions = _make_actions(options, environ)
    token = _path_token(options.path_token, is_quiet=output.quiet)
    # If events can't be stored, fail now, and not in the thread.
    state.events.refresh_listener()
    state.close()
    with _open_socket(options.host, options.port) as listening:
        port = listening.getsockname()[1]
        _print_address(output, options, port, token)
        any_address = port if options.host in ANY_ADDRESS else None
        rules = guard.AccessRules(token, guard.allowed_hosts(options.host, port, public_host), any_address)
        run = _Listening(options, service, output=output, notes=notes, clock=clock, actions=actions)
        run.serve(listening, rules, state)
    return run.result()


class _Listening:
    """One run of the receiver: its threads, and what ends it."""

    def __init__(
        self,
        options: ListenOptions,
        service: Service,
        *,
        output: Output,
        notes: Notes,
        clock: Clock,
        actions: Sequence[Action],
    ) -> None:
        self._options = options
        self._service = service
        self._notes = notes
        self._clock = clock
        self._stop = threading.Event()
        self._wanted = None if options.until is None else Wanted(options.until, options.upload_id, service.project)
        self._until: UntilEvent | None = None
        if self._wanted is not None:
            self._until = UntilEvent(self._wanted, service.api, note=notes.add_note, stop=self._stop)
        self._watch: ServiceWatch | None = None
        self._printer = EventPrinter(output, self._stop)
        # A slow reader of our output must not delay anything: the service does not deliver twice.
        self._printing = Worker(
            [self._printer.print_event], notes.add_note, limit=PRINT_LIMIT, target="the reader of standard output"
        )
        self._acting = Worker(actions, notes.add_note)

    def serve(self, listening: socket.socket, rules: guard.AccessRules, state: State) -> None:
        """Serve until the end, then finish the queues."""
        store = EventStore(state)
        notes = self._notes
        receiver = Receiver(rules, store, self, note=notes.add_warning, detail=notes.add_detail, wall=self._clock.wall)
        timer = threading.Timer(self._options.deadline or 0, self._stop.set)
        timer.daemon = True
        if self._options.deadline is not None:
            timer.start()
        self._start_watch()
        patience = FORWARD_SECONDS
        try:
            serve_until(listening, receiver, rules.token, self._stop)
            # After a signal the command gets no more time than a forward.
            patience = COMMAND_SECONDS if self._options.command is not None else patience
        finally:
            timer.cancel()
            store.close()
            self._acting.close(patience)
            self._printing.close(FORWARD_SECONDS)
            if self._watch is not None:
                self._watch.close()

    def _start_watch(self) -> None:
        wanted, api = self._wanted, self._service.watch_api
        if wanted is None or wanted.upload_id is None or wanted.event not in ENDING or api is None:
            return
        self._watch = ServiceWatch(
            wanted, api, clock=self._clock, scale=self._service.scale, note=self._notes.add_note, stop=self._stop
        )

    def put(self, event: Event, body: bytes) -> None:
        """Queue a stored event for printing and for the actions, if it matches the options."""
        options = self._options
        if options.upload_id is not None and event.upload_id != options.upload_id:
            return
        if not options.globs or any(fnmatchcase(event.event or "", glob) for glob in options.globs):
            self._printing.put(event)
            self._acting.put(body)
        if self._until is not None:
            self._until.put(event)

    def result(self) -> Ended | Unconfirmed | None:
        """Return how the build ended. Raises the failure of the output, and as `UntilEvent.confirm`."""
        if self._printer.failure is not None:
            raise self._printer.failure
        if self._watch is not None and self._watch.build is not None:
            return ended_build(self._watch.build)
        return None if self._until is None else self._until.confirm()


class EventPrinter:
    """Prints events. If standard output fails, it keeps the failure and sets `stop`."""

    def __init__(self, output: Output, stop: threading.Event) -> None:
        self._output = output
        self._stop = stop
        self.failure: SpcliError | None = None

    def print_event(self, event: Event) -> None:
        """Print one event, as a line or as a JSON object."""
        time = local_time(event.timestamp, precision="seconds")
        words = [time, event.event, event.upload_id, event.status, event.objection]
        try:
            self._output.line_object(event_json(event), "  ".join(word for word in words if word))
        except SpcliError as failure:
            self.failure = failure
            self._stop.set()


def _make_actions(options: ListenOptions, environ: Mapping[str, str]) -> list[Action]:
    actions = []
    if options.forward_to is not None:
        target = parse_receiver_url(options.forward_to, "--forward-to")
        if target.scheme == "http" and target.host not in LOOPBACK:
            raise SpcliError("usage", "--forward-to takes http only for this machine", hint="use https for other hosts")
        actions.append(forward_action(options.forward_to, environ))
    if options.command is not None:
        actions.append(command_action(options.command, environ))
    return actions


def _path_token(given: str | None, *, is_quiet: bool) -> str:
    """Return the given token, or a random one. An empty one is an unset variable, and is refused."""
    if given is None and is_quiet:
        raise SpcliError("usage", "-q hides the URL, so nothing could be delivered", hint="set the token with --path-token TOKEN")
    token = secrets.token_urlsafe(24) if given is None else given
    if len(token) < 16 or not all(letter.isalnum() or letter in "-_" for letter in token):
        raise SpcliError("usage", "--path-token needs at least 16 letters, digits, - or _", hint="omit it to generate one")
    return token


def _open_socket(host: str, port: int) -> socket.socket:
    try:
        return bind_socket(host, port)
    except OSError as error:
        is_port = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = "use --port 0 for a free port" if is_port else "use --host with an address of this machine, such as 127.0.0.1"
        raise SpcliError("usage", f"cannot listen on {bracketed_host(host)}:{port}: {error.strerror}", hint=hint) from None


def _print_address(output: Output, options: ListenOptions, port: int, token: str) -> None:
    """Print the URL once. After that the token is a secret like any other."""
    output.status(f"listening on http://{bracketed_host(options.host)}:{port}{guard.PREFIX}{token}")
    if options.public_url is not None:
        output.status(f"set this URL in the dashboard: {options.public_url.rstrip('/')}{guard.PREFIX}{token}")
        if options.path_token is None:
            output.note("the next start has another URL; keep it with --path-token TOKEN")
    if options.host not in LOOPBACK and not options.host.startswith("127."):
        output.note("other machines on the network can reach this port", name="warning")
    output.redactor.register(Secret(token))
