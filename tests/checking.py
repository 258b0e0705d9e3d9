"""Running `spcli check` against a storage host on loopback."""

from collections.abc import Callable

from tests.faults.rangeserver import RangeServer, Reply, Seen
from tests.front import Front, Result

LOCAL_API = {"STREAMPIXEL_BASE_URL": "http://127.0.0.1:1/x"}
CANARY = "5ec4e7C4N4RY"
SIGNED = f"builds/Game%201.4.zip?X-Amz-Date=20260921T141320Z&X-Amz-Expires=43200&X-Amz-Signature={CANARY}%2F+x&a=b"
HTML = b"<!DOCTYPE html><html><title>Sign in</title></html>"


def run_check(spcli: Front, host: RangeServer, *options: str, path: str = SIGNED) -> Result:
    """The check of the host's file, after which no signature may show and no HEAD may have been sent."""
    result = spcli("check", host.url(path), "--json", *options, env=LOCAL_API)
    assert CANARY not in result.out + result.err
    assert {seen.method for seen in host.seen} <= {"GET"}
    assert host.sent < 200_000
    return result


def codes(result: Result, *levels: str) -> list[str]:
    return [one["code"] for one in result.json["findings"] if one["level"] in (levels or ("error",))]


def always(status: int, body: bytes = b"", **headers: str) -> Callable[[Seen, int], Reply]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda seen, number: Reply(status, named, body)
