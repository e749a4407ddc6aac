"""What ``salesforce_change_records`` is asked to do, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orgserver.model import names
from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import ObjectAction
from orgserver.model.access.principals import Permission
from orgserver.model.bulk import BulkAction
from orgserver.model.digests import digest_arguments
from orgserver.model.errors import InvalidArgument
from orgserver.model.names import EVENT, SObjectName
from orgserver.model.results import FieldValues
from orgserver.model.text import is_blank
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import bulk_csv
from orgserver.salesforce.protocol.bulk import MANY
from orgserver.salesforce.soql import tree
from orgserver.services.queries.query_text import check_soql
from orgserver.services.records import event_times, field_values
from orgserver.services.records.draft import Draft, WriteAction, by_column, field_paths, read_parent_key
from orgserver.services.records.uses import preview_uses, write_uses

MAX_RECORDS = 20_000
"""Records that one call may write out."""
ID = "Id"
_NEED_ID = frozenset({"update", "delete"})


@dataclass(frozen=True, slots=True)
class BulkArguments:
    """The arguments as they came."""

    sobject: SObjectName
    action: BulkAction
    records: Sequence[Mapping[str, Any]] | None = None
    soql: str | None = None
    data: Mapping[str, Any] | None = None
    external_id_field: str | None = None
    all_or_none: bool = False
    preview: bool = False
    idempotency_key: str | None = None
    allow_duplicates: bool = False

    def digest(self) -> str:
        """Everything that decides what is sent, short enough to be kept."""
        values: list[Any] = [self.sobject, self.action, self.records, self.soql, self.data, self.external_id_field]
        values += [self.all_or_none, *([self.allow_duplicates] if self.allow_duplicates else [])]
        return digest_arguments(values).hex()

    @property
    def actions(self) -> tuple[ObjectAction, ...]:
        """What may become of a record."""
        return ("create", "update") if self.action == "upsert" else (self.action,)

    @property
    def permission(self) -> Permission:
        """What the principal must be allowed."""
        return "delete" if self.action == "delete" else "write"

    def has_more_than_action(self) -> bool:
        """Whether it holds more than object and action."""
        values = (self.records, self.soql, self.data, self.external_id_field)
        return self.all_or_none or self.allow_duplicates or any(each is not None for each in values)


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """The arguments of a large change that are right, and what follows from them."""

    arguments: BulkArguments
    columns: tuple[str, ...]
    """The fields that are written, each in one spelling; ``Id`` or the external id field first."""
    records: tuple[FieldValues, ...] = ()
    query_shape: str | None = None
    """The query without its literals."""
    query: tree.Query | None = None
    """The same as it was understood."""
    data: FieldValues = field(default_factory=dict)
    header: tuple[str, ...] = ()
    """The columns of a bulk job's sheets, once they are known: a parent by its key has one of its own."""

    @property
    def is_understood(self) -> bool:
        """Whether it is known what all of it touches."""
        return self.arguments.soql is None or self.query is not None

    @property
    def sobject(self) -> SObjectName:
        """The object."""
        return self.arguments.sobject

    @property
    def action(self) -> BulkAction:
        """What is done."""
        return self.arguments.action

    @property
    def by_id(self) -> bool:
        """Whether the records are there already, known by their ids."""
        return self.action in _NEED_ID

    @property
    def permission(self) -> Permission:
        """What the principal must be allowed."""
        return self.arguments.permission

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids that were arguments."""
        return tuple(record[ID] for record in self.records) if self.by_id else ()

    @property
    def paths(self) -> tuple[str, ...]:
        """The names of what is written, a parent's key by its path."""
        return tuple(dict.fromkeys((*self.columns[:1], *field_paths(*self.records, self.data))))

    def draft(self) -> Draft:
        """The records, or what each record of the query gets, to be made ready."""
        key = self.columns[0] if self.action != "create" and self.columns else ID
        if self.arguments.soql is not None:
            return Draft(self.sobject, "update", (self.data,) if self.data else ())
        return Draft(self.sobject, "update" if self.by_id else self.act, self.records, _place_of, key)

    @property
    def act(self) -> WriteAction:
        """The action as field values know it."""
        return "update" if self.action == "delete" else self.action

    def with_values(self, records: Sequence[FieldValues]) -> BulkRequest:
        """The same with the values that its draft got from the org."""
        if self.arguments.soql is not None:
            data = dict(records[0]) if records else {}
            return replace(self, data=data, header=(ID, *next(by_column([data]))))
        header = dict.fromkeys((*self.columns[:1], *(name for cells in by_column(records) for name in cells)))
        return replace(self, records=tuple(records), header=tuple(header))

    def uses(self) -> tuple[PathUse, ...]:
        """What it touches: what is written, by what records are found, and what the query touches that names them."""
        is_query, preview = self.arguments.soql is not None, self.arguments.preview
        key = () if self.by_id or self.action == "create" else self.columns[:1]
        written = ((self.data,) if is_query else self.records) if self.action != "delete" else ()
        own = [{name: value for name, value in each.items() if name != ID} for each in written]
        uses = write_uses(self.sobject, self.arguments.actions, own, key)
        uses = preview_uses(uses) if preview else uses
        return uses if self.query is None else (*uses, *soql_text.path_uses(self.query))

    def places(self) -> dict[str, str]:
        """Where each field is named first."""
        first: dict[str, str] = {}
        for index, record in enumerate(self.records):
            for name in record.keys() - first.keys():
                first[name] = f"records[{index}].{name}"
        key = self.arguments.external_id_field
        return {name: "external_id_field" if name == key else first[name] for name in self.columns if name in first}

    def for_ids(self, ids: Iterable[str]) -> Iterator[FieldValues]:
        """A record to write for each id that a query found."""
        return ({ID: identifier} | self.data for identifier in ids)


