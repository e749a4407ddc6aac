"""The session id of clients that open addresses for their person: over HTTP nothing else of a handshake is known later.

It names no session: whatever is in it, the client said itself, and any process reads it.
"""

from __future__ import annotations

import secrets

HEADER = "mcp-session-id"
_PREFIX = "opens-urls."
_BYTES = 16


def make_session_that_opens_urls() -> str:
    """An id for such a client."""
    return f"{_PREFIX}{secrets.token_urlsafe(_BYTES)}"


def is_session_that_opens_urls(session_id: str | None) -> bool:
    """Whether a client was given one."""
    return session_id is not None and session_id.startswith(_PREFIX)
