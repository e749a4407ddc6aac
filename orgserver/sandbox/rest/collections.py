"""sObject Collections: up to 200 records in one request, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from orgserver.model.names import record_id
from orgserver.sandbox.answers import Answer, Request
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.query.field_paths import attributes
from orgserver.sandbox.rest.request_bodies import (
    allows_duplicates,
    method_of,
    not_allowed,
    not_found,
    object_named,
    object_typed,
    read_object,
    without_attributes,
)
from orgserver.sandbox.rest.upserts import upsert
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.records import Record, Records
from orgserver.sandbox.state.schema import SObject

_MOST = 200
_MOST_READ = 2_000
_MOST_CHUNKS = 10
_UNREADABLE = frozenset({"INVALID_FIELD", "JSON_PARSER_ERROR"})
_ROLLED_BACK = "Record rolled back because not all records were valid and the request was using AllOrNone header"
Act = Callable[[], Record]


class Collections:
    """Answers under ``/composite/sobjects``."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def answer(self, request: Request, rest: list[str], version: str) -> Answer:
        """Answer a request; Refusal if nothing of it can be done."""
        method = method_of(request)
        match method, rest:
            case "POST", []:
                return self._save(request, self._create)
            case "PATCH", []:
                return self._save(request, self._update)
            case "DELETE", []:
                return self._delete(request)
            case "PATCH", [name, key]:
                return self._upsert(request, object_named(name), key)
            case "GET", [name]:
                parameters = {each: request.query.get(each, "").split(",") for each in ("ids", "fields")}
                return self._read(object_named(name), parameters, version)
            case "POST", [name]:
                return self._read(object_named(name), read_object(request.body), version)
            case _, [] | [_] | [_, _]:
                raise not_allowed(method)
        raise not_found()

    def _save(self, request: Request, save: Callable[[SObject, Record, bool], Record]) -> Answer:
        all_or_none, records = _read_body(request)
        allow = allows_duplicates(request)
        acts = [_act(save, _type(record), without_attributes(record), allow) for record in records]
        return self._done(acts, all_or_none=all_or_none)

    def _create(self, sobject: SObject, values: Record, allow: bool) -> Record:  # as _update
        values = {name: value for name, value in values.items() if name.lower() != "id"}
        return {"id": self._records.create(sobject, values, allow_duplicates=allow)}

    def _update(self, sobject: SObject, values: Record, allow: bool) -> Record:  # as _create
        identifier_text = next((value for name, value in values.items() if name.lower() == "id"), None)
        if not identifier_text:
            raise Refusal(400, "MISSING_ARGUMENT", "Id not specified in an update call")
        values = {name: value for name, value in values.items() if name.lower() != "id"}
        identifier = self._there(sobject, identifier_text)
        self._records.update(sobject, identifier, values, allow_duplicates=allow)
        return {"id": identifier}

    def _upsert(self, request: Request, sobject: SObject, key: str) -> Answer:
        all_or_none, records = _read_body(request)
        allow = allows_duplicates(request)

        def save(sobject: SObject, values: Record, allow: bool) -> Record:  # as _create
            identifier, created = upsert(self._records, sobject, key, values, allow_duplicates=allow)
            return {"id": identifier, "created": created}

        for record in records:
            if _type(record) is not sobject:
                raise Refusal(400, "INVALID_INPUT", f"every record must be of type {sobject.name}")
        acts = [_act(save, sobject, without_attributes(record), allow) for record in records]
        return self._done(acts, all_or_none=all_or_none)

    def _delete(self, request: Request) -> Answer:
        identifiers = [each.strip() for each in request.query.get("ids", "").split(",") if each.strip()]
        if not identifiers:
            raise Refusal(400, "MISSING_ARGUMENT", "The ids parameter is required")
        _count(identifiers, _MOST)

        def delete(identifier: str) -> Record:
            sobject = schema.by_prefix(identifier)
            if sobject is None:
                raise _malformed(identifier)
            identifier = self._there(sobject, identifier)
            self._records.delete(sobject, identifier)
            return {"id": identifier}

        acts = [_bound(delete, each) for each in identifiers]
        return self._done(acts, all_or_none=request.query.get("allOrNone", "").lower() == "true")

    def _there(self, sobject: SObject, identifier_text: Any) -> str:
        """The id of a record that is there; the codes are those of one record among others."""
        try:
            identifier = record_id(str(identifier_text))
        except ValueError:
            raise _malformed(identifier_text) from None
        try:
            return str(self._records.get(sobject, identifier)["Id"])
        except Refusal as refusal:
            if refusal.code == "ENTITY_IS_DELETED":
                raise
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []) from None

    def _done(self, acts: list[Act], *, all_or_none: bool) -> Answer:
        """Do each, and take all back if one could not be read, or failed where all or none are wanted."""
        with self._records.undoable() as undo:
            outcomes = []
            for act in acts:
                with self._records.undoable() as undo_one:
                    try:
                        outcomes.append(_succeeded(act()))
                    except Refusal as refusal:
                        undo_one()
                        if refusal.code in _UNREADABLE:  # Salesforce reads all records before it saves the first
                            undo()
                            raise
                        outcomes.append({"success": False, "errors": [refusal.outcome()]})
            if all_or_none and not all(outcome["success"] for outcome in outcomes):
                undo()
                outcomes = [_rolled_back() if outcome["success"] else outcome for outcome in outcomes]
        return Answer(200, outcomes)

    def _read(self, sobject: SObject, body: Record, version: str) -> Answer:
        ids, names = body.get("ids"), body.get("fields")
        if not isinstance(ids, list) or not isinstance(names, list) or not ids or not names:
            raise Refusal(400, "MISSING_ARGUMENT", "ids and fields are required")
        _count(ids, _MOST_READ)
        fields = [sobject.fields.get(str(name).strip().lower()) for name in names]
        if None in fields:
            wrong = names[fields.index(None)]
            raise Refusal(400, "INVALID_FIELD", f"No such column '{wrong}' on sobject of type {sobject.name}")
        field_names = [field.name for field in fields if field is not None]
        return Answer(200, [self._row(sobject, each, field_names, version) for each in ids])

    def _row(self, sobject: SObject, identifier: Any, names: list[str], version: str) -> Record | None:
        try:
            record = self._records.tables[sobject.name].get(record_id(str(identifier).strip()))
        except ValueError:
            record = None
        if record is None:
            return None
        row: Record = {"attributes": attributes(sobject.name, record["Id"], version)}
        return row | {name: record[name] for name in names} | {"Id": record["Id"]}


