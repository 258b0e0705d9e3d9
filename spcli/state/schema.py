"""What is in the file, and how one tells that a file is ours."""

from typing import Literal

from spcli.clock import Instant
from spcli.state.connection import Connection

APPLICATION_ID = 0x53504349
SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, wall REAL, mono REAL);
CREATE TABLE windows (
  bucket TEXT PRIMARY KEY, wall REAL, mono REAL, bound REAL, holder TEXT, last_call REAL,
  before_wall REAL, before_mono REAL, before_bound REAL, before_last_call REAL);
CREATE TABLE waiters (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL, ticket TEXT NOT NULL UNIQUE, wall REAL, mono REAL, owner TEXT);
CREATE INDEX waiters_of_bucket ON waiters (bucket, seq);
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY AUTOINCREMENT, ticket TEXT, action TEXT, origin TEXT, account TEXT, project_id TEXT, url TEXT,
  digest TEXT, upload_id TEXT, auto_release INTEGER, baseline TEXT, note TEXT, phase TEXT, message TEXT, started REAL, ended REAL,
  server_wall REAL, accepted INTEGER DEFAULT 0, state TEXT, live_wall REAL, live_mono REAL, owner TEXT);
CREATE INDEX ledger_of_project ON ledger (account, project_id, id);
CREATE INDEX ledger_of_file ON ledger (account, project_id, url, phase);
CREATE INDEX ledger_of_upload ON ledger (upload_id);
CREATE INDEX ledger_of_age ON ledger (started);
CREATE INDEX ledger_open ON ledger (ticket) WHERE phase = 'sending';
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT, project_id TEXT, upload_id TEXT, file_url TEXT, status TEXT, objection TEXT,
  timestamp TEXT, received REAL);
CREATE UNIQUE INDEX events_once ON events (
  event, ifnull(project_id, ''), ifnull(upload_id, ''), ifnull(status, ''), ifnull(timestamp, ''));
CREATE INDEX events_of_upload ON events (upload_id);
CREATE TABLE listeners (owner TEXT PRIMARY KEY, wall REAL, mono REAL);
CREATE TABLE names (kind TEXT, account TEXT, id TEXT, name TEXT, seen REAL, PRIMARY KEY (kind, account, id));
"""
_STATEMENTS = [statement.strip() for statement in SCHEMA.split(";") if statement.strip()]

Kind = Literal["ours", "newer", "alien"]


def kind_of(connection: Connection) -> Kind:
    """What kind of database this is, from one consistent look; an empty one is not ours."""
    if connection.in_transaction:
        connection.run("ROLLBACK")
    connection.run("BEGIN")
    version = connection.run("PRAGMA user_version").fetchone()[0]
    application = connection.run("PRAGMA application_id").fetchone()[0]
    found = {row[0] for row in connection.run("SELECT sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")}
    connection.run("COMMIT")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        return "newer"
    is_ours = (application, version) == (APPLICATION_ID, SCHEMA_VERSION) and found == set(_STATEMENTS)
    return "ours" if is_ours else "alien"


def create(connection: Connection, now: Instant, *, reborn: bool) -> None:
    """Make an empty database ours, in the caller's transaction.

    Args:
        reborn: it follows a damaged one, whose windows nobody knows: they count as just used.
    """
    for statement in _STATEMENTS:
        connection.run(statement)
    if reborn:
        connection.run("INSERT INTO meta VALUES ('reborn', ?, ?)", now)
    # A process that still knows a row of the damaged file by its id must not meet another row under it.
    connection.run("INSERT INTO sqlite_sequence VALUES ('ledger', ?)", (max(0, int(now.wall)),))
    connection.run(f"PRAGMA application_id={APPLICATION_ID}")
    connection.run(f"PRAGMA user_version={SCHEMA_VERSION}")
