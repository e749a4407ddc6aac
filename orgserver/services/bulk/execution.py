"""A large change under way: found, sent in one request or in bulk jobs, stopped, and put on record in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from orgserver.model import names
from orgserver.model.bulk import Counts, RecordResult, ResultBatch
from orgserver.model.errors import CallError, InvalidArgument, NotSent, PolicyDenied, StoreError, Unanswered
from orgserver.model.orgs import Caller
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import bulk, bulk_csv, rest
from orgserver.salesforce.protocol.bulk import MANY
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.salesforce.protocol.rest import QueryPage
from orgserver.services.bulk import job
from orgserver.services.bulk.job import Pace
from orgserver.services.bulk.request import ID, Asked, many_duplicates
from orgserver.services.bulk.row_matching import Matching
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.snapshot import read_first
from orgserver.services.records import parents
from orgserver.store.audit import result_parts
from orgserver.store.session import Store
from orgserver.store.writer import microseconds

T = TypeVar("T")
SHOWN = 50
"""Results in the answer; the others follow by its cursor."""
MAX_FOUND = 1_000_000
"""Records that one query may name: their ids are kept in memory, 18 bytes each."""
TOUCHED = 200
CANCELLED = "CANCELLED"
_PAGE = 2_000
_ID_BYTES = 18


@dataclass(slots=True)
class Look:
    """What a look before the change found; the change goes on from there."""

    page: QueryPage | None = None

    async def first(self, session: OrgSession, soql: str) -> QueryPage:
        """The first page of the query; InvalidArgument if its records cannot be told by their ids."""
        request = rest.query(session.org.api_version, soql, _PAGE)
        page = await read_first(session, request, _read_ids)
        if page.total_size and not page.records:  # SELECT COUNT() tells a number and no records
            raise _no_ids()
        for record in page.records:
            _id(record)
        self.page = page
        return page


@dataclass(slots=True)
class Running:
    """One large change."""

    store: Store
    caller: Caller
    session: OrgSession
    asked: Asked
    pace: Pace
    call_seconds: float
    counts: Counts = field(default_factory=Counts)
    failures: list[dict[str, Any]] = field(default_factory=list)
    successes: list[dict[str, Any]] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stopped: CallError | None = None
    """Why not everything was sent."""
    begun: bool = False
    """Whether anything was sent that may change a record."""
    count: int = 0
    """How many records are to be changed."""
    _parts: int = 0
    _told: float = 0
    _found: int = 0

    async def run(self, look: Look) -> None:
        """Do it, as far as it goes. CallError if nothing was changed, or if it cannot be known."""
        asked = self.asked
        if asked.given.soql is None:
            await self._write(asked.records, len(asked.records))
            return
        ids = await self._ids(asked.given.soql, look)
        self._found = len(ids) // _ID_BYTES
        await self._write(asked.for_ids(_Ids(ids)), self._found)

    # -- finding

    async def _ids(self, soql: str, look: Look) -> bytearray:
        """The ids that the query names, one behind the other."""
        allowed = look.page.total_size if look.page is not None else None
        page = look.page or await look.first(self.session, soql)
        ids = bytearray()
        while True:
            for record in page.records:
                ids += _id(record)
            count = len(ids) // _ID_BYTES
            if max(count, page.total_size) > MAX_FOUND:
                raise InvalidArgument(f"soql names more than {MAX_FOUND:,} records; divide it", fields=["soql"])
            if allowed is not None and count > allowed:
                raise PolicyDenied(
                    "there are more records now than a moment ago, so nothing was changed", code="CONFIRMATION_OUTDATED"
                )
            await self._tell(count, 2 * page.total_size, f"{count:,} of {page.total_size:,} records found")
            if page.next_path is None:
                return ids
            await self.more_time()
            page = await read_first(self.session, rest.next_page(page.next_path), _read_ids)

    # -- sending

    async def _write(self, records: Sequence[FieldValues] | Iterator[FieldValues], count: int) -> None:
        self.count = count
        if count > MANY and self.asked.given.allow_duplicates:
            raise many_duplicates()
        if 0 < count <= MANY:
            await self._collection(list(records))
        elif count:
            await self._in_jobs(iter(records))

    async def _collection(self, records: list[FieldValues]) -> None:
        await self.more_time(self.call_seconds)
        asked, version = self.asked, self.session.org.api_version
        request = bulk.collection(
            version,
            asked.sobject,
            asked.action,
            records,
            asked.given.external_id_field,
            all_or_none=asked.given.all_or_none,
            allow_duplicates=asked.given.allow_duplicates,
        )
        self.begun = True
        async with asyncio.timeout(self.call_seconds):
            results = await self.session.call(request, lambda reply: bulk.read_collection(reply, len(records)))
        if asked.by_id:
            results = [each._replace(id=record[ID]) for each, record in zip(results, records, strict=True)]
        await self.uninterrupted(self._take(ResultBatch(0, results)))

    async def _in_jobs(self, records: Iterator[FieldValues]) -> None:
        columns = self.asked.header or self.asked.columns
        rows = (tuple(_cell(cells, name) for name in columns) for cells in map(parents.cells, records))
        cut = bulk_csv.sheets(columns, rows, max_bytes=self.pace.sheet_bytes, max_rows=self.pace.sheet_rows)
        while (sheet := await self.uninterrupted(asyncio.to_thread(next, cut, None))) is not None:
            if self.stopped is None:
                matching = await self.uninterrupted(asyncio.to_thread(Matching, columns, sheet, by_id=self.asked.by_id))
                part = await job.run(self, sheet, matching)
            else:
                part = self.not_sent(sheet)
            await self.uninterrupted(self._take(part))
            await self.told_done(0)

    def not_sent(self, sheet: bulk_csv.Sheet) -> ResultBatch:
        """The results of rows that no job has looked at."""
        assert self.stopped is not None  # noqa: S101  # or they would have been sent
        code, told, by_id = self.stopped.code, str(self.stopped), self.asked.by_id
        return ResultBatch(
            sheet.first, [RecordResult("failed", row[0] if by_id else None, code, told) for row in sheet.rows]
        )

    # -- going on

    async def call(self, request: Request, read: Callable[[Reply], T], seconds: float = 0) -> T:
        """Send one request of a job, in its own time."""
        self.session.deadline = asyncio.get_running_loop().time() + (seconds or self.pace.request_seconds)
        return await self.session.call(request, read)

    async def more_time(self, seconds: float = 0) -> None:
        """Let the next request have its time, and tell the log that this goes on."""
        seconds = seconds or self.pace.request_seconds
        self.session.deadline = asyncio.get_running_loop().time() + seconds
        await self._record(seconds, ())

    async def uninterrupted(self, doing: Awaitable[T]) -> T:
        """Finish this even if the caller goes away meanwhile; then nothing more is begun."""
        task = asyncio.ensure_future(doing)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.stop(NotSent("the call was cancelled", code=CANCELLED))
            return await task

    def stop(self, why: CallError) -> None:
        """Begin nothing more."""
        self.stopped = self.stopped or why

    async def told_done(self, processed: int) -> None:
        """Tell how many records are done, ``processed`` of them in the job under way."""
        done, count = self.counts.total + processed, self.count
        failed = f", {self.counts.failed:,} failed" if self.counts.failed else ""
        await self._tell(self._found + done, self._found + count, f"{done:,} of {count:,} records done{failed}")

    async def _tell(self, done: float, total: float, message: str) -> None:
        if done > self._told:
            self._told = done
            await self.caller.tell(done, total, message)

    # -- on record

    async def _take(self, part: ResultBatch) -> None:
        """Keep results: in the log all of them, in the answer some."""
        self.counts.count(part.results)
        for index, result in enumerate(part.results, part.first):
            kept = self.successes if result.state == "succeeded" else self.failures
            if len(kept) < SHOWN:
                kept.append(shown(index, result))
            if result.state != "failed" and result.id is not None and len(self.touched) < TOUCHED:
                self.touched.append(result.id)
        found = [*result_parts.cut(part)]
        await self._record(self.pace.request_seconds, found)
        self._parts += len(found)

    async def _record(self, seconds: float, found: Sequence[ResultBatch]) -> None:
        deadline = microseconds() + int(seconds * 1_000_000)
        try:
            ours = await self.store.audit.go_on(self.session.entry_id, deadline, self._parts, found)
        except StoreError as error:
            raise self._unrecorded() from error
        if not ours:
            raise self._unrecorded()

    def _unrecorded(self) -> CallError:
        if not self.session.trace.sent:
            return NotSent("the audit log cannot be written, so nothing was sent", code="STORE_UNAVAILABLE")
        return Unanswered(
            "what became of some records could not be recorded; they may be changed", code="OUTCOME_NOT_RECORDED"
        )


def shown(index: int, result: RecordResult) -> dict[str, Any]:
    """A result as agents see it."""
    told: dict[str, Any] = {"index": index}
    if result.id is not None:
        told["id"] = result.id
    if result.state == "succeeded":
        return told
    error: dict[str, Any] = {
        "code": result.code or "NOT_REPORTED",
        "outcome": "rejected" if result.state == "failed" else "unknown",
    }
    if result.message:
        error["message"] = result.message
    return told | {"error": error | ({"fields": list(result.fields)} if result.fields else {})}


class _Ids(Sequence[str]):
    """Ids out of the bytes that keep them."""

    def __init__(self, kept: bytearray) -> None:
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept) // _ID_BYTES

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._kept[place * _ID_BYTES : (place + 1) * _ID_BYTES].decode("ascii")


def _read_ids(reply: Reply) -> QueryPage:
    """A page with nothing but the ids of its records: whatever else was selected is let go with the reply."""
    page = rest.read_page(reply)
    return replace(page, records=[{ID: each[ID]} if ID in each else {} for each in page.records])


def _id(record: FieldValues) -> bytes:
    try:
        return names.record_id(str(record["Id"])).encode("ascii")
    except (KeyError, ValueError):
        raise _no_ids() from None


def _no_ids() -> InvalidArgument:
    return InvalidArgument("soql must select Id, so that its records can be changed", fields=["soql"])


def _cell(record: FieldValues, name: str) -> str:
    return bulk_csv.cell(record[name]) if name in record else ""
