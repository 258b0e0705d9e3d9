"""What a build list proves, over lists written by hand."""

from typing import Any

import pytest

from spcli.api.client import ProjectPage
from spcli.builds.lifecycle import state_of
from spcli.errors import Refused, Unclear
from spcli.models import Build, ProjectDetail, bare_url, iso_utc, url_digest
from spcli.writes.evidence import Evidence, UploadTraits, match_release, match_upload, settle_by_list

BARE = "https://builds.example.com/Game-1.4.zip"
URL = BARE + "?sig=0ne"
OTHER = BARE + "?sig=tw0"
BEGAN = 1_790_000_000.0
DETAIL = ProjectDetail("p", None, None, None, None, None, None, None, None, None, None, "", "")
ELSEWHERE = "https://builds.example.com/Other.zip"
API_HOST = "api.streampixel.io"


def build(upload_id: str, url: str | None = URL, born: float | None = BEGAN + 1, status: str = "pending") -> Build:
    return Build(
        upload_id, "p", status, state_of(status), url and bare_url(url), None if born is None else iso_utc(born), None, "server",
        digest=url and url_digest(url),
    )  # fmt: skip


def page(*builds: Build, server_wall: float | None = BEGAN + 30) -> ProjectPage:
    return ProjectPage(DETAIL, list(builds), server_wall)


def traits(**kwargs: Any) -> UploadTraits:
    known = {"baseline": frozenset({"old"}), "recorded": {}, "api_host": API_HOST}
    return UploadTraits(BARE, url_digest(URL), **{**known, **kwargs})


def verdict(*builds: Build, since: float | None = None, **kwargs: Any) -> tuple[str, list[str]]:
    match = match_upload(traits(**kwargs), page(*builds), since)
    return match.kind, [one.upload_id for one in match.builds]


def without_baseline(*builds: Build, since: float | None = BEGAN, **kwargs: Any) -> tuple[str, list[str]]:
    return verdict(*builds, since=since, baseline=None, **kwargs)


def test_the_one_new_build_with_our_url_is_ours() -> None:
    assert verdict(build("old"), build("new"), build("x", ELSEWHERE)) == ("found", ["new"])


def test_a_list_without_a_new_build_proves_absence() -> None:
    assert verdict(build("old")) == ("absent", [])
    assert verdict() == ("absent", [])
    assert verdict(build("old"), build("x", ELSEWHERE)) == ("absent", [])


def test_two_new_builds_with_our_url_are_doubtful() -> None:
    assert verdict(build("a"), build("b")) == ("doubtful", ["a", "b"])


@pytest.mark.parametrize(
    "url",
    [
        OTHER,
        BARE,
        "http://builds.example.com/Game-1.4.zip",
        "https://BUILDS.example.com:443/./Game-1.4.zip",
        "https://builds.example.com/x/%47ame-1.4.zip",
        "https://cdn.streampixel.io/665a/game-1.4.ZIP",
        "s3://their-bucket/Game-1.4.zip",
        "Game-1.4.zip",
        "https://[/Game-1.4.zip",
        None,
    ],
)
def test_a_new_build_that_may_show_our_url_in_another_spelling_is_doubtful(url: str | None) -> None:
    assert verdict(build("a", url)) == ("doubtful", ["a"])
    assert without_baseline(build("a", url)) == ("doubtful", ["a"])


@pytest.mark.parametrize("place", ["https://api.streampixel.io/files/1", "https://cdn.streampixel.io/1", "665a0", "s3://b/1", ""])
def test_a_new_build_is_doubtful_on_a_service_that_may_list_its_own_copies(place: str) -> None:
    assert verdict(build("old", "https://cdn.streampixel.io/0"), build("a", place)) == ("doubtful", ["a"])


