"""TLS: which certificate authorities are trusted, and errors that say why a handshake failed.

A bundle of all roots takes 17 to 45 ms to load, a folder with hashed names 0.1 ms, because OpenSSL reads single files from it.
So a folder is used first, and the system's bundle is added only when a certificate is not accepted.
"""

import errno
import os
import re
import ssl
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spcli.errors import NotSent, SpcliError

HANDSHAKE_SECONDS = 10.0
PROXY_HANDSHAKE_SECONDS = 5.0
_HASHED_NAME = re.compile(r"[0-9a-f]{8}\.[0-9]+")
_TRUST_HINT = "if a company proxy or a private CA is in use, point SSL_CERT_FILE to its certificates"
_PLAIN_HINT = "check the URL and its port; a proxy or firewall may be answering instead"
_CLOCK_CODES = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
_PLAIN_REASONS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
"""OpenSSL's reasons for an answer that is not TLS."""


class RootStore(NamedTuple):
    """Where a system may keep its roots: folders with hashed names, and files with all of them, the first that exists counts."""

    folders: tuple[str, ...]
    bundles: tuple[str, ...]


SYSTEM_STORE = RootStore(
    # An interpreter that was built elsewhere looks in its own folder, so the usual ones follow.
    (ssl.get_default_verify_paths().openssl_capath, "/etc/ssl/certs"),
    (
        ssl.get_default_verify_paths().openssl_cafile,
        "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
        "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL 8 and 9
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # RHEL 10
        "/etc/ssl/ca-bundle.pem",  # SUSE
        "/etc/ssl/cert.pem",  # macOS, BSD
    ),
)


class Trust:
    """The certificate authorities in use.

    Attributes:
        context: verifies certificates and host names.
        source: the file or folder of the roots, in words.
        notes: optional things that did not work.
    """

    def __init__(self, context: ssl.SSLContext, source: str, *, folders: Sequence[str] = (), bundle: str | None = None) -> None:
        self.context = context
        self.source = source
        self.notes: list[str] = []
        self._folders = folders
        self._bundle = bundle
        # Counted now: a handshake adds the roots that it took from a folder.
        self._loaded = context.cert_store_stats()["x509_ca"]

    def count_roots(self) -> int:
        """Return how many authorities are trusted."""
        return self._loaded + sum(len(_hashed_names(folder)) for folder in self._folders)

    def add_bundle(self) -> bool:
        """Also trust the system's bundle, once: it may have a CA that the folder lacks. Return whether that changed anything."""
        bundle, self._bundle = self._bundle, None
        return bundle is not None and _load_bundle(self.context, bundle)


def tls_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """Return a verifying context with all roots of `load_trust`. Raises as `load_trust`."""
    trust = load_trust(environ)
    trust.add_bundle()
    return trust.context


def load_trust(environ: Mapping[str, str], store: RootStore = SYSTEM_STORE) -> Trust:
    """Return the authorities in use: `SSL_CERT_FILE`, `SSL_CERT_DIR`, the system's folder or bundle, or certifi's bundle.

    On Windows, its store and certifi's bundle together: Windows fetches most roots only when a program of its own needs them.
    Verification cannot be switched off.

    Raises:
        SpcliError: `config`, if a variable names something unusable, or OpenSSL does not work.
    """
    context = _new_context(environ)
    if path := environ.get("SSL_CERT_FILE"):
        trust = _file_trust(context, path, environ.get("SSL_CERT_DIR"))
    elif path := environ.get("SSL_CERT_DIR"):
        trust = _folder_trust(context, path)
    else:
        trust = _system_trust(context, store)
    _start_key_log(trust, environ)
    return trust


def _new_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    # Not `ssl.create_default_context`: it fails if SSLKEYLOGFILE cannot be opened. Nor VERIFY_X509_STRICT, which that function
    # sets since Python 3.13: it refuses the CAs of many company proxies.
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except ssl.SSLError as error:
        variable = next((name for name in ("OPENSSL_CONF", "OPENSSL_MODULES") if environ.get(name)), None)
        where = "" if variable is None else f", perhaps because of {variable} ({environ[variable]})"
        hint = "check the OpenSSL installation" if variable is None else f"fix or unset {variable}"
        raise SpcliError("config", f"OpenSSL does not work{where}: {error.reason or 'unknown reason'}", hint=hint) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _file_trust(context: ssl.SSLContext, path: str, folder: str | None) -> Trust:
    """Return the authorities in a file, and those in the folder of the other variable if it has any."""
    reason = ""
    try:
        _refuse_pipe(path)
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        reason = "the file has no usable certificate"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be read"
    if reason:
        raise _trust_error("SSL_CERT_FILE", path, reason)
    folders = [one for one in (folder or "").split(os.pathsep) if one and _hashed_names(one)]
    if not folders:
        return Trust(context, f"{path} (SSL_CERT_FILE)")
    context.load_verify_locations(capath=folder)
    return Trust(context, f"{path} (SSL_CERT_FILE) and {folder} (SSL_CERT_DIR)", folders=folders)


