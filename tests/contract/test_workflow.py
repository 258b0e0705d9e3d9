"""The workflow for GitHub runs the checks of `.ci/run`, on three systems and every supported Python, without secrets."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOW = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
GATE = (ROOT / ".ci" / "run").read_text("utf-8")


def test_the_workflow_runs_every_check_of_the_gate() -> None:
    checks = re.findall(r'^(?:"\$venv/bin/([^"]+)"|(\.ci/\w+))(.*)$', GATE, re.MULTILINE)
    commands = [(tool or script) + rest.replace(' "$venv"', "") for tool, script, rest in checks]
    assert {"ruff check .", "mypy", "python .ci/generate.py --check", ".ci/package", "pytest"} <= set(commands)
    assert [
        command for command in commands if f" {command}" not in WORKFLOW and not command.startswith(("pip ", ".ci/windows"))
    ] == []


def test_the_workflow_covers_the_supported_systems_and_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    matrix = re.findall(r'"(3\.\d+)"', WORKFLOW)
    assert set(named) <= set(matrix)
    assert {"3.11", "3.12", "3.13", "3.14"} == set(matrix)
    assert all(f"{system}-latest" in WORKFLOW for system in ("ubuntu", "macos", "windows"))


def test_the_workflow_has_no_secret_and_can_only_read() -> None:
    assert "secrets" not in WORKFLOW
    assert "permissions:\n  contents: read" in WORKFLOW
