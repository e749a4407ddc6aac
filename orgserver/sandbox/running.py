"""How a query is answered from an org's records."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from orgserver.model.names import to_18
from orgserver.salesforce.soql import grammar
from orgserver.salesforce.soql.tokens import SoqlError
from orgserver.sandbox import datewords, schema
from orgserver.sandbox.errors import Refusal, framed
from orgserver.sandbox.records import Record, Records
from orgserver.sandbox.schema import Field, SObject

Getter = Callable[[Record], Any]
_TEXTS = frozenset({"string", "textarea", "phone", "email", "url", "picklist", "combobox", "id", "reference"})
_MAX_OFFSET = 2_000


class Runner:
    """Runs one query."""

    def __init__(self, records: Records, text: str, now: datetime, *, deleted: bool) -> None:
        self._records = records
        self._text = text
        self._now = now
        self._deleted = deleted
        try:
            self.query = grammar.parse(text)
        except SoqlError as error:
            raise framed("MALFORMED_QUERY", str(error), text, error.position) from None
        found = schema.find(self.query.sobject)
        if found is None:
            message = f"sObject type '{self.query.sobject}' is not supported. If you are attempting to use a custom "
            message += "object, be sure to append the '__c' after the entity name. Please reference your WSDL or the "
            message += "describe call for the appropriate names."
            raise framed("INVALID_TYPE", message, text, self.query.sobject_position)
        self.sobject = found

    def rows(self) -> list[Record]:
        """The records that match, in their order."""
        query = self.query
        if query.offset > _MAX_OFFSET:
            raise Refusal(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        found = list(self._records.tables[self.sobject.name].values())
        if self._deleted:
            found += self._records.deleted[self.sobject.name].values()
        if query.where is not None:
            matches = self._matcher(query.where)
            found = [record for record in found if matches(record)]
        for term in reversed(query.order):
            getter, field = self._getter(term.field, term.position)
            found.sort(key=_sort_key(getter, field, term), reverse=term.descending)
        end = None if query.limit is None else query.offset + query.limit
        return found[query.offset : end]

    def projection(self) -> Callable[[Record, str], Record]:
        """A function from a record and an API version to its row of the answer."""
        plain: list[str] = []
        nested: dict[str, list[tuple[str, int]]] = {}
        seen: set[str] = set()
        for name, position in self.query.fields:
            if name.lower() in seen:
                raise framed("INVALID_FIELD", f"duplicate field selected: {name}", self._text, position)
            seen.add(name.lower())
            head, dot, rest = name.partition(".")
            if dot:
                if head.lower() == self.sobject.name.lower():
                    plain.append(self._field(self.sobject, rest, position).name)
                    continue
                nested.setdefault(self._relationship(self.sobject, head, position).relationship or "", []).append(
                    (rest, position)
                )
            else:
                plain.append(self._field(self.sobject, name, position).name)
        return functools.partial(self._row, self.sobject, plain, nested)

    def _row(
        self,
        sobject: SObject,
        plain: list[str],
        nested: dict[str, list[tuple[str, int]]],
        record: Record,
        version: str,
    ) -> Record:
        row: Record = {"attributes": attributes(sobject.name, record["Id"], version)}
        for name in plain:
            row[name] = record[name]
        for relationship, inner in nested.items():
            link = sobject.relationships[relationship.lower()]
            target = self._linked(record.get(link.name))
            row[relationship] = None if target is None else self._inner(target, inner, version)
        return row

    def _inner(self, target: tuple[SObject, Record], names: list[tuple[str, int]], version: str) -> Record:
        sobject, record = target
        row: Record = {"attributes": attributes(sobject.name, record["Id"], version)}
        for name, position in names:
            head, dot, rest = name.partition(".")
            if dot:
                link = self._relationship(sobject, head, position)
                further = self._linked(record.get(link.name))
                row[link.relationship or head] = (
                    None if further is None else self._inner(further, [(rest, position)], version)
                )
            elif name.lower() == "type" and "type" not in sobject.fields:
                row["Type"] = sobject.name
            else:
                row[self._field(sobject, name, position).name] = record[self._field(sobject, name, position).name]
        return row

    def _linked(self, identifier: str | None) -> tuple[SObject, Record] | None:
        if identifier is None:
            return None
        sobject = schema.by_prefix(identifier)
        record = self._records.tables[sobject.name].get(identifier) if sobject else None
        return (sobject, record) if sobject is not None and record is not None else None

    def _getter(self, path: str, position: int) -> tuple[Getter, Field]:
        head, dot, rest = path.partition(".")
        if not dot or head.lower() == self.sobject.name.lower():
            field = self._field(self.sobject, rest or head, position)
            return lambda record: record[field.name], field
        link = self._relationship(self.sobject, head, position)
        target = schema.find(link.targets[0]) if len(link.targets) == 1 else schema.find("Contact")
        if target is None or "." in rest:
            raise framed("INVALID_FIELD", f"No such relation '{head}' on entity", self._text, position)
        field = self._field(target, rest, position)

        def get(record: Record) -> Any:
            linked = self._linked(record.get(link.name))
            return None if linked is None else linked[1].get(field.name)

        return get, field

    def _field(self, sobject: SObject, name: str, position: int) -> Field:
        field = sobject.fields.get(name.lower())
        if field is None:
            message = (
                f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom field, "
            )
            message += "be sure to append the '__c' after the custom field name. Please reference your WSDL or the "
            raise framed("INVALID_FIELD", message + "describe call for the appropriate names.", self._text, position)
        return field

    def _relationship(self, sobject: SObject, name: str, position: int) -> Field:
        link = sobject.relationships.get(name.lower())
        if link is None:
            message = f"Didn't understand relationship '{name}' in field path. If you are attempting to use a custom "
            message += "relationship, be sure to append the '__r' after the custom relationship name."
            raise framed("INVALID_FIELD", message, self._text, position)
        return link

    def _matcher(self, condition: grammar.Condition) -> Callable[[Record], bool]:
        if isinstance(condition, grammar.Negation):
            inner = self._matcher(condition.condition)
            return lambda record: not inner(record)
        if isinstance(condition, grammar.Group):
            parts = [self._matcher(each) for each in condition.conditions]
            if condition.operator == "and":
                return lambda record: all(part(record) for part in parts)
            return lambda record: any(part(record) for part in parts)
        return self._comparison(condition)

    def _comparison(self, comparison: grammar.Comparison) -> Callable[[Record], bool]:
        getter, field = self._getter(comparison.field, comparison.position)
        if not field.filterable:
            message = f"field '{field.name}' can not be filtered in a query call"
            raise framed("INVALID_FIELD", message, self._text, comparison.position)
        if isinstance(comparison.value, tuple):
            wanted = {self._operand(field, value) for value in comparison.value}
            inside = comparison.operator == "in"
            return lambda record: (_comparable(field, getter(record)) in wanted) is inside
        if comparison.operator == "like":
            return _like(getter, comparison.value)
        if comparison.value.kind == "dateword":
            return self._within(getter, field, comparison.operator, comparison.value)
        operand = self._operand(field, comparison.value)
        operator = comparison.operator
        return lambda record: _holds(_comparable(field, getter(record)), operator, operand)

    def _within(self, getter: Getter, field: Field, operator: str, value: grammar.Value) -> Callable[[Record], bool]:
        word, amount = value.value
        span = datewords.span(word, amount, self._now)
        if span is None or field.type not in ("date", "datetime"):
            raise framed("MALFORMED_QUERY", f"unexpected token: '{word}'", self._text, value.position)
        first, last = span

        def matches(record: Record) -> bool:
            found = _comparable(field, getter(record))
            if found is None:
                return operator == "!="
            held: dict[str, bool] = {
                "=": first <= found < last,
                "!=": not first <= found < last,
                "<": found < first,
                "<=": found < last,
                ">": found >= last,
                ">=": found >= first,
            }
            return held[operator]

        return matches

    def _operand(self, field: Field, value: grammar.Value) -> Any:
        good = {
            "string": field.type in _TEXTS,
            "number": field.type in ("int", "double", "currency", "percent"),
            "boolean": field.type == "boolean",
            "date": field.type == "date",
            "datetime": field.type == "datetime",
            "null": True,
        }
        if not good.get(value.kind, False):
            message = f"value of filter criterion for field '{field.name}' must be of type {field.type} "
            message += (
                "and should be enclosed in quotes" if field.type in _TEXTS else "and should not be enclosed in quotes"
            )
            raise framed("INVALID_FIELD", message, self._text, value.position)
        text = value.value
        if field.type in ("id", "reference") and isinstance(text, str):
            text = to_18(text)
        return _comparable(field, text)


def attributes(sobject: str, identifier: str, version: str) -> Record:
    """What Salesforce puts into every record."""
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{identifier}"}


def _comparable(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.type in ("date", "datetime"):
        if field.type == "date":
            return datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
        return datetime.fromisoformat(value)
    if field.type in ("id", "reference"):
        return value
    return value.casefold() if isinstance(value, str) else value


def _holds(found: Any, operator: str, operand: Any) -> bool:
    if operator == "=":
        return bool(found == operand)
    if operator == "!=":
        return bool(found != operand)
    if found is None or operand is None:
        return False
    held: dict[str, bool] = {
        "<": found < operand,
        "<=": found <= operand,
        ">": found > operand,
        ">=": found >= operand,
    }
    return held[operator]


def _like(getter: Getter, value: grammar.Value) -> Callable[[Record], bool]:
    pattern = ""
    text = str(value.value or "")
    index = 0
    while index < len(text):
        letter = text[index]
        if letter == "\\" and index + 1 < len(text) and text[index + 1] in "%_":
            pattern += re.escape(text[index + 1])
            index += 1
        else:
            pattern += {"%": ".*", "_": "."}.get(letter, re.escape(letter))
        index += 1
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda record: compiled.fullmatch(str(getter(record) or "")) is not None


def _sort_key(getter: Getter, field: Field, term: grammar.Order) -> Callable[[Record], Any]:
    # Nulls come first unless NULLS LAST says otherwise, whatever the direction.
    null_rank = (1 if term.nulls_last else -1) * (-1 if term.descending else 1)

    def key(record: Record) -> Any:
        value = _comparable(field, getter(record))
        return (null_rank, 0) if value is None else (0, value)

    return key
