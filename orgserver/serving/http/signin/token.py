"""``/token`` and ``/revoke``: forms by POST, answered in JSON that nobody keeps (RFC 6749 §3.2, RFC 7009)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.types import Receive

from orgserver.services.people.auth_failures import AuthFailure, AuthFailures
from orgserver.services.signin.parameters import BadParameters, Parameters
from orgserver.services.signin.tokens.authorization_server import AuthorizationServer
from orgserver.services.signin.tokens.issuance import OAuthAnswer
from orgserver.serving.http.door import Admitted
from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.replies import Reply, retry_after
from orgserver.serving.http.signin.forms import UnreadableBody, read_form, read_headers
from orgserver.serving.http.signin.machines import make_json_reply, make_refusal_reply

_AUTHORIZATION = b"authorization"


class TokenEndpoint:
    """Answers both."""

    def __init__(self, server: AuthorizationServer, failures: AuthFailures) -> None:
        self._server = server
        self._failures = failures

    async def answer_token(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """Tokens for a code or a refresh token."""
        return await self._answer(exchange, receive, self._server.answer_token)

    async def answer_revocation(self, exchange: Exchange, _admitted: Admitted, receive: Receive) -> Reply:
        """End what a token is of."""
        return await self._answer(exchange, receive, self._server.answer_revocation)

    async def _answer(
        self, exchange: Exchange, receive: Receive, answer: Callable[[Parameters, str], Awaitable[OAuthAnswer]]
    ) -> Reply:
        if _AUTHORIZATION in read_headers(exchange.scope):
            text = "clients have no secret here: send client_id in the form, and no Authorization header"
            return await self._refuse(exchange, 401, "invalid_client", text)
        try:
            parameters = await read_form(exchange.scope, receive)
        except UnreadableBody as error:
            return await self._refuse(exchange, error.status, "invalid_request", error.text)
        except BadParameters as error:
            return await self._refuse(exchange, 400, "invalid_request", error.text)
        reply = await answer(parameters, exchange.source)
        pause = retry_after(reply.retry_after) if reply.retry_after is not None else ()
        return make_json_reply(reply.status, reply.body, pause)

    async def _refuse(self, exchange: Exchange, status: int, error: str, text: str) -> Reply:
        await self._failures.record(AuthFailure(exchange.source, error.upper(), status))
        return make_refusal_reply(status, error, text)
