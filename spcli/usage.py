"""Every way a run can end badly, as one error to show: usage errors, signals and bugs included."""

from typing import TYPE_CHECKING

import typer

from spcli.commands import TABLE, Group
from spcli.errors import Interrupted, SpcliError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spcli.runtime import Runtime

    TYPER_ERROR = typer.TyperException
else:
    # What every usage error of Typer's is; up to 0.27.1 it has no public name.
    TYPER_ERROR = typer.BadParameter.__mro__[typer.BadParameter.__mro__.index(Exception) - 1]

# What to do next, where whoever raised the error could not know better. Causes: https://docs.streampixel.io, errors.
_HINTS = {
    "http-401": "`spcli auth status --no-verify` shows which credentials are used, `spcli auth login` stores others "
    "(requesting a new API key ended the old one at once)",
    "http-403": "is it a project of this account, not switched off, and may this key do it? "
    "`spcli projects list` shows the account's",
    "http-404": "`spcli projects list` and `spcli builds` show the ids there are",
    "network": "`spcli config get base_url` shows where it was looked for; -v shows each call",
    "protocol": "does a proxy or a login page answer? `spcli config get base_url` shows who was asked; -v shows each call",
}


def usage_error(usage: "typer.TyperException", words: "Sequence[str]") -> SpcliError:
    """A usage error of Typer's as ours; the text never holds a value, nor an option so odd that it may be a pasted key."""
    ctx = getattr(usage, "ctx", None)
    path = ctx.command_path if ctx is not None else _path_in(words)
    near = getattr(usage, "possibilities", None)
    # An argument that may be left out is named as the help writes it: '[UPLOAD_ID]...'.
    message = str(getattr(usage, "message", "")) if near else usage.format_message().replace("'[", "'").replace("]", "")
    name = getattr(usage, "option_name", None)
    if name and not is_about_a_value(usage):
        if home := _home_of(name, path, words):
            return SpcliError(
                "usage", f"{name} is no option of {path} itself", hint=f"a command's options stand behind it: {home}"
            )
        if not is_showable(name.lstrip("-")):
            message = "no such option"
    suggestion = f"did you mean `{near[0]}`? " if near else ""
    return SpcliError("usage", message[:1].lower() + message[1:].rstrip("."), hint=f"{suggestion}`{path} --help` explains it")


def is_about_a_value(usage: Exception) -> bool:
    """Whether a known option lacks its value, or has one that it does not take."""
    return getattr(usage, "option_name", None) is not None and not hasattr(usage, "possibilities")


def _home_of(option: str, path: str, words: "Sequence[str]") -> str | None:
    """How an option that stands before its command is written; `None` where no command below `path` has it."""
    from spcli.completion.tree import COMMANDS, OPTIONS

    keys = {key for key, (spellings, *_) in OPTIONS.items() if option in spellings}
    homes = [f"spcli {name}" for name, (_, _, _, options, _) in COMMANDS.items() if name and keys.intersection(options)]
    below = [home for home in homes if home.startswith(f"{path} ")]
    meant = _path_in(words)
    return f"{meant if meant in below else f'{path} COMMAND'} {option} …" if below else None


def _path_in(words: "Sequence[str]") -> str:
    """The command as far as its words show: Typer does not say whose option lacks its value."""
    found = next((word for word in words if word in TABLE), None)
    if found is None:
        return "spcli"
    entry = TABLE[found]
    behind = words[words.index(found) + 1 :]
    member = next((word for word in behind if word in entry.commands), entry.default) if isinstance(entry, Group) else None
    return " ".join(["spcli", found, *([member] if member else [])])


def is_showable(word: str) -> bool:
    """Whether an unknown word may be repeated: a long or odd one may be a pasted key."""
    return len(word) <= 24 and word.replace("-", "").isalpha()


def interruption(signal: Interrupted) -> SpcliError:
    """Ctrl-C or SIGTERM before anything was sent, or in a command that only reads."""
    error = SpcliError("interrupted", "interrupted")
    error.code = signal.exit_code
    return error


def bug(defect: Exception, runtime: "Runtime") -> SpcliError:
    """A bug of ours: its type and place; the text of the exception may hold a secret, so only `-v` shows it, redacted."""
    import traceback

    where = traceback.extract_tb(defect.__traceback__)[-1]
    runtime.output.detail("".join(traceback.format_exception(defect)))
    name = where.filename.replace("\\", "/").rpartition("/")[2]
    happened = runtime.output.write_happened
    return SpcliError(
        "internal",
        f"a bug in spcli: {type(defect).__name__} in {name}:{where.lineno}",
        hint="run it again with -v and report what it prints",
        outcome="done" if happened is not None else None,
        upload_id=happened or None,
    )


def report(error: SpcliError, runtime: "Runtime", *, writes: bool) -> int:
    """Show the error and return its code. A command that writes says what became of the write, also before anything was sent."""
    happened = runtime.output.write_happened
    if happened is not None:
        error.outcome, error.upload_id = "done", error.upload_id or happened or None
    if error.outcome is None and error.kind != "internal" and writes:
        error.outcome = "not_sent"
        if error.kind == "interrupted":
            error.hint = error.hint or "nothing was sent"
    error.hint = error.hint or _HINTS.get(error.kind)
    if happened and happened not in (error.hint or ""):
        wait_hint = f"wait for the build: spcli builds wait {happened}"
        error.hint = f"{error.hint}; {wait_hint}" if error.hint else wait_hint
    runtime.output.error(error)
    return error.exit_code
