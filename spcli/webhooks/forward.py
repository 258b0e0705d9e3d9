"""Hand received events on to a URL or a program, in the background, so that the sender's answer never waits."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from spcli.transport.tls import tls_context

QUEUE_LIMIT = 256
FORWARD_SECONDS = 5.0
COMMAND_SECONDS = 600.0

Item = TypeVar("Item")
Action = Callable[[bytes], str | None]
"""Do something with a payload; return a text if it fails."""


class Worker(Generic[Item]):
    """A thread that runs actions for one item after another. It drops and counts what does not fit into its queue.

    Args:
        note: receives a line for each failure.
        limit: the most items that may wait.
        target: names in notes where the items go.
    """

    def __init__(
        self,
        actions: Sequence[Callable[[Item], str | None]],
        note: Callable[[str], None],
        *,
        limit: int = QUEUE_LIMIT,
        target: str = "the target of --forward-to or --exec",
    ) -> None:
        self._actions = actions
        self._note = note
        self._target = target
        self._queue: queue.Queue[Item | None] = queue.Queue(limit)
        self._thread = threading.Thread(target=self._run_actions, name="spcli-webhook-worker", daemon=True)
        self.dropped = 0
        if actions:
            self._thread.start()

    def put(self, item: Item) -> None:
        """Queue an item for every action."""
        if not self._actions:
            return
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1
            self._note(f"{self.dropped} events dropped: {self._target} is too slow")

    def close(self, seconds: float) -> None:
        """Finish the queue within `seconds`, and note if something is left."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=seconds)
            self._thread.join(seconds)
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._note(f"stopped with events still queued: {self._target} is too slow")

    def _run_actions(self) -> None:
        while (item := self._queue.get()) is not None:
            for action in self._actions:
                try:
                    problem = action(item)
                except Exception as error:  # noqa: BLE001 - the thread must live to hand on later events
                    problem = f"handing on an event failed: {type(error).__name__}"
                if problem is not None:
                    self._note(problem)


def forward_action(url: str, environ: Mapping[str, str]) -> Action:
    """Return an action that POSTs the payload unchanged to `url`, without a proxy or redirects, within 5 s.

    Raises:
        SpcliError: `config`, for a CA variable in `environ` that can't be used.
    """
    import httpx

    trusted = tls_context(environ)
    headers = {"Content-Type": "application/json", "Connection": "close"}

    def post_payload(body: bytes) -> str | None:
        try:
            with httpx.stream(
                "POST", url, content=body, headers=headers, verify=trusted, trust_env=False, timeout=FORWARD_SECONDS
            ) as answer:
                return None if answer.is_success else f"forwarding failed: the target answered {answer.status_code}"
        except httpx.HTTPError as error:
            return f"forwarding failed: {type(error).__name__}"

    return post_payload


def command_action(argv: Sequence[str], environ: Mapping[str, str]) -> Action:
    """Return an action that runs a program without a shell, with the payload on its standard input.

    The program gets no API key. Its output goes to standard error, because standard output is for events.
    """
    import subprocess

    kept = {name: value for name, value in environ.items() if not name.startswith("STREAMPIXEL_API_KEY")}

    def run_command(body: bytes) -> str | None:
        try:
            done = subprocess.run(list(argv), input=body, stdout=2, env=kept, timeout=COMMAND_SECONDS, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            return f"the --exec command failed: {type(error).__name__}"
        return None if done.returncode == 0 else f"the --exec command failed with exit code {done.returncode}"

    return run_command
