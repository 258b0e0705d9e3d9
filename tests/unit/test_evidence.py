"""What a build list proves: the judges alone, over lists by hand."""

from typing import Any

import pytest

from spcli.api.client import ProjectPage
from spcli.builds.lifecycle import Match, state_of
from spcli.errors import Refused, Unclear
from spcli.models import Build, ProjectDetail, bare_url, iso_utc, url_digest
from spcli.writes.evidence import Judge, release_judge, settle, upload_judge

BARE = "https://builds.example.com/Game-1.4.zip"
URL = BARE + "?sig=0ne"
OTHER = BARE + "?sig=tw0"
BEGAN = 1_790_000_000.0
DETAIL = ProjectDetail("p", None, None, None, None, None, None, None, None, None, None, "", "")


def build(upload_id: str, url: str | None = URL, born: float | None = BEGAN + 1, status: str = "pending") -> Build:
    return Build(
        upload_id, "p", status, state_of(status), url and bare_url(url), None if born is None else iso_utc(born), None, "server",
        digest=url and url_digest(url),
    )  # fmt: skip


def page(*builds: Build, server_wall: float | None = BEGAN + 30) -> ProjectPage:
    return ProjectPage(DETAIL, list(builds), server_wall)


def judge(**kwargs: Any) -> Judge:
    return upload_judge(url_digest(URL), BARE, **{"baseline": frozenset({"old"}), "taken": frozenset(), **kwargs})


def without_baseline(start: float | None = BEGAN) -> Judge:
    return judge(baseline=None, since=lambda _page: start)


def verdict(judging: Judge, *builds: Build) -> tuple[str, list[str]]:
    match = judging(page(*builds))
    return match.kind, [one.upload_id for one in match.builds]


def test_the_one_new_build_with_our_url_is_ours() -> None:
    assert verdict(judge(), build("old"), build("new"), build("x", "https://builds.example.com/Other.zip")) == ("found", ["new"])


def test_a_list_without_a_new_build_of_ours_proves_absence() -> None:
    assert verdict(judge(), build("old"), build("x", "https://builds.example.com/Other.zip")) == ("absent", [])
    assert verdict(judge()) == ("absent", [])


def test_two_new_builds_with_our_url_are_doubtful() -> None:
    assert verdict(judge(), build("a"), build("b")) == ("doubtful", ["a", "b"])


@pytest.mark.parametrize("url", [OTHER, BARE])
def test_a_build_that_matches_but_for_the_query_is_doubtful(url: str) -> None:
    assert verdict(judge(), build("a", url)) == ("doubtful", ["a"])


def test_our_exact_url_counts_more_than_one_that_matches_but_for_the_query() -> None:
    assert verdict(judge(), build("a", OTHER), build("b")) == ("found", ["b"])


def test_ids_of_other_attempts_are_never_ours() -> None:
    assert verdict(judge(taken=frozenset({"a"})), build("a")) == ("absent", [])
    assert verdict(judge(taken=frozenset({"a"})), build("a"), build("b")) == ("found", ["b"])
    assert verdict(without_baseline(), build("a")) == ("found", ["a"])
    assert verdict(judge(baseline=None, taken=frozenset({"a"}), since=lambda _page: BEGAN), build("a")) == ("absent", [])


def test_a_new_build_without_a_url_may_be_ours() -> None:
    assert verdict(judge(), build("a", None)) == ("doubtful", ["a"])


def test_what_a_list_lacks_is_no_proof_unless_the_list_is_whole() -> None:
    part = page(build("old"))._replace(whole=False)
    assert judge()(part) == Match("doubtful")
    assert judge()(page(build("new"))._replace(whole=False)) == Match("found", (build("new"),))


def test_with_a_baseline_the_date_does_not_matter() -> None:
    assert verdict(judge(since=lambda _page: BEGAN), build("a", born=BEGAN - 9999)) == ("found", ["a"])


def test_without_a_baseline_only_a_build_dated_after_the_call_is_ours() -> None:
    assert verdict(without_baseline(), build("a", born=BEGAN - 1), build("b", born=BEGAN)) == ("found", ["b"])
    assert verdict(without_baseline(), build("a", born=BEGAN - 1)) == ("absent", [])


def test_without_a_baseline_an_undated_build_with_our_url_is_doubtful() -> None:
    assert verdict(without_baseline(), build("a", born=None)) == ("doubtful", ["a"])


def test_without_a_baseline_an_object_id_dates_a_build() -> None:
    before, after = (f"{int(BEGAN + seconds):08x}{0:016x}" for seconds in (-60, 60))
    assert verdict(without_baseline(), build(before, born=None)) == ("absent", [])
    assert verdict(without_baseline(), build(after, born=None)) == ("found", [after])


