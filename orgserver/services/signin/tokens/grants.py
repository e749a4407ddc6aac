"""Authlib's authorization server, as ours: which client, code or token a request is about, and what comes of it.

Authlib checks what the RFCs say of a request; what is here reads and writes the store, inside the one transaction in
which the request runs, so that an answer and what it changes are one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from authlib.oauth2 import AuthorizationServer, OAuth2Error
from authlib.oauth2.rfc6749 import (
    AuthorizationCodeMixin,
    ClientMixin,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Request,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import PERMISSIONS
from orgserver.model.access.scopes import scope_of
from orgserver.oauth.clients.redirect_uris import is_same_redirect
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.services.signin.tokens.issuance import Issuance, OAuthAnswer
from orgserver.store.signin.tokens import StoredToken

SCOPES = tuple(scope_of(each) for each in PERMISSIONS)
"""Those that a token can have."""
DEFAULT_SCOPE = SCOPES[0]
OTHER_RESOURCE = "tokens are given for the MCP endpoint of this server alone"
_CHALLENGE_LENGTH = 43
"""Of SHA-256 in base64url."""
_UNAUTHORIZED = 401
_KNOWN = (
    "grant_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "response_type", "response_mode",
    "code", "code_verifier", "code_challenge", "code_challenge_method", "refresh_token", "token", "token_type_hint",
    "request", "request_uri",
)  # fmt: skip
"""Parameters that mean something here; others are ignored (RFC 6749 §3.1)."""


class FormRequest(OAuth2Request):
    """A request whose parameters were read already."""

    def __init__(self, method: str, url: str, parameters: Parameters) -> None:
        super().__init__(method, url)
        values = {name: parameters.one(name) for name in _KNOWN}
        self.payload = BasicOAuth2Payload({name: value for name, value in values.items() if value is not None})
        self.resources = parameters.all("resource")

    @property
    def form(self) -> dict[str, str]:
        """Its parameters."""
        values: dict[str, str] = self.payload.data
        return values


class ClientRecord(ClientMixin):
    """A client, as Authlib asks about it. All are public."""

    def __init__(self, client: OAuthClient) -> None:
        self.client = client

    def get_client_id(self) -> str:
        """Its id."""
        return self.client.client_id

    def get_default_redirect_uri(self) -> str | None:
        """Where people go whose request names no place: only where there is a single one."""
        uris = self.client.redirect_uris
        return uris[0] if len(uris) == 1 else None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Those of the scopes that there are; None where none is left."""
        if not scope:
            return DEFAULT_SCOPE
        names = scope.split(" ")
        return " ".join(each for each in SCOPES if each in names) or None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether it has named this place."""
        return any(is_same_redirect(redirect_uri, each) for each in self.client.redirect_uris)

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        """Whether it may show who it is in this way."""
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        """Whether it may ask for this."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it may show this for tokens."""
        return grant_type in ("authorization_code", "refresh_token")


class TokenRecord(AuthorizationCodeMixin, TokenMixin):
    """A code or token of the store, as Authlib asks about it."""

    code_challenge_method = "S256"

    def __init__(self, token: StoredToken) -> None:
        self.token = token
        self.code_challenge = token.code_challenge

    def get_redirect_uri(self) -> str | None:
        """What the client must name again, if it named it."""
        return self.token.redirect_uri

    def get_scope(self) -> str:
        """What it is for."""
        return " ".join(self.token.scopes)

    def check_client(self, client: ClientRecord) -> bool:
        """Whether it is this client's."""
        return self.token.session.client_id == client.get_client_id()


class ProofKey(CodeChallenge):
    """RFC 7636 by SHA-256 alone, said in so many words: what is not said would mean the challenge in the clear."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        """Refuse a request without one."""
        values = grant.request.form
        if "code_challenge" not in values:
            raise InvalidRequestError("code_challenge is needed (PKCE)")
        if values.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        if len(values["code_challenge"]) != _CHALLENGE_LENGTH:
            raise InvalidRequestError(f"code_challenge of S256 has {_CHALLENGE_LENGTH} characters")
        super().validate_code_challenge(grant, redirect_uri)


class CodeGrant(grants.AuthorizationCodeGrant):
    """A code for tokens."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

    def validate_requested_scope(self) -> None:
        """Refuse what nobody may ask for, before the scopes are looked at and the proof key."""
        self.server.check_request(self.request)

    def query_authorization_code(self, code: str, client: ClientRecord) -> TokenRecord | None:
        """The code, spent by this request whatever comes of it; None where it gives nothing."""
        token = self.server.issuance.take_code(code, client.get_client_id())
        return TokenRecord(token) if token is not None else None

    def authenticate_user(self, record: TokenRecord) -> str:
        """Begin the session that the code is of; its principal."""
        if not self.server.issuance.begin_session(record.token):
            raise InvalidGrantError("this sign-in is over")
        return record.token.session.principal

    def delete_authorization_code(self, _record: TokenRecord) -> None:
        """It is known for a while longer, so that one who shows it again is noticed."""


