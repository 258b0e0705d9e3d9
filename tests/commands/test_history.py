"""`spcli history`: every upload, release and rollback sent from this machine."""

import json
import sqlite3
from typing import Any

import pytest

from spcli.sandbox.seeds import MAIN, SHOWROOM, SHOWROOM_NEW, SHOWROOM_OLD
from tests.front import Front

URL = "https://builds.example.com/Game-1.4.zip"
KEYS = ["at", "action", "projectId", "uploadId", "previousUploadId", "file", "outcome", "message", "actor", "note"]


@pytest.fixture
def sent(spcli: Front, service: Any) -> str:
    """Send an upload, a release and a rollback, and return the id of the upload."""
    service(stage=10)
    spcli.environ |= {"USER": "ada"}
    upload = spcli("upload", URL + "?sig=secret0123456789", "-m", "nightly", "--wait", "--json").json["uploadId"]
    assert spcli("distribute", SHOWROOM_NEW, "-m", "try the old one").code == 0
    assert spcli("rollback", "--to", SHOWROOM_OLD, "--yes", "-m", "1.1 crashes").code == 0
    return str(upload)


def test_history_lists_who_sent_what_when_and_why(spcli: Front, sent: str) -> None:
    rollback, release, upload = spcli("history", "--json").json
    assert list(upload) == KEYS
    facts = ("action", "uploadId", "previousUploadId", "file", "outcome", "actor", "note")
    assert [upload[key] for key in facts] == ["upload", sent, None, "Game-1.4.zip", "done", "ada", "nightly"]
    assert [release[key] for key in facts[:3]] == ["distribute", SHOWROOM_NEW, sent]
    assert [rollback[key] for key in facts[:3]] == ["rollback", SHOWROOM_OLD, SHOWROOM_NEW]
    assert [one["note"] for one in (rollback, release)] == ["1.1 crashes", "try the old one"]
    assert upload["at"] < release["at"] < rollback["at"]
    assert {one["projectId"] for one in (rollback, release, upload)} == {SHOWROOM.id}


def test_history_is_a_table_for_people_without_empty_columns(spcli: Front, sent: str) -> None:
    lines = spcli("history").out.splitlines()
    assert lines[0].split("  ")[0] == "WHEN"
    assert [word for word in ("WHO", "ACTION", "UPLOAD ID", "FROM", "FILE", "OUTCOME", "REASON") if word not in lines[0]] == []
    assert len(lines) == 4
    assert "secret" not in "".join(lines)
    assert "FROM" not in spcli("history", "--limit", "0", "-p", "Configurator EU").out


def test_history_is_limited_and_bare_with_quiet(spcli: Front, sent: str) -> None:
    assert len(spcli("history", "--limit", "1", "--json").json) == 1
    assert len(spcli("history", "--limit", "0", "--json").json) == 3
    assert spcli("history", "-q").out.splitlines() == [SHOWROOM_OLD, SHOWROOM_NEW, sent]


def test_history_of_one_project_by_name_or_id(spcli: Front, sent: str) -> None:
    assert len(spcli("history", "-p", "showroom", "--json").json) == 3
    assert len(spcli("history", "-p", SHOWROOM.id.upper(), "--json").json) == 3
    other = spcli("history", "-p", MAIN.projects[1].id)
    assert (other.code, other.out) == (0, "")
    assert "nothing was sent from this machine to this project" in other.err


def test_history_shows_failed_and_unknown_writes(spcli: Front, service: Any) -> None:
    service(faults=("upload:400", "upload:reset"), window=1)
    assert spcli("upload", URL).code == 40
    spcli.clock.sleep(2)
    assert spcli("upload", URL, "--on-limit", "fail").code in (60, 61)
    outcomes = [one["outcome"] for one in spcli("history", "--json").json]
    assert outcomes in (["refused", "refused"], ["unknown", "refused"])
    assert "failed: " in spcli("history").out


def test_history_without_any_write_is_empty(spcli: Front, service: Any) -> None:
    server = service()
    empty = spcli("history", "--json")
    assert (empty.code, empty.json) == (0, [])
    assert server.requests == []


def test_notes_of_version_0_1_0_are_shown_as_text(spcli: Front, sent: str) -> None:
    with sqlite3.connect(spcli.home / "state" / "state.db") as database:
        for number, note in enumerate(("ada: rollback from 1: why", json.dumps({"a": 1}), "[1, 2]", None, "[" * 99999)):
            database.execute("UPDATE ledger SET note = ? WHERE id = (SELECT min(id) FROM ledger)", (note,))
            database.commit()
            shown = spcli("history", "--json").json[-1]
            assert shown["note"] == (note if number in (0, 1, 4) else None)
    database.close()
