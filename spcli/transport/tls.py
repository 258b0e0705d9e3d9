"""TLS: which certificate authorities are trusted, and errors that say why a handshake failed.

Loading certifi's bundle costs tens of milliseconds, a context on a hashed folder almost nothing, so the folder is tried first.
"""

import os
import ssl
import sys
from collections.abc import Iterable, Mapping

from spcli.errors import NotSent, SpcliError

HANDSHAKE_SECONDS = 10.0
_TRUST_HINT = "if a company proxy or a private CA is in use, point SSL_CERT_FILE to its certificates"
# Debian, Alpine, SUSE and Fedora keep it here; an interpreter that was built elsewhere looks in its own folder.
_WELL_KNOWN_FOLDER = "/etc/ssl/certs"


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a verifying context, in this order: `SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's store, certifi.

    Verification cannot be switched off.

    Raises:
        SpcliError: `config`, naming the variable and its path, if they cannot be used.
    """
    if path := environ.get("SSL_CERT_FILE"):
        return _file_context(path)
    if path := environ.get("SSL_CERT_DIR"):
        return _folder_context(path)
    if sys.platform == "win32":
        return ssl.create_default_context()
    folder = hashed_folder((ssl.get_default_verify_paths().openssl_capath, _WELL_KNOWN_FOLDER))
    if folder:
        return ssl.create_default_context(capath=folder)
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def hashed_folder(folders: Iterable[str]) -> str | None:
    """Return the first folder with certificates under hashed names (`*.0`), the only names OpenSSL looks for."""
    return next((folder for folder in folders if _is_hashed(folder)), None)


def _is_hashed(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.endswith(".0") for entry in entries)
    except OSError:
        return False


def _file_context(path: str) -> ssl.SSLContext:
    reason = ""
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        reason = "the file has no usable certificate"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be read"
    raise _trust_error("SSL_CERT_FILE", path, reason)


def _folder_context(path: str) -> ssl.SSLContext:
    # OpenSSL takes a list here and accepts folders that are missing or have no hashed names; then every handshake fails.
    if hashed_folder(path.split(os.pathsep)):
        return ssl.create_default_context(capath=path)
    raise _trust_error("SSL_CERT_DIR", path, "no folder with hashed certificates (run `openssl rehash` on it)")


def _trust_error(variable: str, path: str, reason: str) -> SpcliError:
    hint = f"point {variable} to your CA certificates, or unset it"
    return SpcliError("config", f"cannot use {variable} ({path}): {reason}", hint=hint)


def handshake_error(host: str, cause: BaseException) -> NotSent:
    """Return the failure of a TLS handshake: final for a bad certificate, transient for a connection that broke off."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        message = f"the certificate of {host} was not accepted: {cause.verify_message}"
        return NotSent(message, hint=_TRUST_HINT, transient=False)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return NotSent(f"{host} broke off the TLS handshake")
    if isinstance(cause, (ssl.SSLError, ValueError)):
        return NotSent(f"{host} does not speak a TLS version that works here", hint=_TRUST_HINT, transient=False)
    return NotSent(f"{host} did not finish the TLS handshake in time")
