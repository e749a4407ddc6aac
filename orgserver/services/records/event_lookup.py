"""Events as they are before a change of their times: whether they are all-day, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orgserver.model.names import EVENT
from orgserver.model.results import FieldValues
from orgserver.salesforce import soql as soql_text
from orgserver.salesforce.protocol import rest
from orgserver.services.calls import snapshot
from orgserver.services.calls.access import OrgSession
from orgserver.services.records import event_times
from orgserver.services.records.event_times import EventState

_IDS = 500
"""Events that one query reads."""


class EventLookup:
    """The events that records are about, by the field by which they are found."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._states: dict[Any, EventState] = {}

    def state(self, record: Mapping[str, Any]) -> EventState | None:
        """The event that a record changes; None if it is not there."""
        return self._states.get(self._identity(record))

    async def read(self, session: OrgSession, records: Sequence[FieldValues]) -> None:
        """Read the events that are there."""
        keys = [value for each in records if (value := _field_value(each, self._key)) is not None]
        names = ", ".join(dict.fromkeys(("Id", self._key, *event_times.STATE_FIELDS)))
        for start in range(0, len(keys), _IDS):
            literals = ", ".join(soql_text.literal(each) for each in keys[start : start + _IDS])
            text = f"SELECT {names} FROM {EVENT} WHERE {self._key} IN ({literals})"  # noqa: S608  # names and literals were checked
            request = rest.query(session.org.api_version, text, 2_000, include_deleted=True)  # or none archived
            while True:
                page = await snapshot.read_first(session, request, rest.read_page)
                self._states |= {self._identity(each): EventState.from_record(each) for each in page.records}
                if page.next_path is None:
                    break
                request = rest.next_page(page.next_path)

    def _identity(self, record: Mapping[str, Any]) -> Any:
        value = _field_value(record, self._key)
        return value.casefold() if isinstance(value, str) else value


def _field_value(record: Mapping[str, Any], name: str) -> Any:
    return next((value for each, value in record.items() if each.lower() == name.lower()), None)
