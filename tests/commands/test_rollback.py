"""`spcli rollback`."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli.sandbox.seeds import CONFIGURATOR_APAC, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from tests.front import Front, releases

URL = "https://builds.example.com/Game-1.4.zip"


def released(spcli: Front, upload_id: str) -> None:
    done = spcli("distribute", upload_id, "--wait")
    assert done.code == 0, done


def sent_ids(server: Sandbox) -> list[str]:
    return [json.loads(record.body)["uploadId"] for record in releases(server)]


def test_rollback_releases_the_build_before_the_last_release(spcli: Front, service: Any) -> None:
    server = service()
    released(spcli, SHOWROOM_NEW)
    back = spcli("rollback", "--yes", "--json")
    assert back.code == 0, back
    assert back.json == {
        "uploadId": SHOWROOM_OLD,
        "projectId": SHOWROOM.id,
        "message": "File distribution triggered successfully",
        "region": "US-East-1",
        "previousUploadId": SHOWROOM_NEW,
        "build": None,
    }
    assert list(back.json) == ["uploadId", "projectId", "message", "region", "previousUploadId", "build"]
    assert sent_ids(server) == [SHOWROOM_NEW, SHOWROOM_OLD]


def test_rollback_takes_the_build_as_an_argument_and_a_short_yes(spcli: Front, service: Any) -> None:
    server = service()
    released(spcli, SHOWROOM_NEW)
    back = spcli("rollback", SHOWROOM_OLD.upper(), "--to", SHOWROOM_OLD, "-y", "-q")
    assert (back.code, back.out, sent_ids(server)[-1]) == (0, SHOWROOM_OLD + "\n", SHOWROOM_OLD), back
    unknown = spcli("rollback", "0" * 24, "-y", "--json")
    assert (unknown.code, unknown.error["outcome"], len(sent_ids(server))) == (13, "not_sent", 2)


def test_rollback_undoes_a_release_of_an_older_build(spcli: Front, service: Any) -> None:
    server = service()
    released(spcli, SHOWROOM_OLD)
    assert spcli("rollback", "--yes", "-q").out == SHOWROOM_NEW + "\n"
    assert sent_ids(server)[-1] == SHOWROOM_NEW


def test_second_rollback_goes_further_back_and_a_third_finds_nothing(spcli: Front, service: Any) -> None:
    service()
    uploaded = spcli("upload", URL, "--wait", "--json").json["uploadId"]
    first = spcli("rollback", "--yes", "--wait", "--json").json
    assert (first["previousUploadId"], first["uploadId"]) == (uploaded, SHOWROOM_NEW)
    second = spcli("rollback", "--yes", "--wait", "--json").json
    assert (second["previousUploadId"], second["uploadId"]) == (SHOWROOM_NEW, SHOWROOM_OLD)
    third = spcli("rollback", "--yes", "--json")
    assert (third.code, third.error["kind"], third.error["outcome"]) == (13, "no-target", "not_sent")


def test_yes_needs_to_if_the_live_build_is_only_assumed(spcli: Front, service: Any) -> None:
    server = service()
    refused = spcli("rollback", "--yes", "--json")
    assert (refused.code, refused.error["outcome"], refused.out) == (13, "not_sent", "")
    assert "assumed" in refused.err
    assert f"spcli rollback --to {SHOWROOM_OLD} --yes" in refused.error["hint"]
    assert spcli("rollback", "--yes", "--to", SHOWROOM_OLD).code == 0
    assert sent_ids(server) == [SHOWROOM_OLD]


def test_dry_run_says_when_yes_would_be_refused(spcli: Front, service: Any) -> None:
    service()
    assumed = spcli("rollback", "--dry-run")
    assert assumed.code == 0
    assert f"--yes would be refused: the live build is only assumed. Use: spcli rollback --to {SHOWROOM_OLD} --yes" in assumed.err
    assert "--yes" not in spcli("rollback", "--dry-run", "--to", SHOWROOM_OLD).err
    released(spcli, SHOWROOM_NEW)
    assert "--yes" not in spcli("rollback", "--dry-run").err
    assert spcli("rollback", "--yes").code == 0


def test_live_build_is_assumed_after_an_upload_from_elsewhere(spcli: Front, service: Any, tmp_path: Path) -> None:
    server = service(window=1)
    released(spcli, SHOWROOM_OLD)
    elsewhere = Front(tmp_path / "other", spcli.clock)
    elsewhere.use(server.base_url, window=1)
    foreign = elsewhere("upload", URL, "--wait", "--json").json["uploadId"]
    refused = spcli("rollback", "--yes")
    assert refused.code == 13
    assert f"from: {foreign}" in refused.err


def test_build_that_finished_after_a_later_release_is_live(spcli: Front, service: Any) -> None:
    service(stage=100)
    uploaded = spcli("upload", URL, "--json").json["uploadId"]
    assert spcli("distribute", SHOWROOM_OLD).code == 0
    assert spcli("builds", "wait", uploaded).code == 0
    shown = spcli("rollback", "--dry-run").err
    assert f"from: {uploaded}" in shown
    assert "(live since" in shown
    assert f"to:   {SHOWROOM_OLD}" in shown


def test_rollback_to_a_build_assumed_to_have_been_live_prints_a_warning(spcli: Front, service: Any) -> None:
    service()
    released(spcli, SHOWROOM_NEW)
    assert "(assumed to have been live: it wasn't released from this machine)" in spcli("rollback", "--dry-run").err
    told = spcli("rollback", "--yes")
    assert told.code == 0
    assert f"warning: assuming {SHOWROOM_OLD} was live before (it wasn't released from this machine). Use --to" in told.err
    released(spcli, SHOWROOM_NEW)
    assert "assumed" not in spcli("rollback", "--yes").err


def test_releases_are_dated_by_the_services_clock(spcli: Front, service: Any) -> None:
    """A clock that is slow here must not make an older build the later one."""
    server = service()
    ahead = server.now
    server.now = lambda: ahead() + 90 * 86400
    newer = spcli("upload", URL, "--wait", "--json").json["uploadId"]
    released(spcli, SHOWROOM_OLD)
    shown = spcli("rollback", "--dry-run").err
    assert f"from: {SHOWROOM_OLD}" in shown
    assert f"to:   {newer}" in shown


def test_plan_names_both_builds_with_files_and_dates_before_anything_is_sent(spcli: Front, service: Any) -> None:
    server = service()
    released(spcli, SHOWROOM_NEW)
    shown = spcli("rollback", "--dry-run")
    assert shown.code == 0
    old, new = shown.err.splitlines()[1], shown.err.splitlines()[0]
    assert new.startswith(f"from: {SHOWROOM_NEW}  Showroom-1.1.0.zip  2023-")
    assert "(live since 2026-" in new
    assert old.startswith(f"to:   {SHOWROOM_OLD}  Showroom-1.0.0.zip  2023-")
    assert "****" in shown.out
    assert len(releases(server)) == 1


def test_without_a_terminal_and_without_yes_nothing_is_sent(spcli: Front, service: Any) -> None:
    server = service()
    refused = spcli("rollback", "--to", SHOWROOM_OLD, "--json")
    assert (refused.code, refused.error["kind"], refused.error["outcome"], refused.out) == (15, "unconfirmed", "not_sent", "")
    assert "--yes" in refused.error["hint"]
    assert releases(server) == []


@pytest.mark.parametrize("is_known", [True, False])
def test_expect_live_refuses_any_other_live_build(spcli: Front, service: Any, is_known: bool) -> None:
    server = service()
    if is_known:
        released(spcli, SHOWROOM_NEW)
    before = len(releases(server))
    wrong = spcli("rollback", "--expect-live", SHOWROOM_OLD, "--to", SHOWROOM_OLD, "--yes", "--json")
    assert (wrong.code, wrong.error["kind"], wrong.error["outcome"]) == (14, "guard", "not_sent")
    probably = "" if is_known else "probably "
    assert wrong.error["message"] == f"expected {SHOWROOM_OLD} to be live, but it is {probably}{SHOWROOM_NEW}"
    assert len(releases(server)) == before
    assert spcli("rollback", "--expect-live", SHOWROOM_NEW, "--to", SHOWROOM_OLD, "--yes").code == 0


def test_expect_live_is_refused_if_nothing_was_ever_released(spcli: Front, service: Any) -> None:
    service(project=CONFIGURATOR_APAC.id)
    refused = spcli("rollback", "--expect-live", SHOWROOM_NEW, "--yes", "--json")
    assert refused.code == 14
    assert "the live build is unknown" in refused.error["message"]


def test_project_without_builds_is_exit_13(spcli: Front, service: Any) -> None:
    service(project=CONFIGURATOR_APAC.id)
    assert spcli("rollback", "--yes").code == 13


@pytest.mark.parametrize(("upload_id", "code"), [(SHOWROOM_REJECTED, 14), ("f" * 24, 13)])
def test_build_that_cannot_be_released_is_refused_before_anything_is_sent(
    spcli: Front, service: Any, upload_id: str, code: int
) -> None:
    server = service()
    refused = spcli("rollback", "--to", upload_id, "--yes", "--json")
    assert (refused.code, refused.error["outcome"]) == (code, "not_sent")
    assert releases(server) == []


def test_unfinished_build_is_refused_with_the_command_that_waits(spcli: Front, service: Any) -> None:
    server = service(stage=10_000)
    uploaded = spcli("upload", URL, "--json").json["uploadId"]
    refused = spcli("rollback", "--to", uploaded, "--yes", "--json")
    assert refused.code == 14
    assert f"spcli builds wait {uploaded}" in refused.error["hint"]
    assert releases(server) == []


def test_rollback_to_the_live_build_is_exit_13(spcli: Front, service: Any) -> None:
    service()
    released(spcli, SHOWROOM_NEW)
    refused = spcli("rollback", "--to", SHOWROOM_NEW, "--yes", "--json")
    assert (refused.code, "live already" in refused.error["message"]) == (13, True)


def test_history_keeps_user_and_reason(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "-m", "1.1 crashes at start", env={"USER": "ada", "GITHUB_ACTOR": ""})
    connection = sqlite3.connect(tmp_path / "state" / "state.db")
    row = connection.execute("SELECT action, upload_id, phase, note FROM ledger").fetchall()
    connection.close()
    assert row == [("rollback", SHOWROOM_OLD, "done", json.dumps(["ada", "1.1 crashes at start", SHOWROOM_NEW]))]


def test_rollback_waits_for_the_distribute_rate_limit_and_obeys_on_limit(spcli: Front, service: Any) -> None:
    server = service(stage=10)
    released(spcli, SHOWROOM_NEW)
    refused = spcli("rollback", "--yes", "--on-limit", "fail", "--json")
    assert (refused.code, refused.error["kind"], refused.error["outcome"]) == (49, "rate-limited", "not_sent")
    assert spcli("rollback", "--yes").code == 0
    assert len(releases(server)) == 2


def test_rollback_with_wait_prints_the_share_url_after_the_release(spcli: Front, service: Any) -> None:
    service()
    done = spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "--wait")
    assert done.code == 0, done
    assert f"https://share.streampixel.io/{SHOWROOM.id}" in done.out
    assert "Distribute" in done.err


def test_output_file_gets_the_facts_for_later_steps(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path = tmp_path / "out.env"
    assert spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "--output-file", str(path)).code == 0
    assert f"STREAMPIXEL_UPLOAD_ID={SHOWROOM_OLD}" in path.read_text().splitlines()


def test_rollback_of_unknown_outcome_is_resumed_and_never_sent_twice(spcli: Front, service: Any) -> None:
    server = service(faults=("distribute:reset-after-store", "project:500x30"), stage=10_000)
    lost = spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "--json")
    assert (lost.code, lost.error["outcome"]) == (61, "unknown")
    while server.faults_left:
        spcli("builds")
    spcli.clock.sleep(3000)
    # The build is being distributed: the plan is still to go back to it, and not to one before it.
    assert f"to:   {SHOWROOM_OLD}" in spcli("rollback", "--dry-run").err
    again = spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "--json")
    assert again.code == 0, again
    assert sent_ids(server) == [SHOWROOM_OLD]


def test_without_a_build_list_both_builds_come_from_the_local_history(spcli: Front, service: Any) -> None:
    server = service(generation="status")
    first = spcli("upload", "https://builds.example.com/Game-1.zip", "--json").json["uploadId"]
    spcli.clock.sleep(2000)
    second = spcli("upload", "https://builds.example.com/Game-2.zip", "--json").json["uploadId"]
    spcli.clock.sleep(2000)
    assert spcli("rollback", "--yes").code == 13
    assert spcli("distribute", second).code == 0
    back = spcli("rollback", "--yes", "--json")
    assert back.code == 0, back
    assert (back.json["previousUploadId"], back.json["uploadId"]) == (second, first)
    assert sent_ids(server) == [second, first]


def test_unreadable_build_list_prevents_a_choice_but_not_a_rollback_by_id(spcli: Front, service: Any) -> None:
    server = service(faults=("project:500x*",))
    assert spcli("rollback", "--yes").code == 50
    assert spcli("rollback", "--yes", "--to", SHOWROOM_OLD, "--expect-live", SHOWROOM_NEW).code == 50
    named = spcli("rollback", "--yes", "--to", SHOWROOM_OLD)
    assert named.code == 0, named
    assert "from: unknown" in named.err
    assert sent_ids(server) == [SHOWROOM_OLD]


@pytest.mark.parametrize(
    "words", [("--deadline", "1h"), ("--to", ""), ("--expect-live", " "), ("x", "surplus"), ("x", "--to", "y")]
)
def test_invalid_arguments_are_usage_errors_before_any_call(spcli: Front, service: Any, words: tuple[str, ...]) -> None:
    server = service()
    refused = spcli("rollback", *words, "--json")
    assert (refused.code, refused.error["outcome"]) == (2, "not_sent")
    assert server.requests == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 15), ("", 15)])
def test_on_a_terminal_it_asks(tmp_path: Path, answer: str, code: int) -> None:
    import pexpect

    with Sandbox(World(window=0.2, stage=0.1)) as server:
        front = Front(tmp_path, None)  # type: ignore[arg-type]
        front.use(server.base_url, window=0.2)
        environ = {**front.environ, "PATH": "/usr/bin:/bin", "TERM": "xterm", "COLUMNS": "200"}
        child = pexpect.spawn(sys.executable, ["-m", "spcli", "rollback"], env=environ, encoding="utf-8", timeout=60)
        child.expect(r"Release Showroom-1.0.0.zip in place of Showroom-1.1.0.zip\? \[y/N\] ")
        assert releases(server) == []
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code
        assert len(releases(server)) == (1 if code == 0 else 0)
