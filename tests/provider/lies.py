"""The dishonest half of answers: late, in drops, cut, elsewhere, too long, of another kind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.provider.state import State

MIB = 1_024 * 1_024


class Answers:
    """Answers in place of the true ones, by path.

    ``slow`` (seconds, then the truth), ``drip`` (a byte each tenth of a second), ``cut`` (half of what was promised),
    ``status`` (status), ``redirect`` (location), ``huge`` (a MiB of JSON), ``html``, ``json`` (status, object, headers).
    """

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._state.conduct.answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is not None and answer["kind"] == "slow":
            await asyncio.sleep(answer["seconds"])
            answer = None
        if answer is None:
            await self._app(scope, receive, send)
        elif answer["kind"] == "drip":
            await _drip(send)
        elif answer["kind"] == "cut":
            await _send(send, 200, b'{"issuer":', promise=4_096)
        else:
            await _send(send, *_make(answer))


def _make(answer: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
    kind = answer["kind"]
    if kind == "redirect":
        return 302, b"", {"location": answer["location"]}
    if kind == "huge":
        return 200, b'{"issuer":"' + b"x" * MIB + b'"}', {}
    if kind == "html":
        return answer.get("status", 200), b"<html><title>Gateway</title></html>", {"content-type": "text/html"}
    if kind == "json":
        return answer.get("status", 200), json.dumps(answer["object"]).encode(), answer.get("headers", {})
    return answer["status"], b"", {}


async def _send(
    send: Send, status: int, body: bytes, headers: dict[str, str] | None = None, promise: int | None = None
) -> None:
    every = {"content-type": "application/json", "content-length": str(promise or len(body))} | (headers or {})
    pairs = [(name.encode(), value.encode()) for name, value in every.items()]
    start: Message = {"type": "http.response.start", "status": status, "headers": pairs}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def _drip(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    for _ in range(600):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.1)
