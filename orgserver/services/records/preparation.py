"""Field values made ready to be sent, with what only the org can tell: types, picklists, keys of parents, events.

A call's own checks know the fields that every org has. The rest is read within the call, after its intent is on record
and before anything is changed: the object's describe (kept up to a day; before a value is refused it is asked for
anew), and, of events whose times may be days, what they are now. A describe that cannot be had stops nothing that
needs none: then Salesforce judges the values as they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from orgserver.model.errors import CallError, Rejected
from orgserver.model.names import EVENT, SObjectName
from orgserver.model.orgs import Caller
from orgserver.model.results import FieldValues
from orgserver.model.schema import FieldInfo, Schema
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest, standard_fields
from orgserver.services.calls import snapshot
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.calls.preflight import Problem, missing_field, missing_relationship, refusal
from orgserver.services.records import appointments, event_times, parents, value_checks, value_shapes
from orgserver.services.records.event_times import Standing
from orgserver.services.records.parents import Parent
from orgserver.services.records.value_checks import WriteAction, WrongValue, is_writable

T = TypeVar("T")
MAX_TYPES = 20
"""Kinds of parents that one call may name by their keys."""
_SECONDS = 10.0
"""How long a write waits for a describe that it can do without."""
_MANY = 200
"""Records from which on they are made ready in a thread."""
_IDS = 500
"""Events that one query looks at."""
Place = Callable[[int], str]
"""Where a record stands among the arguments."""


class Describe(Protocol):
    """How a call that is under way learns an object's schema."""

    def __call__(  # noqa: D102
        self, session: OrgSession, caller: Caller, sobject: SObjectName, *, sure: bool = False
    ) -> Awaitable[Schema]: ...


@dataclass(frozen=True, slots=True)
class Draft:
    """Records to write, checked as far as every org agrees."""

    sobject: SObjectName
    act: WriteAction
    records: Sequence[FieldValues]
    place: Place = lambda _index: "data"
    key: str = "Id"
    """The field by which a record is found that is there already."""

    @property
    def is_ready(self) -> bool:
        """Whether nothing must be asked of the org."""
        return not (self.needs_types or self.needs_events)

    @property
    def needs_types(self) -> bool:
        """Whether some value's meaning depends on its field's type, which not every org tells."""
        return any(self._is_doubtful(name, value) for each in self.records for name, value in each.items())

    def _is_doubtful(self, name: str, value: Any) -> bool:
        if value is None or isinstance(value, bool) or name == self.key:
            return value is None and name.lower().endswith("__r")  # a relationship: its lookup is to be empty
        known = standard_fields.field(self.sobject, name)
        if known is not None:
            return known.type in value_shapes.PICKLISTS
        return isinstance(value, str | list | dict) or value in (0, 1)

    @property
    def needs_events(self) -> bool:
        """Whether some event must be looked at to know whether its times are days."""
        return self.sobject == EVENT and any(event_times.is_open(each, self.act) for each in self.records)


class Preparation:
    """Makes drafts ready."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe

    def plan(self, caller: Caller, draft: Draft, make: Callable[[FieldValues, FieldValues], Plan[T]]) -> Plan[T]:
        """Plan to write one record: ``make`` takes its values as they are sent, and by the record's own fields."""
        (record,) = draft.records
        first = make(_without_key(record, draft), _without_key(parents.own(record), draft))
        if draft.is_ready:
            return first

        async def prepare(session: OrgSession) -> Plan[T]:
            (ready,) = await self.ready(session, caller, draft)
            own = parents.own(ready)
            if session.org.policy.keep_values:
                own = await _with_ids(session, own)
            return make(_without_key(ready, draft), _without_key(own, draft))

        return replace(first, prepare=prepare)

    async def ready(self, session: OrgSession, caller: Caller, draft: Draft) -> list[FieldValues]:
        """The records as they will be sent; InvalidArgument names all that is wrong."""
        records = list(draft.records)
        if draft.needs_types:
            records = await self._typed(session, caller, draft)
        if not draft.needs_events:
            return records
        found = await _standings(session, records, draft.key)
        zone = appointments.zone_of(session.org)
        return [
            event_times.fitted(each, found.get(_folded(_value(each, draft.key))), zone, draft.place(index))
            if event_times.is_open(each, draft.act)
            else each
            for index, each in enumerate(records)
        ]

    async def _typed(self, session: OrgSession, caller: Caller, draft: Draft) -> list[FieldValues]:
        needs = any(isinstance(value, list | dict) for each in draft.records for value in each.values())
        schema = await self._schema(session, caller, draft.sobject, needed=needs)
        if schema is None:
            return list(draft.records)
        records, problems = await self._converted(session, caller, draft, schema)
        if problems:  # what is kept may be older than the org
            schema = await self._describe(session, caller, draft.sobject, sure=True)
            records, problems = await self._converted(session, caller, draft, schema, sure=True)
        if problems:
            raise refusal(problems)
        return records

    async def _schema(
        self, session: OrgSession, caller: Caller, sobject: SObjectName, *, needed: bool, sure: bool = False
    ) -> Schema | None:
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._describe(session, caller, sobject, sure=sure)
        except (CallError, TimeoutError):
            if needed:
                raise
            return None

    async def _converted(
        self, session: OrgSession, caller: Caller, draft: Draft, schema: Schema, *, sure: bool = False
    ) -> tuple[list[FieldValues], list[Problem]]:
        known: dict[str, Schema | None] = {}
        for target in _targets(draft.records, schema):
            known[target] = await self._schema(session, caller, SObjectName(target), needed=True, sure=sure)
        work = _Work(draft, schema, known)
        return await asyncio.to_thread(work.run) if len(draft.records) > _MANY else work.run()


