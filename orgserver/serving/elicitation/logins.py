"""Leads people to a login of their own: their client opens the link where it can, else the error's hint says it.

Up to 2025-11-25 the link is a protocol error of its own (-32042); from 2026-07-28 on it is the call's result, and the
client repeats the call. Whoever repeats it without having logged in gets the error: nobody is asked round and round.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from shlex import quote
from typing import Any, Literal, Protocol

from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types import CallToolRequestParams, ElicitRequestURLParams
from mcp_types.version import is_version_at_least

from orgserver.model.errors import LoginRequired, OrgserverError
from orgserver.model.orgs import Caller
from orgserver.serving.elicitation.url_sessions import HEADER, is_session_that_opens_urls
from orgserver.tools import results

logger = logging.getLogger("orgserver.calls")

LOGIN = "login"
"""The key of the link, and so of the client's word that it was opened."""
LoginPrompt = Literal["error", "result"]
"""How a client that opens addresses is given one."""
_RESULT_SINCE = "2026-07-28"


class Offered(Protocol):
    """A link that was made just now."""

    @property
    def id(self) -> str:
        """By which it is known in the store."""

    @property
    def url(self) -> str:
        """Where the person opens it."""


class Links(Protocol):
    """Makes links to logins."""

    async def offer(self, caller: Caller, row_id: str) -> Offered | None:
        """One for who calls, to an org; None where they cannot be led anywhere."""


class Logins:
    """Answers calls that need a login; without ``links`` people log in by a command."""

    def __init__(self, links: Links | None = None) -> None:
        self._links = links

    async def answer(
        self, error: LoginRequired, caller: Caller, org: str | None, prompt: LoginPrompt | None
    ) -> dict[str, Any] | MCPError:
        """The result that asks, the error to raise in place of one, or the failure with what to do."""
        link = await self.lead(error, caller, org)
        if link is None or prompt is None:
            return results.failure(error, org)
        message = f"Log in to the Salesforce org {org}, so that your agents work there as you."
        if prompt == "error":
            elicitation = ElicitRequestURLParams(message=message, url=link.url, elicitation_id=link.id)
            return UrlElicitationRequiredError([elicitation], str(error))
        params = {"mode": "url", "message": message, "url": link.url}
        return {
            "resultType": "input_required",
            "inputRequests": {LOGIN: {"method": "elicitation/create", "params": params}},
        }

    async def lead(self, error: LoginRequired, caller: Caller, org: str | None) -> Offered | None:
        """Make a link where one can be made, and say in the error's hint what to do."""
        link = await self._offer(error, caller)
        if link is not None:
            error.link = link.url
            error.hint = f"open {link.url} within 10 minutes and log in, then repeat the call"
        elif error.hint is None:
            error.hint = _name_command(caller, org)
        return link

    async def _offer(self, error: LoginRequired, caller: Caller) -> Offered | None:
        if self._links is None:
            return None
        try:
            return await self._links.offer(caller, error.row_id)
        except OrgserverError as away:  # the call was refused all the same, and is on record
            logger.warning("no link to a login can be made: %s", away)
            return None


def find_prompt(client: Connection | ServerSession, answers: Mapping[str, Any] | None = None) -> LoginPrompt | None:
    """How a client is given a link; None where it opens none, or has said already what became of one."""
    capabilities = client.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or elicitation.url is None or LOGIN in (answers or {}):
        return None
    return "result" if is_version_at_least(client.protocol_version, _RESULT_SINCE) else "error"


def find_prompt_of_request(ctx: ServerRequestContext[Any], params: CallToolRequestParams | None) -> LoginPrompt | None:
    """How the client of a request is given a link; None too where its answer cannot be read (no ``params``)."""
    if params is None:
        return None
    if ctx.session.client_capabilities is None and ctx.request is not None:
        return "error" if is_session_that_opens_urls(ctx.request.headers.get(HEADER)) else None
    return find_prompt(ctx.session, params.input_responses)


def _name_command(caller: Caller, org: str | None) -> str:
    command = f"orgserver connect-org {quote(org or 'ALIAS')}"
    if caller.principal.is_local:
        return f"run: {command}, then repeat the call"
    command = f"{command} --principal {quote(caller.principal.name)}"
    if caller.transport == "stdio":
        return f"run: {command}, then repeat the call"
    return f"ask an administrator to run: {command}"
