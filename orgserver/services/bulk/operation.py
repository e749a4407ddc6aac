"""Many records changed by one call: the plan of it, its answer, and the pages of its results.

Up to 200 records travel in one request, more in bulk jobs (``bulk_running``, ``bulk_jobs``). The audit log has one
entry with the result of each record in parts (``store/parts``), from which the pages of results are read.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.bulk import BulkAction, BulkResult, Counts
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.salesforce import soql as soql_text
from orgserver.services.bulk import preview, request
from orgserver.services.bulk.execution import SHOWN, Look, Running, shown
from orgserver.services.bulk.job import Pace
from orgserver.services.bulk.request import Asked, Given
from orgserver.services.calls import idempotency, questions
from orgserver.services.calls.access import Access, OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.calls.preflight import Preflight, check_columns
from orgserver.services.calls.questions import Confirmation, Told
from orgserver.services.records import field_values, value_checks
from orgserver.services.records.preparation import Preparation
from orgserver.services.results import cursors, result_size
from orgserver.services.results.cursors import Position
from orgserver.store.audit import result_parts
from orgserver.store.session import Store

NOT_KEPT = "this org keeps what changes replace, but not for salesforce_change_records: audit undo cannot undo this"
_PAGE = 1_000
_NAMED = 5
_ID = 18
_MARGIN = timedelta(minutes=2)

Perform = Callable[
    [Caller, str, str, str, SObjectName | None, Callable[[Org], Plan[BulkResult]]], Awaitable[BulkResult]
]


class Bulk:
    """Changes many records, through ``Operations`` like every other act."""

    def __init__(
        self,
        store: Store,
        access: Access,
        perform: Perform,
        preparation: Preparation,
        *,
        call_timeout: float,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._access = access
        self._perform = perform
        self._preparation = preparation
        self._call_timeout = call_timeout
        self.pace = pace or Pace()

    async def change(self, caller: Caller, tool: str, alias: str, given: Given) -> BulkResult:
        """Change records, or show what would change."""

        def plan(org: Org) -> Plan[BulkResult]:
            asked = request.read(given)
            field_values.check_duplicates_allowed(org.api_version, given.allow_duplicates)
            if given.preview:
                return self._ready(caller, asked, self._preview)
            return self._ready(caller, asked, lambda ready: self._plan(caller, org, tool, ready))

        action = Action.PREVIEW if given.preview else Action.BULK
        return await self._perform(caller, tool, action, alias, given.sobject, plan)

    def _ready(self, caller: Caller, asked: Asked, make: Callable[[Asked], Plan[BulkResult]]) -> Plan[BulkResult]:
        """The plan of it, which first learns of the org what its values mean."""
        draft = asked.draft()
        if draft.is_ready:
            return make(asked)

        async def prepare(session: OrgSession) -> Plan[BulkResult]:
            return make(asked.made_ready(await self._preparation.ready(session, caller, draft)))

        return replace(make(asked), prepare=prepare)

    def _preview(self, asked: Asked) -> Plan[BulkResult]:
        async def show(session: OrgSession) -> BulkResult:
            total, results, cut = await preview.show(session, asked)
            more = [f"this shows the first {len(results)} of {total:,} records"] if len(results) < total else []
            warnings = (*cut, *more, *([NOT_KEPT] if session.org.policy.keep_values else []))
            return BulkResult(
                session.entry_id, Counts(unknown=total), results, preview=True, warnings=warnings, sent=False
            )

        return Plan(
            "read",
            show,
            _previewed,
            record_ids=asked.ids,
            fields=field_values.named(asked.paths),
            soql=asked.redacted,
            preflight=_preflight(asked),
        )

    def _plan(self, caller: Caller, org: Org, tool: str, asked: Asked) -> Plan[BulkResult]:
        look = Look()
        given = asked.given
        arguments = {"tool": tool, "digest": given.digest()}

        async def send(session: OrgSession) -> BulkResult:
            running = Running(self._store, caller, session, asked, self.pace, self._call_timeout)
            await running.run(look)
            return self._result(caller, asked, running)

        return Plan(
            asked.permission,
            send,
            _ending,
            record_ids=asked.ids,
            fields=field_values.named(asked.paths),
            soql=asked.redacted,
            writes=True,
            repeatable=asked.action == "upsert",
            repetition=idempotency.wanted(
                given.idempotency_key, principal=caller.principal.name, row_id=org.row_id, arguments=arguments
            ),
            remember=_remember,
            recall=_recall,
            after_unknown=lambda session: _after(session, asked),
            preflight=_preflight(asked),
            lasts=True,
            confirm=_confirmation(asked, look, arguments),
        )

    def _result(self, caller: Caller, asked: Asked, running: Running) -> BulkResult:
        org, counts = running.session.org, running.counts
        results = [*running.failures, *running.successes][:SHOWN]
        room = result_size.MAX_BYTES - result_size.FRAME_BYTES
        while results and result_size.size(results) > room:
            results.pop()
        following = None
        if len(results) < counts.total:
            position = Position(running.session.entry_id, len(results), of=asked.given.digest())
            following = self._cursor(caller, org, asked.sobject, asked.action, position)
        doubt = [f"{counts.unknown:,} unknown; {_after(running.session, asked)}"] if counts.unknown else []
        warnings = [*running.warnings, *doubt, *([NOT_KEPT] if org.policy.keep_values else [])]
        return BulkResult(
            running.session.entry_id,
            counts,
            results,
            following,
            warnings=tuple(warnings),
            touched=tuple(running.touched),
            error_code=running.stopped.code if running.stopped is not None else None,
            sent=running.begun or not counts.total,
        )

    # -- the pages of results

    async def page(self, caller: Caller, alias: str, given: Given, cursor: str) -> BulkResult:
        """More results of a change that is over. Asks no org, so it is no audit entry.

        What decided the change need not be repeated, which may be 20,000 records; what is given must be the same.
        """
        sobject, action = given.sobject, given.action
        org, _ = await self._access.org(caller, alias)
        position = cursors.read(
            self._store.cursors,
            cursor,
            org=org.row_id,
            principal=caller.principal.name,
            arguments=_bound(sobject, action),
        )
        if given.preview or (given.says_more() and given.digest() != position.of):
            raise InvalidArgument(
                "cursor belongs to another call",
                fields=["cursor"],
                hint="beside it give org, object and action alone, or all the arguments of the call unchanged",
            )
        entry_id = position.path or ""
        async with self._store.database.reading() as connection:
            counts, _number = await result_parts.count_results(connection, entry_id)
            results = [each async for each in _in_order(connection, entry_id, position.skip, counts)]
        if not counts.total:
            raise InvalidArgument("these results were pruned from the audit log", fields=["cursor"])
        following = None
        if position.skip + len(results) < counts.total:
            following = self._cursor(caller, org, sobject, action, replace(position, skip=position.skip + len(results)))
        return BulkResult(entry_id, counts, results, following)

    def _cursor(self, caller: Caller, org: Org, sobject: SObjectName, action: BulkAction, position: Position) -> str:
        return cursors.write(
            self._store.cursors,
            position,
            org=org.row_id,
            principal=caller.principal.name,
            arguments=_bound(sobject, action),
        )


async def _in_order(connection: Any, entry_id: str, skip: int, counts: Counts) -> Any:
    """Results from a place on: first what did not succeed, then what did, each by index; as many as a result holds."""
    room, given, place = result_size.MAX_BYTES - result_size.FRAME_BYTES, 0, 0
    for wanted in (False, True):
        size = counts.succeeded if wanted else counts.total - counts.succeeded
        if place + size <= skip:
            place += size
            continue
        number = 0
        while (found := await result_parts.of(connection, entry_id, number)) is not None:
            number, part = found
            for index, result in enumerate(part.results, part.first):
                if (result.state == "succeeded") is not wanted:
                    continue
                place += 1
                if place <= skip:
                    continue
                told = shown(index, result)
                room -= result_size.size(told)
                if room < 0 or given == _PAGE:
                    return
                given += 1
                yield told


def _bound(sobject: SObjectName, action: BulkAction) -> dict[str, Any]:
    return {"tool": "change_records", "object": sobject, "action": action}


# -- what the plan says


def _ending(result: BulkResult) -> Completion:
    counts = result.counts
    if not result.sent:
        outcome = Outcome.NOT_SENT
    elif counts.unknown:
        outcome = Outcome.UNKNOWN
    else:
        outcome = Outcome.SUCCEEDED if counts.succeeded or not counts.total else Outcome.REJECTED
    code = result.error_code or ("SOME_FAILED" if counts.failed or counts.unknown else None)
    return Completion(outcome, error_code=code, row_count=counts.succeeded, record_ids=result.touched)


def _previewed(result: BulkResult) -> Completion:
    ids = tuple(told["id"] for told in result.results if "id" in told)
    return Completion(Outcome.SUCCEEDED, row_count=len(result.results), record_ids=ids)


def _preflight(asked: Asked) -> Preflight | None:
    if asked.given.soql is None:
        return check_columns(asked.sobject, asked.places())
    return value_checks.check_values(asked.sobject, asked.data, "update") if asked.data else None


def _confirmation(asked: Asked, look: Look, arguments: dict[str, Any]) -> Confirmation:
    soql = asked.given.soql
    if soql is None:
        count = len(asked.records)

        async def known(_session: OrgSession) -> Told:
            return Told(count, questions.given_names(asked.records), asked.ids[:_NAMED])

        return Confirmation(asked.action, asked.sobject, arguments, count, known)

    async def find(session: OrgSession) -> Told:
        page = await look.first(session, soql)
        return Told(page.total_size, ids=tuple(str(record["Id"])[:_ID] for record in page.records[:_NAMED]))

    return Confirmation(asked.action, asked.sobject, arguments, None, find)


def _after(session: OrgSession, asked: Asked) -> str:
    """The query that tells what became of an unanswered change."""
    since = _began(session) - _MARGIN
    if asked.action == "delete":
        some = ", ".join(soql_text.literal(each) for each in asked.ids[:_NAMED])
        where = f"Id IN ({some})" if some else "the same condition"
        told = "to see which were deleted, when this finds them no more:"
        return f"{told} SELECT Id FROM {asked.sobject} WHERE {where}"  # noqa: S608
    when, by = ("CreatedDate", "CreatedById") if asked.action == "create" else ("LastModifiedDate", "LastModifiedById")
    where = f"{when} >= {soql_text.literal(since)}"
    if session.org.user is not None:
        where += f" AND {by} = {soql_text.literal(session.org.user.id)}"
    return f"to see which were changed: SELECT Id, {when} FROM {asked.sobject} WHERE {where}"  # noqa: S608


def _began(session: OrgSession) -> datetime:
    """When this was begun, by the org's clock: a large change takes minutes, and its first records count too."""
    began, now = datetime.fromtimestamp((UUID(session.entry_id).int >> 80) / 1_000, UTC), datetime.now(UTC)
    there = session.trace.server_date
    return began + (there.astimezone(UTC) - now) if there is not None else began


# -- what a repeated call answers


def _remember(result: BulkResult | None, error: CallError | None) -> bytes:
    if result is None or error is not None:
        return idempotency.remember(None, error)
    fields = asdict(result)
    fields["tally"] = fields.pop("counts")  # as stores have it
    return json.dumps({"bulk": fields}).encode()


def _recall(answer: bytes) -> BulkResult | CallError:
    kept = json.loads(answer).get("bulk")
    if kept is None:
        told = idempotency.recall(answer)
        assert isinstance(told, CallError)  # noqa: S101  # a result is kept in its own form
        return told
    for name in ("warnings", "touched"):
        kept[name] = tuple(kept[name])
    return BulkResult(counts=Counts(**kept.pop("tally")), **kept)
