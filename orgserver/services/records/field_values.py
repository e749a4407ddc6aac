"""The arguments of calls on records: field names, record ids and field values, checked before anything is sent.

Salesforce stays the judge. What a trigger, a flow, a record type or a rule may change passes: a custom field that a
create must have, for one, may be filled by the org's own automation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from orgserver.model import names
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import EVENT, RecordId, SObjectName
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo, Schema
from orgserver.salesforce.protocol import rest, standard_fields
from orgserver.services.calls.preflight import Preflight, Problem, missing_field, missing_relationship
from orgserver.services.records import event_times, value_shapes
from orgserver.services.records.draft import WriteAction, read_parent_key

_NOT_WRITABLE = "INVALID_FIELD_FOR_INSERT_UPDATE"
_ACTIONS: dict[WriteAction, str] = {"create": "a create", "update": "an update", "upsert": "an upsert"}
_BOUNDED = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox", "encryptedstring"})
_DECIMALS = frozenset({"double", "currency", "percent"})
_LARGEST_SCALE = 18


class WrongValue(ValueError):
    """A value that its field does not take, with Salesforce's own code for that."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check_duplicates_possible(version: str) -> None:
    """See that the API version of an org knows how to save duplicates."""
    if int(version[1:].partition(".")[0]) < rest.DUPLICATES_SINCE:
        raise InvalidArgument(
            f"allow_duplicates needs API version {rest.DUPLICATES_SINCE}.0; this org is registered with {version}",
            fields=["allow_duplicates"],
            hint="an administrator registers the org with a newer --api-version",
        )


def read_record_id(argument: str, text: str, sobject: SObjectName) -> RecordId:
    """Read a record id that was given as an argument."""
    try:
        return names.record_id(text, names.KEY_PREFIX.get(sobject))
    except ValueError as error:
        raise InvalidArgument(f"{argument} is not the id of a {sobject}: {error}", fields=[argument]) from None


def read_field_names(fields: Sequence[str] | None, sobject: SObjectName) -> tuple[str, ...]:
    """Read ``fields``: names or relationship paths, each once, ``Id`` always first; none at all means every field."""
    if fields is None:
        return standard_fields.DEFAULT_FIELDS.get(sobject, ())
    if not fields:
        raise InvalidArgument("fields is empty; name at least one field, or leave it out", fields=["fields"])
    spellings: dict[str, str] = {"id": "Id"}
    for name in fields:
        if not names.is_field_path(name):
            raise InvalidArgument(
                "fields holds something that is no field name; use names such as Email or Account.Name",
                fields=["fields"],
            )
        spellings.setdefault(name.lower(), name)
    return tuple(spellings.values())


def check_field_values(values: Mapping[str, Any], sobject: SObjectName, action: WriteAction) -> FieldValues:
    """Check field values before they are sent; InvalidArgument names the field as ``data.Field``.

    Those of fields that every org has are converted to the shape that Salesforce takes; of the others the org's
    describe tells the type, and of times that may be days the event (``preparation``).
    """
    if not values:
        raise InvalidArgument("data is empty; give at least one field", fields=["data"])
    if len(values) > names.MAX_FIELDS:
        raise InvalidArgument("data has more fields than an object can have", fields=["data"])
    check_names(values, sobject)
    days_or_times: Collection[str] = ()
    if sobject == EVENT:
        values = event_times.prepare_days(dict(values))
        days_or_times = event_times.TIMES if event_times.depends_on_event(values, action) else ()
    return {name: _check_field(name, value, sobject, action, days_or_times) for name, value in values.items()}


def _check_field(
    name: str, value: Any, sobject: SObjectName, action: WriteAction, days_or_times: Collection[str]
) -> Any:
    _check_settable(name)
    field = standard_fields.STANDARD_FIELDS.get(sobject, {}).get(name.lower())
    if field is None:
        _check_structure(name, value)
        return value
    if name.lower() in days_or_times and value is not None and is_writable(field, action):
        problem = event_times.time_problem(value)
        if problem is not None:
            raise _bad(field.name, problem)
        return value
    return _check_standard(field, value, action)


def _check_structure(name: str, value: Any) -> None:
    """A list is of chosen values, an object names a parent by its key; whether the field takes it, describe tells."""
    if isinstance(value, dict):
        try:
            read_parent_key(value)
        except ValueError as error:
            raise _bad(name, str(error)) from None
    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
        raise _bad(name, "is a list of other things than texts; only a picklist takes a list")


