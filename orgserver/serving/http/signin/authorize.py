"""``/authorize``: what a client asks a person for. A good request sends the browser on to the identity provider.

Nothing is sent back to a place before it is known to be the client's own; until then people read what is wrong.
"""

from __future__ import annotations

from starlette.types import Receive

from orgserver.model.hosts import find_network
from orgserver.oauth.provider.refusals import ProviderUnavailable
from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.browser.authorization import Authorization, AuthorizationRefusal, AuthorizationRequest
from orgserver.services.signin.clients.registry import ClientRefusal, Clients
from orgserver.services.signin.parameters import BadParameters, Parameters
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.people.pages import Pages
from orgserver.serving.http.replies import Reply, retry_after
from orgserver.serving.http.signin.cookies import (
    SIGN_IN,
    SIGN_IN_SECONDS,
    keep_cookie,
    make_cookie_value,
    read_cookie,
)
from orgserver.serving.http.signin.forms import UnreadableBody, read_form, read_query
from orgserver.serving.http.signin.returns import return_error, see_other

_RETRY_SECONDS = 60.0
_WRONG_REQUEST = "The client asked in a wrong way"
_RETURN = "If you know the client, go back to it and connect again; it is told what was wrong."
_ADD_ANEW = (
    "Take this server out of the client and add it again, so that it makes itself known anew. "
    "If this page comes again, tell whoever looks after this server."
)
_CLIENT_IS_WRONG = "Go back to the client and connect again. If this page comes again, tell whoever makes the client."


class AuthorizeEndpoint:
    """Answers people whom a client has sent."""

    def __init__(self, authorization: Authorization, clients: Clients, failures: AuthFailures, pages: Pages) -> None:
        self._authorization = authorization
        self._clients = clients
        self._failures = failures
        self._pages = pages

    async def answer(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """Begin a sign-in, or say why not."""
        try:
            parameters = await _read(exchange, receive)
        except (BadParameters, UnreadableBody) as error:
            status = error.status if isinstance(error, UnreadableBody) else 400
            return await self._fail(exchange, status, "INVALID_REQUEST", error.text)
        client_id = parameters.one("client_id")
        if client_id is None:
            return await self._fail(exchange, 400, "INVALID_REQUEST", "client_id is missing")
        client = await self._clients.find(client_id, find_network(exchange.source))
        if isinstance(client, ClientRefusal):
            return await self._refuse_client(exchange, client_id, client)
        request = self._authorization.check(parameters, client)
        if isinstance(request, AuthorizationRefusal):
            return await self._refuse(exchange, client_id, request)
        return await self._begin(exchange, request)

    async def _begin(self, exchange: Exchange, request: AuthorizationRequest) -> Reply:
        browser = read_cookie(exchange.scope, SIGN_IN) or make_cookie_value()
        try:
            url = await self._authorization.begin(request, browser)
        except ProviderUnavailable as error:
            failure = AuthFailure(exchange.source, "PROVIDER_UNAVAILABLE", 503, client_id=request.client.client_id)
            await self._failures.record(failure)
            text = "Your company's identity provider cannot be reached now, or its answer cannot be used."
            return self._put_off(request, text, max(error.retry_after, 1.0))
        if url is None:
            return self._put_off(request, "Too many sign-ins are under way.", _RETRY_SECONDS)
        return see_other(url, keep_cookie(SIGN_IN, browser, SIGN_IN_SECONDS))

    def _put_off(self, request: AuthorizationRequest, text: str, seconds: float) -> Reply:
        return self._pages.fail(
            503,
            "You cannot be signed in now",
            text,
            "Try again in a while. If it stays so, tell whoever looks after this server: its log says why.",
            return_url=self._authorization.refuse(request, "temporarily_unavailable", "sign-in is not possible now"),
            headers=retry_after(seconds),
        )

    async def _refuse(self, exchange: Exchange, client_id: str, refusal: AuthorizationRefusal) -> Reply:
        """Tell the client, or whoever reads the page where no place is known to be the client's."""
        code, reason = refusal.error.upper(), refusal.description
        if refusal.return_url is None:
            return await self._fail(exchange, 400, code, reason, client_id)
        text = f"The client's request cannot be answered: {reason}."
        reply = return_error(self._pages, refusal.return_url, 400, _WRONG_REQUEST, text, _RETURN)
        failure = AuthFailure(exchange.source, code, reply.status, client_id=client_id, reason=reason)
        await self._failures.record(failure)
        return reply

    async def _refuse_client(self, exchange: Exchange, client_id: str, refusal: ClientRefusal) -> Reply:
        failure = AuthFailure(exchange.source, refusal.code, 400, client_id=client_id, reason=refusal.reason)
        await self._failures.record(failure)
        title, text, todo = "This client is not known here", f"It cannot be used: {refusal.reason}.", _ADD_ANEW
        if refusal.code == "CLIENT_DOCUMENT":
            title, text = "This client's description cannot be read", f"It is at the client's id: {refusal.reason}."
            todo = _CLIENT_IS_WRONG
        return self._pages.fail(400, title, text, todo, facts={"Client": client_id})

    async def _fail(
        self, exchange: Exchange, status: int, code: str, reason: str, client_id: str | None = None
    ) -> Reply:
        failure = AuthFailure(exchange.source, code, status, client_id=client_id, reason=reason)
        await self._failures.record(failure)
        text = f"The client's request cannot be answered: {reason}."
        return self._pages.fail(status, _WRONG_REQUEST, text, _CLIENT_IS_WRONG)


async def _read(exchange: Exchange, receive: Receive) -> Parameters:
    if exchange.scope["method"] == "POST":
        return await read_form(exchange.scope, receive)
    return read_query(exchange.scope)
