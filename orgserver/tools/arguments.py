"""What the tools take, and the schemas that agents read: typed, with nothing in them that says nothing."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from orgserver.model import names
from orgserver.model.errors import InvalidArgument

MAX_LIMIT = 2_000
_NESTED = ("data", "filter")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,79}")
_SCALAR = "must be a text, a number, true, false or null"
_WRONG_KINDS = {
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}
_NESTED_KINDS = {name for name, words in _WRONG_KINDS.items() if words in ("must be a list", "must be an object")}
_WORDS = _WRONG_KINDS | {
    "missing": "is required",
    "extra_forbidden": "is not an argument of this tool",
    "string_unicode": "holds half a surrogate pair, which no text can",
}
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (str, "a text"),
    ((int, float), "a number"),
    (list, "a list"),
    (dict, "an object"),
)
_SHOWN = 10
_NOISE = ("title", "additionalProperties", "minLength", "maxLength", "minimum")
"""What a model need not read: a refusal names what was wrong."""
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Parent = dict[str, str | int | _Number | dict[str, str]]
"""A parent by an external id, with its type where there may be several: ``{"Ext__c": "x", "type": "Account"}``."""
_FieldValue = str | int | _Number | bool | list[str | int] | _Parent | None


class Arguments(BaseModel):
    """Arguments of a tool: nothing is converted, and nothing unknown is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


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


def schema_of(arguments: type[BaseModel], *, nullable: bool = True) -> dict[str, Any]:
    """A model's JSON schema without titles, indirections and empty defaults; null only where it clears something."""
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    compact = _compact(schema, definitions)
    compact.pop("description", None)
    if not nullable:
        _without_null(compact)
    assert isinstance(compact, dict)  # noqa: S101  # a model's schema is an object
    return compact


def _compact(node: Any, definitions: dict[str, Any], level: int = 0) -> Any:
    """A schema without what says nothing; ``level`` counts the properties that it is inside of."""
    if isinstance(node, list):
        return [_compact(each, definitions, level) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = dict(definitions[node["$ref"].rpartition("/")[2]])
        target.pop("description", None)
        node = target | {name: value for name, value in node.items() if name != "$ref"}
    compact = {
        name: {key: _compact(value, definitions, level + 1) for key, value in inner.items()}
        if name == "properties"
        else _compact(inner, definitions, level)
        for name, inner in node.items()
        if not _says_nothing(name, inner, level)
    }
    if compact.get("type") == "object" and node.get("additionalProperties") is not False:
        # Without the word, and with properties that are there but empty, clients' converters allow no key, or a text.
        compact["additionalProperties"] = True
        if not compact.get("properties"):
            compact.pop("properties", None)
    return compact


def _says_nothing(name: str, value: Any, level: int) -> bool:
    """Whether a keyword may go. Fields inside ``data`` keep their null: langchain-google-genai requires each field
    without a default, and a model that must fill in an AccountId makes one up.
    """
    return name in _NOISE or (name == "default" and (value is False or (value is None and level <= 1)))


def _without_null(node: Any) -> None:
    if isinstance(node, dict):
        if node.get("type") == ["string", "null"]:
            node["type"] = "string"
        for inner in node.values():
            _without_null(inner)


def explain(error: ValidationError) -> InvalidArgument:
    """Say which argument is wrong and how, never what it held."""
    problems: dict[str, str] = {}
    details = error.errors(include_url=False, include_context=False)
    for detail in details:
        name, problem = _problem(detail)
        problems.setdefault(name, f"{name} {problem}")
    shown = list(problems)[:_SHOWN]
    as_text = any(detail["type"] in _NESTED_KINDS and isinstance(detail["input"], str) for detail in details)
    hint = "JSON in a text is taken where it is whole and names each key once" if as_text else None
    return InvalidArgument("; ".join(problems[name] for name in shown), fields=shown, hint=hint)


def _problem(detail: ErrorDetails) -> tuple[str, str]:
    """Which argument, and what about it. A name of no sane shape could be a value in disguise, so it is not said."""
    location = [str(part) for part in detail["loc"]]
    if location[:1] == ["records"] and len(location) > 1:
        return _record_problem(detail, location)
    depth = 2 if location and location[0] in _NESTED else 1
    path = location[:depth]
    if not path or not _NAME.fullmatch(path[0]):
        return "arguments", "hold a name that is no argument of this tool"
    if not _NAME.fullmatch(path[-1]):
        return path[0], "holds a name that no field can have"
    if len(location) > depth:
        return ".".join(path), _SCALAR if path[0] == "data" else _item_words(detail)
    return ".".join(path), _words(detail)


def _record_problem(detail: ErrorDetails, location: list[str]) -> tuple[str, str]:
    """Which of the records, which of its fields, and what about it."""
    place = f"records[{location[1]}]"
    match location[2:]:
        case []:
            return place, _words(detail)
        case [name, *_] if _NAME.fullmatch(name):
            return f"{place}.{name}", _SCALAR
        case _:
            return place, "holds a name that no field can have"


def _words(detail: ErrorDetails) -> str:
    known = _WORDS.get(detail["type"])
    if known is not None:
        return f"{known}; {kind_of(detail['input'])} arrived" if detail["type"] in _WRONG_KINDS else known
    message = re.sub(r"^(String|List) should have", "must have", detail["msg"])
    message = re.sub(r" after validation, not \d+$", "", message)
    return message.replace("Input should be", "must be")


def _item_words(detail: ErrorDetails) -> str:
    """What is wrong with one of a list of texts."""
    return (
        f"must hold texts only; {kind_of(detail['input'])} arrived"
        if detail["type"] in _WRONG_KINDS
        else _words(detail)
    )


def kind_of(value: object) -> str:
    """What a value is, never what it holds."""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "null")
