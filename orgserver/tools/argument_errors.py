"""What is wrong with a tool's arguments, said of each by its name, and never what it held."""

from __future__ import annotations

import re

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orgserver.model.errors import InvalidArgument

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
_MOST_ERRORS = 2_000
"""That are looked through: each takes time that others wait for, and nobody mends so many one by one."""


def explain(error: ValidationError) -> InvalidArgument:
    """Say which argument is wrong and how, never what it held."""
    if error.error_count() > _MOST_ERRORS:
        return InvalidArgument("hundreds of values are of a wrong kind", hint="try one record, or one argument, first")
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
