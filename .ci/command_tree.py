"""Read the command tree from the live Typer commands, and write the text of `spcli/completion/tree.py`.

The metavar says what a value may be: `wait|fail` is a choice, PROJECT a project's name, and so on.
"""

import re
from typing import Any, NamedTuple

import typer
from sources import topics

from spcli import cli
from spcli.api.raw import METHODS
from spcli.builds.lifecycle import STAGES, STATES
from spcli.completion.shells import SCRIPTS
from spcli.errors import EXIT_CODES
from spcli.settings.table import SPEC_OF, TYPED
from spcli.webhooks.payload import STATUS_OF

WIDTH = 130


class Option(NamedTuple):
    """One option; `metavar` is empty for a flag."""

    spellings: tuple[str, ...]
    metavar: str
    kind: str
    repeats: bool
    help: str


class Argument(NamedTuple):
    """One argument."""

    metavar: str
    kind: str
    required: bool
    repeats: bool
    help: str


class Node(NamedTuple):
    """One command or group. `about` is its whole help text, `options` its own without the common ones."""

    path: tuple[str, ...]
    purpose: str
    about: str
    default: str
    commands: tuple[str, ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]

    @property
    def words(self) -> str:
        """Return the path as typed after `spcli`."""
        return " ".join(self.path)


def choices() -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the words of every kind that has fixed ones, each with its meaning."""
    stages = {stage.state: stage.word for stage in STAGES}
    return {
        "event": tuple((event, "") for event in STATUS_OF),
        "method": tuple((method, "") for method in METHODS),
        "setting": tuple((key, spec.description) for key, spec in SPEC_OF.items()),
        "exit-code": tuple({word: row.meaning for row in EXIT_CODES for word in (str(row.code), row.name)}.items()),
        "shell": tuple((shell, "") for shell in SCRIPTS),
        "topic": tuple(topics().items()),
        "state": tuple((state, stages.get(state, "")) for state in STATES),
        "writable": tuple((key, SPEC_OF[key].description) for key in TYPED),
    }


def kind_of(metavar: str, *, path: tuple[str, ...], spelling: str = "") -> str:
    """Return the kind of a value, or "" if only the user can know it. `spelling` is the option's, empty for an argument."""
    if metavar == "KEY" and path[:1] == ("config",):
        return "writable" if path[-1] == "set" else "setting"
    if metavar == "VALUE" and path == ("config", "set"):
        return "value"
    if path == ("help",):
        return "page"
    # The PATH of an argument is one at the service; an option's is a file's.
    by_name = {
        "PROJECT": "project",
        "PROJECT_ID": "project-id",
        "UPLOAD_ID": "upload",
        "SHELL": "shell",
        "METHOD": "method",
        "CODE": "exit-code",
        "EVENT": "event",
    }
    by_name |= {"S": "state", "PATH": "file", "DIR": "file"} if spelling else {}
    by_name |= {"NAME": "profile"} if spelling == "--profile" else {}
    by_name |= {"ID": "upload"} if spelling != "--user-id" else {}
    parts = metavar.split("|")
    if "FILE" in parts:
        return "file"
    if len(parts) > 1 and metavar == metavar.lower():
        return metavar
    return by_name.get(metavar, "")


def nodes() -> list[Node]:
    """Return every command, parents first, in the order of the command table."""
    found: list[Node] = []
    _walk(cli.root(), (), None, found)
    return found


def common() -> tuple[Option, ...]:
    """Return the options that every command takes."""
    return tuple(_option(param, (), _context(cli.root(), ())) for param in cli.common_options())


def _context(command: Any, path: tuple[str, ...], parent: Any = None) -> Any:
    return typer.Context(command, info_name=path[-1] if path else "spcli", parent=parent)


def _walk(command: Any, path: tuple[str, ...], parent: Any, found: list[Node]) -> None:
    ctx = _context(command, path, parent)
    shared = {param.name for param in cli.common_options()}
    entry = _entry(path)
    options = [param for param in command.params if param.param_type_name == "option" and param.name not in shared]
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    names = tuple(command.list_commands(ctx)) if hasattr(command, "list_commands") else ()
    node = Node(
        path=path,
        purpose=entry.help if entry else "Ship Unreal Engine builds to Streampixel.",
        about=command.help or "",
        default=getattr(entry, "default", None) or "",
        commands=names,
        options=tuple(_option(param, path, ctx) for param in options),
        arguments=tuple(_argument(param, path, ctx) for param in arguments),
    )
    found.append(node)
    for name in names:
        _walk(command.get_command(ctx, name), (*path, name), ctx, found)


