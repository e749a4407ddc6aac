"""What Salesforce will refuse for certain, told before anything is sent: pure functions over a fresh schema.

Salesforce stays the judge. What a trigger, a flow, a record type or a rule may change passes: a custom field that a
create must have, for one, may be filled by the org's own automation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orgserver.model import names
from orgserver.model.errors import InvalidArgument
from orgserver.model.schema import FieldInfo, ObjectList, Schema
from orgserver.services.queries.list_query import Listing
from orgserver.services.records import field_values as checks
from orgserver.services.records import value_shapes

Act = Literal["create", "update", "upsert"]
Lookup = Callable[[str], Schema | None]
"""Fresh schemas of other objects, behind relationships."""
_HINT = "nothing was sent: the org's own describe, read a moment ago, says so"
_SHOWN = 10
_TEXT = frozenset({"string", "textarea", "phone", "email", "url", "combobox", "encryptedstring"})
_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
_LARGEST_SCALE = 18
_OF_SHAPE = frozenset({"INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with Salesforce's own code for it, and the argument that holds it."""

    code: str
    text: str
    argument: str


@dataclass(frozen=True, slots=True)
class Foresight:
    """What may be known of a call beforehand: its object, and how to judge the rest by that object's schema."""

    sobject: str | None
    judge: Callable[[Schema, Lookup], Sequence[Problem]]
    argument: str = "object"
    """Where the object was named."""


def writing(sobject: str, values: Mapping[str, Any], act: Act) -> Foresight:
    """Foresee a create, update or upsert with these field values."""
    return Foresight(sobject, lambda schema, _lookup: judge_values(schema, values, act))


def naming(sobject: str, places: Mapping[str, str]) -> Foresight:
    """Foresee a change of many records by the fields it names, each with its place: one wrong name sinks them all."""

    def judge(schema: Schema, _lookup: Lookup) -> list[Problem]:
        lacking = (name for name in places if schema.field(name) is None and schema.reference(name) is None)
        return [no_field(schema, name, places[name]) for name in lacking]

    return Foresight(sobject, judge)


def reading(sobject: str, fields: Iterable[str]) -> Foresight:
    """Foresee a read of these fields."""
    return Foresight(sobject, lambda schema, lookup: judge_paths(schema, fields, lookup, "fields"))


def listing(wanted: Listing) -> Foresight:
    """Foresee a list: what it shows, filters by and sorts by."""
    sorted_by = wanted.order_by.split()[:1] if wanted.order_by else []

    def judge(schema: Schema, lookup: Lookup) -> list[Problem]:
        return [
            *judge_paths(schema, wanted.fields or (), lookup, "fields"),
            *judge_paths(schema, wanted.filter or (), lookup, "filter", "filterable"),
            *judge_paths(schema, sorted_by, lookup, "order_by", "sortable"),
        ]

    return Foresight(wanted.sobject, judge)


def querying(sobject: str | None, paths: Iterable[str]) -> Foresight:
    """Foresee a query that names these fields of an object."""
    return Foresight(sobject, lambda schema, lookup: judge_paths(schema, paths, lookup, "soql"), "soql")


def refused(problems: Sequence[Problem], *, hint: str | None = _HINT) -> InvalidArgument:
    """One error for all that is wrong; its code is that of the first."""
    shown = problems[:_SHOWN]
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return InvalidArgument(
        "; ".join(each.text for each in shown) + more,
        code=problems[0].code,
        fields=list(dict.fromkeys(each.argument for each in problems)),
        hint=hint,
    )


def no_object(foresight: Foresight, objects: ObjectList) -> Problem:
    """An object that the org does not have."""
    near = objects.nearest(foresight.sobject or "")
    return Problem("INVALID_TYPE", f"no object '{foresight.sobject}' here{meant(near)}", foresight.argument)


def no_field(schema: Schema, name: str, argument: str) -> Problem:
    """A field that an object does not have."""
    text = f"no field '{name}' on {schema.name}{meant(schema.nearest(name))}"
    return Problem("INVALID_FIELD", text, argument)


def no_relationship(schema: Schema, name: str, argument: str) -> Problem:
    """A relationship to a parent that an object does not have."""
    near = meant(schema.nearest_reference(name))
    return Problem("INVALID_FIELD", f"no relationship '{name}' on {schema.name}{near}", argument)


def meant(near: Sequence[str]) -> str:
    """The question at the end of a message."""
    return f"; did you mean {' or '.join(near)}?" if near else ""


def judge_paths(
    schema: Schema, paths: Iterable[str], lookup: Lookup, argument: str, ability: str | None = None
) -> list[Problem]:
    """What is wrong with the names of fields, as far as the schemas along their paths are known."""
    return [each for path in paths if (each := _path(schema, path, lookup, argument, ability)) is not None]


def _path(schema: Schema, path: str, lookup: Lookup, argument: str, ability: str | None) -> Problem | None:
    *steps, last = path.split(".")
    where = f"filter.{path}" if argument == "filter" else argument
    if steps and steps[0].lower() == schema.name.lower() and schema.reference(steps[0]) is None:
        steps = steps[1:]
    here = schema
    for step in steps:
        reference = here.reference(step)
        if reference is None:
            return no_relationship(here, step, where)
        further = lookup(reference.reference_to[0]) if len(reference.reference_to) == 1 else None
        if further is None:
            return None
        here = further
    field = here.field(last)
    if field is None:
        return no_field(here, last, where)
    if ability is not None and not getattr(field, ability):
        return Problem("INVALID_FIELD", f"{field.name} is not {ability}", where)
    return None


