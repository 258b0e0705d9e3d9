"""Foreign text of a megabyte costs no more than its length: no pattern may try each place against each other."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from spcli.api.parse import iso_text
from spcli.check.beginning import judge_beginning
from spcli.check.names import decode_name, is_unsafe, normal_path, split_part, windows_problem
from spcli.check.refusal import read_host_error
from spcli.check.signature import signature_findings
from spcli.check.url import judge_url
from spcli.models import Secret, bare_url
from spcli.output.escape import disarm_commands, escape_block
from spcli.output.json_text import to_json
from spcli.output.redact import Redactor, redact_key
from spcli.ratelimit.refusal import seconds_in_message
from spcli.transport.response import error_text, retry_after_hint, status_of_head

MEGABYTE = 1024 * 1024
SECRET = Secret("k3y-0123456789abcdef0123456789abcdef")
REDACTOR = Redactor()
REDACTOR.register(SECRET)
READERS: dict[str, Callable[[str], Any]] = {
    "beginning": lambda text: judge_beginning(text.encode()),
    "content type": lambda text: judge_beginning(b"x", content_type=text),
    "host's error": lambda text: read_host_error(text.encode()),
    "name in a zip": lambda text: decode_name(b"\x95\\" + text.encode(), is_utf8=False),
    "path in a zip": lambda text: (normal_path(text), is_unsafe(text), windows_problem(text), split_part(text)),
    "URL": lambda text: judge_url(f"https://files.example.com/{text}", now=0, local_api=False),
    "host in a URL": lambda text: judge_url(f"https://{text}/Game.zip", now=0, local_api=False),
    "signature": lambda text: signature_findings(f"Signature=x&hdnea=x&Policy={text}", "h", 0),
    "shown URL": lambda text: bare_url(f"https://{text}"),
    "error": lambda text: error_text(500, text.encode(), "text/html"),
    "Retry-After": lambda text: retry_after_hint([text], None, 0),
    "head": lambda text: status_of_head(b"HTTP/1.1 100 " + text.encode()[:4096]),
    "message": seconds_in_message,
    "date": iso_text,
    "body": lambda text: redact_key(text.encode(), SECRET),
    "redacted": lambda text: REDACTOR.redact(f'{text}=":'),
    "escaped": lambda text: disarm_commands(escape_block(text) + text + "::##section_start"),
    "JSON": lambda text: to_json({"a": f"{text}\ud800"}, REDACTOR),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_megabyte_of_foreign_text_is_read_at_once(reader: str) -> None:
    for filling in (" ", "<a", "::##", 'signature="'):
        text = filling * (MEGABYTE // len(filling))
        started = time.process_time()
        READERS[reader](text)
        # Quadratic time would be minutes.
        assert time.process_time() - started < 5, filling


def test_a_url_of_thousands_of_parameters_is_registered_at_once() -> None:
    redactor = Redactor()
    started = time.process_time()
    redactor.register_url("https://h/a.zip?" + "&".join(f"abcd{number:05}=x{number}" for number in range(8000)))
    assert time.process_time() - started < 5
    assert "abcd07999=x7999" not in redactor.redact("the value abcd07999=x7999 is wrong")
