"""The token endpoint, and what goes back to clients from a sign-in: codes, tokens, refusals and revocations.

A request runs whole inside one transaction of the store, with its entry: it is answered when that is durable. Only a
refresh of a session that the provider vouches for takes two, with the provider asked between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from orgserver.model.access.bearer_tokens import CODE, make_token
from orgserver.model.access.people import OAuthClient
from orgserver.model.access.principals import Subject
from orgserver.model.digests import digest_text
from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.model.secret import Secret
from orgserver.oauth.provider.client import ProviderAnswer
from orgserver.oauth.provider.refusals import GrantEnded, ProviderRefused, ProviderUnavailable
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.services.signin.return_urls import make_return_url
from orgserver.services.signin.tokens.grants import OTHER_RESOURCE, FormRequest, RequestServer
from orgserver.services.signin.tokens.issuance import Issuance, OAuthAnswer, make_error_answer
from orgserver.store.session import Store
from orgserver.store.signin import clients, tokens
from orgserver.store.signin.requests import SignInRequest
from orgserver.store.signin.sessions import CODE_US
from orgserver.store.signin.tokens import StoredToken
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Unsealable
from orgserver.vault.ring import retry_behind

PROVIDER_ENDED = "the provider ended it"
PROVIDER_NOT_BELIEVED = "the provider's answer is not to be believed"
PROVIDER_TOKEN_CHANGED = "the provider's token was put back or changed"  # noqa: S105  # why a session ends
TRIES, PAUSE_SECONDS = 3, 0.5
"""Of the store, where the provider's newest token waits for it."""
RETRY_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Result:
    """What a request comes to."""

    answer: OAuthAnswer
    principal: str | None = None
    """Whom it turned out to be about, where it did."""
    code: str | None = None
    """Of the entry of a refusal, where the answer's own says too little."""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Pending:
    """A refresh whose token is spent, and whose session the provider must vouch for."""

    attempt: str
    token: StoredToken
    provider_token: Secret


class ProviderGrants(Protocol):
    """As much of the identity provider as says whether a grant of a person still stands."""

    async def refresh(self, refresh_token: Secret, subject: Subject) -> ProviderAnswer:
        """Use the provider's refresh token."""


