"""What is known of each org's objects and fields: from memory, from the store, or from Salesforce.

Up to five minutes old it is fresh; up to a day it is used all the same, and asked for anew behind the caller's back;
older than that the caller waits. Whatever is asked of an org is an act like any other: with its intent on record.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

from orgserver.model import names
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import CallError, Rejected, StoreError
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import ObjectList, Schema
from orgserver.salesforce.protocol import describe
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Plan
from orgserver.services.calls.preflight import Preflight, Problem, missing_object, refusal
from orgserver.services.describe import compression
from orgserver.store import describe_cache
from orgserver.store.describe_cache import DescribeKey, KeptDescribe
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

T = TypeVar("T")
W = TypeVar("W", Schema, ObjectList)
logger = logging.getLogger("orgserver.metadata")

FRESH_SECONDS = 300
STALE_SECONDS = 24 * 3_600
MAX_WEIGHT = 50_000
"""Fields, picklist values and relationships kept in memory, some 20 MB at most."""
LOOK_AGAIN_SECONDS = 60
"""How long the store is not asked again for what it did not have, and Salesforce not behind a caller's back."""
LOOK_SECONDS = 5.0
"""How long a call that would be refused waits for a describe that may know better."""
_MAX_TIMES = 1_000
"""What is forgotten beyond them is only asked again."""
_TOOL = "metadata"
_SECOND = 1_000_000
ALL = SObjectName("")
"""Stands for the list of all objects."""


class Perform(Protocol):
    """How an act is done: ``Operations.perform``."""

    def __call__(  # noqa: D102
        self,
        caller: Caller,
        tool: str,
        action: str,
        alias: str,
        sobject: SObjectName | None,
        plan: Callable[[Org], Any],
    ) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Known:
    """A description, when it last changed in Salesforce's words, and when it was last known to be true."""

    what: Schema | ObjectList
    last_modified: str | None
    fetched_at: int


