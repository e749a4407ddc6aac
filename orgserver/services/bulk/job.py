"""One bulk job from its creation to the result of each of its rows, whatever comes between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orgserver.model.bulk import RecordResult, ResultBatch
from orgserver.model.errors import CallError, NotSent, Rejected, Unanswered
from orgserver.salesforce.protocol import bulk
from orgserver.salesforce.protocol.bulk import Job
from orgserver.salesforce.protocol.bulk_csv import Sheet
from orgserver.services.bulk.row_matching import Matching

if TYPE_CHECKING:
    from orgserver.services.bulk.execution import Running

_LAST_SECONDS = 15.0
"""For each request of a job that is being stopped."""
_LAST_LOOKS = 12
_STARTS = 3
_UNREPORTED = RecordResult("unknown", code="NOT_REPORTED")


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


async def run(running: Running, sheet: Sheet, matching: Matching) -> ResultBatch:
    """Send a sheet as a job. CallError only while nothing at all was changed."""
    job: Job | None = None
    try:
        job = await _uploaded(running, sheet)
    except asyncio.CancelledError:
        running.stop(NotSent("the call was cancelled", code="CANCELLED"))
    except CallError as error:
        if not running.counts.total:
            running.session.trace.sent = False
            raise _nothing_changed(error) from error
        running.stop(error)
    if job is None:
        return running.not_sent(sheet)
    ended = await _followed(running, job, len(sheet.rows))
    return await running.uninterrupted(_results(running, ended, job, sheet, matching))


async def _uploaded(running: Running, sheet: Sheet) -> Job:
    """A job that has its rows and was not begun."""
    asked, version = running.asked, running.session.org.api_version
    await running.more_time()
    request = bulk.create_job(version, asked.sobject, asked.action, asked.given.external_id_field)
    job = await running.call(request, bulk.read_job)
    try:
        await running.call(bulk.upload(version, job.id, sheet.content), bulk.read_nothing)
    except (CallError, asyncio.CancelledError):
        await _stopped(running, job)
        raise
    return job


async def _followed(running: Running, job: Job, rows: int) -> Job | None:
    """Begin a job and wait for its end; None where that cannot be known."""
    try:
        return await _waited(running, await _begun(running, job), rows)
    except asyncio.CancelledError:
        running.stop(NotSent("the call was cancelled", code="CANCELLED"))
    except CallError as error:
        running.stop(error)
    return await _stopped(running, job)


async def _begun(running: Running, job: Job) -> Job:
    """Let a job begin; a lost answer is no matter, for the job itself tells."""
    version = running.session.org.api_version
    running.begun = True
    for _ in range(_STARTS):
        try:
            return await running.call(bulk.set_state(version, job.id, "UploadComplete"), bulk.read_job)
        except Unanswered:
            now = await running.call(bulk.look(version, job.id), bulk.read_job)
            if now.state != "Open":
                return now
    raise Unanswered("the org does not say whether the job began", code="NO_ANSWER")


async def _waited(running: Running, job: Job, rows: int) -> Job:
    """Look until the job has ended, less and less often."""
    pace, version = running.pace, running.session.org.api_version
    loop = asyncio.get_running_loop()
    pause, moved = pace.first_pause, loop.time()
    while not job.ended:
        await pace.pause(pause)
        pause = min(pause * 2, pace.longest_pause)
        await running.more_time(pause + pace.request_seconds)
        try:
            now = await running.call(bulk.look(version, job.id), bulk.read_job)
        except (Unanswered, NotSent) as error:
            if loop.time() - moved > pace.still_seconds:
                raise error from None
            continue
        if (now.state, now.processed) != (job.state, job.processed):
            moved = loop.time()
        elif loop.time() - moved > pace.still_seconds:
            raise NotSent("the job got on no more and was stopped", code="JOB_STALLED")
        job = now
        await running.told_done(min(job.processed, rows))
    return job


async def _stopped(running: Running, job: Job) -> Job | None:
    """Abort a job, and wait until it has ended; None if it does not say so."""
    version = running.session.org.api_version

    async def stop() -> Job | None:
        for look in range(_LAST_LOOKS):
            request = bulk.look(version, job.id) if look else bulk.set_state(version, job.id, "Aborted")
            try:
                now = await running.call(request, bulk.read_job, _LAST_SECONDS)
            except CallError:
                now = job  # it may have ended by itself: look
            if now.ended:
                return now
            await running.pace.pause(min(running.pace.first_pause * look, running.pace.longest_pause))
        return None

    return await running.uninterrupted(stop())


# -- results


async def _results(running: Running, ended: Job | None, job: Job, sheet: Sheet, matching: Matching) -> ResultBatch:
    """What became of each row, as far as the job tells."""
    by_id = running.asked.by_id
    results = [_UNREPORTED._replace(id=row[0]) if by_id else _UNREPORTED for row in sheet.rows]
    strays: list[str] = []
    if ended is None:
        running.warnings.append(f"job {job.id} could not be followed to its end; some records may be changed")
        return ResultBatch(sheet.first, results)
    whole = ended.state == "JobComplete"
    if not whole:
        running.stop(Rejected(ended.problem or "the job ended before all of its records", code="JOB_FAILED"))
    unprocessed = _UNREPORTED if whole else running.not_sent(sheet).results[0]
    readers: list[tuple[bulk.Sheets, bool, Callable[[dict[str, str]], RecordResult]]] = [
        ("successfulResults", ended.processed > ended.failed or not whole, bulk.succeeded),
        ("failedResults", ended.failed > 0 or not whole, bulk.failed),
        ("unprocessedrecords", not whole, lambda _row: unprocessed),
    ]
    for which, wanted, read in readers:
        if wanted:
            await _read(running, job, which, partial(_note, results, strays, matching, read), len(sheet.rows))
    if by_id:
        results = [each._replace(id=row[0]) for each, row in zip(results, sheet.rows, strict=True)]
    return ResultBatch(sheet.first, results, tuple(strays))


async def _read(
    running: Running, job: Job, which: bulk.Sheets, note: Callable[[dict[str, str]], None], most: int
) -> None:
    request = bulk.results(running.session.org.api_version, job.id, which)
    try:
        await running.call(request, lambda reply: _each(bulk.read_results(reply), note, most))
    except (CallError, ValueError) as error:
        running.warnings.append(f"the {which} of job {job.id} could not be read ({type(error).__name__})")


def _each(rows: Iterator[dict[str, str]], note: Callable[[dict[str, str]], None], most: int) -> None:
    for number, row in enumerate(rows):
        if number == most:
            raise ValueError("a job has no more results than rows")
        note(row)


def _note(
    results: list[RecordResult],
    strays: list[str],
    matching: Matching,
    read: Callable[[dict[str, str]], RecordResult],
    row: dict[str, str],
) -> None:
    place, result = matching.place(row), read(row)
    if place is not None:
        results[place] = result
    elif result.id is not None:
        strays.append(result.id)


def _nothing_changed(error: CallError) -> CallError:
    """A job that was never begun changed nothing, whatever became of its requests."""
    if isinstance(error, Unanswered):
        return NotSent(f"{error}, so the job was not begun", code=error.code)
    return error
