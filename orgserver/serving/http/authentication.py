"""Who sends a request: the principal of its API key or access token, asked anew at each request."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from orgserver.model.access.api_keys import PREFIX
from orgserver.model.access.bearer_tokens import ACCESS
from orgserver.model.access.principals import Permission, Principal, Subject
from orgserver.model.errors import StoreError
from orgserver.model.secret import Secret
from orgserver.model.text import replace_unsafe
from orgserver.oauth.access_tokens import AccessToken, AccessTokenVerifier
from orgserver.oauth.refusals import IssuerUnavailable, TokenRefused
from orgserver.services.people.auth_failures import AuthFailure
from orgserver.services.people.composition import People
from orgserver.services.people.keys import KeyRefusal
from orgserver.services.people.subjects import SubjectRefusal
from orgserver.services.signin.tokens.access_tokens import AccessTokens, SignedIn, TokenRefusal
from orgserver.serving.http.bearer.challenges import Challenges
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.replies import Reply, make_error_reply, retry_after

_SCHEME = b"bearer"
_NO_KEY = "this key opens nothing here"
_SUSPENDED = "your access was suspended; an administrator of orgserver knows why"
_TOKEN_REFUSALS = {
    TokenRefusal.UNKNOWN: "this access token opens nothing here",
    TokenRefusal.EXPIRED: "this access token has expired",
    TokenRefusal.ENDED: "the sign-in of this access token has ended",
    TokenRefusal.OTHER_RESOURCE: "this access token is for another server",
}


class Authenticated(NamedTuple):
    """Whose request it is, and by what."""

    principal: Principal
    key_id: str | None = None
    """The API key that it came with, if it did."""
    scopes: frozenset[Permission] | None = None
    """What its token is narrowed to; None: nothing but the grants limits it."""
    session_id: str | None = None
    """Of own sign-in, where the token is of that."""


class Authenticator:
    """Finds the principal of a request.

    ``verifier`` checks access tokens of an issuer, where there is one; ``own_tokens`` those of own sign-in.
    """

    def __init__(
        self,
        people: People,
        challenges: Challenges,
        verifier: AccessTokenVerifier | None,
        own_tokens: AccessTokens | None = None,
    ) -> None:
        self._people = people
        self._challenges = challenges
        self._verifier = verifier
        self._own_tokens = own_tokens

    async def authenticate(self, authorization: list[bytes], admitted: Admitted) -> Authenticated | Reply:
        """Whose request it is, by its ``Authorization`` headers; or the reply that says why it is nobody's."""
        if not authorization:
            return self._challenges.ask_token(admitted.url, self._what_is_needed())
        token = _read_bearer(authorization)
        try:
            if token is None:
                return await self._refuse(admitted, "MALFORMED_AUTHORIZATION", self._what_is_needed())
            return await self._check(token, admitted)
        except StoreError:
            return make_error_reply(503, "nobody can be recognised, for the store is away", headers=retry_after(1.0))

    def _what_is_needed(self) -> str:
        either = "" if self._verifier is None and self._own_tokens is None else ", or an access token"
        return f"a bearer token is needed: an API key of orgserver{either}"

    async def _check(self, token: Secret, admitted: Admitted) -> Authenticated | Reply:
        """Whose it is, by what it begins with."""
        text = token.reveal()
        if self._own_tokens is not None and text.startswith(ACCESS):
            return await self._check_own_token(self._own_tokens, token, admitted)
        if self._verifier is not None and not text.startswith(PREFIX):
            return await self._check_token(self._verifier, token, admitted)
        return await self._check_key(token, admitted)

    async def _check_own_token(
        self, own_tokens: AccessTokens, token: Secret, admitted: Admitted
    ) -> Authenticated | Reply:
        answer = await own_tokens.check(token)
        if isinstance(answer, SignedIn):
            return Authenticated(answer.principal, scopes=answer.scopes, session_id=answer.session_id)
        name = await own_tokens.identify(token)
        if answer is TokenRefusal.DISABLED:
            await self._people.auth_failures.record(AuthFailure(admitted.source, "PRINCIPAL_DISABLED", 403, name))
            return self._challenges.refuse_caller(admitted.url, _SUSPENDED)
        return await self._refuse(admitted, f"{answer.name}_TOKEN", _TOKEN_REFUSALS[answer], principal=name)

    async def _check_key(self, key: Secret, admitted: Admitted) -> Authenticated | Reply:
        answer = await self._people.api_keys.check(key)
        if not isinstance(answer, KeyRefusal):
            return Authenticated(answer.principal, answer.key_id)
        code = f"{answer.name}_KEY"
        owner = await self._people.api_keys.identify(key)
        if owner is None:
            return await self._refuse(admitted, code, _NO_KEY)
        return await self._refuse(admitted, code, _NO_KEY, principal=owner.principal.name, key_id=owner.key_id)

    async def _check_token(
        self, verifier: AccessTokenVerifier, token: Secret, admitted: Admitted
    ) -> Authenticated | Reply:
        try:
            access_token = await verifier.verify(token)
        except TokenRefused as refusal:
            return await self._refuse(admitted, "INVALID_TOKEN", refusal.reason)
        except IssuerUnavailable as error:
            await self._people.auth_failures.record(AuthFailure(admitted.source, "ISSUER_UNAVAILABLE", 503))
            message = "access tokens cannot be checked now: their issuer does not tell its keys"
            return make_error_reply(503, message, headers=retry_after(error.retry_after))
        return await self._find_caller(access_token, admitted)

    async def _find_caller(self, token: AccessToken, admitted: Admitted) -> Authenticated | Reply:
        """The principal of a good token; 403 where it is nobody here, or somebody who is disabled."""
        subjects = [token.subject] + ([token.client] if token.client is not None else [])
        principal = await self._people.subjects.find(*subjects)
        if isinstance(principal, Principal):
            return Authenticated(replace(principal, claims=token.claims), scopes=token.scopes)
        if principal is SubjectRefusal.DISABLED:
            code, message = "PRINCIPAL_DISABLED", _SUSPENDED
        else:
            code, message = "UNKNOWN_SUBJECT", _describe_unknown(token.subject)
        name = await self._people.subjects.identify(*subjects)
        failure = AuthFailure(admitted.source, code, 403, name, subject=token.subject)
        await self._people.auth_failures.record(failure)
        return self._challenges.refuse_caller(admitted.url, message)

    async def _refuse(
        self,
        admitted: Admitted,
        code: str,
        message: str,
        *,
        principal: str | None = None,
        key_id: str | None = None,
    ) -> Reply:
        await self._people.auth_failures.record(AuthFailure(admitted.source, code, 401, principal, key_id))
        return self._challenges.refuse_token(admitted.url, message)


def _describe_unknown(subject: Subject) -> str:
    issuer, name = replace_unsafe(subject.issuer), replace_unsafe(subject.subject)
    return (
        f"no principal here is the subject {name} of {issuer}; "
        "an administrator of orgserver adds it with update-principal NAME --subject ISSUER SUBJECT"
    )


def _read_bearer(authorization: list[bytes]) -> Secret | None:
    """The token of the one header that there may be."""
    if len(authorization) != 1:
        return None
    scheme, _, token = authorization[0].partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() != _SCHEME or not token or not token.isascii():
        return None
    return Secret(token.decode("ascii"))
