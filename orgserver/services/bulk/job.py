"""One bulk job from its creation to the result of each of its rows, whatever comes between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from orgserver.model import names
from orgserver.model.bulk import RecordResult, ResultBatch
from orgserver.model.errors import CallError, NotSent, Rejected, Unanswered
from orgserver.salesforce.protocol import bulk
from orgserver.salesforce.protocol.bulk import Job
from orgserver.salesforce.protocol.bulk_csv import Sheet
from orgserver.services.bulk.run import BulkRun

_ABORT_SECONDS = 15.0
"""For each request of a job that is being stopped."""
_ABORT_LOOKS = 12
_STARTS = 3
_NOT_REPORTED = RecordResult("unknown", code="NOT_REPORTED")


async def run_job(run: BulkRun, sheet: Sheet, matcher: RowMatcher) -> ResultBatch:
    """Send a sheet as a job. CallError only while nothing at all was changed."""
    job: Job | None = None
    try:
        job = await _upload(run, sheet)
    except asyncio.CancelledError:
        run.stop_cancelled()
    except CallError as error:
        if not run.counts.total:
            run.session.trace.sent = False
            raise _nothing_changed(error) from error
        run.stop(error)
    if job is None:
        return run.results_of_unsent(sheet)
    last = await _process(run, job, len(sheet.rows))
    return await run.finish(_read_results(run, last, job, sheet, matcher))


async def _upload(run: BulkRun, sheet: Sheet) -> Job:
    """A job that has its rows and was not started."""
    request, version = run.request, run.session.org.api_version
    await run.extend_deadline()
    creation = bulk.create_job(version, request.sobject, request.action, request.arguments.external_id_field)
    job = await run.call(creation, bulk.read_job)
    try:
        await run.call(bulk.upload(version, job.id, sheet.content), bulk.read_uploaded)
    except (CallError, asyncio.CancelledError):
        await _abort(run, job)
        raise
    return job


async def _process(run: BulkRun, job: Job, rows: int) -> Job | None:
    """Start a job and wait for its end; None where that cannot be known."""
    try:
        return await _wait_for_end(run, await _start(run, job), rows)
    except asyncio.CancelledError:
        run.stop_cancelled()
    except CallError as error:
        run.stop(error)
    return await _abort(run, job)


async def _start(run: BulkRun, job: Job) -> Job:
    """Let a job begin; a lost answer is no matter, for the job itself tells."""
    version = run.session.org.api_version
    run.may_have_changed = True
    for _ in range(_STARTS):
        try:
            return await run.call(bulk.set_state(version, job.id, "UploadComplete"), bulk.read_job)
        except Unanswered:
            now = await run.call(bulk.get_job(version, job.id), bulk.read_job)
            if now.state != "Open":
                return now
    raise Unanswered("the org does not say whether the job began", code="NO_ANSWER")


async def _wait_for_end(run: BulkRun, job: Job, rows: int) -> Job:
    """Look until the job has ended, less and less often."""
    pace, version = run.pace, run.session.org.api_version
    loop = asyncio.get_running_loop()
    pause, last_progress = pace.first_pause, loop.time()
    while not job.ended:
        await pace.pause(pause)
        pause = min(pause * 2, pace.longest_pause)
        await run.extend_deadline(pause + pace.request_seconds)
        try:
            now = await run.call(bulk.get_job(version, job.id), bulk.read_job)
        except (Unanswered, NotSent) as error:
            if loop.time() - last_progress > pace.still_seconds:
                raise error from None
            continue
        if (now.state, now.processed) != (job.state, job.processed):
            last_progress = loop.time()
        elif loop.time() - last_progress > pace.still_seconds:
            raise NotSent("the job got on no more and was stopped", code="JOB_STALLED")
        job = now
        await run.report_records(min(job.processed, rows))
    return job


async def _abort(run: BulkRun, job: Job) -> Job | None:
    """Abort a job, and wait until it has ended; None if it does not say so."""
    version = run.session.org.api_version

    async def abort() -> Job | None:
        for look in range(_ABORT_LOOKS):
            request = bulk.get_job(version, job.id) if look else bulk.set_state(version, job.id, "Aborted")
            try:
                now = await run.call(request, bulk.read_job, _ABORT_SECONDS)
            except CallError:
                now = job  # it may have ended by itself: look
            if now.ended:
                return now
            await run.pace.pause(min(run.pace.first_pause * look, run.pace.longest_pause))
        return None

    return await run.finish(abort())


# -- results


class RowMatcher:
    """Which row of its sheet does a result of a job speak of? Salesforce keeps no order, but repeats our columns.

    Updates and deletes are told apart by the Id that we sent. Creates and upserts are told apart by their whole row;
    among rows that are equal in every column the first result goes to the first, which changes nothing but their ids.
    """

    def __init__(self, columns: Sequence[str], sheet: Sheet, *, by_id: bool) -> None:
        self._columns = tuple(name.lower() for name in columns)
        self._by_id = by_id
        self._places: dict[object, int | list[int]] = {}
        for place in range(len(sheet.rows) - 1, -1, -1):  # so that the first is at the end of its list
            key = self._key(sheet.rows[place])
            there = self._places.get(key)
            if there is None:
                self._places[key] = place
            elif isinstance(there, list):
                there.append(place)
            else:
                self._places[key] = [there, place]

    def place(self, row: dict[str, str]) -> int | None:
        """The place in the sheet of the row that a result repeats; None if it repeats none that is left."""
        cells = [row.get(name, "") for name in self._columns]
        key = self._key(cells)
        there = self._places.get(key)
        if isinstance(there, list):
            place = there.pop()
            if not there:
                del self._places[key]
            return place
        return self._places.pop(key, None)  # type: ignore[return-value]  # no list: that was looked at

    def _key(self, cells: Sequence[str]) -> object:
        if self._by_id:
            return names.to_18(cells[0])
        return hash(tuple(_plain(cells)))


def _plain(cells: Iterable[str]) -> Iterable[str]:
    """What survives every way of repeating a cell."""
    return (cell.replace("\r\n", "\n").strip() for cell in cells)


async def _read_results(run: BulkRun, last: Job | None, job: Job, sheet: Sheet, matcher: RowMatcher) -> ResultBatch:
    """What became of each row, as far as the job tells; ``last`` is the job as it ended."""
    by_id = run.request.by_id
    results = [_NOT_REPORTED._replace(id=row[0]) if by_id else _NOT_REPORTED for row in sheet.rows]
    strays: list[str] = []
    if last is None:
        run.warnings.append(f"job {job.id} could not be followed to its end; some records may be changed")
        return ResultBatch(sheet.first, results)
    whole = last.state == "JobComplete"
    if not whole:
        run.stop(Rejected(last.problem or "the job ended before all of its records", code="JOB_FAILED"))
    not_processed = _NOT_REPORTED if whole else run.results_of_unsent(sheet).results[0]
    readers: list[tuple[bulk.ResultSheet, bool, Callable[[dict[str, str]], RecordResult]]] = [
        ("successfulResults", last.processed > last.failed or not whole, bulk.read_success),
        ("failedResults", last.failed > 0 or not whole, bulk.read_failure),
        ("unprocessedrecords", not whole, lambda _row: not_processed),
    ]
    for which, has_rows, read in readers:
        if has_rows:
            place = partial(_place_result, results, strays, matcher, read)
            await _read_sheet(run, job, which, place, len(sheet.rows))
    if by_id:
        results = [each._replace(id=row[0]) for each, row in zip(results, sheet.rows, strict=True)]
    return ResultBatch(sheet.first, results, tuple(strays))


async def _read_sheet(
    run: BulkRun, job: Job, which: bulk.ResultSheet, place: Callable[[dict[str, str]], None], most: int
) -> None:
    request = bulk.get_results(run.session.org.api_version, job.id, which)
    try:
        await run.call(request, lambda reply: _place_each(bulk.read_results(reply), place, most))
    except (CallError, ValueError) as error:
        run.warnings.append(f"the {which} of job {job.id} could not be read ({type(error).__name__})")


def _place_each(rows: Iterator[dict[str, str]], place: Callable[[dict[str, str]], None], most: int) -> None:
    for number, row in enumerate(rows):
        if number == most:
            raise ValueError("a job has no more results than rows")
        place(row)


def _place_result(
    results: list[RecordResult],
    strays: list[str],
    matcher: RowMatcher,
    read: Callable[[dict[str, str]], RecordResult],
    row: dict[str, str],
) -> None:
    place, result = matcher.place(row), read(row)
    if place is not None:
        results[place] = result
    elif result.id is not None:
        strays.append(result.id)


def _nothing_changed(error: CallError) -> CallError:
    """A job that was never started changed nothing, whatever became of its requests."""
    if isinstance(error, Unanswered):
        return NotSent(f"{error}, so the job was not begun", code=error.code)
    return error
