"""Sealed tokens: notes that a client hands back later, and can neither read, change nor use for anything else.

A token is the JSON of its note, sealed, as URL-safe base64 without padding. It opens for the same purpose, owner,
principal and arguments alone. ``x`` in the note is the time from which on it counts no more, in the unit of the clock
that its purpose is judged by.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import msgspec

from orgserver.vault.keys import Context, Key, Unsealable

_MAX_LENGTH = 4_096


def bind_token(purpose: str, owner: str, principal: str, arguments_digest: bytes) -> Context:
    """What a token of this purpose is good for: a call of one principal, to one owner, with one digest of arguments."""
    return Context(owner, purpose, principal, arguments_digest.hex())


def seal_token(key: Key, note: dict[str, Any], expires_at: int, context: Context) -> str:
    """Make a token."""
    sealed = key.seal(msgspec.json.encode(note | {"x": expires_at}), context)
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def open_token(key: Key, token: str, context: Context) -> tuple[dict[str, Any], int]:
    """Read a token: its note, and when it expires; Unsealable if it is broken or was made for anything else."""
    if len(token) > _MAX_LENGTH or not token.isascii():
        raise Unsealable("a token has another form")
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Unsealable("a token has another form") from None
    note: dict[str, Any] = json.loads(key.open(sealed, context))
    return note, note.pop("x")
