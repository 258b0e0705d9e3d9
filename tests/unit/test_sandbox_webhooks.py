"""The webhook deliveries of the sandbox."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from spcli.sandbox.server import Sandbox
from spcli.sandbox.webhooks import Courier
from spcli.sandbox.world import World
from tests.unit.sandbox_calls import PATIENCE, UPLOAD, Dial, ask, until, upload


class Receiver:
    """A webhook's other end: keeps what arrives, answers `status`, or nothing while `status` is 0."""

    def __init__(self, status=200):
        self.events = []
        self.types = []
        self.release = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.events.append(json.loads(body))
                receiver.types.append((self.path, self.headers["Content-Type"]))
                if not status:
                    receiver.release.wait(PATIENCE)
                    return
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=s3cret"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.thread.join(PATIENCE)
        self.server.server_close()


def test_changes_of_a_build_are_delivered_once_and_in_order():
    clock, lines = Dial(), []
    with Receiver() as receiver, Sandbox(World(stage=2), now=clock, webhook=receiver.url, log=lines.append) as sandbox:
        upload_id = json.loads(upload(sandbox)[1])["uploadId"]
        until(lambda: len(receiver.events) == 1)
        clock.reading += 100
        until(lambda: len(receiver.events) == 6)
        until(lambda: len(lines) == 7)
    assert [event["status"] for event in receiver.events] == [
        "pending",
        "Downloading Files",
        "Extracting & Scanning",
        "Saving to Repository",
        "Distribute",
        "Approved",
    ]
    assert {event["uploadId"] for event in receiver.events} == {upload_id}
    assert set(receiver.types) == {("/hook?token=s3cret", "application/json")}
    assert lines[-1] == "webhook build.approved 200"
    assert "s3cret" not in "".join(lines)


def test_failed_delivery_is_not_repeated():
    clock, lines = Dial(), []
    with Receiver(status=500) as receiver, Sandbox(World(stage=2), now=clock, webhook=receiver.url, log=lines.append) as sandbox:
        upload(sandbox)
        until(lambda: "webhook build.uploaded 500" in lines)
        clock.reading += 100
        until(lambda: "webhook build.approved 500" in lines)
    assert [event["event"] for event in receiver.events].count("build.uploaded") == 1
    assert len(receiver.events) == 6


def test_receiver_that_does_not_answer_times_out():
    lines = []
    with Receiver(status=0) as receiver:
        courier = Courier(receiver.url, list, timeout=0.1, log=lines.append)
        assert courier.deliver({"event": "build.uploaded"}) == 0
    assert (lines, len(receiver.events)) == (["webhook build.uploaded no answer"], 1)


def test_stop_does_not_wait_for_a_receiver():
    lines = []
    with Receiver(status=0) as receiver:
        with Sandbox(World(), webhook=receiver.url, log=lines.append) as sandbox:
            upload(sandbox)
            until(lambda: receiver.events)
        assert lines[1:] == ["webhook build.uploaded no answer"]
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("sandbox")] == []


@pytest.mark.parametrize(("status", "success"), [(204, True), (500, False)])
def test_test_webhook_delivers_an_event_and_reports_the_status(status, success):
    with Receiver(status) as receiver, Sandbox(World(), webhook=receiver.url) as sandbox:
        got, body, _ = ask(sandbox, "POST", "/pixelStripeApi/projects/test-webhook", body=UPLOAD)
    report = json.loads(body)
    assert (got, report["success"], report["statusCode"]) == (200, success, status)
    assert [event["event"] for event in receiver.events] == ["webhook.test"]


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "http://", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "http://["])
def test_webhook_must_be_an_http_url(url):
    with pytest.raises(ValueError, match="not a webhook URL"):
        Sandbox(World(), webhook=url)
