"""What Salesforce answers at times, in place of what was asked: maintenance, the edge, limits, and accidents.

A test orders one by its name, as a fault of the kind ``salesforce``. The sources stand in docs/stand-ins.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from orgserver.sandbox.answers import Answer
from orgserver.sandbox.errors import Refusal

_MAINTENANCE = """<html>
<body>
<center>
<table bgcolor="white" cellpadding="0" cellspacing="0" width="758"><tbody><tr>
<td><span style="font-family: Verdana; font-size: medium; font-weight: bold;">We are down for maintenance.</span><br>
<br>Sorry for the inconvenience. We'll be back shortly.</td></tr></tbody></table>
</center>
</body>
</html>
"""
_EDGE = "<!doctype html><html lang=en-US><meta charset=UTF-8><title>Error Page</title><h1>502</h1></html>"
_ROW = "unable to obtain exclusive access to this record or 1 records: 001000000000001AAA"
_LIMIT = "REQUEST_LIMIT_EXCEEDED"


def answer(name: str) -> Answer:
    """The answer of an occasion; error ids are others each time."""
    return _ANSWERS[name]()


def _refused(status: int, code: str, message: str) -> Callable[[], Answer]:
    return lambda: Answer(status, Refusal(status, code, message).body)


def _from_edge(status: int, body: str = "") -> Callable[[], Answer]:
    """The edge, which stands before the org, speaks no JSON."""

    def make_answer() -> Answer:
        answer = Answer.text(status, body, "text/html" if body else "")
        answer.headers = {"server": "sfdcedge", "x-sfdc-request-id": secrets.token_hex(16)}
        return answer

    return make_answer


def _unexpected() -> Answer:
    number = secrets.randbelow
    error_id = f"{number(10**10):010d}-{number(10**6):06d} ({number(2**32) - 2**31})"
    text = f"An unexpected error occurred. Please include this ErrorId if you contact support: {error_id}"
    return Answer(500, Refusal(500, "UNKNOWN_EXCEPTION", text).body)


_ANSWERS: dict[str, Callable[[], Answer]] = {
    "maintenance": lambda: Answer.text(503, _MAINTENANCE, "text/html"),
    "edge_406": _from_edge(406),
    "edge_420": _from_edge(420),
    "edge_502": _from_edge(502, _EDGE),
    "server_busy": _refused(503, "SERVER_UNAVAILABLE", "Server too busy"),
    "concurrent_limit": _refused(403, _LIMIT, "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
    "daily_limit": _refused(403, _LIMIT, "TotalRequests Limit exceeded."),
    "query_timeout": _refused(400, "QUERY_TIMEOUT", "Your query request was running for too long."),
    "row_locked": _refused(400, "UNABLE_TO_LOCK_ROW", _ROW),
    "api_disabled_for_org": _refused(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."),
    "api_disabled_for_user": _refused(403, "API_CURRENTLY_DISABLED", "API is disabled for this User"),
    "session_not_valid": _refused(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
    "session_expired": _refused(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "unexpected_error": _unexpected,
}
NAMES = frozenset(_ANSWERS)
