"""What is in a PEM file: the private key that signs assertions, and whether its certificate still holds.

Salesforce takes RS256 alone (Help ``remoteaccess_oauth_jwt_flow``), so the key must be RSA, of 2,048 bits or more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from orgserver.model.secret import Secret

MAX_BYTES = 64 * 1024
LEAST_BITS = 2_048
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n(?:[^-]|-(?!----))*-----END \1-----")
_CERTIFICATES = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")


class KeyRefused(ValueError):
    """This is no key that Salesforce would take; the text says why, in a few words that follow the file's name."""


class PassphraseNeeded(KeyRefused):
    """The key is encrypted, and no passphrase was given."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key that can sign assertions."""

    private_key: Secret
    """PKCS8, in PEM, not encrypted: it goes into the store, sealed."""
    certificate_ends: datetime | None
    """When the certificate that lies beside it ends."""


def read(data: bytes, now: datetime, passphrase: Secret | None = None) -> SigningKey:
    """Read the one RSA private key of a PEM text, and check the certificate beside it; KeyRefused says why not."""
    blocks = [(match.group(1).decode(), match.group(0)) for match in _BLOCK.finditer(data)]
    key = _private_key(_the_private_block(blocks), passphrase)
    certificates = [block for label, block in blocks if label in _CERTIFICATES]
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return SigningKey(Secret(text), _certificate_end(certificates, key, now) if certificates else None)


def _the_private_block(blocks: list[tuple[str, bytes]]) -> bytes:
    private = [(label, block) for label, block in blocks if label.endswith("PRIVATE KEY")]
    if not private:
        raise KeyRefused(_without_key({label for label, _ in blocks}))
    if len(private) > 1:
        raise KeyRefused("holds more than one private key; keep only the one whose certificate the app has")
    label, block = private[0]
    if label == "OPENSSH PRIVATE KEY":
        raise KeyRefused("is an OpenSSH key; a PEM key is wanted, such as openssl genrsa makes")
    return block


def _without_key(labels: set[str]) -> str:
    if any(label.endswith("PUBLIC KEY") for label in labels):
        return "holds a public key; the private key is wanted"
    if labels & set(_CERTIFICATES):
        return "holds a certificate only; its private key is wanted"
    return "holds no private key in PEM (-----BEGIN PRIVATE KEY-----)"


def _private_key(block: bytes, passphrase: Secret | None) -> RSAPrivateKey:
    encrypted = b"ENCRYPTED" in block[:200]
    if encrypted and passphrase is None:
        raise PassphraseNeeded("is encrypted with a passphrase")
    password = passphrase.reveal().encode() if encrypted and passphrase is not None else None
    try:
        key: Any = load_pem_private_key(block, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        if encrypted:
            raise KeyRefused("does not open with this passphrase") from None
        raise KeyRefused("holds a private key that is damaged or of an unknown kind") from None
    if not isinstance(key, RSAPrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").strip("_")
        raise KeyRefused(f"holds a key of another kind ({kind}); Salesforce takes RSA")
    if key.key_size < LEAST_BITS:
        raise KeyRefused(f"holds an RSA key of {key.key_size} bits; at least {LEAST_BITS} are wanted")
    return key


def _certificate_end(blocks: list[bytes], key: RSAPrivateKey, now: datetime) -> datetime:
    """When the key's own certificate ends, among those of a chain."""
    ours = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certificates = [_certificate(block) for block in blocks]
    mine = [each for each in certificates if _public_bytes(each) == ours]
    if not mine:
        raise KeyRefused("holds a certificate of another key")
    newest = max(mine, key=lambda each: each.not_valid_after_utc)
    if newest.not_valid_after_utc <= now:
        raise KeyRefused(f"holds a certificate that expired on {newest.not_valid_after_utc:%Y-%m-%d}")
    if newest.not_valid_before_utc > now:
        raise KeyRefused(f"holds a certificate that is valid only from {newest.not_valid_before_utc:%Y-%m-%d} on")
    return newest.not_valid_after_utc.astimezone(UTC)


def _certificate(block: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block)
    except ValueError:
        raise KeyRefused("holds a certificate that is damaged") from None


def _public_bytes(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):  # of a kind that is not ours anyway
        return None
