"""Shared by upload, distribute and rollback: the dry run, the wait, `--output-file`, and values for later steps of a CI job.

Later steps get the file of `--output-file` and what the CI system provides for it; never a key or a URL's query.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from spcli import ci
from spcli.builds.local import LocalHistory
from spcli.builds.wait import BuildWait, Ended, LiveRank, WaitLimits, WaitTarget, deciding_build, result_lines, wait_failure
from spcli.commands.options import raise_interval
from spcli.errors import Interrupted, SpcliError
from spcli.models import DistributeResult, RollbackResult, UploadResult, bare_url

if TYPE_CHECKING:
    from spcli.runtime import Runtime
    from spcli.state.ledger import WriteNote
    from spcli.writes.send import Sender

    WriteResult = UploadResult | DistributeResult | RollbackResult

GOES_LIVE = "the build goes live by itself once it is approved"
_USER_VARIABLES = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR", "BUILD_USER_ID", "USER", "LOGNAME", "USERNAME")
"""Variables that name who runs the command; the first that is set counts."""
_GITHUB_FILES = ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH", "GITHUB_STATE")
"""Variables that name files which other steps write to."""


def note_of(runtime: "Runtime", message: str | None, previous_upload_id: str | None = None) -> "WriteNote":
    """Return who writes, why, and the build that was live before, for the history."""
    from spcli.state.ledger import WriteNote

    actor = next((name for variable in _USER_VARIABLES if (name := runtime.environ.get(variable))), None)
    return WriteNote(actor, (message or "").strip() or None, previous_upload_id)


def new_sender(runtime: "Runtime", endpoint: str, max_wait: float | None = None) -> "Sender":
    """Return the sender of one write to `endpoint` (`upload` or `distribute`), with the account's rate limit and the
    patience of `--on-limit` and `--max-wait`."""
    from spcli.ratelimit.window import Rules
    from spcli.writes.send import Sender
    from spcli.writes.turn import MAX_WAIT, Patience, RateLimit

    settings, api = runtime.settings, runtime.api
    rules, scale = Rules(settings.window, api.write_timeout), settings.scale
    patience = Patience(settings.on_limit, MAX_WAIT if max_wait is None else max_wait)
    limit = RateLimit(endpoint, runtime.account.bucket(endpoint), rules, scale)
    return Sender(
        api, runtime.state, runtime.clock, runtime.output, runtime.signals,
        account=runtime.account, limit=limit, patience=patience,
    )  # fmt: skip


def read_wait_limits(wait: bool, deadline: float | None, interval: float | None) -> WaitLimits | None:
    """Return the limits of the wait that the options ask for, or None without `--wait`.

    Raises:
        SpcliError: `usage`, for options of a wait without `--wait`.
    """
    if wait:
        return WaitLimits(deadline, interval)
    if deadline is not None or interval is not None:
        raise SpcliError("usage", "--deadline and --interval need --wait", hint="add --wait, or omit them")
    return None


def empty_output_file(path: str | None, environ: Mapping[str, str], *, is_dry_run: bool = False) -> None:
    """Empty the file of `--output-file`, so that no later step reads an earlier build's id from it. A dry run creates no file.

    Raises:
        SpcliError: `usage`, if the file can't be written, or if it is one that other steps write to.
    """
    if path is None:
        return
    for name in _GITHUB_FILES:
        if environ.get(name) and _is_same_file(path, environ[name]):
            raise SpcliError(
                "usage",
                f"--output-file must not be ${name}: emptying it would erase the values of other steps",
                hint="use another file; spcli writes to $GITHUB_OUTPUT without --output-file",
            )
    if is_dry_run and not os.path.exists(path):
        return
    try:
        with open(path, "w", encoding="utf-8"):
            pass
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise SpcliError("usage", f"cannot write --output-file: {reason}", hint="use a file in a folder that exists") from None


def _is_same_file(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.normcase(os.path.realpath(path)) == os.path.normcase(os.path.realpath(other))


def print_request(runtime: "Runtime", path: str, body: Mapping[str, object]) -> None:
    """Print the request that would be sent, for `--dry-run`: the key masked, the file's URL without its query."""
    fields = {
        name: "****" if name == "apiKey" else bare_url(str(value)) if name == "fileUrl" else value for name, value in body.items()
    }
    request = {"method": "POST", "url": f"{runtime.settings.base_url}{path}", "body": fields}
    words = [(name, str(value).lower() if isinstance(value, bool) else str(value)) for name, value in fields.items()]
    runtime.output.result(request, lines=[f"POST {request['url']}", *words], bare="")
    runtime.output.note("nothing was sent (--dry-run)")


