"""Upserts: the record with a key is changed, or created where there is none."""

from __future__ import annotations

from typing import Any

from orgserver.model.names import record_id
from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.rest.request_bodies import allows_duplicates, method_of, not_allowed, not_found, read_values
from orgserver.sandbox.state.records import Record, Records
from orgserver.sandbox.state.schema import Field, SObject

_CREATED_TOLD_SINCE = 46


class Several(Refusal):
    """More than one record has the key."""

    def __init__(self, ids: list[str]) -> None:
        text = f"more than one record found for external id field: [{', '.join(ids)}]"
        super().__init__(400, "DUPLICATE_EXTERNAL_ID", text, [])
        self.ids = ids


def key_field(sobject: SObject, name: str) -> Field:
    """The field that may be a key; Refusal if this one may not."""
    field = sobject.fields.get(name.lower())
    if field is None or not field.lookup:
        text = f"Provided external ID field does not exist or is not accessible: {name}"
        raise Refusal(404, "NOT_FOUND", text)
    return field


def upsert(  # what an upsert is result
    records: Records,
    sobject: SObject,
    key: str,
    values: Record,
    *,
    allow_duplicates: bool = False,
    update_only: bool = False,
) -> tuple[str, bool]:
    """Create or change a record, whose key is among its values; its id, and whether it is new."""
    field = key_field(sobject, key)
    value = next((value for name, value in values.items() if name.lower() == field.name.lower()), None)
    rest = {name: value for name, value in values.items() if name.lower() not in (field.name.lower(), "id")}
    if field.name == "Id":
        return _by_id(records, sobject, value, rest, allow_duplicates=allow_duplicates)
    if value is None or value == "":
        raise Refusal(400, "MISSING_ARGUMENT", f"{field.name} not specified", [])
    identifiers = records.keys.find(sobject, field, value)
    if len(identifiers) > 1:
        raise Several(identifiers)
    if identifiers:
        records.update(sobject, identifiers[0], rest, allow_duplicates=allow_duplicates)
        return identifiers[0], False
    if update_only:
        raise not_found()
    return records.create(sobject, rest | {field.name: value}, allow_duplicates=allow_duplicates), True


def _by_id(
    records: Records, sobject: SObject, identifier_text: Any, values: Record, *, allow_duplicates: bool
) -> tuple[str, bool]:
    if identifier_text is None or identifier_text == "":
        return records.create(sobject, values, allow_duplicates=allow_duplicates), True
    try:
        identifier = record_id(str(identifier_text))
    except ValueError:
        raise Refusal(
            400, "MALFORMED_ID", f"Id: id value of incorrect type: {str(identifier_text)[:80]}", ["Id"]
        ) from None
    if identifier not in records.tables[sobject.name]:
        raise Refusal(404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
    records.update(sobject, identifier, values, allow_duplicates=allow_duplicates)
    return identifier, False


def answer(records: Records, request: Request, sobject: SObject, key: str, value: str, version: str) -> Answer | str:
    """Answer a request for the record with a key; the record's id where it is only to be read or deleted."""
    field = key_field(sobject, key)
    method = method_of(request)
    if method in ("GET", "DELETE"):
        identifiers = records.keys.find(sobject, field, value)
        if not identifiers:
            raise not_found()
        return identifiers[0] if len(identifiers) == 1 else _several(sobject, identifiers, version)
    if method != "PATCH":
        raise not_allowed(method)
    values = read_values(request.body)
    if any(name.lower() in (field.name.lower(), "id") for name in values):
        text = f"The {field.name} field should not be specified in the sobject data."
        raise Refusal(400, "INVALID_FIELD", text, [field.name])
    options = {
        "allow_duplicates": allows_duplicates(request),
        "update_only": request.query.get("updateOnly", "").lower() == "true",
    }
    try:
        identifier, created = upsert(records, sobject, key, values | {field.name: value}, **options)
    except Several as several:
        return _several(sobject, several.ids, version)
    if int(version[1:].partition(".")[0]) < _CREATED_TOLD_SINCE:
        return Answer(201, {"id": identifier, "success": True, "errors": []}) if created else Answer(204)
    result = {"id": identifier, "success": True, "errors": [], "created": created}
    return Answer(201 if created else 200, result)


def _several(sobject: SObject, ids: list[str], version: str) -> Answer:
    return Answer(300, [f"/services/data/{version}/sobjects/{sobject.name}/{each}" for each in ids])
