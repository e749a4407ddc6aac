"""What a client says of itself, wherever it says so: only public clients that get codes, and what they are called."""

from __future__ import annotations

import json
from typing import Any

from orgserver.model.text import clean_text
from orgserver.oauth.clients.redirect_uris import check_redirect_uri, has_own_scheme, host_of

MAX_BYTES = 16 * 1024
"""Of all of it."""
MOST_REDIRECT_URIS = 20
LONGEST_NAME = 200
_CODE, _REFRESH = "authorization_code", "refresh_token"
_TEXTS = (
    "client_id", "client_name", "client_uri", "logo_uri", "tos_uri", "policy_uri", "scope", "software_id",
    "software_version", "application_type", "token_endpoint_auth_method",
)  # fmt: skip
_KEY_METHODS = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")
"""Of clients that show no secret, but prove that they have a key."""
_LISTS = ("redirect_uris", "grant_types", "response_types", "contacts")


def read_metadata(document: dict[str, Any]) -> dict[str, Any]:
    """What is understood of it, with the grants that there are here; ValueError says what is wrong with it.

    What is not understood is left out, as RFC 7591 §2 has it; so is what has no value.
    """
    metadata: dict[str, Any] = {}
    for name in (*_TEXTS, *_LISTS):
        value = document.get(name)
        if value is None or value in ("", []):
            continue
        if not (isinstance(value, str) if name in _TEXTS else _is_list_of_texts(value)):
            raise ValueError(f"{name} is no {'text' if name in _TEXTS else 'list of texts'}")
        metadata[name] = value
    if len(json.dumps(metadata)) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES // 1024} KiB")
    metadata["grant_types"] = _narrow("grant_types", metadata, (_CODE, _REFRESH), _CODE)
    metadata["response_types"] = _narrow("response_types", metadata, ("code",), "code")
    return metadata


def can_be_public(document: dict[str, Any]) -> bool:
    """Whether a client gets its tokens without proving who it is, where nobody asks it to; ChatGPT would rather sign.

    ``token_endpoint_auth_methods_supported`` of a client is of OpenID Connect Relying Party Metadata Choices 1.0.
    """
    method = document.get("token_endpoint_auth_method")
    methods = document.get("token_endpoint_auth_methods_supported")
    is_offered = isinstance(methods, list) and "none" in methods
    return method in (None, "none") or (method in _KEY_METHODS and is_offered)


def read_redirect_uris(metadata: dict[str, Any]) -> tuple[str, ...]:
    """Where people may be sent back to; ValueError says what is wrong with one.

    One of a scheme of its own is left out where there are others: clients such as Cursor name both, and use either.
    """
    uris: list[str] = metadata.get("redirect_uris", [])
    if not uris:
        raise ValueError("redirect_uris names no place to go back to")
    if len(uris) > MOST_REDIRECT_URIS:
        raise ValueError(f"redirect_uris names more than {MOST_REDIRECT_URIS} places")
    usable = [uri for uri in uris if not has_own_scheme(uri)]
    for uri in usable or uris:
        check_redirect_uri(uri)
    return tuple(usable)


def read_name(metadata: dict[str, Any], redirect_uris: tuple[str, ...]) -> str:
    """What a client is called; the host that it has people sent back to, where it does not say."""
    return clean_text(metadata.get("client_name", ""), LONGEST_NAME) or host_of(redirect_uris[0])[:LONGEST_NAME]


def _narrow(name: str, metadata: dict[str, Any], known: tuple[str, ...], needed: str) -> list[str]:
    """Of a list's values those that are known here; all of them where it is absent."""
    values = metadata.get(name, known)
    if needed not in values:
        raise ValueError(f"{name} does not hold {needed}")
    return [value for value in known if value in values]


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