def finish_write(
    runtime: "Runtime",
    written: "WriteResult",
    limits: WaitLimits | None,
    *,
    lines: Sequence[str | tuple[str, str]],
    path: str | None,
) -> None:
    """Print the result of a write, at once or (with `limits`) after the wait; its id is printed before any waiting.

    Raises:
        SpcliError: how the wait ended, with outcome `done`; `output-lost`.
    """
    upload_id = written.upload_id or ""
    released = {} if isinstance(written, UploadResult) else {upload_id: 0.0}
    facts = ci.make_facts(upload_id, written.project_id, "distributing" if released else "queued", is_live=bool(released))
    if path is not None:
        # Standard output may be lost, or the wait killed. A failure here is reported at the end, where it is tried again.
        with contextlib.suppress(OSError):
            _write_file(path, ci.dotenv_lines(facts), "w")
    wait = None if limits is None else start_wait(runtime, written.project_id, WaitTarget((upload_id,), released), limits)
    try:
        if wait is None:
            runtime.output.result(written, lines=lines, bare=upload_id)
        else:
            _print_wait(runtime, wait, written)
    except (SpcliError, Interrupted):
        # Later steps learn of the build although the wait was interrupted or standard output was lost.
        hand_over_quietly(runtime, _latest_facts(facts, wait, written), path)
        raise
    hand_over(runtime, _latest_facts(facts, wait, written), path)
    failure = None if wait is None else wait_failure(wait.results(), written.project_id, "done")
    if failure is not None:
        raise failure


def start_wait(runtime: "Runtime", project_id: str, target: WaitTarget, limits: WaitLimits) -> BuildWait:
    """Return a wait for builds of the project; nothing is polled before it runs."""
    history = LocalHistory(runtime.state, runtime.account, project_id)
    scale = runtime.settings.scale
    limits = limits._replace(interval=raise_interval(limits.interval, scale, runtime.output))
    return BuildWait(runtime.api, history, runtime.clock, runtime.output, target, limits, scale)


def run_wait(wait: BuildWait) -> Iterator[Ended]:
    """Yield builds as they end.

    Raises:
        SpcliError: `interrupted`, with the command that resumes the wait; whatever the wait raises.
    """
    try:
        yield from wait.run()
    except Interrupted as signal:
        ids = wait.pending_ids() or [one.build.upload_id for one in wait.ended]
        builds = "build is" if len(ids) == 1 else "builds are"
        error = SpcliError(
            "interrupted", f"stopped waiting; the {builds} still processing", hint=f"resume: spcli builds wait {' '.join(ids)}"
        )
        error.code = signal.exit_code
        raise error from None


def _print_wait(runtime: "Runtime", wait: BuildWait, written: "WriteResult") -> None:
    """Print the id of an accepted write at once, so that no interruption loses it, and the result of the wait at its end."""
    output, upload_id = runtime.output, written.upload_id or ""
    if output.quiet and not output.json_mode:
        output.result(None, bare=upload_id)
    else:
        output.announce(f"upload id: {upload_id}")
    if isinstance(written, UploadResult) and written.auto_release:
        output.note(GOES_LIVE)
    (ended,) = run_wait(wait)
    if output.json_mode or not output.quiet:
        build = ended.build
        if isinstance(written, UploadResult):
            build = build._replace(file_url=build.file_url or written.file_url)
        lines = result_lines(ended, _live_rank(wait, written))
        output.result(written._replace(build=build), lines=lines, bare=upload_id)