def test_a_recorded_build_listed_letter_for_letter_shows_that_urls_are_listed_as_sent() -> None:
    copy = build("a", "https://cdn.streampixel.io/files/7")
    recorded = {"mine": "https://builds.example.com/Game-1.3.zip"}
    assert verdict(build("mine", "https://builds.example.com/Game-1.3.zip?s=1"), copy, recorded=recorded) == ("absent", [])
    assert verdict(build("mine", "https://builds.example.com/game-1.3.zip"), copy, recorded=recorded) == ("doubtful", ["a"])
    assert verdict(build("mine", None), copy, recorded=recorded) == ("doubtful", ["a"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_on_loopback_a_url_on_the_services_own_host_is_doubtful(host: str) -> None:
    literal = f"[{host}]" if ":" in host else host
    assert verdict(build("a", f"http://{literal}:8000/Other.zip"), api_host=host) == ("doubtful", ["a"])
    assert verdict(build("a", ELSEWHERE), api_host=host) == ("absent", [])


def test_our_exact_url_counts_more_than_one_that_matches_but_for_the_query() -> None:
    assert verdict(build("a", OTHER), build("b")) == ("found", ["b"])


def test_ids_of_other_attempts_are_never_ours() -> None:
    taken = {"a": BARE}
    assert verdict(build("a"), recorded=taken) == ("absent", [])
    assert verdict(build("a"), build("b"), recorded=taken) == ("found", ["b"])
    assert without_baseline(build("a")) == ("found", ["a"])
    assert without_baseline(build("a"), recorded=taken) == ("unproven", [])


def test_a_list_that_is_not_whole_proves_no_absence() -> None:
    part = page(build("old"))._replace(whole=False)
    assert match_upload(traits(), part, None) == Evidence("doubtful")
    new = page(build("new"))._replace(whole=False)
    assert match_upload(traits(), new, None) == Evidence("found", (build("new"),))
    assert match_upload(traits(), page(build("new"))._replace(is_other=True), None) == Evidence("doubtful")


def test_with_a_baseline_the_date_does_not_matter() -> None:
    assert verdict(build("a", born=BEGAN - 9999), since=BEGAN) == ("found", ["a"])


def test_without_a_baseline_absence_is_never_proved() -> None:
    assert without_baseline() == ("unproven", [])
    assert without_baseline(build("x", ELSEWHERE)) == ("unproven", [])
    assert without_baseline(build("a", born=BEGAN - 301)) == ("unproven", [])


@pytest.mark.parametrize(
    ("born", "since", "kind"),
    [
        (BEGAN + 1, BEGAN, "found"),
        (BEGAN - 1, BEGAN, "found"),  # within what a Date header and a round trip cut off
        (BEGAN - 4, BEGAN, "doubtful"),
        (BEGAN - 299, BEGAN, "doubtful"),
        (None, BEGAN, "doubtful"),
        (BEGAN + 1, None, "doubtful"),
        (BEGAN - 9999, None, "doubtful"),
    ],
)
def test_without_a_baseline_a_date_rules_a_build_out_only_by_five_minutes(
    born: float | None, since: float | None, kind: str
) -> None:
    assert without_baseline(build("a", born=born), since=since) == (kind, ["a"])


def test_without_a_baseline_an_object_id_dates_a_build() -> None:
    before, after = (f"{int(BEGAN + seconds):08x}{0:016x}" for seconds in (-600, 60))
    assert without_baseline(build(before, born=None)) == ("unproven", [])
    assert without_baseline(build(after, born=None)) == ("found", [after])


def test_an_empty_baseline_is_one() -> None:
    assert verdict(build("a", born=None), baseline=frozenset()) == ("found", ["a"])


# Releases.


def release(before: str | None, now: str | None) -> str:
    builds = [] if now is None else [build("a", status=now)]
    return match_release("a", before, page(*builds, build("b", status="Distribute"))).kind


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


# Reading over a minute.


class Lists:
    """A service and its clock: one answer for each reading, and the moments of the readings."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.seconds = 0.0
        self.looks: list[float] = []

    def mono(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)

    def glance_project(self, _project_id: str, _within: float) -> ProjectPage:
        self.looks.append(self.seconds)
        word = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if word in ("404", "405", "401", "500"):
            raise Refused(int(word), "no", documented=True)
        if word == "no list":
            return ProjectPage(DETAIL, None, None)
        if word == "lost":
            raise Unclear("lost")
        return page(*{"mine": [build("new")], "near": [build("near", OTHER)], "none": []}[word])


def judge(found: ProjectPage) -> Evidence:
    return match_upload(traits(), found, None)


def settled(lists: Any, scale: float = 1.0, **kwargs: Any) -> str:
    return settle_by_list(lists, lists, "p", judge, scale=scale, **kwargs).kind


def test_the_list_is_read_at_2_5_10_20_40_and_60_seconds() -> None:
    lists = Lists("none")
    assert settled(lists) == "absent"
    assert lists.looks == [2, 5, 10, 20, 40, 60]


def test_a_build_that_appears_ends_the_reading() -> None:
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
def test_a_service_that_never_had_a_list_is_asked_once(status: str) -> None:
    lists = Lists(status)
    assert settled(lists, had_list=False) == "unreadable"
    assert len(lists.looks) == 1


@pytest.mark.parametrize(("age", "looks"), [(15, [5, 25, 45]), (50, [1, 2, 10]), (9999, [1, 2, 3])])
def test_a_remembered_attempt_is_read_three_times_without_waiting_again(age: float, looks: list[float]) -> None:
    lists = Lists("none")
    assert settled(lists, age=age) == "absent"
    assert lists.looks == looks


def test_a_quick_sandbox_is_given_two_seconds() -> None:
    lists = Lists("none")
    assert settled(lists, scale=0.01) == "absent"
    assert lists.looks[-1] == pytest.approx(2)
    assert len(lists.looks) == 6
