"""`spcli doctor`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spcli.clock import Clock
from spcli.sandbox.seeds import MAIN
from spcli.sandbox.server import Sandbox
from spcli.sandbox.world import World
from tests.certificates import make_certificate
from tests.faultd import FaultServer, answer, hang
from tests.front import FakeClock, Front, Result
from tests.platforms import LINKS

ALL = [
    "version", "config", "credentials", "base-url", "proxy", "ca", "network", "clock", "access", "api", "state", "filesystem",
    "extras",
]  # fmt: skip


def levels(result: Result) -> dict[str, str]:
    return {check["name"]: check["level"] for check in result.json["checks"]}


def check_of(result: Result, name: str) -> Any:
    return next(check for check in result.json["checks"] if check["name"] == name)


def use_dead_url(spcli: Front) -> None:
    """Set a base URL on this machine where no server listens."""
    with FaultServer() as server:
        spcli.environ["STREAMPIXEL_BASE_URL"] = server.url


def test_a_good_setup_exits_0_with_a_line_for_each_check(spcli: Front, service: Any) -> None:
    service()
    found = spcli("doctor", "--json")
    assert found.code == 0, found
    assert list(found.json) == ["checks", "ok"]
    assert [list(check) for check in found.json["checks"]] == [["name", "level", "message", "hint"]] * len(ALL)
    assert [check["name"] for check in found.json["checks"]] == ALL
    assert found.json["ok"] is True
    # The file system of a test's state folder depends on the machine.
    assert {level for name, level in levels(found).items() if name != "filesystem"} == {"ok"}
    lines = spcli("doctor").out.splitlines()
    assert sum(line.startswith(("ok ", "warn ")) for line in lines) == len(ALL)


def test_an_empty_setup_fails_with_the_command_to_run(spcli: Front) -> None:
    use_dead_url(spcli)
    found = spcli("doctor", "--json")
    assert (found.code, found.error["kind"], found.json["ok"]) == (3, "config", False)
    assert "spcli auth login" in check_of(found, "credentials")["hint"]
    assert levels(found)["network"] == "fail"
    assert levels(found)["state"] == "ok"
    assert "access" not in levels(found)


def test_the_network_is_checked_without_credentials(spcli: Front) -> None:
    with FaultServer([answer(401, {"message": "Unauthorized"}, {"Date": "Mon, 21 Sep 2026 14:13:20 GMT"})]) as server:
        spcli.environ["STREAMPIXEL_BASE_URL"] = server.url
        found = spcli("doctor", "--json")
        assert server.ledger[0].query == ()
    assert found.code == 3
    assert (levels(found)["network"], levels(found)["clock"]) == ("ok", "ok")


def test_checks_are_printed_on_stdout_and_the_error_on_stderr(spcli: Front) -> None:
    use_dead_url(spcli)
    found = spcli("doctor")
    assert "fail  credentials" in found.out
    assert found.err.startswith("credentials: no user ID and no API key")


def test_a_wrong_key_is_the_services_401_with_the_command_to_run(spcli: Front, service: Any) -> None:
    service()
    found = spcli("doctor", "--json", env={"STREAMPIXEL_API_KEY": "sandbox-wrong-key"})
    assert (found.code, found.error["kind"]) == (41, "http-401")
    assert "spcli auth login" in check_of(found, "access")["hint"]
    assert "sandbox-wrong-key" not in found.out + found.err


def test_the_sources_of_the_credentials_are_shown_without_the_key(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    path = tmp_path / "key"
    path.write_text(MAIN.api_key)
    found = spcli("doctor", "--json", env={"STREAMPIXEL_API_KEY": "", "STREAMPIXEL_API_KEY_FILE": str(path)})
    assert "environment STREAMPIXEL_API_KEY_FILE" in check_of(found, "credentials")["message"]
    path.unlink()
    both = spcli("doctor", "--json", env={"STREAMPIXEL_API_KEY_FILE": str(path)})
    assert (both.code, levels(both)["credentials"]) == (2, "fail")


def test_a_broken_config_file_is_the_first_failure_without_its_content(spcli: Front, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(f"[profiles.default]\napi_key = {MAIN.api_key}\n")
    found = spcli("doctor", "--json")
    assert (found.code, levels(found)) == (3, {"version": "ok", "config": "fail", "extras": "ok"})


@pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing there")
def test_a_key_in_a_file_that_others_can_read_fails_with_a_chmod_hint(spcli: Front, tmp_path: Path) -> None:
    use_dead_url(spcli)
    path = tmp_path / "config.toml"
    path.write_text(f'[profiles.default]\napi_key = "{MAIN.api_key}"\nuser_id = "u"\n')
    path.chmod(0o644)
    found = spcli("doctor", "--json")
    assert found.code == 3
    assert "chmod" in check_of(found, "config")["hint"]


def test_an_unknown_profile_fails_the_config_check(spcli: Front) -> None:
    found = spcli("doctor", "--profile", "studio", "--json")
    assert (found.code, levels(found)["config"]) == (3, "fail")


def test_a_key_of_another_service_is_refused_and_not_sent(spcli: Front, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[profiles.default]\napi_key = "{MAIN.api_key}"\nuser_id = "u"\n')
    path.chmod(0o600)
    with FaultServer([answer(401, {"message": "Unauthorized"})]) as server:
        spcli.environ["STREAMPIXEL_BASE_URL"] = server.url
        found = spcli("doctor", "--json")
        assert [request.query for request in server.ledger] == [()]
    assert (found.code, levels(found)["credentials"]) == (3, "fail")
    assert "belongs to" in check_of(found, "credentials")["message"]


@pytest.mark.parametrize("url", ["http://api.example.com", "not a url"])
def test_an_invalid_base_url_fails_its_check(spcli: Front, url: str) -> None:
    found = spcli("doctor", "--json", env={"STREAMPIXEL_BASE_URL": url})
    assert found.code == 3
    assert levels(found)["base-url"] == "fail"
    assert "network" not in levels(found)


def test_an_unreachable_service_is_60_with_a_hint(spcli: Front, service: Any) -> None:
    service().stop()
    found = spcli("doctor", "--json")
    assert (found.code, levels(found)["network"]) == (60, "fail")
    assert "base_url" in check_of(found, "network")["hint"]
    assert levels(found)["state"] == "ok"


def test_a_hanging_service_fails_the_network_check(spcli: Front) -> None:
    with FaultServer([hang()]) as server:
        spcli.environ["STREAMPIXEL_BASE_URL"] = server.url
        spcli.clock = Clock()
        found = spcli("doctor", "--timeout", "0.3s", "--json", env={"STREAMPIXEL_API_KEY": "k" * 20, "STREAMPIXEL_USER_ID": "u"})
    assert levels(found)["network"] == "fail"
    assert "access" not in levels(found)


def test_a_wrong_clock_is_a_warning_and_exit_0(spcli: Front) -> None:
    clock = FakeClock()
    with Sandbox(World(), now=lambda: clock.wall() - 600) as server:
        spcli.use(server.base_url)
        found = spcli("doctor", "--json")
    assert (found.code, found.json["ok"]) == (0, True)
    assert levels(found)["clock"] == "warn"
    assert "600s ahead" in check_of(found, "clock")["message"]


def test_a_service_without_a_build_list_is_a_warning(spcli: Front, service: Any) -> None:
    service(generation="status")
    found = spcli("doctor", "--json")
    assert (found.code, levels(found)["api"]) == (0, "warn")
    assert (
        check_of(found, "api")["hint"] == "run spcli webhooks listen while a build is processed; spcli help ci has a job for it"
    )


@pytest.mark.parametrize("project", [None, "showroom", MAIN.projects[0].id.upper()])
def test_a_project_name_or_the_first_project_is_used_to_find_the_generation(
    spcli: Front, service: Any, project: str | None
) -> None:
    service(project=project)
    assert levels(spcli("doctor", "--json"))["api"] == "ok"


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("SPCLI_ON_LIMIT", "perhaps", "config"),
        ("SPCLI_WINDOW", "abc", "base-url"),
        ("STREAMPIXEL_PROJECT_ID", "nosuch", "project"),
    ],
)
def test_a_setting_that_fails_every_upload_fails_with_the_same_code(
    spcli: Front, service: Any, variable: str, value: str, name: str
) -> None:
    service()
    found = spcli("doctor", "--json", env={variable: value})
    assert levels(found)[name] == "fail"
    assert found.code == spcli("upload", "https://builds.example.com/Game.zip", env={variable: value}).code


def test_a_project_that_cannot_be_read_is_a_warning(spcli: Front, service: Any) -> None:
    service(faults=("project:403x*",))
    found = spcli("doctor", "--json")
    assert (found.code, levels(found)["api"]) == (0, "warn")


def test_a_bad_proxy_is_shown_without_its_password(spcli: Front) -> None:
    environ = {"STREAMPIXEL_BASE_URL": "https://api.example.invalid", "HTTPS_PROXY": "socks5://ada:s3cretpw@proxy:1080"}
    found = spcli("doctor", "--json", env=environ)
    assert levels(found)["proxy"] == "fail"
    assert "HTTPS_PROXY" in check_of(found, "proxy")["message"]
    assert "s3cretpw" not in found.out + found.err
    assert "network" not in levels(found)


def test_the_proxy_in_use_is_shown_without_its_password(spcli: Front) -> None:
    with FaultServer([answer(502)]) as proxy:
        url = proxy.url.replace("//", "//ada:s3cretpw@")
        environ = {"STREAMPIXEL_BASE_URL": "https://api.example.invalid", "HTTPS_PROXY": url}
        found = spcli("doctor", "--json", env=environ)
    assert f"the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY)" in check_of(found, "proxy")["message"]
    assert levels(found)["network"] == "fail"
    assert "s3cretpw" not in found.out + found.err


def test_an_unusable_certificate_file_fails_with_its_variable(spcli: Front) -> None:
    environ = {"STREAMPIXEL_BASE_URL": "https://api.example.invalid", "SSL_CERT_FILE": "/nowhere/ca.pem"}
    found = spcli("doctor", "--json", env=environ)
    assert levels(found)["ca"] == "fail"
    assert "SSL_CERT_FILE" in check_of(found, "ca")["message"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_tls_version_and_issuer_are_shown(spcli: Front, certificate: tuple[str, str]) -> None:
    with FaultServer([answer(401, {"message": "Unauthorized"})], tls=certificate) as server:
        spcli.clock = Clock()
        found = spcli("doctor", "--json", env={"STREAMPIXEL_BASE_URL": server.url, "SSL_CERT_FILE": certificate[0]})
    network = check_of(found, "network")
    assert check_of(found, "ca")["message"] == f"1 root certificate from {certificate[0]} (SSL_CERT_FILE)"
    assert network["level"] == "ok", network
    assert "TLSv1." in network["message"]
    assert "Test Authority" in network["message"]
    assert levels(found)["clock"] == "warn"  # the server sends no date


def test_an_untrusted_certificate_fails_with_the_variable(spcli: Front, certificate: tuple[str, str]) -> None:
    with FaultServer(tls=certificate) as server:
        found = spcli("doctor", "--json", env={"STREAMPIXEL_BASE_URL": server.url})
    assert levels(found)["network"] == "fail"
    assert "SSL_CERT_FILE" in check_of(found, "network")["hint"]


def test_a_certificate_that_has_expired_names_this_machines_clock(spcli: Front, tmp_path: Path) -> None:
    expired = make_certificate(tmp_path, start="20200101000000Z", end="20210101000000Z")
    with FaultServer(tls=expired) as server:
        found = spcli("doctor", "--json", env={"STREAMPIXEL_BASE_URL": server.url, "SSL_CERT_FILE": expired[0]})
    assert levels(found)["network"] == "fail"
    assert "this machine's clock shows 2026-09-21" in check_of(found, "network")["hint"]


def test_an_unusable_key_log_is_a_warning_and_every_check_is_printed(spcli: Front, certificate: tuple[str, str]) -> None:
    environ = {"SSL_CERT_FILE": certificate[0], "SSLKEYLOGFILE": "/nowhere/keys.log"}
    with FaultServer([answer(401, {"message": "Unauthorized"})], tls=certificate) as server:
        found = spcli("doctor", "--json", env={"STREAMPIXEL_BASE_URL": server.url, **environ})
    assert (levels(found)["ca"], levels(found)["network"], levels(found)["state"]) == ("warn", "ok", "ok")
    assert "SSLKEYLOGFILE (/nowhere/keys.log)" in check_of(found, "ca")["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="the provider's path is POSIX")
@pytest.mark.parametrize("words", [["doctor"], ["projects", "list"]])
def test_an_openssl_that_does_not_work_is_exit_3_with_its_variable(tmp_path: Path, words: list[str]) -> None:
    config = tmp_path / "openssl.cnf"
    config.write_text(
        "openssl_conf = start\n[start]\nproviders = all\n[all]\nbroken = one\n[one]\nactivate = 1\nmodule = /nowhere.so\n"
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OPENSSL_CONF": str(config)}
    environ |= {"STREAMPIXEL_API_KEY": "k" * 20, "STREAMPIXEL_USER_ID": "u"}
    ran = subprocess.run(
        [sys.executable, "-m", "spcli", *words, "--json"], env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 3, ran
    assert f"OPENSSL_CONF ({config})" in ran.stderr
    if words == ["doctor"]:
        levels = {check["name"]: check["level"] for check in json.loads(ran.stdout)["checks"]}
        assert (levels["ca"], levels["state"]) == ("fail", "ok")


def test_an_unreadable_no_proxy_entry_is_a_warning_and_a_note(spcli: Front, service: Any) -> None:
    service()
    environ = {"HTTPS_PROXY": "http://proxy.invalid:3128", "NO_PROXY": "10.0.0.0/99, *.corp"}
    found = spcli("doctor", "--json", env=environ)
    assert (found.code, levels(found)["proxy"]) == (0, "warn")
    assert "'10.0.0.0/99' in NO_PROXY" in check_of(found, "proxy")["message"]


@LINKS
def test_a_state_folder_that_is_a_link_fails(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "elsewhere")
    found = spcli("doctor", "--json")
    assert (found.code, levels(found)["state"]) == (3, "fail")
    assert "SPCLI_STATE_DIR" in check_of(found, "state")["hint"]


def test_state_in_the_temp_dir_is_a_warning(spcli: Front, service: Any, tmp_path: Path) -> None:
    service()
    (tmp_path / "file").write_text("")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    found = spcli(
        "doctor",
        "--json",
        env={"SPCLI_STATE_DIR": str(tmp_path / "file" / "state"), "TMPDIR": str(temporary), "USERPROFILE": str(tmp_path)},
    )
    assert found.code == 0, found
    assert levels(found)["state"] == "warn"


def test_doctor_uses_no_rate_limit(spcli: Front, service: Any) -> None:
    service()
    spcli("doctor")
    assert [limit["secondsLeft"] for limit in spcli("limits", "--json").json] == [0, 0]
    assert os.path.exists(spcli.home / "state" / "state.db")
