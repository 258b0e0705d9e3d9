"""Usage errors: Typer's as ours, what was probably meant, and the words of a command line that could not be parsed."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import typer

from spcli.commands import TABLE, Entry, Group
from spcli.errors import SpcliError

if TYPE_CHECKING:
    TYPER_ERROR = typer.TyperException
else:
    # The class of all usage errors of Typer; up to 0.27.1 it has no public name.
    TYPER_ERROR = typer.BadParameter.__mro__[typer.BadParameter.__mro__.index(Exception) - 1]

LONGEST_WORD = 24
LEAST_LIKENESS = 0.7
SHORTEST_START = 3

SYNONYMS = {
    "auth login": "signin sign-in authenticate setup",
    "auth logout": "signout sign-out auth:delete auth:remove auth:clear",
    "auth status": "whoami me account user",
    "upload": "push submit register ship",
    "distribute": "deploy release promote publish activate",
    "rollback": "undo revert",
    "check": "validate verify lint inspect",
    "builds list": "logs log ls ps uploads builds:ls builds:all builds:history",
    "webhooks events": "logs log webhooks:list webhooks:ls webhooks:logs webhooks:history",
    "builds wait": "follow builds:watch",
    "builds show": "builds:info builds:get builds:view",
    "status": "info overview summary watch monitor",
    "open": "browse browser web dashboard share url",
    "history": "audit activity changelog",
    "limits": "quota ratelimit rate-limit rate-limits window windows",
    "projects list": "ls apps app projects:ls",
    "projects use": "switch select link",
    "projects show": "projects:info projects:get projects:view",
    "projects stats": "users viewers metrics",
    "config list": "env environment settings vars preferences config:ls config:show config:env",
    "config path": "edit config:edit config:file",
    "config set": "config:add",
    "config unset": "config:delete config:remove config:rm",
    "doctor": "diagnose diagnostics health debug ping troubleshoot",
    "sandbox": "mock emulator emulate simulate local dev",
    "webhooks listen": "tail webhooks:receive webhooks:serve",
    "webhooks send": "webhooks:trigger webhooks:simulate",
    "api": "curl request",
    "exit-codes": "errors codes exitcodes",
    "help": "docs man manual topics",
    "--version": "version ver",
}
"""Commands, each with the words that other tools use for it; `config:rm` counts only after `spcli config`."""

IMPOSSIBLE = {
    "the service has no call that deletes a build or project: see https://dashboard.streampixel.io": "delete remove rm destroy",
    "the service has no call that stops a build; one uploaded with --no-auto-release does not go live until you release it": (
        "cancel abort stop kill"
    ),
    "the service has no call that creates a project: create it at https://dashboard.streampixel.io": "create new",
}
"""Actions that the service does not offer, each with the words for it."""


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
    """Return the error for a word that is no command of `table`, with what was probably meant."""
    word, group = name.lower(), path.removeprefix("spcli").strip()
    near = [f"`spcli {one}`" for one in _find_meant(word, table, group)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"see `{path} --help` for the commands"
    if not near:
        hint = next((text for text, words in IMPOSSIBLE.items() if word in words.split()), hint)
    return SpcliError("usage", f"no such command{f' {name!r}' if is_printable_word(name) else ''}", hint=hint)


def _find_meant(word: str, table: Mapping[str, Entry | Group], group: str) -> list[str]:
    """Return the commands that `word` may mean: a synonym, a command of that name elsewhere, or the nearest spelling."""
    in_group = f"{group}:{word}"
    if group and (same := [command for command, words in SYNONYMS.items() if in_group in words.split()]):
        return same
    homes: dict[str, list[str]] = {}
    for first, entry in TABLE.items():
        for member in entry.commands if isinstance(entry, Group) else ():
            homes.setdefault(member, []).append(f"{first} {member}")
    homes |= {first: [first] for first in TABLE}
    if word in homes:
        return homes[word]
    if same := [command for command, words in SYNONYMS.items() if word in words.split()]:
        return same
    if any(word in words.split() for words in IMPOSSIBLE.values()):
        return []
    return _find_nearest(word, homes if table is TABLE else {member: [f"{group} {member}"] for member in table})


def _find_nearest(word: str, homes: Mapping[str, list[str]]) -> list[str]:
    """Return the commands whose name is spelled almost like `word`, or begins with it.

    A command that writes or deletes is offered only for a slip of the fingers, never for another word that looks like it.
    """
    safe = [name for name, commands in homes.items() if not _is_risky(commands[0]) or _is_slip(word, name)]
    near = get_close_matches(word, safe, n=1, cutoff=LEAST_LIKENESS)
    begun = [name for name in safe if len(word) >= SHORTEST_START and name.startswith(word) and not _is_risky(homes[name][0])]
    return homes[near[0]] if near else homes[begun[0]] if len(begun) == 1 else []


def _is_risky(command: str) -> bool:
    entry = TABLE[command.partition(" ")[0]]
    return (isinstance(entry, Entry) and entry.writes) or command in ("auth logout", "config unset")


def _is_slip(word: str, name: str) -> bool:
    """Return whether `word` has the letters of `name` in another order, or differs only by missing or by extra letters."""
    short, long = sorted((word, name), key=len)
    rest = iter(long)
    return sorted(word) == sorted(name) or all(letter in rest for letter in short)


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
        from spcli.api.raw import READS  # not at the top: a tenth of the interpreter's start in every help

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