class RefreshGrant(grants.RefreshTokenGrant):
    """A refresh token for new tokens."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def validate_token_request(self) -> None:
        """Refuse what Authlib takes for a narrower scope: none at all."""
        super().validate_token_request()
        if self.request.payload.scope and not self.request.payload.scope.strip():
            raise InvalidScopeError

    def authenticate_refresh_token(self, text: str) -> TokenRecord | None:
        """The token, unless another request has spent it; None where it gives nothing."""
        token = self.server.issuance.find_refresh_token(text, self.request.client.get_client_id())
        return TokenRecord(token) if token is not None else None

    def authenticate_user(self, record: TokenRecord) -> str:
        """Lengthen the session that it is of; its principal."""
        if not self.server.issuance.renew_session(record.token):
            raise InvalidGrantError("this session is over")
        return record.token.session.principal

    def revoke_old_credential(self, _record: TokenRecord) -> None:
        """It was spent before anybody was asked for anything."""


class Revocation(RevocationEndpoint):
    """A client gives a token back: what the person consented to ends with it."""

    CLIENT_AUTH_METHODS = ("none",)

    def check_params(self, request: FormRequest, _client: ClientRecord) -> None:
        """A hint helps nothing here, and so none is wrong (RFC 7009 §2.1)."""
        if "token" not in request.form:
            raise InvalidRequestError("token is missing")

    def query_token(self, text: str, _hint: str | None) -> TokenRecord | None:
        """The token, of either kind."""
        token = self.server.issuance.find_token(text)
        return TokenRecord(token) if token is not None else None

    def revoke_token(self, record: TokenRecord, _request: FormRequest) -> None:
        """End its session."""
        self.server.issuance.end_session(record.token.session, "revoked by the client", "revoke")


class RequestServer(AuthorizationServer):
    """Answers one request. ``issuance`` is what reads and writes; a check before sign-in needs none."""

    def __init__(
        self,
        options: SignInOptions,
        find_client: Callable[[str], OAuthClient | None],
        issuance: Issuance | None = None,
    ) -> None:
        super().__init__()
        self._options = options
        self._find_client = find_client
        self.issuance = issuance
        self.register_grant(CodeGrant, [ProofKey(required=True)])
        self.register_grant(RefreshGrant)
        self.register_endpoint(Revocation)

    def query_client(self, client_id: str) -> ClientRecord | None:
        """A client by its id."""
        client = self._find_client(client_id)
        return ClientRecord(client) if client is not None else None

    def create_oauth2_request(self, request: FormRequest) -> FormRequest:
        """It is one already."""
        return request

    def check_request(self, request: FormRequest) -> None:
        """Refuse a request for a code that asks for what is not done here."""
        for name in ("request", "request_uri"):
            if name in request.form:
                raise OAuth2Error("requests are made of parameters here", error=f"{name}_not_supported")
        if request.form.get("response_mode", "query") != "query":
            raise InvalidRequestError("response_mode must be query")
        if not all(map(self._options.reads_resource, request.resources)):
            raise OAuth2Error(OTHER_RESOURCE, error="invalid_target")

    def create_token_response(self, request: FormRequest) -> OAuthAnswer:
        """Check a request for tokens, and give them."""
        try:
            answer: OAuthAnswer = super().create_token_response(request)
        except OAuth2Error as error:
            answer = self.handle_error_response(request, error)
        return answer

    def get_token_grant(self, request: FormRequest) -> Any:
        """What is shown for tokens; in words of ours, for Authlib repeats what came."""
        if "grant_type" not in request.form:
            raise InvalidRequestError("grant_type is missing")
        if request.payload.grant_type not in (CodeGrant.GRANT_TYPE, RefreshGrant.GRANT_TYPE):
            raise OAuth2Error("grant_type is authorization_code or refresh_token", error="unsupported_grant_type")
        return super().get_token_grant(request)

    def begin_refresh(self, request: FormRequest) -> StoredToken | OAuthAnswer:
        """Check a request for new tokens, and spend what it shows; nothing is given yet."""
        try:
            grant = self.get_token_grant(request)
            grant.validate_token_request()
        except OAuth2Error as error:
            refusal: OAuthAnswer = self.handle_error_response(request, error)
            return refusal
        token: StoredToken = request.refresh_token.token
        assert self.issuance is not None  # noqa: S101  # or nothing would have been found
        self.issuance.spend(token)
        return token

    def generate_token(self, *, scope: str, **_more: Any) -> dict[str, Any]:
        """New tokens for the session at hand."""
        assert self.issuance is not None  # noqa: S101  # there is a session
        names = scope.split(" ")
        return self.issuance.make_tokens(each for each in SCOPES if each in names)

    def save_token(self, token: Mapping[str, Any], request: FormRequest) -> None:
        """They are kept as they are made."""

    def send_signal(self, *_arguments: Any, **_more: Any) -> None:
        """Nobody listens."""

    def handle_response(self, status: int, body: Mapping[str, Any], _headers: list[tuple[str, str]]) -> OAuthAnswer:
        """What the client is answered; an unknown client always by 401."""
        return OAuthAnswer(_UNAUTHORIZED if body.get("error") == "invalid_client" else status, body)
