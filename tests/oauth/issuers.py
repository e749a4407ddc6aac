"""An identity provider for tests: its keys, its documents, and tokens that it signs, good ones and others."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://idp.example.com/realms/company"
AUDIENCE = "https://orgs.example.com/mcp"


_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@cache
def rsa_key(number: int = 0, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """One of a few RSA keys, each made once."""
    del number
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


@cache
def key_for(algorithm: str) -> Any:
    """A private key for an algorithm."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa_key()


def public_jwk(key: Any, key_id: str | None, algorithm: str, **more: Any) -> dict[str, Any]:
    """The public half of a key as it stands in a JWK set."""
    implementation = jwt.get_algorithm_by_name(algorithm)
    entry = json.loads(implementation.to_jwk(key.public_key()))
    entry.pop("key_ops", None)
    return entry | ({"kid": key_id} if key_id is not None else {}) | more


@dataclass(frozen=True)
class FromNow:
    """A time, so far from when a token is made."""

    seconds: float


@dataclass
class Issuer:
    """An identity provider that tells the truth, unless a test has it lie."""

    url: str = ISSUER
    keys: dict[str, tuple[Any, str]] = field(default_factory=lambda: {"k1": (rsa_key(), "RS256")})
    """Private key and algorithm, by id."""

    def jwks(self) -> dict[str, Any]:
        """Its JWK set."""
        return {"keys": [public_jwk(key, key_id, algorithm) for key_id, (key, algorithm) in self.keys.items()]}

    def metadata(self, **more: Any) -> dict[str, Any]:
        """Its metadata."""
        return {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | more

    def claims(self, **more: Any) -> dict[str, Any]:
        """Those of a good access token; None takes one away."""
        now = int(time.time())
        more = {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in more.items()}
        every = {
            "iss": self.url, "sub": "ada@idp", "aud": AUDIENCE, "iat": now, "exp": now + 300,
            "client_id": "agent", "scope": "openid orgs:read orgs:write",
        }  # fmt: skip
        return {name: value for name, value in (every | more).items() if value is not None}

    def token(self, *, key_id: str | None = "k1", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """An access token, signed by one of its keys."""
        key, algorithm = self.keys[key_id or "k1"]
        return sign(self.claims(**claims), key, algorithm, {"typ": "at+jwt"} | (header or {}), key_id)


def sign(claims: dict[str, Any], key: Any, algorithm: str, header: dict[str, Any], key_id: str | None = "k1") -> str:
    """A JWT with any claims at all: PyJWT would look at some of them first."""
    every = header | ({"kid": key_id} if key_id is not None else {})
    return jwt.PyJWS().encode(json.dumps(claims).encode(), key, algorithm, headers=every)
