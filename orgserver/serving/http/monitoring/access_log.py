"""One line for each request over HTTP: who asked what from where, and what came of it; never what was said."""

from __future__ import annotations

import logging
from typing import Protocol

from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.monitoring.pages import PAGES, mask_path, name_route

logger = logging.getLogger("orgserver.access")

_LONGEST = 200
_OK, _TOO_MANY = 200, 429


class CountRequest(Protocol):
    """Counts a request for the figures."""

    def __call__(self, route: str, status: int, seconds: float, *, is_limited: bool) -> None:
        """Count one; ``route`` and ``status`` are what it is counted as."""


class AccessLog:
    """Writes the lines, and has the requests counted."""

    def __init__(self, count: CountRequest) -> None:
        self._count = count

    def add_exchange(self, exchange: Exchange) -> None:
        """A request that is answered; those of machines that ask all day get a line only for who debugs."""
        scope = exchange.scope
        path = scope["path"]
        self._count(name_route(path), exchange.status, exchange.seconds, is_limited=exchange.is_limited)
        level = logging.DEBUG if path in PAGES and exchange.status == _OK else logging.INFO
        if not logger.isEnabledFor(level):
            return
        logger.log(
            level,
            "request",
            extra={
                "source": exchange.source,
                "method": scope["method"],
                "path": mask_path(path)[:_LONGEST],
                "status": exchange.status,
                "ms": round(exchange.seconds * 1_000, 1),
                "bytes": exchange.sent_bytes,
                "principal": exchange.principal,
                "key": exchange.key_id,
                "request": exchange.request_id,
            },
        )

    def add_refusal(self, source: str, status: int) -> None:
        """What was refused before it was a whole request."""
        self._count("none", status, 0.0, is_limited=status == _TOO_MANY)
        logger.info("no request", extra={"source": source, "status": status})
