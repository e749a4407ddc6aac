"""Which apps an org knows, and whether a request comes from one of them."""

from __future__ import annotations

import base64
import binascii
import hmac
from urllib.parse import unquote_plus

from orgserver.sandbox.answers import Request
from orgserver.sandbox.errors import OAuthRefusal
from orgserver.sandbox.org import SandboxOrg

PLATFORM_CLI = "PlatformCLI"
"""The sf command's own app, which has no secret. Every org knows it, but may not have it installed."""
SCOPE = "refresh_token api web"
SCOPES = frozenset(
    {"api", "web", "full", "refresh_token", "offline_access", "id", "profile", "email", "address", "phone"}
)
"""What an app may ask for here; without ``openid``, as no id tokens are made."""


def check_client(org: SandboxOrg, client_id: str) -> str:
    """A client id that is known; OAuthRefusal if it is not."""
    if not client_id or client_id not in (org.client_id, PLATFORM_CLI):
        raise OAuthRefusal("invalid_client_id", "client identifier invalid")
    return client_id


def authenticate(org: SandboxOrg, form: dict[str, str]) -> str:
    """The app that a request comes from: a public one shows no secret, a confidential one its own."""
    client_id = check_client(org, form.get("client_id", ""))
    secret = form.get("client_secret", "")
    if client_id == PLATFORM_CLI:
        good = secret == ""
    else:
        good = _same(secret, org.client_secret) or (secret == "" and not org.answers.secret_required)
    if not good:
        raise OAuthRefusal("invalid_client", "invalid client credentials")
    return client_id


def authenticate_confidential(org: SandboxOrg, form: dict[str, str], status: int = 400) -> str:
    """The app that a request comes from, which must have shown a secret."""
    client_id = check_client(org, form.get("client_id", ""))
    if client_id == PLATFORM_CLI or not _same(form.get("client_secret", ""), org.client_secret):
        raise OAuthRefusal("invalid_client", "invalid client credentials", status)
    return client_id


def read_form(request: Request) -> dict[str, str]:
    """A request's parameters, with the id and the secret of a Basic header (RFC 6749, section 2.3.1)."""
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return request.form
    try:
        client_id, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise OAuthRefusal("invalid_client", "invalid client credentials", 401) from None
    return request.form | {"client_id": unquote_plus(client_id), "client_secret": unquote_plus(secret)}


def _same(one: str, other: str) -> bool:
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())
