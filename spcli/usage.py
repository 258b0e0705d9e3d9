"""Usage errors: Typer's as ours, what was probably meant, and what a command line holds if it could not be parsed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from spcli.api.raw import READS
from spcli.commands import TABLE, Entry, Group
from spcli.errors import SpcliError

if TYPE_CHECKING:
    TYPER_ERROR = typer.TyperException
else:
    # The class of all usage errors of Typer; up to 0.27.1 it has no public name.
    TYPER_ERROR = typer.BadParameter.__mro__[typer.BadParameter.__mro__.index(Exception) - 1]

LONGEST_WORD = 24


def usage_error(error: "typer.TyperException", path: str, words: Sequence[str]) -> SpcliError:
    """Return a usage error of Typer's as ours.

    The text never holds a value, nor an option so odd that it may be a pasted key.

    Args:
        path: the command that was being parsed, for the errors that don't say it.
        words: the whole command line.
    """
    ctx = getattr(error, "ctx", None)
    path = path if ctx is None else ctx.command_path
    near = getattr(error, "possibilities", None)
    # Optional arguments are named as the help writes them: '[UPLOAD_ID]...'.
    message = str(getattr(error, "message", "")) if near else error.format_message().replace("'[", "'").replace("]", "")
    name = getattr(error, "option_name", None)
    if name and not is_about_value(error):
        if home := _find_home(name, path, words):
            return SpcliError("usage", f"{name} is not an option of {path}", hint=f"put it after the command: {home}")
        if not is_printable_word(name.lstrip("-")):
            message = "no such option"
    suggestion = f"did you mean `{near[0]}`? " if near else ""
    return SpcliError("usage", message[:1].lower() + message[1:].rstrip("."), hint=f"{suggestion}see `{path} --help`")


def is_about_value(error: Exception) -> bool:
    """Return whether a known option lacks its value, or has one that it does not take."""
    return getattr(error, "option_name", None) is not None and not hasattr(error, "possibilities")


def _find_home(option: str, path: str, words: Sequence[str]) -> str | None:
    """Return how to type an option that stands before its command; None if no command below `path` has it."""
    from spcli.completion.tree import COMMANDS, OPTIONS

    keys = {key for key, (spellings, *_) in OPTIONS.items() if option in spellings}
    homes = [f"spcli {name}" for name, (_, _, _, options, _) in COMMANDS.items() if name and keys.intersection(options)]
    below = [home for home in homes if home.startswith(f"{path} ")]
    meant = find_command(words)
    return f"{meant if meant in below else f'{path} COMMAND'} {option} …" if below else None


def unknown_command(name: str, table: Mapping[str, Entry | Group], path: str) -> SpcliError:
    """Return the error for a word that is no command of `table`, with the nearest one."""
    near = _find_nearest(name.lower(), table, path)
    hint = f"did you mean {' or '.join(near)}?" if near else f"see `{path} --help` for the commands"
    return SpcliError("usage", f"no such command{f' {name!r}' if is_printable_word(name) else ''}", hint=hint)


def _find_nearest(name: str, table: Mapping[str, Entry | Group], path: str) -> list[str]:
    """Return what may have been meant: a command of that name elsewhere (`wait`, under `builds`), or the nearest spelling."""
    from difflib import get_close_matches

    homes: dict[str, list[str]] = {}
    for word, entry in TABLE.items():
        for member in entry.commands if isinstance(entry, Group) else ():
            homes.setdefault(member, []).append(f"`spcli {word} {member}`")
    homes |= {word: [f"`spcli {word}`"] for word in TABLE}
    if name not in homes:
        if table is not TABLE:
            homes = {word: [f"`{path} {word}`"] for word in table}
        name = next(iter(get_close_matches(name, homes, n=1, cutoff=0.5)), name)
    return homes.get(name, [])


def is_printable_word(word: str) -> bool:
    """Return whether an unknown word may be repeated: a long or odd one may be a pasted key."""
    return len(word) <= LONGEST_WORD and word.replace("-", "").isalpha()


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options and the arguments of a command line that could not be parsed, without the values of the options.

    Arguments after an unknown option are left out: one of them may be its value.
    """
    from spcli.completion.tree import OPTIONS

    takes_value = {spelling: bool(metavar) for spellings, metavar, *_ in OPTIONS.values() for spelling in spellings}
    options: list[str] = []
    arguments: list[str] = []
    is_certain, rest = True, iter(words)
    for word in rest:
        if word == "--":
            arguments += rest if is_certain else ()
            break
        if not word.startswith("-") or word == "-":
            arguments += [word] if is_certain else []
            continue
        name, equals, _ = word.partition("=")
        options.append(name)
        is_certain = is_certain and name in takes_value
        if takes_value.get(name) and not equals:
            next(rest, None)
    return options, arguments


def is_write(words: Sequence[str]) -> bool:
    """Return whether a command line that could not be parsed was for a command that writes, as far as that is certain."""
    _, arguments = split_words(words)
    entry = TABLE.get(arguments[0]) if arguments else None
    if entry is TABLE["api"]:
        return not any(method.upper() in READS for method in arguments[1:2])
    return isinstance(entry, Entry) and entry.writes


def find_command(words: Sequence[str]) -> str:
    """Return the command in a command line that could not be parsed; `spcli` if there is none for certain."""
    _, arguments = split_words(words)
    entry = TABLE.get(arguments[0]) if arguments else None
    if entry is None:
        return "spcli"
    path = f"spcli {arguments[0]}"
    if isinstance(entry, Entry):
        return path
    member = next((word for word in arguments[1:2] if word in entry.commands), entry.default)
    return f"{path} {member}" if member else path
