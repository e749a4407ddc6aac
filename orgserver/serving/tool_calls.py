"""Everything that answers ``tools/call``: the caller, the person at the client, the tool, and the result.

What goes wrong, and what has to be mended before, is in ``refused_calls``. A person is asked in both generations of the
protocol: up to 2025-11-25 the question is a request of the server in the midst of the call; from 2026-07-28 on it is
the call's result, and the client repeats the call with the answer and the state that came with the question, which the
service that asks has sealed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mcp.server.connection import Connection
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, ElicitResult
from mcp_types.jsonrpc import RequestId
from mcp_types.version import is_version_at_least
from pydantic import ValidationError

from orgserver.model.errors import Denied, InvalidArgument, LoginRequired, Unconfirmed
from orgserver.model.orgs import Caller, Elicitor, Progress
from orgserver.services.calls.decision import read_only_server
from orgserver.services.composition import Services
from orgserver.serving.elicitation.logins import LOGIN, LoginPrompt, Logins, find_prompt_of_request
from orgserver.serving.refused_calls import (
    ANSWER,
    MendedParameters,
    mend_parameters,
    name_error,
    record_refusal,
    record_unreadable,
)
from orgserver.tools import results
from orgserver.tools.arguments import ArgumentForms
from orgserver.tools.tool import ToolSpec

logger = logging.getLogger("orgserver.calls")

_LOGGED = 80
_REPEATED_SINCE = "2026-07-28"
_YES_OR_NO: dict[str, Any] = {"type": "object", "properties": {}}
"""An empty form: accepting it is the yes."""
_UNREADABLE = "the client's answer to a question says neither accept, decline nor cancel"


FindCaller = Callable[[ServerRequestContext[Any]], Caller]
"""Who sent a request, as the transport knows it: always the same on standard input and output."""


class ToolCalls:
    """Every tool call comes through here."""

    def __init__(
        self,
        services: Services,
        specs: Mapping[str, ToolSpec],
        forms: Mapping[str, ArgumentForms],
        find_caller: FindCaller,
        *,
        read_only: bool,
        logins: Logins | None = None,
    ) -> None:
        self._services = services
        self._specs = specs
        self._forms = forms
        self._find_caller = find_caller
        self._read_only = read_only
        self._logins = logins or Logins()

    def __contains__(self, tool: object) -> bool:
        return tool in self._specs

    async def guard(self, ctx: ServerRequestContext[Any], call_next: CallNext) -> HandlerResult:
        """Let a call arrive whose parameters can be read, and put one on record that the SDK refuses all the same."""
        if ctx.method != "tools/call":
            return await call_next(ctx)
        if ctx.params is not None and not _is_readable(ctx.params):
            ctx = replace(ctx, params=mend_parameters(ctx.params))
        try:
            return await call_next(ctx)
        except ValidationError:
            name = (ctx.params or {}).get("name")
            await record_unreadable(self._services, self.caller_of(ctx), name if isinstance(name, str) else None)
            raise

    async def answer(self, ctx: ServerRequestContext[Any], params: CallToolRequestParams) -> dict[str, Any]:
        """Answer one call that came by the SDK."""
        mended = ctx.params if isinstance(ctx.params, MendedParameters) else None
        elicitor = make_elicitor(ctx.session, ctx.session, ctx.request_id)
        if isinstance(elicitor, _Repeating):
            elicitor = _Repeating(params, is_unreadable=mended is not None and mended.has_unreadable_answer)
        caller, refusal = self.caller_of(ctx, elicitor), mended.refusal if mended else None
        prompt = find_prompt_of_request(ctx, None if mended and mended.has_unreadable_login else params)
        return await self.call(params.name, params.arguments or {}, caller, refusal, prompt)

    async def call(
        self,
        tool: str,
        arguments: dict[str, Any],
        caller: Caller,
        refusal: InvalidArgument | None = None,
        prompt: LoginPrompt | None = None,
    ) -> dict[str, Any]:
        """Run one call; whatever goes wrong is one of our errors. ``refusal`` is what is wrong with its parameters.

        ``prompt`` is how the client is given a link to a login; by an MCPError, it may be.
        """
        started = time.perf_counter()
        named = arguments.get("org")
        org = named[:255] if isinstance(named, str) and named else None
        spec = self._specs.get(tool)
        result: dict[str, Any] | MCPError
        try:
            structured = await self._run(spec, caller, tool, arguments, refusal)
            result, outcome = results.success(structured), "succeeded"
        except Unconfirmed as unconfirmed:
            result, outcome = _input_required(unconfirmed), "asked"
        except LoginRequired as required:
            result, outcome = await self._logins.answer(required, caller, org, prompt), required.outcome
        except Exception as error:  # noqa: BLE001  # the outermost loop: what is not foreseen is logged in name_error
            known = name_error(error, spec)
            result, outcome = results.failure(known, org), known.outcome
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                "call",
                extra={
                    "tool": tool[:_LOGGED],
                    "org": org,
                    "request": (caller.request_id or "")[:_LOGGED],
                    "outcome": outcome,
                    "ms": round((time.perf_counter() - started) * 1_000, 1),
                },
            )
        if isinstance(result, MCPError):
            raise result
        return result

    async def _run(
        self,
        spec: ToolSpec | None,
        caller: Caller,
        tool: str,
        arguments: dict[str, Any],
        refusal: InvalidArgument | None,
    ) -> dict[str, Any]:
        """Run a tool; whoever refuses the call, it is on record before it is answered."""
        try:
            if spec is None:
                raise InvalidArgument(
                    "there is no tool of this name here", code="UNKNOWN_TOOL", hint="tools/list names them"
                )
            arguments = self._forms[spec.name].read(arguments)
            if refusal is not None:
                raise refusal
            if spec.writes and self._read_only:
                raise read_only_server()
            return await spec.answer(self._services, caller, arguments)
        except Unconfirmed:
            raise
        except Denied as error:
            if not error.on_record:
                await record_refusal(self._services, caller, tool, arguments, error)
            raise

    def caller_of(self, ctx: ServerRequestContext[Any], elicitor: Elicitor | None = None) -> Caller:
        """Who calls, and how, of a request that came by the SDK."""
        base = self._find_caller(ctx)
        return complete_caller(base, ctx.request_id, client_name(ctx.session), elicitor, _report_progress(ctx))


def complete_caller(
    base: Caller,
    request_id: RequestId | None,
    client: str | None,
    elicitor: Elicitor | None,
    progress: Progress | None,
) -> Caller:
    """Who calls, and how: what the transport knows, and what the request says."""
    principal, transport, label = base.principal, base.transport, base.label
    own = (base.scopes, base.session_id, base.approval_url)
    return Caller(principal, transport, client, str(request_id), label, elicitor, progress, *own)


def client_name(client: Connection | ServerSession) -> str | None:
    """A client's name and version, where it says them."""
    params = client.client_params
    return f"{params.client_info.name}/{params.client_info.version}" if params is not None else None


