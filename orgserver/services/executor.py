"""The one way to an org: grant, arguments, policy, intent, send, outcome, in this order, for every call.

Nothing reaches an org but through ``Executor.run``, so nothing escapes grants, policies and the audit log.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, TypeVar

from msgspec import structs

from orgserver.model.access.policies import Policy
from orgserver.model.access.usage import ApiUse
from orgserver.model.audit import Outcome
from orgserver.model.errors import CallError, LoginRequired, NotSent, PolicyDenied, StoreAway, StoreError, Unanswered
from orgserver.model.orgs import Org
from orgserver.salesforce.exchange import Trace
from orgserver.services.authorization import Authorization
from orgserver.services.calls import confirmation, idempotency, snapshot
from orgserver.services.calls.access import Access, OrgSession
from orgserver.services.calls.confirmation import ANSWER_SECONDS, Confirmer, Notify, naming_rule
from orgserver.services.calls.denials import DenialGroups
from orgserver.services.calls.failures import failure_of, too_late, with_warnings
from orgserver.services.calls.first_logins import FirstLogins, Mappings
from orgserver.services.calls.logins import NotPinned
from orgserver.services.calls.plan import (
    Call,
    CallLog,
    Execution,
    Operation,
    Plan,
    Prepare,
)
from orgserver.services.calls.questions import Confirmation
from orgserver.services.describe import name_hints
from orgserver.services.describe.schemas import Schemas
from orgserver.services.observer import Observer
from orgserver.store.calls.idempotency import Begun
from orgserver.store.session import Store
from orgserver.time_limits import TimeLimit, TimeLimits

T = TypeVar("T")


class Executor:
    """Runs operations. What does not succeed raises CallError, with everything that the agent may know."""

    def __init__(
        self,
        store: Store,
        access: Access,
        *,
        call_timeout: float,
        observer: Observer | None = None,
        notify: Notify | None = None,
        answer_seconds: float = ANSWER_SECONDS,
        mappings: Mappings | None = None,
    ) -> None:
        self._store = store
        self._access = access
        self._call_timeout = call_timeout
        self._time_limits = TimeLimits()
        self.log = CallLog(store.audit, DenialGroups(store.database, store.audit), observer)
        self.schemas = Schemas(store, self.run)
        self.authorization = Authorization(access, self.schemas)
        self._confirmer = Confirmer(store, call_timeout=call_timeout, answer_seconds=answer_seconds, notify=notify)
        self._first_logins = FirstLogins(store, access, mappings)
        self._running: dict[asyncio.Task[Any], Execution[Any]] = {}

    async def run(self, call: Call, operation: Operation[T]) -> T:
        """Run an operation in a task of its own: a caller that goes away does not take the outcome with it."""
        seconds = min(operation.seconds or self._call_timeout, self._call_timeout)
        loop = asyncio.get_running_loop()
        intent, deadline = call.intent(operation.action, operation.undoes), loop.time() + seconds
        execution = Execution(intent=intent, call=call, operation=operation, deadline=deadline)
        task = asyncio.create_task(self.log.observe(execution, self._execute(execution)))
        self._running[task] = execution
        end: asyncio.Future[None] = loop.create_future()
        task.add_done_callback(partial(self._end, end))
        try:
            await end  # and not the task: whoever stops waiting does not stop it
            return task.result()
        except CallError as error:
            error.on_record = True
            if isinstance(error, LoginRequired) and call.caller.transport == "cli":
                error.hint = error.hint or f"run: orgserver connect-org {call.org}, then repeat the command"
            raise
        except asyncio.CancelledError:
            execution.give_up()
            raise

    async def _execute(self, execution: Execution[T]) -> T:
        while True:
            version: int | None = None
            try:
                org, version = await self._access.org(execution.call.caller, execution.call.org)
                plan = execution.make_plan(org)
                self._first_logins.check_entered(execution, org)
                policy = await self.authorization.allow(execution.call, org, plan)
                lookup = self.schemas.lookup(org)
                plan = execution.limit(plan, policy, lookup)
                await self._first_logins.require(org, plan.idempotency_key)
                if plan.preflight is not None and not self.schemas.memory.allows(org, plan.preflight):
                    await self.schemas.check_call(execution.call.caller, org, plan.preflight)
                if plan.confirm is not None:
                    await self._check_confirmation(execution, org, policy, plan.confirm)
                execution.plan = plan if plan.idempotency_key is None else await self._with_answer_key(org, plan)
                execution.leave = self._access.client.admit(org.row_id, execution.call.caller.principal.name)
            except NotPinned as unpinned:
                await self._learn(execution, unpinned)
                continue
            except CallError as error:
                if await self._is_outdated(version):  # refused by what was true a moment ago
                    continue
                await self.log.record(execution, execution.fail(error), execution.seconds_left)
                raise
            except StoreError as error:
                raise StoreAway("the store cannot be read, so nothing was sent", hint=str(error)) from error
            try:
                begun = await self._begin(execution, org, version)
                if begun.verdict != "catalog_changed":
                    session = OrgSession(org, execution.deadline, Trace(), self._access.tokens, schemas=lookup)
                    session.caller, session.policy = execution.call.caller.principal.name, policy
                    execution.session = session
                    if begun.verdict != "begun":
                        return await self._answer_unsent(execution, execution.plan, begun, org)
                    return await self._send(execution, execution.plan, session)
            finally:
                execution.leave()
            await self._access.reload()

    async def _check_confirmation(
        self, execution: Execution[T], org: Org, policy: Policy, confirm: Confirmation
    ) -> None:
        """See whether a person is to be asked, and whether one has said yes beforehand."""
        caller = execution.call.caller
        execution.asks_person, execution.approval = self._confirmer.needs_person(caller, policy, confirm), None
        if execution.asks_person:
            with naming_rule(org, policy, confirm):
                execution.approval = await self._confirmer.find_pass(caller, org, execution.intent, confirm)

    async def _with_answer_key(self, org: Org, plan: Plan[T]) -> Plan[T]:
        """Open the key for an answer that must be remembered before anything is sent: afterwards it is too late."""
        async with self._store.database.reading() as connection:
            return structs.replace(plan, answer_key=await self._store.orgs.credentials.data_key(connection, org.row_id))

    async def _begin(self, execution: Execution[T], org: Org, version: int) -> Begun:
        """Put the intent on record, if the orgs are still as they were when it was allowed."""
        assert execution.plan is not None  # noqa: S101  # or it would not have come here
        seconds = self._call_timeout
        if execution.asks_person:
            seconds += self._confirmer.answer_seconds + self._call_timeout
        spend = None
        if execution.approval is not None:
            spend = partial(self._confirmer.spend_in, passed=execution.approval, intent=execution.intent)
        return await self._store.audit.begin(
            execution.intent,
            deadline=self._store.database.clock() + int(seconds * 1_000_000),
            catalog_version=version,
            idempotency_key=execution.plan.idempotency_key,
            budget=self.authorization.budget(execution.call.caller, org),
            spend=spend,
            within=execution.seconds_left,
        )

    async def _send(self, execution: Execution[T], plan: Plan[T], session: OrgSession) -> T:
        """Send what has its intent, and write the outcome whatever happens."""
        result: T | None = None
        error: CallError | None = None
        try:
            if plan.prepare is not None:
                plan = await self._prepare(execution, plan, plan.prepare, session)
            result = await self._send_in_time(execution, plan, session)
        except TimeoutError:
            error = too_late(session.trace, given_up=execution.is_given_up)
        except CallError as refusal:
            error = await self._first_logins.explain(execution.call, session.org, refusal)
            if not execution.is_given_up:
                org_names = name_hints.OrgNames(self.schemas, execution.call.caller, session)
                await name_hints.add_hint(org_names, execution.intent, error)
        except Exception as cause:  # noqa: BLE001  # whatever it is, the call has an outcome
            error = failure_of(cause, session.trace, execution.intent.id)
        execution.time_limit = None
        if isinstance(error, Unanswered):
            error.retryable = plan.repeatable or not plan.writes
            error.hint = error.hint or (plan.after_unknown(session) if plan.after_unknown else None)
        await self.log.finish(execution, plan, result, error)
        if error is not None:
            raise error
        return with_warnings(result, session)  # type: ignore[return-value]  # without an error there is a result

    async def _prepare(
        self, execution: Execution[T], plan: Plan[T], prepare: Prepare[T], session: OrgSession
    ) -> Plan[T]:
        """The plan with what it has to learn from the org; while that is read, nothing is changed."""
        try:
            with execution.limit_time(self._time_limits):
                ready = await prepare(session)
        except Unanswered as error:
            raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
        finally:
            session.trace.sent = False
        return structs.replace(ready, idempotency_key=plan.idempotency_key, answer_key=plan.answer_key)

    async def _send_in_time(self, execution: Execution[T], plan: Plan[T], session: OrgSession) -> T:
        session.entry_id = execution.intent.id
        with execution.limit_time(self._time_limits) as limit:
            if execution.asks_person:
                await self._ask(execution, plan, session, limit)
            if plan.snapshot is not None and session.policy.keep_values:
                await snapshot.take_snapshot(self._store, execution.intent, plan.snapshot, session)
            if plan.lasts and not execution.is_given_up:
                limit.reschedule(None)
            return await plan.send(session)

    async def _ask(self, execution: Execution[T], plan: Plan[T], session: OrgSession, limit: TimeLimit) -> None:
        """Ask a person; afterwards the org must still be as it was, for they may have taken minutes."""
        assert plan.confirm is not None  # noqa: S101  # or nobody would be asked
        call = execution.call
        with naming_rule(session.org, session.policy, plan.confirm):
            was_asked = await self._confirmer.ask(
                call.caller, execution.intent, plan.confirm, session, execution.approval, limit
            )
        if was_asked:
            await self._is_outdated(None)
            org, _ = await self._access.org(call.caller, call.org)
            if org.row_id != session.org.row_id:
                raise PolicyDenied("this alias means another org now", code="ORG_CHANGED")
            if org.login_owner != session.org.login_owner:
                raise PolicyDenied("calls to this org use another login now", code="ORG_CHANGED")
            session.org, session.policy = org, await self.authorization.allow(call, org, plan)

    async def _answer_unsent(self, execution: Execution[T], plan: Plan[T], begun: Begun, org: Org) -> T:
        """Answer a repeated call with what the first one answered; CallError where that is no answer to it."""
        answer: T | CallError
        if begun.verdict == "clash":
            answer = idempotency.clash(begun.outcome)
        elif begun.verdict == "budget_used":
            answer = self.authorization.refuse_use(execution.call, org, plan, begun.use or ApiUse(0, 0))
        elif begun.verdict == "spent":
            answer = confirmation.spent()
        elif begun.answer is None or begun.entry_id is None:
            answer = Unanswered("the first attempt with this idempotency_key was cut off", code="ABANDONED")
        else:
            async with self._store.database.reading() as connection:  # anew: a rotation may have replaced it just now
                key = await self._store.orgs.credentials.data_key(connection, org.row_id)
            answer = plan.recall(key.open(begun.answer, idempotency.context(org.row_id, begun.entry_id)))
        if isinstance(answer, CallError):
            await self.log.record(execution, execution.fail(answer))
            raise answer
        completion = structs.replace(plan.completion(answer), outcome=Outcome(begun.outcome or ""))
        await self.log.record(execution, execution.complete(completion))
        return answer

    async def _learn(self, execution: Execution[T], unpinned: NotPinned) -> None:
        """Learn which org this is, or who calls there, before anything is sent: what limits it hangs on that."""
        error: CallError
        try:
            async with asyncio.timeout_at(execution.deadline):
                await self._first_logins.learn(execution, unpinned)
        except TimeoutError:
            error = too_late(Trace(), given_up=execution.is_given_up)
        except CallError as refusal:
            error = await self._first_logins.explain(execution.call, unpinned.org, refusal)
        except StoreError as away:
            error = StoreAway("the store cannot be read, so nothing was sent", hint=str(away))
        else:
            return
        await self.log.record(execution, execution.fail(error))
        raise error

    async def _is_outdated(self, version: int | None) -> bool:
        """Whether the orgs are others than those of a version, which what was decided came from."""
        try:
            return await self._access.is_outdated(version)
        except StoreError as error:
            raise StoreAway("the store cannot be read, so nothing was sent", hint=str(error)) from error

    def give_up(self) -> None:
        """End every call under way with the outcome that it has by now, of which its caller is told."""
        for execution in list(self._running.values()):
            execution.give_up()

    async def close(self) -> None:
        """Wait for every call under way to have its outcome."""
        await self.schemas.close()
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def _end(self, end: asyncio.Future[None], task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody waiting is no reason for a warning
        if not end.done():
            end.set_result(None)
