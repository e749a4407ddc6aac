"""What a large change would do, shown on its first records: nothing is sent but reads."""

from __future__ import annotations

from typing import Any

from orgserver.model.results import FieldValues
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest
from orgserver.services.bulk.record_ids import FirstPage
from orgserver.services.bulk.request import ID, BulkRequest
from orgserver.services.bulk.run import SHOWN
from orgserver.services.calls.access import OrgSession
from orgserver.services.records.draft import by_lookup_field
from orgserver.services.results import result_size, truncation
from orgserver.services.results.byte_budget import ByteBudget

_GONE = {"code": "NOT_FOUND", "outcome": "rejected", "message": "there is no such record, or its user may not see it"}


async def show(session: OrgSession, request: BulkRequest) -> tuple[int, list[dict[str, Any]], tuple[str, ...]]:
    """How many records, field by field what would become of the first of them, and warnings."""
    records, total = [by_lookup_field(each) for each in request.records[:SHOWN]], len(request.records)
    if request.arguments.soql is not None:
        page = await FirstPage().read(session, request.arguments.soql)
        total = page.total_size
        ids = [str(record.get(ID)) for record in page.records[:SHOWN]]
        records = [by_lookup_field(each) for each in request.for_ids(ids)]
    now = {} if request.action == "create" else await _read_current(session, request, records)
    budget = ByteBudget()
    rows: list[dict[str, Any]] = []
    warnings: tuple[str, ...] = ()
    for index, record in enumerate(records):
        row = _row(index, record, request, now)
        if not rows:
            row, warnings = truncation.fit(row, result_size.RECORD_BYTES)
        if not budget.take(row):
            break
        rows.append(row)
    return total, rows, warnings


async def _read_current(
    session: OrgSession, request: BulkRequest, records: list[FieldValues]
) -> dict[object, FieldValues]:
    """The records as they are now, by what they are found by."""
    key = request.columns[0]
    if not records:
        return {}
    columns = (name for each in records for name in each)
    fields = ", ".join({name.lower(): name for name in (ID, *request.columns[:1], *columns)}.values())
    keys = ", ".join(soql_text.literal(record[key]) for record in records)
    text = f"SELECT {fields} FROM {request.sobject} WHERE {key} IN ({keys})"  # noqa: S608  # names and literals were checked
    query = rest.query(session.org.api_version, text, 2 * SHOWN)
    return await session.call(query, lambda reply: _by_key(rest.read_page(reply).records, key))


def _by_key(records: list[FieldValues], key: str) -> dict[object, FieldValues]:
    """Records by what they are found by, each no larger than a result."""
    fitting = (truncation.fit(record, result_size.RECORD_BYTES)[0] for record in records[: 2 * SHOWN])
    by_name = [{name.lower(): value for name, value in record.items()} for record in fitting]
    return {_casefold(record.get(key.lower())): record for record in by_name}


def _row(index: int, record: FieldValues, request: BulkRequest, now: dict[object, FieldValues]) -> dict[str, Any]:
    current = now.get(_casefold(record.get(request.columns[0])), {})
    row: dict[str, Any] = {"index": index}
    if request.by_id and not current:
        return row | {"id": record[ID], "error": _GONE}
    identifier = current.get("id") or record.get(ID)
    if identifier is not None:
        row["id"] = identifier
    changes = [
        {"field": name, "from": current.get(name.lower()), "to": value}
        for name, value in record.items()
        if name != ID or request.action == "create"
    ]
    return row | ({"changes": changes} if changes else {})


def _casefold(value: object) -> object:
    return value.lower() if isinstance(value, str) else value
