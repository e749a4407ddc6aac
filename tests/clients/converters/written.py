"""What a model can write for a tool whose schema a client's library has converted.

No model is called. A model that is held to a schema (strict modes, Gemini's VALIDATED) writes what the schema allows
and no more, so that is what is built here from the arguments that were meant. Standard library alone: the scripts
beside this file import it in environments of their own.
"""

from __future__ import annotations

import json
from typing import Any


def written(schema: dict[str, Any], meant: Any, *, keyless: str = "open") -> Any:
    """The value that a model can write where ``meant`` is meant.

    ``keyless`` says what an object without the word additionalProperties takes: ``open`` any key, as JSON Schema has
    it; ``listed`` its properties, and any key where it lists none, as Gemini's Schema has it.
    """
    schema = _plain(schema)
    kind = _kind(schema)
    if isinstance(meant, dict | list) and kind == "string":
        return json.dumps(meant)
    if isinstance(meant, list) and kind == "array":
        return [written(schema.get("items") or {}, each, keyless=keyless) for each in meant]
    if not isinstance(meant, dict) or kind != "object":
        return meant
    properties = schema.get("properties") or {}
    allowed = meant if _takes(schema, keyless) else {name: meant[name] for name in meant if name in properties}
    value = {name: written(properties.get(name, {}), inner, keyless=keyless) for name, inner in allowed.items()}
    return value | {name: _filler(properties[name]) for name in schema.get("required") or () if name not in value}


def openness(schema: dict[str, Any], *, keyless: str = "open") -> str:
    """What became of an open object: ``open``, ``listed keys only``, ``no keys`` or a ``text``."""
    schema = _plain(schema)
    if _kind(schema) != "object":
        return "a text" if _kind(schema) == "string" else f"{_kind(schema) or 'nothing'}"
    if _takes(schema, keyless):
        return "open"
    return "listed keys only" if schema.get("properties") else "no keys"


def inner(schema: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The schema at a path of property names, ``[]`` for the items of an array."""
    for step in path:
        schema = _plain(schema)
        schema = schema["items"] if step == "[]" else schema["properties"][step]
    return schema


def open_objects(schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Where a schema as our server lists it has open objects."""
    found = [path] if schema.get("additionalProperties") is True else []
    for name, each in (schema.get("properties") or {}).items():
        found += open_objects(each, (*path, name))
    return found + (open_objects(schema["items"], (*path, "[]")) if "items" in schema else [])


def _takes(schema: dict[str, Any], keyless: str) -> bool:
    """Whether an object takes keys that it does not list."""
    more = schema.get("additionalProperties", schema.get("additional_properties"))
    if more is not None:
        return more is not False
    return keyless == "open" or not schema.get("properties")


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without the null beside it."""
    kinds = schema.get("anyOf") or schema.get("any_of") or ()
    others = [each for each in kinds if _kind(each) != "null"]
    return _plain(others[0]) if len(others) == 1 else schema


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), None)
    return str(getattr(kind, "value", kind) or "").lower()


def _filler(schema: dict[str, Any]) -> Any:
    """What a model writes where it must write something and nothing is meant."""
    if schema.get("nullable") or _plain(schema) is not schema or "null" in (schema.get("type") or ()):
        return None
    return {"string": "", "boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}.get(_kind(schema))