def judge_values(schema: Schema, values: Mapping[str, Any], act: Act) -> list[Problem]:
    """What is wrong with the field values of a change."""
    found: list[Problem] = []
    for name, value in values.items():
        field = schema.field(name)
        if field is None:
            # a parent by its external id stands under the relationship's name
            if not ((value is None or isinstance(value, dict)) and schema.reference(name) is not None):
                lacking = no_relationship if isinstance(value, dict) else no_field
                found.append(lacking(schema, name, f"data.{name}"))
        else:
            meaning, complaint = _meaning(field, value)
            if problem := _value(field, meaning, act):
                words = complaint if complaint and problem[0] in _OF_SHAPE else problem[1]
                found.append(Problem(problem[0], f"{name} {words}", f"data.{name}"))
    return found + (_missing(schema, values) if act == "create" else [])


def _meaning(field: FieldInfo, value: Any) -> tuple[Any, str | None]:
    """A value as it will be sent; one that means nothing as it came, and what shape would."""
    try:
        return value_shapes.convert(field, value), None
    except ValueError as error:
        return value, str(error)


def _missing(schema: Schema, values: Mapping[str, Any]) -> list[Problem]:
    given = {name.lower() for name, value in values.items() if value is not None}
    given |= {field.name.lower() for name in given if (field := schema.reference(name)) is not None}
    return [
        Problem("REQUIRED_FIELD_MISSING", f"{field.name} is required", f"data.{field.name}")
        for field in schema.fields
        if field.required
        and not _automated(field)
        and field.name.lower() not in given
        # A person account is created by its LastName.
        and not (field.name_field and "lastname" in given and schema.field("LastName") is not None)
    ]


def _automated(field: FieldInfo) -> bool:
    """Whether the org's own automation may give it a value before Salesforce looks for one."""
    return field.name.endswith("__c")


def _value(field: FieldInfo, value: Any, act: Act) -> tuple[str, str] | None:
    allowed = {"create": field.createable, "update": field.updateable}.get(act, field.createable or field.updateable)
    if not allowed:
        if act == "upsert" and field.is_key:
            return None
        return "INVALID_FIELD_FOR_INSERT_UPDATE", f"cannot be set by {'an' if act[0] == 'u' else 'a'} {act}"
    if value is None:
        empties = act == "update" and not (field.nillable or field.defaulted or _automated(field))
        return ("REQUIRED_FIELD_MISSING", "cannot be empty") if empties else None
    if isinstance(value, list | dict):
        return "INVALID_TYPE_ON_FIELD_IN_RECORD", "takes one value"
    if problem := _kind(field, value):
        return "INVALID_TYPE_ON_FIELD_IN_RECORD", problem
    return _text(field, value) if isinstance(value, str) else _number(field, value)


def _kind(field: FieldInfo, value: Any) -> str | None:
    if field.type in _TEXT or field.type in ("picklist", "multipicklist", "id", "reference"):
        return None if isinstance(value, str) else "must be a text"
    if field.type == "boolean":
        good = isinstance(value, bool) or (isinstance(value, str) and value.lower() in ("true", "false"))
        return None if good else "must be true or false"
    if field.type in _NUMBERS:
        return None if not isinstance(value, bool) and _is_number(value) else "must be a number"
    if field.type in ("date", "datetime"):
        dated = isinstance(value, str) and (checks.is_date(value) or checks.is_datetime(value))
        example = "a date such as 2026-02-20" if field.type == "date" else "a time such as 2026-02-20T18:00:00Z"
        return None if dated else f"must be {example}"
    return None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _text(field: FieldInfo, value: str) -> tuple[str, str] | None:
    if field.type in _TEXT and field.length and len(value.strip()) > field.length:
        return "STRING_TOO_LONG", f"is longer than {field.length:,} characters"
    if field.type == "reference" and value:
        try:
            names.record_id(value)
        except ValueError as error:
            return "MALFORMED_ID", f"is not a record id: {error}"
    return _choice(field, value) if field.restricted and field.picklist else None


def _choice(field: FieldInfo, value: str) -> tuple[str, str] | None:
    if field.type not in ("picklist", "multipicklist") or not value:
        return None
    known = {text.casefold() for each in field.picklist for text in (each.value, each.label)}
    chosen = value.split(";") if field.type == "multipicklist" else [value]
    if all(each.strip().casefold() in known for each in chosen):
        return None
    return "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", f"takes only {value_shapes.choices(field)}"


def _number(field: FieldInfo, value: Any) -> tuple[str, str] | None:
    if field.type not in ("double", "currency", "percent") or isinstance(value, bool) or not field.precision:
        return None
    whole = field.precision - field.scale
    if 0 < whole <= _LARGEST_SCALE and abs(value) >= 10**whole:
        return "NUMBER_OUTSIDE_VALID_RANGE", f"has more than {whole} digits before the point"
    return None
