"""Client ID metadata documents: the id of a client is the URL of the document that says what it is."""

from __future__ import annotations

from typing import Any

from orgserver.model.access.people import OAuthClient
from orgserver.oauth.clients.metadata import can_be_public, read_metadata, read_name, read_redirect_uris
from orgserver.oauth.urls import CheckedUrl

PREFIX = "https://"
"""Of ids that are URLs: no other client's id begins so."""


def read_client(document: dict[str, Any], url: CheckedUrl) -> tuple[OAuthClient, dict[str, Any]]:
    """The client that a document describes, and what is stored of it; ValueError says why it is none for us."""
    if document.get("client_id") != url.text:
        raise ValueError("client_id is not the URL that it was read from")
    if any(name.startswith("client_secret") for name in document):
        raise ValueError("it holds a secret, which everybody can read there")
    if not can_be_public(document):
        raise ValueError("token_endpoint_auth_method is not none: only public clients are served")
    metadata = read_metadata(document)
    if "client_name" not in metadata:
        raise ValueError("client_name is missing")
    redirect_uris = read_redirect_uris(metadata)
    return OAuthClient(url.text, "document", read_name(metadata, redirect_uris), redirect_uris), metadata
