"""The pretend org's HTTP, as an ASGI application: read, write down, go wrong if ordered to, answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from email.utils import format_datetime
from typing import Any

from orgserver.sandbox import control, faults
from orgserver.sandbox.answers import Answer, Asked
from orgserver.sandbox.errors import OAuthRefusal, Refusal
from orgserver.sandbox.faults import Fault, Line
from orgserver.sandbox.oauth import AUTHORIZE_PATH, TOKEN_PATH, OAuth
from orgserver.sandbox.org import SandboxOrg, Seen
from orgserver.sandbox.rest import Rest

Transports = Mapping[tuple[str, int], asyncio.Transport]
_MAX_URI = 16_384
_MAX_WRITTEN_DOWN = 1024 * 1024
_BODILESS = frozenset({204, 304})
_UNAUTHORIZED = 401


class OrgApp:
    """One org's application."""

    def __init__(
        self, org: SandboxOrg, orgs: Sequence[SandboxOrg], transports: Transports, closing: asyncio.Event
    ) -> None:
        self._org = org
        self._oauth = OAuth(org, orgs)
        self._rest = Rest(org, self._oauth)
        self._transports = transports
        self._closing = closing

    async def __call__(self, scope: Mapping[str, Any], receive: faults.Receive, send: faults.Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        line = Line(send, receive, self._transports.get(tuple(scope["client"])), self._closing)
        method, path = scope["method"], scope["path"]
        early = self._org.strikes(method, path, unread=True)
        if early is not None:
            self._write_down(_asked(scope, b""), 0)
            await faults.strike(early, line, Answer(200))
            return
        body = await _read(receive)
        if body is None:  # the client left in the middle of its request: nothing was asked
            return
        asked = _asked(scope, body)
        if path.startswith("/sandbox/"):
            await self._reply(line, control.answer(self._org, asked), "")
            return
        await self._serve(line, asked, self._org.strikes(method, path))

    async def _serve(self, line: Line, asked: Asked, fault: Fault | None) -> None:
        to_tokens = asked.path == TOKEN_PATH
        self._org.counters.token_requests += to_tokens
        try:
            with self._oauth.processing(asked):
                await line.pause(self._org.answers.pause_before() if to_tokens else 0)
                if fault is not None and fault.kind == "delay" and not fault.work:
                    await line.pause(fault.seconds)
                if fault is not None and fault.kind not in ("delay", "next_url") and not fault.work:
                    self._write_down(asked, 0)
                    await faults.strike(fault, line, Answer(200, {"id": None, "success": True, "errors": []}))
                    return
                answer = self._answer(asked)
        except OAuthRefusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        request_id = secrets.token_hex(16)
        self._write_down(asked, answer.status, request_id)
        await line.pause(self._org.answers.pause_after() if to_tokens else 0)
        if fault is not None and fault.kind == "next_url":
            answer = _misled(answer, fault.location)
        elif fault is not None and fault.kind == "delay":
            await line.pause(fault.seconds if fault.work else 0)
        elif fault is not None:
            await faults.strike(fault, line, answer)
            return
        await self._reply(line, answer, request_id)

    def _answer(self, asked: Asked) -> Answer:
        size = len(asked.raw_path) + len(asked.query_string)
        if size > _MAX_URI:
            return Answer.text(414, "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>")
        if size + sum(len(name) + len(value) + 4 for name, value in asked.headers.items()) > _MAX_URI:
            return Answer.text(431, "<h1>Bad Message 431</h1><pre>reason: Request Header Fields Too Large</pre>")
        try:
            if asked.path.startswith(("/services/oauth2/", "/id/")):
                return self._oauth.answer(asked)
            return self._rest.answer(asked)
        except (Refusal, OAuthRefusal) as refusal:
            return Answer(refusal.status, refusal.body)

    def _write_down(self, asked: Asked, status: int, request_id: str = "") -> None:
        self._org.counters.requests += 1
        query, body = asked.query_string, asked.body[:_MAX_WRITTEN_DOWN].decode("utf-8", "replace")
        if asked.path.startswith(("/services/oauth2/", "/id/")):  # tokens are not for the log
            query, body = query if asked.path == AUTHORIZE_PATH else "", ""
        now = self._org.clock().timestamp()
        self._org.requests.append(Seen(asked.method, asked.path, status, query, body, request_id, now))

    async def _reply(self, line: Line, answer: Answer, request_id: str) -> None:
        headers = {
            "date": format_datetime(self._org.clock(), usegmt=True),
            "sforce-limit-info": f"api-usage={self._org.counters.api_calls}/{self._org.daily_limit}",
            "x-request-id": request_id,
        } | answer.headers
        if answer.status == _UNAUTHORIZED:
            headers["www-authenticate"] = "Token"
        if answer.status in _BODILESS:
            await line.start(answer.status, "", headers)
        else:
            headers["content-length"] = str(len(answer.body))
            await line.start(answer.status, answer.content_type, headers)
        await line.part(answer.body, more=False)


async def _read(receive: faults.Receive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _asked(scope: Mapping[str, Any], body: bytes) -> Asked:
    return Asked(
        scope["method"],
        scope["path"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body,
    )


def _misled(answer: Answer, location: str) -> Answer:
    page = json.loads(answer.body or b"{}")
    if not isinstance(page, dict):
        return answer
    return Answer(answer.status, page | {"done": False, "nextRecordsUrl": location})
