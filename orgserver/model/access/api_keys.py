"""The text of an API key: a token of ours that begins with ``osk_``."""

from __future__ import annotations

from orgserver.model.access.bearer_tokens import is_token, make_token
from orgserver.model.secret import Secret

PREFIX = "osk_"


def make_api_key() -> Secret:
    """A new API key."""
    return make_token(PREFIX)


def is_api_key(text: str) -> bool:
    """Whether a text can be an API key at all: its form and its checksum are right."""
    return is_token(text, PREFIX)
