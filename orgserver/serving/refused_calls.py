"""Calls that are refused or fail: parameters that the SDK would refuse are mended, refusals recorded, errors named.

Arguments may be the JSON text of an object. What is wrong is taken out, so that the call arrives, and is refused there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mcp_types import ElicitResult
from pydantic import ValidationError

from orgserver.model.audit import Action, Intent
from orgserver.model.errors import CallError, Denied, InvalidArgument, OrgserverError, StoreAway, Unanswered
from orgserver.model.json_text import read_json_text
from orgserver.model.orgs import Caller
from orgserver.services.calls.plan import Call
from orgserver.services.composition import Services
from orgserver.serving.elicitation.logins import LOGIN
from orgserver.tools import toolsets
from orgserver.tools.argument_errors import kind_of
from orgserver.tools.tool import ToolSpec, org_of

logger = logging.getLogger("orgserver.calls")

_LOOK = "read the record, or the audit log, before you repeat anything"
ANSWER = "confirm"
"""The key of the question to a person, and so of its answer."""


class MendedParameters(dict[str, Any]):
    """Parameters that the SDK takes, with what was wrong with those that came."""

    refusal: InvalidArgument | None = None
    has_unreadable_answer: bool = False
    has_unreadable_login: bool = False


def mend_parameters(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters themselves where nothing is wrong with them, else MendedParameters."""
    arguments, answers = params.get("arguments"), params.get("inputResponses")
    is_odd = arguments is not None and not isinstance(arguments, dict)
    unreadable = _find_unreadable(answers)
    if not is_odd and not unreadable:
        return params
    parameters = MendedParameters(params)
    if is_odd:
        try:
            parameters["arguments"] = _read_arguments(arguments)
        except InvalidArgument as error:
            parameters["arguments"], parameters.refusal = {}, error
    if unreadable and isinstance(answers, dict):
        parameters["inputResponses"] = {name: each for name, each in answers.items() if name not in unreadable}
        parameters.has_unreadable_answer = ANSWER in unreadable
        parameters.has_unreadable_login = LOGIN in unreadable
    return parameters


def _find_unreadable(answers: object) -> set[str]:
    """Which answers to our questions are none."""
    if not isinstance(answers, dict):
        return set()
    return {name for name in (ANSWER, LOGIN) if name in answers and not _is_answer(answers[name])}


def _is_answer(answer: object) -> bool:
    try:
        ElicitResult.model_validate(answer)
    except ValidationError:
        return False
    return True


def _read_arguments(arguments: object) -> dict[str, Any]:
    """The object that a JSON text is; InvalidArgument says what came instead of one."""
    if not isinstance(arguments, str):
        raise _not_an_object(kind_of(arguments))
    try:
        content = read_json_text(arguments)
    except ValueError:
        raise _not_an_object("a text that is no JSON, or names a key twice,") from None
    if not isinstance(content, dict):
        raise _not_an_object(f"{kind_of(content)} as JSON text")
    return content


def _not_an_object(arrived: str) -> InvalidArgument:
    hint = 'name each argument: {"org": "…", …}'
    return InvalidArgument(f"arguments must be an object; {arrived} arrived", fields=["arguments"], hint=hint)


async def record_unreadable(services: Services, caller: Caller, tool: str | None) -> None:
    """Put a call on record that could not be read, so that no tool has seen it."""
    try:
        error = InvalidArgument("the call cannot be read", code="UNREADABLE")
        await record_refusal(services, caller, tool or "", {}, error)
    except OrgserverError as error_of_store:  # it is refused all the same
        logger.warning("a refused call could not be recorded: %s", error_of_store)


async def record_refusal(
    services: Services, caller: Caller, tool: str, arguments: Mapping[str, Any], error: Denied
) -> None:
    """Put a refusal on record before it is answered, as what the call would have been."""
    await services.executor.log.refuse(_intent_of(caller, tool, arguments), error)


async def record_early_refusal(
    services: Services, caller: Caller, request_id: object, tool: str, arguments: Mapping[str, Any], error: Denied
) -> None:
    """Put on record, together with others, what was refused before any tool saw it."""
    caller = replace(caller, request_id=str(request_id))
    await services.executor.log.refuse_in_group(_intent_of(caller, tool, arguments), error)


def _intent_of(caller: Caller, tool: str, arguments: Mapping[str, Any]) -> Intent:
    spec = toolsets.EVERY.get(tool)
    call = spec.call(caller, arguments) if spec is not None else Call(caller, tool, org_of(arguments))
    # Nobody knows what a tool that does not exist would have done: it is recorded as the least that a call can do.
    action = spec.action if spec is not None else Action.READ
    if arguments.get("preview") is True:
        action = Action.PREVIEW
    return call.intent(action)


def name_error(error: Exception, spec: ToolSpec | None) -> CallError:
    """The error for any failure; one that says nothing of whether it happened counts as unknown."""
    if isinstance(error, CallError):
        return error
    writes = spec is not None and spec.writes
    if isinstance(error, OrgserverError):
        if not writes:
            return StoreAway(str(error), hint=error.hint)
        return Unanswered(str(error), code="STORE_UNAVAILABLE", category="internal", hint=_LOOK)
    logger.error(
        "a tool failed in a way that is not foreseen", exc_info=error, extra={"tool": spec.name if spec else None}
    )
    return Unanswered(
        "this call failed inside orgserver, after it may have happened"
        if writes
        else "this call failed inside orgserver",
        code="INTERNAL",
        category="internal",
        hint=_LOOK if writes else "this is a defect of orgserver; its log on standard error has the details",
    )
