"""Redaction: registered secrets in every spelling, and the values of credentials by their names."""

import json
import re
import time
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spcli.models import Secret
from spcli.output import redact as module
from spcli.output.redact import LEAST_START, Redactor, redact_key

KEY = "k3y/a+b:0123456789"
SIGNED = [
    "https://b.s3.amazonaws.com/G.zip?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260430T140000Z&X-Amz-Signature={}&x=1",
    "https://b.s3.amazonaws.com/G.zip?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1790000000&Signature={}",
    "https://storage.googleapis.com/b/G.zip?X-Goog-Date=20260430T140000Z&X-Goog-Signature={}",
    "https://a.blob.core.windows.net/b/G.zip?sv=2022-11-02&se=2026-04-30T12%3A00%3A00Z&sp=r&sig={}",
]
VALUES = st.integers(0, 10**9).map(lambda number: sha256(b"%d" % number))
HEX = VALUES.map(lambda value: value.hexdigest())
BASE64 = VALUES.map(lambda value: b64encode(value.digest()).decode())
ENDS = ["", "…", "...", '"', "'>", " (truncated, 4000 bytes)", "\n", ", and more"]


def redactor_of(*secrets: str, url: str = "") -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.register(Secret(secret))
    redactor.register_url(url)
    return redactor


def examples() -> list[list[str]]:
    """The rows of the table in the module's docstring."""
    head, *rows = (module.__doc__ or "").partition("    text ")[2].splitlines()
    starts = [4, 4 + len("text ") + head.index("redacted"), 4 + len("text ") + head.index("rule")]
    return [[row[starts[0] : starts[1]].strip(), row[starts[1] : starts[2]].strip()] for row in rows if row.strip()]


@pytest.mark.parametrize(("text", "redacted"), examples())
def test_the_examples_in_the_module_are_true(text: str, redacted: str) -> None:
    assert redactor_of(KEY).redact(text) == redacted


@pytest.mark.parametrize("secret", ["canary123", "ca/na+ry=%", 'quo"te\\key', "schlüssel-展示", "k/+ \"ä'"])
def test_a_secret_is_redacted_in_every_spelling(secret: str) -> None:
    quoted = [quote(secret), quote(secret, safe=""), quote_plus(secret).lower()]
    escaped = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], escape(secret)]
    for text in [secret, *quoted, *escaped, json.dumps(secret)[1:-1].replace("/", "\\/")]:
        assert redactor_of(secret).redact(f"key {text}&x") == "key ****&x"
        assert redact_key(f"key {text * 2}&x".encode(), Secret(secret * 2)) == b"key ****&x" or len(secret * 2) < 12


@given(st.text(min_size=4), st.text(), st.text())
def test_no_registered_secret_remains(secret: str, before: str, after: str) -> None:
    assert secret in "****" or secret not in redactor_of(secret).redact(f"{before}{secret}{after}")


def test_other_text_and_very_short_secrets_are_left_alone() -> None:
    assert redactor_of("", "a", "absent").redact("a banana") == "a banana"


def test_a_short_key_is_not_searched_in_data() -> None:
    assert redact_key(b'{"name": "demo"}', Secret("demo")) == b'{"name": "demo"}'


@given(st.sampled_from(SIGNED), HEX | BASE64, st.integers(1, 300), st.sampled_from(ENDS), st.booleans())
def test_no_end_of_a_presigned_url_leaves_a_part_of_its_signature(
    pattern: str, value: str, size: int, end: str, quoted: bool
) -> None:
    """Neither if it was typed here and is registered, nor if it belongs to another build."""
    url = pattern.format(quote(value))
    text = quote(url) if quoted else url
    for redactor in (redactor_of(url=url), Redactor()):
        redacted = redactor.redact(f"cannot fetch {text[:size]}{end}")
        assert value[:6] not in redacted
        assert value[-7:-1] not in redacted
        assert not re.search(r"(?i)sig(?:nature)?(?:=|%3D)[0-9a-z]", redacted)


@given(st.from_regex(r"[a-z0-9]{8}-[A-Za-z0-9]{32}", fullmatch=True), st.integers(LEAST_START, 41), st.sampled_from(ENDS))
@example("sandbox1-" + "f" * 32, LEAST_START, "")
def test_no_start_of_a_key_is_left_by_a_server_that_cuts_it(key: str, size: int, end: str) -> None:
    assert key[:LEAST_START] not in redactor_of(key).redact(f"unknown key {key[:size]}{end}")


@pytest.mark.parametrize(
    "text",
    [
        "a sandbox",
        "sandbox: not found",
        "profile sandbox-eu",
        "20260430T140000Z",
        "SHA256",
        "X-Amz-SignedHeaders=host",
        "X-Amz-Expires=3600",
        "set the token with --path-token TOKEN",
        '$env:STREAMPIXEL_API_KEY="…"',
        "signature: expired",
    ],
)
def test_ordinary_words_are_not_redacted(text: str) -> None:
    redactor = redactor_of("sandbox-main-bade7a0d995aa43d", url=SIGNED[0].format("0f" * 32))
    assert redactor.redact(text) == text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("?token=abc&x=1", "?token=****&x=1"),
        ("X-Amz-Credential=AKIA%2F2026", "X-Amz-Credential=****"),
        ("X-Amz-Security-Token=FwoG/+=", "X-Amz-Security-Token=****"),
        ('{"apiKey":"k","userId":"u"}', '{"apiKey":"****","userId":"u"}'),
        ('{\\"api_key\\": \\"k\\"}', '{\\"api_key\\": \\"****\\"}'),
        ("apikey=k&userId=u", "apikey=****&userId=u"),
        ("password=p w", "password=**** w"),
        ("OSSAccessKeyId=a&Signature=b%3D", "OSSAccessKeyId=****&Signature=****"),
    ],
)
def test_values_of_credentials_are_redacted_by_their_names(text: str, redacted: str) -> None:
    assert Redactor().redact(text) == redacted
    assert Redactor().redact_data(text) == text


@pytest.mark.parametrize(
    "text", ["sig=" * 2**18, 'token"' + " " * 2**20, "signature" * 116_000, "a=" + "%26" * 350_000, "x" * 2**20]
)
def test_a_mebibyte_is_redacted_in_linear_time(text: str) -> None:
    redactor = redactor_of(KEY, url=SIGNED[0].format("0f" * 32))
    started = time.process_time()
    redactor.redact(f"={text}=")
    redactor.redact(f"={text.replace('sig', KEY[:LEAST_START])}=")
    assert time.process_time() - started < 5


def test_a_url_without_a_query_has_nothing_to_redact() -> None:
    text: Any = "https://host/Game.zip and host"
    assert redactor_of(url="https://host/Game.zip").redact(text) == text


def test_the_query_its_pairs_and_its_long_values_are_redacted() -> None:
    url = "https://b.s3.amazonaws.com/Game.zip?X-Amz-Expires=3600&part=5ec4%2F75ec4e75ec4%3D#part"
    redactor = redactor_of(url=url)
    for text in (
        "X-Amz-Expires=3600&part=5ec4%2F75ec4e75ec4%3D",
        "X-Amz-Expires=3600",
        "5ec4%2F75ec4e75ec4%3D",
        "5ec4/75ec4e75ec4=",
    ):
        assert redactor.redact(f"no {text} here") == "no **** here"
