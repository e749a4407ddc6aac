"""One request sent once, and its reply read; what went wrong is told by how far the request is proven to have come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import httpx

from orgserver.model.text import clean_text
from orgserver.salesforce import clock
from orgserver.salesforce.protocol import bodies
from orgserver.salesforce.protocol.messages import Reply
from orgserver.salesforce.reply_memory import Reservation

ReadBody = Callable[[int, Mapping[str, str], bytes, str], Any]
"""Reads a body by its status, headers and the kind that was asked for; ValueError if it cannot be understood."""
_REQUEST_ID_HEADERS = ("x-request-id", "x-sfdc-request-id", "sforce-request-id")


@dataclass(slots=True)
class Trace:
    """What one call cost and met; filled while it runs."""

    api_calls: int = 0
    attempts: int = 0
    http_status: int | None = None
    salesforce_request_id: str | None = None
    limit_info: str | None = None
    server_date: datetime | None = None
    sent: bool = False
    """Whether Salesforce may have worked on anything: not on what never left, nor on what it refused."""

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Take over what the headers of a reply say; their names are in lower case."""
        self.limit_info = headers.get("sforce-limit-info", self.limit_info)
        for name in _REQUEST_ID_HEADERS:
            if name in headers:
                self.salesforce_request_id = clean_text(headers[name], 100)
                break
        if "date" in headers:
            self.server_date = clock.read_date(headers["date"])


class NeverSent(Exception):
    """No byte left."""


class ReplyLost(Exception):
    """The request left, and its reply did not come, or cannot be understood."""


class ReplyTooLarge(Exception):
    """The reply came, and is more than we take in."""


async def send_once(
    transport: httpx.AsyncBaseTransport,
    outgoing: httpx.Request,
    reservation: Reservation,
    trace: Trace,
    accept: str = bodies.JSON,
    read: ReadBody = bodies.read,
) -> Reply:
    """One attempt. What is not proven to have stayed here counts as sent.

    Raises NeverSent, ReplyLost or ReplyTooLarge.
    """
    sent_before, trace.sent = trace.sent, True
    outgoing.extensions["grow"] = reservation.grow
    try:
        response = await transport.handle_async_request(outgoing)
        content = await response.aread()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        trace.sent = sent_before
        raise NeverSent(str(error)) from error
    except httpx.HTTPError as error:
        trace.api_calls += 1
        raise ReplyLost(str(error)) from error
    except asyncio.CancelledError:  # out of time, or nobody wants it any more: Salesforce may count it all the same
        trace.api_calls += 1
        raise
    trace.api_calls += 1
    trace.http_status = response.status_code
    headers = {name.lower(): value for name, value in response.headers.items()}
    trace.note_headers(headers)
    status, size = response.status_code, len(content)
    # what has a reader of its own, a token reply, is small or not read, and must not wait for anything
    waits = size if read is bodies.read else 0
    reading = reservation.read(waits, partial(read, status, headers, content, accept))
    del response, content  # an error would keep them
    try:
        body = await reading
    except bodies.TooCostly as error:
        raise ReplyTooLarge(str(error)) from None
    except ValueError as error:
        raise ReplyLost(str(error)) from None
    return Reply(status, headers, body, size)
