"""An org's records, and the rules Salesforce holds them to."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from orgserver.model.names import record_id, to_18
from orgserver.sandbox import events, schema
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.schema import Field, SObject
from orgserver.sandbox.values import kept, stamp

Record = dict[str, Any]
_SUFFIX = "Address"


class Records:
    """Records by object and id."""

    def __init__(self, org_number: int, user_id: str, clock: Callable[[], datetime]) -> None:
        self.tables: dict[str, dict[str, Record]] = {name: {} for name in schema.NAMES}
        self.deleted: dict[str, dict[str, Record]] = {name: {} for name in schema.NAMES}
        self._org_number = org_number
        self._user_id = user_id
        self._clock = clock
        self._serial = itertools.count(1)

    def new_id(self, sobject: SObject) -> str:
        """Make an id whose middle tells the org apart."""
        return to_18(f"{sobject.prefix}Sb{self._org_number:04d}{next(self._serial):06d}")

    def add(self, sobject: SObject, values: Record, identifier: str | None = None) -> str:
        """Put a record in, without asking whether an agent might."""
        now = stamp(self._clock())
        record: Record = {field.name: kept(field, None) for field in sobject.fields.values()}
        record["Id"] = identifier or self.new_id(sobject)
        if "ownerid" in sobject.fields:
            record["OwnerId"] = self._user_id
        record.update(values)
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            record[name] = record.get(name) or now
        for name in ("CreatedById", "LastModifiedById"):
            record[name] = record.get(name) or self._user_id
        self._derive(sobject, record, set(values))
        self.tables[sobject.name][record["Id"]] = record
        return str(record["Id"])

    def create(self, sobject: SObject, values: Record) -> str:
        """Create as the API does; Refusal says what is wrong."""
        if not sobject.createable:
            text = f"entity type {sobject.name} cannot be inserted through the API"
            raise Refusal(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text, [])
        checked = self._checked(sobject, values, "create")
        _require(sobject, checked)
        if sobject.name == "Event" and (lacking := events.missing(checked)):
            raise _lacking(lacking)
        return self.add(sobject, checked)

    def get(self, sobject: SObject, given: str) -> Record:
        """Find a record; Refusal if it is not there."""
        try:
            identifier = record_id(given)
        except ValueError:
            text = f"Provided external ID field does not exist or is not accessible: {given}"
            raise Refusal(404, "NOT_FOUND", text) from None
        record = self.tables[sobject.name].get(identifier)
        if record is None:
            if identifier in self.deleted[sobject.name]:
                raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted", [])
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        return record

    def update(self, sobject: SObject, given: str, values: Record) -> None:
        """Change as the API does."""
        record = self.get(sobject, given)
        checked = self._checked(sobject, values, "update")
        merged = record | checked
        _require(sobject, merged)
        self._derive(sobject, merged, set(checked))
        now = stamp(self._clock())
        merged.update(LastModifiedDate=now, SystemModstamp=now, LastModifiedById=self._user_id)
        record.update(merged)

    def delete(self, sobject: SObject, given: str) -> None:
        """Put a record into the recycle bin."""
        record = self.get(sobject, given)
        del self.tables[sobject.name][record["Id"]]
        self.deleted[sobject.name][record["Id"]] = record | {"IsDeleted": True}

    def _checked(self, sobject: SObject, values: Record, act: str) -> Record:
        checked: Record = {}
        for name, value in values.items():
            field = sobject.fields.get(name.lower())
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            if not (field.createable if act == "create" else field.updateable):
                text = f"Unable to create/update fields: {field.name}. Please check the security settings of this "
                text += "field and verify that it is read/write for your profile or permission set."
                raise Refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, [field.name])
            checked[field.name] = kept(field, value)
            if field.type == "reference" and checked[field.name] is not None:
                self._find(field, checked[field.name])
        return checked

    def _find(self, field: Field, identifier: str) -> None:
        target = schema.by_prefix(identifier)
        if target is not None and target.name not in field.targets:
            text = f"{field.name}: id value of incorrect type: {identifier}"
            raise Refusal(400, "FIELD_INTEGRITY_EXCEPTION", text, [field.name])
        if target is None or identifier not in self.tables[target.name]:
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])

    def _derive(self, sobject: SObject, record: Record, given: set[str]) -> None:
        """Fill in what Salesforce works out by itself."""
        if sobject.name in ("Contact", "User"):
            record["Name"] = " ".join(part for part in (record.get("FirstName"), record.get("LastName")) if part)
        if sobject.name == "Event":
            events.derive(record, given)
            record["AccountId"] = self._account(record)
        for field in sobject.fields.values():
            if field.type == "address":
                record[field.name] = _address(sobject, field, record)

    def _account(self, event: Record) -> str | None:
        """The account of an event: that of what it is about, then that of whom it is with."""
        if str(event.get("WhatId")) in self.tables["Account"]:
            return str(event["WhatId"])
        contact = self.tables["Contact"].get(str(event.get("WhoId")))
        return contact["AccountId"] if contact else None


def _require(sobject: SObject, values: Record) -> None:
    lacking = [field.name for field in sobject.fields.values() if field.required and values.get(field.name) is None]
    if lacking:
        raise _lacking(lacking)


def _lacking(names: list[str]) -> Refusal:
    return Refusal(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", names)


def _address(sobject: SObject, address: Field, record: Record) -> Record | None:
    kind = address.name.removesuffix(_SUFFIX)
    parts = [field.name for field in sobject.fields.values() if field.compound == address.name]
    if all(record.get(name) is None for name in parts):
        return None
    short = ((name.removeprefix(kind), record.get(name)) for name in sorted(parts))
    return {name[0].lower() + name[1:]: value for name, value in short}
