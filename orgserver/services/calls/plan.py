"""A call, the operation that it asks for, and the plan of that operation in one org: nothing of it is sent yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

from orgserver.model.audit import Completion, Intent
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.names import SObjectName, new_id
from orgserver.model.orgs import Caller, Org, Permission
from orgserver.model.text import replace_unsafe
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.preflight import Preflight
from orgserver.services.calls.questions import Confirmation
from orgserver.store.audit.snapshots import SnapshotSpec
from orgserver.store.calls.idempotency import IdempotencyKey
from orgserver.vault.keys import Key

T = TypeVar("T")
_WORDS = 255
"""Characters of a stranger's text that the log keeps."""


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
    prepare: Callable[[OrgSession], Awaitable[Plan[T]]] | None = None
    """Reads what is needed of the org, after the intent and before anything is changed: the plan to go on with."""
    lasts: bool = False
    """Whether it bounds its own time, as long as it gets on, and renews its entry's deadline."""
    confirm: Confirmation | None = None
    """What a person is asked first, where the org's policy or the number of records says so."""


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


def short(text: str | None) -> str | None:
    """A stranger's text as the log keeps it: bounded, and without control characters."""
    if not text:
        return None
    text = text[:_WORDS]
    return text if text.isascii() and text.isprintable() else replace_unsafe(text)
