"""The way in for `spcli` and `python -m spcli`: answers `--version` at once, hands the rest to `cli`."""

import sys


def run() -> None:
    """The console script."""
    if sys.argv[1:] == ["--version"]:
        from spcli import __version__

        sys.stdout.write(f"spcli {__version__}\n")
        return
    from spcli.cli import main
    from spcli.runtime import Runtime

    _catch_signals()
    sys.exit(main(sys.argv[1:], Runtime.of_process()))


def _catch_signals() -> None:
    """Make Ctrl-C, Ctrl-Break and a CI's SIGTERM our own exception, so that every stage can say what it means."""
    import signal
    from types import FrameType

    from spcli.errors import Interrupted

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(143 if number == signal.SIGTERM else 130)

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        number = getattr(signal, name, None)
        # A background job of a shell starts with Ctrl-C ignored, and it stays so.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


if __name__ == "__main__":
    run()
