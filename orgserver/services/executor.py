"""One act, the one way: grant → policy → arguments → intent → send → outcome.

Nothing reaches an org but through ``Acting._run``, so nothing escapes grants, policy and audit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import (
    CallError,
    Denied,
    Forbidden,
    NotSent,
    PolicyDenied,
    StoreAway,
    StoreBusy,
    StoreError,
    Unanswered,
)
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org, Permission
from orgserver.salesforce.exchange import Trace
from orgserver.salesforce.hosts import hosts_of_org
from orgserver.services.calls import audit_records, confirmation, idempotency, snapshot
from orgserver.services.calls.access import Access, OrgSession
from orgserver.services.calls.confirmation import Confirming, Notify
from orgserver.services.calls.plan import Plan
from orgserver.services.describe import name_hints
from orgserver.services.describe.name_hints import OrgNames
from orgserver.services.describe.schemas import Metadata
from orgserver.services.observer import Observer, Watched
from orgserver.services.tokens import failures
from orgserver.store.approvals import Pass
from orgserver.store.idempotency import Begun
from orgserver.store.session import Store
from orgserver.store.transaction import microseconds

T = TypeVar("T")
Planned = Callable[[Org], Plan[T]]
OUTCOME_SECONDS = 1.0
"""For writing an outcome, at least, when the store is busy: what was sent is to be on record before the answer."""
_ANSWER_SECONDS = 0.5
"""Before the deadline of a call, for telling that the store was busy until then."""
logger = logging.getLogger("orgserver.operations")


class _NotPinned(Exception):
    """An org was registered with ``--no-verify`` and has not said yet which one it is."""

    def __init__(self, org: Org) -> None:
        super().__init__()
        self.org = org


@dataclass(slots=True)
class Run(Generic[T]):
    """One act under way."""

    caller: Caller
    tool: str
    action: str
    alias: str
    sobject: SObjectName | None
    plan: Planned[T]
    undoes: str | None = None
    seconds: float | None = None
    """How long it may take, where that is not what every call may."""
    watched: Watched = field(init=False)
    asks: bool = False
    """Whether a person is to be asked."""
    passed: Pass | None = None
    """What a person said beforehand."""
    given_up: bool = False
    sending: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self.watched = Watched(
            audit_records.new_intent(self.caller, self.tool, self.action, self.alias, self.sobject, self.undoes)
        )

    def give_up(self) -> None:
        """The caller is gone: stop sending, but still write the outcome."""
        self.given_up = True
        if self.sending is not None and not self.sending.expired():
            self.sending.reschedule(asyncio.get_running_loop().time())


class Acting:
    """Does acts by their plans. Each raises CallError when it did not succeed, with everything the agent may know."""

    def __init__(
        self,
        store: Store,
        access: Access,
        *,
        call_timeout: float,
        observer: Observer | None = None,
        notify: Notify | None = None,
    ) -> None:
        self._store = store
        self._access = access
        self._call_timeout = call_timeout
        self._observer = observer or Observer()
        self.metadata = Metadata(store, self.perform)
        self._confirming = Confirming(store, call_timeout=call_timeout, notify=notify)
        self._running: dict[asyncio.Task[Any], Run[Any]] = {}

    async def perform(
        self, caller: Caller, tool: str, action: str, alias: str, sobject: SObjectName | None, plan: Planned[T]
    ) -> T:
        """Do an act by a plan that another module makes."""
        return await self.intent(Run(caller, tool, action, alias, sobject, plan))

    async def refuse(
        self, caller: Caller, tool: str, action: Action, alias: str | None, sobject: SObjectName | None, error: Denied
    ) -> None:
        """Put on record that a call was refused before it came here, for its arguments."""
        intent = audit_records.new_intent(caller, tool, action, alias or "", sobject)
        completion = audit_records.failed(error, Trace(), time.perf_counter())
        watched = Watched(intent)
        await self._seen(watched, self._record(watched, intent, completion))
        error.on_record = True

    async def seen(self, intent: Intent, doing: Awaitable[T]) -> T:
        """Let the observer see a call that asks no org and is no audit entry."""
        return await self._seen(Watched(intent, Completion(Outcome.SUCCEEDED)), doing)

    async def close(self) -> None:
        """Wait for every act under way to have its outcome."""
        await self.metadata.close()
        while self._running:
            await asyncio.gather(*self._running, return_exceptions=True)

    def give_up(self) -> None:
        """End every act under way with the outcome that it has by now, of which its caller is told."""
        for run in list(self._running.values()):
            run.give_up()

    async def intent(self, run: Run[T]) -> T:
        """Run an act in a task of its own: a caller that goes away does not take the outcome with it."""
        task = asyncio.create_task(self._seen(run.watched, self._run(run)))
        self._running[task] = run
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except CallError as error:
            error.on_record = True
            raise
        except asyncio.CancelledError:
            run.give_up()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody waiting is no reason for a warning

    async def _seen(self, watched: Watched, doing: Awaitable[T]) -> T:
        with self._observer.call(watched):
            try:
                return await doing
            except BaseException as error:
                watched.failed(error)
                raise

    async def _record(
        self, watched: Watched, intent: Intent, completion: Completion, within: float | None = None
    ) -> None:
        """Put an act that is over, or sends nothing, on record."""
        watched.intent, watched.completion = intent, completion
        await self._store.audit.record(intent, completion, within=within)

    async def _run(self, run: Run[T]) -> T:
        started = time.perf_counter()
        intent = run.watched.intent
        seconds = min(run.seconds or self._call_timeout, self._call_timeout)
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                org, version = await self._access.org(run.caller, run.alias)
                intent = replace(intent, org=org.alias, org_row=org.row_id, org_id=org.org_id)
                plan = run.plan(org)
                intent = audit_records.with_plan(intent, plan)
                self._check(org, plan.permission)
                await self.metadata.check_call(run.caller, org, plan.preflight)
                await self._see_whether_allowed(run, org, intent, plan)
                plan = await self._with_key(org, plan)
                leave = self._access.client.admit(hosts_of_org(org, org.instance_url))
            except _NotPinned as unpinned:
                await self._pin(run, intent, unpinned.org, deadline, started)
                continue
            except CallError as error:
                if await self._seen_anew():  # refused by what was true a moment ago
                    continue
                await self._record(run.watched, intent, audit_records.failed(error, Trace(), started), _left(deadline))
                raise
            except StoreError as error:
                raise StoreAway("the store cannot be read, so nothing was sent", hint=str(error)) from error
            try:
                begun = await self._store.audit.begin(
                    intent,
                    deadline=microseconds() + int(self._seconds(run) * 1_000_000),
                    catalog_version=version,
                    repetition=plan.repetition,
                    spend=partial(self._confirming.spend_in, passed=run.passed, intent=intent) if run.passed else None,
                    within=_left(deadline),
                )
                if begun.verdict != "catalog_changed":
                    return await self._go_on(
                        run, intent, plan, begun, self._access.open_session(org, deadline, Trace()), started
                    )
            finally:
                leave()
            await self._access.reload()

    async def _pin(self, run: Run[T], intent: Intent, org: Org, deadline: float, started: float) -> None:
        """Learn which org this is before anything is sent to it: what limits it hangs on that."""
        error: CallError
        try:
            async with asyncio.timeout_at(deadline):
                await self._access.pin(org)
        except TimeoutError:
            error = audit_records.too_late(Trace(), given_up=run.given_up)
        except CallError as refused:
            error = refused
        except StoreError as away:
            error = StoreAway("the store cannot be read, so nothing was sent", hint=str(away))
        else:
            return
        await self._record(run.watched, intent, audit_records.failed(error, Trace(), started))
        raise error

    async def _go_on(
        self, run: Run[T], intent: Intent, plan: Plan[T], begun: Begun, session: OrgSession, started: float
    ) -> T:
        """Send, or answer a repeated call from memory."""
        if begun.verdict == "clash":
            clash = audit_records.clash(begun.outcome)
            await self._record(run.watched, intent, audit_records.failed(clash, Trace(), started))
            raise clash
        if begun.verdict == "spent":
            used = confirmation.spent()
            await self._record(run.watched, intent, audit_records.failed(used, Trace(), started))
            raise used
        if begun.verdict == "replay":
            return await self._replay(run.watched, session.org, intent, plan, begun, started)
        return await self._send(run, intent, plan, session, started)

    async def _send(self, run: Run[T], intent: Intent, plan: Plan[T], session: OrgSession, started: float) -> T:
        """Send what has its intent, and write the outcome whatever happens."""
        trace = session.trace
        result: T | None = None
        error: CallError | None = None
        try:
            plan = await self._prepared(run, plan, session)
            result = await self._in_time(run, intent, plan, session)
        except TimeoutError:
            error = audit_records.too_late(trace, given_up=run.given_up)
        except CallError as refused:
            error = refused
            if not run.given_up:
                await name_hints.add_hint(OrgNames(self.metadata, run.caller, session), intent, error)
        except Exception:
            logger.exception("a call failed in a way that is not foreseen", extra={"entry": intent.id})
            error = audit_records.unforeseen(trace)
        run.sending = None
        if isinstance(error, Unanswered):
            error.retryable = plan.repeatable or not plan.writes
            error.hint = error.hint or (plan.after_unknown(session) if plan.after_unknown else None)
        if error is None:
            completion = audit_records.succeeded(plan.completion(result), trace, started)  # type: ignore[arg-type]  # there is a result
        else:
            completion = audit_records.failed(error, trace, started)
        run.watched.intent, run.watched.completion = intent, completion
        answer = None
        if plan.answer_key is not None:
            answer = plan.answer_key.seal(
                plan.remember(result, error), idempotency.context(intent.org_row or "", intent.id)
            )
        await self._finish(intent, completion, answer, session)
        if error is not None:
            raise error
        return audit_records.with_warning(result, trace)  # type: ignore[return-value]  # without an error there is a result

    async def _finish(self, intent: Intent, completion: Completion, answer: bytes | None, session: OrgSession) -> None:
        """Write the outcome; Unanswered if that takes too long, for nobody is told what is not on record."""
        within = max(_left(session.deadline), OUTCOME_SECONDS)
        try:
            recorded = await self._store.audit.finish(intent.id, completion, answer, within=within)
        except StoreBusy as busy:
            raise audit_records.not_recorded(f": {busy}") from busy
        if not recorded:
            raise audit_records.not_recorded()

    async def _prepared(self, run: Run[T], plan: Plan[T], session: OrgSession) -> Plan[T]:
        """The plan with what it has to learn from the org; while that is read, nothing is changed."""
        if plan.prepare is None:
            return plan
        deadline = 0.0 if run.given_up else session.deadline
        try:
            async with asyncio.timeout_at(deadline) as run.sending:
                ready = await plan.prepare(session)
        except Unanswered as error:
            raise NotSent(f"{error}, so nothing was changed", code=error.code) from error
        finally:
            session.trace.sent = False
        return replace(ready, repetition=plan.repetition, answer_key=plan.answer_key)

    async def _in_time(self, run: Run[T], intent: Intent, plan: Plan[T], session: OrgSession) -> T:
        deadline = 0.0 if run.given_up else session.deadline
        session.entry_id = intent.id
        async with asyncio.timeout_at(deadline) as run.sending:
            if run.asks:
                await self._ask(run, intent, plan, session, run.sending)
            if plan.snapshot is not None and session.org.policy.keep_values:
                await snapshot.take_snapshot(self._store, intent, plan.snapshot, session)
            if plan.lasts and not run.given_up:
                run.sending.reschedule(None)
            return await plan.send(session)

    def _check(self, org: Org, permission: Permission) -> None:
        """What this server and this org allow: each can only take away. NotSent where the org's state forbids it."""
        if not org.enabled:
            raise PolicyDenied(f"{org.alias} is disabled", code="ORG_DISABLED", hint="an administrator enables it")
        if org.is_closed:
            raise failures.closed(org, org)
        if org.org_id is None:
            raise _NotPinned(org)  # other limits may bind it, too
        if permission == "read":
            return
        if self._access.scope.read_only:
            raise Forbidden("this server was started with --read-only")
        if org.policy.read_only:
            raise PolicyDenied(f"{org.alias} is read-only", code="READ_ONLY", hint="its administrator set it so")

    async def _see_whether_allowed(self, run: Run[T], org: Org, intent: Intent, plan: Plan[T]) -> None:
        run.asks = self._confirming.wanted(run.caller, org, plan.confirm)
        run.passed = None
        if run.asks and plan.confirm is not None:
            run.passed = await self._confirming.allowed(run.caller, org, intent, plan.confirm)

    async def _ask(
        self, run: Run[T], intent: Intent, plan: Plan[T], session: OrgSession, sending: asyncio.Timeout
    ) -> None:
        """Ask a person; afterwards the org must still be as it was, for they may have taken minutes."""
        assert plan.confirm is not None  # noqa: S101  # or nobody would be asked
        if await self._confirming.ask(run.caller, intent, plan.confirm, session, run.passed, sending):
            await self._seen_anew()
            org, _ = await self._access.org(run.caller, run.alias)
            if org.row_id != session.org.row_id:
                raise PolicyDenied("this alias means another org now", code="ORG_CHANGED")
            self._check(org, plan.permission)
            session.org = org

    def _seconds(self, run: Run[T]) -> float:
        """How long an act may take before it counts as abandoned."""
        return self._call_timeout + (confirmation.ANSWER_SECONDS + self._call_timeout if run.asks else 0)

    async def _seen_anew(self) -> bool:
        """Read the orgs again if they have changed since they were last read."""
        try:
            changed = await self._access.changed()
            if changed:
                await self._access.reload()
        except StoreError as error:
            raise StoreAway("the store cannot be read, so nothing was sent", hint=str(error)) from error
        return changed

    async def _with_key(self, org: Org, plan: Plan[T]) -> Plan[T]:
        """Open the key for an answer that must be remembered before anything is sent: afterwards it is too late."""
        if plan.repetition is None:
            return plan
        async with self._store.database.reading() as connection:
            return replace(plan, answer_key=await self._store.orgs.credentials.data_key(connection, org.row_id))

    async def _replay(
        self, watched: Watched, org: Org, intent: Intent, plan: Plan[T], begun: Begun, started: float
    ) -> T:
        """Answer a repeated call with what its first attempt answered; nothing is sent."""
        recalled: T | CallError
        if begun.answer is None or begun.entry_id is None:
            recalled = Unanswered("the first attempt with this idempotency_key was cut off", code="ABANDONED")
        else:
            async with self._store.database.reading() as connection:  # anew: a rotation may have replaced it just now
                key = await self._store.orgs.credentials.data_key(connection, org.row_id)
            recalled = plan.recall(key.open(begun.answer, idempotency.context(org.row_id, begun.entry_id)))
        if isinstance(recalled, CallError):
            await self._record(watched, intent, audit_records.failed(recalled, Trace(), started))
            raise recalled
        completion = replace(plan.completion(recalled), outcome=Outcome(begun.outcome or ""))
        await self._record(watched, intent, audit_records.succeeded(completion, Trace(), started))
        return recalled


def _left(deadline: float) -> float:
    """How long a call may still wait for the store, so that it is answered in time."""
    return max(deadline - asyncio.get_running_loop().time() - _ANSWER_SECONDS, 0.0)