def test_without_a_baseline_and_a_server_clock_our_url_is_doubtful_whatever_its_date() -> None:
    assert verdict(without_baseline(None), build("a"), build("x", "https://builds.example.com/Other.zip")) == ("doubtful", ["a"])
    assert verdict(without_baseline(None), build("x", "https://builds.example.com/Other.zip")) == ("absent", [])
    assert verdict(judge(baseline=None), build("a")) == ("doubtful", ["a"])


def test_an_empty_baseline_is_one() -> None:
    assert verdict(judge(baseline=frozenset()), build("a", born=None)) == ("found", ["a"])


# Releases.


def release(before: str | None, now: str | None) -> str:
    builds = [] if now is None else [build("a", status=now)]
    return release_judge("a", before)(page(*builds, build("b", status="Distribute"))).kind


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        ("Approved", "Distribute", "found"),
        ("Approved", "distribute", "found"),
        ("Approved", "Reject", "found"),
        ("Approved", "Approved", "absent"),
        ("approved", "Approved", "absent"),
        ("Weird", "Distribute", "found"),
        ("Weird", "Weird", "absent"),
        (None, "Distribute", "found"),
        (None, "Approved", "doubtful"),
        ("Distribute", "Distribute", "doubtful"),
        ("Distribute", "Approved", "doubtful"),
        ("Approved", None, "doubtful"),
        (None, None, "doubtful"),
    ],
)
def test_a_release_shows_in_the_builds_own_state(before: str | None, now: str | None, kind: str) -> None:
    assert release(before, now) == kind


# Looking over a minute.


class Lists:
    """Stands where the service is: one answer for each look, and the moments of the looks."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.seconds = 0.0
        self.looks: list[float] = []
        self.api = self.clock = self.settings = self
        self.scale = 1.0

    def mono(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)

    def glance(self, _project_id: str, _within: float) -> ProjectPage:
        self.looks.append(self.seconds)
        word = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if word in ("404", "405", "401", "500"):
            raise Refused(int(word), "no", documented=True)
        if word == "no list":
            return ProjectPage(DETAIL, None, None)
        if word == "lost":
            raise Unclear("lost")
        return page(*{"mine": [build("new")], "near": [build("near", OTHER)], "none": []}[word])


def settled(lists: Lists, **kwargs: Any) -> str:
    runtime: Any = lists
    return settle(runtime, "p", judge(), **kwargs).kind


def test_the_list_is_read_at_2_5_10_20_40_and_60_seconds() -> None:
    lists = Lists("none")
    assert settled(lists) == "absent"
    assert lists.looks == [2, 5, 10, 20, 40, 60]


def test_a_build_that_appears_ends_the_looking() -> None:
    lists = Lists("none", "500", "mine")
    assert settled(lists) == "found"
    assert lists.looks == [2, 5, 10]


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (("lost", "lost", "lost", "none", "none", "none"), "absent"),
        (("lost", "lost", "lost", "500", "none", "none"), "unreadable"),
        (("none", "none", "none", "none", "none", "500"), "unreadable"),
        (("none", "none", "none", "none", "none", "no list"), "unreadable"),
        (("none", "none", "none", "none", "none", "404"), "unreadable"),
        (("404", "405", "401", "none", "none", "none"), "absent"),
        (("lost", "lost", "lost", "lost", "lost", "lost"), "unreadable"),
        (("none", "none", "none", "none", "none", "near"), "doubtful"),
        (("near", "near", "near", "near", "near", "mine"), "found"),
    ],
)
def test_absence_takes_three_good_readings_and_one_at_the_end(answers: tuple[str, ...], kind: str) -> None:
    assert settled(Lists(*answers)) == kind


@pytest.mark.parametrize("status", ["404", "405"])
def test_a_service_that_never_had_a_list_is_not_asked_again(status: str) -> None:
    lists = Lists(status)
    assert settled(lists, had_list=False) == "unreadable"
    assert len(lists.looks) == 1


@pytest.mark.parametrize(("age", "looks"), [(15, [5, 25, 45]), (50, [1, 2, 10]), (9999, [1, 2, 3])])
def test_a_remembered_attempt_is_not_waited_for_again_but_looked_at_three_times(age: float, looks: list[float]) -> None:
    lists = Lists("none")
    assert settled(lists, age=age) == "absent"
    assert lists.looks == looks


def test_a_quick_sandbox_is_given_two_seconds() -> None:
    lists = Lists("none")
    lists.scale = 0.01
    assert settled(lists) == "absent"
    assert lists.looks[-1] == pytest.approx(2)
    assert len(lists.looks) == 6
