"""What is said to the token endpoint, and what its answers mean: many look alike (RFC 6749; Salesforce Help)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from orgserver.model.names import OrgId, org_id, record_id
from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.salesforce import token_refusals
from orgserver.salesforce.token_refusals import TokenRefused

__all__ = [
    "AUTHORIZE_PATH",
    "REVOKE_PATH",
    "TOKEN_PATH",
    "Form",
    "TokenAnswer",
    "TokenRefused",
    "ask",
    "authorization_code",
    "authorize_url",
    "client_credentials",
    "jwt_bearer",
    "read_tokens",
    "refresh",
    "revoke",
]

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105  # a path
REVOKE_PATH = "/services/oauth2/revoke"
AUTHORIZE_PATH = "/services/oauth2/authorize"

Form = Mapping[str, str | Secret]

_OK = 200


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token answer, read. Without a refresh token in it, rotation is off and the old one goes on."""

    access_token: Secret
    refresh_token: Secret | None
    instance_url: str
    org_id: OrgId
    user_id: str


def ask(credential: Credential, now: float) -> Form:
    """The form that gets an access token by whatever the credential is; ``now`` in seconds since 1970."""
    if credential.refresh_token is not None:
        return refresh(credential)
    if credential.private_key is not None:
        from orgserver.salesforce.assertion import sign  # noqa: PLC0415  # RSA is imported where it is used

        return jwt_bearer(sign(credential, now))
    return client_credentials(credential)


def refresh(credential: Credential) -> Form:
    """The form that asks for a new access token; a public client has no secret to give."""
    if credential.refresh_token is None:
        raise ValueError("this credential has no refresh token")
    form: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "client_id": credential.client_id,
        "refresh_token": credential.refresh_token,
    }
    return form | _secret(credential)


def authorize_url(
    origin: str, *, client_id: str, callback: str, state: Secret, verifier: Secret, login_hint: str | None = None
) -> str:
    """Where a person logs in and lets the app in (RFC 6749, section 4.1.1; PKCE is RFC 7636, S256).

    No ``scope`` is asked for: that gives what the app's administrator allowed, and one word too many refuses it all.
    ``prompt`` keeps a browser that is logged in elsewhere from answering for the wrong org.
    """
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": callback,
        "state": state.reveal(),
        "code_challenge": _challenge(verifier),
        "code_challenge_method": "S256",
        "prompt": "login",
    }
    if login_hint:
        asked["login_hint"] = login_hint
    return f"{origin}{AUTHORIZE_PATH}?{urlencode(asked)}"


def _challenge(verifier: Secret) -> str:
    digest = hashlib.sha256(verifier.reveal().encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def authorization_code(
    client_id: str, client_secret: Secret | None, *, code: Secret, callback: str, verifier: Secret
) -> Form:
    """The form that redeems a code, once; a public app proves itself by the verifier alone."""
    form: dict[str, str | Secret] = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": code,
        "redirect_uri": callback,
        "code_verifier": verifier,
    }
    return form | ({"client_secret": client_secret} if client_secret is not None else {})


def client_credentials(credential: Credential) -> Form:
    """The form by which an app logs in as the user it is configured with (My Domain hosts only)."""
    return {"grant_type": "client_credentials", "client_id": credential.client_id} | _secret(credential)


def jwt_bearer(assertion: Secret) -> Form:
    """The form that shows a signed assertion (RFC 7523)."""
    return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}


def _secret(credential: Credential) -> dict[str, str | Secret]:
    return {"client_secret": credential.client_secret} if credential.client_secret is not None else {}


def revoke(token: Secret) -> Form:
    """The form that revokes a refresh token and its access tokens (RFC 7009)."""
    return {"token": token}


def read_tokens(status: int, body: Any) -> TokenAnswer:
    """Read an answer of the token endpoint; TokenRefused tells what a refusal means."""
    if status != _OK or not isinstance(body, dict) or "error" in body:
        raise token_refusals.read(status, body)
    try:
        organization, user = str(body["id"]).rstrip("/").split("/")[-2:]
        rotated = body.get("refresh_token")
        return TokenAnswer(
            access_token=Secret(_text(body["access_token"])),
            refresh_token=Secret(_text(rotated)) if rotated else None,
            instance_url=_text(body["instance_url"]),
            org_id=org_id(organization),
            user_id=record_id(user, "005"),
        )
    except (KeyError, ValueError, TypeError):
        raise TokenRefused("unclear", "bad_reply", "its answer has not the form that Salesforce documents") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value
