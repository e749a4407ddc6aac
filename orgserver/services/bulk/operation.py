"""The operation that changes many records by one call: its plan, its preview and its answer.

The audit log has one entry of it, with the result of each record in events of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from itertools import takewhile
from typing import Any

from msgspec import structs

from orgserver.model.access.acts import PathUse
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.bulk import BulkResult, Counts
from orgserver.model.errors import CallError
from orgserver.model.orgs import Caller, Org
from orgserver.services.authorization import Authorization
from orgserver.services.bulk import preview, result_pages
from orgserver.services.bulk.execution import execute
from orgserver.services.bulk.record_ids import FirstPage
from orgserver.services.bulk.recovery_hint import recovery_hint
from orgserver.services.bulk.request import BulkArguments, BulkRequest, check_arguments
from orgserver.services.bulk.run import SHOWN, BulkRun, Pace
from orgserver.services.calls import idempotency, questions
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.calls.preflight import Preflight, check_columns
from orgserver.services.calls.questions import AffectedRecords, Confirmation
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_errors import limit_answer
from orgserver.services.records import field_values
from orgserver.services.records.preparation import Preparation
from orgserver.services.results.byte_budget import ByteBudget
from orgserver.services.results.cursors import Position
from orgserver.store.session import Store

NOT_KEPT = "this org keeps what changes replace, but not for salesforce_change_records: audit undo cannot undo this"
_TOOL = "salesforce_change_records"
_NAMED = 5
_ID = 18
_STORED_NAMES = {"counts": "tally", "record_ids": "touched"}
"""Fields of a result that stores have under names of their own."""


class Bulk:
    """Changes many records, by calls of the executor."""

    def __init__(
        self,
        store: Store,
        authorization: Authorization,
        preparation: Preparation,
        *,
        call_timeout: float,
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._authorization = authorization
        self._preparation = preparation
        self._call_timeout = call_timeout
        self.pace = pace or Pace()

    def change(self, arguments: BulkArguments) -> Operation[BulkResult]:
        """Change records, or show what would change."""

        def plan(call: Call, org: Org) -> Plan[BulkResult]:
            request = check_arguments(arguments)
            if arguments.allow_duplicates:
                field_values.check_duplicates_possible(org.api_version)
            if arguments.preview:
                return self._prepare(call.caller, request, self._preview)
            return self._prepare(call.caller, request, lambda ready: self._plan(call.caller, org, call.tool, ready))

        return Operation(Action.PREVIEW if arguments.preview else Action.BULK, plan)

    def _prepare(
        self, caller: Caller, request: BulkRequest, make: Callable[[BulkRequest], Plan[BulkResult]]
    ) -> Plan[BulkResult]:
        """The plan of it, which first learns of the org what its values mean."""
        draft = request.draft()
        if draft.is_ready:
            return make(request)

        async def prepare(session: OrgSession) -> Plan[BulkResult]:
            return make(request.with_values(await self._preparation.ready(session, caller, draft)))

        return structs.replace(make(request), prepare=prepare)

    def _preview(self, request: BulkRequest) -> Plan[BulkResult]:
        async def show(session: OrgSession) -> BulkResult:
            total, results, cut = await preview.show(session, request)
            more = [f"this shows the first {len(results)} of {total:,} records"] if len(results) < total else []
            warnings = (*cut, *more, *([NOT_KEPT] if session.policy.keep_values else []))
            return BulkResult(
                session.entry_id, Counts(unknown=total), results, preview=True, warnings=warnings, sent=False
            )

        return Plan(
            "read",
            show,
            _preview_completion,
            record_ids=request.ids,
            fields=request.paths,
            soql=request.query_shape,
            preflight=_preflight(request),
            uses=request.uses(),
            understood=request.is_understood,
        )

    def _plan(self, caller: Caller, org: Org, tool: str, request: BulkRequest) -> Plan[BulkResult]:
        first_page = FirstPage()
        digest_source = {"tool": tool, "digest": request.arguments.digest()}
        key, idempotency_key = request.arguments.idempotency_key, None
        if key is not None:
            principal = caller.principal.name
            idempotency_key = idempotency.read_key(key, principal=principal, row_id=org.row_id, arguments=digest_source)

        async def send(session: OrgSession) -> BulkResult:
            run = BulkRun(self._store, caller, session, request, self.pace, self._call_timeout)
            await execute(run, first_page)
            return self._result(caller, run)

        return Plan(
            request.permission,
            send,
            _completion,
            record_ids=request.ids,
            fields=request.paths,
            soql=request.query_shape,
            writes=True,
            repeatable=request.action == "upsert",
            idempotency_key=idempotency_key,
            remember=_remember,
            recall=_recall,
            after_unknown=lambda session: recovery_hint(session, request),
            preflight=_preflight(request),
            lasts=True,
            confirm=_confirmation(request, first_page, digest_source),
            uses=request.uses(),
            understood=request.is_understood,
        )

    def _result(self, caller: Caller, run: BulkRun) -> BulkResult:
        session, counts, budget = run.session, run.counts, ByteBudget()
        results = list(takewhile(budget.take, [*run.failures, *run.successes][:SHOWN]))
        cursor = None
        if len(results) < counts.total:
            position = Position(session.entry_id, len(results), arguments_digest=run.request.arguments.digest())
            cursor = result_pages.write_cursor(self._store, caller, session.org, run.request.arguments, position)
        doubt = [f"{counts.unknown:,} unknown; {recovery_hint(session, run.request)}"] if counts.unknown else []
        warnings = [*run.warnings, *doubt, *([NOT_KEPT] if session.policy.keep_values else [])]
        return BulkResult(
            session.entry_id,
            counts,
            results,
            cursor,
            warnings=tuple(warnings),
            record_ids=tuple(run.record_ids),
            error_code=run.stop_reason.code if run.stop_reason is not None else None,
            sent=run.may_have_changed or not counts.total,
        )

    async def page(self, caller: Caller, alias: str, arguments: BulkArguments, cursor: str) -> BulkResult:
        """More results of a change that is over, for whoever may still make it: no act, so no entry."""
        call = Call(caller, _TOOL, alias, arguments.sobject)
        uses = tuple(PathUse(arguments.sobject, action) for action in arguments.actions)
        org, policy = await self._authorization.allow_look_back(call, arguments.permission, uses)
        page = await result_pages.read_page(self._store, caller, org, arguments, cursor)
        return limit_answer(FieldLimits.of(policy), page)


# -- what the plan says


def _completion(result: BulkResult) -> Completion:
    counts = result.counts
    if not result.sent:
        outcome = Outcome.NOT_SENT
    elif counts.unknown:
        outcome = Outcome.UNKNOWN
    else:
        outcome = Outcome.SUCCEEDED if counts.succeeded or not counts.total else Outcome.REJECTED
    code = result.error_code or ("SOME_FAILED" if counts.failed or counts.unknown else None)
    return Completion(outcome, error_code=code, row_count=counts.succeeded, record_ids=result.record_ids)


def _preview_completion(result: BulkResult) -> Completion:
    ids = tuple(row["id"] for row in result.results if "id" in row)
    return Completion(Outcome.SUCCEEDED, row_count=len(result.results), record_ids=ids)


def _preflight(request: BulkRequest) -> Preflight | None:
    if request.arguments.soql is None:
        return check_columns(request.sobject, request.places())
    return field_values.check_by_describe(request.sobject, request.data, "update") if request.data else None


def _confirmation(request: BulkRequest, first_page: FirstPage, arguments: dict[str, Any]) -> Confirmation:
    soql = request.arguments.soql
    if soql is None:
        count = len(request.records)

        async def name_records(_session: OrgSession) -> AffectedRecords:
            return AffectedRecords(count, questions.given_names(request.records), request.ids[:_NAMED])

        return Confirmation(request.action, request.sobject, arguments, count, name_records)

    async def count_records(session: OrgSession) -> AffectedRecords:
        page = await first_page.read(session, soql)
        return AffectedRecords(page.total_size, ids=tuple(str(record["Id"])[:_ID] for record in page.records[:_NAMED]))

    return Confirmation(request.action, request.sobject, arguments, None, count_records)


# -- what a repeated call answers


def _remember(result: BulkResult | None, error: CallError | None) -> bytes:
    if result is None or error is not None:
        return idempotency.remember(None, error)
    fields = asdict(result)
    for name, stored_name in _STORED_NAMES.items():
        fields[stored_name] = fields.pop(name)
    return json.dumps({"bulk": fields}).encode()


def _recall(answer: bytes) -> BulkResult | CallError:
    fields = json.loads(answer).get("bulk")
    if fields is None:
        error = idempotency.recall(answer)
        assert isinstance(error, CallError)  # noqa: S101  # a result is stored in its own form
        return error
    for name, stored_name in _STORED_NAMES.items():
        fields[name] = fields.pop(stored_name)
    return BulkResult(
        **fields
        | {
            "counts": Counts(**fields["counts"]),
            "record_ids": tuple(fields["record_ids"]),
            "warnings": tuple(fields["warnings"]),
        }
    )
