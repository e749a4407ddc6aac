"""Reads whose address is too long: sent as the one part of a composite request, and its answer taken out again.

Salesforce refuses addresses above 16,384 bytes with 414, and with their headers above that with 431 (limits cheat
sheet ``platform-api``); proxies often refuse less. There is no POST for queries, but ``/composite`` takes them (Help
000386264), and counts as one call.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from orgserver.salesforce.protocol.messages import Reply, Request

LONGEST = 8_000
"""Bytes of path and query that are sent as they are: what common proxies let through."""
MOST = 16_384
"""Bytes of an address that Salesforce takes at all; what is longer and no part of another request is not tried."""
_WRAPPABLE = re.compile(r"(/services/data/v\d{2,3}\.0)/(?:query|queryAll|sobjects/.+)")
_NAME = "read"
_OK = 200


def is_long(request: Request) -> bool:
    """Whether a request is sent within another one."""
    return request.method == "GET" and len(request.target) > LONGEST and _WRAPPABLE.fullmatch(request.path) is not None


def wrap(request: Request) -> Request:
    """The composite request around a read (REST guide ``requests-composite``)."""
    match = _WRAPPABLE.fullmatch(request.path)
    if match is None:
        raise ValueError("this request cannot be a part of another one")
    part: dict[str, Any] = {"method": "GET", "url": request.target, "referenceId": _NAME}
    if request.headers:
        part["httpHeaders"] = dict(request.headers)
    return Request("POST", f"{match[1]}/composite", body={"allOrNone": False, "compositeRequest": [part]})


def unwrap(reply: Reply) -> Reply:
    """The answer to the read; a reply that is none of a composite request is left as it is.

    Raises ValueError for what has not the form of one.
    """
    if reply.status != _OK:
        return reply
    parts = reply.body.get("compositeResponse") if isinstance(reply.body, dict) else None
    part = parts[0] if isinstance(parts, list) and len(parts) == 1 else None
    status = part.get("httpStatusCode") if isinstance(part, dict) else None
    if not isinstance(part, dict) or type(status) is not int or not _OK <= status < 600:  # noqa: PLR2004  # a status
        raise ValueError("it is no answer to a composite request")
    return replace(reply, status=status, body=part.get("body"))
