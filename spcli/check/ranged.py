"""Read a file by ranges: a local one, or one on a storage host, which is never downloaded."""

from collections.abc import Callable

from spcli.check.finding import Finding, error, warning
from spcli.transport.ranges import Part, Storage

Fetch = Callable[[int, int], bytes]
"""Bytes `first` to `last`, both included, as in a `Range` header."""
_PIECE = 8 * 1024 * 1024
_PIECE_LIMIT = 200
USE_LOCAL = "check the local file: spcli check FILE"
_TRANSIENT = (408, 416, 425, 429)
"""Answers to a second request that prove nothing about the link."""


class RangedFile:
    """A file of `size` bytes, read through `fetch`; remembered parts are not fetched again."""

    def __init__(self, size: int, fetch: Fetch) -> None:
        self.size = size
        self._fetch = fetch
        self._parts: list[tuple[int, bytes]] = []

    def remember(self, start: int, data: bytes) -> None:
        """Keep `data` as the file's bytes from `start` on."""
        self._parts.append((start, data))

    def read(self, start: int, length: int) -> bytes:
        """Return at most `length` bytes from `start`: less at the end of the file."""
        end = min(start + length, self.size)
        if end <= start or start < 0:
            return b""
        for first, data in self._parts:
            if first <= start and end <= first + len(data):
                return data[start - first : end - first]
        return self._fetch(start, end - 1)


class Unreadable(Exception):
    """The storage host's answers can't be used to read the file; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self.finding = finding


def unread_warning(reason: str, hint: str = USE_LOCAL) -> Finding:
    """Return the warning that the contents could not be checked."""
    return warning("not-read", f"the zip's contents could not be checked: {reason}", hint)


def changed_file_warning() -> Finding:
    """Return the warning that the answers are of different versions of the file."""
    hint = "wait until its upload is complete, and give every build its own name"
    return warning("changing", "the file changes while it is being checked", hint)


class RemoteFile:
    """Fetches ranges of one file, and collects what is odd about the host's answers.

    Attributes:
        findings: warnings about the host, each once.
        is_suspect: the answers may be of different files, so an error in the contents proves nothing.
    """

    def __init__(self, storage: Storage, first: Part, *, requested: int, seconds: float) -> None:
        self.findings: list[Finding] = []
        self.is_suspect = False
        self._storage = storage
        self._first = first
        self._requested = requested
        self._seconds = seconds
        self._note_oddities(first, 0, requested)

    def fetch(self, first: int, last: int) -> bytes:
        """Return bytes `first` to `last`, in as many requests as the host needs.

        Raises:
            Unreadable: the host answered with something else.
            NotSent, Unclear: the host could not be reached, or did not answer.
        """
        pieces = list[bytes]()
        while first <= last:
            if len(pieces) >= _PIECE_LIMIT:
                raise Unreadable(unread_warning("the storage host answers with very short ranges"))
            pieces.append(self._fetch_piece(first, min(first + _PIECE - 1, last)))
            first += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fetch_piece(self, first: int, last: int) -> bytes:
        if last < len(self._first.body):
            return self._first.body[first : last + 1]
        part = self._storage.get(first, last)
        if 400 <= part.status < 500 and part.status not in _TRANSIENT:
            raise Unreadable(self._explain_refusal(part))
        if part.status not in (200, 206):
            raise Unreadable(unread_warning(f"the storage host answered {part.status} to a range request"))
        if part.ending != "complete":
            raise Unreadable(unread_warning(describe_ending(part, self._seconds)))
        if not part.is_range:
            answer = "200" if part.status == 200 else "with a different range than requested"
            raise Unreadable(unread_warning(f"the storage host answered {answer} to a range request"))
        self._compare_versions(part)
        self._note_oddities(part, first, last - first + 1)
        return part.body

    def _explain_refusal(self, part: Part) -> Finding:
        """Return why the host refuses a later request: the first one, sent again, shows whether the link is used up."""
        again = self._storage.get(0, self._requested - 1)
        if not (400 <= again.status < 500 and again.status not in _TRANSIENT):
            return unread_warning(f"the storage host answered {part.status} to a range request")
        text = f"this link can be read once: the storage host answered {part.status} to the second request"
        hint = "make a new link and upload it with --no-check: the check has used this one up"
        return error("one-time", text, hint, certain=again.status in (404, 410))

    def _compare_versions(self, part: Part) -> None:
        """Compare size, ETag and date with those of the first answer.

        Raises:
            Unreadable: they are of different versions of the file.
        """
        dates = (self._first.header("last-modified"), part.header("last-modified"))
        tags = (self._first.header("etag"), part.header("etag"))
        is_other_size = part.size != self._first.size
        is_other_tag = _without_weak_mark(tags[0]) != _without_weak_mark(tags[1]) and "" not in tags
        if is_other_size or (is_other_tag and dates[0] != dates[1]):
            raise Unreadable(changed_file_warning())
        if tags[0] != tags[1]:
            self.is_suspect = self.is_suspect or is_other_tag
            kind = "different ETags" if is_other_tag else "an ETag only sometimes" if "" in tags else "weak and strong ETags"
            self._note("etag", f"the storage host sends {kind} for the same file: a broken download cannot be resumed")

    def _note_oddities(self, part: Part, start: int, requested: int) -> None:
        if part.status == 200 and part.is_range:
            self._note("range-status", "the storage host answers range requests with status 200 instead of 206")
        if part.size is not None and start + len(part.body) < min(start + requested, part.size):
            self._note("short-ranges", "the storage host answers with shorter ranges than requested")
        for finding in encoding_findings(part):
            self._note(finding.code, finding.message, finding.hint)

    def _note(self, code: str, text: str, hint: str | None = None) -> None:
        if all(finding.code != code for finding in self.findings):
            self.findings.append(warning(code, text, hint))


def encoding_findings(part: Part) -> list[Finding]:
    """Return a warning for a readable file that its host labels as encoded: clients may fail to decode it."""
    if not part.encoding:
        return []
    text = f"the storage host labels the file as encoded (Content-Encoding: {part.encoding[:40]}), though it is not"
    return [warning("encoding", text, "remove the Content-Encoding from the object")]


def _without_weak_mark(tag: str) -> str:
    return tag.removeprefix("W/")


def slow_host_text(seconds: float) -> str:
    """Return the text for a host that was too slow: the limit is the check's own."""
    return f"the storage host did not answer within {seconds:g} s, the limit of this check"


def describe_ending(part: Part, seconds: float) -> str:
    """Return how an incomplete answer ended, in words."""
    if part.ending == "late":
        return slow_host_text(seconds)
    if part.ending == "long-headers":
        return "the headers of the storage host's answer are over 100 kB"
    return "the storage host closed the connection early"
