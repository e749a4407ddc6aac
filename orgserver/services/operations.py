"""The one way to read or change a record: grant → policy → arguments → intent → send → outcome.

Nothing reaches an org but through ``Operations._run``, so nothing escapes grants, policy and audit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from orgserver.model.audit import Act, Action, Ending, Outcome
from orgserver.model.errors import (
    CallError,
    Conflict,
    Denied,
    Forbidden,
    NotSent,
    PolicyDenied,
    StoreAway,
    StoreError,
    Unanswered,
)
from orgserver.model.names import SObjectName, new_id
from orgserver.model.orgs import Caller, Org, Permission
from orgserver.model.results import Changed, Created, FieldValues, Page
from orgserver.salesforce.client import Trace
from orgserver.services import plans, repetition
from orgserver.services.access import Access, Connection
from orgserver.services.directory import Directory, OrgPage
from orgserver.services.listing import Listing
from orgserver.services.plans import Plan
from orgserver.store.audit import Begun
from orgserver.store.opened import Store
from orgserver.store.writer import microseconds

T = TypeVar("T")
logger = logging.getLogger("orgserver.operations")

MAX_IDS = 200
"""An audit entry keeps this many record ids (contract §5)."""
_WORDS = 255


@dataclass(slots=True)
class _Run(Generic[T]):
    """One act under way."""

    caller: Caller
    tool: str
    action: Action
    alias: str
    sobject: SObjectName | None
    plan: Callable[[Org], Plan[T]]
    given_up: bool = False
    sending: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """The caller is gone: stop sending, but still write the outcome."""
        self.given_up = True
        if self.sending is not None and not self.sending.expired():
            self.sending.reschedule(asyncio.get_running_loop().time())


class Operations:
    """The verbs on records. Each raises CallError when it did not succeed, with everything the agent may know."""

    def __init__(self, store: Store, access: Access, *, call_timeout: float) -> None:
        self._store = store
        self._access = access
        self._call_timeout = call_timeout
        self._directory = Directory(access, store.cursors)
        self._plans = plans.Planner(store.cursors)
        self._running: set[asyncio.Task[Any]] = set()

    async def create(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        values: FieldValues,
        *,
        idempotency_key: str | None = None,
    ) -> Created:
        """Create a record."""

        def plan(org: Org) -> Plan[Created]:
            return self._plans.create(caller, org, tool, sobject, values, idempotency_key)

        return await self._act(_Run(caller, tool, Action.CREATE, alias, sobject, plan))

    async def read(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        record_id: str,
        fields: Sequence[str] | None = None,
    ) -> FieldValues:
        """Read one record."""

        def plan(_org: Org) -> Plan[FieldValues]:
            return self._plans.read(sobject, record_id, fields, tool)

        return await self._act(_Run(caller, tool, Action.READ, alias, sobject, plan))

    async def update(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        sobject: SObjectName,
        record_id: str,
        values: FieldValues,
        *,
        if_unmodified_since: str | None = None,
        preview: bool = False,
    ) -> Changed:
        """Change fields of one record, or show what would change."""

        def plan(_org: Org) -> Plan[Changed]:
            return self._plans.update(sobject, record_id, values, tool, if_unmodified_since, preview=preview)

        action = Action.PREVIEW if preview else Action.UPDATE
        return await self._act(_Run(caller, tool, action, alias, sobject, plan))

    async def delete(
        self, caller: Caller, tool: str, alias: str, sobject: SObjectName, record_id: str, *, preview: bool = False
    ) -> Changed:
        """Delete one record, or show what would be deleted."""

        def plan(_org: Org) -> Plan[Changed]:
            return self._plans.delete(sobject, record_id, tool, preview=preview)

        action = Action.PREVIEW if preview else Action.DELETE
        return await self._act(_Run(caller, tool, action, alias, sobject, plan))

    async def list(self, caller: Caller, tool: str, alias: str, listing: Listing) -> Page:
        """List records of one object."""

        def plan(org: Org) -> Plan[Page]:
            return self._plans.list(caller, org, listing)

        return await self._act(_Run(caller, tool, Action.LIST, alias, listing.sobject, plan))

    async def query(
        self,
        caller: Caller,
        tool: str,
        alias: str,
        soql: str,
        *,
        limit: int = 50,
        cursor: str | None = None,
        include_deleted: bool = False,
    ) -> Page:
        """Run a SOQL query."""

        def plan(org: Org) -> Plan[Page]:
            return self._plans.query(caller, org, soql, limit, cursor, include_deleted=include_deleted)

        return await self._act(_Run(caller, tool, Action.QUERY, alias, None, plan))

    async def refuse(
        self, caller: Caller, tool: str, action: Action, alias: str | None, sobject: SObjectName | None, error: Denied
    ) -> None:
        """Put on record that a call was refused before it came here, for its arguments."""
        act = _new_act(caller, tool, action, alias or "", sobject)
        await self._store.audit.record(act, _failed(error, Trace(), time.perf_counter()))

    async def orgs(self, caller: Caller, match: str | None, cursor: str | None) -> OrgPage:
        """Name the orgs this principal may use. Asks no org, so it is no audit entry."""
        return await self._directory.page(caller, match, cursor)

    async def close(self) -> None:
        """Wait for every act under way to have its outcome."""
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    # -- one act

    async def _act(self, run: _Run[T]) -> T:
        """Run an act in a task of its own: a caller that goes away does not take the outcome with it."""
        task = asyncio.create_task(self._run(run))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            run.give_up()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody waiting is no reason for a warning

    async def _run(self, run: _Run[T]) -> T:
        started = time.perf_counter()
        act = _new_act(run.caller, run.tool, run.action, run.alias, run.sobject)
        deadline = asyncio.get_running_loop().time() + self._call_timeout
        while True:
            try:
                org, version = await self._access.org(run.caller, run.alias)
                act = replace(act, org=org.alias, org_row=org.row_id, org_id=org.org_id)
                plan = run.plan(org)
                act = _with_plan(act, plan)
                self._check(org, plan.permission)
                plan = await self._with_key(org, plan)
                leave = self._access.client.admit(self._access.hosts(org, org.instance_url))
            except CallError as error:
                if await self._access.changed():  # refused by what was true a moment ago
                    await self._access.reload()
                    continue
                await self._store.audit.record(act, _failed(error, Trace(), started))
                raise
            except StoreError as error:
                raise StoreAway("the store cannot be read, so nothing was sent", hint=str(error)) from error
            try:
                begun = await self._store.audit.begin(
                    act,
                    deadline=microseconds() + int(self._call_timeout * 1_000_000),
                    catalog_version=version,
                    repetition=plan.repetition,
                )
                if begun.verdict != "catalog_changed":
                    return await self._go_on(
                        run, act, plan, begun, self._access.connection(org, deadline, Trace()), started
                    )
            finally:
                leave()
            await self._access.reload()

    async def _go_on(
        self, run: _Run[T], act: Act, plan: Plan[T], begun: Begun, connection: Connection, started: float
    ) -> T:
        """Send, or answer a repeated call from memory."""
        if begun.verdict == "clash":
            clash = _clash(begun.outcome)
            await self._store.audit.record(act, _failed(clash, Trace(), started))
            raise clash
        if begun.verdict == "replay":
            return await self._replay(connection.org, act, plan, begun.outcome or "", begun.answer, started)
        return await self._send(run, act, plan, connection, started)

    async def _send(self, run: _Run[T], act: Act, plan: Plan[T], connection: Connection, started: float) -> T:
        """Send what has its intent, and write the outcome whatever happens."""
        trace = connection.trace
        result: T | None = None
        error: CallError | None = None
        try:
            deadline = 0.0 if run.given_up else connection.deadline
            async with asyncio.timeout_at(deadline) as run.sending:
                result = await plan.send(connection)
        except TimeoutError:
            error = _too_late(trace, given_up=run.given_up)
        except CallError as refused:
            error = refused
        except Exception:
            logger.exception("a call failed in a way that is not foreseen", extra={"entry": act.id})
            error = _unforeseen(trace)
        run.sending = None
        if isinstance(error, Unanswered):
            error.retryable = not plan.writes
            error.hint = error.hint or (plan.after_unknown(connection) if plan.after_unknown else None)
        ending = _succeeded(plan.ending(result), trace, started) if error is None else _failed(error, trace, started)  # type: ignore[arg-type]
        answer = None
        if plan.answer_key is not None:
            answer = plan.answer_key.seal(plan.remember(result, error), repetition.context(act.org_row or ""))
        if not await self._store.audit.finish(act.id, ending, answer):
            raise Unanswered(
                "the outcome of this call could not be recorded in time; the change may exist",
                code="OUTCOME_NOT_RECORDED",
                category="internal",
                hint="read the record before repeating anything",
            )
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # without an error there is a result

    def _check(self, org: Org, permission: Permission) -> None:
        """What this server and this org allow: each can only take away (trust §10)."""
        if not org.enabled:
            raise PolicyDenied(f"{org.alias} is disabled", code="ORG_DISABLED", hint="an administrator enables it")
        if permission == "read":
            return
        if self._access.scope.read_only:
            raise Forbidden("this server was started with --read-only")
        if org.policy.read_only:
            raise PolicyDenied(f"{org.alias} is read-only", code="READ_ONLY", hint="its administrator set it so")

    async def _with_key(self, org: Org, plan: Plan[T]) -> Plan[T]:
        """Open the key for an answer that must be remembered before anything is sent: afterwards it is too late."""
        if plan.repetition is None:
            return plan
        async with self._store.database.reading() as connection:
            return replace(plan, answer_key=await self._store.orgs.data_key(connection, org.row_id))

    async def _replay(self, org: Org, act: Act, plan: Plan[T], outcome: str, answer: bytes | None, started: float) -> T:
        """Answer a repeated call with what its first attempt answered; nothing is sent."""
        recalled: T | CallError
        if answer is None or plan.answer_key is None:
            recalled = Unanswered("the first attempt with this idempotency_key was cut off", code="ABANDONED")
        else:
            recalled = plan.recall(plan.answer_key.open(answer, repetition.context(org.row_id)))
        if isinstance(recalled, CallError):
            await self._store.audit.record(act, _failed(recalled, Trace(), started))
            raise recalled
        ending = replace(plan.ending(recalled), outcome=Outcome(outcome))
        await self._store.audit.record(act, _succeeded(ending, Trace(), started))
        return recalled


def _new_act(caller: Caller, tool: str, action: Action, alias: str, sobject: SObjectName | None) -> Act:
    return Act(
        id=new_id(),
        principal=caller.principal.name,
        transport=caller.transport,
        client=_short(caller.client),
        request_id=_short(caller.request_id),
        label=_short(caller.label),
        tool=_short(tool),
        action=action,
        org=_short(alias),
        object=sobject,
    )


def _with_plan(act: Act, plan: Plan[Any]) -> Act:
    return replace(
        act,
        record_ids=plan.record_ids[:MAX_IDS],
        fields=plan.fields,
        soql=plan.soql,
        object=plan.object or act.object,
    )


def _short(text: str | None) -> str | None:
    """A stranger's text as the log keeps it: bounded, and without control characters."""
    if not text:
        return None
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:_WORDS])


