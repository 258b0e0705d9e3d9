"""What `doctor` says of the facts: pure."""

import pytest

from spcli.commands.doctor_checks import (
    Check,
    Diagnosis,
    Mount,
    api_check,
    clock_check,
    diagnosis,
    extras_check,
    failed,
    failure_of,
    filesystem_check,
    issuer_of,
    mount_of,
    mounts_in,
    network_check,
    variables_check,
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
def test_state_folder_on_a_network_or_a_shared_folder_of_a_virtual_machine_is_a_warning(path: str, kind: str, level: str) -> None:
    mount = mount_of(path, mounts_in(MOUNTS))
    assert mount is not None
    assert mount.kind == kind
    check = filesystem_check(path, MOUNTS)
    assert check.level == level
    assert kind in check.message
    assert ("SPCLI_STATE_DIR" in (check.hint or "")) == (level == "warn")


def test_system_without_mountinfo_is_no_reason_to_worry() -> None:
    assert filesystem_check("/x", None).level == "ok"
    assert filesystem_check("/x", "junk").level == "ok"


def test_windows_share_is_a_warning() -> None:
    assert filesystem_check("\\\\server\\share\\spcli", None).level == "warn"


def test_junk_in_mountinfo_is_passed_over() -> None:
    assert mounts_in("a - b\n1 2 3 4 5 - x\n\n1 2 3 / /p rw - ext4 dev rw") == [Mount("/p", "ext4", "dev")]


@pytest.mark.parametrize(
    ("skew", "level", "says"),
    [
        (0.0, "ok", "within"), (-29.0, "ok", "within 30 s"), (31.0, "warn", "31 s ahead of"), (-600.0, "warn", "600 s behind"),
        (None, "warn", "no time"),
    ],
)  # fmt: skip
def test_clock_is_compared_with_the_services(skew: float | None, level: str, says: str) -> None:
    check = clock_check(skew, "linux")
    assert (check.level, says in check.message) == (level, True)


@pytest.mark.parametrize(("platform", "command"), [("linux", "timedatectl"), ("darwin", "sntp"), ("win32", "w32tm")])
def test_wrong_clock_comes_with_the_systems_own_command(platform: str, command: str) -> None:
    assert command in (clock_check(90.0, platform).hint or "")


def test_certificate_is_named_with_issuer_and_end_and_warned_about_before_it() -> None:
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
def test_issuer_shows_who_reads_along(certificate: dict[str, object], name: str) -> None:
    assert issuer_of(certificate) == name


def test_generation_without_build_list_is_a_warning_with_the_way_out() -> None:
    assert api_check("/projects", True).level == "ok"
    assert api_check("/projects", None).level == "ok"
    without = api_check("/projects/projects-status", False)
    assert (without.level, without.hint) == ("warn", "spcli webhooks listen")


def test_variables_of_other_programs_are_pointed_out_unless_ours_are_set() -> None:
    found = variables_check({"REQUESTS_CA_BUNDLE": "/ca.pem"})
    assert found is not None
    assert found.hint == 'export SSL_CERT_FILE="$REQUESTS_CA_BUNDLE"'
    assert variables_check({"REQUESTS_CA_BUNDLE": "/ca.pem", "SSL_CERT_DIR": "/certs"}) is None
    assert variables_check({"CURL_CA_BUNDLE": ""}) is None


def test_missing_extra_is_no_failure_and_says_how_to_get_it() -> None:
    assert extras_check([]) == Check("extras", "ok", "server: installed")
    missing = extras_check(["uvicorn"])
    assert (missing.level, "pip install" in (missing.hint or "")) == ("ok", True)


def test_verdict_is_the_first_failures() -> None:
    fine, doubt = Check("a", "ok", "fine"), Check("b", "warn", "hm")
    assert failure_of(diagnosis([fine, doubt])) is None
    assert diagnosis([fine, doubt]) == Diagnosis((fine, doubt), True)
    first = failed("network", SpcliError("network", "refused"), "check the URL")
    second = failed("state", SpcliError("config", "read-only", hint="mend it"))
    found = diagnosis([fine, first, second])
    error = failure_of(found)
    assert error is not None
    assert (found.ok, error.exit_code, error.message, error.hint) == (
        False,
        60,
        "network: refused (1 more above)",
        "check the URL",
    )
    assert second.hint == "mend it"
