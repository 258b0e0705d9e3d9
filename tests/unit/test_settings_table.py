import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.errors import SpcliError
from spcli.settings.table import (
    SETTINGS,
    TYPED,
    is_loopback_url,
    origin_of,
    parse_base_url,
    parse_command,
    parse_command_line,
    parse_text,
    parse_user_id,
    parse_window,
    spec_of,
    typed_value,
    unset_hint,
)

LONGEST_PORT = 65535


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://api.streampixel.io/pixelStripeApi", "https://api.streampixel.io/pixelStripeApi"),
        ("https://api.streampixel.io/pixelStripeApi/", "https://api.streampixel.io/pixelStripeApi"),
        (" HTTPS://API.Streampixel.io:443/pixelStripeApi// ", "https://api.streampixel.io/pixelStripeApi"),
        ("http://127.0.0.1:08080", "http://127.0.0.1:8080"),
        ("http://127.8.9.255:80/x", "http://127.8.9.255/x"),
        ("http://LOCALHOST:1/", "http://localhost:1"),
        ("http://[::1]:9/A", "http://[::1]:9/A"),
        (f"https://host:{LONGEST_PORT}", f"https://host:{LONGEST_PORT}"),
    ],
)
def test_one_service_has_one_spelling(typed: str, kept: str) -> None:
    assert parse_base_url(typed) == kept
    assert parse_base_url(kept) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "http://api.streampixel.io",
        "http://127.0.0.1.evil.com",
        "http://127.0.0.256",
        "http://127.1",
        "http://127.0.0." + "1" * 5000,
        "http://0127.0.0.1",
        "http://10.0.0.1",
        "http://[::2]",
        "http://localhost.evil.com",
        "https://user:CANARY@host",
        "https://CANARY@host",
        "https://host\\@evil.com",
        "https://host/x?CANARY",
        "https://host/x#CANARY",
        "https://host:0",
        "https://host:65536",
        "https://host:",
        "https://",
        "https:host",
        "ftp://host",
        "host/CANARY",
        "https://hö.de",
        "https://host/a b",
        "https://host/\nCANARY",
        "",
        5,
        None,
    ],
)
def test_an_invalid_base_url_is_refused_and_not_repeated(typed: object) -> None:
    with pytest.raises(ValueError, match=r"^(must|has)") as caught:
        parse_base_url(typed)
    assert "CANARY" not in str(caught.value)


def test_loopback_is_recognised_by_the_host_alone() -> None:
    assert is_loopback_url("http://127.0.0.1:80/x")
    assert is_loopback_url("https://localhost")
    assert is_loopback_url("https://[::1]:7")
    assert not is_loopback_url("https://127.0.0.1.evil.com")
    assert not is_loopback_url("https://api.streampixel.io/127.0.0.1")
    assert not is_loopback_url("not a URL")


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://host:8443/a/b") == "https://host:8443"
    assert origin_of("https://host") == "https://host"


@pytest.mark.parametrize(("raw", "seconds"), [("2", 2.0), ("0.5", 0.5), (3, 3.0), (0.25, 0.25), ("18000", 18000.0)])
def test_a_window_is_a_number_of_seconds(raw: object, seconds: float) -> None:
    assert parse_window(raw) == seconds


@pytest.mark.parametrize("raw", ["0", "-1", "inf", "nan", "86401", "2m", "", "x", True, [1], None, 10**400])
def test_an_invalid_window_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="must be a number of seconds"):
        parse_window(raw)


def test_text_loses_the_white_space_around_it_but_keeps_its_words() -> None:
    assert parse_text(" Showroom Demo\r\n") == "Showroom Demo"
    assert parse_user_id("65f0c0ffee\n") == "65f0c0ffee"


@pytest.mark.parametrize("raw", ["a\x1b[2Jb", "a\0b", "a\u202eb", "a\udc80b"])
def test_text_with_control_characters_is_refused_by_position(raw: str) -> None:
    with pytest.raises(ValueError, match="position 2"):
        parse_text(raw)


