"""The SOQL of a list: its fields, filter, order and interval, each a checked name or a quoted literal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec

from orgserver.model import names, times
from orgserver.model.access.acts import ObjectUse, PathUse
from orgserver.model.access.policies import Policy
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import CONTACT, EVENT, SObjectName
from orgserver.model.schema import Schema, SchemaLookup
from orgserver.salesforce import soql
from orgserver.salesforce.protocol import standard_fields
from orgserver.salesforce.soql import RowQuery
from orgserver.services.calls.preflight import Preflight, Problem, path_problems
from orgserver.services.policies.field_rules import first_refusal
from orgserver.services.queries import filter_values
from orgserver.services.records import appointments

_COMPARISONS = {"eq": "=", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_MEMBERSHIP = {"in": "IN", "not_in": "NOT IN"}
_TEXT_MATCH = ("contains", "starts_with")
OPERATORS = (*_COMPARISONS, *_MEMBERSHIP, *_TEXT_MATCH, "is_null")
MAX_CONDITIONS = 100
MAX_MEMBERS = 1_000

_DEFAULT_ORDER = {CONTACT: "LastModifiedDate DESC, Id", EVENT: "StartDateTime, Id"}
_DATE_TYPES = frozenset({"date", "datetime"})


class Listing(msgspec.Struct, frozen=True):
    """The arguments of a list tool."""

    sobject: SObjectName
    limit: int = 10
    cursor: str | None = None
    fields: Sequence[str] | None = None
    filter: Mapping[str, Any] | None = None
    order_by: str | None = None
    start: str | None = None
    end: str | None = None
    count: bool = False
    """Whether the whole result is counted, too."""

    @property
    def depends_on_time(self) -> bool:
        """Whether the time of day chooses its records."""
        return self.sobject == EVENT and self.start is None and self.end is None

    def arguments(self) -> dict[str, Any]:
        """What a cursor is bound to: everything that chooses the records or their pages."""
        return {
            "object": self.sobject,
            "limit": self.limit,
            "fields": list(self.fields) if self.fields is not None else None,
            "filter": self.filter,
            "order_by": self.order_by,
            "start": self.start,
            "end": self.end,
        }

    def field_names(self, fields: Sequence[str]) -> set[str]:
        """The names of every field that the list reads (these), filters by or orders by."""
        names = {*fields, *(self.filter or ())}
        if self.order_by:
            names.add(self.order_by.split()[0])
        return names


def check_listing(listing: Listing) -> Preflight:
    """Check a list before it is sent: what it shows, filters by and sorts by."""
    order = listing.order_by.split()[:1] if listing.order_by else []

    def check(schema: Schema, lookup: SchemaLookup) -> list[Problem]:
        return [
            *path_problems(schema, listing.fields or (), lookup, "fields"),
            *path_problems(schema, listing.filter or (), lookup, "filter", "filterable"),
            *path_problems(schema, order, lookup, "order_by", "sortable"),
        ]

    return Preflight(listing.sobject, check)


def path_uses(listing: Listing) -> tuple[PathUse, ...]:
    """What a list touches because somebody named it; default fields and the default order give way to limits."""
    compared = {*(listing.filter or ())}
    if listing.order_by:
        compared.add(listing.order_by.split()[0])
    if listing.sobject == EVENT:
        compared |= appointments.INTERVAL_FIELDS
    return (PathUse(listing.sobject, "read", shown=frozenset(listing.fields or ()), compared=frozenset(compared)),)


def limit_order(listing: Listing, policy: Policy) -> Listing:
    """The list in an order that tells nothing of what is hidden or masked, where it names none."""
    if listing.order_by is not None or not policy.limits_data:
        return listing
    field = _DEFAULT_ORDER[listing.sobject].split()[0]
    use = ObjectUse(listing.sobject, "read", compared=frozenset({field}))
    return listing if first_refusal(policy, (use,)) is None else msgspec.structs.replace(listing, order_by="Id")


def build(listing: Listing, fields: Sequence[str], *, now: datetime, zone: str) -> RowQuery:
    """Build the SOQL of a list of these fields, in a total order; InvalidArgument names what does not mean anything."""
    conditions = _conditions(listing.filter, listing.sobject)
    if listing.sobject == EVENT:
        conditions += _interval(listing.start, listing.end, now=now, zone=zone)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    # Every part is a checked name or a quoted literal.
    rows = f"FROM {listing.sobject}{where}"
    return RowQuery(f"SELECT {', '.join(fields)} {rows} ORDER BY {_order(listing)}", f"SELECT COUNT() {rows}")


def _conditions(filter_: Mapping[str, Any] | None, sobject: SObjectName) -> list[str]:
    conditions: list[str] = []
    for name, condition in (filter_ or {}).items():
        if len(conditions) > MAX_CONDITIONS:
            break
        if not names.is_field_path(name):
            raise InvalidArgument("filter names something that is no field", fields=["filter"])
        operators = condition if isinstance(condition, dict) else {"eq": condition}
        if not operators:
            raise _bad(name, f"has no operator; use one of {', '.join(OPERATORS)}")
        conditions += [_condition(name, operator, value, sobject) for operator, value in operators.items()]
    if len(conditions) > MAX_CONDITIONS:
        raise InvalidArgument(f"filter has more than {MAX_CONDITIONS} conditions", fields=["filter"])
    return conditions


def _condition(name: str, operator: str, value: Any, sobject: SObjectName) -> str:
    if operator in _COMPARISONS:
        return f"{name} {_COMPARISONS[operator]} {_literal(name, value, sobject)}"
    if operator in _MEMBERSHIP:
        if not isinstance(value, list) or not value or len(value) > MAX_MEMBERS:
            raise _bad(name, f"{operator} takes a list of 1 to {MAX_MEMBERS:,} values")
        return f"{name} {_MEMBERSHIP[operator]} ({', '.join(_literal(name, each, sobject) for each in value)})"
    if operator in _TEXT_MATCH:
        if not isinstance(value, str) or not value:
            raise _bad(name, f"{operator} takes a text")
        return f"{name} LIKE {soql.like(value, prefix=operator == 'contains', suffix=True)}"
    if operator == "is_null":
        if not isinstance(value, bool):
            raise _bad(name, "is_null takes true or false")
        return f"{name} {'=' if value else '!='} null"
    raise _bad(name, f"has an operator that does not exist; use one of {', '.join(OPERATORS)}")


def _literal(name: str, value: Any, sobject: SObjectName) -> str:
    if isinstance(value, list | dict):
        raise _bad(name, "takes a text, a number, true, false or null here")
    if isinstance(value, str) and len(value) > soql.MAX_LITERAL:
        raise _bad(name, f"is longer than {soql.MAX_LITERAL:,} characters")
    field = standard_fields.field(sobject, name)
    return soql.literal(value if field is None else filter_values.read_value(name, field, value))


def _order(listing: Listing) -> str:
    if listing.order_by is None:
        return _DEFAULT_ORDER[listing.sobject]
    name, _, direction = listing.order_by.strip().partition(" ")
    if not names.is_field_path(name) or direction.strip().lower() not in ("", "asc", "desc"):
        raise InvalidArgument("order_by is one field name, with desc behind it if wished", fields=["order_by"])
    order = f"{name} DESC" if direction.strip().lower() == "desc" else name
    return order if name.lower() == "id" else f"{order}, Id"


def _interval(start: str | None, end: str | None, *, now: datetime, zone: str) -> list[str]:
    """Events that overlap ``[start, end)``; an event without length counts at its instant."""
    first = read_instant("start", start, zone) if start is not None else (now if end is None else None)
    last = read_instant("end", end, zone, past=True) if end is not None else None
    if first is not None and last is not None and last <= first:
        raise InvalidArgument("end is not after start", fields=["start", "end"])
    return appointments.interval_conditions(first, last, zone)


def read_instant(argument: str, text: str, zone: str, *, past: bool = False) -> datetime:
    """A time as it is; a date as its first instant in the org user's zone (``past``: the next day's)."""
    if times.is_date(text):
        try:
            day = date.fromisoformat(text) + timedelta(days=1 if past else 0)
            return datetime.combine(day, time(), times.zone_or_utc(zone)).astimezone(UTC)
        except OverflowError:
            raise InvalidArgument(f"{argument} is out of range", fields=[argument]) from None
    try:
        return times.read_instant(text)
    except ValueError as error:
        raise InvalidArgument(f"{argument} {error}; or a date (2026-02-20)", fields=[argument]) from None


def _bad(name: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"filter.{name} {problem}", fields=[f"filter.{name}"])
