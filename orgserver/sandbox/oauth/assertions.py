"""Whether a signed assertion lets its app in (Salesforce Help ``remoteaccess_oauth_jwt_flow``; RFC 7523)."""

from __future__ import annotations

from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.oauth import connected_apps
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.state.users import SandboxUser

_SHARED = ("login.salesforce.com", "test.salesforce.com")
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


def check_assertion(org: SandboxOrg, assertion: str, host: str) -> tuple[str, SandboxUser]:
    """The app that signed an assertion, and the user it is for; OAuthRefusal if it is not good.

    ``host`` is the token host, as the client called it.
    """
    claims = _claims(org, assertion)
    _check_audience(org, claims.get("aud"), host)
    _check_time(claims, org.clock().timestamp())
    user = next((each for each in org.users.by_id.values() if each.username == claims.get("sub")), None)
    if user is None or not user.approved or not org.answers.jwt_approved:
        raise OAuthRefusal("invalid_grant", "user hasn't approved this consumer")
    return str(claims["iss"]), user


def _claims(org: SandboxOrg, assertion: str) -> dict[str, Any]:
    try:
        issuer = jwt.decode(assertion, options={"verify_signature": False}).get("iss")
        connected_apps.check_client(org, str(issuer or ""))
        if org.answers.jwt_public_key is None:
            raise OAuthRefusal("invalid_grant", "invalid assertion")
        checks = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        key = org.answers.jwt_public_key
        return jwt.decode(assertion, key, algorithms=["RS256"], options=checks)  # type: ignore[arg-type]
    except jwt.InvalidTokenError:
        raise OAuthRefusal("invalid_grant", "invalid assertion") from None


def _check_audience(org: SandboxOrg, audience: Any, host: str) -> None:
    """An External Client App knows its org's host alone (n8n#28990); an older app the hosts that all orgs share."""
    shared = isinstance(audience, str) and audience.removeprefix("https://") in _SHARED
    if org.answers.connected_app:
        if not shared:
            raise OAuthRefusal("invalid_grant", "audience is invalid")
        return
    if shared or host.lower() in _SHARED:
        raise OAuthRefusal("app_not_found", "External client app is not installed in this org")
    if audience != org.url:
        raise OAuthRefusal("invalid_grant", "Audience validation failed")


def _check_time(claims: dict[str, Any], now: float) -> None:
    expiry = _seconds(claims.get("exp"))
    if expiry < now - _SKEW:
        raise OAuthRefusal("invalid_grant", "expired authorization code")
    begin = max((_seconds(claims[name]) for name in ("iat", "nbf") if name in claims), default=now)
    if expiry > now + _LONGEST + _SKEW or begin > now + _SKEW:
        raise OAuthRefusal("invalid_grant", "invalid assertion")


def _seconds(time: Any) -> float:
    if not isinstance(time, int | float) or isinstance(time, bool):
        raise OAuthRefusal("invalid_grant", "invalid assertion")
    return time / 1_000 if time >= _MILLISECONDS else time
