#!/usr/bin/env python3
"""What size costs: 10,000 projects in 200 pages, a ledger of 100,000 builds, a zip of 30 GB and one of 200,000 files.

As multiples of the bare interpreter, and MiB.

`python tests/benchmarks/scale.py [--rounds 5] [--readme]`; ends with 1 when something is over its budget.
"""

import argparse
import hashlib
import sqlite3
import subprocess
import sys
from pathlib import Path

from measure import ROOT, Case, Installed, measure, report, temporary
from stand_in import StandIn
from startup import PROJECT, always, home, tab

sys.path.insert(0, str(ROOT))

from tests.faults.rangeserver import RangeServer
from tests.faults.zips import crowded, sparse

PROJECTS = 10_000
BUILDS = 100_000


def fill(installed: Installed, folder: Path, url: str) -> dict[str, str]:
    """A user whose database holds the names of all projects and 100,000 builds; its environment."""
    user = home(folder, url, SPCLI_WINDOW="0.001", STREAMPIXEL_PROJECT_ID=PROJECT)
    # The program makes the database and stores the names itself.
    subprocess.run([installed.python, installed.launcher, "projects", "list", "-q"], env=user, check=True, capture_output=True)
    account = hashlib.sha256(f"{url}\0{user['STREAMPIXEL_USER_ID']}".encode()).hexdigest()
    row = (
        "INSERT INTO ledger"
        " (ticket, action, origin, account, project_id, url, digest, upload_id, phase, started, ended, accepted)"
        " VALUES (?, 'upload', ?, ?, ?, ?, ?, ?, 'done', unixepoch() - ?, unixepoch() - ?, 1)"
    )
    connection = sqlite3.connect(folder / "state" / "state.db")
    with connection:
        connection.executemany(
            row,
            (
                (f"t{n}", url, account, PROJECT, f"https://h/G-{n}.zip", f"{n:064x}", f"{n + 10**9:024x}", age, age)
                for n, age in ((n, (BUILDS - n) * 300) for n in range(BUILDS))
            ),
        )
    connection.close()
    return user


def cases(user: dict[str, str]) -> list[Case]:
    """What is measured, with the budgets."""
    return [
        Case("10,000 `projects list --json`", always("projects", "list", "--json"), user, wall=20, mebibytes=45),
        Case("10,000 `projects list` in a pipe", always("projects", "list"), user, wall=20, mebibytes=45),
        Case("TAB on 10,000 live names", always(), tab(user, "spcli", "upload", "-p", "Sh")),
        Case("TAB on upload ids of 100,000", always(), tab(user, "spcli", "builds", "show", "")),
        Case("`builds --json` with 100,000 in the ledger", always("builds", "--json"), user),
        Case("`limits --json` with 100,000 in the ledger", always("limits", "--json"), user),
        Case(
            "`upload --json` with 100,000 in the ledger",
            lambda number: ("upload", f"https://builds.example.com/New-{number}.zip", "--json", "--no-check"),
            user,
            wall=14,
        ),
    ]


def checks(user: dict[str, str], big: RangeServer, full: RangeServer) -> list[Case]:
    """What a look into a zip on a storage host costs; the budgets are about 2 and 5 seconds."""
    return [
        Case("`check` of 30 GB", always("check", big.url("Game.zip")), user, wall=140, mebibytes=100),
        Case("`check` of 200,000 files", always("check", full.url("Game.zip")), user, wall=350),
    ]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    asked = parser.parse_args()
    with temporary() as name:
        folder = Path(name)
        installed = Installed(folder)
        server = StandIn(PROJECTS)
        user = fill(installed, folder, server.url)
        measured = cases(user)
        figures = measure(installed, measured, rounds=asked.rounds, counting=False)
        server.stop()
        # Only now: making them takes so much memory here that a process's own could not be told from it.
        sparse(folder / "big.zip", 30_000_000_000)
        crowded(folder / "full.zip", 200_000)
        with RangeServer(folder / "big.zip") as big, RangeServer(folder / "full.zip") as full:
            zips = checks(user, big, full)
            figures = measure(installed, zips, rounds=asked.rounds, counting=False) | figures
        measured += zips
    return report("scale", measured, figures, readme=asked.readme)


if __name__ == "__main__":
    sys.exit(main())
