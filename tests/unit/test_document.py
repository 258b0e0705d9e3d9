"""JSON documents: the same values for every parser, whatever the texts hold."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import Build, DistributeResult, Limit, Secret, UploadResult, as_json
from spcli.output.escape import spellings
from spcli.output.json_text import LIMIT, document, error_object, plain_body, without_marks

BUILD = Build("b1", "p1", "Approved", "approved", "https://x/a.zip", None, None, "server", digest="d")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda part: st.lists(part) | st.dictionaries(st.text(st.characters()), part),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "value",
    [
        BUILD,
        [BUILD, BUILD],
        UploadResult("b1", "p1", "https://x/a.zip", True, None, "response", BUILD),
        DistributeResult("b1", "p1", "ok", "eu"),
        {"builds": (BUILD, None), "left": Limit("upload", None, 1.5, 2, None)},
        [],
        [Limit("upload", None, 1.5, 2, "%s"), Limit('dist"ribute 😀', "", 0.0, 0, None)],
        [Limit("upload", None, 1.5, 2, None), BUILD],
        [UploadResult("b1", "p1", "https://x/a.zip", True, None, "response", BUILD)] * 2,
    ],
)
def test_a_document_holds_what_the_models_say(value: object) -> None:
    assert json.loads(document(value)) == as_json(value)
    assert list(json.loads(document([value]))[0]) == list(as_json(value))


@given(st.lists(st.builds(DistributeResult, st.text(), st.text(), st.none() | st.text(), st.none() | st.text()), min_size=1))
def test_a_list_of_models_is_written_as_each_of_them_alone(models: list[DistributeResult]) -> None:
    assert document(models) == f"[{','.join(map(document, models))}]"


def test_a_long_list_of_models_is_written_whole_and_in_order() -> None:
    models = [Limit(f"e{number}", None, 1.5, number, '"' if number == 700 else "") for number in range(1201)]
    assert document(models) == json.dumps(as_json(models), separators=(",", ":"))


@given(TREES, st.sampled_from([None, 2]))
def test_any_value_is_one_ascii_document_without_raw_controls(value: object, indent: int | None) -> None:
    text = document(value, indent=indent)
    assert text.isascii()
    assert not any(letter < " " for letter in text.replace("\n" if indent else "", ""))
    json.loads(text, parse_constant=pytest.fail).__repr__().encode()


@given(st.text(st.sampled_from("\\u\ud83d\ude00d83dcx"), max_size=12))
def test_lone_surrogates_become_the_replacement_character(text: str) -> None:
    shown = json.loads(document([text]))[0]
    shown.encode()
    assert shown == text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def test_a_backslash_before_a_lone_surrogate_does_not_hide_it() -> None:
    assert json.loads(document(["\\ud83d\ude00"])) == ["\\ud83d\ufffd"]


def test_what_json_has_no_number_for_is_null() -> None:
    assert document({"a": math.nan, "b": [math.inf, 1.5]}) == '{"a":null,"b":[null,1.5]}'


def test_a_document_is_compact_or_indented_by_two() -> None:
    assert document({"a": [1]}) == '{"a":[1]}'
    assert document({"a": [1]}, indent=2) == '{\n  "a": [\n    1\n  ]\n}'


def test_secrets_are_stars_and_the_document_stays_valid() -> None:
    forms = spellings('ca"nary/1')
    value = {"message": 'key ca"nary/1 or ca%22nary%2F1', "more": [{"x": json.dumps({"k": 'ca"nary/1'})}]}
    assert json.loads(document(value, forms=forms)) == {"message": "key **** or ****", "more": [{"x": '{"k": "****"}'}]}


def test_a_secret_that_slipped_into_a_value_prints_stars() -> None:
    assert document({"key": Secret("canary")}) == '{"key":"****"}'


def test_one_result_is_bounded_and_lists_are_not() -> None:
    huge = DistributeResult("b1", "p1", "x" * 8_000_000, None)
    assert len(document(huge)) < LIMIT
    assert json.loads(document(huge))["message"].endswith("x (truncated, 8000000 bytes)")
    assert len(document([huge])) > 8_000_000


@given(st.text(st.sampled_from("#[\\ ")))
def test_no_runner_mark_survives_and_the_values_do(text: str) -> None:
    marked = without_marks(document([text]))
    assert "##" not in marked
    assert json.loads(marked) == [text]


def test_an_error_object_has_exactly_its_keys() -> None:
    error = SpcliError("rate-limited", "Later.", status=429, retry_after=117.2, outcome="refused", hint="Wait.")
    assert error_object(error) == {
        "error": {
            "kind": "rate-limited",
            "message": "Later.",
            "status": 429,
            "exitCode": 49,
            "retryable": True,
            "retryAfter": 118,
            "outcome": "refused",
            "uploadId": None,
            "hint": "Wait.",
        }
    }


@pytest.mark.parametrize(("after", "shown"), [(None, None), (0.1, 1), (-3.0, 0), (math.inf, None), (math.nan, None)])
def test_retry_after_is_whole_seconds_or_null(after: float | None, shown: int | None) -> None:
    assert error_object(SpcliError("rate-limited", "x", retry_after=after))["error"]["retryAfter"] == shown  # type: ignore[index]


def test_an_error_object_is_never_over_64_kilobytes() -> None:
    worst = "\x1b##" * 4_000_000
    error = SpcliError("http-5xx", worst, hint=worst, upload_id=worst)
    assert len(without_marks(document(error_object(error)))) < LIMIT


def test_what_a_cut_left_of_a_secret_is_shown_in_no_document_and_no_body() -> None:
    forms, cut_off = spellings("k3y-" + "a1b2" * 6), "unknown key k3y-a1b2a1…"
    assert json.loads(document({"message": cut_off}, forms=forms)) == {"message": "unknown key ****…"}
    assert plain_body(cut_off.encode(), forms, is_json=False, is_watched=False).decode() == "unknown key ****…"
