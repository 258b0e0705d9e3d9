"""`spcli completion SHELL`: print a shell's completion script."""

from typing import TYPE_CHECKING, Annotated

import typer

from spcli.completion.shells import SCRIPTS

if TYPE_CHECKING:
    from spcli.runtime import Runtime


def _parse_shell(text: str) -> str:
    name = {"pwsh": "powershell"}.get(text.lower(), text.lower())
    if name not in SCRIPTS:
        raise typer.BadParameter(f"use one of {', '.join(SCRIPTS)}")
    return name


def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(parser=_parse_shell, metavar="SHELL", help=f"One of {', '.join(SCRIPTS)}.")],
) -> None:
    """Print the completion script of a shell.

    TAB then completes commands, options and their values. Names of projects, builds and profiles come from this machine's own
    records, never from the network.

    \b
      source <(spcli completion bash)   in ~/.bashrc
      eval "$(spcli completion zsh)"    in ~/.zshrc, after compinit
      spcli completion fish > ~/.config/fish/completions/spcli.fish
      spcli completion powershell | Out-String | iex   in $PROFILE
    """
    runtime: Runtime = ctx.obj
    script = SCRIPTS[shell]
    if runtime.output.json_mode:
        runtime.output.result({"shell": shell, "script": script})
    else:
        runtime.output.text(script)