def _latest_facts(facts: ci.Facts, wait: BuildWait | None, written: "WriteResult") -> ci.Facts:
    """Return the facts with the build's state as last seen by the wait, if it was seen."""
    latest = None if wait is None else deciding_build(wait.results())
    if wait is None or latest is None:
        return facts
    is_live = _live_rank(wait, written) == "live"
    return ci.make_facts(facts.upload_id, facts.project_id, latest.state, is_live=is_live)


def _live_rank(wait: BuildWait, written: "WriteResult") -> LiveRank:
    """Return whether the build is live; one uploaded with `--no-auto-release` isn't, even if the history can't be read."""
    is_held = isinstance(written, UploadResult) and not written.auto_release
    return "never" if is_held else wait.live_rank(written.upload_id or "")


@contextlib.contextmanager
def handing_over_on_failure(runtime: "Runtime", project_id: str, state: str, path: str | None) -> Iterator[None]:
    """Wrap a write: if it fails although the service has accepted it, later steps learn of the build."""
    try:
        yield
    except SpcliError as failure:
        if failure.outcome == "done" and failure.upload_id:
            is_live = state == "distributing"
            hand_over_quietly(runtime, ci.make_facts(failure.upload_id, project_id, state, is_live=is_live), path)
        raise


def hand_over_quietly(runtime: "Runtime", facts: ci.Facts, path: str | None) -> None:
    """Write the facts for later steps; a failure is not reported, because the run already ends with another one."""
    with contextlib.suppress(SpcliError):
        hand_over(runtime, facts, path)


def hand_over(runtime: "Runtime", facts: ci.Facts, path: str | None) -> None:
    """Write the facts for later steps: to `path`, and to what the CI system provides.

    Raises:
        SpcliError: `output-lost`, if the file can't be written any more.
    """
    system = ci.system_of(runtime.environ)
    if system == "github":
        _write_github_files(runtime, facts)
    elif system is not None:
        for line in ci.variable_lines(system, facts):
            runtime.output.command_line(line)
    if path is not None:
        try:
            _write_file(path, ci.dotenv_lines(facts), "w")
        except OSError as error:
            message = f"the build is {facts.upload_id}, but --output-file could not be written: {error.strerror}"
            raise SpcliError("output-lost", message, outcome="done", upload_id=facts.upload_id) from None


def _write_github_files(runtime: "Runtime", facts: ci.Facts) -> None:
    import secrets  # only in a GitHub job

    texts = {
        "GITHUB_OUTPUT": ci.github_output(facts, f"spcli-{secrets.token_hex(16)}"),
        "GITHUB_STEP_SUMMARY": ci.github_summary("Streampixel build", facts),
    }
    for variable, text in texts.items():
        path = runtime.environ.get(variable)
        if path:
            try:
                _write_file(path, text, "a")
            except OSError as error:
                runtime.output.note(f"${variable} could not be written: {error.strerror}")


def _write_file(path: str, text: str, mode: str) -> None:
    # Another step may have left its last line without an end: the first line must not continue it.
    start = "\n" if mode == "a" and _ends_within_line(path) else ""
    with open(path, mode, encoding="utf-8", newline="\n") as file:
        file.write(start + text)
        file.flush()
        # A pipe, such as bash's >(…), has no disk behind it.
        with contextlib.suppress(OSError):
            os.fsync(file.fileno())


def _ends_within_line(path: str) -> bool:
    """Return whether the file's last line has no end; a file that can't be read or searched counts as ended."""
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) not in (b"\n", b"\r")
    except OSError:
        return False
