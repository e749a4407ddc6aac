"""Answers of sign-in that clients read: JSON, which nothing on the way may keep (RFC 6749 §5.1, §5.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orgserver.serving.http.replies import JSON, Headers, Reply

NOT_KEPT: Headers = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
_CHALLENGE: Headers = ((b"www-authenticate", b'Basic realm="orgserver"'),)
_UNAUTHORIZED = 401


def make_json_reply(status: int, document: Mapping[str, object], headers: Headers = ()) -> Reply:
    """A document; a 401 says what it must (RFC 6749 §5.2)."""
    challenge = _CHALLENGE if status == _UNAUTHORIZED else ()
    return Reply(status, json.dumps(document).encode(), JSON, (*NOT_KEPT, *challenge, *headers))


def make_refusal_reply(status: int, error: str, text: str, headers: Headers = ()) -> Reply:
    """An error in OAuth's form."""
    return make_json_reply(status, {"error": error, "error_description": text}, headers)
