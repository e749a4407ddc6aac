"""How a large change is sent: up to 200 records in one request, more in bulk jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from orgserver.model.bulk import ResultBatch
from orgserver.model.results import FieldValues
from orgserver.salesforce.protocol import bulk, bulk_csv
from orgserver.salesforce.protocol.bulk import MANY
from orgserver.services.bulk import job
from orgserver.services.bulk.job import RowMatcher
from orgserver.services.bulk.record_ids import FirstPage, read_ids
from orgserver.services.bulk.request import ID, many_duplicates
from orgserver.services.bulk.run import BulkRun
from orgserver.services.records.draft import by_column


async def execute(run: BulkRun, first_page: FirstPage) -> None:
    """Change the records, as far as it goes. CallError if nothing was changed, or if it cannot be known."""
    request = run.request
    if request.arguments.soql is None:
        await _send(run, request.records, len(request.records))
        return
    ids = await read_ids(run, request.arguments.soql, first_page)
    run.steps_before = len(ids)
    await _send(run, request.for_ids(ids), len(ids))


async def _send(run: BulkRun, records: Sequence[FieldValues] | Iterator[FieldValues], count: int) -> None:
    run.record_count = count
    if count > MANY and run.request.arguments.allow_duplicates:
        raise many_duplicates()
    if 0 < count <= MANY:
        await _send_collection(run, list(records))
    elif count:
        await _send_jobs(run, iter(records))


async def _send_collection(run: BulkRun, records: list[FieldValues]) -> None:
    await run.extend_deadline(run.call_seconds)
    arguments = run.request.arguments
    request = bulk.collection(
        run.session.org.api_version,
        run.request.sobject,
        run.request.action,
        records,
        arguments.external_id_field,
        all_or_none=arguments.all_or_none,
        allow_duplicates=arguments.allow_duplicates,
    )
    run.may_have_changed = True
    async with asyncio.timeout(run.call_seconds):
        results = await run.session.call(request, lambda reply: bulk.read_collection(reply, len(records)))
    if run.request.by_id:
        results = [each._replace(id=record[ID]) for each, record in zip(results, records, strict=True)]
    await run.finish(run.record_results(ResultBatch(0, results)))


async def _send_jobs(run: BulkRun, records: Iterator[FieldValues]) -> None:
    columns = run.request.header or run.request.columns
    rows = bulk_csv.cell_rows(columns, by_column(records))
    sheets = bulk_csv.write_sheets(columns, rows, max_bytes=run.pace.sheet_bytes, max_rows=run.pace.sheet_rows)
    while (sheet := await run.finish(asyncio.to_thread(next, sheets, None))) is not None:
        if run.stop_reason is None:
            matcher = await run.finish(asyncio.to_thread(RowMatcher, columns, sheet, by_id=run.request.by_id))
            batch = await job.run_job(run, sheet, matcher)
        else:
            batch = run.results_of_unsent(sheet)
        await run.finish(run.record_results(batch))
        await run.report_records()
