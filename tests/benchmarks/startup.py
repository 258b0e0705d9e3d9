#!/usr/bin/env python3
"""What start-up costs, as multiples of the bare interpreter: one run, all commands interleaved, medians.

`python tests/benchmarks/startup.py [--rounds 15] [--readme]`; ends with 1 when something is over its budget.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Case, Installed, measure, report, temporary
from stand_in import StandIn, certificate

PROJECT = f"{1:024x}"


def always(*words: str) -> Callable[[int], Sequence[str]]:
    """The same words in every run."""
    return lambda _number: words


def home(folder: Path, url: str, **more: str) -> dict[str, str]:
    """The environment of a user whose files are in `folder`, and who asks the service at `url`."""
    return {
        "HOME": str(folder),
        "SPCLI_CONFIG": str(folder / "config.toml"),
        "SPCLI_STATE_DIR": str(folder / "state"),
        "STREAMPIXEL_BASE_URL": url,
        "STREAMPIXEL_USER_ID": "user",
        "STREAMPIXEL_API_KEY": "key-of-the-benchmark",
        **more,
    }


def tab(environ: dict[str, str], *words: str) -> dict[str, str]:
    """The environment of a TAB press behind `words`."""
    pressed = {"_SPCLI_COMPLETE": "complete_zsh", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {**environ, **pressed}


def cases(folder: Path, http: StandIn, https: StandIn | None) -> list[Case]:
    """What is measured, with the budgets."""
    user = home(folder, http.url)
    listing = always("projects", "list", "--json")
    # Every upload another file, and no window to wait for.
    upload = home(folder, http.url, SPCLI_WINDOW="0.001", STREAMPIXEL_PROJECT_ID=PROJECT)

    def uploading(number: int) -> Sequence[str]:
        return ("upload", f"https://builds.example.com/Game-{number}.zip", "--json", "--no-check")

    found = [
        Case("`--version`", always("--version"), {}, wall=1.4, instructions=1.15),
        Case("TAB on words", always(), tab(user, "spcli", "up"), wall=1.6, instructions=1.25),
        Case("TAB on live names", always(), tab(user, "spcli", "upload", "-p", "Sh"), wall=3.5, instructions=3.5),
        Case("`--help`", always("--help"), {}, wall=5.5, instructions=6.5),
        Case("`upload --help`", always("upload", "--help"), {}, wall=5.5, instructions=6.5),
        Case("a usage error", always("projects", "lst"), {}, wall=5.5, instructions=6.5, code=2),
        Case("`projects list --json` http", listing, user, wall=12, instructions=14.5, mebibytes=30),
    ]
    if https is not None:
        secure = home(folder, https.url, SSL_CERT_DIR=str(folder / "ca"))
        found.append(Case("`projects list --json` https", listing, secure, wall=13, instructions=15))
    if os.name == "posix":
        found.append(Case("`projects list` of 20 on a terminal", always("projects", "list"), user, wall=15, terminal=True))
    return [*found, Case("`upload --json`", uploading, upload, wall=14)]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    with temporary() as name:
        folder = Path(name)
        installed = Installed(folder)
        tls = certificate(folder)
        servers = [StandIn(20), *([StandIn(20, tls)] if tls else [])]
        measured = cases(folder, servers[0], servers[1] if tls else None)
        figures = measure(installed, measured, rounds=asked.rounds)
        for server in servers:
            server.stop()
    return report("startup", measured, figures, readme=asked.readme)


if __name__ == "__main__":
    sys.exit(main())
