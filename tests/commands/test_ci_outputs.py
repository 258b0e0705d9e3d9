"""What a CI job gets, through the front door."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli.cli import main
from spcli.errors import Interrupted
from spcli.runtime import Runtime
from spcli.sandbox.seeds import MAIN, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED, SOLO_NEW
from tests.faultd import FaultServer, answer
from tests.front import FakeClock, Front, uploads
from tests.platforms import LINKS, posix
from tests.unit.test_ci import azure_command, github_command, github_file, teamcity_message

URL = "https://builds.example.com/Game-1.4.zip?X-Amz-Signature=5ec4e7"


def words_of(words: Any) -> str | None:
    """Return the command line as a test's id."""
    return " ".join(words).replace(URL, "URL") if isinstance(words, tuple) else None


def pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def test_output_file_holds_what_later_steps_need(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path = tmp_path / "build.env"
    sent = spcli("upload", URL, "--wait", "--json", "--output-file", str(path))
    assert pairs(path) == {
        "STREAMPIXEL_UPLOAD_ID": sent.json["uploadId"],
        "STREAMPIXEL_PROJECT_ID": SHOWROOM.id,
        "STREAMPIXEL_STATE": "approved",
        "STREAMPIXEL_SHARE_URL": f"https://share.streampixel.io/{SHOWROOM.id}",
    }


def test_output_file_is_written_after_a_rejection_too(spcli: Front, service: Any, tmp_path: Path) -> None:
    service(reject="Game*")
    path = tmp_path / "build.env"
    assert spcli("upload", URL, "--wait", "--output-file", str(path)).code == 10
    assert pairs(path)["STREAMPIXEL_STATE"] == "rejected"


class CtrlC(FakeClock):
    """Ctrl-C at the first pause."""

    def sleep(self, seconds: float) -> None:
        raise Interrupted(130)


def test_output_file_holds_the_id_when_the_wait_is_interrupted(spcli: Front, service: Any, tmp_path: Path) -> None:
    server = service()
    spcli.clock = CtrlC()
    path = tmp_path / "build.env"
    ended = spcli("upload", URL, "--wait", "--json", "--output-file", str(path))
    assert (ended.code, ended.error["outcome"], len(uploads(server))) == (130, "done", 1)
    assert (pairs(path)["STREAMPIXEL_UPLOAD_ID"], pairs(path)["STREAMPIXEL_STATE"]) == (ended.error["uploadId"], "queued")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("upload", URL, "-p", "nosuch"), 13),
        (("upload", URL, "--deadline", "5m"), 2),
        (("upload", URL, "--dry-run"), 0),
        (("distribute", "nosuch"), 13),
        (("distribute", SOLO_NEW, "--force"), 44),
        (("distribute", SHOWROOM_NEW, "--latest"), 2),
        (("distribute", SHOWROOM_REJECTED), 14),
        (("distribute", "--latest", "--dry-run"), 0),
        (("rollback", "--to", SHOWROOM_REJECTED, "--yes"), 14),
        (("rollback",), 15),
        (("builds", "wait", "nosuch"), 13),
        (("builds", "wait"), 2),
    ],
    ids=words_of,
)
def test_output_file_keeps_no_id_of_an_earlier_command(
    spcli: Front, service: Any, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    service()
    path = tmp_path / "build.env"
    assert spcli("builds", "wait", SHOWROOM_NEW, "--output-file", str(path)).code == 0
    assert pairs(path)["STREAMPIXEL_UPLOAD_ID"] == SHOWROOM_NEW
    assert spcli(*words, "--output-file", str(path)).code == code
    assert path.read_text() == ""


def test_output_file_keeps_its_links_and_permissions(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path, link = tmp_path / "build.env", tmp_path / "link.env"
    path.write_text("STREAMPIXEL_UPLOAD_ID=earlier\n")
    os.link(path, link)
    assert spcli("builds", "wait", "nosuch", "--output-file", str(path)).code == 13
    assert link.read_text() == ""


GITHUB_FILES = ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_PATH", "GITHUB_STATE"]
ROLLBACK = ("rollback", "--yes", "--to", SHOWROOM_OLD)
WRITERS = [("upload", URL), ("distribute", "--latest"), ROLLBACK, ("builds", "wait", "--latest")]


@pytest.mark.parametrize("words", WRITERS, ids=words_of)
@pytest.mark.parametrize("name", GITHUB_FILES)
def test_output_file_must_not_be_one_that_other_steps_write_to(
    spcli: Front, service: Any, tmp_path: Path, name: str, words: tuple[str, ...]
) -> None:
    server = service()
    path = tmp_path / "shared"
    path.write_text("of=another step\n")
    refused = spcli(*words, "--output-file", str(path), "--json", env={name: str(path)})
    assert (refused.code, refused.error["kind"], f"${name}" in refused.error["message"]) == (2, "usage", True)
    assert path.read_text() == "of=another step\n"
    assert server.requests == []


@pytest.mark.parametrize("spelling", ["folder/../shared", pytest.param("link", marks=LINKS), "hardlink", "./shared"])
def test_output_file_is_refused_in_any_spelling(
    spcli: Front, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    service()
    path = tmp_path / "shared"
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    path.write_text("of=another step\n")
    os.link(path, "hardlink")
    if spelling == "link":
        os.symlink(path, "link")
    assert spcli("builds", "wait", SHOWROOM_NEW, "--output-file", spelling, env={"GITHUB_OUTPUT": str(path)}).code == 2
    assert path.read_text() == "of=another step\n"


def test_output_file_is_refused_though_the_other_file_does_not_exist_yet(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    env = {"GITHUB_ENV": str(tmp_path / "env")}
    assert spcli("builds", "wait", SHOWROOM_NEW, "--output-file", f"{tmp_path}/x/../env", env=env).code == 2
    assert not (tmp_path / "env").exists()


def test_output_file_of_distribute_and_of_a_wait(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path = tmp_path / "build.env"
    assert spcli("distribute", "--latest", "--output-file", str(path)).code == 0
    assert pairs(path)["STREAMPIXEL_STATE"] == "distributing"
    assert spcli("builds", "wait", "--latest", "--output-file", str(path)).code == 0
    assert pairs(path)["STREAMPIXEL_STATE"] == "approved"


def test_output_file_that_cannot_be_written_stops_before_anything_is_sent(spcli: Front, service: Any, tmp_path: Path) -> None:
    server = service()
    sent = spcli("upload", URL, "--output-file", str(tmp_path / "no" / "such" / "folder"), "--json")
    assert (sent.code, sent.error["outcome"]) == (2, "not_sent")
    assert sent.error["message"] == "cannot write --output-file: no such file or directory"
    assert server.requests == []


def test_github_gets_outputs_a_summary_and_an_annotation(spcli: Front, service: Any, tmp_path: Path) -> None:
    service(reject="Game*")
    output, summary = tmp_path / "output", tmp_path / "summary"
    output.write_text("earlier=1\n")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    sent = spcli("upload", URL, "--wait", "--json", env=env)
    assert output.read_text().startswith("earlier=1\n")
    assert github_file(output.read_text())["upload-id"] == sent.json["uploadId"]
    assert github_file(output.read_text())["state"] == "rejected"
    assert sent.json["uploadId"] in summary.read_text()
    commands = [command for line in sent.err.splitlines() if (command := github_command(line))]
    assert ("error", {"title": "spcli"}, sent.error["message"]) in commands
    assert {name for name, _properties, _text in commands} <= {"error", "warning"}
    assert "5ec4e7" not in output.read_text() + summary.read_text()


@pytest.mark.parametrize("earlier", ["", "earlier=1", "earlier=1\n", "earlier=1\r\n", "é"])
def test_github_files_without_a_final_line_end_are_continued_on_a_new_line(
    spcli: Front, service: Any, tmp_path: Path, earlier: str
) -> None:
    service()
    output, summary = tmp_path / "output", tmp_path / "summary"
    for path in (output, summary):
        path.write_bytes(earlier.encode())
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    assert spcli("upload", URL, env=env).code == 0
    end = "" if not earlier or earlier.endswith("\n") else "\n"
    assert output.read_bytes().startswith(f"{earlier}{end}upload-id<<".encode())
    assert summary.read_bytes().startswith(f"{earlier}{end}### ".encode())


def test_azure_gets_variables_and_an_issue(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "--wait", env={"TF_BUILD": "True"})
    commands = [command for line in sent.err.splitlines() if (command := azure_command(line))]
    assert [name for name, _properties, _text in commands] == ["task.setvariable"] * 4 + ["task.logissue"]


def test_teamcity_gets_parameters_and_a_problem(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "--wait", env={"TEAMCITY_VERSION": "2025.1"})
    messages = [message for line in sent.err.splitlines() if (message := teamcity_message(line))]
    assert [name for name, _values in messages] == ["setParameter"] * 4 + ["message"]
    assert messages[-1][1]["status"] == "ERROR"


@pytest.mark.parametrize("fault", ["", "upload:reset-after-store"])
def test_the_id_is_handed_over_if_the_run_is_interrupted(spcli: Front, service: Any, tmp_path: Path, fault: str) -> None:
    """During the wait, or while the outcome of the upload is looked up."""
    service(faults=(fault,) if fault else ())
    output, path = tmp_path / "output", tmp_path / "build.env"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    spcli.clock = CtrlC()
    ended = spcli("upload", URL, "--wait", "--json", "--output-file", str(path), env=env)
    assert (ended.code, ended.error["outcome"]) == (130, "done"), ended
    assert github_file(output.read_text())["upload-id"] == ended.error["uploadId"]
    assert pairs(path)["STREAMPIXEL_UPLOAD_ID"] == ended.error["uploadId"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_output_file_may_be_a_pipe(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE, text=True) as reader:
        # `cat` ends with its first writer; the file is opened once before anything is sent.
        keeper = os.open(path, os.O_WRONLY)
        sent = spcli("distribute", "--latest", "--output-file", str(path))
        os.close(keeper)
        out, _ = reader.communicate(timeout=60)
    assert sent.code == 0, sent
    assert "STREAMPIXEL_STATE=distributing\n" in out


def test_other_ci_systems_get_no_commands(spcli: Front, service: Any) -> None:
    service(reject="Game*")
    sent = spcli("upload", URL, "--wait", env={"CI": "true", "GITLAB_CI": "true"})
    assert sent.code == 10
    assert "##" not in sent.out + sent.err
    assert "::" not in sent.out + sent.err


def test_server_text_never_becomes_a_ci_command(spcli: Front, service: Any) -> None:
    message = "::error::x\n::add-mask::y ##vso[task.complete result=Failed]z ##teamcity[buildStop]"
    for env in ({"GITHUB_ACTIONS": "true"}, {"TF_BUILD": "True"}, {"TEAMCITY_VERSION": "1"}):
        with FaultServer([answer(400, {"message": message})]) as server:
            spcli.use(server.url)
            sent = spcli("projects", "show", env=env)
        assert sent.code == 40
        obeyed = [line for line in sent.err.splitlines() if github_command(line) or azure_command(line) or teamcity_message(line)]
        assert len(obeyed) == 1, sent
        assert MAIN.api_key not in sent.err


def test_an_unknown_id_is_not_handed_over(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    output = tmp_path / "output"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    assert spcli("builds", "wait", "nosuch", env=env).code == 13
    assert not output.exists()


@pytest.mark.parametrize("words", [("upload", URL), ("distribute", "--latest"), ("rollback",)], ids=lambda words: words[0])
def test_a_dry_run_makes_no_output_file(spcli: Front, service: Any, tmp_path: Path, words: tuple[str, ...]) -> None:
    service()
    path = tmp_path / "build.env"
    assert spcli(*words, "--dry-run", "--output-file", str(path)).code == 0
    assert not path.exists()


def test_github_gets_the_id_even_if_the_output_file_cannot_be_written_any_more(spcli: Front, tmp_path: Path) -> None:
    output, path = tmp_path / "output", tmp_path / "build.env"

    def handler(request: Any) -> Any:
        if request.method == "GET":
            return answer(200, {"files": []})
        path.unlink()
        path.mkdir()
        return answer(201, {"message": "queued", "uploadId": "u1"})

    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
        sent = spcli("upload", URL, "--output-file", str(path), env=env)
    assert sent.code == 19, sent
    assert github_file(output.read_text())["upload-id"] == "u1"


SHARE = f"https://share.streampixel.io/{SHOWROOM.id}"


@pytest.mark.parametrize(
    ("words", "code", "is_live"),
    [
        (("upload", URL, "--wait"), 0, True),
        (("upload", URL), 0, False),
        (("upload", URL, "--no-auto-release", "--wait"), 0, False),
        (("upload", "https://builds.example.com/Broken-1.zip", "--wait"), 10, False),
        (("distribute", SHOWROOM_OLD, "--wait"), 0, True),
        (("distribute", SHOWROOM_OLD), 0, True),
        ((*ROLLBACK, "--wait"), 0, True),
        (("builds", "wait", SHOWROOM_NEW), 0, True),
        (("builds", "wait", SHOWROOM_OLD), 0, False),
        (("builds", "wait", SHOWROOM_REJECTED), 10, False),
    ],
    ids=words_of,
)
def test_only_a_live_build_has_a_share_url(
    spcli: Front, service: Any, tmp_path: Path, words: tuple[str, ...], code: int, is_live: bool
) -> None:
    service(reject="Broken*")
    path, output, summary = tmp_path / "build.env", tmp_path / "output", tmp_path / "summary"
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary)}
    found = spcli(*words, "--output-file", str(path), env=env)
    assert found.code == code, found
    assert pairs(path)["STREAMPIXEL_SHARE_URL"] == github_file(output.read_text())["share-url"] == (SHARE if is_live else "")
    assert (SHARE in summary.read_text()) is is_live
    if "wait" in " ".join(words):
        assert (SHARE in found.out) is is_live
    is_releasable = not is_live and pairs(path)["STREAMPIXEL_STATE"] == "approved"
    release = f"Release it: spcli distribute {pairs(path)['STREAMPIXEL_UPLOAD_ID']}"
    assert (release in found.out) is is_releasable
    assert ("Not live yet" in summary.read_text()) is is_releasable


def test_a_build_that_was_replaced_is_not_live_any_more(spcli: Front, service: Any) -> None:
    service()
    held = spcli("upload", URL, "--no-auto-release", "--wait", "-q").out.strip()
    assert f"Not live yet. Release it: spcli distribute {held}" in spcli("builds", "wait", held).out
    assert SHARE in spcli("distribute", held, "--wait").out
    assert SHARE in spcli("distribute", SHOWROOM_OLD, "--wait").out
    assert f"Not live. Release it: spcli distribute {held}" in spcli("builds", "wait", held).out


@pytest.mark.parametrize("wait", [(), ("--wait",)])
def test_a_default_upload_says_that_it_goes_live_by_itself(spcli: Front, service: Any, wait: tuple[str, ...]) -> None:
    service()
    note = "note: the build goes live by itself once it is approved"
    assert note in spcli("upload", URL, *wait).err
    assert note not in spcli("upload", URL, "--no-auto-release", *wait).err


class CtrlCAfter(FakeClock):
    """Ctrl-C after so many seconds of sleep."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.seconds > self.after:
            raise Interrupted(130)


@pytest.mark.parametrize("words", [("upload", URL, "--no-check", "--wait"), ("builds", "wait", "--latest")], ids=words_of)
def test_an_interrupted_wait_hands_over_the_state_last_seen(
    spcli: Front, tmp_path: Path, clock: FakeClock, words: tuple[str, ...]
) -> None:
    stages, posts = ["pending", "Downloading Files", "Extracting & Scanning"], []

    def handler(request: Any) -> Any:
        if request.method == "POST":
            posts.append(request)
            return answer(201, {"message": "queued", "uploadId": "u1"})
        if words[0] == "upload" and not posts:
            return answer(200, {"files": []})
        status = stages.pop(0) if len(stages) > 1 else stages[0]
        return answer(200, {"files": [{"_id": "u1", "url": URL, "status": status}]})

    path = tmp_path / "build.env"
    with FaultServer(handler=handler) as server:
        spcli.use(server.url)
        spcli.clock = CtrlCAfter(30)
        ended = spcli(*words, "--output-file", str(path))
    assert ended.code == 130, ended
    assert pairs(path)["STREAMPIXEL_STATE"] == "extracting"
    assert "stopped waiting; the build is still processing" in ended.err
    assert "resume: spcli builds wait u1" in ended.err


@posix("writes to /dev/full")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("builds", "wait", "--latest"), 141),
        (("upload", URL, "--no-check"), 19),
        (("upload", URL, "--no-check", "--wait"), 19),
        (("distribute", "--latest"), 19),
        (ROLLBACK, 19),
    ],
    ids=words_of,
)
def test_the_build_is_handed_over_if_standard_output_is_lost(
    spcli: Front, service: Any, tmp_path: Path, words: tuple[str, ...], code: int
) -> None:
    service()
    path, output = tmp_path / "build.env", tmp_path / "output"
    env = {**spcli.environ, "GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(output)}
    with open("/dev/full", "w", encoding="utf-8") as full:
        runtime = Runtime(env, stdin=None, stdout=full, stderr=io.StringIO(), clock=spcli.clock)
        assert main([*words, "--output-file", str(path)], runtime) == code
    assert pairs(path)["STREAMPIXEL_UPLOAD_ID"] == github_file(output.read_text())["upload-id"] != ""