def check_arguments(arguments: BulkArguments) -> BulkRequest:
    """Check the arguments; InvalidArgument names the one that is wrong."""
    if (arguments.records is None) == (arguments.soql is None):
        raise _bad("give either records, or soql with data", "records", "soql")
    key_field = arguments.external_id_field
    if (arguments.action == "upsert") != (key_field is not None):
        raise _bad("external_id_field belongs to upsert, which needs it", "external_id_field")
    if key_field is not None and not names.is_field(key_field):
        raise _bad("external_id_field is no field name", "external_id_field")
    if arguments.allow_duplicates and arguments.action == "delete":
        raise _bad("a delete makes no duplicates; allow_duplicates goes with the other actions", "allow_duplicates")
    if arguments.soql is not None:
        return _check_query(arguments, arguments.soql)
    return _check_records(arguments, arguments.records or ())


def _check_query(arguments: BulkArguments, soql: str) -> BulkRequest:
    query_shape, query = check_soql(soql), soql_text.understood(soql)
    if arguments.action not in _NEED_ID:
        raise _bad(f"soql names records that are there already; {arguments.action} needs records", "soql")
    sobject, _ = soql_text.summary(soql)
    if sobject is None or sobject.lower() != arguments.sobject.lower():
        raise _bad(f"soql must read from {arguments.sobject}, which is what is changed", "soql", "object")
    if arguments.all_or_none:
        raise _bad("all_or_none goes with records, up to 200", "all_or_none")
    if arguments.action == "delete":
        if arguments.data:
            raise _bad("a delete takes no data", "data")
        return BulkRequest(arguments, (ID,), query_shape=query_shape, query=query)
    data = field_values.check_field_values(arguments.data or {}, arguments.sobject, "update")
    if arguments.sobject == EVENT and event_times.depends_on_event(data, "update"):
        raise InvalidArgument(
            "data changes times and does not say of which events: those of all-day events are days, others instants",
            fields=["data.IsAllDayEvent"],
            hint="say IsAllDayEvent, with StartDateTime and EndDateTime; or give records, which may be of both kinds",
        )
    _check_texts(data, "data", sheet=True)
    return BulkRequest(arguments, (ID, *data), query_shape=query_shape, query=query, data=data)


