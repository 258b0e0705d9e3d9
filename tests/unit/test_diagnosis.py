"""The verdicts of `spcli doctor`, as pure functions."""

import pytest

from spcli.commands.doctor_checks import (
    Check,
    Diagnosis,
    Mount,
    api_check,
    ca_check,
    clock_check,
    diagnose,
    extras_check,
    failed_check,
    filesystem_check,
    first_failure,
    issuer_of,
    mount_of,
    mounts_in,
    network_check,
    proxy_check,
)
from spcli.errors import SpcliError

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home/ada rw - nfs4 server:/home rw,vers=4.2
31 22 0:41 / /mnt/two\\040words rw - fuse.sshfs ada@host:/ rw
32 22 0:42 / /mnt/host rw - fakeowner /run/host_mark/Users rw
33 22 0:43 / /mnt/c rw - 9p drvfs rw
34 22 0:44 / /rootless rw - fuse.fuse-overlayfs fuse-overlayfs rw
35 22 0:45 / /vm rw master:7 propagate_from:2 - virtiofs share rw
36 30 0:46 / /home/ada/scratch rw - xfs /dev/sdb rw
37 36 0:47 / /home/ada/scratch rw - cifs //server/share rw
no mount at all
"""
ISSUER = ((("countryName", "US"),), (("organizationName", "Let's Encrypt"),), (("commonName", "R3"),))


@pytest.mark.parametrize(
    ("path", "kind", "level"),
    [
        ("/var/state", "ext4", "ok"),
        ("/", "ext4", "ok"),
        ("/home/ada", "nfs4", "warn"),
        ("/home/ada/.local/state/spcli", "nfs4", "warn"),
        ("/home/adam", "ext4", "ok"),
        ("/mnt/two words/x", "fuse.sshfs", "warn"),
        ("/mnt/host/state", "fakeowner", "warn"),
        ("/mnt/c/Users", "9p", "warn"),
        ("/rootless/x", "fuse.fuse-overlayfs", "ok"),
        ("/vm/x", "virtiofs", "warn"),
        ("/home/ada/scratch/x", "cifs", "warn"),
    ],
)
def test_a_state_folder_on_a_network_or_shared_with_a_virtual_machine_is_a_warning(path: str, kind: str, level: str) -> None:
    mount = mount_of(path, mounts_in(MOUNTS))
    assert mount is not None
    assert mount.kind == kind
    check = filesystem_check(path, MOUNTS)
    assert check.level == level
    assert kind in check.message
    assert ("SPCLI_STATE_DIR" in (check.hint or "")) == (level == "warn")


def test_a_system_without_mountinfo_is_ok() -> None:
    assert filesystem_check("/x", None).level == "ok"
    assert filesystem_check("/x", "junk").level == "ok"


@pytest.mark.parametrize(
    ("path", "level"),
    [
        (r"\\server\share\spcli", "warn"),
        ("//server/share/spcli", "warn"),
        (r"\\?\UNC\server\share\spcli", "warn"),
        (r"\\?\C:\Users\ada\spcli", "ok"),
        (r"\\.\C:\spcli", "ok"),
        (r"C:\Users\ada\spcli", "ok"),
    ],
)
def test_a_windows_share_is_a_warning(path: str, level: str) -> None:
    assert filesystem_check(path, None).level == level


def test_junk_in_mountinfo_is_ignored() -> None:
    assert mounts_in("a - b\n1 2 3 4 5 - x\n\n1 2 3 / /p rw - ext4 dev rw") == [Mount("/p", "ext4", "dev")]


@pytest.mark.parametrize(
    ("skew", "level", "says"),
    [
        (0.0, "ok", "within"), (-29.0, "ok", "within 30s"), (31.0, "warn", "31s ahead of"), (-600.0, "warn", "600s behind"),
        (None, "warn", "no time"),
    ],
)  # fmt: skip
def test_clock_is_compared_with_the_services(skew: float | None, level: str, says: str) -> None:
    check = clock_check(skew, "linux")
    assert (check.level, says in check.message) == (level, True)


@pytest.mark.parametrize(("platform", "command"), [("linux", "timedatectl"), ("darwin", "sntp"), ("win32", "w32tm")])
def test_a_wrong_clock_has_the_command_of_its_system_as_a_hint(platform: str, command: str) -> None:
    assert command in (clock_check(90.0, platform).hint or "")


def test_a_certificate_is_shown_with_issuer_and_expiry_and_warned_about() -> None:
    certificate = {"issuer": ISSUER, "notAfter": "Jun  1 12:00:00 2027 GMT"}
    june = 1_811_851_200.0
    fine = network_check("https://x", "192.0.2.1", "TLSv1.3", certificate, june - 30 * 86400)
    assert fine.level == "ok"
    assert fine.message == "https://x answers from 192.0.2.1, TLSv1.3, certificate by Let's Encrypt until 2027-06-01"
    assert network_check("https://x", "192.0.2.1", "TLSv1.3", certificate, june - 86400).level == "warn"
    assert network_check("https://x", "192.0.2.1", "TLSv1.3", {}, june).level == "ok"
    assert "without TLS" in network_check("http://x", "127.0.0.1", None, {}, june).message


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({"issuer": ISSUER}, "Let's Encrypt"), ({"issuer": ((("commonName", "Zscaler"),),)}, "Zscaler"),
        ({}, "an unnamed issuer"), ({"issuer": "x"}, "an unnamed issuer"),
    ],
)  # fmt: skip
def test_the_issuer_reveals_a_proxy_that_decrypts_the_traffic(certificate: dict[str, object], name: str) -> None:
    assert issuer_of(certificate) == name


def test_a_service_without_a_build_list_is_a_warning_with_a_hint() -> None:
    assert api_check("/projects", True).level == "ok"
    assert api_check("/projects", None).level == "ok"
    without = api_check("/projects/projects-status", False)
    assert (without.level, without.hint) == (
        "warn",
        "run spcli webhooks listen while a build is processed; spcli help ci has a job for it",
    )


def test_roots_are_counted_with_their_source() -> None:
    assert ca_check(137, "/etc/ssl/cert.pem", [], {}) == Check("ca", "ok", "137 root certificates from /etc/ssl/cert.pem")


def test_ca_variables_of_other_programs_are_a_warning_unless_ours_are_set() -> None:
    check = ca_check(9, "x", [], {"REQUESTS_CA_BUNDLE": "/ca.pem"})
    assert (check.level, check.hint) == ("warn", "to use it, set SSL_CERT_FILE to the value of REQUESTS_CA_BUNDLE")
    assert ca_check(9, "x", [], {"REQUESTS_CA_BUNDLE": "/ca.pem", "SSL_CERT_DIR": "/certs"}).level == "ok"
    assert ca_check(9, "x", [], {"CURL_CA_BUNDLE": ""}).level == "ok"


def test_ignored_settings_are_warnings() -> None:
    assert ca_check(9, "x", ["ignoring SSLKEYLOGFILE (/x): no"], {}).level == "warn"
    assert proxy_check(None, []) == Check("proxy", "ok", "none for this service")
    ignored = proxy_check("the proxy p:1 (HTTPS_PROXY)", ["ignoring 'x:y' in NO_PROXY: bad"])
    assert (ignored.level, ignored.message) == ("warn", "through the proxy p:1 (HTTPS_PROXY); ignoring 'x:y' in NO_PROXY: bad")


def test_a_missing_extra_is_ok_with_an_install_hint() -> None:
    assert extras_check([]) == Check("extras", "ok", "server: installed")
    missing = extras_check(["uvicorn"])
    assert (missing.level, "pip install" in (missing.hint or "")) == ("ok", True)


def test_the_diagnosis_ends_with_the_first_failure() -> None:
    fine, doubt = Check("a", "ok", "fine"), Check("b", "warn", "hm")
    assert first_failure(diagnose([fine, doubt])) is None
    assert diagnose([fine, doubt]) == Diagnosis((fine, doubt), True)
    first = failed_check("network", SpcliError("network", "refused"), "check the URL")
    second = failed_check("state", SpcliError("config", "read-only", hint="fix it"))
    found = diagnose([fine, first, second])
    error = first_failure(found)
    assert error is not None
    assert (found.ok, error.exit_code, error.message, error.hint) == (
        False,
        60,
        "network: refused (1 more above)",
        "check the URL",
    )
    assert second.hint == "fix it"
