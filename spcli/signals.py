"""Ctrl-C, Ctrl-Break and SIGTERM as exceptions: delivered one at a time where the program can take them, held back elsewhere.

An exception that may be raised between any two instructions must not be raised while a command's modules are half loaded, or
after the outcome of a command is decided: "interrupted" would replace it. It is loaded first, so it imports very little.
"""

import _thread
import signal
import sys
import time

TYPE_CHECKING = False  # importing it from typing costs measurable time at start-up
if TYPE_CHECKING:
    from collections.abc import Callable
    from sys import UnraisableHookArgs
    from types import FrameType, TracebackType

MERGE_WITHIN = 1.0
"""Seconds within which several signals count as one: Ctrl-C held down, or a CI system that sends SIGINT and SIGTERM."""
REPEAT_AFTER = 0.05
NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class Signals:
    """The signals of one process. Nothing is raised outside `deliver`, and nothing at all before `install_handlers`."""

    def __init__(self) -> None:
        self._is_delivering = False
        self._held: int | None = None
        self._raised_at = float("-inf")

    def install_handlers(self) -> None:
        """Take over the signals that end a process."""
        for name in NAMES:
            number = getattr(signal, name, None)
            # A shell starts its background jobs with Ctrl-C ignored, and that is kept.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        sys.unraisablehook = self._repeat_lost

    def deliver(self) -> "Delivery":
        """Return a context manager: signals are raised as `Interrupted` inside it, first of all one that was held back before.

        A block that fails leaves signals held back, so that no later signal replaces its failure. A block that succeeds leaves
        them as they were before it.
        """
        return Delivery(self)

    def hold(self) -> None:
        """Hold signals back from now on: the outcome of the command is decided."""
        self._is_delivering = False

    def _handle(self, number: int, _frame: "FrameType | None") -> None:
        code = 143 if number == signal.SIGTERM else 130
        if not self._is_delivering:
            self._held = code
        elif time.monotonic() - self._raised_at > MERGE_WITHIN:
            self._raise(code)

    def _raise(self, code: int) -> None:
        from spcli.errors import Interrupted

        self._raised_at, self._held = time.monotonic(), None
        raise Interrupted(code)

    def _repeat_lost(self, error: "UnraisableHookArgs") -> None:
        """Send a signal again whose exception was lost, because it was raised in a finalizer or in a callback."""
        from spcli.errors import Interrupted

        if isinstance(error.exc_value, Interrupted):
            self._raised_at = float("-inf")
            number = signal.SIGTERM if error.exc_value.exit_code == 143 else signal.SIGINT
            try:
                _thread.start_new_thread(_send_again, (number,))
            except RuntimeError:  # a limit of this system allows no thread
                self._held = error.exc_value.exit_code
        else:
            sys.__unraisablehook__(error)


class Delivery:
    """The block in which signals are raised; see `Signals.deliver`."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals
        self._was_delivering = signals._is_delivering

    def __enter__(self) -> None:
        signals = self._signals
        try:
            # A signal that follows at once on the last one is raised as well: it is for this block.
            signals._raised_at, signals._is_delivering = float("-inf"), True
            if signals._held is not None:
                signals._raise(signals._held)
        except BaseException:
            signals.hold()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, _value: BaseException | None, _traceback: "TracebackType | None"
    ) -> None:
        self._signals._is_delivering = self._was_delivering and kind is None


class Postponement:
    """A block whose signals are handled at its end. A process that is being started must not be left behind by one of them."""

    def __enter__(self) -> None:
        self._pending: list[int] = []
        self._handlers: dict[int, Callable[[int, FrameType | None], object]] = {}
        for name in NAMES:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and callable(handler):
                try:
                    signal.signal(number, self._postpone)
                except ValueError:  # not the main thread, which handles all signals
                    return
                self._handlers[number] = handler

    def _postpone(self, number: int, _frame: "FrameType | None") -> None:
        self._pending.append(number)

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _traceback: "TracebackType | None"
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._pending:
            signal.raise_signal(number)


def _send_again(number: signal.Signals) -> None:
    """Send the signal after a moment: at once, it would be raised in the same place and be lost again."""
    time.sleep(REPEAT_AFTER)
    _thread.interrupt_main(number)