class _Work:
    """Converts records by their object's schema, and collects what is wrong."""

    def __init__(self, draft: Draft, schema: Schema, known: Mapping[str, Schema | None]) -> None:
        self._draft = draft
        self._schema = schema
        self._known = known
        self._problems: list[Problem] = []
        self._texts: dict[tuple[str, str], Any] = {}
        """What texts were converted to: the values of picklists repeat."""

    def run(self) -> tuple[list[FieldValues], list[Problem]]:
        """The records, and the problems."""
        records = [self._record(each, self._draft.place(index)) for index, each in enumerate(self._draft.records)]
        return records, self._problems

    def _record(self, record: FieldValues, place: str) -> FieldValues:
        ready: FieldValues = {}
        for name, value in record.items():
            field, reference = self._schema.field(name), self._schema.reference(name)
            where = f"{place}.{name}"
            if name == self._draft.key:
                ready[name] = value
            elif field is not None:
                ready[name] = self._field(field, value, where)
            elif reference is not None and (value is None or isinstance(value, dict)):
                self._parent(reference, name, value, where, ready)
            elif isinstance(value, dict):
                self._problems.append(missing_relationship(self._schema, name, where))
            elif isinstance(value, list):
                self._problems.append(missing_field(self._schema, name, where))
            else:
                ready[name] = value  # Salesforce says it, with the nearest names in the hint
        return ready

    def _field(self, field: FieldInfo, value: Any, where: str) -> Any:
        known = (field.name, value) if isinstance(value, str) else None
        if known is not None and known in self._texts:
            return self._texts[known]
        try:
            plain = value if _is_event_time(self._draft, field) else value_checks.convert_value(field, value)
        except WrongValue as error:
            self._problems.append(Problem(error.code, f"{field.name} {error}", where))
            return value
        if known is not None:
            self._texts[known] = plain
        return plain

    def _parent(self, reference: FieldInfo, name: str, value: Any, where: str, ready: FieldValues) -> None:
        if not is_writable(reference, self._draft.act):
            self._problems.append(Problem("INVALID_FIELD", f"{name} cannot be set by a {self._draft.act}", where))
            return
        if any(each.lower() == reference.name.lower() for each in parents.own(ready)):
            self._problems.append(Problem("INVALID_FIELD", f"{name} names the same parent as {reference.name}", where))
            return
        try:
            parent = None if value is None else parents.resolve(reference, value, self._known.get)
        except ValueError as error:
            self._problems.append(Problem("INVALID_FIELD", f"{name} {error}", where))
            return
        if isinstance(parent, Parent):
            ready[str(reference.relationship)] = parent
        else:
            ready[reference.name] = parent


def _is_event_time(draft: Draft, field: FieldInfo) -> bool:
    """Whether a time is read by the rules of events, later."""
    return draft.sobject == EVENT and field.name.lower() in event_times.TIMES


def _targets(records: Sequence[FieldValues], schema: Schema) -> list[str]:
    """The objects that the records' parents may be of."""
    found: dict[str, None] = {}
    for record in records:
        for name, value in record.items():
            reference = schema.reference(name) if isinstance(value, dict) else None
            if reference is None or schema.field(name) is not None:
                continue
            try:
                kinds = parents.targets(reference, value)
            except ValueError:
                continue  # told when the value is converted
            found.update(dict.fromkeys(kinds))
    return list(found)[:MAX_TYPES]


def _without_key(record: FieldValues, draft: Draft) -> FieldValues:
    """What is written of a record that is found by its key; of a new one all of it."""
    return record if draft.act == "create" else {name: each for name, each in record.items() if name != draft.key}


async def _with_ids(session: OrgSession, own: FieldValues) -> FieldValues:
    """The values by the record's own fields, with the ids of parents: what is kept must be what will be there."""
    found: FieldValues = {}
    for name, value in own.items():
        if not isinstance(value, Parent):
            found[name] = value
            continue
        key = (value.key, str(value.value))
        request = rest.read_by_key(session.org.api_version, SObjectName(value.target), key, ("Id",))
        try:
            found[name] = (await snapshot.read_first(session, request, rest.read_record)).get("Id")
        except Rejected as error:
            if error.category not in ("not_found", "conflict"):
                raise
            found[name] = None  # Salesforce refuses the change, and says why
    return found


# -- events as they are


async def _standings(session: OrgSession, records: Sequence[FieldValues], key: str) -> dict[Any, Standing]:
    """The events that are there, by what they are found by."""
    asked = [value for each in records if (value := _value(each, key)) is not None]
    found: dict[Any, Standing] = {}
    names = ", ".join(dict.fromkeys(("Id", key, *event_times.LOOKED_AT)))
    for start in range(0, len(asked), _IDS):
        literals = ", ".join(soql_text.literal(each) for each in asked[start : start + _IDS])
        text = f"SELECT {names} FROM {EVENT} WHERE {key} IN ({literals})"  # noqa: S608  # names and literals were checked
        request = rest.query(session.org.api_version, text, 2_000, include_deleted=True)  # or none archived
        while True:
            page = await snapshot.read_first(session, request, rest.read_page)
            found |= {_folded(_value(each, key)): Standing.of(each) for each in page.records}
            if page.next_path is None:
                break
            request = rest.next_page(page.next_path)
    return found


def _value(record: Mapping[str, Any], name: str) -> Any:
    return next((value for each, value in record.items() if each.lower() == name.lower()), None)


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
