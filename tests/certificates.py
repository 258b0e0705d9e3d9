"""Self-signed certificates for tests, made by the openssl command."""

import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = "IP:127.0.0.1,DNS:api.example.invalid"
_CONFIG = f"""\
[ca]
default_ca = settings
[settings]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = policy
x509_extensions = extensions
[policy]
organizationName = optional
commonName = supplied
[extensions]
subjectAltName = {NAMES}
basicConstraints = CA:TRUE
"""


def make_certificate(folder: Path, *, name: str = "test", start: str = "", end: str = "") -> tuple[str, str]:
    """Make a certificate for 127.0.0.1 and api.example.invalid, and its key; return their paths.

    Args:
        name: the subject, by which OpenSSL finds an authority.
        start: when it becomes valid, as `20300101000000Z`; from now on without it.
        end: when it expires; in 90 days without it.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    (folder / "ca.cnf").write_text(_CONFIG)
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("01\n")
    new = [openssl, "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem"]
    subprocess.run([*new, "-subj", f"/O=Test Authority/CN={name}"], cwd=folder, check=True, capture_output=True)
    sign = [openssl, "ca", "-batch", "-config", "ca.cnf", "-selfsign", "-keyfile", "key.pem", "-in", "request.pem"]
    dates = [*(["-startdate", start] if start else []), *(["-enddate", end] if end else ["-days", "90"])]
    subprocess.run([*sign, "-out", "cert.pem", "-notext", *dates], cwd=folder, check=True, capture_output=True)
    return str(folder / "cert.pem"), str(folder / "key.pem")


def hashed_folder(folder: Path, certificate: str) -> str:
    """Put a certificate into `folder` under the hashed name that OpenSSL looks for; return the folder."""
    folder.mkdir(exist_ok=True)
    command = ["openssl", "x509", "-hash", "-noout", "-in", certificate]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    shutil.copy(certificate, folder / f"{name}.0")
    return str(folder)
