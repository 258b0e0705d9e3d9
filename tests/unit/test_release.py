"""Which build is live, and which one to roll back to."""

from typing import Any

from spcli.builds.live import ReleaseRecord, Standing, find_live, find_previous, list_standings, unfinished_rollback
from spcli.models import Build, iso_utc
from spcli.state.events import Event
from spcli.state.ledger import Attempt

DAY = 86_400.0


def build(upload_id: str, day: float | None = 0.0, state: str = "approved", source: str = "server") -> Build:
    return Build(upload_id, "p", None, state, None, None if day is None else iso_utc(day * DAY), None, source)


def attempt(
    action: str,
    upload_id: str | None,
    day: float,
    *,
    auto_release: bool | None = None,
    wall: float | None = None,
    phase: str = "done",
    in_progress: tuple[str, ...] | None = None,
) -> Attempt:
    return Attempt(
        round(day * 1000), action, "p", None, None, upload_id, auto_release, in_progress, None, phase, None, day * DAY, None,
        None if wall is None else wall * DAY, False, None, False,
    )  # fmt: skip


def event(
    upload_id: str | None, day: float, status: str = "Distribute", name: str = "build.distributing", **kwargs: Any
) -> Event:
    return Event(
        name, "p", upload_id, None, status, None, kwargs.get("timestamp", iso_utc(day * DAY)), kwargs.get("received", 0.0)
    )


def known(builds: list[Build], *attempts: Attempt, events: tuple[Event, ...] = (), is_listed: bool = True) -> ReleaseRecord:
    return ReleaseRecord(builds, is_listed, attempts, events)


def previous_build(found: ReleaseRecord) -> Build | None:
    """Return the build that `find_previous` names."""
    standing = find_previous(found)
    return None if standing is None else next(one for one in found.builds if one.upload_id == standing.upload_id)


A, B, C = build("a", 1), build("b", 2), build("c", 3)


def test_without_history_the_newest_approved_build_is_assumed_live() -> None:
    found = known([C, build("x", 4, "rejected"), build("y", 5, "extracting"), A, B])
    assert find_live(found) == Standing("c", False, 3 * DAY)
    assert previous_build(found) == B


def test_nothing_is_live_if_nothing_was_approved() -> None:
    found = known([build("x", 4, "rejected")])
    assert find_live(found) is None
    assert previous_build(found) is None


def test_the_last_release_from_here_is_live_and_the_replaced_build_is_the_previous_one() -> None:
    found = known([A, B, C], attempt("distribute", "a", 9))
    assert find_live(found) == Standing("a", True, 9 * DAY)
    assert previous_build(found) == C


def test_a_second_rollback_goes_further_back_and_never_to_the_undone_build() -> None:
    once = known([A, B, C], attempt("rollback", "b", 9))
    assert (find_live(once), previous_build(once)) == (Standing("b", True, 9 * DAY), A)
    twice = known([A, B, C], attempt("rollback", "b", 9), attempt("rollback", "a", 10))
    assert (find_live(twice), previous_build(twice)) == (Standing("a", True, 10 * DAY), None)


def test_a_rollback_to_a_build_never_seen_live_replaces_only_the_live_one() -> None:
    released = known(
        [A, B, C], attempt("upload", "b", 2, auto_release=False), attempt("rollback", "b", 9), attempt("distribute", "a", 10)
    )
    assert [one.upload_id for one in list_standings(released)] == ["a", "b", "a"]
    assert previous_build(released) == B


def test_an_upload_that_releases_itself_is_live_once_it_is_approved() -> None:
    uploaded = attempt("upload", "c", 3, auto_release=True)
    assert find_live(known([A, B, C], uploaded)) == Standing("c", True, 3 * DAY)
    assert find_live(known([A, B, build("c", 3, "distributing")], uploaded)) == Standing("c", True, 3 * DAY)
    for state in ("queued", "downloading", "extracting", "saving", "rejected", "unknown"):
        assert find_live(known([A, B, build("c", 3, state)], uploaded)) == Standing("b", False, 2 * DAY)


def test_an_upload_without_auto_release_is_not_live_and_never_the_previous_build() -> None:
    held = attempt("upload", "b", 2, auto_release=False)
    assert previous_build(known([A, B, C], held)) == A
    assert find_live(known([A, B], held)) == Standing("a", False, 1 * DAY)


def test_a_newer_build_uploaded_elsewhere_is_assumed_live() -> None:
    found = known([A, B, C], attempt("distribute", "a", 2.5))
    assert find_live(found) == Standing("c", False, 3 * DAY)
    assert previous_build(found) == A


def test_the_servers_clock_decides_which_release_was_last() -> None:
    found = known([A, B, C], attempt("distribute", "a", 2.5, wall=3.5))
    assert find_live(found) == Standing("a", True, 3.5 * DAY)


def test_a_rejected_build_was_never_live() -> None:
    found = known([A, build("b", 2, "rejected")], attempt("distribute", "b", 9), events=(event("b", 10),))
    assert find_live(found) == Standing("a", False, 1 * DAY)


def test_a_released_build_missing_from_the_list_is_live_but_never_the_previous_one() -> None:
    found = known([A], attempt("distribute", "z", 9))
    assert find_live(found) == Standing("z", True, 9 * DAY)
    assert previous_build(found) == A
    assert previous_build(known([A], attempt("distribute", "z", 9), attempt("distribute", "y", 10))) == A


