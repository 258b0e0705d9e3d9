"""Put the man pages and completion scripts into the wheel, where man and the shells look below a prefix."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# PowerShell has no such folder: `spcli completion powershell` prints its script.
COMPLETIONS = {
    "spcli.bash": "share/bash-completion/completions/spcli",
    "_spcli": "share/zsh/site-functions/_spcli",
    "spcli.fish": "share/fish/vendor_completions.d/spcli.fish",
}


class SharedData(BuildHookInterface):  # type: ignore[type-arg]
    """Hatch's hook for the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files; a page's suffix is its section."""
        root = Path(self.root)
        pages = {path: f"share/man/man{path.suffix[1:]}/{path.name}" for path in sorted((root / "man").glob("spcli*.[1-8]"))}
        scripts = {root / "completions" / name: target for name, target in COMPLETIONS.items()}
        build_data["shared_data"].update({str(path): target for path, target in (pages | scripts).items()})
