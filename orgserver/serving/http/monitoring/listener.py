"""What listens at ``--metrics HOST:PORT``: figures and probes, without keys, for whoever reaches that address."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from starlette.types import Receive, Scope, Send

from orgserver.serving.http.monitoring.pages import PAGES, MonitoringPages, has_host_within
from orgserver.serving.http.replies import WRONG_HOST, Reply, make_text_reply, send_reply

logger = logging.getLogger("orgserver.http")


class MonitoringApp:
    """Answers requests; ``hosts`` are names that may be used for it beside addresses."""

    def __init__(self, pages: MonitoringPages, hosts: Iterable[str] = ()) -> None:
        self._pages = pages
        self._hosts = frozenset(host.lower().encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        try:
            reply = await self._answer(scope)
        except Exception:
            logger.exception("a request for figures failed in a way that is not foreseen")
            reply = make_text_reply(500, "this request failed inside orgserver")
        await send_reply(send, reply)

    async def _answer(self, scope: Scope) -> Reply:
        path, method = scope["path"], scope["method"]
        if not has_host_within(scope["headers"], self._hosts):
            return make_text_reply(421, WRONG_HOST)
        if path not in PAGES:
            return make_text_reply(404, "nothing is here but /metrics, /healthz and /readyz")
        return await self._pages.answer_unguarded(path, method)
