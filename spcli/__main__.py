"""The entry point of `spcli` and `python -m spcli`: answers `--version` and TAB at once, and hands the rest to `cli`."""

import os
import sys

TYPE_CHECKING = False  # importing it from typing costs measurable time in a TAB press
if TYPE_CHECKING:
    from typing import NoReturn

    from spcli.signals import Signals


def run() -> None:
    """Run the console script."""
    try:
        signals = _start()
    except KeyboardInterrupt:
        # Until the handlers are installed Ctrl-C is Python's own, which prints a traceback. Nothing is flushed: that may block.
        os._exit(130)
    _slow_garbage_collector()
    _disable_core_files()
    from spcli.cli import main
    from spcli.runtime import Runtime

    _exit(main(sys.argv[1:], Runtime.of_process(signals)))


def _start() -> "Signals":
    """Answer what needs no command and exit, or take over the signals: one that arrives from then on is not lost."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        _print_version()
    if "_SPCLI_COMPLETE" in os.environ and not sys.argv[1:]:
        _answer_tab()
    from spcli.signals import Signals

    signals = Signals()
    signals.install_handlers()
    return signals


def _print_version() -> "NoReturn":
    from spcli import __version__

    try:
        sys.stdout.write(f"spcli {__version__}\n")
        sys.stdout.flush()
    except OSError:
        _exit(141)  # closed-pipe, as in every command whose result can't be written
    _exit(0)


def _answer_tab() -> None:
    """Answer a TAB press and exit; return only if no shell asked."""
    from spcli.completion.answer import answer

    text = answer(os.environ)
    if text is not None:
        # The scripts read UTF-8, in any locale.
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))
        _exit(0)


def _slow_garbage_collector() -> None:
    """Run the garbage collector hundreds of times less often (4 ms less): nearly all objects of a command live until it ends.

    It is not switched off, because `webhooks listen` and long waits run for days.
    """
    import gc

    gc.set_threshold(200_000, 20, 100)


def _disable_core_files() -> None:
    """Let no crash write a core file: it would contain the key."""
    if sys.platform != "win32":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _exit(code: int) -> "NoReturn":
    """End the process at once: an orderly end of the interpreter takes 10 ms, more than a whole TAB press.

    Under coverage, a tracer, a profiler or `python -i` the interpreter ends in order, because they write their results then.
    """
    if "coverage" in sys.modules or sys.gettrace() or sys.getprofile() or sys.flags.interactive:
        sys.exit(code)
    # `main` has closed the database, and has written both streams or returned the code that says it could not.
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            code = code or 141  # closed-pipe, as in every read command whose result can't be written
    os._exit(code)


if __name__ == "__main__":
    run()
