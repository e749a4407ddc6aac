"""What the tools take: typed arguments, and the forms in which clients really send them, for all tools in one place.

Clients send null or "" for what they leave out, objects and lists as JSON text, and numbers as 2.0 or "2". Where one
meaning is left, that is taken; everything else stays as it came, for the validation that follows to refuse it. Nothing
inside an object is touched: a field's value is the agent's, and a filter compares with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from orgserver.model import names
from orgserver.model.json_text import read_json_text

MAX_LIMIT = 2_000
_EXACT = frozenset({"org", "orgs"})
"""Which orgs a call reaches is never guessed from another form; only a list may be written as JSON text."""
_EMPTY_IS_ABSENT = frozenset({"cursor", "start", "end"})
"""Where "" can mean nothing else. It is no such thing for a guard, such as if_unmodified_since."""
_WHOLE_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0{1,17})?")
_JSON_BEGINS = re.compile(r"\s*[\[{\"]")
"""Such a text was meant as JSON: it is no name."""
_NO_JSON = object()
_BOOLEANS = {"true": True, "false": False}
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Parent = Annotated[dict[str, str | int | _Number | dict[str, str]], Field(max_length=10)]
"""A parent by an external id, with its type where there may be several: ``{"Ext__c": "x", "type": "Account"}``."""
_FieldValue = str | int | _Number | bool | list[str | int] | _Parent | None


class Arguments(BaseModel):
    """Arguments of a tool: nothing is converted, and nothing unknown is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


_MOST_FIELDS = 1_000
"""Salesforce has at most 800 custom fields on an object."""


class RecordData(BaseModel):
    """Field values: the usual ones typed, any other field of the object as it is."""

    model_config = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True)
    __pydantic_extra__: dict[str, _FieldValue]

    @model_validator(mode="before")
    @classmethod
    def _spell_names(cls, data: Any) -> Any:
        """Read a typed field's name in any letters, as Salesforce does; one that is there twice is refused later."""
        if not isinstance(data, dict):
            return data
        if len(data) > _MOST_FIELDS:
            raise PydanticCustomError("many_fields", "has more fields than any object")
        known = {name.lower(): name for name in cls.model_fields if name not in data}
        return {known.pop(name.lower(), name): value for name, value in data.items()}

    def values(self) -> dict[str, Any]:
        """The fields that were given, null included."""
        return self.model_dump(exclude_unset=True)


def text(length: int, **schema: Any) -> tuple[Any, ...]:
    """What annotates a field of text, at most so long (which a refusal says, not the schema); null clears it."""
    shown = {"type": ["string", "null"]} | schema
    return Field(max_length=length), WithJsonSchema(shown)


def as_in(tool: str) -> WithJsonSchema:
    """How the fields of a change are shown: as another tool's, not all of them again."""
    return WithJsonSchema({"type": "object", "description": f"fields as in {tool}"})


def _object_name(text: str) -> str:
    try:
        return names.sobject(text)
    except ValueError:
        raise PydanticCustomError("object_name", "is no object's API name, such as Account or Invoice__c") from None


When = Annotated[str | None, Field(max_length=120), WithJsonSchema({"type": ["string", "null"]})]
NewWhen = Annotated[str, Field(max_length=120), WithJsonSchema({"type": "string"})]
Moment = Annotated[
    str | None,
    Field(max_length=120),
    WithJsonSchema({"type": "string", "description": "date, or time with offset or zone"}),
]
RecordReference = Annotated[str | None, WithJsonSchema({"type": ["string", "null"]})]
Org = Annotated[str, Field(min_length=1, max_length=255), WithJsonSchema({"type": "string"})]
"""An alias: the instructions and salesforce_list_orgs say so once, not every tool again."""
ObjectName = Annotated[
    str,
    AfterValidator(_object_name),
    WithJsonSchema({"type": "string", "description": "API name, e.g. Account, Invoice__c"}),
]
RecordIdText = Annotated[str, Field(max_length=255), WithJsonSchema({"type": "string"})]
Fields = Annotated[
    list[str] | None,
    Field(max_length=500),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "string"},
            "description": "e.g. Email, Account.Name",
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT)]
Cursor = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A ``next_cursor``: the instructions say once how to go on, not every tool again."""
Count = Annotated[bool, WithJsonSchema({"type": "boolean", "description": "total_size too, for one API call more"})]
Filter = Annotated[
    dict[str, Any] | None,
    WithJsonSchema(
        {
            "type": "object",
            "description": "{Field: value or {op: value}}; "
            "ops eq ne lt lte gt gte in not_in contains starts_with is_null",
        }
    ),
]
OrderBy = Annotated[
    str | None, Field(max_length=500), WithJsonSchema({"type": "string", "description": "Field or Field desc"})
]
Since = Annotated[
    str | None,
    Field(max_length=64),
    WithJsonSchema({"type": "string", "description": "the LastModifiedDate you read"}),
]
IdempotencyKey = Annotated[
    str | None,
    WithJsonSchema({"type": "string", "description": "same key, never done twice"}),
]
AllowDuplicates = Annotated[bool, WithJsonSchema({"type": "boolean"})]
"""What a duplicate rule refuses is told with this argument; before that nobody need read of it."""
Preview = Annotated[bool, WithJsonSchema({"type": "boolean"})]


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
