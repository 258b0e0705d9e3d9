"""Which requests the receiver accepts, and what a payload is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spcli.webhooks.guard import AccessRules, allowed_hosts, refusal
from spcli.webhooks.payload import STATUS_OF, InvalidPayload, event_json, fake_payload, parse_event

TOKEN = "t0ken-t0ken-t0ken"
RULES = AccessRules(TOKEN, allowed_hosts("127.0.0.1", 8080, "hooks.example.com"))
GOOD = {"host": ["127.0.0.1:8080"], "content-type": ["application/json"], "content-length": ["20"]}


def status(method: str = "POST", path: str = f"/hooks/{TOKEN}", **changed: list[str] | None) -> int | None:
    headers = {**GOOD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    refused = refusal(method, path, {name: value for name, value in headers.items() if value is not None}, RULES)
    return None if refused is None else refused.status


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "hooks.example.com"])
def test_names_of_this_machine_are_accepted(host: str) -> None:
    assert status(host=[host]) is None


@pytest.mark.parametrize("host", ["hooks.example.com", "hooks.example.com:443"])
def test_a_public_name_is_accepted_with_and_without_the_default_port(host: str) -> None:
    rules = AccessRules(TOKEN, allowed_hosts("127.0.0.1", 8080, "hooks.example.com:443"))
    assert refusal("POST", f"/hooks/{TOKEN}", {**GOOD, "host": [host]}, rules) is None


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("192.168.1.7:8080", 8080, None),
        ("[fe80::1]:8080", 8080, None),
        ("192.168.1.7", 80, None),
        ("192.168.1.7:80", 80, None),
        ("192.168.1.7", 8080, 403),
        ("192.168.1.7:81", 8080, 403),
        ("rebound.example:8080", 8080, 403),
        ("192.168.1.7:8080", None, 403),
    ],
)
def test_a_socket_on_every_address_accepts_addresses_and_no_names(host: str, port: int | None, expected: int | None) -> None:
    rules = AccessRules(TOKEN, allowed_hosts("0.0.0.0", 8080, None), port)
    refused = refusal("POST", f"/hooks/{TOKEN}", {**GOOD, "host": [host]}, rules)
    assert (None if refused is None else refused.status) == expected


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.evil.com:8080",
        "hooks.example.com.evil.com",
        "localhost:8080.evil.com",
        "",
    ],
)
def test_a_foreign_name_is_refused(host: str) -> None:
    assert status(host=[host]) == 403


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"host": ["127.0.0.1:8080", "evil"]}, 403),
        ({"host": None}, 403),
        ({"origin": ["http://127.0.0.1:8080"]}, 403),
        ({"sec_fetch_site": ["same-origin"]}, 403),
        ({"content_type": ["text/plain"]}, 415),
        ({"content_type": None}, 415),
        ({"content_type": ["application/json", "text/plain"]}, 415),
        ({"content_type": ["Application/JSON; charset=utf-8"]}, None),
        ({"content_length": [str(64 * 1024)]}, None),
        ({"content_length": [str(64 * 1024 + 1)]}, 413),
        ({"content_length": ["9" * 400]}, 413),
        ({"content_length": ["-1"]}, 413),
        ({"transfer_encoding": ["chunked"]}, 400),
        ({"transfer_encoding": ["chunked"], "content_length": None}, None),
    ],
)
def test_headers_decide_the_status(changed: dict[str, list[str] | None], expected: int | None) -> None:
    assert status(**changed) == expected


@pytest.mark.parametrize(
    "path", ["/", "/hooks/", "/hooks/wrong", f"/hooks/{TOKEN}/", f"/hooks/{TOKEN}x", f"/HOOKS/{TOKEN}", "/hooks/é"]
)
def test_a_path_without_the_token_is_not_found(path: str) -> None:
    assert status(path=path) == 404


def test_only_post_is_accepted() -> None:
    assert status(method="GET") == 405


def test_a_head_over_16_kib_is_refused() -> None:
    assert status(x_filler=["y" * 10_000]) is None
    assert status(x_filler=["y" * 10_000, "y" * 10_000]) == 431
    assert status(path="/" + "y" * 20_000) == 431


@pytest.mark.parametrize(
    ("method", "path", "changed", "lost"),
    [
        ("POST", f"/hooks/{TOKEN}", {}, "abc.tunnel.example"),
        ("POST", "/hooks/wrong", {}, None),
        ("GET", f"/hooks/{TOKEN}", {}, None),
        ("POST", f"/hooks/{TOKEN}", {"origin": ["https://abc.tunnel.example"]}, None),
        ("POST", f"/hooks/{TOKEN}", {"host": ["a", "b"]}, None),
    ],
)
def test_a_delivery_with_the_token_for_another_host_is_reported_as_lost(
    method: str, path: str, changed: dict[str, list[str]], lost: str | None
) -> None:
    refused = refusal(method, path, {**GOOD, "host": ["ABC.tunnel.example"], **changed}, RULES)
    assert refused is not None
    assert (refused.status, refused.lost_host) == (403, lost)


@pytest.mark.parametrize("event", STATUS_OF)
def test_a_fake_payload_is_parsed(event: str) -> None:
    body = fake_payload(event, 1_790_000_000, project_id="p", upload_id="u", file_url="https://h/a.zip?sig=s", objection="why")
    read = event_json(parse_event(json.dumps(body).encode(), 1_790_000_001))
    assert (read["event"], read["projectId"], read["status"]) == (event, "p", STATUS_OF[event])
    assert read["timestamp"] == "2026-09-21T14:13:20.000Z"
    assert read["receivedAt"] == "2026-09-21T14:13:21.000Z"
    if event.startswith("build."):
        assert (read["uploadId"], read["fileUrl"]) == ("u", "https://h/a.zip")
    else:
        assert (read["uploadId"], read["fileUrl"]) == (None, None)
    assert read["objection"] == ("why" if event == "build.rejected" else None)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"event": 1}', b'{"event": " "}', b"\xff", b"[" * 100_000, b'{"event": "x"']
)
def test_an_undocumented_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        parse_event(body, 0)


@given(
    st.dictionaries(
        st.sampled_from(["event", "projectId", "uploadId", "fileUrl", "status", "timestamp"]),
        st.none() | st.text() | st.integers() | st.lists(st.text()),
    )
)
def test_any_json_object_is_parsed_or_refused(data: dict[str, object]) -> None:
    try:
        event = parse_event(json.dumps(data).encode(), 0)
    except InvalidPayload:
        assert not isinstance(data.get("event"), str) or not str(data["event"]).strip()
    else:
        assert all(value is None or isinstance(value, str) for value in event[:7])
