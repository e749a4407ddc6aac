"""How a query is answered from an org's records."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from orgserver.salesforce.soql import grammar
from orgserver.salesforce.soql.tokens import SoqlError
from orgserver.sandbox import columns, schema
from orgserver.sandbox.errors import Refusal, framed
from orgserver.sandbox.filtering import Filter, comparable
from orgserver.sandbox.paths import Getter, Paths
from orgserver.sandbox.records import Record, Records
from orgserver.sandbox.schema import Field

_MAX_OFFSET = 2_000
_MAX_LENGTH = 100_000
_NOT_SUPPORTED = (
    "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
    "after the entity name. Please reference your WSDL or the describe call for the appropriate names."
)


class Runner:
    """Runs one query; Refusal says what is wrong with it."""

    def __init__(self, records: Records, text: str, now: datetime, zone: ZoneInfo, *, deleted: bool) -> None:
        if len(text) > _MAX_LENGTH:
            raise Refusal(400, "MALFORMED_QUERY", "SOQL statements can not be longer than 100000 characters")
        try:
            self.query = grammar.parse(text)
        except SoqlError as error:
            raise framed("MALFORMED_QUERY", str(error), text, error.position) from None
        found = schema.find(self.query.sobject)
        if found is None:
            message = _NOT_SUPPORTED.format(self.query.sobject)
            raise framed("INVALID_TYPE", message, text, self.query.sobject_position)
        self._records = records
        self._text = text
        self._deleted = deleted
        self._sobject = found
        self._paths = Paths(records.tables, text, found)
        self._filter = Filter(self._paths, text, now, zone)

    def rows(self) -> list[Record]:
        """The records that match, in their order."""
        query = self.query
        if query.offset > _MAX_OFFSET:
            raise Refusal(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        found = list(self._records.tables[self._sobject.name].values())
        if self._deleted:
            found += self._records.deleted[self._sobject.name].values()
        if query.where is not None:
            matches = self._filter.matcher(query.where)
            found = [record for record in found if matches(record)]
        for term in reversed(query.order):
            found.sort(key=self._sort_key(term), reverse=term.descending)
        end = None if query.limit is None else query.offset + query.limit
        return found[query.offset : end]

    def projection(self) -> Callable[[Record, str], Record]:
        """A function from a record and an API version to its row of the answer."""
        return functools.partial(self._paths.row, self._paths.shape(self.query.fields))

    def columns(self) -> dict[str, Any]:
        """The query's columns, in place of its rows."""
        shape = None if self.query.count else self._paths.shape(self.query.fields)
        return columns.described(self._sobject, shape)

    def _sort_key(self, term: grammar.Order) -> Callable[[Record], Any]:
        getter, field = self._paths.getter(term.field, term.position)
        if not field.sortable:
            message = f"field '{field.name}' can not be sorted in a query call"
            raise framed("MALFORMED_QUERY", message, self._text, term.position)
        return _key(getter, field, term)


def _key(getter: Getter, field: Field, term: grammar.Order) -> Callable[[Record], Any]:
    # Nulls come first unless NULLS LAST says otherwise, whatever the direction.
    null_rank = (1 if term.nulls_last else -1) * (-1 if term.descending else 1)

    def key(record: Record) -> Any:
        value = comparable(field, getter(record))
        return (null_rank, 0) if value is None else (0, value)

    return key