def test_a_received_event_reports_a_release_made_elsewhere() -> None:
    found = known([A, B, C], events=(event("a", 9),))
    assert find_live(found) == Standing("a", True, 9 * DAY)
    named_only = known([A, B, C], events=(event("a", 9, status=""),))
    assert find_live(named_only) == Standing("a", True, 9 * DAY)


def test_the_event_of_our_own_release_changes_nothing() -> None:
    sent = attempt("distribute", "a", 9)
    assert previous_build(known([A, B, C], sent, events=(event("a", 9.001),))) == previous_build(known([A, B, C], sent)) == C
    back = attempt("rollback", "b", 9)
    assert previous_build(known([A, B, C], back, events=(event("b", 9.001),))) == A


def test_an_event_of_an_earlier_live_build_counts_as_a_rollback() -> None:
    assert previous_build(known([A, B, C], events=(event("b", 9),))) == A


def test_other_events_and_events_without_a_build_are_no_releases() -> None:
    others = (event("a", 9, "Approved", "build.approved"), event(None, 10))
    assert find_live(known([A, B], events=others)) == Standing("b", False, 2 * DAY)


def test_an_event_without_a_usable_time_counts_from_its_receipt() -> None:
    for timestamp in (None, "yesterday"):
        found = known([A, B], events=(event("a", 0, timestamp=timestamp, received=9 * DAY),))
        assert find_live(found) == Standing("a", True, 9 * DAY)
    zoneless = known([A, B], events=(event("a", 0, timestamp="1970-01-10T00:00:00", received=0.0),))
    assert find_live(zoneless) == Standing("a", True, 9 * DAY)


def test_without_a_build_list_an_upload_of_unknown_result_is_only_assumed_live() -> None:
    old, new = build("a", 1, "unknown", "local"), build("b", 2, "unknown", "local")
    rows = (attempt("upload", "a", 1, auto_release=True), attempt("upload", "b", 2, auto_release=True))
    found = known([new, old], *rows, is_listed=False)
    assert find_live(found) == Standing("b", False, 2 * DAY)
    assert previous_build(found) == old


def test_without_a_build_list_an_upload_known_to_be_approved_is_known_to_be_live() -> None:
    rows = (attempt("upload", "a", 1, auto_release=True), attempt("upload", None, 2, auto_release=True))
    assert find_live(known([build("a", 1, "approved", "local")], *rows, is_listed=False)) == Standing("a", True, 1 * DAY)


def test_a_build_without_any_date_comes_before_all_others() -> None:
    assert find_live(known([A, build("nodate", None)])) == Standing("a", False, 1 * DAY)


def test_a_build_released_repeatedly_is_listed_once() -> None:
    found = known([A, B], attempt("distribute", "b", 3), attempt("distribute", "b", 4), attempt("distribute", "b", 5))
    assert [one.upload_id for one in list_standings(found)] == ["a", "b"]
    assert previous_build(found) == A


def test_a_rollback_of_unknown_outcome_is_resumed_and_goes_no_further_back() -> None:
    lost = attempt("rollback", "b", 9, phase="unclear")
    found = known([A, build("b", 2, "distributing"), C], attempt("distribute", "c", 8), lost)
    assert unfinished_rollback(found) == "b"
    assert find_live(found) == Standing("c", True, 8 * DAY)
    later = known([A, B, C], lost, attempt("distribute", "c", 10))
    assert unfinished_rollback(later) is None
    assert unfinished_rollback(known([])) is None
    assert unfinished_rollback(known([A], attempt("distribute", "a", 9, phase="unclear"))) is None


def test_after_a_distribute_of_unknown_outcome_the_live_build_is_assumed() -> None:
    found = known([A, B, C], attempt("distribute", "a", 8), attempt("distribute", "b", 9, phase="unclear"))
    assert find_live(found) == Standing("b", False, 9 * DAY)
    assert previous_build(found) == A


def test_an_event_of_an_unlisted_build_is_ignored() -> None:
    forged = (event("0" * 24, 9),)
    assert find_live(known([A, B], events=forged)) == Standing("b", False, 2 * DAY)
    assert find_live(known([A, B], events=forged, is_listed=False)) == Standing("0" * 24, True, 9 * DAY)


def test_an_upload_that_was_overtaken_by_a_release_went_live_after_it() -> None:
    uploaded, overtook = attempt("upload", "c", 3, auto_release=True), attempt("distribute", "a", 3.5, in_progress=("c",))
    found = known([A, B, C], uploaded, overtook)
    assert (find_live(found) or A)[:2] == ("c", True)
    assert previous_build(found) == A
    assert previous_build(found._replace(attempts=(uploaded, attempt("distribute", "a", 3.5)))) == C


def test_a_build_uploaded_elsewhere_that_was_overtaken_is_assumed_live() -> None:
    found = known([A, B, C], attempt("distribute", "a", 3.5, in_progress=("c",)))
    assert (find_live(found) or A)[:2] == ("c", False)
    held = known([A, B, C], attempt("upload", "c", 3, auto_release=False), attempt("distribute", "a", 3.5, in_progress=("c",)))
    assert find_live(held) == Standing("a", True, 3.5 * DAY)


def test_the_previous_build_says_whether_it_was_released_from_here() -> None:
    assert find_previous(known([A, B, C], attempt("distribute", "a", 9))) == Standing("c", False, 3 * DAY)
    twice = known([A, B, C], attempt("distribute", "b", 8), attempt("distribute", "a", 9))
    assert find_previous(twice) == Standing("b", True, 8 * DAY)