def make_elicitor(
    client: Connection | ServerSession, session: ServerSession | None, request_id: RequestId | None = None
) -> Elicitor | None:
    """The person at a client; None where it cannot show a form. ``session`` sends a question, as part of a request."""
    capabilities = client.client_capabilities
    elicitation = capabilities.elicitation if capabilities is not None else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return None  # a bare ``elicitation: {}`` means forms, the only kind there was at first
    if session is None or is_version_at_least(client.protocol_version, _REPEATED_SINCE):
        return _Repeating()
    return _Waiting(session, request_id)


def _is_readable(params: Mapping[str, Any]) -> bool:
    """Tell whether the SDK takes parameters as they came, and they answer no question."""
    arguments, answers = params.get("arguments"), params.get("inputResponses")
    is_answer = isinstance(answers, dict) and (ANSWER in answers or LOGIN in answers)
    return (arguments is None or isinstance(arguments, dict)) and not is_answer


def _report_progress(ctx: ServerRequestContext[Any]) -> Progress:
    """Report progress, which both protocol generations do alike; a client that is gone is no reason to stop."""

    async def tell(done: float, total: float | None, message: str | None) -> None:
        try:
            await ctx.session.report_progress(done, total, message)
        except Exception:  # whatever a closed connection raises
            logger.debug("progress could not be told", exc_info=True)

    return tell


def _input_required(question: Unconfirmed) -> dict[str, Any]:
    """The result that asks."""
    form = {"mode": "form", "message": question.question, "requestedSchema": _YES_OR_NO}
    return {
        "resultType": "input_required",
        "inputRequests": {ANSWER: {"method": "elicitation/create", "params": form}},
        "requestState": question.state,
    }


class _Repeating:
    """Answers with a repeated call."""

    def __init__(self, params: CallToolRequestParams | None = None, *, is_unreadable: bool = False) -> None:
        self.answer: tuple[str, str] | None = None
        self._is_unreadable = is_unreadable
        response = params.input_responses.get(ANSWER) if params is not None and params.input_responses else None
        if params is not None and params.request_state is not None and isinstance(response, ElicitResult):
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

    def __init__(self, session: ServerSession, request_id: RequestId | None) -> None:
        self._session = session
        self._request_id = request_id

    async def ask(self, question: str, state: str) -> str | None:
        """Ask, and wait."""
        del state
        try:
            reply = await self._session.elicit_form(question, _YES_OR_NO, self._request_id)
        except MCPError as error:
            logger.warning("the client could not ask its person: code %s", error.code)
            return None
        except ValidationError:
            logger.warning(_UNREADABLE)
            return None
        return reply.action
