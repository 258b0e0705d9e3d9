"""The way in for `spcli` and `python -m spcli`: answers `--version` and TAB at once, hands the rest to `cli`."""

import os
import sys

TYPE_CHECKING = False  # importing it from typing would be felt in a TAB press
if TYPE_CHECKING:
    from typing import NoReturn

    from spcli.signals import Signals


def run() -> None:
    """The console script."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        from spcli import __version__

        try:
            sys.stdout.write(f"spcli {__version__}\n")
            sys.stdout.flush()
        except OSError:
            _leave(141)  # closed-pipe, as every command whose result can't be written
        _leave(0)
    if "_SPCLI_COMPLETE" in os.environ and not sys.argv[1:]:
        _complete()
    signals = _signals()
    _spare_the_collector()
    _leave_no_core()
    from spcli.cli import main
    from spcli.runtime import Runtime

    _leave(main(sys.argv[1:], Runtime.of_process(signals)))


def _signals() -> "Signals":
    """The process's signals, first of all: one that comes while the rest is being loaded is told once it can be."""
    try:
        from spcli.signals import Signals

        signals = Signals()
        signals.install_handlers()
    except KeyboardInterrupt:
        # Before that Ctrl-C is Python's own, which answers with a traceback.
        _leave(130)
    return signals


def _complete() -> None:
    """Answer a TAB press and leave; comes back only when no shell asked."""
    from spcli.completion.answer import answer

    text = answer(os.environ)
    if text is not None:
        # UTF-8 whatever the locale: it is what the scripts read.
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        _leave(0)


def _spare_the_collector() -> None:
    """Let the garbage collector look hundreds of times less often: nearly all that a command makes lives until it ends.

    Not switched off: `webhooks listen` and long waits go on for days.
    """
    import gc

    gc.set_threshold(200_000, 20, 100)


def _leave_no_core() -> None:
    """See that a crash writes no core file: the key would be in it."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _leave(code: int) -> "NoReturn":
    """End the process at once: taking the interpreter down in order would cost more than a whole TAB press.

    Whoever measures, traces or inspects this interpreter gets the orderly end: they write what they know on their way out.
    """
    if "coverage" in sys.modules or sys.gettrace() or sys.getprofile() or sys.flags.interactive:
        sys.exit(code)
    # `main` has closed the database, and written both streams out or told by its code that it could not.
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or 141  # closed-pipe, as every read command that cannot tell its result
    os._exit(code)


if __name__ == "__main__":
    run()
