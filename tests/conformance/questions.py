"""The suite's tools and prompt that ask before they answer, as protocol 2026-07-28 has it: the result is the question.

What was asked is sealed into ``requestState`` by the product's own vault, as the product does with its questions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, ClientCapabilities
from mcp_types import CallToolRequestParams as CallParams
from mcp_types import GetPromptRequestParams as PromptParams
from pydantic import BaseModel

from orgserver.vault.keys import Key, Unsealable
from orgserver.vault.sealed_tokens import bind_token, open_token, seal_token

from .content import make_prompt_result, make_result, make_text

Context = ServerRequestContext[Any]
Answer = Callable[[Context, Any], Awaitable[HandlerResult]]
_KEY = Key.new()
_SECONDS = 600


@dataclass(frozen=True)
class Question:
    """One thing that is asked of the client."""

    key: str
    method: str
    params: dict[str, Any]

    def may_be_asked(self, of: ClientCapabilities | None) -> bool:
        """Whether the client says that it can answer."""
        capability = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
        return getattr(of, capability[self.method], None) is not None


def form(key: str, message: str, field: str, kind: str = "string") -> Question:
    """A form with one field."""
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return Question(key, "elicitation/create", {"mode": "form", "message": message, "requestedSchema": schema})


def sampling(key: str, text: str, max_tokens: int = 100) -> Question:
    """A text for the client's model."""
    message = {"role": "user", "content": make_text(text)}
    return Question(key, "sampling/createMessage", {"messages": [message], "maxTokens": max_tokens})


def roots(key: str) -> Question:
    """The client's folders."""
    return Question(key, "roots/list", {})


@dataclass(frozen=True)
class Dialogue:
    """Rounds of questions, and what comes at their end."""

    name: str
    rounds: tuple[tuple[Question, ...], ...]
    end: BaseModel
    has_state: bool = True

    async def answer(self, ctx: Context, params: CallParams | PromptParams) -> HandlerResult:
        """Ask what is still to be asked, or answer."""
        number = 0 if params.request_state is None else self._open(params.request_state)
        responses = params.input_responses or {}
        is_begun = params.request_state is not None or not self.has_state
        if is_begun and all(question.key in responses for question in self.rounds[number]):
            number += 1
        if number == len(self.rounds):
            return self.end
        capabilities = ctx.session.client_capabilities
        questions = [each for each in self.rounds[number] if each.may_be_asked(capabilities)]
        requests = {each.key: {"method": each.method, "params": each.params} for each in questions}
        result = {"resultType": "input_required", "inputRequests": requests}
        return result | ({"requestState": self._seal(number)} if self.has_state else {})

    def _seal(self, number: int) -> str:
        return seal_token(_KEY, {"round": number}, int(time.time()) + _SECONDS, bind_token("round", self.name, "", b""))

    def _open(self, state: str) -> int:
        try:
            note, expires_at = open_token(_KEY, state, bind_token("round", self.name, "", b""))
        except Unsealable:
            raise MCPError(INVALID_PARAMS, "this requestState was not made here") from None
        if expires_at < time.time():
            raise MCPError(INVALID_PARAMS, "this requestState has expired")
        number: int = note["round"]
        return number


def _dialogue(what: str, *rounds: tuple[Question, ...], end: str = "done", has_state: bool = True) -> Dialogue:
    name = f"test_input_required_result_{what}"
    return Dialogue(name, rounds, make_result(make_text(end)), has_state=has_state)


_NAME = form("user_name", "What is your name?", "name")
_OK = form("confirm", "Please confirm", "ok", "boolean")
_CAPITAL = sampling("capital_question", "What is the capital of France?")
_GREETING = sampling("greeting", "Generate a greeting", 50)
TOOLS = {
    each.name: each
    for each in (
        _dialogue("elicitation", (_NAME,), end="Hello!", has_state=False),
        _dialogue("sampling", (_CAPITAL,), has_state=False),
        _dialogue("list_roots", (roots("client_roots"),), has_state=False),
        _dialogue("request_state", (_OK,), end="state-ok"),
        _dialogue("multiple_inputs", (_NAME, _GREETING, roots("client_roots"))),
        _dialogue(
            "multi_round",
            (form("step1", "Step 1: What is your name?", "name"),),
            (form("step2", "Step 2: What is your favorite color?", "color"),),
        ),
        _dialogue("tampered_state", (_OK,)),
        _dialogue("capabilities", (_NAME, _CAPITAL), has_state=False),
    )
}
PROMPT = Dialogue(
    "test_input_required_result_prompt",
    ((form("user_context", "What context should the prompt use?", "context"),),),
    make_prompt_result(make_text("A prompt in its context.")),
    has_state=False,
)
STREAMING = Dialogue("test_streaming_elicitation", ((_NAME,),), make_result(make_text("Hello!")), has_state=False)