class Metadata:
    """Schemas by org, Salesforce user and object. ``cached``, ``fresh`` and ``names`` ask nobody."""

    def __init__(self, store: Store, perform: Perform) -> None:
        self._store = store
        self._perform = perform
        self._known: OrderedDict[DescribeKey, Known] = OrderedDict()
        self._weight = 0
        self._looked: OrderedDict[DescribeKey, int] = OrderedDict()
        """When the store was last asked for what is not in memory."""
        self._tried: OrderedDict[DescribeKey, int] = OrderedDict()
        """When Salesforce was last asked behind a caller's back."""
        self._locks: WeakValueDictionary[DescribeKey, asyncio.Lock] = WeakValueDictionary()
        self._behind: dict[DescribeKey, asyncio.Task[None]] = {}

    # -- what is known already

    def cached(self, org: Org, sobject: str) -> Schema | None:
        """An object's schema if it is in memory and not older than a day."""
        return _schema(self._remembered(org, sobject, STALE_SECONDS))

    def fresh(self, org: Org, sobject: str) -> Schema | None:
        """An object's schema if it is in memory and was true five minutes ago: only this may refuse a call."""
        return _schema(self._remembered(org, sobject, FRESH_SECONDS))

    def names(self, org: Org, *, fresh: bool = False) -> ObjectList | None:
        """The org's objects, if they are in memory."""
        known = self._remembered(org, ALL, FRESH_SECONDS if fresh else STALE_SECONDS)
        return known.what if known is not None and isinstance(known.what, ObjectList) else None

    async def recall(self, org: Org, sobject: str = ALL) -> None:
        """Take an object's schema (or the list of objects) from the store into memory, if it is there and not here."""
        key = _key(org, sobject)
        now = self._store.database.clock()
        known = self._known.get(key)
        if (known is not None and _within(known, FRESH_SECONDS, now)) or not _due(self._looked, key, now):
            return
        try:
            async with self._store.database.reading() as connection:
                kept = await describe_cache.find(connection, key)
        except StoreError:
            return  # the call that follows says it better
        if kept is None or (known is not None and kept.fetched_at <= known.fetched_at):
            return
        what = await compression.unpacked(kept.body)
        if what is not None:
            self._remember(key, Known(what, kept.last_modified, kept.fetched_at))
            await self._write(partial(describe_cache.touch_in, key=key))

    async def check_call(self, caller: Caller, org: Org, preflight: Preflight | None) -> None:
        """Raise InvalidArgument for a call that fresh describes show to be wrong.

        Nothing is fetched for a call that they find good. One that they would refuse may be about what was made since:
        they are asked for once more, by acts of their own, and where that fails Salesforce is the judge.
        """
        if preflight is None or preflight.sobject is None:
            return
        await self.recall(org)
        await self.recall(org, preflight.sobject)
        problems, looked_at = self._problems(org, preflight)
        if not problems or not await self._look_again(caller, org, looked_at):
            return
        problems, _ = self._problems(org, preflight)
        if problems:
            raise refusal(problems)

    def _problems(self, org: Org, preflight: Preflight) -> tuple[Sequence[Problem], list[str]]:
        """What fresh describes have against a call, and which of them say so."""
        assert preflight.sobject is not None  # noqa: S101  # or nothing could be judged
        objects, schema = self.names(org, fresh=True), self.fresh(org, preflight.sobject)
        if schema is not None:
            looked_at = [preflight.sobject]

            def look(sobject: str) -> Schema | None:
                looked_at.append(sobject)
                return self.fresh(org, sobject)

            return preflight.check(schema, look), looked_at
        if objects is not None and objects.find(preflight.sobject) is None:
            return [missing_object(preflight, objects)], [ALL]
        return (), []

    async def _look_again(self, caller: Caller, org: Org, sobjects: Iterable[str]) -> bool:
        """Ask for describes once more; False if one of them did not come."""
        for sobject in dict.fromkeys(sobjects):
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    if self.fresh(org, sobject) is not None or sobject == ALL:
                        await self._ask_by_itself(caller, org, sobject)
            except (CallError, TimeoutError) as error:
                logger.debug("a describe did not come: %s", type(error).__name__)
                return False
        return True

    # -- what a call asks for

    async def schema(
        self, session: OrgSession, caller: Caller, sobject: SObjectName, *, sure: bool = False, whole: bool = False
    ) -> Schema:
        """An object's schema, within a call that has its intent.

        ``sure``: true now, whatever that costs; ``whole``: read anew even where Salesforce says that it is unchanged.
        """

        def ask(version: str, sobject: SObjectName, since: str | None) -> Any:
            return describe.describe(version, sobject, None if whole else since)

        return await self._get(session, caller, sobject, ask, describe.read_schema, Schema, sure=sure or whole)

    async def objects(self, session: OrgSession, caller: Caller, *, sure: bool = False) -> ObjectList:
        """Every object of the org, within a call that has its intent."""

        def ask(version: str, _sobject: SObjectName, since: str | None) -> Any:
            return describe.objects(version, since)

        return await self._get(session, caller, ALL, ask, describe.read_objects, ObjectList, sure=sure)

    async def ask_again(self, session: OrgSession, caller: Caller, sobject: str) -> None:
        """Learn an object's schema (or the list of objects) anew, within a call; at most once a minute."""
        if sobject and not names.is_field(sobject):
            return  # a word out of a query that is no object's name
        if not _due(self._tried, _key(session.org, sobject), self._store.database.clock()):
            return
        if sobject == ALL:
            await self.objects(session, caller, sure=True)
        else:
            await self.schema(session, caller, SObjectName(sobject), sure=True)

    def renew(self, caller: Caller, org: Org, sobject: str) -> None:
        """Ask Salesforce anew behind the caller's back: an act of its own, on record, at most one a minute."""
        key = _key(org, sobject)
        if key in self._behind or not _due(self._tried, key, self._store.database.clock()):
            return
        task = asyncio.create_task(self._renew(replace(caller, request_id=None), org, sobject))
        self._behind[key] = task
        task.add_done_callback(lambda _task: self._behind.pop(key, None))

    async def close(self) -> None:
        """End what goes on behind callers' backs."""
        behind = list(self._behind.values())
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)

    async def _renew(self, caller: Caller, org: Org, sobject: str) -> None:
        try:
            await self._ask_by_itself(caller, org, sobject)
        except CallError as error:
            logger.debug("a describe behind a caller's back did not succeed", extra={"code": error.code})

    async def _ask_by_itself(self, caller: Caller, org: Org, sobject: str) -> None:
        """Ask Salesforce by an act that has its own intent."""
        name = SObjectName(sobject)

        def plan(_org: Org) -> Plan[Any]:
            async def send(session: OrgSession) -> Schema | ObjectList:
                if name == ALL:
                    return await self.objects(session, caller, sure=True)
                return await self.schema(session, caller, name, sure=True)

            return Plan("read", send, lambda _found: Completion(Outcome.SUCCEEDED))

        await self._perform(caller, _TOOL, Action.DESCRIBE, org.alias, name or None, plan)

    async def _get(
        self,
        session: OrgSession,
        caller: Caller,
        sobject: SObjectName,
        ask: Callable[[str, SObjectName, str | None], Any],
        read: Callable[[Any], describe.Described[W]],
        kind: type[W],
        *,
        sure: bool,
    ) -> W:
        org = session.org
        key = _key(org, sobject)
        await self.recall(org, sobject)
        lock = self._locks.setdefault(key, asyncio.Lock())
        now = self._store.database.clock()
        known = self._known.get(key)
        if known is not None and not sure and _within(known, STALE_SECONDS, now):
            if not _within(known, FRESH_SECONDS, now):
                self.renew(caller, org, sobject)
            return _of(kind, known)
        async with lock:  # whoever waited here finds what the first one was told
            known = self._known.get(key)
            if known is not None and known.fetched_at >= now - (0 if sure else FRESH_SECONDS * _SECOND):
                return _of(kind, known)
            since = known.last_modified if known is not None else None
            asked_at = self._store.database.clock()
            try:
                told = await session.call(ask(org.api_version, sobject, since), read)
            except Rejected as error:
                if error.category == "not_found":
                    await self._forget(key)
                raise
            return await self._learn(key, kind, known, told, asked_at)

    async def _learn(
        self, key: DescribeKey, kind: type[W], known: Known | None, told: describe.Described[W], asked_at: int
    ) -> W:
        if told.what is None and known is not None:
            self._remember(key, replace(known, fetched_at=asked_at))
            await self._write(partial(describe_cache.confirm_in, key=key, fetched_at=asked_at))
            return _of(kind, known)
        assert told.what is not None  # noqa: S101  # 304 answers only a condition, which comes from what is known
        self._remember(key, Known(told.what, told.last_modified, asked_at))
        packed = KeptDescribe(await compression.packed(told.what), told.last_modified, asked_at)
        await self._write(partial(describe_cache.keep_in, key=key, kept=packed))
        return told.what

    # -- memory and store

    def _remembered(self, org: Org, sobject: str, seconds: int) -> Known | None:
        key = _key(org, sobject)
        known = self._known.get(key)
        if known is None or not _within(known, seconds, self._store.database.clock()):
            return None
        self._known.move_to_end(key)
        return known

    def _remember(self, key: DescribeKey, known: Known) -> None:
        before = self._known.pop(key, None)
        self._looked.pop(key, None)  # if memory lets it go, the store has it
        self._weight += known.what.weight - (before.what.weight if before is not None else 0)
        self._known[key] = known
        while self._weight > MAX_WEIGHT and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._weight -= oldest.what.weight

    async def _forget(self, key: DescribeKey) -> None:
        gone = self._known.pop(key, None)
        if gone is not None:
            self._weight -= gone.what.weight
            await self._write(partial(describe_cache.forget_in, key=key))

    async def _write(self, change: Callable[[Transaction], object]) -> None:
        """Keep it, if the store can: a cache is no reason to fail."""
        try:
            await self._store.database.write(change)
        except StoreError as error:
            logger.warning("a describe could not be kept: %s", error)


def _due(times: OrderedDict[DescribeKey, int], key: DescribeKey, now: int) -> bool:
    """Tell whether a minute has passed since this was last tried, and note that it is tried now."""
    last = times.get(key)
    if last is not None and 0 <= now - last < LOOK_AGAIN_SECONDS * _SECOND:
        return False
    times[key] = now
    times.move_to_end(key)
    if len(times) > _MAX_TIMES:
        times.popitem(last=False)
    return True


def _key(org: Org, sobject: str) -> DescribeKey:
    return DescribeKey(org.row_id, org.user.id if org.user is not None else "", sobject.lower(), org.api_version)


def _within(known: Known, seconds: int, now: int) -> bool:
    """Whether it is no older; what comes from the future (a clock was set back) is not known to be anything."""
    return 0 <= now - known.fetched_at <= seconds * _SECOND


def _schema(known: Known | None) -> Schema | None:
    return known.what if known is not None and isinstance(known.what, Schema) else None


def _of(kind: type[W], known: Known) -> W:
    assert isinstance(known.what, kind)  # noqa: S101  # the empty name alone stands for the list
    return known.what
