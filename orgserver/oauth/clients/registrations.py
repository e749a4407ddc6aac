"""What a client may say when it registers itself (RFC 7591)."""

from __future__ import annotations

from typing import Any

from orgserver.oauth.clients.metadata import read_metadata, read_redirect_uris

_KEY_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
"""Of clients that show no secret, but prove that they have a key: none of them would do so where nobody asks."""


class RegistrationRefused(Exception):
    """A client that is not registered, in the words of RFC 7591 §3.2.2."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def read_registration(document: dict[str, Any]) -> dict[str, Any]:
    """What a client is registered with: what it asks for, and ``none`` in place of any secret (RFC 7591 §3.2.1)."""
    if document.get("token_endpoint_auth_method") in _KEY_METHODS:
        raise RegistrationRefused("invalid_client_metadata", "only public clients are served")
    if "jwks" in document and "jwks_uri" in document:  # RFC 7591 §2
        raise RegistrationRefused("invalid_client_metadata", "jwks and jwks_uri exclude each other")
    try:
        metadata = read_metadata(document)
    except ValueError as error:
        raise RegistrationRefused("invalid_client_metadata", str(error)) from None
    try:
        read_redirect_uris(metadata)
    except ValueError as error:
        raise RegistrationRefused("invalid_redirect_uri", str(error)) from None
    metadata.pop("client_id", None)  # it is ours to choose
    return metadata | {"token_endpoint_auth_method": "none"}
