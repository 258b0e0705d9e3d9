"""`spcli help`: the topics, one topic's page, or a command's help."""

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spcli.completion.tree import CHOICES, COMMANDS
from spcli.errors import SpcliError

if TYPE_CHECKING:
    from spcli.runtime import Runtime

TOPICS = dict(CHOICES["topic"])


def show_help(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOPIC|COMMAND]", help="A topic, or a command such as: builds wait.", show_default=False),
    ] = None,
) -> None:
    """Show help on a topic or a command.

    Without an argument, list the topics.

    \b
      spcli help
      spcli help ci
      spcli help builds wait
    """
    runtime: Runtime = ctx.obj
    name = " ".join(words or ())
    if not name:
        _list_topics(runtime)
    elif name in TOPICS:
        _show_page(runtime, name, TOPICS[name], _topic_text(name, runtime.output.columns))
    elif name in COMMANDS:
        _show_page(runtime, name, COMMANDS[name][0], _command_text(ctx, name.split()))
    else:
        raise _unknown(name)


def _list_topics(runtime: "Runtime") -> None:
    output = runtime.output
    if output.json_mode or output.quiet:
        values = [{"name": name, "purpose": purpose} for name, purpose in TOPICS.items()]
        output.listing(values, columns=(), rows=(), bare=list(TOPICS), empty="")
        return
    size = max(map(len, TOPICS)) + 2
    lines = [f"  {name.ljust(size)}{purpose}" for name, purpose in TOPICS.items()]
    output.text("\n".join(["Topics:", *lines, "", "Show a topic: spcli help TOPIC", "List the commands: spcli --help"]))


def _show_page(runtime: "Runtime", name: str, purpose: str, text: str) -> None:
    if runtime.output.json_mode:
        runtime.output.result({"name": name, "purpose": purpose, "text": text})
    else:
        runtime.output.text(text)


def _topic_text(name: str, columns: int) -> str:
    """Return the topic's page, folded to `columns`; a command of the same name is pointed to at the end."""
    import pkgutil

    from spcli.output.markdown import parse_markdown, render_plain

    page = pkgutil.get_data("spcli.commands", f"topics/{name}.md")
    if page is None:
        raise FileNotFoundError(f"topics/{name}.md")
    source = page.decode()
    if name in COMMANDS:
        source += f"\nTo see the options of the command of this name: `spcli {name} --help`.\n"
    return render_plain(parse_markdown(source), columns)


def _command_text(ctx: typer.Context, path: list[str]) -> str:
    """Return what `--help` shows for the command."""
    parent = ctx.find_root()
    for word in path:
        group: Any = parent.command
        parent = typer.Context(group.get_command(parent, word), info_name=word, parent=parent, obj=ctx.obj)
    return parent.get_help()


def _unknown(name: str) -> SpcliError:
    """Return the error for a word that is no topic and no command, with the nearest ones."""
    members = [command for command in COMMANDS if command.rpartition(" ")[2] == name]
    near = members or get_close_matches(name.lower(), [*TOPICS, *filter(None, COMMANDS)], n=2, cutoff=0.6)
    quoted = " or ".join(f"`spcli help {one}`" for one in near)
    hint = f"did you mean {quoted}?" if near else "list topics with `spcli help`, commands with `spcli --help`"
    # A long or odd word may be a pasted key.
    shown = f" {name!r}" if len(name) <= 24 and name.replace("-", "").replace(" ", "").isalpha() else ""
    return SpcliError("usage", f"no such topic or command{shown}", hint=hint)
