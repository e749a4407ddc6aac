"""A call under way: its intent, its time and its outcome, and how these come to be on record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from orgserver.model.audit import MAX_RECORD_IDS, Completion, Intent, Outcome
from orgserver.model.errors import CallError, Conflict, Denied, NotSent, StoreBusy, Unanswered
from orgserver.model.orgs import Org
from orgserver.model.results import Changed, Created, Page, Record, SearchResult, Usage
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls import idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan, short
from orgserver.services.observer import Observer, Watched
from orgserver.store.approvals import Pass
from orgserver.store.audit.log import AuditLog

T = TypeVar("T")
_ANSWER_SECONDS = 0.5
"""Before the deadline of a call, for telling that the store was busy until then."""
_OUTCOME_SECONDS = 1.0
"""For writing an outcome, at least, when the store is busy: what was sent is to be on record before the answer."""
_MAX_FIELDS = 800
"""Salesforce allows 800 custom fields an object and fewer standard ones."""
_NAME = 255


@dataclass(slots=True, kw_only=True)
class Execution(Watched, Generic[T]):
    """A call under way: its operation, its intent as far as that is known, and its way to the org once that is open."""

    call: Call
    operation: Operation[T]
    deadline: float
    """In the event loop's time."""
    started: float = field(default_factory=time.perf_counter)
    plan: Plan[T] | None = None
    session: OrgSession | None = None
    leave: Callable[[], None] = lambda: None
    """Gives the place among the requests of the org back."""
    asks_person: bool = False
    approval: Pass | None = None
    """What a person allowed beforehand."""
    is_given_up: bool = False
    timeout: asyncio.Timeout | None = None

    @property
    def seconds_left(self) -> float:
        """How long it may still wait for the store, so that it is answered in time."""
        deadline = self.session.deadline if self.session is not None else self.deadline
        return max(deadline - asyncio.get_running_loop().time() - _ANSWER_SECONDS, 0.0)

    def make_plan(self, org: Org) -> Plan[T]:
        """Plan the operation in its org; its intent says what is known of it also when the arguments are wrong."""
        self.intent = replace(self.intent, org=org.alias, org_row=org.row_id, org_id=org.org_id)
        plan = self.operation.plan(self.call, org)
        self.intent = replace(
            self.intent,
            record_ids=plan.record_ids[:MAX_RECORD_IDS],
            fields=tuple(sorted({name[:_NAME] for name in plan.fields}))[:_MAX_FIELDS],
            soql=plan.soql,
            object=plan.object or self.intent.object,
        )
        return plan

    def complete(self, completion: Completion) -> Completion:
        """The completion of what succeeded, with what the call cost."""
        completion = replace(completion, record_ids=completion.record_ids[:MAX_RECORD_IDS])
        return _add_cost(completion, self._trace, self.started)

    def fail(self, error: CallError) -> Completion:
        """The completion of what did not succeed, with what the call cost."""
        return _failure(error, self._trace, self.started)

    @property
    def _trace(self) -> Trace:
        return self.session.trace if self.session is not None else Trace()

    def limit_time(self) -> asyncio.Timeout:
        """A time limit up to the deadline, which ends at once when the call is given up."""
        self.timeout = asyncio.timeout_at(0.0 if self.is_given_up else self.deadline)
        return self.timeout

    def give_up(self) -> None:
        """The caller is gone: stop sending, but still write the outcome."""
        self.is_given_up = True
        if self.timeout is not None and not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time())


class CallLog:
    """Puts calls on record, for the audit log and for whoever observes."""

    def __init__(self, log: AuditLog, observer: Observer | None) -> None:
        self._log = log
        self._observer = observer

    def observe(self, watched: Watched, answer: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """Let the observer, if there is one, see a call."""
        return answer if self._observer is None else _observe(self._observer, watched, answer)

    async def refuse(self, intent: Intent, error: Denied) -> None:
        """Put on record that a call was refused before it was run, for its arguments."""
        watched = Watched(intent)
        await self.observe(watched, self.record(watched, _failure(error, Trace(), time.perf_counter())))
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
            raise _not_recorded(f": {busy}") from busy
        if not is_recorded:
            raise _not_recorded()


async def _observe(observer: Observer, watched: Watched, answer: Coroutine[Any, Any, T]) -> T:
    with observer.call(watched):
        try:
            return await answer
        except BaseException as error:
            watched.failed(error)
            raise


def _failure(error: CallError, trace: Trace, started: float) -> Completion:
    completion = _add_cost(Completion(Outcome(error.outcome), error_code=error.code[:_NAME]), trace, started)
    return completion if completion.http_status is not None else replace(completion, http_status=error.http_status)


def _add_cost(completion: Completion, trace: Trace, started: float) -> Completion:
    return replace(
        completion,
        http_status=trace.http_status,
        api_calls=trace.api_calls,
        attempts=trace.attempts,
        salesforce_request_id=short(trace.salesforce_request_id),
        duration_us=int((time.perf_counter() - started) * 1_000_000),
    )


def clash(first: str | None) -> Conflict:
    """An idempotency key that is in use."""
    return Conflict(
        "idempotency_key is in use for a call that is not over yet"
        if first == Outcome.PENDING.value
        else "idempotency_key was used with other arguments",
        fields=["idempotency_key"],
        hint="use a new key for a new change, and the same key with the same arguments to repeat one",
    )


def too_late(trace: Trace, *, given_up: bool) -> CallError:
    """A call whose time ran out, or whose caller went away."""
    code = "CANCELLED" if given_up else "TIMEOUT"
    what = "the call was cancelled" if given_up else "the call took too long"
    if trace.sent:
        return Unanswered(f"{what} before an answer came", code=code)
    if trace.api_calls:  # refused, or read before a change
        return NotSent(f"{what} before the org did anything", code=code)
    return NotSent(f"{what} before anything was sent", code=code)


def _not_recorded(why: str = "") -> Unanswered:
    """A call whose outcome is not in the log yet: it is answered as one that nobody knows of."""
    return Unanswered(
        f"the outcome of this call could not be recorded in time; the change may exist{why}",
        code="OUTCOME_NOT_RECORDED",
        category="internal",
        hint="read the record before repeating anything",
    )


def with_warning(result: T, trace: Trace) -> T:
    """Say it when an org's API calls are nearly used up (``Sforce-Limit-Info``), so that the agent can slow down."""
    warning = trace.warn_of_usage()
    if warning is None or not isinstance(result, Created | Changed | Page | Record | SearchResult | Usage):
        return result
    return replace(result, warnings=(*result.warnings, warning))


def unforeseen(trace: Trace) -> CallError:
    """A call that met a defect of ours."""
    hint = "this is a defect of orgserver; its log on standard error has the details"
    if trace.sent:
        return Unanswered("the answer could not be handled", code="INTERNAL", category="internal", hint=hint)
    return NotSent("the call could not be sent", code="INTERNAL", category="internal", retryable=False, hint=hint)
