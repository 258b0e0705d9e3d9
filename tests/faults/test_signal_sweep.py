"""Ctrl-C at one moment after another of a whole write, in this process: what is reported of the write is true at each."""

import contextlib
import faulthandler
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from spcli.sandbox.seeds import SHOWROOM
from spcli.signals import REPEAT_AFTER, Signals
from tests.faultd import Behaviour, FaultServer, Request, answer, rst_after_request
from tests.front import FakeClock, Front, Result

URL = "https://builds.example.com/Game-1.4.zip"
OLD = "665a00000000000000000001"
NEW = "665a00000000000000000002"
MOMENTS = 8
LAST_STEPS = 600
"""Steps before the end in which the outcome is decided and printed."""
HUNG = 60.0
ANSWERS = {
    "accepted": answer(201, {"uploadId": NEW, "message": "queued"}),
    "limited": answer(429, {"message": "Rate limit exceeded."}),
    "refused": answer(400, {"message": "No."}),
    "reset": rst_after_request(),
}


@pytest.fixture
def caught() -> Iterator[None]:
    """Restore what a run takes over."""
    before, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook
    yield
    # A signal that was lost in a callback is sent once more, after a moment.
    threading.Event().wait(3 * REPEAT_AFTER)
    signal.signal(signal.SIGINT, before)
    sys.unraisablehook = hook


def hinted() -> Behaviour:
    return answer(429, {"message": "Rate limit exceeded."}, {"Retry-After": "3600"})


class Sweep:
    """Run a command again and again, each time as a new user of a new service.

    A step is a call or a return, of the functions in files whose names end with `within`; `arrival` is the step at which the
    write arrived.
    """

    def __init__(self, folder: Path, argv: list[str], behaviour: Behaviour, within: str = "") -> None:
        self._folder = folder
        self._argv = argv
        self._behaviour = behaviour
        self._within = within
        self.writes = self.steps = self.arrival = 0

    def _answer(self, request: Request) -> Behaviour:
        if request.method == "GET":
            build = {
                "_id": OLD,
                "url": "https://builds.example.com/Old.zip",
                "status": "Approved",
                "date": "2026-01-01T00:00:00Z",
            }
            return answer(200, {"files": [build]})
        self.writes, self.arrival = self.writes + 1, self.steps
        return self._behaviour

    def stored(self, step: int, query: str) -> list[Any]:
        """Return the first column of what the state of the run with that step holds."""
        with contextlib.closing(sqlite3.connect(self._folder / str(step) / "state" / "state.db")) as database:
            return [row[0] for row in database.execute(query)]

    def run(self, step: int = 0) -> Result:
        """Run in a home of its own, with a Ctrl-C at the step of that number if there is one: 0 and -1 are none."""
        self.writes = self.steps = 0
        front = Front(self._folder / str(step), FakeClock())
        front.signals = Signals()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        front.signals.install_handlers()
        with FaultServer(handler=self._answer) as server:
            front.use(server.url)
            # A run that hangs ends the tests instead of holding them.
            faulthandler.dump_traceback_later(HUNG, exit=True)
            sys.setprofile(lambda frame, event, _arg: self._at(frame, event, step))
            try:
                return front(*self._argv, "--json", env={"SPCLI_ON_LIMIT": "fail"})
            finally:
                sys.setprofile(None)
                faulthandler.cancel_dump_traceback_later()

    def _at(self, frame: FrameType, event: str, step: int) -> None:
        if event in ("call", "return") and frame.f_code.co_filename.endswith(self._within):
            self.steps += 1
            if self.steps == step:
                signal.raise_signal(signal.SIGINT)


pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="raises a signal as POSIX does"),
    pytest.mark.usefixtures("caught"),
]
WRITES = [["upload", URL], ["distribute", OLD]]
RUNS = [(argv, kind) for argv in WRITES for kind in ANSWERS]


