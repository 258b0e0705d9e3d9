"""Whom TLS connections trust: the certificate authorities of the environment, the system, or certifi.

Loading certifi's bundle costs tens of milliseconds, a context on a hashed folder almost nothing, so the folder goes first.
"""

import os
import ssl
import sys
from collections.abc import Iterable, Mapping

from spcli.errors import SpcliError

# Where Debian, Alpine, SUSE and Fedora keep it; an interpreter built elsewhere looks in a folder of its own.
_WELL_KNOWN_FOLDER = "/etc/ssl/certs"


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """A verifying context. Order: `SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's store, certifi. There is no way to switch it off.

    Raises:
        SpcliError: `config`, naming the variable and its path, when it can't be used.
    """
    if path := environ.get("SSL_CERT_FILE"):
        return _from_file(path)
    if path := environ.get("SSL_CERT_DIR"):
        return _from_folder(path)
    if sys.platform == "win32":
        return ssl.create_default_context()
    folder = hashed_folder((ssl.get_default_verify_paths().openssl_capath, _WELL_KNOWN_FOLDER))
    if folder:
        return ssl.create_default_context(capath=folder)
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def hashed_folder(folders: Iterable[str]) -> str | None:
    """The first folder that holds certificates under their hashed names (`*.0`), the only ones OpenSSL finds there."""
    return next((folder for folder in folders if _is_hashed(folder)), None)


def _is_hashed(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".0") for entry in entries)
    except OSError:
        return False


def _from_file(path: str) -> ssl.SSLContext:
    reason = ""
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        reason = "it holds no usable certificate"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it can't be read"
    raise _unusable("SSL_CERT_FILE", path, reason)


def _from_folder(path: str) -> ssl.SSLContext:
    # OpenSSL takes a list here, and says nothing about a folder that is missing or has no hashed names: every handshake fails.
    if hashed_folder(path.split(os.pathsep)):
        return ssl.create_default_context(capath=path)
    raise _unusable("SSL_CERT_DIR", path, "no folder there with hashed certificates (`openssl rehash` makes them)")


def _unusable(variable: str, path: str, reason: str) -> SpcliError:
    return SpcliError(
        "config", f"{variable} is set to {path}: {reason}", hint=f"point {variable} to your CA certificates, or unset it"
    )
