"""What is asked of the provider: authorization URLs that people are sent to, and forms for its token endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from orgserver.model.secret import Secret
from orgserver.oauth.provider.metadata import ProviderMetadata
from orgserver.oauth.provider.refusals import ProviderUnavailable

FRESH_SECONDS = 300
"""So long ago, at most, may a person have shown who they are, where that matters."""
_GOOGLE = "https://accounts.google.com"
"""It knows no ``offline_access``: https://developers.google.com/identity/openid-connect/openid-connect."""
_AUTH_TIME = json.dumps({"id_token": {"auth_time": {"essential": True}}}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ProviderClient:
    """What this server is for the provider."""

    client_id: str
    secret: Secret | None
    """None: a public client."""
    callback_url: str


@dataclass(frozen=True, slots=True)
class TokenForm:
    """A form for the token endpoint as it is sent."""

    content: Secret
    headers: dict[str, Secret]


def make_authorization_url(
    metadata: ProviderMetadata,
    issuer: str,
    client: ProviderClient,
    *,
    state: str,
    nonce: str,
    verifier: Secret,
    is_fresh: bool,
    is_offline: bool,
    has_groups: bool,
) -> str:
    """Where a person is sent to sign in (OpenID Connect Core §3.1.2.1), with PKCE whether it is advertised or not."""
    scopes = ["openid", "profile", "email"]
    if is_offline and "offline_access" in metadata.scopes:
        scopes.append("offline_access")
    if has_groups and "groups" in metadata.scopes:
        scopes.append("groups")
    more = _make_more(metadata, issuer, is_fresh=is_fresh, is_offline=is_offline)
    url: str = prepare_grant_uri(
        metadata.authorization_endpoint.text,
        client.client_id,
        "code",
        client.callback_url,
        scopes,
        state,
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier.reveal()),
        code_challenge_method="S256",
        **more,
    )
    return url


def _make_more(metadata: ProviderMetadata, issuer: str, *, is_fresh: bool, is_offline: bool) -> dict[str, str]:
    """What makes the provider ask the person again, or give a refresh token."""
    is_google = issuer == _GOOGLE
    if is_fresh:
        more = {"prompt": "select_account" if is_google else "login", "max_age": str(FRESH_SECONDS)}
        return more | ({"claims": _AUTH_TIME} if is_google or metadata.has_claims_parameter else {})
    return {"access_type": "offline", "prompt": "consent"} if is_google and is_offline else {}


def make_code_form(metadata: ProviderMetadata, client: ProviderClient, code: Secret, verifier: Secret) -> TokenForm:
    """A form that exchanges a code (RFC 6749 §4.1.3, RFC 7636 §4.5)."""
    content = prepare_token_request(
        "authorization_code",
        redirect_uri=client.callback_url,
        code=code.reveal(),
        code_verifier=verifier.reveal(),
    )
    return _authenticate(metadata, client, content)


def make_refresh_form(metadata: ProviderMetadata, client: ProviderClient, refresh_token: Secret) -> TokenForm:
    """A form that uses a refresh token (RFC 6749 §6)."""
    content = prepare_token_request("refresh_token", refresh_token=refresh_token.reveal())
    return _authenticate(metadata, client, content)


def _authenticate(metadata: ProviderMetadata, client: ProviderClient, content: Any) -> TokenForm:
    """Show who this server is. In a header, id and secret are encoded first (RFC 6749 §2.3.1), with %20 for a blank."""
    method = _choose_method(metadata, client)
    is_basic = method == "client_secret_basic"
    secret = client.secret.reveal() if client.secret is not None else ""
    name, password = (quote(text, safe="") if is_basic else text for text in (client.client_id, secret))
    _, headers, body = ClientAuth(name, password, method).prepare("POST", metadata.token_endpoint.text, {}, content)
    return TokenForm(Secret(body), {key.lower(): Secret(value) for key, value in headers.items()})


def _choose_method(metadata: ProviderMetadata, client: ProviderClient) -> str:
    if client.secret is None:
        return "none"
    for method in ("client_secret_basic", "client_secret_post"):
        if method in metadata.client_methods:
            return method
    raise ProviderUnavailable("the provider takes client secrets neither in a header nor in a form")
