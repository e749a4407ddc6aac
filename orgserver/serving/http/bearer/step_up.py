"""Whether a token has the scopes of what a request asks for, so that its client can get another before anything begins.

What is let through here is judged all the same where each call is decided: this only tells early.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive

from orgserver.model.access.principals import Permission
from orgserver.model.access.scopes import scope_of
from orgserver.model.errors import CallError, Forbidden
from orgserver.model.orgs import Caller
from orgserver.services.composition import Services
from orgserver.serving.http.bearer.challenges import Challenges
from orgserver.serving.http.messages.body import read_object
from orgserver.serving.http.replies import Reply
from orgserver.serving.refused_calls import record_early_refusal
from orgserver.tools.tool import ToolSpec

_READING = frozenset({"resources/read", "completion/complete"})
"""What tells of orgs beside tools."""


class StepUp:
    """Reads what a request asks for, and what scopes that needs."""

    def __init__(
        self, challenges: Challenges, services: Services, specs: Mapping[str, ToolSpec], max_body: int
    ) -> None:
        self._challenges = challenges
        self._services = services
        self._specs = specs
        self._max_body = max_body

    async def check(self, caller: Caller, url: str, receive: Receive) -> Receive | Reply:
        """What gives the request once more, to whoever answers it; or 403, with the refused call on record.

        ``url`` is the server's, as the client names it.
        """
        if caller.scopes is None:
            return receive
        body, receive_again = await _read_ahead(receive, self._max_body)
        message = read_object(body)
        permission = self._find_permission(message)
        if permission is None or permission in caller.scopes:
            return receive_again
        if message["method"] == "tools/call":
            await self._record(caller, message, permission)
        return self._challenges.ask_scopes(url, {permission, *caller.scopes})

    def _find_permission(self, message: Mapping[str, Any]) -> Permission | None:
        method, params = message.get("method"), message.get("params")
        if isinstance(method, str) and method in _READING:
            return "read"
        if method != "tools/call" or not isinstance(params, dict):
            return None
        name, arguments = params.get("name"), params.get("arguments")
        spec = self._specs.get(name) if isinstance(name, str) else None
        return spec.find_permission(arguments if isinstance(arguments, dict) else {}) if spec is not None else None

    async def _record(self, caller: Caller, message: Mapping[str, Any], permission: Permission) -> None:
        error = Forbidden(f"the access token lacks the scope {scope_of(permission)}", code="INSUFFICIENT_SCOPE")
        error.rule = f"scope:{permission}"
        params = message["params"]
        arguments = params.get("arguments")
        arguments = arguments if isinstance(arguments, dict) else {}
        with suppress(CallError):  # it is refused all the same
            await record_early_refusal(self._services, caller, message.get("id"), params["name"], arguments, error)


async def _read_ahead(receive: Receive, most: int) -> tuple[bytes, Receive]:
    """A body, as far as it is read; and what gives it once more, and then what follows it."""
    messages: list[Message] = []
    size, more = 0, True
    while more and size <= most:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        more = messages[-1].get("more_body", False)
    body = b"".join(message.get("body", b"") for message in messages)
    waiting = iter(messages)

    async def receive_again() -> Message:
        return next(waiting, None) or await receive()

    return body if size <= most else b"", receive_again
