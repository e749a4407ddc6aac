"""Forms for the token endpoint, and its answers: tokens, or ``TokenRefused`` (RFC 6749; Salesforce Help)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from orgserver.model.names import OrgId, org_id, record_id
from orgserver.model.orgs import Credential
from orgserver.model.secret import Secret
from orgserver.salesforce.auth import token_refusals
from orgserver.salesforce.auth.token_refusals import TokenRefused

__all__ = [
    "AUTHORIZE_PATH",
    "REVOKE_PATH",
    "TOKEN_PATH",
    "Form",
    "TokenAnswer",
    "TokenRefused",
    "authorization_code",
    "authorize_url",
    "build_token_form",
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
_CLIENT_ERRORS = range(400, 500)
_MAYBE_WORKED_ON = frozenset({408, 425, 429})
"""Request Timeout, Too Early, Too Many Requests: whatever their body says, another host may have worked on it."""
REFUSALS = frozenset(
    {
        "access_denied",
        "app_not_found",
        "immediate_unsuccessful",
        "inactive_org",
        "inactive_user",
        "invalid_app_access",
        "invalid_assertion",
        "invalid_client",
        "invalid_client_credentials",
        "invalid_client_id",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_token",
        "login_rate_exceeded",
        "oauth_app_access_denied",
        "oauth_app_blocked",
        "oauth_approval_error_generic",
        "oauth_ec_app_not_found",
        "rate_limit_exceeded",
        "redirect_uri_mismatch",
        "redirect_uri_missing",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_response_type",
        "unsupported_token_type",
    }
)
"""Each ``error`` with which Salesforce refuses before it works on a request (RFC 6749, section 5.2; Salesforce Help
``remoteaccess_oauth_flow_errors``), in lower case."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
"""Visible ASCII (RFC 6749, appendix A.12 and A.17, without the space, which no header field could carry)."""
_ID_PATH = re.compile(r"/id/([0-9A-Za-z]{15,18})/([0-9A-Za-z]{15,18})/?")
_ISSUED_AT = re.compile(r"[0-9]{1,20}")
_LONGEST_URL = 2_048


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token answer, read. Without a refresh token in it, rotation is off and the old one goes on."""

    access_token: Secret
    refresh_token: Secret | None
    instance_url: str
    org_id: OrgId
    user_id: str
    identity_url: str
    """Where Salesforce tells who the user is, and where that user's org lives."""


def build_token_form(credential: Credential, now: float) -> Form:
    """The form that gets an access token by whatever the credential is; ``now`` in seconds since 1970."""
    if credential.refresh_token is not None:
        return refresh(credential)
    if credential.private_key is not None:
        from orgserver.salesforce.auth.assertion import sign  # noqa: PLC0415  # RSA is imported where it is used

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
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": callback,
        "state": state.reveal(),
        "code_challenge": _challenge(verifier),
        "code_challenge_method": "S256",
        "prompt": "login",
    }
    if login_hint:
        parameters["login_hint"] = login_hint
    return f"{origin}{AUTHORIZE_PATH}?{urlencode(parameters)}"


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
    """Read an answer of the token endpoint; TokenRefused tells what anything but a whole token answer means."""
    if status != _OK or not isinstance(body, dict) or "error" in body:
        raise token_refusals.read(status, body)
    try:
        return _answer(body)
    except (KeyError, ValueError):
        raise TokenRefused("unclear", "bad_reply", "its answer has not the form that Salesforce documents") from None


def refresh_token_in(status: int, body: Any) -> Secret | None:
    """The refresh token of a success, whatever else is wrong with it: the one that was sent is spent then."""
    if status != _OK or not isinstance(body, dict):
        return None
    token = body.get("refresh_token")
    return Secret(token) if isinstance(token, str) and _TOKEN.fullmatch(token) else None


def was_refused(status: int, body: Any) -> bool:
    """Tell whether a request was refused in OAuth's words, and so not worked on; of all else, nobody knows."""
    if status not in _CLIENT_ERRORS or status in _MAYBE_WORKED_ON or not isinstance(body, dict):
        return False
    error = body.get("error")
    return isinstance(error, str) and error.lower() in REFUSALS


def _answer(body: dict[str, Any]) -> TokenAnswer:
    """A whole token answer; ValueError or KeyError for one that has a field too few, or of another kind."""
    for name in ("scope", "signature"):
        _optional(body, name)
    if _optional(body, "token_type", "Bearer").lower() != "bearer":
        raise ValueError("a bearer token was expected")
    if not _ISSUED_AT.fullmatch(_optional(body, "issued_at", "0")):  # milliseconds since 1970, as text
        raise ValueError("issued_at is no time")
    identity_url = _text(body["id"])
    path = _ID_PATH.fullmatch(urlsplit(identity_url).path)
    if path is None:
        raise ValueError("id is no identity URL")
    return TokenAnswer(
        access_token=_token(body["access_token"]),
        refresh_token=_token(body["refresh_token"]) if "refresh_token" in body else None,
        instance_url=_text(body["instance_url"]),
        org_id=org_id(path[1]),
        user_id=record_id(path[2], "005"),
        identity_url=identity_url,
    )


def _token(value: object) -> Secret:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError("a token was expected")
    return Secret(value)


def _optional(body: dict[str, Any], name: str, otherwise: str = "") -> str:
    """A field that some answers lack; ValueError if it is there and no text."""
    value = body.get(name, otherwise)
    if not isinstance(value, str):
        raise ValueError("a text was expected")  # noqa: TRY004  # the answer is wrong, not our code
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_URL:
        raise ValueError("a text was expected")
    return value
