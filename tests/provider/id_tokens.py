"""The dishonest half of id tokens: other claims, other signatures."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from tests.provider.state import CLIENT_SECRET, State


def change_token(text: str, changes: dict[str, Any], state: State) -> str | None:
    """An id token as the provider was told to make it; None for no token."""
    kind = state.conduct.signature
    if kind in ("missing", "garbage"):
        return None if kind == "missing" else "garbage.of.anything"
    if kind == "good" and not changes:
        return text
    head, body, _ = text.split(".")
    return _sign(_decode(head), apply_changes(_decode(body), changes), kind, state)


def _sign(header: dict[str, Any], claims: dict[str, Any], kind: str, state: State) -> str:
    if kind == "none":
        return f"{_encode(header | {'alg': 'none'})}.{_encode(claims)}."
    if kind in ("HS256", "public key"):
        shared = CLIENT_SECRET if kind == "HS256" else _public_bytes(state)
        return jwt.encode(header | {"alg": "HS256"}, claims, OctKey.import_key(shared), ["HS256"])
    return jwt.encode(header, claims, state.other_key if kind == "other key" else state.key, ["RS256"])


def apply_changes(true: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Members with others in their place; None takes one away, ``{"from_now": s}`` is a time."""
    merged = true | {name: _read_time(value) for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None}


def _read_time(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"from_now"}:
        return int(time.time()) + value["from_now"]
    return value


def _public_bytes(state: State) -> bytes:
    return json.dumps(state.key.as_dict(private=False), sort_keys=True).encode()


def _decode(part: str) -> dict[str, Any]:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _encode(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
