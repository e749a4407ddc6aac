"""What an act is before it is done: what it may do, how it is sent, what is put on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from orgserver.model.audit import Completion
from orgserver.model.errors import CallError, InvalidArgument
from orgserver.model.orgs import Permission
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.preflight import Preflight
from orgserver.services.calls.questions import Confirmation
from orgserver.store.audit.snapshots import SnapshotSpec
from orgserver.store.idempotency import Repetition
from orgserver.vault.keys import Key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """One act, ready to be put on record and sent."""

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
    repetition: Repetition | None = None
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
