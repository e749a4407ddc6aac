"""What a client asks a person for: checked to the last parameter, before anybody is sent to the identity provider."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

from authlib.oauth2 import OAuth2Error

from orgserver.model.access.people import OAuthClient
from orgserver.model.digests import digest_text
from orgserver.model.names import new_id
from orgserver.model.secret import Secret
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.services.signin.return_urls import make_return_url
from orgserver.services.signin.tokens.grants import ClientRecord, FormRequest, RequestServer
from orgserver.store.session import Store
from orgserver.store.signin.requests import SignInRequest
from orgserver.vault.ring import retry_behind

_BYTES = 32
"""Of a state, a nonce and a verifier: 256 bits."""
_make_text = partial(secrets.token_urlsafe, _BYTES)


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """What a client may ask a person for."""

    client: OAuthClient
    redirect_uri: str
    has_redirect_uri: bool
    """Whether the client named it, and must name it again for its token."""
    scopes: tuple[str, ...]
    resource: str
    code_challenge: str
    state: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationRefusal:
    """What a client may not ask anybody for."""

    error: str
    description: str
    return_url: str | None
    """Where the browser tells the client; None where it is not known that the place is the client's own."""


class ProviderUrls(Protocol):
    """Says where people sign in."""

    async def make_authorization_url(
        self, *, state: str, nonce: str, verifier: Secret, fresh: bool, offline: bool
    ) -> str:
        """A URL of the identity provider."""


class Authorization:
    """Checks requests, and begins sign-ins."""

    def __init__(self, store: Store, options: SignInOptions, provider: ProviderUrls) -> None:
        self._store = store
        self._options = options
        self._provider = provider

    def check(self, parameters: Parameters, client: OAuthClient) -> AuthorizationRequest | AuthorizationRefusal:
        """Read what a client asks for; errors go back to it once it is known where it is."""
        redirect_uri = find_redirect_uri(parameters.one("redirect_uri"), client)
        if redirect_uri is None:
            text = "the request names no place to return to that this client has registered"
            return AuthorizationRefusal("invalid_request", text, None)
        try:
            scopes = self._check(parameters, client)
        except OAuth2Error as error:
            return self._refuse(error, redirect_uri, parameters.one("state"))
        return AuthorizationRequest(
            client=client,
            redirect_uri=redirect_uri,
            has_redirect_uri=parameters.one("redirect_uri") is not None,
            scopes=scopes,
            resource=self._options.resource,
            code_challenge=parameters.one("code_challenge") or "",
            state=parameters.one("state"),
        )

    async def begin(self, request: AuthorizationRequest, browser: Secret) -> str | None:
        """Begin a sign-in in a browser; where to send it, or None where too many are under way.

        Raises what the provider's URL raises, and StoreError: then nothing has begun.
        """
        sign_in = replace(
            make_request("client"),
            client_id=request.client.client_id,
            redirect_uri=request.redirect_uri,
            has_redirect_uri=request.has_redirect_uri,
            scopes=request.scopes,
            resource=request.resource,
            code_challenge=request.code_challenge,
            client_state=request.state,
        )
        return await begin_sign_in(self._store, self._provider, sign_in, browser)

    def refuse(self, request: AuthorizationRequest, error: str, description: str) -> str:
        """Where the browser tells the client of a request why it gets nothing."""
        answer = {"error": error, "error_description": description}
        return make_return_url(self._options.issuer, request.redirect_uri, request.state, answer)

    def _check(self, parameters: Parameters, client: OAuthClient) -> tuple[str, ...]:
        response_type = parameters.one("response_type")
        if response_type is None:
            raise OAuth2Error("response_type is missing", error="invalid_request")
        if response_type != "code":
            raise OAuth2Error("response_type must be code", error="unsupported_response_type")
        request = FormRequest("GET", self._options.url, parameters)
        RequestServer(self._options, lambda _: client).get_consent_grant(request)
        return tuple(request.scope.split(" "))

    def _refuse(self, error: OAuth2Error, redirect_uri: str, state: str | None) -> AuthorizationRefusal:
        answer = {"error": error.error, "error_description": error.description}
        return_url = make_return_url(self._options.issuer, redirect_uri, state, answer)
        return AuthorizationRefusal(error.error, error.description, return_url)


def make_request(kind: Literal["client", "me"]) -> SignInRequest:
    """A sign-in that is to begin, which the provider's answer must match."""
    return SignInRequest(new_id(), kind, _make_text(), Secret(_make_text()))


async def begin_sign_in(store: Store, provider: ProviderUrls, request: SignInRequest, browser: Secret) -> str | None:
    """Begin one in a browser; where to send it, or None where too many are under way.

    Raises what the provider's URL raises, and StoreError: then nothing has begun.
    """
    state = _make_text()
    url = await provider.make_authorization_url(
        state=state,
        nonce=request.nonce,
        verifier=request.verifier,
        fresh=request.is_fresh,
        offline=request.kind == "client",
    )
    digests = digest_text(state), digest_text(browser.reveal())
    requests = store.signin_requests
    has_begun = await retry_behind(lambda: store.database.write(lambda tx: requests.add_in(tx, request, *digests)))
    return url if has_begun else None


def find_redirect_uri(requested: str | None, client: OAuthClient) -> str | None:
    """Where a client wants a person sent back to, if that is a place of its own."""
    record = ClientRecord(client)
    if requested is None:
        return record.get_default_redirect_uri()
    return requested if record.check_redirect_uri(requested) else None
