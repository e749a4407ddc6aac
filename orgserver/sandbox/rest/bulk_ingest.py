"""A bulk job that changes records: its sheet, and what became of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from orgserver.model.names import record_id
from orgserver.sandbox.errors import Refusal
from orgserver.sandbox.rest.bulk_csv import NULL, Dialect
from orgserver.sandbox.rest.upserts import upsert
from orgserver.sandbox.state import schema
from orgserver.sandbox.state.bulk_jobs import Job
from orgserver.sandbox.state.field_values import stored_value
from orgserver.sandbox.state.records import Record, Records
from orgserver.sandbox.state.schema import SObject

OPERATIONS = frozenset({"insert", "update", "upsert", "delete", "hardDelete"})
_NEED_ID = frozenset({"update", "delete", "hardDelete"})


class Outcome(NamedTuple):
    """What became of a row."""

    id: str
    created: bool
    error: str


@dataclass(slots=True)
class Ingest(Job):
    """One such job."""

    records: Records = field(kw_only=True, repr=False)
    sobject: SObject = field(kw_only=True, repr=False)
    dialect: Dialect = field(kw_only=True)
    body: bytes | None = field(default=None, repr=False)
    outcomes: list[Outcome] = field(default_factory=list, repr=False)
    """In the order of the sheet's rows, as far as it has come."""

    def work(self) -> Iterator[None]:
        """Change a record at each step."""
        rows = self.dialect.read(self.body or b"")
        header = [name.strip() for name in next(rows, [])]
        if header:
            self._check(header)
        act = self._act()
        for row in rows:
            if len(row) != len(header):
                text = f"InvalidBatch : Row {self.processed + 1} has {len(row)} columns, the header {len(header)}"
                raise Refusal(400, "INVALIDBATCH", text)
            self._one(act, {name: cell for name, cell in zip(header, row, strict=True) if cell != ""})
            yield

    def _one(self, act: Callable[[Record], tuple[str, bool]], cells: dict[str, str]) -> None:
        identifier = next((cells[name] for name in cells if name.lower() == "id"), "")
        try:
            identifier, created = act(_values(cells))
            outcome = Outcome(identifier, created, "")
        except Refusal as refusal:
            self.failed += 1
            outcome = Outcome(identifier, False, self._describe_error(refusal, cells))
        self.processed += 1
        self.outcomes.append(outcome)

    def _check(self, header: list[str]) -> None:
        for name in header:
            *_, link, last = ("", *name.split("."))
            if not link and last.lower() not in self.sobject.fields:
                raise Refusal(400, "INVALIDBATCH", f"InvalidBatch : Field name not found : {name}")
            if link and not self._is_parent(link):
                raise Refusal(400, "INVALIDBATCH", f"InvalidBatch : Field name not found : {name}")
        if self.details["operation"] in _NEED_ID and "id" not in (name.lower() for name in header):
            raise Refusal(400, "INVALIDBATCH", "InvalidBatch : The 'id' column is missing")

    def _is_parent(self, link: str) -> bool:
        """Whether a column names a parent, with its type where there may be several."""
        kind, _, relationship = link.rpartition(":")
        reference = self.sobject.relationships.get(relationship.lower())
        if reference is None:
            return False
        return kind in reference.targets if kind else len(reference.targets) == 1

    def _act(self) -> Callable[[Record], tuple[str, bool]]:
        """What the job does with a row's values: the record's id, and whether it is new."""
        operation = self.details["operation"]
        sobject = self.sobject
        if operation == "insert":
            return lambda values: (self.records.create(sobject, values), True)
        if operation == "upsert":
            key = str(self.details["externalIdFieldName"])
            return lambda values: upsert(self.records, sobject, key, values)

        def act(values: Record) -> tuple[str, bool]:
            identifier = self._there(values)
            if operation == "update":
                rest = {name: value for name, value in values.items() if name.lower() != "id"}
                self.records.update(sobject, identifier, rest)
            else:
                self.records.delete(sobject, identifier, for_good=operation == "hardDelete")
            return identifier, False

        return act

    def _there(self, values: Record) -> str:
        text = next((value for name, value in values.items() if name.lower() == "id"), None)
        if not text:
            raise Refusal(400, "MISSING_ARGUMENT", "Id not specified in an update call")
        try:
            identifier = record_id(str(text))
        except ValueError:
            raise Refusal(400, "MALFORMED_ID", f"bad id {text}", ["Id"]) from None
        if identifier in self.records.deleted[self.sobject.name]:
            raise Refusal(404, "ENTITY_IS_DELETED", "entity is deleted", [])
        if identifier not in self.records.tables[self.sobject.name]:
            raise Refusal(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        return identifier

    def _describe_error(self, refusal: Refusal, cells: dict[str, str]) -> str:
        if refusal.code == "JSON_PARSER_ERROR":
            refusal = self._mistyped(cells)
        return f"{refusal.code}:{refusal.message}:{' '.join(refusal.fields or [])} --"

    def _mistyped(self, cells: dict[str, str]) -> Refusal:
        """A cell of the wrong kind, as bulk jobs say it."""
        for name, cell in cells.items():
            field = self.sobject.fields.get(name.lower())
            try:
                if field is not None and cell != NULL:
                    stored_value(field, cell)
            except Refusal:
                text = f"{field.name if field else name}: value not of required type: {cell[:80]}"
                return Refusal(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", text, [field.name if field else name])
        return Refusal(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", "value not of required type", [])

    def successes(self) -> str:
        """The rows that went well."""
        marks = ("sf__Id", "sf__Created")
        return self._sheet(marks, lambda o: None if o.error else (o.id, str(o.created).lower()))

    def failures(self) -> str:
        """The rows that did not."""
        return self._sheet(("sf__Id", "sf__Error"), lambda o: (o.id, o.error) if o.error else None)

    def unprocessed(self) -> str:
        """The rows that were never looked at."""
        rows = self._rows()
        header = next(rows, [])
        rest = (row for index, row in enumerate(rows) if index >= len(self.outcomes))
        return self.dialect.write(row for row in (header, *rest) if row)

    def _sheet(self, marks: tuple[str, str], mark: Callable[[Outcome], tuple[str, str] | None]) -> str:
        rows = self._rows()
        marks_and_rows = ((mark(outcome), row) for outcome, row in zip(self.outcomes, rows, strict=False))
        header = (*marks, *next(rows, ()))
        return self.dialect.write((header, *((*front, *row) for front, row in marks_and_rows if front is not None)))

    def _rows(self) -> Iterator[list[str]]:
        """The sheet's rows; none of a sheet that could not be read."""
        try:
            yield from self.dialect.read(self.body or b"")
        except Refusal:
            return


def _values(cells: dict[str, str]) -> Record:
    """A row's values; a parent that is told by its key as JSON would tell it."""
    values: Record = {}
    for name, cell in cells.items():
        value = None if cell == NULL else cell
        link, dot, key = name.rpartition(".")
        if dot:
            kind, _, relationship = link.rpartition(":")
            values[relationship] = ({"attributes": {"type": kind}} if kind else {}) | {key: value}
        else:
            values[name] = value
    return values


def objects_of(name: object) -> SObject:
    """The object of a job; Refusal if it has none."""
    sobject = schema.find(name) if isinstance(name, str) else None
    if sobject is None:
        text = f"InvalidEntity : Entity '{name}' is not supported by the Bulk API."
        raise Refusal(400, "INVALIDENTITY", text)
    return sobject
