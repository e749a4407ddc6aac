"""What a policy leaves of an org's records: nothing of what is hidden, and parts of what is masked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from orgserver.model.access.policies import EVERY_ACTION, Policy
from orgserver.model.schema import Schema, SchemaLookup
from orgserver.services.policies.field_rules import is_object_allowed
from orgserver.services.policies.masks import mask
from orgserver.services.policies.object_limits import (
    ATTRIBUTES,
    NOTHING,
    ObjectLimits,
    limit_any,
    limit_by_names,
    limit_by_schema,
)

_GROUPS = "AggregateResult"
"""Groups: a query that makes them of anything limited is refused before it is sent."""
_ANY_OBJECT = "Name"
"""What Salesforce calls a parent that may be of several objects."""
_ROWS = frozenset({"records", "searchRecords"})
_MOST_SCHEMAS, _MOST_POLICIES = 16, 256


def _no_schema(_name: str) -> None:
    return None


class FieldLimits:
    """The hidden and masked fields and denied objects of one policy; ``of`` makes one for each policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.is_free = not policy.limits_data
        """Whether everything may be seen."""
        self._by_name: dict[str, ObjectLimits] = {}
        self._by_schema: dict[int, tuple[Schema, ObjectLimits]] = {}
        self._of_any = limit_any(policy)
        self.limited_schemas: dict[int, tuple[Schema, Schema]] = {}
        """Describes with what is left of them, by the identity of the whole one."""

    @property
    def limits_objects(self) -> bool:
        """Whether records of some objects may not be read."""
        return self._of_any.is_denied

    @staticmethod
    def of(policy: Policy) -> FieldLimits:
        """The limits of a policy, made once."""
        return NO_LIMITS if not policy.limits_data else _make(policy)

    def of_object(self, sobject: str, lookup: SchemaLookup = _no_schema) -> ObjectLimits:
        """What may not be seen of an object's records."""
        if self.is_free:
            return NOTHING
        schema = lookup(sobject)
        if schema is not None:
            return self.of_schema(schema, lookup)
        limits = self._by_name.get(sobject.lower())
        if limits is None:
            limits = self._by_name[sobject.lower()] = limit_by_names(self.policy, sobject)
        return limits

    def of_schema(self, schema: Schema, lookup: SchemaLookup) -> ObjectLimits:
        """The same of an object that the org has described."""
        entry = self._by_schema.get(id(schema))
        if entry is not None and entry[0] is schema:
            return entry[1]
        limits = limit_by_schema(self.policy, schema, lookup)
        if len(self._by_schema) >= _MOST_SCHEMAS:
            self._by_schema.clear()
        if limits.is_certain:
            self._by_schema[id(schema)] = (schema, limits)
        return limits

    def remember(self, schema: Schema, limited: Schema) -> None:
        """Keep what is left of a describe, which is asked for by every call."""
        if len(self.limited_schemas) >= _MOST_SCHEMAS:
            self.limited_schemas.clear()
        self.limited_schemas[id(schema)] = (schema, limited)

    def hides(self, sobject: str, name: str, lookup: SchemaLookup = _no_schema) -> bool:
        """Whether a field of an object may not be seen at all."""
        return name.lower() in self.of_object(sobject, lookup).hidden

    def visible(self, sobject: str, paths: Iterable[str], lookup: SchemaLookup = _no_schema) -> tuple[str, ...]:
        """The paths of fields that do not begin with a hidden field or a relationship of one."""
        if self.is_free:
            return tuple(paths)
        hidden = self.of_object(sobject, lookup).hidden
        return tuple(path for path in paths if path.split(".", 1)[0].lower() not in hidden)

    def may_compare(self, sobject: str, names: Iterable[str], lookup: SchemaLookup = _no_schema) -> bool:
        """Whether records of an object may be chosen by these fields of theirs."""
        own = self.of_object(sobject, lookup)
        return not own.is_denied and (own.hidden | own.masked).isdisjoint(name.lower() for name in names)

    def knows(self, sobject: str) -> bool:
        """Whether agents may be told of an object: they may do something with its records."""
        return self.is_free or any(is_object_allowed(self.policy, sobject, action) for action in EVERY_ACTION)

    def may_read(self, sobject: str) -> bool:
        """Whether an object's records may be read."""
        return self.is_free or is_object_allowed(self.policy, sobject)

    # -- records

    def limit_records(
        self, body: Any, lookup: SchemaLookup = _no_schema, rest: Callable[[], None] = lambda: None
    ) -> frozenset[str]:
        """Take out of an org's answer, in place, what may not be seen of its records, however deep they are.

        What is masked is named: ``Contact.Email``. ``rest`` is called at each record.
        """
        masked: set[str] = set()
        if not self.is_free:
            self._limit(body, lookup, masked, rest)
        return frozenset(masked)

    def _limit(self, value: Any, lookup: SchemaLookup, masked: set[str], rest: Callable[[], None]) -> None:
        rest()
        if isinstance(value, list):
            for each in value:
                if isinstance(each, dict | list):
                    self._limit(each, lookup, masked, rest)
        elif isinstance(value, dict):
            if "attributes" in value:
                self._limit_record(value, lookup, masked, rest)
            else:
                for name, each in value.items():
                    if name in _ROWS and isinstance(each, list):
                        self._limit_rows(each, lookup, masked, rest)
                    elif isinstance(each, dict | list):
                        self._limit(each, lookup, masked, rest)

    def _limit_rows(self, rows: list[Any], lookup: SchemaLookup, masked: set[str], rest: Callable[[], None]) -> None:
        """Rows of a result are records, whether or not they say of which object."""
        for row in rows:
            if isinstance(row, dict):
                self._limit_record(row, lookup, masked, rest)

    def _limit_record(
        self, record: dict[str, Any], lookup: SchemaLookup, masked: set[str], rest: Callable[[], None]
    ) -> None:
        rest()
        sobject = _object_of(record)
        if sobject == _GROUPS:
            return
        limits = self._of_record(sobject, lookup)
        for name, value in list(record.items()):
            verdict = limits.judge(name)
            if verdict == "hidden":
                del record[name]
            elif verdict == "masked":
                if value is not None:
                    record[name] = mask(value)
                    masked.add(f"{sobject}.{name}")
            elif isinstance(value, dict | list) and name != ATTRIBUTES:
                self._limit(value, lookup, masked, rest)
                if _is_emptied(value):
                    del record[name]

    def _of_record(self, sobject: str | None, lookup: SchemaLookup) -> ObjectLimits:
        if sobject is None or sobject == _ANY_OBJECT:
            return self._of_any
        return self.of_object(sobject, lookup)


def _object_of(record: dict[str, Any]) -> str | None:
    attributes = record.get("attributes")
    sobject = attributes.get("type") if isinstance(attributes, dict) else None
    return sobject if isinstance(sobject, str) else None


def _is_emptied(value: Any) -> bool:
    """Whether nothing is left of a parent but what it is."""
    return isinstance(value, dict) and value.keys() == {"attributes"}


def masking_warnings(masked: Iterable[str]) -> Iterator[str]:
    """What whoever reads masked values must know."""
    names = sorted(masked, key=str.casefold)
    if names:
        yield f"shown in part, or as null where a value has no parts: {', '.join(names)}; never write these values back"


@lru_cache(maxsize=_MOST_POLICIES)
def _make(policy: Policy) -> FieldLimits:
    return FieldLimits(policy)


NO_LIMITS = FieldLimits(Policy())
