"""A call: the operation that it asks for, its plan in one org, its execution, and what is put on record of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Generic, TypeVar

import msgspec

from orgserver.model.access.acts import PathUse
from orgserver.model.access.policies import Policy
from orgserver.model.access.principals import Permission
from orgserver.model.audit import MAX_RECORD_IDS, Completion, Intent, Outcome, org_facts
from orgserver.model.errors import CallError, Denied, InvalidArgument, StoreBusy
from orgserver.model.names import MAX_FIELDS, SObjectName, new_id
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import SchemaLookup
from orgserver.model.text import replace_unsafe
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.denials import DenialGroups
from orgserver.services.calls.failures import not_recorded
from orgserver.services.calls.preflight import Preflight
from orgserver.services.calls.questions import Confirmation
from orgserver.services.observer import Observer, Watched
from orgserver.services.policies.field_limits import FieldLimits
from orgserver.services.policies.limited_errors import limit_answer
from orgserver.store.approvals import Pass
from orgserver.store.audit.log import AuditLog
from orgserver.store.audit.snapshots import SnapshotSpec
from orgserver.store.calls.idempotency import IdempotencyKey
from orgserver.time_limits import TimeLimit, TimeLimits
from orgserver.vault.keys import Key

T = TypeVar("T")
_WORDS = 255
"""Characters of a name or of a stranger's text that the log keeps."""
_ANSWER_SECONDS = 0.5
"""Before the deadline of a call, for telling that the store was busy until then."""
_OUTCOME_SECONDS = 1.0
"""For writing an outcome, at least, when the store is busy: what was sent is to be on record before the answer."""


class Call(msgspec.Struct, frozen=True):
    """Who calls, by which tool, which org is meant by its alias, and which object it is about."""

    caller: Caller
    tool: str
    org: str = ""
    sobject: SObjectName | None = None

    @property
    def object(self) -> SObjectName:
        """The object, of a call that is about one."""
        assert self.sobject is not None  # noqa: S101  # its tool names it, or has an argument that does
        return self.sobject

    def intent(self, action: str, undoes: str | None = None) -> Intent:
        """The intent of a call, as far as it is known before its org is."""
        return Intent(
            id=new_id(),
            principal=self.caller.principal.name,
            transport=self.caller.transport,
            client=_shorten(self.caller.client),
            request_id=_shorten(self.caller.request_id),
            label=_shorten(self.caller.label),
            tool=_shorten(self.tool),
            action=action,
            org=_shorten(self.org),
            object=self.sobject,
            undoes=undoes,
        )


class Plan(msgspec.Struct, Generic[T], frozen=True):
    """What is put on record and sent, once the org and the arguments are known."""

    permission: Permission | None
    """None: whoever may do anything in the org may do it."""
    send: Callable[[OrgSession], Awaitable[T]]
    """Does it, once it is on record."""
    completion: Callable[[T], Completion]
    record_ids: tuple[str, ...] = ()
    fields: Collection[str] = ()
    soql: str | None = None
    object: str | None = None
    writes: bool = False
    repeatable: bool = False
    """Whether a write may be sent again though its first attempt may have happened."""
    idempotency_key: IdempotencyKey | None = None
    answer_key: Key | None = None
    """Seals and opens the answer that is remembered for a repetition."""
    remember: Callable[[T | None, CallError | None], bytes] = lambda _result, _error: b"{}"
    recall: Callable[[bytes], T | CallError] = lambda _answer: InvalidArgument("nothing was kept")
    after_unknown: Callable[[OrgSession], str] | None = None
    """How to find out whether an unanswered change happened."""
    snapshot: SnapshotSpec | None = None
    """What is kept before it is sent, where the org's policy says so."""
    preflight: Preflight | None = None
    """What a fresh describe, where one is at hand, can say against it before it is sent."""
    prepare: Prepare[T] | None = None
    """Reads what is needed of the org, after the intent and before anything is changed: the plan to go on with."""
    lasts: bool = False
    """Whether it bounds its own time, as long as it gets on, and renews its entry's deadline."""
    confirm: Confirmation | None = None
    """What a person is asked first, where the org's policy or the number of records says so."""
    uses: tuple[PathUse, ...] | None = None
    """Which objects and fields it touches. None: that is not said, so it is refused where either are limited."""
    understood: bool = True
    """False of a text beyond our grammar, which is refused there, too."""


Prepare = Callable[[OrgSession], Awaitable[Plan[T]]]


class Operation(msgspec.Struct, Generic[T], frozen=True):
    """What a call asks for; its plan is made, and its arguments are checked, when the org is known."""

    action: str
    """What it is in the audit log."""
    plan: Callable[[Call, Org], Plan[T]]
    undoes: str | None = None
    """The audit entry that it undoes."""
    seconds: float | None = None
    """How long it may take, where that is not what every call may."""


