"""Digests by which arguments and texts are recognized again without being kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def digest_arguments(arguments: Mapping[str, Any] | list[Any]) -> bytes:
    """The digest of arguments, whatever the order of their names; stored digests stay equal as long as this does."""
    return digest_text(_encode(arguments))


def digest_text(text: str) -> bytes:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _json_form(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_json_form).encode
