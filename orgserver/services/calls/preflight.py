"""What is certainly wrong with a call, told before it is sent: checks of its names against a describe of a moment ago.

Salesforce stays the judge: what a describe cannot tell for certain passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from orgserver.model.errors import InvalidArgument
from orgserver.model.schema import ObjectList, Schema, SchemaLookup
from orgserver.services.policies.field_limits import NO_LIMITS, FieldLimits

_HINT = "nothing was sent: the org's own describe, read a moment ago, says so"
_SHOWN = 10
_KIND = "type"
"""Of a parent that may be of several objects Salesforce tells which it is, whatever fields that has."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, with Salesforce's own code for it, and the argument that holds it."""

    code: str
    text: str
    argument: str


class Preflight(msgspec.Struct, frozen=True):
    """The check of one call: its object, and what that object's schema says against the rest."""

    sobject: str | None
    check: Callable[[Schema, SchemaLookup], Sequence[Problem]]
    argument: str = "object"
    """Where the object was named."""
    limits: FieldLimits = NO_LIMITS
    """What the caller may know: nothing else is checked by, or suggested."""


def check_object(sobject: str) -> Preflight:
    """Check a call by its object alone."""
    return Preflight(sobject, lambda _schema, _lookup: ())


def check_fields(sobject: str, fields: Iterable[str]) -> Preflight:
    """Check a read of these fields."""
    return Preflight(sobject, lambda schema, lookup: path_problems(schema, fields, lookup, "fields"))


def check_query(sobject: str | None, paths: Iterable[str]) -> Preflight:
    """Check a query that names these fields of an object."""
    return Preflight(sobject, lambda schema, lookup: path_problems(schema, paths, lookup, "soql"), "soql")


def check_columns(sobject: str, places: Mapping[str, str]) -> Preflight:
    """Check a change of many records by the fields it names, each with its place: one wrong name sinks them all."""

    def check(schema: Schema, _lookup: SchemaLookup) -> list[Problem]:
        missing = (name for name in places if schema.field(name) is None and schema.reference(name) is None)
        return [missing_field(schema, name, places[name]) for name in missing]

    return Preflight(sobject, check)


def refusal(problems: Sequence[Problem], *, hint: str | None = _HINT) -> InvalidArgument:
    """One error for all that is wrong; its code is that of the first."""
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return InvalidArgument(
        "; ".join(each.text for each in problems[:_SHOWN]) + more,
        code=problems[0].code,
        fields=list(dict.fromkeys(each.argument for each in problems)),
        hint=hint,
    )


def missing_object(preflight: Preflight, objects: ObjectList) -> Problem:
    """An object that the org does not have."""
    question = did_you_mean(objects.nearest(preflight.sobject or ""))
    return Problem("INVALID_TYPE", f"no object '{preflight.sobject}' here{question}", preflight.argument)


def missing_field(schema: Schema, name: str, argument: str) -> Problem:
    """A field that an object does not have."""
    text = f"no field '{name}' on {schema.name}{did_you_mean(schema.nearest(name))}"
    return Problem("INVALID_FIELD", text, argument)


def missing_relationship(schema: Schema, name: str, argument: str) -> Problem:
    """A relationship to a parent that an object does not have."""
    question = did_you_mean(schema.nearest_reference(name))
    return Problem("INVALID_FIELD", f"no relationship '{name}' on {schema.name}{question}", argument)


def did_you_mean(names: Sequence[str]) -> str:
    """The question at the end of a message."""
    return f"; did you mean {' or '.join(names)}?" if names else ""


def path_problems(
    schema: Schema, paths: Iterable[str], lookup: SchemaLookup, argument: str, ability: str | None = None
) -> list[Problem]:
    """What is wrong with the names of fields, as far as the schemas along their paths are known."""
    problems = (_path_problem(schema, path, lookup, argument, ability) for path in paths)
    return [each for each in problems if each is not None]


def _path_problem(
    schema: Schema, path: str, lookup: SchemaLookup, argument: str, ability: str | None
) -> Problem | None:
    *steps, last = path.split(".")
    where = f"filter.{path}" if argument == "filter" else argument
    if steps and steps[0].lower() == schema.name.lower() and schema.reference(steps[0]) is None:
        steps = steps[1:]
    for step in steps:
        reference = schema.reference(step)
        if reference is None:
            return missing_relationship(schema, step, where)
        parent = lookup(reference.reference_to[0]) if len(reference.reference_to) == 1 else None
        if parent is None:
            return None
        schema = parent
    field = schema.field(last)
    if field is None and steps and last.lower() == _KIND:
        return None
    if field is None:
        return missing_field(schema, last, where)
    if ability is not None and not getattr(field, ability):
        return Problem("INVALID_FIELD", f"{field.name} is not {ability}", where)
    return None
