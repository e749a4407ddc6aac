"""Conditional requests for one record (REST guide ``intro_rest_conditional_requests``).

Entity tags are for accounts alone; the dates are for every object. A DELETE knows neither, so they are ignored there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state.schema import SObject

_TAGGED = "Account"
_TAGS = re.compile(r'\s*(?:\*|(?:W/)?"[^"]*"(?:\s*,\s*(?:W/)?"[^"]*")*)\s*')
_TAG = re.compile(r'"([^"]*?)(?:-{1,2}gzip)?"')


def check_read(request: Request, sobject: SObject, record: dict[str, Any]) -> Answer | None:
    """What a read is answered in place of the record: 304 or 412; None if it may have it."""
    modified, since, until = _times(request, record)
    if sobject.name == _TAGGED and (unchanged := _matches(request.headers.get("if-none-match"), record)) is not None:
        return Answer(304) if unchanged else None
    if sobject.name == _TAGGED and _matches(request.headers.get("if-match"), record) is False:
        return Answer(412)
    if until is not None and modified > until:
        return Answer(412)
    return Answer(304) if since is not None and modified <= since else None


def check_change(request: Request, sobject: SObject, record: dict[str, Any]) -> Answer | None:
    """The same for a change: 412; Refusal where a condition is no such thing."""
    names = ("if-match", "if-none-match") if sobject.name == _TAGGED else ()
    for name in names:
        if name in request.headers and not _TAGS.fullmatch(request.headers[name]):
            raise Refusal(400, "INVALID_HEADER", f"{name} holds no entity tag")
    modified, _, until = _times(request, record)
    if "if-unmodified-since" in request.headers and until is None:
        raise Refusal(400, "INVALID_HEADER", "If-Unmodified-Since is not a date")
    if names and (
        _matches(request.headers.get("if-match"), record) is False
        or _matches(request.headers.get("if-none-match"), record)
    ):
        return Answer(412)
    if until is not None and modified > until:
        message = "The record you are trying to update has been modified"
        raise Refusal(412, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", message)
    return None


def headers(sobject: SObject, record: dict[str, Any]) -> dict[str, str]:
    """What a reply with a record says about its state."""
    fields = {"last-modified": format_datetime(_modified(record), usegmt=True)}
    return fields | ({"etag": f'"{_digest(record)}--gzip"'} if sobject.name == _TAGGED else {})


def _times(request: Request, record: dict[str, Any]) -> tuple[datetime, datetime | None, datetime | None]:
    since, until = (request.date(name) for name in ("if-modified-since", "if-unmodified-since"))
    return _modified(record), since, until


def _modified(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["LastModifiedDate"])


def _matches(header: str | None, record: dict[str, Any]) -> bool | None:
    """Whether one of the tags is the record's; None for no tags, which set no condition."""
    if header is None or not _TAGS.fullmatch(header):
        return None
    return header.strip() == "*" or _digest(record) in _TAG.findall(header)


def _digest(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True).encode()
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
