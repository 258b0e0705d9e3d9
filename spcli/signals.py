"""Ctrl-C, Ctrl-Break and SIGTERM: raised where they are heard, one at a time, and remembered where they are not.

An exception that may come between any two instructions must not come while a command's modules are half loaded, nor once it is
decided what an ended command says: it would replace that by "interrupted". Loaded first of all, so it imports next to nothing.
"""

import _thread
import signal
import sys
import time

TYPE_CHECKING = False  # importing it from typing would be felt
if TYPE_CHECKING:
    from collections.abc import Callable
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import TypeVar

    T = TypeVar("T")

# Signals that come together are one: a terminal's ^C held down, a CI that sends SIGINT and SIGTERM.
TOGETHER = 1.0
SOON = 0.05
NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class Signals:
    """One process's signals; nothing is raised before `hear`, and never without `catch`."""

    def __init__(self) -> None:
        self._is_heard = False
        self._missed: int | None = None
        self._raised_at = float("-inf")

    def catch(self) -> None:
        """Take over the signals that end a process."""
        for name in NAMES:
            number = getattr(signal, name, None)
            # A background job of a shell starts with Ctrl-C ignored, and it stays so.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._came)
        sys.unraisablehook = self._lost

    def _came(self, number: int, _frame: "FrameType | None") -> None:
        code = 143 if number == signal.SIGTERM else 130
        if not self._is_heard:
            self._missed = code
        elif time.monotonic() - self._raised_at > TOGETHER:
            self._raise(code)

    def _raise(self, code: int) -> None:
        from spcli.errors import Interrupted

        self._raised_at, self._missed = time.monotonic(), None
        raise Interrupted(code)

    def _lost(self, error: "UnraisableHookArgs") -> None:
        """Told of each exception that cannot be raised, in a finalizer or in a callback: a signal then comes once more."""
        from spcli.errors import Interrupted

        if isinstance(error.exc_value, Interrupted):
            self._raised_at = float("-inf")
            _thread.start_new_thread(_come_again, (signal.SIGTERM if error.exc_value.exit_code == 143 else signal.SIGINT,))
        else:
            sys.__unraisablehook__(error)

    def hear(self) -> None:
        """From now on a signal is raised, also one that follows at once on another.

        Raises:
            Interrupted: one has come since nobody heard.
        """
        self._raised_at, self._is_heard = float("-inf"), True
        if self._missed is not None:
            self._raise(self._missed)

    def deafen(self) -> None:
        """From now on a signal changes nothing."""
        self._is_heard = False

    def deaf_once_decided(self, work: "Callable[[], T]") -> "T":
        """`work`; when it fails, what it says is final, and no signal replaces it."""
        try:
            return work()
        except Exception:
            self.deafen()
            raise


def _come_again(number: signal.Signals) -> None:
    """Later, or it would come to the very place where it got lost."""
    time.sleep(SOON)
    _thread.interrupt_main(number)
