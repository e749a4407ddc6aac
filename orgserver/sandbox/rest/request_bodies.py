"""The bodies and methods of REST requests, read, and the refusals that every resource knows."""

from __future__ import annotations

import json
import re
from typing import Any

from orgserver.sandbox.answers import Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.schema import SObject

_VERSION = re.compile(r"v(\d{2,3})\.0/")
_DUPLICATE_HEADER_SINCE = 52
_METHODS = "GET,POST,PATCH,DELETE,HEAD"


def object_named(name: str) -> SObject:
    """The object of a path; Refusal if there is none."""
    sobject = schema.find(name)
    if sobject is None:
        raise not_found()
    return sobject


def object_typed(name: Any) -> SObject:
    """The object that a record or a search says it is of; Refusal if there is none."""
    sobject = schema.find(name) if isinstance(name, str) else None
    if sobject is None:
        raise Refusal(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
    return sobject


def not_found() -> Refusal:
    """The refusal of a path that leads nowhere."""
    return Refusal(404, "NOT_FOUND", "The requested resource does not exist")


def not_allowed(method: str) -> Refusal:
    """The refusal of a method that a resource does not know."""
    return Refusal(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed. Allowed are {_METHODS}")


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body."""
    if not body:
        raise Refusal(400, "JSON_PARSER_ERROR", "No content to map to Object due to end of input")
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "JSON_PARSER_ERROR", "Unexpected character at [line:1, column:1]") from None
    if not isinstance(values, dict):
        message = "Can not deserialize SObject out of this token at [line:1, column:1]"
        raise Refusal(400, "JSON_PARSER_ERROR", message)
    return values


def read_values(body: bytes) -> dict[str, Any]:
    """The field values of a body."""
    return without_attributes(read_object(body))


def without_attributes(record: dict[str, Any]) -> dict[str, Any]:
    """A record's field values."""
    return {name: value for name, value in record.items() if name != "attributes"}


def method_of(request: Request) -> str:
    """The method that is meant: a POST may say that it is another."""
    other = request.query.get("_HttpMethod")
    return other.upper() if other and request.method == "POST" else request.method


def check_media_type(request: Request) -> None:
    """Refuse a body that is neither JSON nor, for a bulk job, CSV (nforce#74). XML, which Salesforce reads, is too."""
    if not request.body or request.method not in ("POST", "PATCH", "PUT"):
        return
    media_type = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if media_type != ("text/csv" if request.method == "PUT" else "application/json"):
        text = f"MediaType of '{media_type}' is not supported by this resource"
        raise Refusal(415, "UNSUPPORTED_MEDIA_TYPE", text)


def allows_duplicates(request: Request) -> bool:
    """Tell whether a request saves what a duplicate rule only warns of; the header is of version 52.0 and later."""
    version = _VERSION.search(request.path)
    if version is None or int(version[1]) < _DUPLICATE_HEADER_SINCE:
        return False
    header = request.headers.get("sforce-duplicate-rule-header", "")
    options = {part.strip().lower() for part in header.replace(" ", "").split(";")}
    return "allowsave=true" in options
