"""Whether field values are what their fields take, by what every org has of a field or by an org's own describe.

Salesforce stays the judge. What a trigger, a flow, a record type or a rule may change passes: a custom field that a
create must have, for one, may be filled by the org's own automation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from orgserver.model import names
from orgserver.model.names import EVENT
from orgserver.model.schema import FieldInfo, Schema
from orgserver.services.calls.preflight import Preflight, Problem, missing_field, missing_relationship
from orgserver.services.records import event_times, value_shapes

WriteAction = Literal["create", "update", "upsert"]
NOT_WRITABLE = "INVALID_FIELD_FOR_INSERT_UPDATE"
_ACTIONS: dict[WriteAction, str] = {"create": "a create", "update": "an update", "upsert": "an upsert"}
_BOUNDED = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox", "encryptedstring"})
_DECIMALS = frozenset({"double", "currency", "percent"})
_LARGEST_SCALE = 18


class WrongValue(ValueError):
    """A value that its field does not take, with Salesforce's own code for that."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_values(sobject: str, values: Mapping[str, Any], action: WriteAction) -> Preflight:
    """Check a create, update or upsert with these field values before it is sent."""
    return Preflight(sobject, lambda schema, _lookup: value_problems(schema, values, action))


def value_problems(schema: Schema, values: Mapping[str, Any], action: WriteAction) -> list[Problem]:
    """What is wrong with the field values of a change."""
    problems = [_value_problem(schema, name, value, action) for name, value in values.items()]
    required = _missing_values(schema, values) if action == "create" else []
    return [*(each for each in problems if each is not None), *required]


def convert_value(field: FieldInfo, value: Any) -> Any:
    """The value as Salesforce takes it; WrongValue where it means nothing for this field."""
    try:
        return value_shapes.convert(field, value)
    except ValueError as error:
        is_choice = field.type in value_shapes.PICKLISTS
        code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" if is_choice else "INVALID_TYPE_ON_FIELD_IN_RECORD"
        raise WrongValue(code, str(error)) from None


def check_value(field: FieldInfo, value: Any, action: WriteAction) -> Any:
    """The value as Salesforce takes it; WrongValue where it certainly refuses it."""
    if not is_writable(field, action):
        if action == "upsert" and field.is_key:
            return value
        raise WrongValue(NOT_WRITABLE, f"cannot be set by {_ACTIONS[action]}")
    if value is None:
        if action == "update" and not (field.nillable or field.defaulted or _is_automated(field)):
            raise WrongValue("REQUIRED_FIELD_MISSING", "cannot be empty")
        return None
    plain = convert_value(field, value)
    if isinstance(plain, list | dict):
        raise WrongValue("INVALID_TYPE_ON_FIELD_IN_RECORD", "takes one value")
    if isinstance(plain, str):
        _check_text(field, plain)
    elif field.type in _DECIMALS:
        _check_range(field, plain)
    return plain


def check_record_id(text: str) -> None:
    """WrongValue where a text is no record id."""
    try:
        names.record_id(text)
    except ValueError as error:
        raise WrongValue("MALFORMED_ID", f"is not a record id: {error}") from None


def is_writable(field: FieldInfo, action: WriteAction) -> bool:
    """Whether a field may be named in a create, an update, or (either) an upsert."""
    if action == "create":
        return field.createable
    if action == "update":
        return field.updateable
    return field.createable or field.updateable


def _value_problem(schema: Schema, name: str, value: Any, action: WriteAction) -> Problem | None:
    place = f"data.{name}"
    field = schema.field(name)
    if field is None:
        if (value is None or isinstance(value, dict)) and schema.reference(name) is not None:
            return None  # a parent by its external id stands under the relationship's name
        if isinstance(value, dict):
            return missing_relationship(schema, name, place)
        return missing_field(schema, name, place)
    if schema.name == EVENT and event_times.is_time(field.name) and is_writable(field, action):
        return None  # they have rules of their own
    try:
        check_value(field, value, action)
    except WrongValue as error:
        return Problem(error.code, f"{name} {error}", place)
    return None


def _missing_values(schema: Schema, values: Mapping[str, Any]) -> list[Problem]:
    written = {name.lower() for name, value in values.items() if value is not None}
    written |= {field.name.lower() for name in written if (field := schema.reference(name)) is not None}
    return [
        Problem("REQUIRED_FIELD_MISSING", f"{field.name} is required", f"data.{field.name}")
        for field in schema.fields
        if field.required
        and not _is_automated(field)
        and field.name.lower() not in written
        # A person account is created by its LastName.
        and not (field.name_field and "lastname" in written and schema.field("LastName") is not None)
    ]


def _is_automated(field: FieldInfo) -> bool:
    """Whether the org's own automation may give it a value before Salesforce looks for one."""
    return field.name.endswith("__c")


def _check_text(field: FieldInfo, text: str) -> None:
    if field.type in _BOUNDED and field.length and len(text.strip()) > field.length:
        raise WrongValue("STRING_TOO_LONG", f"is longer than {field.length:,} characters")
    if field.type == "reference" and text:
        check_record_id(text)


def _check_range(field: FieldInfo, number: float) -> None:
    digits = field.precision - field.scale if field.precision else 0
    if 0 < digits <= _LARGEST_SCALE and abs(number) >= 10**digits:
        raise WrongValue("NUMBER_OUTSIDE_VALID_RANGE", f"has more than {digits} digits before the point")
