"""The verdicts of `spcli doctor` on the facts it gathered, as pure functions. A check is `ok`, `warn` or `fail`."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from spcli.errors import SpcliError
from spcli.models import Inside

if TYPE_CHECKING:
    from spcli.settings.credentials import KeyShape

OK, WARN, FAIL = "ok", "warn", "fail"
SKEW = 30.0
EXPIRY = 7 * 86400.0
# Their locks and shared memory work on one machine at best (docker/for-mac#7004), and a stalled server hangs every command.
_FAR = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "fuse"),
        *("9p", "virtiofs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "fakeowner"),
    }
)
_NEAR_FUSE = frozenset({"fuse.fuse-overlayfs"})
_LOCAL_DISK_HINT = "set SPCLI_STATE_DIR to a folder on a local disk"
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Check(NamedTuple):
    """One check. `level` is `ok`, `warn` or `fail`; `hint` is a fix. `kind` names the exit code of a failure."""

    name: str
    level: str
    message: str
    hint: str | None = None
    kind: Inside[str] = "config"


class Diagnosis(NamedTuple):
    """All checks, in order. `ok` is false if one failed."""

    checks: tuple[Check, ...]
    ok: bool


def diagnose(checks: Sequence[Check]) -> Diagnosis:
    """Return the diagnosis of `checks`."""
    return Diagnosis(tuple(checks), all(check.level != FAIL for check in checks))


def failed_check(name: str, error: SpcliError, hint: str | None = None) -> Check:
    """Return a check that failed with `error`; `hint` is used if the error has none."""
    return Check(name, FAIL, error.message, error.hint or hint, error.kind)


def first_failure(diagnosis: Diagnosis) -> SpcliError | None:
    """Return the error of the first failed check, None if none failed."""
    failures = [check for check in diagnosis.checks if check.level == FAIL]
    if not failures:
        return None
    more = f" ({len(failures) - 1} more above)" if len(failures) > 1 else ""
    return SpcliError(failures[0].kind, f"{failures[0].name}: {failures[0].message}{more}", hint=failures[0].hint)


def network_check(base_url: str, address: str, tls_version: str | None, certificate: Mapping[str, object], now: float) -> Check:
    """Return the check of a service that answered from `address`, perhaps over TLS."""
    where = f"{base_url} answers from {address}"
    if tls_version is None:
        return Check("network", OK, f"{where}, without TLS (on this machine)")
    import ssl

    issuer = issuer_of(certificate)
    expires = certificate.get("notAfter")
    if not isinstance(expires, str):
        return Check("network", OK, f"{where}, {tls_version}")
    end = float(ssl.cert_time_to_seconds(expires))
    until = datetime.fromtimestamp(end, UTC).date().isoformat()
    message = f"{where}, {tls_version}, certificate by {issuer} until {until}"
    if end - now < EXPIRY:
        return Check("network", WARN, message, "check this machine's clock: the certificate is about to expire")
    return Check("network", OK, message)


def issuer_of(certificate: Mapping[str, object]) -> str:
    """Return the issuer of a certificate from `ssl.getpeercert`: its organisation, else its name.

    It reveals a proxy that decrypts the traffic.
    """
    names = certificate.get("issuer")
    pairs = [pair for part in names for pair in part] if isinstance(names, tuple) else []
    fields = {pair[0]: pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2}
    return str(fields.get("organizationName") or fields.get("commonName") or "an unnamed issuer")


def clock_check(skew: float | None, platform: str) -> Check:
    """Return the check of this machine's clock, which is `skew` seconds ahead of the service's."""
    if skew is None:
        return Check("clock", WARN, "the service sent no time to compare this machine's clock with")
    if abs(skew) <= SKEW:
        return Check("clock", OK, f"within {max(2, round(abs(skew)) + 1)}s of the service's")
    direction = "ahead of" if skew > 0 else "behind"
    command = {"win32": "w32tm /resync", "darwin": "sudo sntp -sS time.apple.com"}.get(platform, "sudo timedatectl set-ntp true")
    return Check("clock", WARN, f"{abs(skew):.0f}s {direction} the service's; presigned URLs may fail", f"run {command}")


class Mount(NamedTuple):
    """One line of `/proc/self/mountinfo`."""

    point: str
    kind: str
    source: str


def mounts_in(text: str) -> list[Mount]:
    """Return the mounts of a `mountinfo` (proc(5)), in its order; other lines are ignored."""
    mounts = []
    for line in text.splitlines():
        before, mark, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if mark and len(fields) >= 6 and len(rest) >= 2:
            point, source = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), word) for word in (fields[4], rest[1]))
            mounts.append(Mount(point, rest[0], source))
    return mounts


def mount_of(path: str, mounts: Sequence[Mount]) -> Mount | None:
    """Return the mount of `path` (absolute, without links): the longest point, the last one if several are stacked."""
    deepest = None
    for mount in mounts:
        is_under = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if is_under and (deepest is None or len(mount.point) >= len(deepest.point)):
            deepest = mount
    return deepest


def is_far(mount: Mount) -> bool:
    """Return whether locks do not work reliably there: a network or a virtual machine's shared folder."""
    kind = mount.kind.lower()
    return kind in _FAR or (kind.startswith("fuse.") and kind not in _NEAR_FUSE)


