"""An org's records, and the rules Salesforce holds them to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from orgserver.model.names import record_id, to_18
from orgserver.sandbox import schema
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.schema import Field, SObject

Record = dict[str, Any]
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})")
_LONGEST_EVENT = timedelta(days=14)
_TEXTS = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox"})


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
        record: Record = {field.name: _default(field) for field in sobject.fields.values()}
        record["Id"] = identifier or self.new_id(sobject)
        record.update(OwnerId=self._user_id) if "ownerid" in sobject.fields else None
        record.update(values)
        for name in ("CreatedDate", "LastModifiedDate", "SystemModstamp"):
            record.setdefault(name, now)
            record[name] = record[name] or now
        for name in ("CreatedById", "LastModifiedById"):
            record[name] = record.get(name) or self._user_id
        _derive(sobject, record, set(values))
        self.tables[sobject.name][record["Id"]] = record
        return str(record["Id"])

    def create(self, sobject: SObject, values: Record) -> str:
        """Create as the API does; Refusal says what is wrong."""
        checked = self._checked(sobject, values, "create")
        missing = [
            field.name
            for field in sobject.fields.values()
            if field.name == "LastName" and checked.get(field.name) in (None, "")
        ]
        if sobject.name == "Account" and checked.get("Name") in (None, ""):
            missing = ["Name"]
        if sobject.name == "Event":
            missing = _missing_times(checked)
        if missing:
            raise Refusal(
                400, "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", missing
            )
        return self.add(sobject, checked)

    def get(self, sobject: SObject, given: str) -> Record:
        """Find a record; Refusal if it is not there."""
        try:
            identifier = record_id(given)
        except ValueError:
            raise Refusal(404, "NOT_FOUND", "The requested resource does not exist") from None
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
        if sobject.name == "Contact" and merged.get("LastName") in (None, ""):
            raise Refusal(400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"])
        _derive(sobject, merged, set(checked))
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
                text = (
                    f"Unable to create/update fields: {field.name}. Please check the security settings of this field "
                )
                text += "and verify that it is read/write for your profile or permission set."
                raise Refusal(400, "INVALID_FIELD_FOR_INSERT_UPDATE", text, [field.name])
            checked[field.name] = None if value is None else self._value(field, value)
        return checked

    def _value(self, field: Field, value: Any) -> Any:
        if field.type in _TEXTS:
            return _text(field, value)
        if field.type == "boolean" and isinstance(value, bool):
            return value
        if field.type in ("int", "double") and isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if field.type == "datetime" and isinstance(value, str) and _DATETIME.fullmatch(value):
            return stamp(datetime.fromisoformat(value))
        if field.type == "date" and isinstance(value, str):
            return _date(field, value)
        if field.type == "reference" and isinstance(value, str):
            return self._reference(field, value)
        raise _unparsable(field, value)

    def _reference(self, field: Field, value: str) -> str:
        try:
            identifier = record_id(value)
        except ValueError:
            raise Refusal(
                400, "MALFORMED_ID", f"{field.name}: id value of incorrect type: {value}", [field.name]
            ) from None
        target = schema.by_prefix(identifier)
        if target is not None and target.name not in field.targets:
            text = f"{field.name}: id value of incorrect type: {value}"
            raise Refusal(400, "FIELD_INTEGRITY_EXCEPTION", text, [field.name])
        if target is None or identifier not in self.tables[target.name]:
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        return identifier


def stamp(time: datetime) -> str:
    """A time as Salesforce writes it: UTC, milliseconds, no colon in the offset."""
    utc = time.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.000+0000"


def _default(field: Field) -> Any:
    return False if field.type == "boolean" else None


def _text(field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise _unparsable(field, value)
    if field.length and len(value) > field.length:
        text = f"{field.name}: data value too large: {value[:200]} (max length={field.length})"
        raise Refusal(400, "STRING_TOO_LONG", text, [field.name])
    if field.type == "email" and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", value):
        text = f"{field.name}: invalid email address: {value}"
        raise Refusal(400, "INVALID_EMAIL_ADDRESS", text, [field.name])
    return value


def _date(field: Field, value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise _unparsable(field, value) from None


def _unparsable(field: Field, value: Any) -> Refusal:
    kind = {"datetime": "datetime", "date": "date", "boolean": "boolean"}.get(field.type, field.type)
    text = (
        f"Cannot deserialize instance of {kind} from {type(value).__name__} value {str(value)[:80]} or request may be "
    )
    return Refusal(400, "JSON_PARSER_ERROR", text + "missing a required field at [line:1, column:2]")


def _missing_times(values: Record) -> list[str]:
    missing = []
    start = values.get("StartDateTime") or values.get("ActivityDateTime") or values.get("ActivityDate")
    if not start:
        missing.append("ActivityDateTime")
    length = values.get("EndDateTime") or values.get("DurationInMinutes") is not None or values.get("IsAllDayEvent")
    if not length:
        missing.insert(0, "DurationInMinutes")
    return missing


def _derive(sobject: SObject, record: Record, given: set[str]) -> None:
    if sobject.name in ("Contact", "User"):
        record["Name"] = " ".join(part for part in (record.get("FirstName"), record.get("LastName")) if part)
    if sobject.name == "Event":
        _derive_times(record, given)


def _derive_times(record: Record, given: set[str]) -> None:
    """Start, end, duration and day agree with one another (Object Reference, "Event")."""
    text = record["StartDateTime"] if "StartDateTime" in given else record.get("ActivityDateTime")
    text = text or record.get("StartDateTime") or f"{record.get('ActivityDate')}T00:00:00.000+0000"
    start = datetime.fromisoformat(text)
    if "EndDateTime" in given and record["EndDateTime"]:
        end = datetime.fromisoformat(record["EndDateTime"])
    else:
        default = 1_440 if record.get("IsAllDayEvent") else 0
        end = start + timedelta(minutes=record.get("DurationInMinutes") or default)
    if end < start or end - start > _LONGEST_EVENT:
        text = "Event duration cannot be negative" if end < start else "Event duration can't be longer than 14 days"
        raise Refusal(400, "FIELD_INTEGRITY_EXCEPTION", text, ["DurationInMinutes"])
    record.update(
        StartDateTime=stamp(start),
        ActivityDateTime=None if record.get("IsAllDayEvent") else stamp(start),
        ActivityDate=start.astimezone(UTC).date().isoformat(),
        EndDateTime=stamp(end),
        EndDate=end.astimezone(UTC).date().isoformat(),
        DurationInMinutes=int((end - start).total_seconds() // 60),
    )
