"""The server's own certificate: what is wrong with it is told at the start, and a new one is taken in while it runs."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from orgserver.model.errors import ConfigError
from orgserver.model.hosts import bracket

logger = logging.getLogger("orgserver.http")

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secret and authenticated; those of 1.3 all are."""


class Certificate:
    """A certificate with its private key, from two files in PEM form."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = self._make_context()
        """For the connections to come, those after a reload too."""

    def reload(self) -> None:
        """Take in the files as they are now; what does not work is told, and the certificate of before stays."""
        try:
            self._make_context()  # in a context of its own: a pair that does not fit would leave half of itself behind
            self.context.load_cert_chain(*self._files, password=_refuse_password)
        except (ConfigError, OSError) as error:
            logger.error("the certificate of before stays in use: %s", error)  # noqa: TRY400  # one line for people
            return
        self.warn_of_dates()
        logger.info("the certificate was read anew")

    def warn_of_dates(self) -> None:
        """Tell the operator of a certificate that clients refuse now."""
        certificate = self._files[0]
        leaf = _leaf(certificate)
        now = datetime.now(UTC)
        if now > leaf.not_valid_after_utc:
            last_day = leaf.not_valid_after_utc.date()
            logger.warning("--tls-cert %s ended on %s: clients will refuse it", certificate, last_day)
        elif now < leaf.not_valid_before_utc:
            logger.warning("--tls-cert %s begins on %s only", certificate, leaf.not_valid_before_utc.date())

    def _make_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        certificate, key = self._files
        _leaf(certificate)
        _read(key, "--tls-key")
        try:
            context.load_cert_chain(certificate, key, password=_refuse_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(f"--tls-key {key} is not the private key of --tls-cert {certificate}") from None
            raise ConfigError(
                f"--tls-cert {certificate} and --tls-key {key} cannot be used: {_reason(error)}",
                hint="both are PEM files: the certificate with those above it, and its private key",
            ) from None
        return context


def read_host_names(certificate: Path) -> tuple[str, ...]:
    """The hosts that a certificate is for, as requests name them; one with a wildcard is the name of no host."""
    names = _parse(certificate)
    hosts = names.get_values_for_type(x509.DNSName) if names is not None else []
    addresses = names.get_values_for_type(x509.IPAddress) if names is not None else []
    return (*(host.lower() for host in hosts if "*" not in host), *(bracket(str(address)) for address in addresses))


def _parse(certificate: Path) -> x509.SubjectAlternativeName | None:
    try:
        leaf = _leaf(certificate)
        return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        raise _not_pem(certificate) from None


def _leaf(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_read(certificate, "--tls-cert"))[0]
    except ValueError:
        raise _not_pem(certificate) from None


def _not_pem(certificate: Path) -> ConfigError:
    return ConfigError(f"--tls-cert {certificate} holds no certificate in PEM form")


def _read(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {file} cannot be read: {error.strerror or type(error).__name__}") from None


def _refuse_password() -> str:
    """A server has nobody to ask for it."""
    raise ConfigError("--tls-key is encrypted", hint="give a key without a password, that only this account can read")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "they are not understood").replace("_", " ").lower()