def check_names(values: Iterable[str], sobject: SObjectName, place: str = "data") -> None:
    """See that each name can be a field's, and that none is there twice, in whichever letters."""
    standard = standard_fields.STANDARD_FIELDS.get(sobject, {})
    spellings: dict[str, str] = {}
    for name in values:
        if name.lower() not in standard and not names.is_field(name):
            raise InvalidArgument(f"{place} holds a name that no field can have", fields=[place])
        first = spellings.setdefault(name.lower(), name)
        if first != name:
            raise InvalidArgument(f"{place} names {first} twice", fields=[f"{place}.{first}"])


def _check_settable(name: str) -> None:
    if name.lower() in ("id", "attributes"):
        raise _bad(name, "cannot be set; a record's id is Salesforce's to give")


def _check_standard(field: FieldInfo, value: Any, action: WriteAction) -> Any:
    try:
        plain = _check_value(field, value, action)
        if field.type == "reference" and plain == "":
            _check_record_id(plain)  # null clears a lookup; an empty text is a slip
    except WrongValue as error:
        reason = "; Salesforce computes it" if error.code == _NOT_WRITABLE else ""
        raise _bad(field.name, f"{error}{reason}") from None
    return plain


def _check_value(field: FieldInfo, value: Any, action: WriteAction) -> Any:
    """The value as Salesforce takes it; WrongValue where it certainly refuses it."""
    if not is_writable(field, action):
        if action == "upsert" and field.is_key:
            return value
        raise WrongValue(_NOT_WRITABLE, f"cannot be set by {_ACTIONS[action]}")
    if value is None:
        if action == "update" and not (field.nillable or field.defaulted or _is_automated(field)):
            raise WrongValue("REQUIRED_FIELD_MISSING", "cannot be empty")
        return None
    plain = value if isinstance(value, str) and field.type in value_shapes.TEXTS else convert_value(field, value)
    if isinstance(plain, list | dict):
        raise WrongValue("INVALID_TYPE_ON_FIELD_IN_RECORD", "takes one value")
    if isinstance(plain, str):
        _check_text(field, plain)
    elif field.type in _DECIMALS:
        _check_range(field, plain)
    return plain


def _check_record_id(text: str) -> None:
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


def convert_value(field: FieldInfo, value: Any) -> Any:
    """The value as Salesforce takes it; WrongValue where it means nothing for this field."""
    try:
        return value_shapes.convert(field, value)
    except ValueError as error:
        is_choice = field.type in value_shapes.PICKLISTS
        code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" if is_choice else "INVALID_TYPE_ON_FIELD_IN_RECORD"
        raise WrongValue(code, str(error)) from None


def _is_automated(field: FieldInfo) -> bool:
    """Whether the org's own automation may give it a value before Salesforce looks for one."""
    return field.name.endswith("__c")


def _check_text(field: FieldInfo, text: str) -> None:
    if field.type in _BOUNDED and field.length and len(text.strip()) > field.length:
        raise WrongValue("STRING_TOO_LONG", f"is longer than {field.length:,} characters")
    if field.type == "reference" and text:
        _check_record_id(text)


def _check_range(field: FieldInfo, number: float) -> None:
    digits = field.precision - field.scale if field.precision else 0
    if 0 < digits <= _LARGEST_SCALE and abs(number) >= 10**digits:
        raise WrongValue("NUMBER_OUTSIDE_VALID_RANGE", f"has more than {digits} digits before the point")


def check_by_describe(sobject: str, values: Mapping[str, Any], action: WriteAction) -> Preflight:
    """Check a create, update or upsert with these field values before it is sent."""
    return Preflight(sobject, lambda schema, _lookup: value_problems(schema, values, action))


def value_problems(schema: Schema, values: Mapping[str, Any], action: WriteAction) -> list[Problem]:
    """What is wrong with the field values of a change."""
    problems = [_value_problem(schema, name, value, action) for name, value in values.items()]
    required = _missing_values(schema, values) if action == "create" else []
    return [*(each for each in problems if each is not None), *required]


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
        _check_value(field, value, action)
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


def _bad(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"data.{name} {problem}", fields=[f"data.{name}"])
