"""How results and errors look to an agent: structured content, and the same as compact JSON text.

Results are plain dicts in MCP's own words: the SDK checks them against the protocol of the connection anyway, and a
model in between would be built only to be taken apart again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from orgserver.model.errors import CallError
from orgserver.model.results import Changed, Created, Page, Record, SearchResult, Upserted, Usage
from orgserver.services.results import result_size, truncation

_MOST = result_size.MAX_BYTES + result_size.FRAME_BYTES
"""Bytes of a result's JSON. On the wire it is three times as much at worst: twice, and the text with escapes."""
_MOST_OF_AN_ERROR = 16 * 1024
_TEXT = {"type": "string"}
_OBJECT = {"type": "object", "additionalProperties": True}
_TEXTS = {"type": "array", "items": _TEXT}
_OBJECTS = {"type": "array", "items": _OBJECT}
# Any result may also have warnings: texts that need no schema, so that every agent does not read ten times of them.
CREATED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "id": _TEXT, "url": _TEXT, "created_fields": _TEXTS},
    "required": ["org", "id", "url", "created_fields"],
}
UPSERTED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "id": _TEXT,
        "url": _TEXT,
        "created": {"type": "boolean"},
        "created_fields": _TEXTS,
        "updated_fields": _TEXTS,
    },
    "required": ["org", "id", "url", "created"],
}
RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "record": _OBJECT},
    "required": ["org", "record"],
}
UPDATED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "id": _TEXT,
        "updated_fields": _TEXTS,
        "preview": {"type": "boolean"},
        "changes": _OBJECTS,
    },
    "required": ["org", "id"],
}
DELETED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "id": _TEXT,
        "deleted": {"type": "boolean"},
        "preview": {"type": "boolean"},
        "changes": _OBJECTS,
    },
    "required": ["org", "id"],
}
PAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "records": _OBJECTS,
        "has_more": {"type": "boolean"},
        "total_size": {"type": "integer"},
        "next_cursor": _TEXT,
    },
    "required": ["org", "records", "has_more"],
}
SCHEMA_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "object": _TEXT, "fields": _OBJECTS},
    "required": ["org", "object", "fields"],
}
OBJECTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "objects": _OBJECTS, "next_cursor": _TEXT},
    "required": ["org", "objects"],
}
FOUND_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "records": _OBJECTS},
    "required": ["org", "records"],
}
LIMITS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "limits": _OBJECT},
    "required": ["org", "limits"],
}
ORGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"orgs": _OBJECTS, "next_cursor": _TEXT, "warnings": _TEXTS},
    "required": ["orgs"],
}

BULK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "audit_id": _TEXT,
        "total": {"type": "integer"},
        "succeeded": {"type": "integer"},
        "failed": {"type": "integer"},
        "unknown": {"type": "integer"},
        "preview": {"type": "boolean"},
        "results": _OBJECTS,
        "next_cursor": _TEXT,
        "warnings": _TEXTS,
    },
    "required": ["org", "audit_id", "total", "results"],
}
FLEET_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "orgs": {"type": "integer"},
        "answered": {"type": "integer"},
        "failed": {"type": "integer"},
        "merged": _OBJECTS,
        "total_size": {"type": "integer"},
        "results": _OBJECTS,
        "warnings": _TEXTS,
    },
    "required": ["orgs", "answered", "failed", "results"],
}


def created(org: str, result: Created) -> dict[str, Any]:
    """A record that now exists."""
    shaped = {"org": org, "id": result.id, "url": result.url, "created_fields": list(result.fields)}
    return _with_warnings(shaped, result.warnings)


def upserted(org: str, result: Upserted) -> dict[str, Any]:
    """A record that now exists, by a create or a change."""
    shaped = {"org": org, "id": result.id, "url": result.url, "created": result.created}
    shaped["created_fields" if result.created else "updated_fields"] = list(result.fields)
    return _with_warnings(shaped, result.warnings)


def updated(org: str, result: Changed) -> dict[str, Any]:
    """A record that was, or would be, changed."""
    if result.preview:
        return _previewed(org, result)
    return _with_warnings({"org": org, "id": result.id, "updated_fields": list(result.fields)}, result.warnings)


def deleted(org: str, result: Changed) -> dict[str, Any]:
    """A record that was, or would be, deleted."""
    if result.preview:
        return _previewed(org, result)
    return _with_warnings({"org": org, "id": result.id, "deleted": True}, result.warnings)


def record(org: str, result: Record) -> dict[str, Any]:
    """One record."""
    return _with_warnings({"org": org, "record": result.values}, result.warnings)


def page(org: str, result: Page) -> dict[str, Any]:
    """Some records of a result."""
    shaped: dict[str, Any] = {"org": org, "records": result.records, "has_more": result.has_more}
    if result.total_size is not None:
        shaped["total_size"] = result.total_size
    if result.next_cursor is not None:
        shaped["next_cursor"] = result.next_cursor
    return _with_warnings(shaped, result.warnings)


def found(org: str, result: SearchResult) -> dict[str, Any]:
    """What a search found."""
    return _with_warnings({"org": org, "records": result.records}, result.warnings)


def usage(org: str, result: Usage) -> dict[str, Any]:
    """What an org has used of its limits."""
    return _with_warnings({"org": org, "limits": result.limits}, result.warnings)


def success(structured: dict[str, Any]) -> dict[str, Any]:
    """A tool result that succeeded."""
    structured, text = written(structured)
    return {"content": [{"type": "text", "text": text}], "structuredContent": structured, "resultType": "complete"}


def written(structured: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A result and its JSON text; what no service has bounded is cut."""
    try:
        text = to_json(structured)
    except PydanticSerializationError:  # half a surrogate pair, which JSON may spell and UTF-8 may not
        return written(encodable(structured))
    if len(text) > _MOST:
        return written(encodable(result_size.bound_result(structured)))
    return structured, text.decode()


def failure(error: CallError, org: str | None) -> dict[str, Any]:
    """A tool result that did not: its whole text is our error JSON.

    There is no structured content: it would have to fit the output schema.
    """
    whole = error.as_json(org)
    try:
        text = to_json(whole)
    except PydanticSerializationError:
        text = b""
    if not 0 < len(text) <= _MOST_OF_AN_ERROR // 2:  # nearly all are far shorter
        text = to_json(truncation.fit(encodable(whole), _MOST_OF_AN_ERROR)[0])
    return {"content": [{"type": "text", "text": text.decode()}], "isError": True, "resultType": "complete"}


def encodable(value: Any) -> Any:
    """The same without halves of surrogate pairs, which JSON may spell and UTF-8 may not."""
    if isinstance(value, dict):
        return {encodable(name): encodable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [encodable(inner) for inner in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _previewed(org: str, result: Changed) -> dict[str, Any]:
    changes = [{"field": each.field, "from": each.before, "to": each.after} for each in result.changes]
    return _with_warnings({"org": org, "id": result.id, "preview": True, "changes": changes}, result.warnings)


def _with_warnings(shaped: dict[str, Any], warnings: Iterable[str]) -> dict[str, Any]:
    warning_list = list(warnings)
    return shaped | {"warnings": warning_list} if warning_list else shaped