def _folder_trust(context: ssl.SSLContext, path: str) -> Trust:
    # OpenSSL takes a list here and accepts folders that are missing or have no hashed names; then every handshake fails.
    folders = path.split(os.pathsep)
    if not any(map(_hashed_names, folders)):
        raise _trust_error("SSL_CERT_DIR", path, "no folder with hashed certificates (run `openssl rehash` on it)")
    context.load_verify_locations(capath=path)
    return Trust(context, f"{path} (SSL_CERT_DIR)", folders=folders)


def _system_trust(context: ssl.SSLContext, store: RootStore) -> Trust:
    if sys.platform == "win32":
        context.load_default_certs()
        _load_certifi(context)
        return Trust(context, "the Windows store and certifi")
    bundle = next(filter(os.path.isfile, store.bundles), None)
    for folder in store.folders:
        if _hashed_names(folder):
            context.load_verify_locations(capath=folder)
            source = folder if bundle is None else f"{folder}, and {bundle} if they are not enough"
            return Trust(context, source, folders=[folder], bundle=bundle)
    for bundle in filter(os.path.isfile, store.bundles):
        if _load_bundle(context, bundle):
            return Trust(context, bundle)
    return Trust(context, _load_certifi(context))


def _hashed_names(folder: str) -> list[str]:
    """Return the hashed names in `folder`, the only ones OpenSSL looks for; none if the folder cannot be read."""
    try:
        return [name for name in os.listdir(folder) if _HASHED_NAME.fullmatch(name)]
    except OSError:
        return []


def _load_bundle(context: ssl.SSLContext, path: str) -> bool:
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError):
        return False
    return True


def _load_certifi(context: ssl.SSLContext) -> str:
    """Load certifi's bundle and return its name in words. Raises `SpcliError` (config) if it is missing or broken."""
    try:
        import certifi  # slow to import, and a system with its own roots needs none

        context.load_verify_locations(cafile=certifi.where())
    except (ImportError, OSError) as error:
        reason = getattr(error, "strerror", None) or "it is not installed"
        message = f"cannot load the certificates of the Python package certifi: {reason}"
        raise SpcliError("config", message, hint="reinstall spcli, or set SSL_CERT_FILE to a file of CA certificates") from None
    return f"{certifi.where()} (certifi)"


def _start_key_log(trust: Trust, environ: Mapping[str, str]) -> None:
    """Write session keys to `SSLKEYLOGFILE`, for debugging. A file that cannot be opened is a note: scanners set the variable."""
    path = environ.get("SSLKEYLOGFILE")
    if not path:
        return
    try:
        _refuse_pipe(path)
        trust.context.keylog_filename = path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be opened"
        trust.notes.append(f"ignoring SSLKEYLOGFILE ({path}): {reason}")


def _refuse_pipe(path: str) -> None:
    """Raise `OSError` for a named pipe, which OpenSSL would wait for without end."""
    if os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is a pipe")


def _trust_error(variable: str, path: str, reason: str) -> SpcliError:
    hint = f"point {variable} to your CA certificates, or unset it"
    return SpcliError("config", f"cannot use {variable} ({path}): {reason}", hint=hint)


class UntrustedCertificate(NotSent):
    """A handshake that failed because of the server's certificate."""


def handshake_error(host: str, cause: BaseException, local_time: str) -> NotSent:
    """Return the failure of a TLS handshake: final for a bad certificate, transient for a connection that broke off.

    Args:
        local_time: what this machine's clock shows, for certificates that have expired or are not valid yet.
    """
    if isinstance(cause, ssl.SSLCertVerificationError):
        hint = _TRUST_HINT
        if cause.verify_code in _CLOCK_CODES:
            hint = f"this machine's clock shows {local_time}; if that is wrong, set the clock, else renew the certificate"
        message = f"the certificate of {host} was not accepted: {cause.verify_message}"
        return UntrustedCertificate(message, hint=hint, transient=False)
    if isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return NotSent(f"{host} broke off the TLS handshake")
    if getattr(cause, "reason", None) in _PLAIN_REASONS:
        return NotSent(f"{host} does not speak TLS", hint=_PLAIN_HINT, transient=False)
    if isinstance(cause, (ssl.SSLError, ValueError)):
        return NotSent(f"{host} does not speak a TLS version that works here", hint=_TRUST_HINT, transient=False)
    return NotSent(f"{host} did not finish the TLS handshake in time")
