"""What the receiver does with an event: hand it on to a URL or a program, in the background, so that the answer never waits."""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

QUEUED_AT_MOST = 256
FORWARD_SECONDS = 5.0
EXEC_SECONDS = 600.0

Item = TypeVar("Item")
Action = Callable[[bytes], str | None]
"""Does something with a payload; a text says what went wrong."""


class Worker(Generic[Item]):
    """Runs actions one item after another in a thread of its own; what does not fit its queue is counted and told.

    Args:
        most: how many items wait at the most.
        behind: who is too slow when they do not fit.
    """

    def __init__(
        self,
        actions: Sequence[Callable[[Item], str | None]],
        tell: Callable[[str], None],
        *,
        most: int = QUEUED_AT_MOST,
        behind: str = "the receiver behind",
    ) -> None:
        self._actions = actions
        self._tell = tell
        self._behind = behind
        self._queue: queue.Queue[Item | None] = queue.Queue(most)
        self._thread = threading.Thread(target=self._run, name=f"spcli-webhook-{behind}", daemon=True)
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
            self._tell(f"{self.dropped} events were not handed on: {self._behind} is too slow")

    def close(self, seconds: float) -> None:
        """Finish what is queued, for at most `seconds`, and say what was not."""
        if not self._thread.is_alive():
            return
        try:
            self._queue.put(None, timeout=seconds)
            self._thread.join(seconds)
        except queue.Full:
            pass
        if self._thread.is_alive():
            self._tell(f"stopped before all was handed on: {self._behind} is too slow")

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            for action in self._actions:
                try:
                    problem = action(item)
                except Exception as error:  # noqa: BLE001 - the thread must live: later events are handed on too
                    problem = f"handing on failed: {type(error).__name__}"
                if problem is not None:
                    self._tell(problem)


def forward(url: str, environ: Mapping[str, str]) -> Action:
    """POST the payload as it came to `url`, without a proxy: no redirects, 5 s, the answer's body ignored.

    Raises:
        SpcliError: `config`, for a CA variable in `environ` that can't be used.
    """
    import httpx

    from spcli.transport.tls import tls_context

    trusted = tls_context(environ)

    def post(body: bytes) -> str | None:
        plain = {"Content-Type": "application/json", "Connection": "close"}
        try:
            with httpx.stream(
                "POST", url, content=body, headers=plain, verify=trusted, trust_env=False, timeout=FORWARD_SECONDS
            ) as answer:
                return None if answer.is_success else f"forwarding: the target answered {answer.status_code}"
        except httpx.HTTPError as error:
            return f"forwarding failed: {type(error).__name__}"

    return post


def execute(argv: Sequence[str], environ: Mapping[str, str]) -> Action:
    """Run a program without a shell, the payload on its standard input; it gets no key of ours, and what it prints goes
    to standard error: standard output is for events."""
    import subprocess

    kept = {name: value for name, value in environ.items() if not name.startswith("STREAMPIXEL_API_KEY")}

    def run(body: bytes) -> str | None:
        try:
            done = subprocess.run(list(argv), input=body, stdout=2, env=kept, timeout=EXEC_SECONDS, check=False)
        except (OSError, subprocess.SubprocessError) as error:
            return f"the command failed: {type(error).__name__}"
        return None if done.returncode == 0 else f"the command ended with exit code {done.returncode}"

    return run
