"""The token endpoint, and what goes back to clients from a sign-in: codes, tokens, refusals and revocations.

A request runs whole inside one transaction of the store, with its entry: it is answered when that is durable.
"""

from __future__ import annotations

from functools import partial

from orgserver.model.access.bearer_tokens import CODE, make_token
from orgserver.model.access.people import OAuthClient
from orgserver.model.digests import digest_text
from orgserver.model.names import new_id
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.authorization import make_return_url
from orgserver.services.signin.grants import OTHER_RESOURCE, FormRequest, RequestServer
from orgserver.services.signin.issuance import Issuance, OAuthAnswer, make_error_answer
from orgserver.services.signin.options import SignInOptions
from orgserver.services.signin.parameters import Parameters
from orgserver.store.session import Store
from orgserver.store.signin import clients, tokens
from orgserver.store.signin.requests import SignInRequest
from orgserver.store.signin.sessions import CODE_US, Sessions
from orgserver.store.transaction import Transaction

_Answer = tuple[OAuthAnswer, str | None]
"""With the principal that a request turned out to be about, where it did."""


class Protocol:
    """Answers clients."""

    def __init__(self, store: Store, options: SignInOptions, sessions: Sessions, failures: AuthFailures) -> None:
        self._store = store
        self._options = options
        self._sessions = sessions
        self._failures = failures

    async def answer_token(self, parameters: Parameters, source: str) -> OAuthAnswer:
        """Tokens for a code or a refresh token; ``source`` is where the request came from."""
        request = FormRequest("POST", self._options.url, parameters)
        if not all(map(self._options.reads_resource, request.resources)):
            answer: _Answer = make_error_answer(400, "invalid_target", OTHER_RESOURCE), None
        elif request.payload.grant_type == "refresh_token":
            answer = await self._store.database.write(partial(self._refresh_in, request=request))
        else:
            answer = await self._store.database.write(partial(self._exchange_in, request=request))
        return await self._record(answer, source)

    async def answer_revocation(self, parameters: Parameters, source: str) -> OAuthAnswer:
        """End what a token is of, for its own client."""
        request = FormRequest("POST", self._options.url, parameters)
        answer: _Answer = await self._store.database.write(partial(self._revoke_in, request=request))
        return await self._record(answer, source)

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

    def _exchange_in(self, tx: Transaction, request: FormRequest) -> _Answer:
        issuance, server = self._serve(tx, new_id())
        answer = server.create_token_response(request)
        if answer.error is not None:
            issuance.refuse_code()
        return answer, issuance.principal

    def _refresh_in(self, tx: Transaction, request: FormRequest) -> _Answer:
        issuance, server = self._serve(tx, new_id())
        token = server.begin_refresh(request)
        answer = token if isinstance(token, OAuthAnswer) else server.create_token_response(request)
        return answer, issuance.principal

    def _revoke_in(self, tx: Transaction, request: FormRequest) -> _Answer:
        issuance, server = self._serve(tx, new_id())
        answer: OAuthAnswer = server.create_endpoint_response("revocation", request)
        return answer, issuance.principal

    def _serve(self, tx: Transaction, attempt: str) -> tuple[Issuance, RequestServer]:
        issuance = Issuance(tx, self._sessions, self._store.audit, self._options, attempt)
        return issuance, RequestServer(self._options, partial(_find_client_in, tx), issuance)

    async def _record(self, answer: _Answer, source: str) -> OAuthAnswer:
        """Put a refusal on record."""
        reply, principal = answer
        if reply.error is not None:
            await self._failures.record(AuthFailure(source, reply.error.upper(), reply.status, principal))
        return reply


def _find_client_in(tx: Transaction, client_id: str) -> OAuthClient | None:
    """A client as it was when a person consented: whoever has a code or token has been here."""
    stored = clients.find_in(tx, client_id)
    return stored.client if stored is not None else None
