"""A large change under way: how long it may take, how far it is, why it was stopped, and what is on record of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from orgserver.model.bulk import Counts, RecordResult, ResultBatch
from orgserver.model.errors import CallError, NotSent, StoreError, Unanswered
from orgserver.model.orgs import Caller
from orgserver.salesforce.protocol.bulk_csv import Sheet
from orgserver.salesforce.protocol.messages import Reply, Request
from orgserver.services.bulk.request import BulkRequest
from orgserver.services.calls.access import OrgSession
from orgserver.services.policies.limited_errors import limit_batch, limit_error
from orgserver.store.audit import result_parts
from orgserver.store.session import Store

T = TypeVar("T")
SHOWN = 50
"""Results in the answer; the others follow by its cursor."""
MAX_RECORD_IDS = 200
"""Ids of changed records in the outcome of the entry."""
CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Pace:
    """How large jobs are, how often they are looked at, and how long they may stand still."""

    sheet_bytes: int = 10_000_000
    """Salesforce takes 100 MB; smaller sheets mean that results fit in memory and progress is told."""
    sheet_rows: int = 25_000
    first_pause: float = 1.0
    longest_pause: float = 30.0
    still_seconds: float = 900.0
    """A job that gets on no more is stopped."""
    request_seconds: float = 120.0
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


@dataclass(slots=True)
class BulkRun:
    """One large change."""

    store: Store
    caller: Caller
    session: OrgSession
    request: BulkRequest
    pace: Pace
    call_seconds: float
    counts: Counts = field(default_factory=Counts)
    failures: list[dict[str, Any]] = field(default_factory=list)
    successes: list[dict[str, Any]] = field(default_factory=list)
    record_ids: list[str] = field(default_factory=list)
    """Of records that were changed, as far as the outcome names them."""
    warnings: list[str] = field(default_factory=list)
    stop_reason: CallError | None = None
    """Why not everything was sent."""
    may_have_changed: bool = False
    """Whether anything was sent that may change a record."""
    record_count: int = 0
    """How many records are to be changed."""
    steps_before: int = 0
    """What was reported before the first of them: the ids that a query named."""
    _event_count: int = 0
    _progress: float = 0

    async def call(self, request: Request, read: Callable[[Reply], T], seconds: float = 0) -> T:
        """Send one request of a job, in its own time."""
        self.session.deadline = asyncio.get_running_loop().time() + (seconds or self.pace.request_seconds)
        return await self.session.call(request, read)

    async def extend_deadline(self, seconds: float = 0) -> None:
        """Let the next request have its time, and tell the log that this goes on."""
        seconds = seconds or self.pace.request_seconds
        self.session.deadline = asyncio.get_running_loop().time() + seconds
        await self._write_events(seconds, ())

    async def finish(self, step: Awaitable[T]) -> T:
        """Finish a step even if the caller goes away meanwhile; then nothing more is begun."""
        task = asyncio.ensure_future(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.stop_cancelled()
            return await task

    def stop(self, reason: CallError) -> None:
        """Begin nothing more."""
        limit_error(self.session.limits, reason)
        self.stop_reason = self.stop_reason or reason

    def stop_cancelled(self) -> None:
        """The same for a caller that went away."""
        self.stop(NotSent("the call was cancelled", code=CANCELLED))

    # -- progress

    async def report_progress(self, steps: float, total: float, message: str) -> None:
        """Tell the caller how far it is, if that is farther than before."""
        if steps > self._progress:
            self._progress = steps
            await self.caller.tell(steps, total, message)

    async def report_records(self, in_job: int = 0) -> None:
        """Tell how many records are done, ``in_job`` of them in the job under way."""
        ready, count = self.counts.total + in_job, self.record_count
        failures = f", {self.counts.failed:,} failed" if self.counts.failed else ""
        message = f"{ready:,} of {count:,} records done{failures}"
        await self.report_progress(self.steps_before + ready, self.steps_before + count, message)

    # -- on record

    def results_of_unsent(self, sheet: Sheet) -> ResultBatch:
        """The results of rows that no job has looked at."""
        assert self.stop_reason is not None  # noqa: S101  # or they would have been sent
        code, message, by_id = self.stop_reason.code, str(self.stop_reason), self.request.by_id
        results = [RecordResult("failed", row[0] if by_id else None, code, message) for row in sheet.rows]
        return ResultBatch(sheet.first, results)

    async def record_results(self, batch: ResultBatch) -> None:
        """Write results into the log, all of them, and keep some for the answer."""
        batch = limit_batch(self.session.limits, batch)
        self.counts.count(batch.results)
        for index, result in enumerate(batch.results, batch.first):
            results = self.successes if result.state == "succeeded" else self.failures
            if len(results) < SHOWN:
                results.append(result.as_json(index))
            if result.state != "failed" and result.id is not None and len(self.record_ids) < MAX_RECORD_IDS:
                self.record_ids.append(result.id)
        batches = [*result_parts.split_batch(batch)]
        await self._write_events(self.pace.request_seconds, batches)
        self._event_count += len(batches)

    async def _write_events(self, seconds: float, batches: Sequence[ResultBatch]) -> None:
        deadline = self.store.database.clock() + int(seconds * 1_000_000)
        try:
            is_ours = await self.store.audit.go_on(self.session.entry_id, deadline, self._event_count, batches)
        except StoreError as error:
            raise self._not_recorded() from error
        if not is_ours:
            raise self._not_recorded()

    def _not_recorded(self) -> CallError:
        if not self.session.trace.sent:
            return NotSent("the audit log cannot be written, so nothing was sent", code="STORE_UNAVAILABLE")
        return Unanswered(
            "what became of some records could not be recorded; they may be changed", code="OUTCOME_NOT_RECORDED"
        )
