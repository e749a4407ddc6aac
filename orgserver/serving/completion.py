"""Completion of org, object and field names, for clients that fill in prompts and resource addresses with a person."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CompleteRequestParams, CompleteResult, Completion

from orgserver.model.errors import OrgserverError
from orgserver.model.orgs import Caller
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services

logger = logging.getLogger("orgserver.calls")

MAX_VALUES = 100
"""MCP: "Must not exceed 100 items"."""
_MAX_TYPED = 255
ORGS = ("org", "other_org")
OBJECT = "object"
FIELDS = ("match_on", "field")


def offer(
    server: Server[Any],
    services: Services,
    who: Callable[[ServerRequestContext[Any]], Caller],
) -> None:
    """Answer ``completion/complete``."""

    async def complete(ctx: ServerRequestContext[Any], params: CompleteRequestParams) -> CompleteResult:
        typed = params.argument.value[:_MAX_TYPED]
        before = params.context.arguments if params.context is not None else None
        try:
            names = await _names(services, who(ctx), params.argument.name, typed, before or {})
        except OrgserverError as error:  # a person is typing: no names are better than an error
            logger.warning("names could not be completed: %s", error)
            names = []
        values = names[:MAX_VALUES]
        return CompleteResult(completion=Completion(values=values, total=len(names), has_more=len(names) > len(values)))

    server.add_request_handler("completion/complete", CompleteRequestParams, complete)


async def _names(
    services: Services,
    caller: Caller,
    argument: str,
    typed: str,
    before: dict[str, str],
) -> list[str]:
    if argument in ORGS:
        return await _orgs(services, caller, typed)
    org = before.get("org")
    if org is None:
        return []
    if argument == OBJECT:
        return _beginning(await services.names.objects(caller, org), typed)
    if argument in FIELDS:
        # a list of fields is completed at its last name
        head, comma, last = typed.rpartition(",")
        names = _beginning(await services.names.fields(caller, org, before.get(OBJECT) or "Contact"), last.strip())
        return [f"{head}{comma} {name}" if comma else name for name in names]
    return []


async def _orgs(services: Services, caller: Caller, typed: str) -> list[str]:
    return _beginning(await services.visible_orgs.aliases(Call(caller, "completion")), typed)


def _beginning(names: Iterable[str], typed: str) -> list[str]:
    """Those that begin as typed, in alphabetical order."""
    beginning = typed.casefold()
    return sorted((name for name in names if name.casefold().startswith(beginning)), key=str.casefold)
