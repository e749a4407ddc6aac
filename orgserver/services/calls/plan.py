"""A call, the operation that it asks for, and the plan of that operation in one org: nothing of it is sent yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from orgserver.model.audit import MAX_RECORD_IDS, Completion, Intent
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName, new_id
from orgserver.model.orgs import Caller, Org, Permission
from orgserver.salesforce.exchange import Trace
from orgserver.services.calls import audit_records, idempotency
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.audit_records import short
from orgserver.services.calls.preflight import Preflight
from orgserver.services.calls.questions import Confirmation
from orgserver.services.observer import Watched
from orgserver.store.approvals import Pass
from orgserver.store.audit.snapshots import SnapshotSpec
from orgserver.store.calls.idempotency import IdempotencyKey
from orgserver.vault.keys import Key

T = TypeVar("T")
_ANSWER_SECONDS = 0.5
"""Before the deadline of a call, for telling that the store was busy until then."""


@dataclass(frozen=True, slots=True)
class Call:
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
            client=short(self.caller.client),
            request_id=short(self.caller.request_id),
            label=short(self.caller.label),
            tool=short(self.tool),
            action=action,
            org=short(self.org),
            object=self.sobject,
            undoes=undoes,
        )


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """What is put on record and sent, once the org and the arguments are known."""

    permission: Permission
    send: Callable[[OrgSession], Awaitable[T]]
    """Does it, once it is on record."""
    completion: Callable[[T], Completion]
    record_ids: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
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
    prepare: Callable[[OrgSession], Awaitable[Plan[T]]] | None = None
    """Reads what is needed of the org, after the intent and before anything is changed: the plan to go on with."""
    lasts: bool = False
    """Whether it bounds its own time, as long as it gets on, and renews its entry's deadline."""
    confirm: Confirmation | None = None
    """What a person is asked first, where the org's policy or the number of records says so."""

    def seal_answer(self, result: T | None, error: CallError | None, intent: Intent) -> bytes | None:
        """What a repeated call will be answered with; None where nothing is remembered."""
        if self.answer_key is None:
            return None
        return self.answer_key.seal(self.remember(result, error), idempotency.context(intent.org_row or "", intent.id))


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """What a call asks for; its plan is made, and its arguments are checked, when the org is known."""

    action: str
    """What it is in the audit log."""
    plan: Callable[[Call, Org], Plan[T]]
    undoes: str | None = None
    """The audit entry that it undoes."""
    seconds: float | None = None
    """How long it may take, where that is not what every call may."""


@dataclass(slots=True)
class Execution(Generic[T]):
    """A call under way: its operation, what is known of it for the log, and its way to the org once that is open."""

    call: Call
    operation: Operation[T]
    deadline: float
    """In the event loop's time."""
    watched: Watched
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
    def intent(self) -> Intent:
        """What is about to be done, as far as it is known."""
        return self.watched.intent

    @property
    def seconds_left(self) -> float:
        """How long it may still wait for the store, so that it is answered in time."""
        deadline = self.session.deadline if self.session is not None else self.deadline
        return max(deadline - asyncio.get_running_loop().time() - _ANSWER_SECONDS, 0.0)

    def make_plan(self, org: Org) -> Plan[T]:
        """Plan the operation in its org; its intent says what is known of it also when the arguments are wrong."""
        self.watched.intent = replace(self.intent, org=org.alias, org_row=org.row_id, org_id=org.org_id)
        plan = self.operation.plan(self.call, org)
        self.watched.intent = replace(
            self.intent,
            record_ids=plan.record_ids[:MAX_RECORD_IDS],
            fields=plan.fields,
            soql=plan.soql,
            object=plan.object or self.intent.object,
        )
        return plan

    def failed(self, error: CallError) -> Completion:
        """The completion of what did not succeed."""
        return audit_records.failed(error, self.session.trace if self.session else Trace(), self.started)

    def limit_time(self) -> asyncio.Timeout:
        """A time limit up to the deadline, which ends at once when the call is given up."""
        self.timeout = asyncio.timeout_at(0.0 if self.is_given_up else self.deadline)
        return self.timeout

    def give_up(self) -> None:
        """The caller is gone: stop sending, but still write the outcome."""
        self.is_given_up = True
        if self.timeout is not None and not self.timeout.expired():
            self.timeout.reschedule(asyncio.get_running_loop().time())
