"""The composition root: what one run of a command needs, each part built on first use.

Only `cli` and `commands` see it. A test passes its own environment, streams and clock; nothing else reads those of the process.
"""

import os
import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING, TextIO

from spcli.clock import Clock
from spcli.errors import SpcliError
from spcli.signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spcli.api.client import Api
    from spcli.models import Secret
    from spcli.output import Output
    from spcli.settings import Settings
    from spcli.state.account import Account
    from spcli.state.store import State


class Runtime:
    """One run: environment, streams, clock; and, lazily, output, settings, state and api.

    Attributes:
        profile, creates_profile, project, on_limit, timeout: from the command line, set before `settings` is first read.
        key: the API key that was last used.
        command: the command as it was resolved, such as `spcli builds wait`; `spcli` before that.
        is_write: whether that command writes to the service.
        is_parsed: whether its options and arguments were all read.
        main: runs another command line; set by the one that runs this.
    """

    def __init__(
        self,
        environ: dict[str, str],
        *,
        stdin: TextIO | None,
        stdout: TextIO | None,
        stderr: TextIO | None,
        clock: Clock | None = None,
        signals: Signals | None = None,
    ) -> None:
        self.environ = environ
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.clock = clock or Clock()
        self.signals = signals or Signals()
        self.profile: str | None = None
        self.creates_profile = False
        self.project: str | None = None
        self.on_limit: str | None = None
        self.timeout: float | None = None
        self.key: Secret | None = None
        self.command = "spcli"
        self.is_write = self.is_parsed = False
        self.main: Callable[[Sequence[str], Runtime], int] | None = None

    @classmethod
    def of_process(cls, signals: Signals) -> "Runtime":
        """Return a runtime with the environment and streams of the process, and its `signals`."""
        return cls(dict(os.environ), stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr, signals=signals)

    @cached_property
    def output(self) -> "Output":
        """Return the only writer to stdout and stderr."""
        from spcli.output import Output

        return Output(self.stdin, self.stdout, self.stderr, self.environ)

    @cached_property
    def settings(self) -> "Settings":
        """Return the settings: flag over environment over profile over default. Raises `SpcliError` (config, usage)."""
        from spcli.settings import Flags, resolve_settings

        flags = Flags(profile=self.profile, project=self.project, on_limit=self.on_limit)
        settings = resolve_settings(flags, self.environ, stdin=self.output.read_secret_stdin, create_profile=self.creates_profile)
        for note in settings.notes:
            self.output.note(note)
        return settings

    @cached_property
    def state(self) -> "State":
        """Return the database of windows, ledger and events; nothing is opened before it is used."""
        from spcli.state.store import State

        settings, note = self.settings, self.output.note
        return State(settings.state_dir, clock=self.clock, environ=self.environ, note=note, window=settings.window)

    @cached_property
    def account(self) -> "Account":
        """Return the user of this service, as the state knows them. Raises `SpcliError` (config) when no user id is set."""
        user_id = self.settings.user_id
        if not user_id:
            raise SpcliError("config", "no user ID is set: rate limits are stored per user", hint="run spcli auth login")
        from spcli.state.account import Account  # not at the top: help does not need it

        return Account(self.settings.base_url, user_id)

    @cached_property
    def api(self) -> "Api":
        """Return the service, with this profile's credentials. Raises `SpcliError` (config) when they are missing."""
        return self.api_for(*self.settings.require_credentials())

    def api_for(self, user_id: str, key: "Secret") -> "Api":
        """Return the service with these credentials, and redact the key from now on."""
        from spcli.api.client import Api
        from spcli.output.redact import redact_key
        from spcli.transport import Transport

        self.key = key
        self.output.redactor.register(key)
        log = self.output.detail if self.output.verbose else None
        transport = Transport(
            self.settings.base_url,
            clock=self.clock,
            environ=self.environ,
            log=log,
            note=self.output.note,
            redact=self.output.redactor.redact,
            redact_body=partial(redact_key, key=key),
        )
        return Api(transport, user_id=user_id, key=key, clock=self.clock, timeout=self.timeout, log=self.output.detail)

    def run_command(self, argv: "Sequence[str]", environ: dict[str, str], stdout: TextIO | None, stderr: TextIO | None) -> int:
        """Run another command line in this process with its own environment and streams; return its exit code."""
        if self.main is None:
            raise RuntimeError("only the runtime that main() received can run another command")
        return self.main(argv, Runtime(environ, stdin=None, stdout=stdout, stderr=stderr, clock=self.clock))

    def close(self) -> None:
        """Close what was opened; parts that were never used are not touched."""
        for part in ("api", "state"):
            if part in self.__dict__:
                self.__dict__.pop(part).close()
