"""Lists of projects: read field by field, and yet as each project alone would be."""

from hypothesis import given
from hypothesis import strategies as st

from spcli.api.parse import parse_projects

ODD = (
    st.none()
    | st.booleans()
    | st.integers(-1, 10**6)
    | st.sampled_from(["", " ", " a b\t", "Ärger", "ACTIVE", "inactive"])
    | st.just([{}])
)
DATE = ODD | st.sampled_from(
    [
        "2026-01-04T10:00:00.000Z",
        "2026-01-04T10:00:00Z",
        "2026-01-04T12:00:00.000+02:00",
        "2026-13-04T10:00:00.000Z",
        "4 January 2026",
    ]
)
ITEM = st.fixed_dictionaries(
    {"_id": ODD | st.just("p1"), "name": ODD, "status": ODD},
    optional={"id": ODD, "region": ODD, "subscriptionStatus": ODD, "createdAt": DATE, "updatedAt": DATE},
)


@given(st.lists(ITEM | st.none(), max_size=6))
def test_a_project_is_read_alike_alone_and_among_others(items: list[object]) -> None:
    assert parse_projects(items) == [project for item in items for project in parse_projects([item])]


def test_what_a_generation_leaves_out_is_unknown_and_the_rest_is_as_documented() -> None:
    older = {"id": 7, "name": " Showroom ", "status": True}
    newer = {
        "_id": "p2", "name": "Hall", "status": "Inactive", "region": "Europe", "subscriptionStatus": "active",
        "createdAt": "2026-01-04T12:00:00+02:00", "updatedAt": "2026-04-04T10:00:00.000Z", "more": 1,
    }  # fmt: skip
    assert [tuple(project) for project in parse_projects({"projects": [older, newer, {"name": "without an id"}]})] == [
        ("7", "Showroom", "active", None, None, None, None),
        ("p2", "Hall", "inactive", "Europe", "active", "2026-01-04T10:00:00.000Z", "2026-04-04T10:00:00.000Z"),
    ]