def _entry(path: tuple[str, ...]) -> Any:
    table: Any = cli.TABLE
    entry = None
    for word in path:
        entry = table[word]
        table = getattr(entry, "commands", {})
    return entry


def _option(param: Any, path: tuple[str, ...], ctx: Any) -> Option:
    spellings = (*param.opts, *param.secondary_opts)
    metavar = "" if param.is_flag or param.count else (param.metavar or "VALUE")
    kind = kind_of(metavar, path=path, spelling=param.opts[-1])
    return Option(spellings, metavar, kind, bool(param.multiple), _help_of(param, ctx))


def _argument(param: Any, path: tuple[str, ...], ctx: Any) -> Argument:
    metavar = (param.metavar or param.name.upper()).replace("...", "").strip("[]")
    return Argument(metavar, kind_of(metavar, path=path), bool(param.required), param.nargs == -1, _help_of(param, ctx))


def _help_of(param: Any, ctx: Any) -> str:
    """Return the help text with its default in words, without Typer's other marks."""
    text = param.get_help_record(ctx)[1]
    bare, mark, extra = text.partition("  [")
    default = re.search(r"default: ([^;\]]+)", extra) if mark else None
    if param.param_type_name == "option" and param.required:
        return f"{bare.rstrip('.')} (required)."
    return f"{bare.rstrip('.')} (default: {default[1]})." if default else bare


HEAD = '''"""The command tree as data: commands, their options and arguments, and what a value may be.

Generated by .ci/generate.py from the command table and the commands themselves; never edited by hand. Tuples of plain words, so
that reading it costs a TAB press next to nothing.
"""

'''
CHOICES_TYPE = "dict[str, tuple[tuple[str, str], ...]]"
OPTIONS_TYPE = "dict[str, tuple[tuple[str, ...], str, str, bool, str]]"
COMMANDS_TYPE = "dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...], tuple[tuple[str, str, bool, bool, str], ...]]]"


def tree_text() -> str:
    """Return the content of `spcli/completion/tree.py`, formatted as ruff formats it."""
    keys: dict[Option, str] = {}
    shared = [_key(option, (), keys) for option in common()]
    commands = {
        node.words: (
            node.purpose,
            node.default,
            node.commands,
            tuple(_key(option, node.path, keys) for option in node.options),
            tuple(tuple(argument) for argument in node.arguments),
        )
        for node in nodes()
    }
    options = {key: tuple(option) for option, key in keys.items()}
    parts = (
        ("CHOICES", CHOICES_TYPE, choices(), "Kind of a value: its words, and what each means. Other kinds are live, or files."),
        (
            "OPTIONS",
            OPTIONS_TYPE,
            options,
            "Key of an option: spellings, metavar (none: a flag), kind, whether it repeats, help.",
        ),
        ("COMMON", "tuple[str, ...]", tuple(shared), "Keys of the options that every command takes."),
        (
            "COMMANDS",
            COMMANDS_TYPE,
            commands,
            "Command: purpose, default subcommand, subcommands, keys of its own options, and its arguments, each with\n"
            "metavar, kind, whether it is required, whether it repeats, help.",
        ),
    )
    return HEAD + "\n".join(_assigned(*part) for part in parts)


def _assigned(name: str, type_text: str, value: object, about: str) -> str:
    start = f"{name}: {type_text} = "
    closing = '"""' if "\n" not in about else '\n"""'
    return f'{start}{_literal(value, 0, len(start))}\n"""{about}{closing}\n'


def _key(option: Option, path: tuple[str, ...], keys: dict[Option, str]) -> str:
    """Return the option's name, followed by the command where another option has the name already."""
    if option not in keys:
        name = next(word for word in option.spellings if word.startswith("--"))[2:]
        keys[option] = name if name not in keys.values() else f"{name} of {' '.join(path)}"
    return keys[option]


def _literal(value: object, indent: int, before: int) -> str:
    """Return `value` as source: on one line if it fits after `before` columns, else one item a line."""
    flat = _flat(value)
    if before + len(flat) + 1 <= WIDTH or not isinstance(value, (tuple, dict)):
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, dict):
        rows = [(f"{_flat(key)}: ", item) for key, item in value.items()]
    else:
        rows = [("", item) for item in value]
    lines = [f"{inner}{head}{_literal(item, indent + 4, indent + 4 + len(head))},\n" for head, item in rows]
    opening, closing = "{}" if isinstance(value, dict) else "()"
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


def _flat(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_flat, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flat(key)}: {_flat(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str):
        text = value.replace("\\", "\\\\")
        return f"'{text}'" if '"' in text and "'" not in text else '"' + text.replace('"', '\\"') + '"'
    return repr(value)
