"""Build states, when to poll, which build an upload made, and what an `Approved` after a release means."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spcli.builds import lifecycle
from spcli.builds.lifecycle import Watch
from spcli.models import Build, bare_url, url_digest

# A busy machine must not fail a test.
UNHURRIED = settings(deadline=None)

URL = "https://files.example/game.zip?signature=one"
BUILD = Build("6650f0a0aaaaaaaaaaaaaaaa", "p1", "pending", "queued", bare_url(URL), None, None, "server", url_digest(URL))


def build(upload_id: str = "b1", url: str = URL, date: str | None = None) -> Build:
    return BUILD._replace(upload_id=upload_id, file_url=bare_url(url), digest=url_digest(url), date=date)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", "queued"),
        ("Downloading Files", "downloading"),
        ("Extracting & Scanning", "extracting"),
        ("Saving to Repository", "saving"),
        ("Distribute", "distributing"),
        ("Approved", "approved"),
        ("Reject", "rejected"),
        ("  APPROVED ", "approved"),
        ("downloading files", "downloading"),
        ("Distributed to the moon", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_every_word_of_the_service_has_a_state(status: str | None, state: str) -> None:
    assert lifecycle.state_of(status) == state
    assert state in lifecycle.STATES


def test_only_approved_and_rejected_are_final() -> None:
    assert [state for state in lifecycle.STATES if lifecycle.is_final(state)] == ["approved", "rejected"]


def test_every_state_in_progress_has_a_stage_that_names_what_can_delay_it() -> None:
    for state in lifecycle.STATES:
        stage = lifecycle.stage_of(state)
        assert (stage is None) == (lifecycle.is_final(state) or state == "unknown")
        if stage is not None:
            assert stage.state == state
            assert stage.usual[0] < stage.usual[1] < lifecycle.UNUSUAL
            assert stage.trouble


def test_states_rank_in_the_order_a_build_goes_through() -> None:
    order = ["unknown", "queued", "downloading", "extracting", "saving", "distributing", "approved", "rejected"]
    assert [lifecycle.stage_rank(state) for state in order] == list(range(-1, 7))
    assert lifecycle.stage_rank("nonsense") == -1


def test_builds_are_sorted_by_date_and_by_id_within_it() -> None:
    dated = [
        build("c", date="2025-01-01T00:00:00Z"),
        build("a", date="2025-03-01T00:00:00Z"),
        build("b", date="2025-01-01T00:00:00Z"),
    ]
    assert [one.upload_id for one in lifecycle.newest_first([build("z"), *dated])] == ["a", "c", "b", "z"]


def test_a_build_without_a_date_is_as_old_as_its_id() -> None:
    old, new = build("6553f1000000000000000001", date="2023-11-14T22:13:20Z"), build("677480000000000000000001")
    assert [lifecycle.newest_first(pair)[0] for pair in ([old, new], [new, old])] == [new, new]


@UNHURRIED
@given(
    st.permutations([build("a"), build("b", date="2025-01-01T00:00:00Z"), build("c", date="2025-01-02T00:00:00Z"), build("d")])
)
def test_the_order_does_not_depend_on_the_order_received(builds: list[Build]) -> None:
    assert [one.upload_id for one in lifecycle.newest_first(builds)] == ["c", "b", "d", "a"]


@pytest.mark.parametrize(
    ("stale", "state", "elapsed", "verdict"),
    [
        (False, "approved", 0, "approved"),
        (False, "rejected", 0, "rejected"),
        (False, "saving", 999, "progress"),
        (False, "unknown", 999, "progress"),
        (True, "rejected", 0, "rejected"),
        (True, "approved", 59, "progress"),
        (True, "approved", 60, "unobserved"),
        (True, "distributing", 60, "progress"),
    ],
)
def test_an_approved_from_before_a_release_is_not_its_result(stale: bool, state: str, elapsed: float, verdict: str) -> None:
    assert Watch(stale, grace=60).judge_state(state, elapsed) == verdict


def test_any_other_state_proves_that_the_release_has_started() -> None:
    watch = Watch(is_stale=True, grace=60)
    assert watch.after_poll("approved") == watch
    for state in lifecycle.STATES:
        if state != "approved":
            assert watch.after_poll(state).after_poll("approved").judge_state("approved", 1) == "approved"


@pytest.mark.parametrize(
    ("elapsed", "longest", "failures", "scale", "pause"),
    [
        (0, None, 0, 1, 5),
        (59, None, 0, 1, 5),
        (60, None, 0, 1, 15),
        (299, None, 0, 1, 15),
        (300, None, 0, 1, 30),
        (9999, 10.0, 0, 1, 10),
        (9999, 60.0, 0, 1, 30),
        (0, 1.0, 0, 1, 5),
        (0, None, 2, 1, 5),
        (0, None, 3, 1, 10),
        (0, None, 4, 1, 20),
        (300, None, 99, 1, 480),
        (0, None, 0, 0.1, 0.5),
        (6, None, 0, 0.1, 0.9),
        (30, None, 0, 0.1, 0.9),
        (0, None, 0, 0.001, 0.2),
        (30, 0.3, 0, 0.1, 0.3),
        (30, 0.1, 0, 0.1, 0.2),
        (0, None, 3, 0.1, 1),
        (0, None, 0, 2, 10),
    ],
)
def test_polls_of_a_build_grow_rarer(elapsed: float, longest: float | None, failures: int, scale: float, pause: float) -> None:
    assert lifecycle.poll_pause(elapsed, 0.5, longest=longest, failures=failures, scale=scale) == pytest.approx(pause)


@UNHURRIED
@given(st.floats(0, 1e5), st.floats(0, 1, exclude_max=True), st.none() | st.floats(0, 100), st.integers(0, 50))
def test_the_service_is_never_polled_more_often_than_every_five_seconds(
    elapsed: float, chance: float, longest: float | None, failures: int
) -> None:
    pause = lifecycle.poll_pause(elapsed, chance, longest=longest, failures=failures, scale=1.0)
    assert 5 <= pause <= 30 * 16 * 1.1


@pytest.mark.parametrize(
    ("date", "upload_id", "born"),
    [
        ("2025-01-01T00:00:00Z", "b1", 1735689600),
        ("2025-01-01T02:00:00+02:00", "b1", 1735689600),
        ("2025-01-01T00:00:00.500Z", "b1", 1735689600.5),
        # Without a zone it is UTC, wherever this machine is.
        ("2025-01-01T00:00:00", "b1", 1735689600),
        ("0001-01-01", "b1", -62135596800),
        # The date decides, else the time at the head of an object id.
        ("2025-01-01T00:00:00Z", "6650f0a0aaaaaaaaaaaaaaaa", 1735689600),
        (None, "6650f0a0aaaaaaaaaaaaaaaa", 0x6650F0A0),
        ("yesterday", "6650F0A0AAAAAAAAAAAAAAAA", 0x6650F0A0),
        (None, "6650f0a0aaaaaaaaaaaaaaa", None),
        (None, "6650f0a0aaaaaaaaaaaaaaag", None),
        (None, "", None),
    ],
)
def test_creation_time_comes_from_the_date_or_the_id(date: str | None, upload_id: str, born: float | None) -> None:
    one = build(upload_id, date=date)
    assert lifecycle.created_at(one) == born


@UNHURRIED
@given(st.text(), st.text() | st.text("0123456789abcdef", min_size=24, max_size=24))
def test_creation_time_survives_any_date_and_id(date: str, upload_id: str) -> None:
    born = lifecycle.created_at(build(upload_id, date=date))
    assert born is None or born == float(born)