def _check_records(arguments: BulkArguments, records: Sequence[Mapping[str, Any]]) -> BulkRequest:
    if arguments.data is not None:
        raise _bad("data goes with soql; with records each record has its own fields", "data")
    if not 0 < len(records) <= MAX_RECORDS:
        raise _bad(f"records holds 1 to {MAX_RECORDS:,} records; soql reaches more of them", "records")
    if arguments.all_or_none and len(records) > MANY:
        raise _bad(f"all_or_none is possible for up to {MANY} records", "all_or_none")
    if arguments.allow_duplicates and len(records) > MANY:
        raise many_duplicates()
    key = ID if arguments.action in _NEED_ID else arguments.external_id_field
    spelling: dict[str, str] = {key.lower(): key} if key is not None else {}
    checked_records: list[FieldValues] = []
    index_of_key: dict[object, int] = {}
    for index, record in enumerate(records):
        place = f"records[{index}]"
        values = _check_record(arguments, key, record, place, spelling)
        if len(records) > MANY:
            _check_texts(values, place, sheet=True)
        if key is not None and (first := index_of_key.setdefault(_fold_key(values[key]), index)) != index:
            raise _bad(f"{place} has the same {key} as records[{first}]", f"{place}.{key}")
        checked_records.append(values)
    return BulkRequest(arguments, tuple(spelling.values()), tuple(checked_records))


def _check_record(
    arguments: BulkArguments, key: str | None, record: Mapping[str, Any], place: str, spelling: dict[str, str]
) -> FieldValues:
    """One record, its fields in the spelling that was met first, its key first."""
    has_new_names = bool(record.keys() - spelling.values())
    values = {spelling.setdefault(name.lower(), name): value for name, value in record.items()}
    if has_new_names or len(values) < len(record):
        field_values.check_names(record, arguments.sobject, place)
    front: FieldValues = {key: _check_key(arguments, key, values.pop(key, None), place)} if key is not None else {}
    if arguments.action == "delete":
        if values:
            raise _bad(f"{place} holds more than the Id that a delete needs", place)
        return front
    try:
        if values or key is None:
            values = field_values.check_field_values(values, arguments.sobject, arguments.action)
    except InvalidArgument as error:
        fields = [name.replace("data", place, 1) for name in error.fields]
        raise InvalidArgument(str(error).replace("data", place, 1), fields=fields) from None
    if not values and arguments.action == "update":
        raise _bad(f"{place} holds nothing to change", place)
    _check_texts(values, place, sheet=False)
    return front | values


def _check_key(arguments: BulkArguments, key: str, value: Any, place: str) -> Any:
    if key == ID and arguments.action in _NEED_ID:
        if not isinstance(value, str):
            raise _bad(f"{place} needs the Id of its record", f"{place}.Id")
        try:
            return names.record_id(value, names.KEY_PREFIX.get(arguments.sobject))
        except ValueError as error:
            raise _bad(f"{place}.Id is not the id of a {arguments.sobject}: {error}", f"{place}.Id") from None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or is_blank(str(value)):
        raise _bad(f"{place} needs {key}, by which it is found", f"{place}.{key}")
    return value


def _check_texts(record: Mapping[str, Any], place: str, *, sheet: bool) -> None:
    """What no encoding, or no sheet of a bulk job, can carry."""
    for name, value in record.items():
        if isinstance(value, dict):
            value = read_parent_key(value)[2]  # noqa: PLW2901  # the key that names a parent
        if not isinstance(value, str):
            continue
        if sheet and value == bulk_csv.NULL:
            raise _bad(f"{place}.{name} is {bulk_csv.NULL}, which empties a field in a large change", f"{place}.{name}")
        if not value.isascii() and not names.encodable(value):
            raise _bad(f"{place}.{name} has half a character in it (a lone surrogate)", f"{place}.{name}")


def _fold_key(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) and len(value) != 18 else value  # noqa: PLR2004  # an id


def many_duplicates() -> InvalidArgument:
    """The refusal of what bulk jobs cannot do: the Bulk API 2.0 has no header for it (its guide, "Headers")."""
    return _bad(f"allow_duplicates is possible for up to {MANY} records at a time", "allow_duplicates")


def _place_of(index: int) -> str:
    return f"records[{index}]"


def _bad(message: str, *fields: str) -> InvalidArgument:
    return InvalidArgument(message, fields=fields)