def test_a_user_id_has_no_white_space_within() -> None:
    with pytest.raises(ValueError, match="white space at position 3"):
        parse_user_id("ab cd")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("op read op://v/i/k", ("op", "read", "op://v/i/k")),
        ("pass show 'a b' # c", ("pass", "show", "a b", "#", "c")),
        ('["op", "two words"]', ("op", "two words")),
    ],
)
def test_a_key_command_is_typed_as_words_or_as_a_json_list(text: str, words: tuple[str, ...]) -> None:
    assert parse_command_line(text) == words


@pytest.mark.parametrize(
    "text", ["", "  ", "op 'open", "[1]", "[]", "[", '[""]', "a\nb", "'' b", '["a\\u0000b"]', "[" * 100_000, 5]
)
def test_an_invalid_key_command_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_command_line(text)


@pytest.mark.parametrize("raw", ["op read", [], ["op", 1], {"op": 1}, [""]])
def test_a_key_command_in_the_file_is_a_list_of_strings(raw: object) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_command(raw)


@pytest.mark.parametrize(
    ("typed", "near"),
    [("apikey", "api_key"), ("base-url", "base_url"), ("PROJECTS", "project"), ("userid", "user_id")],
)
def test_a_mistyped_setting_suggests_the_nearest_name(typed: str, near: str) -> None:
    with pytest.raises(SpcliError, match=f"did you mean {near}") as caught:
        spec_of(typed)
    assert caught.value.kind == "usage"


def test_an_unknown_setting_is_not_repeated_as_it_may_be_a_key() -> None:
    with pytest.raises(SpcliError) as caught:
        spec_of("CANARY0123456789")
    assert "CANARY" not in caught.value.message + str(caught.value.hint)
    assert "base_url" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("window", "5", 5),
        ("window", "0.5", 0.5),
        ("on_limit", "fail", "fail"),
        ("base_url", "https://H/", "https://h"),
        ("project", "A b", "A b"),
    ],
)
def test_a_typed_value_is_stored_with_its_own_type(key: str, text: str, value: object) -> None:
    stored = typed_value(key, text)
    assert stored == value
    assert type(stored) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("api_key", "CANARY", "auth login"),
        ("config_file", "CANARY", "SPCLI_CONFIG"),
        ("state_dir", "CANARY", "SPCLI_STATE_DIR"),
        ("on_limit", "CANARY", "must be wait or fail"),
        ("window", "CANARY", "seconds"),
        ("project", "  ", "config unset project"),
        ("default_profile", "CANARY!", "letters"),
    ],
)
def test_a_value_that_cannot_be_stored_is_a_usage_error_without_it(key: str, text: str, message: str) -> None:
    with pytest.raises(SpcliError) as caught:
        typed_value(key, text)
    assert caught.value.exit_code == 2
    assert message in caught.value.message + str(caught.value.hint)
    assert "CANARY" not in caught.value.message + str(caught.value.hint)


@given(st.sampled_from(sorted(TYPED)), st.text())
def test_any_typed_text_is_stored_or_refused(key: str, text: str) -> None:
    value: object = None
    kind = ""
    try:
        value = typed_value(key, text)
    except SpcliError as error:
        kind = error.kind
    assert kind == "usage" or value not in (None, "")


def test_every_setting_of_the_file_except_the_key_can_be_typed() -> None:
    assert {spec.key for spec in SETTINGS if spec.config_key} == {*TYPED, "api_key"}


def test_variables_are_unset_by_the_shells_of_each_system() -> None:
    assert unset_hint("X", "linux") == "in bash: unset X\nin PowerShell: Remove-Item Env:X"
    assert unset_hint("X", "win32") == "in PowerShell: Remove-Item Env:X\nin bash: unset X\nin cmd: set X="
