"""What a large change would do, shown on its first records: nothing is sent but reads."""

from __future__ import annotations

from typing import Any

from orgserver.model.results import FieldValues
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest
from orgserver.services.bulk.execution import SHOWN, Look
from orgserver.services.bulk.request import ID, Asked
from orgserver.services.calls.access import OrgSession
from orgserver.services.records import parents
from orgserver.services.results import result_size, truncation

_GONE = {"code": "NOT_FOUND", "outcome": "rejected", "message": "there is no such record, or its user may not see it"}


async def show(session: OrgSession, asked: Asked) -> tuple[int, list[dict[str, Any]], tuple[str, ...]]:
    """How many records, field by field what would become of the first of them, and warnings."""
    records, total = [parents.own(each) for each in asked.records[:SHOWN]], len(asked.records)
    if asked.given.soql is not None:
        page = await Look().first(session, asked.given.soql)
        total = page.total_size
        found = asked.for_ids([str(record.get(ID)) for record in page.records[:SHOWN]])
        records = [parents.own(each) for each in found]
    now = {} if asked.action == "create" else await _as_they_are(session, asked, records)
    room = result_size.MAX_BYTES - result_size.FRAME_BYTES
    shown: list[dict[str, Any]] = []
    warnings: tuple[str, ...] = ()
    for index, record in enumerate(records):
        told = _told(index, record, asked, now)
        if not shown:
            told, warnings = truncation.fit(told, result_size.RECORD_BYTES)
        size = truncation.within(told, room)
        if size is None:
            break
        room -= size
        shown.append(told)
    return total, shown, warnings


async def _as_they_are(session: OrgSession, asked: Asked, records: list[FieldValues]) -> dict[object, FieldValues]:
    """The records that are there already, by what they are found by."""
    key = asked.columns[0]
    if not records:
        return {}
    columns = (name for each in records for name in each)
    wanted = ", ".join({name.lower(): name for name in (ID, *asked.columns[:1], *columns)}.values())
    keys = ", ".join(soql_text.literal(record[key]) for record in records)
    text = f"SELECT {wanted} FROM {asked.sobject} WHERE {key} IN ({keys})"  # noqa: S608  # names and literals were checked
    request = rest.query(session.org.api_version, text, 2 * SHOWN)
    return await session.call(request, lambda reply: _by_key(rest.read_page(reply).records, key))


def _by_key(records: list[FieldValues], key: str) -> dict[object, FieldValues]:
    """Records by what they are found by, each no larger than a result."""
    fitting = (truncation.fit(record, result_size.RECORD_BYTES)[0] for record in records[: 2 * SHOWN])
    found = [{name.lower(): value for name, value in record.items()} for record in fitting]
    return {_folded(record.get(key.lower())): record for record in found}


def _told(index: int, record: FieldValues, asked: Asked, now: dict[object, FieldValues]) -> dict[str, Any]:
    there = now.get(_folded(record.get(asked.columns[0])), {})
    told: dict[str, Any] = {"index": index}
    if asked.by_id and not there:
        return told | {"id": record[ID], "error": _GONE}
    identifier = there.get("id") or record.get(ID)
    if identifier is not None:
        told["id"] = identifier
    changes = [
        {"field": name, "from": there.get(name.lower()), "to": value}
        for name, value in record.items()
        if name != ID or asked.action == "create"
    ]
    return told | ({"changes": changes} if changes else {})


def _folded(value: object) -> object:
    return value.lower() if isinstance(value, str) else value
