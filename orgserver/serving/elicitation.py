"""How the person at the client is asked, in both protocol generations.

Up to 2025-11-25 the question is a request of the server in the midst of the call. From 2026-07-28 on it is the call's
result, and the client repeats the call with the answer and the state that came with the question; that state is sealed
by the service that asks.
"""

from __future__ import annotations

import logging
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, ElicitResult
from mcp_types.version import is_version_at_least
from pydantic import ValidationError

from orgserver.model.errors import Unconfirmed
from orgserver.model.orgs import Elicitor
from orgserver.serving.call_parameters import ANSWER, CallParameters

logger = logging.getLogger("orgserver.calls")

_REPEATED_SINCE = "2026-07-28"
_YES_OR_NO: dict[str, Any] = {"type": "object", "properties": {}}
"""An empty form: accepting it is the yes."""
_UNREADABLE = "the client's answer to a question says neither accept, decline nor cancel"


def make_elicitor(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> Elicitor | None:
    """The person at the client; None where it cannot show a form."""
    capabilities = ctx.session.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return None  # a bare ``elicitation: {}`` means forms, the only kind there was at first
    if is_version_at_least(ctx.protocol_version, _REPEATED_SINCE):
        unreadable = isinstance(ctx.params, CallParameters) and ctx.params.has_unreadable_answer
        return _Repeating(params, is_unreadable=unreadable)
    return _Waiting(ctx)


def input_required(question: Unconfirmed) -> dict[str, Any]:
    """The result that asks."""
    form = {"mode": "form", "message": question.question, "requestedSchema": _YES_OR_NO}
    return {
        "resultType": "input_required",
        "inputRequests": {ANSWER: {"method": "elicitation/create", "params": form}},
        "requestState": question.state,
    }


class _Repeating:
    """Answers with a repeated call."""

    def __init__(self, params: CallToolRequestParams, *, is_unreadable: bool) -> None:
        response = (params.input_responses or {}).get(ANSWER)
        self.answer: tuple[str, str] | None = None
        self._is_unreadable = is_unreadable
        if params.request_state is not None and isinstance(response, ElicitResult):
            self.answer = (params.request_state, response.action)

    async def ask(self, question: str, state: str) -> str | None:
        """Leave the question as the call's result, unless the client has shown that it cannot answer one."""
        if self._is_unreadable:
            logger.warning(_UNREADABLE)
            return None
        raise Unconfirmed(question, state)


class _Waiting:
    """Answers while the call waits."""

    answer = None

    def __init__(self, ctx: ServerRequestContext[Any]) -> None:
        self._ctx = ctx

    async def ask(self, question: str, state: str) -> str | None:
        """Ask, and wait."""
        del state
        try:
            reply = await self._ctx.session.elicit_form(question, _YES_OR_NO, self._ctx.request_id)
        except MCPError as error:
            logger.warning("the client could not ask its person: code %s", error.code)
            return None
        except ValidationError:
            logger.warning(_UNREADABLE)
            return None
        return reply.action