def _succeeded(ending: Ending, trace: Trace, started: float) -> Ending:
    return replace(_timed(ending, trace, started), record_ids=ending.record_ids[:MAX_IDS])


def _failed(error: CallError, trace: Trace, started: float) -> Ending:
    ending = Ending(Outcome(error.outcome), error_code=error.code[:_WORDS])
    timed = _timed(ending, trace, started)
    return timed if timed.http_status is not None else replace(timed, http_status=error.http_status)


def _timed(ending: Ending, trace: Trace, started: float) -> Ending:
    return replace(
        ending,
        http_status=trace.http_status,
        api_calls=trace.api_calls,
        attempts=trace.attempts,
        salesforce_request_id=_short(trace.salesforce_request_id),
        duration_us=int((time.perf_counter() - started) * 1_000_000),
    )


def _clash(first: str | None) -> Conflict:
    return Conflict(
        "idempotency_key is in use for a call that is not over yet"
        if first == Outcome.PENDING.value
        else "idempotency_key was used with other arguments",
        fields=["idempotency_key"],
        hint="use a new key for a new change, and the same key with the same arguments to repeat one",
    )


def _too_late(trace: Trace, *, given_up: bool) -> CallError:
    code = "CANCELLED" if given_up else "TIMEOUT"
    what = "the call was cancelled" if given_up else "the call took too long"
    if trace.sent:
        return Unanswered(f"{what} before an answer came", code=code)
    return NotSent(f"{what} before anything was sent", code=code)


def _unforeseen(trace: Trace) -> CallError:
    hint = "this is a defect of orgserver; its log on standard error has the details"
    if trace.sent:
        return Unanswered("the answer could not be handled", code="INTERNAL", category="internal", hint=hint)
    return NotSent("the call could not be sent", code="INTERNAL", category="internal", retryable=False, hint=hint)