def is_network_share(path: str) -> bool:
    r"""Return whether a Windows path is on another machine; `\\?\C:\…` and `\\.\…` are local."""
    plain = path.replace("/", "\\")
    if plain.startswith(("\\\\?\\", "\\\\.\\")):
        return plain[4:].upper().startswith("UNC\\")
    return plain.startswith("\\\\")


def filesystem_check(path: str, mountinfo: str | None) -> Check:
    """Return the check of the state folder's file system; `mountinfo` is None if the system has none."""
    if is_network_share(path):
        return Check("filesystem", WARN, f"{path} is a network share, where locks may not work", _LOCAL_DISK_HINT)
    mount = mount_of(path, mounts_in(mountinfo or ""))
    if mount is None:
        return Check("filesystem", OK, "unknown on this system")
    if is_far(mount):
        what = f"the state folder is on {mount.kind} ({mount.point}), where locks may not work between machines or containers"
        return Check("filesystem", WARN, what, _LOCAL_DISK_HINT)
    return Check("filesystem", OK, f"{mount.kind} ({mount.point})")


def api_check(path: str, has_builds: bool | None) -> Check:
    """Return the check of the API generation: the path of the project list, and whether projects have build lists."""
    if has_builds is None:
        return Check("api", OK, f"GET {path} works; there is no project to read builds from")
    if has_builds:
        return Check("api", OK, f"GET {path} works, build list available")
    message = f"GET {path} works, but the service has no build list: `builds wait` relies on webhook events received here"
    return Check("api", WARN, message, "run spcli webhooks listen while a build is processed; spcli help ci has a job for it")


def credentials_check(user: str, key_source: str, shape: "KeyShape | None") -> Check:
    """Return the check of credentials that are set; `user` names the user ID and its source."""
    message = f"{user}, API key set ({key_source})"
    if shape is None:
        return Check("credentials", OK, message)
    return Check("credentials", WARN, f"{message}, but the key {shape.problem}", shape.fix)


def proxy_check(label: str | None, notes: Sequence[str]) -> Check:
    """Return the check of the proxy, named by `label`; `notes` are entries of `NO_PROXY` that are ignored."""
    message = f"through {label}" if label else "none for this service"
    if not notes:
        return Check("proxy", OK, message)
    return Check("proxy", WARN, "; ".join([message, *notes]), "separate hosts, addresses and networks by commas in NO_PROXY")


def ca_check(roots: int, source: str, notes: Sequence[str], environ: Mapping[str, str]) -> Check:
    """Return the check of the trusted roots: how many, from which file or folder, and what is ignored."""
    message = f"{roots} root certificate{'' if roots == 1 else 's'} from {source}"
    if notes:
        return Check("ca", WARN, "; ".join([message, *notes]), "unset SSLKEYLOGFILE, or set it to a file that you can write")
    ignored = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS") if environ.get(name)]
    if not ignored or environ.get("SSL_CERT_FILE") or environ.get("SSL_CERT_DIR"):
        return Check("ca", OK, message)
    hint = f"to use it, set SSL_CERT_FILE to the value of {ignored[0]}"
    return Check("ca", WARN, f"{message}; spcli does not read {ignored[0]}", hint)


def extras_check(missing: Sequence[str]) -> Check:
    """Return the check of the extra `server`."""
    if not missing:
        return Check("extras", OK, "server: installed")
    message = f"server: not installed ({', '.join(missing)}); only `webhooks listen` needs it"
    return Check("extras", OK, message, "in a checkout, run pip install '.[server]'")
