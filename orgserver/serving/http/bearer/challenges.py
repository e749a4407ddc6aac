"""``WWW-Authenticate``: what a request is told that brings no token, a wrong one, or one that allows too little.

With an issuer it says where its metadata are and which scopes there are (RFC 9728, RFC 6750); without one there is
nothing to be found, and nothing is said of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from orgserver.model.access.principals import PERMISSIONS, Permission
from orgserver.model.access.scopes import scope_text
from orgserver.model.server_paths import MCP_PATH
from orgserver.serving.http.replies import (
    JSON,
    Headers,
    Reply,
    make_error_reply,
    make_not_found_reply,
    make_text_reply,
)

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
METADATA_PATHS = frozenset({_WELL_KNOWN, _WELL_KNOWN + MCP_PATH})
"""At the address that belongs to ``/mcp``, and where older clients look."""
_METHODS = ("GET", "HEAD")
_FORBIDDEN = 403
_CACHE = (b"cache-control", b"public, max-age=300")


class Challenges:
    """What is said of tokens of issuers, or of API keys alone. ``url`` is the server's, as its client names it."""

    def __init__(self, *issuers: str) -> None:
        self._issuers = issuers

    def ask_token(self, url: str, message: str) -> Reply:
        """401 for a request that brings no token."""
        return make_error_reply(401, message, headers=self._headers(url))

    def refuse_token(self, url: str, message: str) -> Reply:
        """401 for a token that opens nothing."""
        error = f'error="invalid_token", error_description="{message}"'
        return make_error_reply(401, message, headers=self._headers(url, error))

    def refuse_caller(self, url: str, message: str) -> Reply:
        """403 for a good token of somebody who may not call: another token would not help."""
        return make_error_reply(_FORBIDDEN, message, headers=self._headers(url))

    def ask_scopes(self, url: str, permissions: Iterable[Permission]) -> Reply:
        """403 for a token that allows too little; ``permissions`` are all that the next one should have."""
        scopes = scope_text(permissions)
        headers = self._headers(url, 'error="insufficient_scope"', scopes)
        return make_error_reply(_FORBIDDEN, f"this call needs a token with the scopes {scopes}", headers=headers)

    def answer_metadata(self, url: str, method: str) -> Reply:
        """The metadata of this server as a protected resource (RFC 9728); 404 where no issuer protects it."""
        if not self._issuers:
            return make_not_found_reply()
        if method not in _METHODS:
            return make_text_reply(405, "only GET is answered here", ((b"allow", b"GET, HEAD"),))
        document = {
            "resource": url + MCP_PATH,
            "authorization_servers": list(self._issuers),
            "scopes_supported": scope_text(PERMISSIONS).split(" "),
            "bearer_methods_supported": ["header"],
            "resource_name": "orgserver",
        }
        return Reply(200, json.dumps(document).encode(), JSON, (_CACHE,))

    def _headers(self, url: str, error: str = "", scopes: str = scope_text(PERMISSIONS)) -> Headers:
        parts = ['realm="orgserver"'] + ([error] if error else [])
        if self._issuers:
            parts += [f'resource_metadata="{url}{_WELL_KNOWN}{MCP_PATH}"', f'scope="{scopes}"']
        return ((b"www-authenticate", f"Bearer {', '.join(parts)}".encode()),)
