"""What happened: reading, verifying and exporting the audit log, in constant memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from orgserver.model.audit import ENTRY_FIELDS, Act, Action, AuditEntry, Ending, EntryFilter, Outcome
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store import reading
from orgserver.store.opened import Store

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found."""

    events: int
    entries: int
    checks: tuple[str, ...]
    first_bad: int | None = None
    problem: str | None = None


class Trail:
    """The audit log, for administrators."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def newest(self, wanted: EntryFilter, limit: int) -> list[AuditEntry]:
        """The latest entries, newest first."""
        async with self._store.database.reading() as connection:
            return await reading.newest(connection, wanted, limit)

    async def entry(self, id_: str) -> AuditEntry | None:
        """One entry by its id."""
        async with self._store.database.reading() as connection:
            return await reading.entry(connection, id_)

    async def entries(self, wanted: EntryFilter) -> AsyncIterator[AuditEntry]:
        """Every entry, oldest first, in short read transactions."""
        after = 0
        while True:
            async with self._store.database.reading() as connection:
                page, last = await reading.entries(connection, wanted, after)
            for entry in page:
                yield entry
            if last is None:
                return
            after = last

    async def events(self, wanted: EntryFilter) -> AsyncIterator[dict[str, Any]]:
        """The raw chain within a span of time: the evidence."""
        after = 0
        while True:
            async with self._store.database.reading() as connection:
                page, last = await reading.events(connection, wanted, after, self._store.id)
            for event in page:
                yield event
            if last is None:
                return
            after = last

    async def verify(self, progress: Callable[[int], None] = lambda _events: None) -> Verified:
        """Check every event of the chain: numbers, hashes, MACs, columns and the sealed head."""
        checks = ("sequence", "chain", "mac", "columns", "head")
        state = reading.Verification(self._store.id, self._store.audit.genuine)
        while True:
            async with self._store.database.reading() as connection:
                last = await reading.check_page(connection, state)
            progress(state.sequence)
            if state.problem is not None or last is None:
                break
        if state.problem is None:
            async with self._store.database.reading() as connection:
                await reading.check_head(connection, state, self._store.audit.open_head)
        return Verified(state.sequence, state.intents, checks, state.first_bad, state.problem)

    async def exported(self, caller: Caller, what: str, rows: int) -> None:
        """Put on record that the log was exported."""
        await self._record(caller, Action.EXPORT, what, Ending(Outcome.SUCCEEDED, row_count=rows))

    async def verified(self, caller: Caller, found: Verified) -> None:
        """Put on record that the log was verified, and whether it held."""
        code = "AUDIT_BROKEN" if found.problem is not None else None
        ending = Ending(Outcome.SUCCEEDED, error_code=code, row_count=found.entries)
        await self._record(caller, Action.VERIFY, "audit verify", ending)

    async def _record(self, caller: Caller, action: Action, what: str, ending: Ending) -> None:
        act = Act(id=new_id(), principal=caller.principal.name, transport=caller.transport, action=action, tool=what)
        await self._store.audit.record(act, ending)


def json_line(entry: AuditEntry) -> str:
    """An entry as one line of JSON, in the public order of fields."""
    return _dumps(entry.as_json())


def event_line(event: dict[str, Any]) -> str:
    """An event of the evidence as one line of JSON."""
    return _dumps(event)


def csv_header() -> str:
    """The first line of a CSV export."""
    return _csv_line(list(ENTRY_FIELDS))


def csv_line(entry: AuditEntry) -> str:
    """An entry as a line of CSV that no spreadsheet takes for a formula."""
    return _csv_line([_cell(value) for value in entry.as_json().values()])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = " ".join(value) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _csv_line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().rstrip("\n")