class AuthorizationServer:
    """Gives clients their codes and tokens, takes these back, and says why they get none."""

    def __init__(
        self,
        store: Store,
        options: SignInOptions,
        failures: AuthFailures,
        provider: ProviderGrants,
    ) -> None:
        self._store = store
        self._options = options
        self._sessions = store.signin_sessions
        self._failures = failures
        self._provider = provider
        self._refreshes: set[asyncio.Task[_Result]] = set()

    async def answer_token(self, parameters: Parameters, source: str) -> OAuthAnswer:
        """Tokens for a code or a refresh token; ``source`` is where the request came from."""
        request = FormRequest("POST", self._options.url, parameters)
        if not all(map(self._options.reads_resource, request.resources)):
            result = _Result(make_error_answer(400, "invalid_target", OTHER_RESOURCE))
        elif request.payload.grant_type == "refresh_token":
            result = await self._finish_anyhow(self._refresh(request))
        else:
            result = await self._write(partial(self._exchange_in, request=request))
        return await self._record(result, source)

    async def answer_revocation(self, parameters: Parameters, source: str) -> OAuthAnswer:
        """End what a token is of, for its own client."""
        request = FormRequest("POST", self._options.url, parameters)
        return await self._record(await self._write(partial(self._revoke_in, request=request)), source)

    async def close(self) -> None:
        """Wait for refreshes under way: a provider's new token must reach the store."""
        await asyncio.gather(*self._refreshes, return_exceptions=True)

    def issue_code_in(self, tx: Transaction, request: SignInRequest, session_id: str) -> str:
        """Give the client of a sign-in its code; where the browser takes it."""
        code = make_token(CODE)
        tokens.add_in(
            tx,
            "code",
            digest_text(code.reveal()),
            session_id,
            request.scopes,
            tx.now + CODE_US,
            code_challenge=request.code_challenge,
            redirect_uri=request.redirect_uri if request.has_redirect_uri else None,
        )
        return self._return(request, {"code": code.reveal()})

    def deny(self, request: SignInRequest) -> str:
        """Tell the client that the person said no; where the browser takes that."""
        return self.refuse(request, "access_denied", "the person did not allow it")

    def refuse(self, request: SignInRequest, error: str, description: str) -> str:
        """Tell the client why it gets nothing; where the browser takes that."""
        return self._return(request, {"error": error, "error_description": description})

    def _return(self, request: SignInRequest, answer: dict[str, str]) -> str:
        assert request.redirect_uri is not None  # noqa: S101  # it was begun by a client
        return make_return_url(self._options.issuer, request.redirect_uri, request.client_state, answer)

    async def _finish_anyhow(self, refresh: Coroutine[None, None, _Result]) -> _Result:
        """Go on with a refresh whose client has left: its provider may have given the next token already."""
        task = asyncio.create_task(refresh)
        self._refreshes.add(task)
        task.add_done_callback(self._refreshes.discard)
        return await asyncio.shield(task)

    async def _refresh(self, request: FormRequest) -> _Result:
        attempt = new_id()
        pending = await self._write(partial(self._refresh_in, request=request, attempt=attempt))
        if isinstance(pending, _Result):
            return pending
        try:
            answer = await self._provider.refresh(pending.provider_token, pending.token.session.subject)
        except ProviderUnavailable as error:
            return await self._put_off(pending, error)
        except (GrantEnded, ProviderRefused) as error:
            return await self._write_surely(partial(self._end_in, pending=pending, error=error))
        return await self._write_surely(partial(self._renew_in, request=request, pending=pending, answer=answer))

    async def _put_off(self, pending: _Pending, error: ProviderUnavailable) -> _Result:
        """Give the client its token back: it may come again with it."""
        digest, principal = pending.token.digest, pending.token.session.principal
        await self._write_surely(lambda tx: tokens.unspend_in(tx, digest, pending.attempt))
        seconds = max(error.retry_after, RETRY_SECONDS)
        answer = OAuthAnswer(
            503,
            {"error": "temporarily_unavailable", "error_description": "the identity provider cannot be asked now"},
            seconds,
        )
        return _Result(answer, principal, "PROVIDER_UNAVAILABLE", error.reason)

    async def _write(self, change: Callable[[Transaction], T]) -> T:
        return await retry_behind(lambda: self._store.database.write(change))

    async def _write_surely(self, change: Callable[[Transaction], T]) -> T:
        """Write what nobody could find out again, also where the store is busy for a while."""
        for _ in range(TRIES - 1):
            with suppress(StoreError):
                return await self._write(change)
            await asyncio.sleep(PAUSE_SECONDS)
        return await self._write(change)

    def _exchange_in(self, tx: Transaction, request: FormRequest) -> _Result:
        issuance, server = self._serve(tx, new_id())
        answer = server.create_token_response(request)
        if answer.error is not None:
            issuance.refuse_code()
        return _Result(answer, issuance.principal)

    def _refresh_in(self, tx: Transaction, request: FormRequest, attempt: str) -> _Result | _Pending:
        """Spend the token, and give the next ones at once where nobody has to be asked."""
        issuance, server = self._serve(tx, attempt)
        token = server.begin_refresh(request)
        if isinstance(token, OAuthAnswer):
            return _Result(token, issuance.principal)
        try:
            provider_token = self._sessions.open_provider_token_in(tx, token.session.id)
        except Unsealable:  # by other hands: nobody can ask the provider any more whether the session stands
            issuance.end_session(token.session, PROVIDER_TOKEN_CHANGED)
            refusal = make_error_answer(400, "invalid_grant", "this session cannot be confirmed any more")
            return _Result(refusal, issuance.principal, "PROVIDER_TOKEN", PROVIDER_TOKEN_CHANGED)
        if provider_token is not None:
            return _Pending(attempt, token, provider_token)
        return _Result(server.create_token_response(request), issuance.principal)

    def _renew_in(self, tx: Transaction, request: FormRequest, pending: _Pending, answer: ProviderAnswer) -> _Result:
        """Give the next tokens, and write down what the provider says now."""
        issuance, server = self._serve(tx, pending.attempt)
        issuance.provider_token = answer.refresh_token
        reply = server.create_token_response(request)
        if reply.error is None and answer.person.groups is not None:
            issuance.set_groups(pending.token.session.principal, answer.person.groups)
        return _Result(reply, issuance.principal)

    def _end_in(self, tx: Transaction, pending: _Pending, error: GrantEnded | ProviderRefused) -> _Result:
        """End a session that the provider does not vouch for any more."""
        issuance, _ = self._serve(tx, pending.attempt)
        is_over = isinstance(error, GrantEnded)
        issuance.end_session(pending.token.session, PROVIDER_ENDED if is_over else PROVIDER_NOT_BELIEVED)
        answer = make_error_answer(400, "invalid_grant", "the identity provider does not confirm this session any more")
        code = "PROVIDER_ENDED" if is_over else "SIGNIN_ID_TOKEN"
        return _Result(answer, pending.token.session.principal, code, error.reason)

    def _revoke_in(self, tx: Transaction, request: FormRequest) -> _Result:
        issuance, server = self._serve(tx, new_id())
        return _Result(server.create_endpoint_response("revocation", request), issuance.principal)

    def _serve(self, tx: Transaction, attempt: str) -> tuple[Issuance, RequestServer]:
        issuance = Issuance(tx, self._sessions, self._store, self._options, attempt)
        return issuance, RequestServer(self._options, partial(_find_client_in, tx), issuance)

    async def _record(self, result: _Result, source: str) -> OAuthAnswer:
        """Put a refusal on record."""
        answer = result.answer
        if answer.error is not None:
            code = result.code or answer.error.upper()
            failure = AuthFailure(source, code, answer.status, result.principal, reason=result.reason)
            await self._failures.record(failure)
        return answer


def _find_client_in(tx: Transaction, client_id: str) -> OAuthClient | None:
    """A client as it was when a person consented: whoever has a code or token has been here."""
    stored = clients.find_in(tx, client_id)
    return stored.client if stored is not None else None
