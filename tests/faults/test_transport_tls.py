"""The transport over TLS: which certificates it trusts, and what a failed handshake means."""

import os
import ssl
import sys
import time
from pathlib import Path

import pytest

from spcli.clock import Clock
from spcli.errors import NotSent, SpcliError
from spcli.transport import Call, Transport
from spcli.transport.connection import Exchange, HttpConnection, build_request
from spcli.transport.proxies import Route
from spcli.transport.request import parse_origin
from spcli.transport.response import Answer
from spcli.transport.tls import RootStore, Trust, load_trust
from tests.certificates import hashed_folder, make_certificate
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
from tests.faults.calls import BOTH, READ, SHORT, WRITE, failure_of, send
from tests.platforms import posix


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and api.example.invalid, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


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
    environ = {"SSL_CERT_DIR": hashed_folder(tmp_path / "certs", certificate[0])}
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, READ, environ).data == {"ok": 1}


def test_both_ca_variables_count_together(certificate: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = make_certificate(tmp_path / "other", name="other")[0]
    environ = {"SSL_CERT_FILE": other, "SSL_CERT_DIR": hashed_folder(tmp_path / "certs", certificate[0])}
    assert load_trust(environ).count_roots() == 2
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        assert send(server.url, READ, environ).data == {"ok": 1}


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
        error = failure_of("https://api.example.invalid", WRITE, environ, seconds=SHORT)
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
    assert "does not speak TLS" in error.message


@pytest.mark.parametrize("shape", [close_after_accept(), rst_before_read(), hang_at_accept()], ids=lambda shape: shape.name)
def test_a_handshake_that_breaks_off_is_transient(shape: Behaviour) -> None:
    with FaultServer([shape]) as server:
        error = failure_of(f"https://127.0.0.1:{server.port}", WRITE, seconds=SHORT)
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
    trust = load_trust({})
    assert trust.context.verify_mode == ssl.CERT_REQUIRED
    assert trust.context.check_hostname
    assert trust.count_roots() > 20


def connect(server: FaultServer, trust: Trust) -> Answer | SpcliError:
    """Make one GET with `trust`."""
    clock, origin = Clock(), parse_origin(server.url)
    connection = HttpConnection(Route(None, trust, ()))
    try:
        exchange = Exchange(origin.host_port, clock=clock, deadline=clock.mono() + 10)
        return connection.fetch(build_request(READ, origin, fresh=True), exchange)
    finally:
        connection.close()


@posix("Windows has a store of its own")
@pytest.mark.parametrize("layout", ["bundle", "folder", "bundle beside a folder", "broken bundle first"])
def test_a_private_authority_in_the_systems_store_is_trusted(certificate: tuple[str, str], tmp_path: Path, layout: str) -> None:
    broken, other = tmp_path / "broken.pem", tmp_path / "other"
    broken.write_text("no certificate")
    other.mkdir()
    bundle, folder = certificate[0], hashed_folder(tmp_path / "certs", certificate[0])
    (tmp_path / "public").mkdir()
    public = hashed_folder(tmp_path / "hashed", make_certificate(tmp_path / "public")[0])
    store, source = {
        "bundle": (RootStore((str(other),), (bundle,)), bundle),
        "folder": (RootStore((str(other), folder), ()), folder),
        "bundle beside a folder": (RootStore((public,), (bundle,)), f"{public}, and {bundle} if they are not enough"),
        "broken bundle first": (RootStore(("/nowhere",), (str(broken), bundle)), bundle),
    }[layout]
    trust = load_trust({}, store)
    assert (trust.source, trust.count_roots()) == (source, 1)
    with FaultServer([answer(200, {"ok": 1})], tls=certificate, strict=False) as server:
        reply = connect(server, trust)
    assert isinstance(reply, Answer)


def test_certifi_is_used_without_a_store_of_the_system_and_beside_that_of_windows() -> None:
    trust = load_trust({}, RootStore((), ("/nowhere/ca.pem",)))
    assert trust.source.endswith("certifi" if sys.platform == "win32" else "(certifi)")
    assert trust.count_roots() > 100


@pytest.mark.parametrize("value", ["/nowhere/keys.log", "folder"])
def test_an_unusable_key_log_is_a_note_and_the_call_works(certificate: tuple[str, str], tmp_path: Path, value: str) -> None:
    path = str(tmp_path) if value == "folder" else value
    notes: list[str] = []
    with FaultServer([answer(200, {"ok": 1})] * 2, tls=certificate) as server:
        transport = Transport(
            server.url, clock=Clock(), environ={"SSL_CERT_FILE": certificate[0], "SSLKEYLOGFILE": path}, note=notes.append
        )
        for _ in range(2):
            assert transport.send(READ, deadline=Clock().mono() + 10).data == {"ok": 1}
        transport.close()
    (note,) = notes
    assert note.startswith(f"ignoring SSLKEYLOGFILE ({path}): ")


@pytest.mark.skipif(sys.platform == "win32", reason="named pipes of POSIX")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_a_named_pipe_is_refused_instead_of_waited_for(certificate: tuple[str, str], tmp_path: Path, variable: str) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    environ = {"SSL_CERT_FILE": certificate[0], variable: pipe}
    if variable == "SSLKEYLOGFILE":
        assert load_trust(environ).notes == [f"ignoring SSLKEYLOGFILE ({pipe}): it is a pipe"]
    else:
        with pytest.raises(SpcliError, match="it is a pipe"):
            load_trust(environ)


def test_a_usable_key_log_is_written(certificate: tuple[str, str], tmp_path: Path) -> None:
    log = tmp_path / "keys.log"
    with FaultServer([answer(200, {"ok": 1})], tls=certificate) as server:
        send(server.url, READ, {"SSL_CERT_FILE": certificate[0], "SSLKEYLOGFILE": str(log)})
    assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [("20200101000000Z", "20210101000000Z", "expired"), ("20400101000000Z", "20410101000000Z", "not yet valid")],
)
def test_a_certificate_out_of_its_dates_names_this_machines_clock(tmp_path: Path, start: str, end: str, reason: str) -> None:
    dated = make_certificate(tmp_path, start=start, end=end)
    with FaultServer(tls=dated) as server:
        error = failure_of(server.url, READ, {"SSL_CERT_FILE": dated[0]})
    assert reason in error.message
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert str(error.hint).startswith(f"this machine's clock shows {today}")
    assert "SSL_CERT_FILE" not in str(error.hint)