class Execution(Watched, Generic[T], kw_only=True):
    """A call under way: its operation, its intent as far as that is known, and its way to the org once that is open."""

    call: Call
    operation: Operation[T]
    deadline: float
    """In the event loop's time."""
    started: float = msgspec.field(default_factory=time.perf_counter)
    plan: Plan[T] | None = None
    session: OrgSession | None = None
    leave: Callable[[], None] = lambda: None
    """Gives the place among the requests of the org back."""
    asks_person: bool = False
    approval: Pass | None = None
    """What a person allowed beforehand."""
    is_given_up: bool = False
    is_entered: bool = False
    """Whether it was noted already whom a mapping means."""
    time_limit: TimeLimit | None = None

    @property
    def seconds_left(self) -> float:
        """How long it may still wait for the store, so that it is answered in time."""
        deadline = self.session.deadline if self.session is not None else self.deadline
        return max(deadline - asyncio.get_running_loop().time() - _ANSWER_SECONDS, 0.0)

    def make_plan(self, org: Org) -> Plan[T]:
        """Plan the operation in its org; its intent says what is known of it also when the arguments are wrong."""
        self.org_kind = org.kind
        try:
            plan = self.operation.plan(self.call, org)
        except BaseException:
            self.intent = msgspec.structs.replace(self.intent, **org_facts(org))
            raise
        self.intent = msgspec.structs.replace(
            self.intent,
            **org_facts(org),
            record_ids=plan.record_ids[:MAX_RECORD_IDS],
            fields=tuple(sorted({name[:_WORDS] for name in plan.fields}))[:MAX_FIELDS],
            soql=plan.soql,
            object=plan.object or self.intent.object,
        )
        return plan

    def limit(self, plan: Plan[T], policy: Policy, lookup: SchemaLookup) -> Plan[T]:
        """The plan that knows no more than its caller may: what it suggests, remembers and has on record.

        Only of a plan that is allowed: a refused one is on record with the fields that it named.
        """
        limits = FieldLimits.of(policy)
        if limits.is_free:
            return plan
        sobject = self.intent.object
        if sobject is not None and self.operation.undoes is None:  # what an undo puts back is said whole
            self.intent = self.intent.about(limits.visible(sobject, self.intent.fields, lookup))
        preflight = plan.preflight and msgspec.structs.replace(plan.preflight, limits=limits)
        return msgspec.structs.replace(
            plan, preflight=preflight, recall=lambda answer: limit_answer(limits, plan.recall(answer))
        )

    def complete(self, completion: Completion) -> Completion:
        """The completion of what succeeded, with what the call cost."""
        return _add_cost(completion, self._trace, self.started)

    def fail(self, error: CallError) -> Completion:
        """The completion of what did not succeed, with what the call cost."""
        return _failure(error, self._trace, self.started)

    @property
    def _trace(self) -> Trace:
        return self.session.trace if self.session is not None else Trace()

    def limit_time(self, limits: TimeLimits) -> TimeLimit:
        """A time limit up to the deadline, which ends at once when the call is given up."""
        self.time_limit = limits.until(0.0 if self.is_given_up else self.deadline)
        return self.time_limit

    def give_up(self) -> None:
        """The caller is gone: stop sending, but still write the outcome."""
        self.is_given_up = True
        if self.time_limit is not None:
            self.time_limit.reschedule(asyncio.get_running_loop().time())


class CallLog:
    """Puts calls on record, for the audit log and for whoever observes."""

    def __init__(self, log: AuditLog, denials: DenialGroups, observer: Observer | None) -> None:
        self._log = log
        self._denials = denials
        self._observer = observer

    def observe(self, watched: Watched, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Let the observer, if there is one, see a call."""
        return answer if self._observer is None else _observe(self._observer, watched, answer)

    async def refuse(self, intent: Intent, error: Denied) -> None:
        """Put on record that a call was refused before it was run, for its arguments."""
        watched = Watched(intent)
        await self.observe(watched, self.record(watched, _failure(error, Trace(), time.perf_counter())))
        error.on_record = True

    async def refuse_in_group(self, intent: Intent, error: Denied) -> None:
        """Put on record, together with others, that a call was refused before it was read: there may be a flood."""
        completion = _failure(error, Trace(), time.perf_counter())
        await self.observe(Watched(intent, completion), self._denials.record(intent, completion))
        error.on_record = True

    async def record(self, watched: Watched, completion: Completion, within: float | None = None) -> None:
        """Put on record what is over, or sends nothing."""
        watched.completion = completion
        await self._log.record(watched.intent, completion, within=within)

    async def finish(self, execution: Execution[T], plan: Plan[T], result: T | None, error: CallError | None) -> None:
        """Write an outcome; Unanswered if that takes too long, for nobody is told what is not on record."""
        intent, answer = execution.intent, None
        if error is not None:
            execution.completion = execution.fail(error)
        else:
            execution.completion = execution.complete(plan.completion(result))  # type: ignore[arg-type]  # there is a result
        if plan.answer_key is not None:
            context = idempotency.context(intent.org_row or "", intent.id)
            answer = plan.answer_key.seal(plan.remember(result, error), context)
        within = max(execution.seconds_left, _OUTCOME_SECONDS)
        try:
            is_recorded = await self._log.finish(intent.id, execution.completion, answer, within=within)
        except StoreBusy as busy:
            raise not_recorded(f": {busy}") from busy
        if not is_recorded:
            raise not_recorded()


async def _observe(observer: Observer, watched: Watched, answer: Coroutine[Any, Any, T]) -> T:
    with observer.call(watched):
        try:
            return await answer
        except BaseException as error:
            watched.failed(error)
            raise


def _failure(error: CallError, trace: Trace, started: float) -> Completion:
    completion = Completion(
        Outcome(error.outcome),
        error_code=error.code[:_WORDS],
        http_status=error.http_status,
        decision=_shorten(error.rule),
    )
    return _add_cost(completion, trace, started)


def _add_cost(completion: Completion, trace: Trace, started: float) -> Completion:
    return msgspec.structs.replace(
        completion,
        http_status=completion.http_status if trace.http_status is None else trace.http_status,
        api_calls=trace.api_calls,
        attempts=trace.attempts,
        salesforce_request_id=_shorten(trace.salesforce_request_id),
        record_ids=completion.record_ids[:MAX_RECORD_IDS],
        duration_us=int((time.perf_counter() - started) * 1_000_000),
    )


def _shorten(text: str | None) -> str | None:
    """A stranger's text as the log keeps it: bounded, and without control characters."""
    return replace_unsafe(text[:_WORDS]) if text else None
