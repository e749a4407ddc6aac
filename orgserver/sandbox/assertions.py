"""Whether a signed assertion lets its app in (Salesforce Help ``remoteaccess_oauth_jwt_flow``; RFC 7523)."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orgserver.sandbox import apps
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.org import SandboxOrg

_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_SKEW = 30
_LONGEST = 5 * 60
_MILLISECONDS = 10**11
"""From here on a time is taken for milliseconds: the sf command writes it so, and Salesforce lets it in."""


def public_key(pem: str) -> RSAPublicKey:
    """The RSA key of a PEM public key or certificate; ValueError if there is none in it."""
    if "BEGIN CERTIFICATE" in pem:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    else:
        key = load_pem_public_key(pem.encode())  # type: ignore[assignment]  # more kinds than a certificate has
    if not isinstance(key, RSAPublicKey):
        raise ValueError("an RSA key is wanted")  # noqa: TRY004  # the text is wrong, not its type
    return key


def client_of(org: SandboxOrg, assertion: str) -> str:
    """The app that signed an assertion for the org's user; OAuthRefusal if it is not good."""
    claims = _claims(org, assertion)
    if claims.get("aud") not in (*_AUDIENCES, org.url):
        raise OAuthRefusal("invalid_grant", "Audience validation failed")
    _check_time(claims.get("exp"), org.clock().timestamp())
    if claims.get("sub") != org.username or not org.answers.jwt_approved:
        raise OAuthRefusal("invalid_grant", "user hasn't approved this consumer")
    return str(claims["iss"])


def _claims(org: SandboxOrg, assertion: str) -> dict[str, Any]:
    try:
        issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        apps.known(org, str(issuer or ""))
        if org.answers.jwt_public_key is None:
            raise OAuthRefusal("invalid_grant", "invalid assertion")
        checks = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        key = org.answers.jwt_public_key
        return jwt.decode(assertion, key, algorithms=["RS256"], options=checks)  # type: ignore[arg-type]
    except jwt.InvalidTokenError:
        raise OAuthRefusal("invalid_grant", "invalid assertion") from None


def _check_time(expiry: Any, now: float) -> None:
    if not isinstance(expiry, int | float) or isinstance(expiry, bool):
        raise OAuthRefusal("invalid_grant", "invalid assertion")
    seconds = expiry / 1_000 if expiry >= _MILLISECONDS else expiry
    if seconds < now - _SKEW:
        raise OAuthRefusal("invalid_grant", "expired authorization code")
    if seconds > now + _LONGEST + _SKEW:
        raise OAuthRefusal("invalid_grant", "invalid assertion")
