"""The honest half: Authlib's OpenID Connect server, with its grants kept in memory."""

from __future__ import annotations

import hmac
import secrets
import time
from typing import Any

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, OpenIDToken

from tests.provider.id_tokens import change_token
from tests.provider.state import CLIENT_ID, CLIENT_SECRET, PUBLIC_CLIENT_ID, Code, Grant, State

METHODS = ["client_secret_basic", "client_secret_post", "none"]
CODE_SECONDS = 60.0
Answer = tuple[int, Any, list[tuple[str, str]]]


class Client(ClientMixin):
    """The one client: with a secret, and without."""

    def __init__(self, state: State, client_id: str, secret: str | None) -> None:
        self._state = state
        self.client_id = client_id
        self._secret = secret

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self._state.conduct.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return self._secret is not None and hmac.compare_digest(self._secret, client_secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return (method == "none") == (self._secret is None)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class Request(OAuth2Request):
    """A request as Authlib takes it."""

    def __init__(self, method: str, url: str, pairs: list[tuple[str, str]], authorization: str | None) -> None:
        super().__init__(method, url, headers={"Authorization": authorization} if authorization else {})
        self.payload = BasicOAuth2Payload(dict(pairs))
        for name in dict(pairs):
            self.payload.datalist[name] = [value for each, value in pairs if each == name]

    @property
    def args(self) -> dict[str, str]:
        return self.payload.data

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data


class CodeGrant(AuthorizationCodeGrant):
    """Codes."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: Server

    def save_authorization_code(self, code: str, request: Request) -> None:
        data = request.payload.data
        user, auth_time = request.user
        self.server.state.codes[code] = Code(
            code, request.client, user, data.get("redirect_uri"), request.scope, data.get("nonce"), auth_time,
            data.get("code_challenge"), data.get("code_challenge_method"), time.time() + CODE_SECONDS,
        )  # fmt: skip

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        kept = self.server.state.codes.get(code)
        return kept if kept is not None and kept.client is client and kept.expires_at > time.time() else None

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.state.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Any:
        code = authorization_code
        self.request.grant = Grant(code.client, code.user, code.scope, code.auth_time)
        return code.user


class RefreshGrant(RefreshTokenGrant):
    """Refresh tokens; where they rotate, one that comes again ends all that came of it."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    server: Server

    @property
    def INCLUDE_NEW_REFRESH_TOKEN(self) -> bool:  # noqa: N802  # Authlib's name
        return self.server.state.conduct.refresh == "rotate"

    def authenticate_refresh_token(self, refresh_token: str) -> Grant | None:
        grant = self.server.state.grants.get(refresh_token)
        if grant is not None and refresh_token in grant.spent:
            grant.is_over = True
        return grant if grant is not None and not grant.is_over else None

    def authenticate_user(self, refresh_token: Grant) -> Any:
        self.request.grant = refresh_token
        return refresh_token.user

    def revoke_old_credential(self, refresh_token: Grant) -> None:
        if self.INCLUDE_NEW_REFRESH_TOKEN:
            refresh_token.spent.add(self.request.form["refresh_token"])


class Challenge(CodeChallenge):
    """PKCE, by S256 alone."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)


class IdTokens(OpenIDCode):
    """Id tokens, which are true until they are changed."""

    def __init__(self, state: State, issuer: str, *, is_refresh: bool) -> None:
        super().__init__()
        self._state = state
        self._issuer = issuer
        self._is_refresh = is_refresh

    def __call__(self, grant: Any) -> None:
        (OpenIDToken if self._is_refresh else OpenIDCode).__call__(self, grant)

    def exists_nonce(self, nonce: str, request: Request) -> bool:
        return any(code.nonce == nonce for code in self._state.codes.values())

    def resolve_client_private_key(self, client: Client) -> Any:
        return self._state.key

    def get_client_algorithm(self, client: Client) -> str:
        return "RS256"

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self._issuer, "aud": [client.client_id]}

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "RS256", "kid": str(self._state.key.kid), "typ": "JWT"}

    def get_compatible_claims(self, request: Request) -> dict[str, Any]:
        return super().get_compatible_claims(request) | {"auth_time": request.grant.auth_time}

    def generate_user_info(self, user: dict[str, Any], scope: str) -> dict[str, Any]:
        return find_claims(self._state, user, scope)

    def process_token(self, grant: Any, response: Any) -> Any:
        if self._is_refresh and not self._state.conduct.has_id_token_at_refresh:
            return response[1]
        return super().process_token(grant, response)

    def encode_id_token(self, token: dict[str, Any], request: Request) -> str | None:
        text = super().encode_id_token(token, request)
        conduct = self._state.conduct
        return change_token(text, conduct.refresh_claims if self._is_refresh else conduct.claims, self._state)


def find_claims(state: State, user: dict[str, Any], scope: str) -> dict[str, Any]:
    """What a client with a scope is told of a person, as they are now."""
    person = next((each for each in state.conduct.people.values() if each["sub"] == user["sub"]), user)
    of_scopes = {"name": "profile", "preferred_username": "profile", "email": "email", "email_verified": "email"}
    if "groups" in state.conduct.scopes:
        of_scopes["groups"] = "groups"
    return {name: value for name, value in person.items() if of_scopes.get(name, "openid") in scope.split()}


class Server(AuthorizationServer):
    """The provider's endpoints for authorization and tokens."""

    def __init__(self, state: State, issuer: str) -> None:
        super().__init__()
        self.state = state
        self._clients = {
            CLIENT_ID: Client(state, CLIENT_ID, CLIENT_SECRET),
            PUBLIC_CLIENT_ID: Client(state, PUBLIC_CLIENT_ID, None),
        }
        tokens = BearerTokenGenerator(_make_token, _make_token, lambda _client, _grant: 300)
        self.register_token_generator("default", tokens)
        self.register_grant(CodeGrant, [IdTokens(state, issuer, is_refresh=False), Challenge(required=True)])
        self.register_grant(RefreshGrant, [IdTokens(state, issuer, is_refresh=True)])

    def query_client(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def validate_requested_scope(self, scope: str | None) -> None:
        self.scopes_supported = self.state.conduct.scopes
        super().validate_requested_scope(scope)

    def generate_token(self, *args: Any, include_refresh_token: bool = True, **more: Any) -> dict[str, Any]:
        is_offline = "offline_access" in (more.get("scope") or "").split() and self.state.conduct.refresh != "none"
        return super().generate_token(*args, include_refresh_token=include_refresh_token and is_offline, **more)

    def save_token(self, token: dict[str, Any], request: Request) -> None:
        self.state.access[token["access_token"]] = request.grant
        if "refresh_token" in token:
            self.state.grants[token["refresh_token"]] = request.grant

    def send_signal(self, name: str, *args: Any, **more: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Answer:
        return status, body, headers


def _make_token(**_more: Any) -> str:
    return secrets.token_urlsafe(32)