@pytest.mark.parametrize(("argv", "kind"), RUNS, ids=[f"{argv[0]} {kind}" for argv, kind in RUNS])
def test_report_after_a_signal_at_any_moment_is_true(tmp_path: Path, argv: list[str], kind: str) -> None:
    sweep = Sweep(tmp_path, argv, ANSWERS[kind])
    sweep.run(-1)  # The first run of a process loads modules, which takes steps too.
    undisturbed, steps, arrival = sweep.run().code, sweep.steps, sweep.arrival
    # Runs are alike until the answer comes, so each takes other moments.
    offset = RUNS.index((argv, kind)) / len(RUNS)
    shares = [(number + offset) / MOMENTS for number in range(MOMENTS)]
    moments = {1 + int(steps * share) for share in shares}
    moments |= {arrival + int((steps - arrival) * share) for share in shares}
    moments |= {steps - int(LAST_STEPS * share) for share in shares}
    seen = {reported(sweep, moment, undisturbed, kind) for moment in moments}
    assert len(seen) > 2, seen


def reported(sweep: Sweep, step: int, undisturbed: int, kind: str) -> tuple[int, str]:
    """Interrupt a run at a step; return its code and outcome once they are checked against what happened."""
    ended = sweep.run(step)
    outcome = ended.error["outcome"] if ended.code else "done"
    assert ended.code in (130, 61, undisturbed), ended
    assert outcome in {130: ("not_sent", "refused", "done"), 61: ("unknown",)}.get(ended.code, (outcome,)), ended
    assert (outcome == "not_sent") <= (sweep.writes == 0), ended
    assert (outcome == "refused") <= (sweep.writes == 1 and kind != "accepted"), ended
    assert (outcome == "done") <= (sweep.writes == 1 and kind == "accepted"), ended
    return ended.code, outcome


@pytest.mark.parametrize(("argv", "kind"), [(WRITES[0], "limited"), (WRITES[1], "reset")], ids=["upload", "distribute"])
def test_signal_as_a_context_manager_ends_does_not_replace_the_outcome(tmp_path: Path, argv: list[str], kind: str) -> None:
    """A failure on its way up passes the exits of context managers: a signal may come before one of them has begun."""
    sweep = Sweep(tmp_path, argv, ANSWERS[kind], within="contextlib.py")
    undisturbed, steps = sweep.run().code, sweep.steps
    assert steps - sweep.arrival > 20
    for step in range(steps - 16, steps - 8):
        reported(sweep, step, undisturbed, kind)


def test_signal_while_a_refusal_is_settled_does_not_lose_its_retry_after(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, WRITES[0], hinted(), within="ratelimit/refusal.py")
    undisturbed, steps = sweep.run().code, sweep.steps
    assert steps > 6
    for step in range(1, 7):
        reported(sweep, step, undisturbed, "limited")
        assert sweep.stored(step, "SELECT wall FROM windows")[0] > FakeClock().wall() + 3000


def test_signal_while_a_raw_write_is_recorded_leaves_it_done(tmp_path: Path) -> None:
    fields = ("-f", f"projectId={SHOWROOM.id}", "-f", f"fileUrl={URL}")
    sweep = Sweep(tmp_path, ["api", "POST", "/projects/upload-file", *fields], ANSWERS["accepted"], within="ledger.py")
    undisturbed, steps = sweep.run().code, sweep.steps
    for step in range(steps - 7, steps + 1):
        assert reported(sweep, step, undisturbed, "accepted")[1] == "done"
        assert sweep.stored(step, "SELECT phase FROM ledger") == ["done"]


def test_signal_while_a_denied_release_is_recorded_does_not_report_it_as_done(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, WRITES[1], answer(200, {"success": False, "message": "No worker."}), within="ledger.py")
    undisturbed, steps = sweep.run().code, sweep.steps
    for step in range(steps - 9, steps + 1):
        reported(sweep, step, undisturbed, "denied")


@pytest.mark.parametrize("first", [1, 2])
def test_run_never_waits_for_a_lock_that_a_signal_has_left_held(tmp_path: Path, first: int) -> None:
    """The quick look after a signal must not use a connection again whose lock was held at that moment."""
    sweep = Sweep(tmp_path, WRITES[first - 1], ANSWERS["reset"], within="_synchronization.py")
    undisturbed, steps = sweep.run().code, sweep.steps
    assert steps > 10
    # The connections of an upload and of a release are alike: each takes every other step.
    for step in range(first, steps + 1, 2):
        reported(sweep, step, undisturbed, "reset")
