"""What this authorization server says of itself (RFC 8414), so that clients find the way by its name alone."""

from __future__ import annotations

import json

from mcp.shared.auth import OAuthMetadata
from starlette.types import Receive

from orgserver.model.access.principals import PERMISSIONS
from orgserver.model.access.scopes import scope_of
from orgserver.services.signin.options import SignInOptions
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.replies import JSON, Reply
from orgserver.serving.http.signin.endpoints import Answer

METADATA_PATH = "/.well-known/oauth-authorization-server"
AUTHORIZE_PATH = "/authorize"
TOKEN_PATH = "/token"  # noqa: S105  # a path
REVOKE_PATH = "/revoke"
REGISTER_PATH = "/register"
_CACHE = (b"cache-control", b"public, max-age=300")


def answer_metadata(options: SignInOptions) -> Answer:
    """Answers with the document: the same for everybody, as long as the server runs."""
    document = _describe(options).model_dump(mode="json", exclude_none=True)
    document |= {"issuer": options.issuer}  # to the letter, as answers to clients name it
    reply = Reply(200, json.dumps(document).encode(), JSON, (_CACHE,))

    async def answer(_exchange: Exchange, _admitted: Admitted, _receive: Receive) -> Reply:
        return reply

    return answer


def _describe(options: SignInOptions) -> OAuthMetadata:
    """All clients are public: a client that shows no secret cannot lose one."""
    paths = {"authorization": AUTHORIZE_PATH, "token": TOKEN_PATH, "revocation": REVOKE_PATH}
    if options.allow_registration:
        paths["registration"] = REGISTER_PATH
    return OAuthMetadata.model_validate(
        {f"{name}_endpoint": options.url + path for name, path in paths.items()}
        | {
            "issuer": options.issuer,
            "scopes_supported": [scope_of(each) for each in PERMISSIONS],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": True,
        }
    )
