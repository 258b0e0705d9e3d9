"""A server that takes a request out of its queue only after the client gave up: the next call still comes a window later."""

from typing import Any

import pytest

from spcli.clock import Clock
from tests.faultd import Behaviour, FaultServer, Request, answer
from tests.faults.shipping import NEW, OLD, URL
from tests.front import Front

WINDOW = 0.6
TIMEOUT = 1.0
# Rules of conduct: a quarter of the timeout.
MARGIN = TIMEOUT / 4


class BusyService:
    """A service that accepts connections at once and reads the first write `late` seconds after the client has given up."""

    def __init__(self, late: float) -> None:
        self.writes: list[Request] = []
        self.builds = [
            {"_id": OLD, "url": "https://builds.example.com/Old.zip", "status": "Approved", "date": "2026-01-01T00:00:00Z"}
        ]
        unread = {b"POST": TIMEOUT + late}
        self.server = FaultServer(handler=self, unread_for=lambda first: unread.pop(first, 0.0))

    def __call__(self, request: Request) -> Behaviour:
        if request.method == "GET":
            return answer(200, {"files": list(self.builds)})
        self.writes.append(request)
        if request.path.endswith("/distribute-file"):
            self.builds[0] = self.builds[0] | {"status": "Distribute"}
            return answer(200, {"message": "Distribution triggered"})
        upload_id = f"{NEW[:-2]}1{len(self.writes)}"
        self.builds.append(
            {"_id": upload_id, "url": str(request.json["fileUrl"]), "status": "pending", "date": "2026-01-01T00:00:00Z"}
        )
        return answer(201, {"uploadId": upload_id})


@pytest.mark.parametrize("late", [0.05, 0.8 * MARGIN])
@pytest.mark.parametrize("words", [("upload", URL), ("distribute", OLD)], ids=["upload", "distribute"])
def test_call_after_one_that_a_busy_server_took_late_comes_a_window_later(spcli: Front, words: Any, late: float) -> None:
    spcli.clock = Clock()
    service = BusyService(late)
    with service.server:
        spcli.use(service.server.url, window=WINDOW)
        first = spcli(*words, "--timeout", f"{TIMEOUT}s", "--json")
        assert first.code == 0, first
        again = ("upload", "https://builds.example.com/Next.zip") if words[0] == "upload" else words
        service.builds[0] = service.builds[0] | {"status": "Approved"}
        assert spcli(*again, "--json").code == 0
    late_one, next_one = service.writes
    # The server's clock and ours are one; only rounding is forgiven.
    assert next_one.at - late_one.at >= WINDOW - 0.005
