"""Send ranged GETs to the host of a build, over the same bounded connections as calls to the API.

Never HEAD: a presigned URL is signed for one method, and S3 answers 403 to any other. No key, no cookies, no redirects.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from spcli import __version__
from spcli.clock import Clock
from spcli.errors import SpcliError, Unclear
from spcli.models import bare_url
from spcli.transport.proxies import Proxy, find_route, login_error
from spcli.transport.request import Origin, parse_origin

if TYPE_CHECKING:
    from spcli.transport.connection import HttpConnection
    from spcli.transport.response import Answer

WHOLE_LIMIT = 64 * 1024
"""Bytes read of an answer that is not a range: a host without ranges sends gigabytes."""
HEADER_LIMIT = 100 * 1024
"""Bytes of headers that the HTTP library accepts (h11's buffer in httpcore)."""
_CONTENT_RANGE = re.compile(r"bytes[ =]([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})", re.IGNORECASE)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))

Ending = Literal["complete", "closed", "late", "long-headers"]
"""How an answer ended: as declared, closed early by the host, cut by our deadline, or given up for its headers."""


class Part(NamedTuple):
    """An answer to a ranged GET.

    `is_range`: `body` begins where the request did and is at most as long; a host may send less (RFC 9110, section 14.2). `size`
    is the whole file's, None if the host does not say. `is_whole`: `body` is the whole file. An answer of 200 to 299 that is
    neither has a different range, or only the beginning of a file without ranges.
    """

    status: int
    body: bytes
    size: int | None
    is_range: bool
    is_whole: bool
    ending: Ending
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str:
        """Return the first value of the header `name` (lower case), "" without any."""
        return next((value.strip() for key, value in self.headers if key.lower() == name), "")

    @property
    def encoding(self) -> str:
        """Return the content encoding in lower case, "" for none."""
        encoding = self.header("content-encoding").lower()
        return "" if encoding == "identity" else encoding


class Storage:
    """One file on a storage host. Not for several threads at once.

    Args:
        url: an http(s) URL, its query perhaps a signature: it is sent byte for byte and shown nowhere.
        deadline: reading of `clock.mono()` by which everything is over.
        log: receives the lines of `-v`.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        environ: Mapping[str, str],
        deadline: float,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._shown = bare_url(url)
        self._target = request_target(url)
        self._origin: Origin = parse_origin(url)
        self._clock = clock
        self._environ = environ
        self._deadline = deadline
        self._log = log
        self._wire: HttpConnection | None = None
        self._proxy: Proxy | None = None
        self._received = 0

    @property
    def address(self) -> str:
        """Return the host's address as it was reached; empty before the first request, and behind a proxy."""
        return "" if self._wire is None or self._proxy is not None else self._wire.address

    def get(self, first: int, last: int) -> Part:
        """Return bytes `first` to `last`, both included.

        Raises:
            NotSent, Unclear: the host could not be reached, or gave no usable answer in time.
            SpcliError: `config`, for a proxy or CA variable that can't be used.
        """
        is_reused = self._wire is not None
        answer = self._send_get(first, last)
        if isinstance(answer, SpcliError) and is_reused and not self.is_late:
            # The host may have closed a kept connection while the last answer was judged.
            answer = self._send_get(first, last)
        if isinstance(answer, SpcliError):
            raise answer
        if answer.status < 200:
            raise Unclear(f"the host sent HTTP {answer.status} and no answer")
        if answer.status == 407 and self._proxy is not None:
            raise login_error(self._proxy, answer.values("proxy-authenticate"))
        return parse_part(answer, first=first, last=last, ending=self._ending_of(answer))

    @property
    def is_late(self) -> bool:
        """Return whether the time for all requests is over."""
        return self._clock.mono() >= self._deadline

    def _ending_of(self, answer: "Answer") -> Ending:
        if not answer.cut:
            return "complete"
        if self.is_late:
            return "late"
        return "long-headers" if not answer.headers and self._received > HEADER_LIMIT else "closed"

    def close(self) -> None:
        """Close the connection, if any."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def _send_get(self, first: int, last: int) -> "Answer | SpcliError":
        from spcli.transport.connection import Exchange, build_get

        exchange = Exchange(self._origin.host_port, clock=self._clock, deadline=self._deadline)
        request = build_get(self._origin, self._target, _header_fields(first, last))
        answer = self._connect().fetch(request, exchange, limit=max(WHOLE_LIMIT, last - first + 1))
        self._received = exchange.received_bytes
        if self._log is not None:
            outcome = "no answer" if isinstance(answer, SpcliError) else f"{answer.status} {len(answer.body)} bytes"
            self._log(f"> GET {self._shown} bytes {first}-{last} < {outcome}")
        return answer

    def _connect(self) -> "HttpConnection":
        if self._wire is None:
            from spcli.transport.connection import HttpConnection

            route = find_route(self._origin, self._environ)
            self._wire, self._proxy = HttpConnection(route), route.proxy
            if self._log is not None:
                for note in route.notes:
                    self._log(note)
        return self._wire


def request_target(url: str) -> bytes:
    """Return path and query as written; only characters that a request cannot contain are percent-encoded."""
    rest = url.split("#", 1)[0].partition("://")[2]
    path = rest[len(re.split(r"[/?]", rest, maxsplit=1)[0]) :]
    return quote(path if path.startswith("/") else f"/{path}", safe=_PRINTABLE, errors="replace").encode("ascii")


def _header_fields(first: int, last: int) -> list[tuple[str, str]]:
    # A compressed answer would have other offsets than the file.
    return [
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "keep-alive"),
        ("Range", f"bytes={first}-{last}"),
        ("User-Agent", f"streampixel-cli/{__version__}"),
    ]


def parse_part(answer: "Answer", *, first: int, last: int, ending: Ending) -> Part:
    """Return the answer to `Range: bytes=first-last` as a part.

    Some hosts send a range with status 200: its `Content-Range` decides, if the body has that length.
    """
    status, body = answer.status, answer.body
    size, is_range = None, False
    match = _CONTENT_RANGE.fullmatch((answer.value("content-range") or "").strip()) if status in (200, 206) else None
    if match is not None:
        begins, ends, total = (int(number) for number in match.groups())
        is_range = begins == first and begins <= ends <= min(last, total - 1) and len(body) == ends - begins + 1
        size = total if is_range else None
    length = (answer.value("content-length") or "").strip()
    if status == 200 and not is_range and length.isascii() and length.isdigit() and len(length) < 20:
        size = int(length)
    is_complete = ending == "complete" and not answer.oversized
    is_whole = status == 200 and not is_range and is_complete and size in (None, len(body))
    return Part(status, body, size, is_range, is_whole, ending, answer.headers)
