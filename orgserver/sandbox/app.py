"""The pretend org's HTTP, as an ASGI application: read, write down, go wrong if ordered to, answer."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orgserver.sandbox import control, faults
from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import OAuthRefusal, Refusal
from orgserver.sandbox.faults import Fault, Line
from orgserver.sandbox.oauth.endpoints import AUTHORIZE_PATH, TOKEN_PATH, OAuth
from orgserver.sandbox.org import SandboxOrg
from orgserver.sandbox.rest import limits
from orgserver.sandbox.rest.resources import Rest
from orgserver.sandbox.state.request_log import LoggedRequest
from orgserver.sandbox.wire import Wire, unpacked

_MAX_REPLIES = 100
"""How many replies a connection carries: real ones end after some, or after some silence."""
_MAX_URI = 16_384
_MAX_WRITTEN_DOWN = 1024 * 1024
_UNAUTHORIZED = 401


@dataclass(slots=True)
class Connection:
    """One connection, and how many requests have come on it."""

    transport: asyncio.Transport
    requests: int = 0


Connections = Mapping[tuple[str, int], Connection]


class OrgApp:
    """One org's application."""

    def __init__(
        self, org: SandboxOrg, orgs: Sequence[SandboxOrg], connections: Connections, closing: asyncio.Event
    ) -> None:
        self._org = org
        self._oauth = OAuth(org, orgs)
        self._rest = Rest(org, self._oauth.authenticate)
        self._connections = connections
        self._closing = closing

    async def __call__(self, scope: Mapping[str, Any], receive: faults.Receive, send: faults.Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        line = self._line(scope, receive, send)
        early = self._org.strikes(method, path, unread=True)
        if early is not None:
            self._write_down(_read_request(scope, b""), 0)
            await faults.strike(early, line, Answer(200))
            return
        body = await _read_body(receive)
        if body is None:  # the client left in the middle of its request: nothing was asked
            return
        request = _read_request(scope, body)
        try:
            request = _read_request(scope, unpacked(body, request.headers.get("content-encoding", "")))
        except Refusal as refusal:
            self._write_down(request, refusal.status)
            await line.answer(Answer(refusal.status, refusal.body))
            return
        if path.startswith("/sandbox/"):
            await line.answer(control.answer(self._org, request))
            return
        await self._serve(line, request, self._org.strikes(method, path))

    def _line(self, scope: Mapping[str, Any], receive: faults.Receive, send: faults.Send) -> Line:
        request = _read_request(scope, b"")
        connection = self._connections.get(tuple(scope["client"]))
        plain = self._org.plain or request.path.startswith("/sandbox/")
        last = False
        if connection is not None:
            connection.requests += 1
            last = not plain and connection.requests >= _MAX_REPLIES
        wire = Wire.negotiate(
            request.headers.get("accept-encoding", ""),
            self._org.clock(),
            plain=plain,
            number=self._org.counters.requests,
            last=last,
            codings=("gzip",) if "/jobs/" in request.path else ("gzip", "deflate"),  # Bulk API 2.0 knows no other
        )
        self._org.counters.packed_replies += bool(wire.coding_name)
        return Line(send, receive, connection.transport if connection else None, self._closing, wire)

    async def _serve(self, line: Line, request: Request, fault: Fault | None) -> None:
        to_tokens = request.path == TOKEN_PATH
        self._org.counters.token_requests += to_tokens
        try:
            with self._oauth.processing(request):
                await line.pause(self._org.answers.pause_before() if to_tokens else 0)
                if fault is not None and fault.kind == "delay" and not fault.work:
                    await line.pause(fault.seconds)
                if fault is not None and fault.kind not in ("delay", "next_url") and not fault.work:
                    self._write_down(request, 0)
                    await faults.strike(fault, line, Answer(200, {"id": None, "success": True, "errors": []}))
                    return
                answer = self._answer(request)
        except OAuthRefusal as refusal:
            answer = Answer(refusal.status, refusal.body)
        request_id = secrets.token_hex(16)
        self._write_down(request, answer.status, request_id, answer)
        await line.pause(self._org.answers.pause_after() if to_tokens else 0)
        if fault is not None and fault.kind == "next_url":
            answer = _misled(answer, fault.location)
        elif fault is not None and fault.kind == "delay":
            await line.pause(fault.seconds if fault.work else 0)
        elif fault is not None:
            await faults.strike(fault, line, answer)
            return
        await self._reply(line, request, answer, request_id)

    def _answer(self, request: Request) -> Answer:
        size = len(request.raw_path) + len(request.query_string)
        if size > _MAX_URI:
            return Answer.text(414, "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>")
        if size + sum(len(name) + len(value) + 4 for name, value in request.headers.items()) > _MAX_URI:
            return Answer.text(431, "<h1>Bad Message 431</h1><pre>reason: Request Header Fields Too Large</pre>")
        try:
            if request.path.startswith(("/services/oauth2/", "/id/")):
                return self._oauth.answer(request)
            return self._rest.answer(request)
        except (Refusal, OAuthRefusal) as refusal:
            return Answer(refusal.status, refusal.body)

    def _write_down(self, request: Request, status: int, request_id: str = "", answer: Answer | None = None) -> None:
        self._org.counters.requests += 1
        query, body = request.query_string, request.body[:_MAX_WRITTEN_DOWN].decode("utf-8", "replace")
        if request.path.startswith(("/services/oauth2/", "/id/")):  # tokens are not for the log
            query, body = query if request.path == AUTHORIZE_PATH else "", ""
        now = self._org.clock().timestamp()
        host = request.headers.get("host", "")
        owner = self._oauth.find_owner(request, answer)
        user_id, family = (owner.user_id, owner.digest) if owner is not None else ("", "")
        self._org.requests.append(
            LoggedRequest(request.method, request.path, status, query, body, request_id, now, host, user_id, family)
        )

    async def _reply(self, line: Line, request: Request, answer: Answer, request_id: str) -> None:
        headers = {"X-Request-Id": request_id}
        if _counts(request, answer):
            headers["Sforce-Limit-Info"] = limits.limit_info(self._org)
        if answer.status == _UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Token"
        answer.headers = headers | answer.headers
        await line.answer(answer)


async def _read_body(receive: faults.Receive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _read_request(scope: Mapping[str, Any], body: bytes) -> Request:
    return Request(
        scope["method"],
        scope["path"],
        scope["raw_path"].decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body,
    )


def _counts(request: Request, answer: Answer) -> bool:
    """Whether a request counts against the daily limit, so that its answer says how much of that is used."""
    return request.path.startswith("/services/data/v") and answer.status != _UNAUTHORIZED


def _misled(answer: Answer, location: str) -> Answer:
    page = json.loads(answer.body or b"{}")
    if not isinstance(page, dict):
        return answer
    return Answer(answer.status, page | {"done": False, "nextRecordsUrl": location})
