"""The keys of an issuer from its JWK set: those that can verify a signature without harm; the others are left out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from orgserver.oauth.refusals import IssuerUnavailable

MAX_KEYS = 100
_MIN_RSA_BITS, _MAX_RSA_BITS = 2_048, 8_192
"""Shorter ones can be broken, longer ones cost more than a request may."""
_MAX_EXPONENT_BYTES = 4
_MAX_KEY_ID = 256
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE = {("EC", "P-256"): "ES256", ("EC", "P-384"): "ES384", ("EC", "P-521"): "ES512", ("OKP", "Ed25519"): "EdDSA"}
ALGORITHMS = frozenset((*_RSA, *_BY_CURVE.values()))
"""Those of public keys alone: an HMAC under a public key, or no signature, is none."""
_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, binascii.Error)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key, and the algorithms that signatures by it may have."""

    key_id: str | None
    algorithms: frozenset[str]
    key: Any
    """As PyJWT takes it."""


class KeySet:
    """An issuer's keys as it told them at one time."""

    def __init__(self, keys: list[VerificationKey]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        """The one key that a token's header means; None where none is, or where more than one could be."""
        matches = [
            each for each in self._keys if algorithm in each.algorithms and (key_id is None or each.key_id == key_id)
        ]
        return matches[0] if len(matches) == 1 else None


def read_key_set(document: Mapping[str, Any]) -> KeySet:
    """Read a JWK set; IssuerUnavailable for what is none, has too many keys, or none to verify with."""
    entries = document.get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise IssuerUnavailable(f"the issuer's keys are no list of at most {MAX_KEYS}")
    keys = [key for entry in entries if isinstance(entry, dict) and (key := _read_key(entry)) is not None]
    if not keys:
        raise IssuerUnavailable("the issuer has no key that signatures can be verified with")
    return KeySet(keys)


def _read_key(entry: dict[str, Any]) -> VerificationKey | None:
    """One key; None for one that is not for signatures, holds its private half, or is of another kind or size."""
    algorithms = _find_algorithms(entry)
    key_id = entry.get("kid")
    is_named = key_id is None or (isinstance(key_id, str) and len(key_id) <= _MAX_KEY_ID)
    if not algorithms or not is_named or "d" in entry or not _is_for_signatures(entry):
        return None
    try:
        return VerificationKey(key_id, algorithms, jwt.PyJWK(entry, next(iter(algorithms))).key)
    except _UNREADABLE:
        return None


def _find_algorithms(entry: dict[str, Any]) -> frozenset[str]:
    """What the key's kind and size allow, narrowed to the algorithm that it names itself."""
    kind, curve, algorithm = (entry.get(name) for name in ("kty", "crv", "alg"))
    possible: frozenset[str] = frozenset()
    if kind == "RSA" and _is_rsa_in_bounds(entry):
        possible = frozenset(_RSA)
    elif isinstance(kind, str) and isinstance(curve, str) and (kind, curve) in _BY_CURVE:
        possible = frozenset((_BY_CURVE[kind, curve],))
    return possible if algorithm is None else frozenset(each for each in possible if each == algorithm)


def _is_rsa_in_bounds(entry: dict[str, Any]) -> bool:
    try:
        modulus, exponent = (_decode(entry[name]) for name in ("n", "e"))
    except _UNREADABLE:
        return False
    bits = int.from_bytes(modulus, "big").bit_length()
    is_odd = int.from_bytes(exponent, "big") % 2 == 1
    return (
        _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS and len(exponent) <= _MAX_EXPONENT_BYTES and is_odd and exponent != b"\1"
    )


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops")
    return entry.get("use") in (None, "sig") and (operations is None or "verify" in operations)
