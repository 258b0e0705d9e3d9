"""What CI systems are told, read back by a port of each system's own rules."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli import ci

NASTY = (
    "a%0Ab\r\n::set-output name=x::1 ##[error]x ##vso[task.setvariable variable=A]b ##teamcity[x y='z'] "
    "|'[]% $(id) `id` ; é 🙂\x1b[2J"
)
FACTS = ci.Facts(
    "665a2b3c4d5e6f7a8b9c0e1f", "67944b8a3f323be4b89a2272", "approved", "https://share.streampixel.io/67944b8a3f323be4b89a2272"
)


def github_command(line: str) -> tuple[str, dict[str, str], str] | None:
    """GitHub's runner: `::name key=value,…::message` after leading white space; %25 is undone last."""
    found = re.fullmatch(r"\s*::([a-z-]+)(?: ([^:]*))?::(.*)", line)
    if found is None:
        return None
    properties = dict(pair.split("=", 1) for pair in (found[2] or "").split(",") if pair)
    return found[1], properties, found[3].replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def github_file(text: str) -> dict[str, str]:
    """GitHub's runner: `name<<delimiter`, lines, `delimiter`."""
    values, lines = {}, iter(text.split("\n"))
    for line in lines:
        if "<<" in line:
            name, delimiter = line.split("<<", 1)
            values[name] = "\n".join(iter(lines.__next__, delimiter))
    return values


def azure_command(line: str) -> tuple[str, dict[str, str], str] | None:
    """Azure's agent: `##vso[area.action key=value;…]message`."""
    found = re.fullmatch(r"##vso\[([a-z.]+)(?: ([^\]]*))?\](.*)", line)
    if found is None:
        return None
    properties = dict(pair.split("=", 1) for pair in (found[2] or "").split(";") if pair)
    text = found[3]
    for escape, letter in (("%3B", ";"), ("%0D", "\r"), ("%0A", "\n"), ("%5D", "]"), ("%23", "#"), ("%AZP25", "%")):
        text = text.replace(escape, letter)
    return found[1], properties, text


def teamcity_message(line: str) -> tuple[str, dict[str, str]] | None:
    """TeamCity: `##teamcity[name key='value' …]` with | as the escape."""
    found = re.fullmatch(r"##teamcity\[(\w+)((?: \w+='(?:[^'|\[\]\n\r]|\|.)*')*)\]", line)
    if found is None:
        return None
    values = dict(re.findall(r" (\w+)='((?:[^'|]|\|.)*)'", found[2]))
    return found[1], {name: _teamcity_text(value) for name, value in values.items()}


def _teamcity_text(text: str) -> str:
    def undo(escape: re.Match[str]) -> str:
        if escape[1].startswith("0x"):
            return chr(int(escape[1][2:], 16))
        return {"n": "\n", "r": "\r"}.get(escape[1], escape[1])

    wide = re.sub(r"\|(0x[0-9A-F]{4}|.)", undo, text)
    return wide.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize(
    ("environ", "system"),
    [
        ({"GITHUB_ACTIONS": "true"}, "github"),
        ({"TF_BUILD": "True"}, "azure"),
        ({"TEAMCITY_VERSION": "2025.1"}, "teamcity"),
        ({"CI": "true", "GITLAB_CI": "true"}, None),
        ({"GITHUB_ACTIONS": ""}, None),
    ],
)
def test_each_system_is_recognised_by_its_variable(environ: dict[str, str], system: str | None) -> None:
    assert ci.system_of(environ) == system


@given(st.text(max_size=200) | st.just(NASTY))
def test_github_reads_one_annotation_and_nothing_else(message: str) -> None:
    line = ci.problem_line("github", "error", message)
    assert len(line.splitlines()) == 1
    name, properties, text = github_command(line) or ("", {}, "")
    assert (name, properties) == ("error", {"title": "spcli"})
    assert "##[" not in line
    assert [letter for letter in text if not letter.isprintable() and letter not in "\r\n"] == []


@given(st.text(max_size=200) | st.just(NASTY))
def test_azure_reads_one_issue_and_nothing_else(message: str) -> None:
    line = ci.problem_line("azure", "warning", message)
    name, properties, _text = azure_command(line) or ("", {}, "")
    assert (name, properties) == ("task.logissue", {"type": "warning"})
    assert line.count("##vso[") == 1


@given(st.text(max_size=200) | st.just(NASTY))
def test_teamcity_reads_the_text_back_unchanged(message: str) -> None:
    name, values = teamcity_message(ci.problem_line("teamcity", "error", message)) or ("", {})
    assert (name, values["status"]) == ("message", "ERROR")
    shown = "".join(letter if letter.isprintable() or letter in "\r\n" else " " for letter in message)
    assert values["text"] == shown


def test_github_output_is_read_back_by_name() -> None:
    assert github_file(ci.github_output(FACTS, "d3l1m")) == {
        "upload-id": FACTS.upload_id,
        "state": "approved",
        "project-id": FACTS.project_id,
        "share-url": FACTS.share_url,
    }


@given(st.text(max_size=100) | st.just(NASTY))
def test_no_value_breaks_out_of_a_file_or_a_shell(value: str) -> None:
    facts = ci.Facts(value, value, value, value)
    assert len(github_file(ci.github_output(facts, "d3l1m"))) == 4
    lines = ci.dotenv_lines(facts).splitlines()
    assert [line.split("=", 1)[0] for line in lines] == list(facts.by_variable())
    assert all(re.fullmatch(r"[A-Za-z0-9._:/%-]*", line.split("=", 1)[1]) for line in lines)
    for system in ("azure", "teamcity"):
        parse = azure_command if system == "azure" else teamcity_message
        assert [line for line in ci.variable_lines(system, facts) if parse(line) is None] == []  # type: ignore[arg-type]


def test_variables_reach_later_steps_of_azure_and_teamcity() -> None:
    azure = [azure_command(line) for line in ci.variable_lines("azure", FACTS)]
    assert ("task.setvariable", {"variable": "STREAMPIXEL_STATE", "isOutput": "true"}, "approved") in azure
    teamcity = [teamcity_message(line) for line in ci.variable_lines("teamcity", FACTS)]
    assert ("setParameter", {"name": "env.STREAMPIXEL_UPLOAD_ID", "value": FACTS.upload_id}) in teamcity


def test_no_value_is_a_reference_or_a_command_in_a_teamcity_step() -> None:
    hostile = ci.Facts("x & calc.exe & rem %env.STREAMPIXEL_API_KEY%", "p", "s", "u")
    values = [(teamcity_message(line) or ("", {}))[1]["value"] for line in ci.variable_lines("teamcity", hostile)]
    # Two percent signs are one, and no reference, where TeamCity puts a parameter in.
    assert values[0].replace("%%", "%") == ci.percent_encode(hostile.upload_id)
    assert not set("&|<>^\"' ") & set(values[0])


def test_no_value_breaks_out_of_the_summary_table() -> None:
    summary = ci.github_summary("Build", ci.Facts("a|b<script>`x`", "p", "s", "u"))
    assert "<script>" not in summary
    assert summary.count("|\n") == 6
