"""Faults to order, written `ENDPOINT:KIND[xN]`, for testing a pipeline against failures.

A faulted call does not count for the rate limit, unless its kind says that the service got it.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

ENDPOINTS = {
    "upload": "POST /projects/upload-file",
    "distribute": "POST /projects/distribute-file",
    "projects": "GET /projects and GET /projects/projects-status",
    "project": "GET /projects/ID",
    "stats": "GET /projects/userStats/ID and /projects/liveStats/ID",
    "any": "every call",
}
KINDS = {
    "NNN": "that status (300 to 599) with the documented JSON message",
    "NNNhtml": "that status with an HTML page, as from a gateway",
    "hang": "accepts the request, never answers",
    "reset": "resets the connection",
    "close": "closes the connection without an answer",
    "NNN-after-store": "that status, but the service got it (also NNNhtml-after-store)",
    "hang-after-store": "the service got it, then never answers",
    "reset-after-store": "the service got it, then resets the connection",
    "close-after-store": "the service got it, then closes the connection",
    "truncate": "the service got it, only half of the answer arrives",
    "no-id": "the service got it, the answer has no uploadId",
    "204": "the service got it, the answer is empty",
    "slow": "the service got it, the body arrives one byte every 0.2 s",
    "html": "status 200 with an HTML page, as from a login portal",
    "redirect": "302 to a login page on another host",
}
MESSAGES = {
    400: "Missing required field: fileUrl",
    401: "Unauthorized: Invalid API Key",
    403: "Forbidden: project does not belong to this user",
    404: "Project not found",
    415: "Content-Type must be application/json",
    500: "Internal server error",
}

_SPEC = re.compile(r"([a-z]+):([a-z0-9-]+?)(?:x([1-9][0-9]{0,8}|\*))?")
_KIND = re.compile(r"(?:[3-5][0-9]{2}(?:html)?|hang|reset|close)(?:-after-store)?|truncate|no-id|204|slow|html|redirect")
_STORING = frozenset({"truncate", "no-id", "204", "slow"})
_AFTER = "-after-store"


class Fault(NamedTuple):
    """A failure of `endpoint` for `times` calls; `None` means every call."""

    endpoint: str
    kind: str
    times: int | None = 1

    @property
    def shape(self) -> str:
        """Return what the caller sees: the kind without its `-after-store`."""
        return self.kind.removesuffix(_AFTER)

    @property
    def reaches_service(self) -> bool:
        """Return whether the service still processes the request."""
        return self.kind in _STORING or self.kind.endswith(_AFTER)


def parse_fault(spec: str) -> Fault:
    """Parse a spec such as `upload:500x2`. Raises ValueError, with a list of what exists."""
    match = _SPEC.fullmatch(spec.strip())
    if match is None or match[1] not in ENDPOINTS or not _KIND.fullmatch(match[2]):
        raise ValueError(
            f"not a fault: {spec!r}. Write ENDPOINT:KIND[xN]; xN means the first N calls (default x1), x* all. "
            f"Endpoints: {', '.join(ENDPOINTS)}. Kinds: {', '.join(KINDS)}."
        )
    times = match[3] or "1"
    return Fault(match[1], match[2], None if times == "*" else int(times))


def endpoint_of(method: str, path: str) -> str:
    """Return the name in `ENDPOINTS` of a call to `path` (below the API's base path), or `any` if it has none."""
    match [method, *path.strip("/").split("/")]:
        case ["POST", "projects", "upload-file"]:
            return "upload"
        case ["POST", "projects", "distribute-file"]:
            return "distribute"
        case ["GET", "projects"] | ["GET", "projects", "projects-status"]:
            return "projects"
        case ["GET", "projects", "userStats" | "liveStats", _]:
            return "stats"
        case ["GET", "projects", _]:
            return "project"
    return "any"


class FaultPlan:
    """The remaining faults, in the order given."""

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self.left = [parse_fault(spec) for spec in specs]

    def next_fault(self, method: str, path: str) -> Fault | None:
        """Return this call's fault and count it, or None if the call is answered normally."""
        endpoint = endpoint_of(method, path)
        for place, fault in enumerate(self.left):
            if fault.endpoint in (endpoint, "any"):
                if fault.times == 1:
                    del self.left[place]
                elif fault.times is not None:
                    self.left[place] = fault._replace(times=fault.times - 1)
                return fault
        return None
