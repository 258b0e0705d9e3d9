"""How a command that wrote ends: its result, the wait if one is wanted, and what later steps of a CI job get.

Later steps get the file of `--output-file` and what the CI system that runs us takes; never a key or a URL's query.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from spcli import ci
from spcli.builds import progress as stages
from spcli.builds import wait as waiting
from spcli.errors import Interrupted, SpcliError
from spcli.models import DistributeResult, RollbackResult, UploadResult, bare_url

if TYPE_CHECKING:
    from spcli.runtime import Runtime

    Written = UploadResult | DistributeResult | RollbackResult


def conclude(
    runtime: "Runtime",
    written: "Written",
    limits: stages.Limits | None,
    *,
    lines: Sequence[str | tuple[str, str]],
    path: str | None,
) -> None:
    """Show what was written, at once or (with `limits`) after the wait; its id is shown before any waiting.

    Raises:
        SpcliError: the verdict of the wait, with outcome `done`; `output-lost`.
    """
    upload_id = written.upload_id or ""
    begun = {} if isinstance(written, UploadResult) else {upload_id: 0.0}
    facts = ci.facts_of(upload_id, written.project_id, "distributing" if begun else "queued")
    if path is not None:
        # Stdout may be lost, a wait interrupted; a write that fails now is tried again, and told, at the end.
        with contextlib.suppress(OSError):
            _write(path, ci.dotenv(facts), "w")
    failure = None
    try:
        if limits is None:
            runtime.output.result(written, lines=lines, bare=upload_id)
        else:
            stages.announce(runtime, upload_id)
            (ended,) = stages.wait_shown(runtime, written.project_id, (upload_id,), limits, released=begun)
            facts = ci.facts_of(upload_id, written.project_id, ended.state)
            failure = waiting.failure_of([ended], written.project_id, "done")
            if runtime.output.json_mode or not runtime.output.quiet:
                runtime.output.result(written._replace(build=ended.build), lines=stages.verdict_lines(ended), bare=upload_id)
    except (SpcliError, Interrupted):
        # A wait that is broken off or a lost stdout: later steps learn of the build all the same.
        _hand_over_all_the_same(runtime, facts, path)
        raise
    hand_over(runtime, facts, path)
    if failure is not None:
        raise failure


@contextlib.contextmanager
def of_what_happened(runtime: "Runtime", project_id: str, state: str, path: str | None) -> Iterator[None]:
    """Around a write: one that ends badly though the service has it is handed over all the same."""
    try:
        yield
    except SpcliError as failure:
        if failure.outcome == "done" and failure.upload_id:
            _hand_over_all_the_same(runtime, ci.facts_of(failure.upload_id, project_id, state), path)
        raise


def _hand_over_all_the_same(runtime: "Runtime", facts: ci.Facts, path: str | None) -> None:
    """For a run that ends for another reason, which is the one to tell."""
    with contextlib.suppress(SpcliError):
        hand_over(runtime, facts, path)


def prepare(path: str | None, *, anew: bool = False) -> None:
    """Make sure that the file can be written, before anything is sent; `anew` empties it, so that no earlier build's id stays.

    Raises:
        SpcliError: `usage`, when it cannot.
    """
    if path is None:
        return
    try:
        with open(path, "w" if anew else "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise SpcliError(
            "usage", f"--output-file cannot be written: {error.strerror}", hint="name a file in a folder that exists"
        ) from None


def hand_over(runtime: "Runtime", facts: ci.Facts, path: str | None) -> None:
    """Write the facts wherever they are wanted.

    Raises:
        SpcliError: `output-lost`, when the file that was asked for can't be written any more.
    """
    system = ci.system_of(runtime.environ)
    if system == "github":
        _tell_github(runtime, facts)
    elif system is not None:
        for line in ci.variable_lines(system, facts):
            runtime.output.command_line(line)
    if path is not None:
        try:
            _write(path, ci.dotenv(facts), "w")
        except OSError as error:
            message = f"the build is {facts.upload_id}, but --output-file could not be written: {error.strerror}"
            raise SpcliError("output-lost", message, outcome="done", upload_id=facts.upload_id) from None


def _tell_github(runtime: "Runtime", facts: ci.Facts) -> None:
    import secrets

    texts = {
        "GITHUB_OUTPUT": ci.github_output(facts, f"spcli-{secrets.token_hex(16)}"),
        "GITHUB_STEP_SUMMARY": ci.github_summary("Streampixel build", facts),
    }
    for variable, text in texts.items():
        path = runtime.environ.get(variable)
        if path:
            try:
                _write(path, text, "a")
            except OSError as error:
                runtime.output.note(f"{variable} could not be written: {error.strerror}")


def _write(path: str, text: str, mode: str) -> None:
    with open(path, mode, encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        # A pipe, such as bash's >(…), has no disk behind it.
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())


def print_request(runtime: "Runtime", path: str, body: Mapping[str, object]) -> None:
    """What would be sent, for `--dry-run`: the key as stars, the file's URL without its query."""
    shown = {
        name: "****" if name == "apiKey" else bare_url(str(value)) if name == "fileUrl" else value for name, value in body.items()
    }
    request = {"method": "POST", "url": f"{runtime.settings.base_url}{path}", "body": shown}
    lines: list[str | tuple[str, str]] = [f"POST {request['url']}", *((name, _word(value)) for name, value in shown.items())]
    runtime.output.result(request, lines=lines, bare="")
    runtime.output.note("nothing was sent (--dry-run)")


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
