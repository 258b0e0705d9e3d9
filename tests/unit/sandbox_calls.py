"""HTTP calls to a running sandbox, as a client makes them."""

import http.client
import json
import threading
import time
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

from spcli.sandbox.seeds import MAIN, SHOWROOM
from spcli.sandbox.server import Sandbox

NOW = 1_750_000_000.0
PATIENCE = 5.0
UPLOAD = {
    "apiKey": MAIN.api_key,
    "userId": MAIN.user_id,
    "projectId": SHOWROOM.id,
    "fileUrl": "https://files.example.com/Game.zip?X-Amz-Signature=c0ffee",
}
QUERY = {"userId": MAIN.user_id, "apikey": MAIN.api_key}
Answer = tuple[int, bytes, dict[str, str]]


class Dial:
    """A clock that a test sets."""

    def __init__(self, reading: float = NOW) -> None:
        self.reading = reading

    def __call__(self) -> float:
        return self.reading


def connect(sandbox: Sandbox, timeout: float = PATIENCE) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", urlsplit(sandbox.base_url).port, timeout=timeout)


def ask(sandbox: Sandbox, method: str, path: str, *, body: object = None, timeout: float = PATIENCE) -> Answer:
    connection = connect(sandbox, timeout)
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.getheaders())
    finally:
        connection.close()


def upload(sandbox: Sandbox, timeout: float = PATIENCE) -> Answer:
    return ask(sandbox, "POST", "/pixelStripeApi/projects/upload-file", body=UPLOAD, timeout=timeout)


def projects(sandbox: Sandbox, timeout: float = PATIENCE) -> Answer:
    return ask(sandbox, "GET", f"/pixelStripeApi/projects?{urlencode(QUERY)}", timeout=timeout)


def stored(sandbox: Sandbox) -> int:
    """Return how many builds were registered since the start."""
    return len(sandbox.world.builds_of(SHOWROOM.id)) - 3


def until(predicate: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < end, "it never happened"
        threading.Event().wait(0.01)
