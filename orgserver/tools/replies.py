"""How results and errors look to an agent: structured content, and the same as compact JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mcp_types import CallToolResult, TextContent

from orgserver.model.errors import CallError
from orgserver.model.results import Changed, Created, Page

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_TEXT = {"type": "string"}
_LIST = {"type": "array"}
CREATED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "id": _TEXT, "url": _TEXT, "warnings": _LIST},
    "required": ["org", "id", "url"],
}
RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"org": _TEXT, "record": {"type": "object"}},
    "required": ["org", "record"],
}
UPDATED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "id": _TEXT,
        "updated_fields": _LIST,
        "preview": {"type": "boolean"},
        "changes": _LIST,
        "warnings": _LIST,
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
        "changes": _LIST,
        "warnings": _LIST,
    },
    "required": ["org", "id"],
}
PAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "org": _TEXT,
        "records": _LIST,
        "total_size": {"type": "integer"},
        "next_cursor": _TEXT,
        "warnings": _LIST,
    },
    "required": ["org", "records", "total_size"],
}
ORGS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"orgs": _LIST, "next_cursor": _TEXT},
    "required": ["orgs"],
}


def created(org: str, result: Created) -> dict[str, Any]:
    """A record that now exists."""
    return _with_warnings({"org": org, "id": result.id, "url": result.url}, result.warnings)


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


def page(org: str, result: Page) -> dict[str, Any]:
    """Some records of a result."""
    shaped: dict[str, Any] = {"org": org, "records": result.records, "total_size": result.total_size}
    if result.next_cursor is not None:
        shaped["next_cursor"] = result.next_cursor
    return _with_warnings(shaped, result.warnings)


def success(structured: dict[str, Any]) -> CallToolResult:
    """A tool result that succeeded."""
    return CallToolResult(content=[TextContent(text=_encode(structured))], structured_content=structured)


def failure(error: CallError, org: str | None) -> CallToolResult:
    """A tool result that did not: its whole text is the contract's error JSON."""
    return CallToolResult(content=[TextContent(text=_encode(error.as_json(org)))], is_error=True)


def _previewed(org: str, result: Changed) -> dict[str, Any]:
    changes = [{"field": each.field, "from": each.before, "to": each.after} for each in result.changes]
    return _with_warnings({"org": org, "id": result.id, "preview": True, "changes": changes}, result.warnings)


def _with_warnings(shaped: dict[str, Any], warnings: Iterable[str]) -> dict[str, Any]:
    told = list(warnings)
    return shaped | {"warnings": told} if told else shaped
