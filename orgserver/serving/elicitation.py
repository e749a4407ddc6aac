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

from orgserver.model.errors import Unconfirmed
from orgserver.model.orgs import Person

logger = logging.getLogger("orgserver.calls")

_KEY = "confirm"
_REPEATED_SINCE = "2026-07-28"
_YES_OR_NO: dict[str, Any] = {"type": "object", "properties": {}}
"""An empty form: accepting it is the yes."""


def person(ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> Person | None:
    """The person at the client; None where it cannot show a form."""
    told = ctx.session.client_capabilities
    elicitation = told.elicitation if told is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return None  # a bare ``elicitation: {}`` means forms, the only kind there was at first
    if is_version_at_least(ctx.protocol_version, _REPEATED_SINCE):
        return _Repeating(params)
    return _Waiting(ctx)


def input_required(asked: Unconfirmed) -> dict[str, Any]:
    """The result that asks."""
    form = {"mode": "form", "message": asked.question, "requestedSchema": _YES_OR_NO}
    return {
        "resultType": "input_required",
        "inputRequests": {_KEY: {"method": "elicitation/create", "params": form}},
        "requestState": asked.state,
    }


class _Repeating:
    """Answers with a repeated call."""

    def __init__(self, params: CallToolRequestParams) -> None:
        answer = (params.input_responses or {}).get(_KEY)
        self.said: tuple[str, str] | None = None
        if params.request_state is not None and isinstance(answer, ElicitResult):
            self.said = (params.request_state, answer.action)

    async def ask(self, question: str, state: str) -> str | None:
        """Leave the question as the call's result."""
        raise Unconfirmed(question, state)


class _Waiting:
    """Answers while the call waits."""

    said = None

    def __init__(self, ctx: ServerRequestContext[Any]) -> None:
        self._ctx = ctx

    async def ask(self, question: str, state: str) -> str | None:
        """Ask, and wait."""
        del state
        try:
            answer = await self._ctx.session.elicit_form(question, _YES_OR_NO, self._ctx.request_id)
        except MCPError as error:
            logger.warning("the client could not ask its person: code %s", error.code)
            return None
        return answer.action
