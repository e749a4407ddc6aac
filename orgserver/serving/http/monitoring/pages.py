"""``/healthz``, ``/readyz`` and ``/metrics``: what each of them says, and to whom."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Collection, Iterable

from orgserver.model.access.principals import Principal
from orgserver.model.errors import StoreError
from orgserver.model.server_paths import MCP_PATH
from orgserver.services.doctor.readiness import Readiness
from orgserver.serving.http.replies import JSON, Reply, make_text_reply

HEALTH, READINESS, METRICS = "/healthz", "/readyz", "/metrics"
PROBES = frozenset({HEALTH, READINESS})
PAGES = PROBES | {METRICS}
_ROUTES = PAGES | {MCP_PATH}
_CONNECT = "/connect/"
_METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
_FRESH_SECONDS = 1.0
"""How long figures serve: whoever asks without a pause costs the store nothing."""
_METHODS = ("GET", "HEAD")
_NO_WEB_SITE = re.compile(rb"(?:[0-9A-Za-z_-]{1,63}|[0-9.]{7,15}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?")
"""Hosts that are addresses, or names without a dot: no web page of strangers can have one of those."""


def has_host_within(headers: Iterable[tuple[bytes, bytes]], hosts: Collection[bytes] = ()) -> bool:
    """Whether a request names a host that no web page of strangers has, or one of these; and comes from no other page.

    Orchestrators and collectors ask so, for they know a process by its address. A browser that was led here by a name
    of somebody else's (DNS rebinding) sends that name.
    """
    names = [value for name, value in headers if name == b"host"]
    if len(names) != 1 or any(name == b"origin" for name, _ in headers):
        return False
    host = names[0].lower()
    return _NO_WEB_SITE.fullmatch(host) is not None or host in hosts or host.rpartition(b":")[0] in hosts


def name_route(path: str) -> str:
    """What requests for a path are counted as: strangers can ask for anything."""
    if path in _ROUTES:
        return path
    if path.startswith(_CONNECT):
        return _CONNECT.rstrip("/")
    return "/.well-known" if path.startswith("/.well-known/") else "other"


def mask_path(path: str) -> str:
    """A path as it may be told: what follows ``/connect/`` is a secret, or next to one."""
    return f"{_CONNECT}*" if path.startswith(_CONNECT) else path


class MonitoringPages:
    """Answers them."""

    def __init__(
        self,
        readiness: Readiness,
        render_metrics: Callable[[], Awaitable[bytes]],
        is_admin: Callable[[Principal], Awaitable[bool]],
    ) -> None:
        self._readiness = readiness
        self._is_admin = is_admin
        self._render_metrics = render_metrics
        self._rendering = asyncio.Lock()
        self._metrics = b""
        self._rendered_at = -_FRESH_SECONDS

    async def answer(self, path: str, method: str, principal: Principal | None) -> Reply:
        """Answer a request for one of the pages; only administrators see details and figures."""
        if path == METRICS and (principal is None or not await self._is_admin(principal)):
            return make_text_reply(403, "this page is for principals with the role admin")
        with_details = path == READINESS and principal is not None and await self._is_admin(principal)
        return await self.answer_unguarded(path, method, with_details=with_details)

    async def answer_unguarded(self, path: str, method: str, *, with_details: bool = False) -> Reply:
        """Answer whoever may see figures."""
        if method not in _METHODS:
            return make_text_reply(405, "this page is only read", ((b"allow", b"GET, HEAD"),))
        if path == HEALTH:
            return make_text_reply(200, "ok")
        if path == READINESS:
            return await self._answer_readiness(with_details=with_details)
        return await self._answer_metrics()

    async def _answer_metrics(self) -> Reply:
        async with self._rendering:
            if time.monotonic() - self._rendered_at >= _FRESH_SECONDS:
                try:
                    self._metrics = await self._render_metrics()
                except StoreError:
                    return make_text_reply(503, "the store cannot be read")
                self._rendered_at = time.monotonic()
            return Reply(200, self._metrics, _METRICS_TYPE)

    async def _answer_readiness(self, *, with_details: bool) -> Reply:
        problems = await self._readiness.find_problems()
        status = 503 if problems else 200
        if with_details:
            return Reply(status, json.dumps({"ready": not problems, "problems": problems}).encode(), JSON)
        return make_text_reply(status, "not ready" if problems else "ready")
