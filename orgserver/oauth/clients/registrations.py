"""What a client may say when it registers itself (RFC 7591)."""

from __future__ import annotations

from typing import Any

from orgserver.oauth.clients.metadata import can_be_public, read_metadata, read_redirect_uris

_SECRET_METHODS = ("client_secret_basic", "client_secret_post", "client_secret_jwt")
"""Of clients that ask for a secret, and get on without one."""


class RegistrationRefused(Exception):
    """A client that is not registered, in the words of RFC 7591 §3.2.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def read_registration(document: dict[str, Any]) -> dict[str, Any]:
    """What a client is registered with: what it asks for, as far as it is offered (RFC 7591 §3.2.1)."""
    if not can_be_public(document) and document["token_endpoint_auth_method"] not in _SECRET_METHODS:
        raise RegistrationRefused("invalid_client_metadata", "only public clients are served")
    if "jwks" in document and "jwks_uri" in document:  # RFC 7591 §2
        raise RegistrationRefused("invalid_client_metadata", "jwks and jwks_uri exclude each other")
    try:
        metadata = read_metadata(document)
    except ValueError as error:
        raise RegistrationRefused("invalid_client_metadata", str(error)) from None
    try:
        redirect_uris = read_redirect_uris(metadata)
    except ValueError as error:
        raise RegistrationRefused("invalid_redirect_uri", str(error)) from None
    metadata.pop("client_id", None)  # it is ours to choose
    return metadata | {"redirect_uris": list(redirect_uris), "token_endpoint_auth_method": "none"}
