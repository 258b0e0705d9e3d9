"""Pure: what `spcli doctor` says of the facts it has gathered. A check is `ok`, `warn` or `fail`, with the line that mends it."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spcli.errors import SpcliError
from spcli.models import Inside

OK, WARN, FAIL = "ok", "warn", "fail"
SKEW = 30.0
EXPIRY = 7 * 86400.0
# Locks and shared memory on these are one machine's at best (docker/for-mac#7004), and a stalled server hangs every command.
_FAR = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "fuse"),
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "fakeowner"),
    }
)
_NEAR_FUSE = frozenset({"fuse.fuse-overlayfs"})
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Check(NamedTuple):
    """One thing looked at. `level` is `ok`, `warn` or `fail`; `hint` is what to type. `kind` names the exit code of a failure."""

    name: str
    level: str
    message: str
    hint: str | None = None
    kind: Inside[str] = "config"


class Diagnosis(NamedTuple):
    """All checks, in order. `ok` is false when one failed."""

    checks: tuple[Check, ...]
    ok: bool


def diagnosis(checks: Sequence[Check]) -> Diagnosis:
    """The verdict over `checks`."""
    return Diagnosis(tuple(checks), all(check.level != FAIL for check in checks))


def failed(name: str, error: SpcliError, hint: str | None = None) -> Check:
    """A check that ended in `error`; `hint` where the error has none."""
    return Check(name, FAIL, error.message, error.hint or hint, error.kind)


def failure_of(found: Diagnosis) -> SpcliError | None:
    """The error the diagnosis ends in: the first failure."""
    failures = [check for check in found.checks if check.level == FAIL]
    if not failures:
        return None
    more = f" ({len(failures) - 1} more above)" if len(failures) > 1 else ""
    return SpcliError(failures[0].kind, f"{failures[0].name}: {failures[0].message}{more}", hint=failures[0].hint)


def network_check(base_url: str, address: str, tls_version: str | None, certificate: Mapping[str, object], now: float) -> Check:
    """The service was reached at `address`, perhaps over TLS."""
    where = f"{base_url} answers from {address}"
    if tls_version is None:
        return Check("network", OK, f"{where}, without TLS (on this machine)")
    import ssl
    from datetime import UTC, datetime

    issuer = issuer_of(certificate)
    expires = certificate.get("notAfter")
    if not isinstance(expires, str):
        return Check("network", OK, f"{where}, {tls_version}")
    end = float(ssl.cert_time_to_seconds(expires))
    until = datetime.fromtimestamp(end, UTC).date().isoformat()
    message = f"{where}, {tls_version}, certificate by {issuer} until {until}"
    if end - now < EXPIRY:
        return Check("network", WARN, message, "the certificate is about to expire: is this machine's clock right?")
    return Check("network", OK, message)


def issuer_of(certificate: Mapping[str, object]) -> str:
    """Who issued a certificate, as `ssl.getpeercert` gives it: its organisation, else its name.

    A proxy that reads along shows here.
    """
    names = certificate.get("issuer")
    pairs = [pair for part in names for pair in part] if isinstance(names, tuple) else []
    found = {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2}
    return str(found.get("organizationName") or found.get("commonName") or "an unnamed issuer")


def clock_check(skew: float | None, platform: str) -> Check:
    """How far this machine's clock is ahead of the service's, in seconds."""
    if skew is None:
        return Check("clock", WARN, "the service tells no time: this machine's clock could not be compared")
    if abs(skew) <= SKEW:
        return Check("clock", OK, f"within {max(2, round(abs(skew)) + 1)} s of the service's")
    direction = "ahead of" if skew > 0 else "behind"
    command = {"win32": "w32tm /resync", "darwin": "sudo sntp -sS time.apple.com"}.get(platform, "sudo timedatectl set-ntp true")
    return Check("clock", WARN, f"{abs(skew):.0f} s {direction} the service's: presigned links may fail", command)


class Mount(NamedTuple):
    """One line of `/proc/self/mountinfo`."""

    point: str
    kind: str
    source: str


def mounts_in(text: str) -> list[Mount]:
    """The mounts of a `mountinfo` (proc(5)), in its order; lines that are none are passed over."""
    found = []
    for line in text.splitlines():
        before, mark, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if mark and len(fields) >= 6 and len(rest) >= 2:
            point, source = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), word) for word in (fields[4], rest[1]))
            found.append(Mount(point, rest[0], source))
    return found


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """The mount that `path` (absolute, without links) lies on: the longest point, the last one where several are stacked."""
    found = None
    for mount in mounts:
        is_under = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if is_under and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def is_far(mount: Mount) -> bool:
    """Whether locks there can't be trusted: a network or a virtual machine's shared folder."""
    kind = mount.kind.lower()
    return kind in _FAR or (kind.startswith("fuse.") and kind not in _NEAR_FUSE)


def filesystem_check(path: str, mountinfo: str | None) -> Check:
    """What the state folder (its real path) lies on; `mountinfo` is `None` where the system has none."""
    if path.startswith(("\\\\", "//")):
        return Check("filesystem", WARN, f"{path} is a network share: windows may not be kept there", _elsewhere())
    mount = mount_of(path, mounts_in(mountinfo or ""))
    if mount is None:
        return Check("filesystem", OK, "this system does not tell what the state folder lies on")
    if is_far(mount):
        what = (
            f"the state folder lies on {mount.kind} ({mount.point}), where locks of several machines or containers may not meet"
        )
        return Check("filesystem", WARN, what, _elsewhere())
    return Check("filesystem", OK, f"{mount.kind} ({mount.point})")


def _elsewhere() -> str:
    return "export SPCLI_STATE_DIR=/a/folder/on/a/local/disk"


def api_check(path: str, has_builds: bool | None) -> Check:
    """Which generation of the service answers: the path of its project list, and whether a project tells its builds."""
    if has_builds is None:
        return Check("api", OK, f"GET {path} answers; no project was asked for its builds")
    if has_builds:
        return Check("api", OK, f"GET {path} answers, and projects tell their builds")
    message = f"GET {path} answers, but projects do not tell their builds: `builds wait` lives on received events"
    return Check("api", WARN, message, "spcli webhooks listen")


def variables_check(environ: Mapping[str, str]) -> Check | None:
    """Variables other programs read for CA certificates, which this one does not."""
    ignored = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS") if environ.get(name)]
    if not ignored or environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return None
    return Check("ca", WARN, f"{ignored[0]} is set, but not read here", f'export SSL_CERT_FILE="${ignored[0]}"')


def extras_check(missing: Sequence[str]) -> Check:
    """Whether the parts of the extra `server` are there."""
    if not missing:
        return Check("extras", OK, "server: installed")
    message = f"server: not installed ({', '.join(missing)}); only `webhooks listen` needs it"
    return Check("extras", OK, message, "pip install '.[server]'  (in a checkout)")