def _read_body(request: Request) -> tuple[bool, list[Record]]:
    body = read_object(request.body)
    records = body.get("records")
    if not isinstance(records, list) or not records or not all(isinstance(record, dict) for record in records):
        raise Refusal(400, "MISSING_ARGUMENT", "a list of records is required")
    _count(records, _MOST)
    types = [_type(record).name for record in records]
    chunks = 1 + sum(one != other for one, other in pairwise(types))
    if chunks > _MOST_CHUNKS:
        message = "Cannot have more than 10 chunks in a single operation. Please rearrange the data to reduce chunking."
        raise Refusal(400, "LIMIT_EXCEEDED", message)
    return body.get("allOrNone") is True, records


def _count(items: list[Any], most: int) -> None:
    if len(items) > most:
        message = f"record limit reached. cannot submit more than {most} records into this call"
        raise Refusal(400, "EXCEEDED_ID_LIMIT", message)


def _type(record: Record) -> SObject:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        raise Refusal(400, "INVALID_INPUT", "every record needs attributes with its type")
    return object_typed(name)


def _act(
    save: Callable[[SObject, Record, bool], Record],
    sobject: SObject,
    values: Record,
    allow: bool,
) -> Act:
    return lambda: save(sobject, values, allow)


def _bound(act: Callable[[str], Record], identifier: str) -> Act:
    return lambda: act(identifier)


def _succeeded(outcome: Record) -> Record:
    result = {"id": outcome["id"], "success": True, "errors": []}
    return result | ({"created": outcome["created"]} if "created" in outcome else {})


def _rolled_back() -> Record:
    error = {"statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK", "message": _ROLLED_BACK, "fields": []}
    return {"success": False, "errors": [error]}


def _malformed(identifier: Any) -> Refusal:
    return Refusal(400, "MALFORMED_ID", f"malformed id {str(identifier)[:80]}", [])
