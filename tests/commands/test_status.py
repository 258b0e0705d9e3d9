"""`spcli status`."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from spcli.cli import main
from spcli.clock import Clock
from spcli.errors import Interrupted
from spcli.runtime import Runtime
from spcli.sandbox.seeds import CONFIGURATOR_APAC, MAIN, OTHER, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD, SHOWROOM_REJECTED
from tests.faultd import FaultServer
from tests.front import FakeClock, Front, Result
from tests.platforms import LINKS, posix

URL = "https://builds.example.com/Game-1.4.zip"
KEYS = ["profile", "userId", "baseUrl", "project", "limits", "running", "recent", "stats", "problems", "live"]


class Stopped(FakeClock):
    """Ctrl-C after so many seconds of sleep."""

    def __init__(self, after: float) -> None:
        super().__init__()
        self.after = after

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.seconds > self.after:
            raise Interrupted(130)


def test_json_has_every_section_in_one_object(spcli: Front, service: Any) -> None:
    server = service()
    shown = spcli("status", "--json").json
    assert list(shown) == KEYS
    assert (shown["profile"], shown["userId"], shown["baseUrl"]) == ("default", MAIN.user_id, server.base_url)
    assert (shown["project"]["id"], shown["project"]["name"]) == (SHOWROOM.id, SHOWROOM.name)
    assert [limit["endpoint"] for limit in shown["limits"]] == ["upload", "distribute"]
    assert [build["uploadId"] for build in shown["recent"]] == [SHOWROOM_NEW, SHOWROOM_REJECTED, SHOWROOM_OLD]
    assert (shown["stats"]["liveUsers"], shown["stats"]["queuedUsers"]) == (7, 2)
    assert (shown["running"], shown["problems"]) == ([], [])


def test_build_in_progress_has_stage_and_time_and_a_rate_limit_its_end(spcli: Front, service: Any) -> None:
    service()
    uploaded = spcli("upload", URL, "--json").json["uploadId"]
    spcli.clock.sleep(50)
    shown = spcli("status", "--json").json
    (build,) = shown["running"]
    assert (build["uploadId"], build["state"], build["secondsElapsed"]) == (uploaded, "downloading", 50.0)
    assert shown["limits"][0]["secondsLeft"] == 70.0
    screen = spcli("status")
    assert f"{uploaded}  Downloading Files  50s elapsed  Game-1.4.zip" in screen.out
    assert "upload:      allowed in 1m10s" in screen.out


def test_time_of_a_build_released_again_counts_from_its_release(spcli: Front, service: Any) -> None:
    service()
    spcli("distribute", SHOWROOM_OLD)
    spcli.clock.sleep(30)
    (build,) = spcli("status", "--json").json["running"]
    assert (build["uploadId"], build["state"], build["secondsElapsed"]) == (SHOWROOM_OLD, "distributing", 30.0)


def test_screen_shows_account_project_users_rate_limits_and_builds(spcli: Front, service: Any) -> None:
    service()
    screen = spcli("status")
    assert screen.code == 0, screen
    for text in (
        MAIN.user_id,
        "Showroom Demo",
        SHOWROOM.id,
        "live 7, queued 2",
        "allowed now",
        "in progress: none",
        SHOWROOM_NEW,
    ):
        assert text in screen.out
    assert screen.err == ""


@pytest.mark.parametrize("generation", ["paged", "status"])
def test_last_builds_are_five_at_most_and_local_without_a_build_list(spcli: Front, service: Any, generation: str) -> None:
    service(generation=generation, window=1)
    ids = [spcli("upload", f"https://builds.example.com/Game-{n}.zip", "--json").json["uploadId"] for n in range(6)]
    shown = spcli("status", "--json").json
    assert [build["uploadId"] for build in shown["recent"]] == list(reversed(ids))[:5]
    assert {build["source"] for build in shown["recent"]} == {"server" if generation == "paged" else "local"}
    assert [problem["what"] for problem in shown["problems"]] == ([] if generation == "paged" else ["builds"])
    # Nobody knows whether builds of the ledger are still in progress.
    assert len(shown["running"]) == (6 if generation == "paged" else 0)


def test_failing_project_page_leaves_the_project_list_and_the_users(spcli: Front, service: Any) -> None:
    service(faults=("project:500x*",))
    shown = spcli("status", "--json")
    assert shown.code == 0, shown
    assert shown.json["project"]["name"] == SHOWROOM.name
    assert shown.json["stats"]["liveUsers"] == 7
    problem, builds = shown.json["problems"]
    assert (problem["what"], problem["kind"], problem["message"]) == ("project", "http-5xx", "Internal server error")
    assert (builds["what"], "could not read the build list" in builds["message"]) == ("builds", True)
    shown_to_people = spcli("status").out
    assert "no project:" in shown_to_people
    assert "in progress: unknown\nlast builds: unknown\n" in shown_to_people


def test_failing_user_stats_leave_the_other_sections(spcli: Front, service: Any) -> None:
    service(faults=("stats:403x*",))
    shown = spcli("status", "--json").json
    assert shown["stats"] is None
    assert [problem["what"] for problem in shown["problems"]] == ["stats"]
    assert len(shown["recent"]) == 3
    assert "live 7, queued 2" in spcli("status").out


@pytest.mark.parametrize(("fault", "code"), [("any:500x*", 50), ("any:401x*", 41), ("any:closex*", 60), ("any:redirectx*", 62)])
def test_if_nothing_can_be_read_the_exit_code_is_that_of_the_failure(spcli: Front, service: Any, fault: str, code: int) -> None:
    service(faults=(fault,))
    failed = spcli("status", "--json")
    assert (failed.code, failed.out, failed.error["outcome"]) == (code, "", None)
    assert "spcli doctor" in failed.error["hint"]


def test_unreachable_service_is_60_after_one_reading(spcli: Front) -> None:
    with FaultServer() as server:
        spcli.use(server.url)
    assert spcli("status").code == 60


def test_account_with_several_projects_and_none_selected_shows_its_rate_limits(spcli: Front, service: Any) -> None:
    service(project=None)
    shown = spcli("status", "--json")
    assert shown.code == 0, shown
    assert (shown.json["project"], len(shown.json["limits"])) == (None, 2)
    assert CONFIGURATOR_APAC.id in shown.json["problems"][0]["hint"]


@pytest.mark.parametrize(
    ("words", "code"), [(("-p", "nowhere"), 13), (("-p", OTHER.projects[0].id), 43), (("--interval", "5s"), 2)]
)
def test_unknown_project_and_surplus_options_are_errors(spcli: Front, service: Any, words: tuple[str, ...], code: int) -> None:
    service()
    failed = spcli("status", *words)
    assert (failed.code, failed.out) == (code, "")


def test_without_credentials_the_hint_is_to_log_in(spcli: Front) -> None:
    failed = spcli("status", "--json")
    assert (failed.code, "spcli auth login" in failed.error["hint"]) == (3, True)


@LINKS
def test_unusable_state_folder_leaves_the_sections_of_the_service(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    planted = tmp_path / "state"
    (tmp_path / "elsewhere").mkdir()
    planted.symlink_to(tmp_path / "elsewhere")
    shown = spcli("status", "--json")
    assert shown.code == 0, shown
    assert shown.json["limits"] == []
    assert [problem["what"] for problem in shown.json["problems"]] == ["limits"]
    assert len(shown.json["recent"]) == 3


def test_watch_prints_a_screen_per_interval_until_ctrl_c(spcli: Front, service: Any) -> None:
    service()
    spcli.clock = Stopped(after=25)
    watched = spcli("status", "--watch")
    assert (watched.code, watched.err) == (130, "")
    snapshots = watched.out.split("\n\ntime:")
    assert len(snapshots) == 3
    assert all("Showroom Demo" in snapshot for snapshot in snapshots)
    assert spcli.clock.slept == [10.0, 10.0, 10.0]


def test_watch_repeats_why_there_is_no_project(spcli: Front, service: Any) -> None:
    service(project=None)
    spcli.clock = Stopped(after=15)
    watched = spcli("status", "--watch", "--json").out.splitlines()
    assert [[problem["what"] for problem in json.loads(line)["problems"]] for line in watched] == [["project"]] * 2


def test_watch_with_json_prints_one_compact_object_a_line(spcli: Front, service: Any) -> None:
    service()
    spcli.clock = Stopped(after=6)
    watched = spcli("status", "--watch", "--interval", "1s", "--json")
    assert [list(json.loads(line)) for line in watched.out.splitlines()] == [KEYS, KEYS]
    assert "note: --interval raised to 5s" in watched.err
    assert spcli.clock.slept == [5.0, 5.0]


def test_watch_continues_after_a_network_failure(spcli: Front, service: Any) -> None:
    server = service()

    class Trouble(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if len(self.slept) == 1:
                server.stop()
            if self.seconds > 60:
                raise Interrupted(130)

    spcli.clock = Trouble()
    watched = spcli("status", "--watch", "--json")
    assert (watched.code, watched.error["kind"]) == (130, "interrupted")
    first, *later = [json.loads(line) for line in watched.out.splitlines()]
    assert first["problems"] == []
    assert later[0]["problems"][0]["kind"] == "network"
    assert len(later[0]["limits"]) == 2


def test_watch_ends_if_the_service_refuses_the_key(spcli: Front) -> None:
    from tests.faultd import answer

    page = answer(200, {"id": SHOWROOM.id, "name": "x", "files": []})
    stats = answer(200, {"liveUser": 1, "queueUser": 0})
    refusal = answer(401, {"message": "Unauthorized: Invalid API Key"})
    with FaultServer([page, stats, refusal, refusal]) as server:
        spcli.use(server.url)
        ended = spcli("status", "--watch", "--json")
    assert (ended.code, len(ended.out.splitlines())) == (41, 1)


@posix("a stream that only says that it is a terminal has no console mode")
def test_watch_redraws_on_a_terminal(spcli: Front, service: Any) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    service()
    out = io.BytesIO()
    err = io.TextIOWrapper(io.BytesIO(), "utf-8")
    clock: Clock = Stopped(after=15)
    stdout = Terminal(out, "utf-8")
    runtime = Runtime({**spcli.environ, "TERM": "xterm"}, stdin=None, stdout=stdout, stderr=err, clock=clock)
    assert main(["status", "--watch"], runtime) == 130
    stdout.flush()
    written = out.getvalue().decode()
    assert written.startswith("\x1b[?1049h")
    assert written.endswith("\x1b[?1049l")
    _, *screens = written.removesuffix("\x1b[?1049l").split("\x1b[H\x1b[2J")
    assert len(screens) == 2
    assert all(screen.startswith("time:") for screen in screens)
    spcli.printed.append(Result(130, "".join(screens).encode(), b""))


@pytest.mark.parametrize(("words", "pauses"), [(("--interval", "7s"), [7.0, 7.0]), ((), [0.5] * 17)])
def test_watch_of_a_sandbox_is_quick_unless_an_interval_is_given(
    spcli: Front, service: Any, words: tuple[str, ...], pauses: list[float]
) -> None:
    service(window=6)
    spcli.clock = Stopped(after=8)
    assert spcli("status", "--watch", *words).code == 130
    assert spcli.clock.slept == pauses


def test_live_build_is_marked_and_a_release_is_live_once_seen_to_finish(spcli: Front, service: Any) -> None:
    service()
    assert spcli("status", "--json").json["live"] == {"uploadId": SHOWROOM_NEW, "standing": "assumed", "since": None}
    assert f"{SHOWROOM_NEW}  Approved, assumed live  20" in spcli("status").out
    assert spcli("distribute", SHOWROOM_OLD).code == 0
    # The Approved from before the release still stands.
    assert f"{SHOWROOM_OLD}  Approved, being released  20" in spcli("status").out
    spcli.clock.sleep(20)
    assert f"{SHOWROOM_OLD}  Distribute, being released  20" in spcli("status").out
    assert spcli("builds", "wait", SHOWROOM_OLD).code == 0
    shown = spcli("status")
    assert f"{SHOWROOM_OLD}  Approved, live  20" in shown.out
    assert shown.out.count("live  20") == 1


def test_live_build_missing_from_the_last_builds_is_shown_below_them(spcli: Front, service: Any) -> None:
    service(window=1)
    assert spcli("distribute", SHOWROOM_OLD, "--wait").code == 0
    for number in range(5):
        spcli("upload", f"https://builds.example.com/Game-{number}.zip", "--no-auto-release")
    assert spcli("status").out.endswith(f"  {SHOWROOM_OLD}  earlier, live\n")


def test_without_a_build_list_the_last_release_from_here_is_marked(spcli: Front, service: Any) -> None:
    service(generation="status")
    upload_id = spcli("upload", URL, "--no-auto-release", "-q").out.strip()
    spcli.clock.sleep(500)
    assert spcli("status", "--json").json["live"] is None
    assert spcli("distribute", upload_id).code == 0
    assert spcli("status", "--json").json["live"]["standing"] == "releasing"
    spcli.clock.sleep(500)
    assert spcli("status", "--json").json["live"]["standing"] == "live"
