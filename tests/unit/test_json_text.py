"""JSON documents: the same values for every parser, whatever the texts hold."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.models import Build, DistributeResult, Limit, Secret, UploadResult, as_json
from spcli.output.json_text import LIMIT, error_object, escape_marks, raw_body, to_json
from spcli.output.redact import Redactor

BUILD = Build("b1", "p1", "Approved", "approved", "https://x/a.zip", None, None, "server", digest="d")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda part: st.lists(part) | st.dictionaries(st.text(st.characters()), part),
    max_leaves=8,
)


def document(value: object, redactor: Redactor | None = None, *, indent: int | None = None) -> str:
    return to_json(value, redactor or Redactor(), indent=indent)


def redactor_of(*secrets: str) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.register(Secret(secret))
    return redactor


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
def test_a_list_of_models_is_written_like_each_model_alone(models: list[DistributeResult]) -> None:
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


def test_nan_and_infinity_are_null() -> None:
    assert document({"a": math.nan, "b": [math.inf, 1.5]}) == '{"a":null,"b":[null,1.5]}'


def test_a_document_is_compact_or_indented_by_two() -> None:
    assert document({"a": [1]}) == '{"a":[1]}'
    assert document({"a": [1]}, indent=2) == '{\n  "a": [\n    1\n  ]\n}'


def test_secrets_are_redacted_and_the_document_stays_valid() -> None:
    redactor = redactor_of('ca"nary/1')
    value = {"message": 'key ca"nary/1 or ca%22nary%2F1', "more": [{"x": json.dumps({"k": 'ca"nary/1'})}]}
    assert json.loads(document(value, redactor)) == {"message": "key **** or ****", "more": [{"x": '{"k": "****"}'}]}


def test_a_secret_as_a_value_is_redacted() -> None:
    assert document({"key": Secret("canary")}) == '{"key":"****"}'


def test_one_model_is_truncated_and_lists_are_not() -> None:
    huge = DistributeResult("b1", "p1", "x" * 8_000_000, None)
    assert len(document(huge)) < LIMIT
    assert json.loads(document(huge))["message"].endswith("x (truncated, 8000000 bytes)")
    assert len(document([huge])) > 8_000_000


@given(st.text(st.sampled_from("#[\\ ")))
def test_escaped_marks_keep_the_values(text: str) -> None:
    marked = escape_marks(document([text]))
    assert "##" not in marked
    assert json.loads(marked) == [text]


def test_an_error_object_has_exactly_its_keys() -> None:
    error = SpcliError("rate-limited", "Later.", status=429, retry_after=117.2, outcome="refused", hint="Wait.")
    assert error_object(error, Redactor()) == {
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
    assert error_object(SpcliError("rate-limited", "x", retry_after=after), Redactor())["error"]["retryAfter"] == shown  # type: ignore[index]


def test_an_error_object_is_never_over_64_kilobytes() -> None:
    worst = "\x1b##" * 4_000_000
    error = SpcliError("http-5xx", worst, hint=worst, upload_id=worst)
    assert len(escape_marks(document(error_object(error, Redactor())))) < LIMIT


def test_the_start_of_a_secret_is_redacted_in_documents_and_bodies() -> None:
    redactor, text = redactor_of("k3y-" + "a1b2" * 6), "unknown key k3y-a1b2a1b2…"
    assert json.loads(document({"message": text}, redactor)) == {"message": "unknown key ****…"}
    assert raw_body(text.encode(), redactor, is_json=False, in_runner=False).decode() == "unknown key ****…"


def test_a_body_without_secrets_is_passed_on_byte_for_byte() -> None:
    body = b'\xff {"url": "https://h/G.zip?X-Amz-Signature=5ec4"}'
    assert raw_body(body, redactor_of("k3y-0123"), is_json=True, in_runner=False) == body


@pytest.mark.parametrize("text", ["\ud83d" * 2**18, "\\" * 2**20, "\\ud83d" * 2**17, "\ude00\ud83d" * 2**17], ids=len)
def test_a_mebibyte_is_searched_for_lone_surrogates_in_linear_time(text: str) -> None:
    started = time.process_time()
    json.loads(document([text]))
    assert time.process_time() - started < 3
