"""The transport over TLS: which certificates it trusts, and what a failed handshake means."""

import shutil
import ssl
import subprocess
import time
from pathlib import Path

import pytest

from spcli.errors import NotSent
from spcli.transport import Call
from tests.faultd import (
    Behaviour,
    FaultServer,
    answer,
    close_after_accept,
    hang_at_accept,
    response,
    rst_before_read,
    tunnel,
)
from tests.faults.calls import BOTH, READ, WRITE, failure_of, send


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and api.example.invalid, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:api.example.invalid"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", names]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


@BOTH
def test_an_untrusted_certificate_is_final_and_nothing_is_sent(call: Call, certificate: tuple[str, str]) -> None:
    with FaultServer(tls=certificate) as server:
        error = failure_of(server.url, call)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "certificate of 127.0.0.1 was not accepted" in error.message
    assert "SSL_CERT_FILE" in (error.hint or "")
    assert server.ledger == []


@BOTH
def test_a_private_authority_in_ssl_cert_file_is_trusted(call: Call, certificate: tuple[str, str]) -> None:
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, call, {"SSL_CERT_FILE": certificate[0]}).data == {"ok": 1}


def test_a_private_authority_in_ssl_cert_dir_is_trusted(certificate: tuple[str, str], tmp_path: Path) -> None:
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", certificate[0]], check=True, capture_output=True, text=True
    )
    shutil.copy(certificate[0], tmp_path / f"{name.stdout.strip()}.0")
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, READ, {"SSL_CERT_DIR": str(tmp_path)}).data == {"ok": 1}


def test_a_certificate_for_another_name_is_final(certificate: tuple[str, str]) -> None:
    with FaultServer(tls=certificate) as server:
        error = failure_of(f"https://localhost:{server.port}", READ, {"SSL_CERT_FILE": certificate[0]})
    assert isinstance(error, NotSent)
    assert not error.transient


def test_tls_works_through_the_tunnel_of_a_proxy(certificate: tuple[str, str]) -> None:
    with FaultServer([answer(201, {"ok": 1})], tls=certificate) as server, FaultServer([tunnel(server.port)]) as proxy:
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        assert send("https://api.example.invalid", WRITE, environ).data == {"ok": 1}
    assert proxy.ledger[0].path == "api.example.invalid:443"
    assert "proxy-authorization" not in server.ledger[0].headers


def test_tls_works_inside_the_tls_of_a_proxy(certificate: tuple[str, str]) -> None:
    large = {"text": "x" * 200_000}
    with (
        FaultServer([answer(200, large), answer(201, {"ok": 1})], tls=certificate) as server,
        FaultServer([tunnel(server.port), tunnel(server.port)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        assert send("https://api.example.invalid", READ, environ).data == large
        assert send("https://api.example.invalid", Call("POST", "/x", body=large), environ).data == {"ok": 1}
    assert server.ledger[1].json == large
    assert [request.path for request in proxy.ledger] == ["api.example.invalid:443"] * 2


@pytest.mark.parametrize("pause", [0.01, 0.05])
def test_a_proxy_that_drips_its_tls_is_abandoned_at_the_deadline(certificate: tuple[str, str], pause: float) -> None:
    with (
        FaultServer([answer(200, {"ok": 1})], tls=certificate, strict=False) as server,
        FaultServer([tunnel(server.port, pause)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        began = time.monotonic()
        error = failure_of("https://api.example.invalid", WRITE, environ, seconds=0.5)
        took = time.monotonic() - began
    assert isinstance(error, NotSent)
    assert error.transient
    assert took < 3


def test_a_trusted_proxy_does_not_make_the_service_trusted(certificate: tuple[str, str]) -> None:
    with (
        FaultServer(tls=certificate, strict=False) as server,
        FaultServer([tunnel(server.port)], tls=certificate) as proxy,
    ):
        environ = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": certificate[0]}
        error = failure_of("https://other.example.invalid", WRITE, environ)
    assert isinstance(error, NotSent)
    assert "certificate of other.example.invalid was not accepted" in error.message


def test_a_plain_http_answer_to_a_tls_handshake_is_final() -> None:
    plain = Behaviour("plain", lambda peer, _request: peer.send(response(400)) and not peer.stop.wait(0.2), at_accept=True)
    with FaultServer([plain]) as server:
        error = failure_of(f"https://127.0.0.1:{server.port}", WRITE)
    assert isinstance(error, NotSent)
    assert not error.transient
    assert "SSL_CERT_FILE" in (error.hint or "")


@pytest.mark.parametrize("shape", [close_after_accept(), rst_before_read(), hang_at_accept()], ids=lambda shape: shape.name)
def test_a_handshake_that_breaks_off_is_transient(shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(f"https://127.0.0.1:{server.port}", WRITE, seconds=0.5)
    assert isinstance(error, NotSent)
    assert error.transient


@pytest.mark.parametrize("content", [None, b"", b"garbage", "folder"])
def test_a_bad_ssl_cert_file_is_a_config_error_with_variable_and_path(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "folder":
        path.mkdir()
    error = failure_of("https://127.0.0.1:1", READ, {"SSL_CERT_FILE": str(path)})
    assert (error.kind, error.exit_code, error.outcome) == ("config", 3, None)
    assert "SSL_CERT_FILE" in error.message
    assert str(path) in error.message


@pytest.mark.parametrize("exists", [True, False])
def test_a_bad_ssl_cert_dir_is_a_config_error_with_variable_and_path(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "certs"
    if exists:
        path.mkdir()
        (path / "ca.pem").write_text("not hashed")
    error = failure_of("https://127.0.0.1:1", READ, {"SSL_CERT_DIR": str(path)})
    assert error.kind == "config"
    assert "SSL_CERT_DIR" in error.message
    assert str(path) in error.message


def test_plain_http_reads_no_certificates() -> None:
    with FaultServer([answer(200, {})]) as server:
        assert send(server.url, READ, {"SSL_CERT_FILE": "/nowhere/ca.pem"}).status == 200


@pytest.mark.parametrize("url", ["", "ftp://h", "https://", "http://h:port", "http://[::1", "http://ho st"])
def test_an_unusable_base_url_is_a_config_error(url: str) -> None:
    assert failure_of(url, READ).kind == "config"


def test_the_systems_store_verifies_by_default() -> None:
    from spcli.transport.tls import tls_context

    context = tls_context({})
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
