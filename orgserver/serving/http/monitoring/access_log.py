"""One line for each request over HTTP: who asked what from where, and what came of it; never what was said."""

from __future__ import annotations

import logging

from orgserver.serving.http.exchange import Exchange
from orgserver.serving.http.monitoring.pages import PAGES

logger = logging.getLogger("orgserver.access")

_LONGEST = 200
_OK = 200


def log_exchange(exchange: Exchange) -> None:
    """Write the line of a request that is answered; those of machines that ask all day only for who debugs."""
    scope = exchange.scope
    path = scope["path"]
    level = logging.DEBUG if path in PAGES and exchange.status == _OK else logging.INFO
    if not logger.isEnabledFor(level):
        return
    logger.log(
        level,
        "request",
        extra={
            "source": exchange.source,
            "method": scope["method"],
            "path": path[:_LONGEST],
            "status": exchange.status,
            "ms": round(exchange.seconds * 1_000, 1),
            "bytes": exchange.sent_bytes,
            "principal": exchange.principal,
            "key": exchange.key_id,
            "request": exchange.request_id,
        },
    )
