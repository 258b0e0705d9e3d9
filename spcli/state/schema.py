"""The tables of the state file, and the reading of stored values.

A damaged row may hold anything: a value that is not of its kind is read as unknown.
"""

from spcli.clock import Instant

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
STATEMENTS = [statement.strip() for statement in SCHEMA.split(";") if statement.strip()]
YEAR_9000 = 2.2e11


def clean_text(text: str) -> str:
    """Return a text that SQLite can store: JSON may hold lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def read_number(value: object) -> float:
    """Return a number; NaN for anything else, which `ratelimit.window` takes for a damaged value."""
    return float(value) if isinstance(value, (int, float)) else float("nan")


def read_instant(wall: object, mono: object) -> Instant | None:
    """Return a moment; None where neither reading was stored."""
    return None if wall is None and mono is None else Instant(read_number(wall), read_number(mono))


def read_time(value: object) -> float | None:
    """Return Unix seconds that a calendar can show."""
    seconds = read_number(value)
    return seconds if 0 <= seconds < YEAR_9000 else None


def read_text(value: object) -> str | None:
    """Return text."""
    return value if isinstance(value, str) else None
