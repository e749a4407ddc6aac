"""Arguments as clients really send them, read as what the tool's schema declares, for all tools in one place.

Clients send null or "" for what they leave out, objects and lists as JSON text, and numbers as 2.0 or "2". Where one
meaning is left, that is taken; everything else stays as it came, for the validation that follows to refuse it. Nothing
inside an object is touched: a field's value is the agent's, and a filter compares with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from orgserver.model.json_text import read_json_text

_EXACT = frozenset({"org", "orgs"})
"""Which orgs a call reaches is never guessed from another form; only a list may be written as JSON text."""
_EMPTY_IS_ABSENT = frozenset({"cursor", "start", "end"})
"""Where "" can mean nothing else. It is no such thing for a guard, such as if_unmodified_since."""
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0{1,17})?")
_JSON_BEGINS = re.compile(r"\s*[\[{\"]")
"""Such a text was meant as JSON: it is no name."""
_NO_JSON = object()
_BOOLEANS = {"true": True, "false": False}


class ArgumentForms:
    """The forms that the arguments of one tool may have."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._properties: dict[str, Mapping[str, Any]] = schema["properties"]
        self._optional = self._properties.keys() - set(schema.get("required", ()))

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The same arguments in the form that the schema declares, as far as they have one meaning."""
        return {name: self._read(name, value) for name, value in arguments.items() if not self._is_absent(name, value)}

    def _is_absent(self, name: str, value: Any) -> bool:
        return name in self._optional and (value is None or (value == "" and name in _EMPTY_IS_ABSENT))

    def _read(self, name: str, value: Any) -> Any:
        declared = self._properties.get(name, {})
        if name in _EXACT:
            return _list(value, None) if declared.get("type") == "array" else value
        return _as_declared(declared, value)


def _as_declared(declared: Mapping[str, Any], value: Any) -> Any:
    match declared.get("type"):
        case "object":
            return _object(value)
        case "array":
            return _list(value, declared["items"])
        case "integer":
            return _integer(value)
        case "boolean":
            return _BOOLEANS.get(value, value) if isinstance(value, str) else value
        case _:
            return value


def _object(value: Any) -> Any:
    content = _content(value)
    return content if isinstance(content, dict) else value


def _list(value: Any, items: Mapping[str, Any] | None) -> Any:
    """A list; ``items`` says of what, None that each is taken as it is."""
    content = _content(value)
    if isinstance(content, list):
        return content if items is None else [_as_declared(items, each) for each in content]
    if content is _NO_JSON and items is not None and items["type"] == "string" and not _JSON_BEGINS.match(value):
        return [value]
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    number = _WHOLE_NUMBER.fullmatch(value) if isinstance(value, str) else None
    return value if number is None else int(number[1])


def _content(value: Any) -> Any:
    """What a JSON text says, _NO_JSON where it says nothing or no one thing; another value is its own content."""
    if not isinstance(value, str):
        return value
    try:
        return read_json_text(value)
    except ValueError:
        return _NO_JSON
