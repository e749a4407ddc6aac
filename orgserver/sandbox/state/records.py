"""An org's records, and the rules Salesforce holds them to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from orgserver.model.names import record_id, to_18
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.state import event_rules, person_accounts, schema
from orgserver.sandbox.state.derived_fields import derive
from orgserver.sandbox.state.duplicate_rules import Rule
from orgserver.sandbox.state.field_values import DECIMALS, stamp, stored_value
from orgserver.sandbox.state.key_index import Keys
from orgserver.sandbox.state.schema import Field, SObject
from orgserver.sandbox.state.users import Users

Record = dict[str, Any]
_Change = tuple[str, str, Record | None, Record | None]


class StoredRecord(Record):
    """A record as it is kept: without its empty fields, so that 100,000 of them fit into modest memory."""

    __slots__ = ()

    def __missing__(self, _name: str) -> None:
        return None


class Records:
    """Records by object and id."""

    def __init__(self, org_number: int, users: Users, clock: Callable[[], datetime]) -> None:
        self.tables: dict[str, dict[str, Record]] = {name: {} for name in schema.NAMES}
        self.deleted: dict[str, dict[str, Record]] = {name: {} for name in schema.NAMES}
        self.rule: Rule | None = None
        """The duplicate rule of the org."""
        self.keys = Keys(self.tables)
        self._org_number = org_number
        self._users = users
        self._clock = clock
        self._serial = itertools.count(1)
        self._journal: list[_Change] | None = None

    def new_id(self, sobject: SObject) -> str:
        """Make an id whose middle tells the org apart."""
        return to_18(f"{sobject.prefix}Sb{self._org_number:04d}{next(self._serial):06d}")

    @contextmanager
    def undoable(self) -> Iterator[Callable[[], None]]:
        """Give a function that takes back what has been changed since."""
        outermost = self._journal is None
        journal = self._journal = [] if self._journal is None else self._journal
        start = len(journal)

        def undo() -> None:
            while len(journal) > start:
                self._restore(*journal.pop())

        try:
            yield undo
        finally:
            if outermost:
                self._journal = None

    def add(self, sobject: SObject, values: Record, identifier: str | None = None) -> str:
        """Put a record in, without asking whether an agent might."""
        sobject, now = sobject.whole, stamp(self._clock())
        record = StoredRecord(sobject.defaults)
        record["Id"] = identifier or self.new_id(sobject)
        if "ownerid" in sobject.fields:
            record["OwnerId"] = self._users.current.id
        record.update({name: _doubled(sobject, name, value) for name, value in values.items()})
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            record[name] = record.get(name) or now
        for name in ("CreatedById", "LastModifiedById"):
            record[name] = record.get(name) or self._users.current.id
        derive(sobject, record, set(values), self.tables)
        self._put(sobject, record)
        return str(record["Id"])

    def create(self, sobject: SObject, values: Record, *, allow_duplicates: bool = False) -> str:
        """Create as the API does; Refusal says what is wrong."""
        if not sobject.createable:
            text = f"entity type {sobject.name} cannot be inserted through the API"
            raise Refusal(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text, [])
        fields = self._check_fields(sobject, values, "create")
        person = person_accounts.is_person(sobject, fields)
        if person:
            fields = person_accounts.as_account(fields)
        _require(sobject, sobject.defaults | fields)
        if sobject.name == "Event" and (lacking := event_rules.missing(fields)):
            raise _lacking(lacking)
        self._judge(sobject, fields, "", allow_duplicates)
        identifier = self.add(sobject, fields)
        if person:
            contact = self.add(_object("Contact"), person_accounts.contact_of(self.tables["Account"][identifier]))
            self.tables["Account"][identifier]["PersonContactId"] = contact
        return identifier

    def get(self, sobject: SObject, identifier_or_key: str) -> Record:
        """Find a record; Refusal if it is not there."""
        try:
            identifier = record_id(identifier_or_key)
        except ValueError:
            text = f"Provided external ID field does not exist or is not accessible: {identifier_or_key}"
            raise Refusal(404, "NOT_FOUND", text) from None
        record = self.tables[sobject.name].get(identifier)
        if record is None:
            if identifier in self.deleted[sobject.name]:
                raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted", [])
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist")
        return record

    def update(self, sobject: SObject, identifier: str, values: Record, *, allow_duplicates: bool = False) -> None:
        """Change as the API does."""
        record = self.get(sobject, identifier)
        fields = self._check_fields(sobject, values, "update")
        updated_record = StoredRecord(record)
        updated_record.update(fields)
        _require(sobject, updated_record)
        derive(sobject.whole, updated_record, set(fields), self.tables)
        if fields:
            self._judge(sobject, updated_record, record["Id"], allow_duplicates)
        now = stamp(self._clock())
        updated_record.update(LastModifiedDate=now, SystemModstamp=now, LastModifiedById=self._users.current.id)
        self._note(sobject.name, record["Id"])
        record.update(updated_record)
        self.keys.put(sobject, record)

    def delete(self, sobject: SObject, identifier: str, *, for_good: bool = False) -> None:
        """Put a record into the recycle bin, or past it."""
        record = self.get(sobject, identifier)
        self._note(sobject.name, record["Id"])
        del self.tables[sobject.name][record["Id"]]
        if for_good:
            return
        record = StoredRecord(record)
        record.update(IsDeleted=True, SystemModstamp=stamp(self._clock()))
        self.deleted[sobject.name][record["Id"]] = record

    def _check_fields(self, sobject: SObject, values: Record, act: str) -> Record:
        fields: Record = {}
        for name, raw in values.items():
            field, value = sobject.fields.get(name.lower()), raw
            if field is None and isinstance(raw, dict) and (link := sobject.relationships.get(name.lower())):
                field, value = link, self._by_key(link, raw)
            if field is None:
                raise Refusal(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject.name}")
            if not (field.createable if act == "create" else field.updateable):
                text = f"Unable to create/update fields: {field.name}. Please check the security settings of this "
                text += "field and verify that it is read/write for your profile or permission set."
                raise Refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, [field.name])
            fields[field.name] = stored_value(field, value)
            if field.type == "reference" and fields[field.name] is not None:
                self._find(field, fields[field.name])
        return fields

    def _by_key(self, link: Field, parent: Record) -> str:
        """The id of the record that a relationship names by a key of its own."""
        target = _target(link, parent)
        keys = [(name, value) for name, value in parent.items() if name != "attributes"]
        name, value = keys[0] if len(keys) == 1 else (", ".join(name for name, _ in keys), None)
        field = target.fields.get(name.lower())
        if field is None or not field.lookup:
            text = f"Field name provided, {name} does not match an External ID, Salesforce Id, or indexed field for "
            raise Refusal(400, "INVALID_FIELD", text + target.name)
        identifiers = self.keys.find(target, field, value)
        if len(identifiers) > 1:
            text = f"{field.name}: more than one record found for external id field: [{', '.join(identifiers)}]"
            raise Refusal(400, "DUPLICATE_EXTERNAL_ID", text, [field.name])
        if not identifiers:
            text = f"Foreign key external ID: {value} not found for field {field.name} in entity {target.name}"
            raise Refusal(400, "INVALID_FIELD", text, [])
        return identifiers[0]

    def _find(self, field: Field, identifier: str) -> None:
        target = schema.by_prefix(identifier)
        if target is not None and target.name not in field.targets:
            text = f"{field.name}: id value of incorrect type: {identifier}"
            raise Refusal(400, "FIELD_INTEGRITY_EXCEPTION", text, [field.name])
        if target is None or identifier not in self.tables[target.name]:
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])

    def _judge(self, sobject: SObject, values: Record, identifier: str, allow: bool) -> None:
        """Refuse what is there already: by a unique field, or by the org's duplicate rule."""
        sobject = sobject.whole
        for field in sobject.unique:
            value = values.get(field.name)
            others = [each for each in self.keys.find(sobject, field, value) if each != identifier]
            if others:
                text = f"duplicate value found: {field.name} duplicates value on record with id: {others[0]}"
                raise Refusal(400, "DUPLICATE_VALUE", text, [])
        if self.rule is not None:
            self.rule.judge(sobject, values, identifier, self.keys, allow=allow)

    def _put(self, sobject: SObject, record: Record) -> None:
        self._note(sobject.name, record["Id"])
        self.tables[sobject.name][record["Id"]] = record
        self.keys.put(sobject, record)

    def _note(self, name: str, identifier: str) -> None:
        if self._journal is None:
            return
        record = self.tables[name].get(identifier)
        deleted = self.deleted[name].get(identifier)
        self._journal.append((name, identifier, None if record is None else StoredRecord(record), deleted))

    def _restore(self, name: str, identifier: str, record: Record | None, deleted: Record | None) -> None:
        for table, former in ((self.tables[name], record), (self.deleted[name], deleted)):
            if former is None:
                table.pop(identifier, None)
            else:
                table[identifier] = former
        if record is not None:
            self.keys.put(_object(name), record)


def _object(name: str) -> SObject:
    return schema.find(name) or schema.load(name)


def _target(link: Field, parent: Record) -> SObject:
    """The object that a parent is of: where there may be several, its ``attributes`` must say."""
    attributes = parent.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if kind is None and len(link.targets) > 1:
        text = f"The relationship {link.relationship} refers to several objects: a type is required in attributes"
        raise Refusal(400, "INVALID_FIELD", text)
    target = schema.find(str(kind or link.targets[0]))
    if target is None or target.name not in link.targets:
        text = f"The relationship {link.relationship} does not refer to {kind}"
        raise Refusal(400, "INVALID_FIELD", text)
    return target


def _doubled(sobject: SObject, name: str, value: Any) -> Any:
    """A number of a field that has decimals, as such: it is written in another way than a whole one."""
    field = sobject.fields.get(name.lower())
    return float(value) if type(value) is int and field is not None and field.type in DECIMALS else value


def _require(sobject: SObject, values: Record) -> None:
    lacking = [name for name in sobject.required if values.get(name) is None]
    if lacking:
        raise _lacking(lacking)


def _lacking(names: list[str]) -> Refusal:
    return Refusal(400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(names)}]", names)
