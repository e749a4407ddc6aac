"""The describes of each org's objects and fields: from memory, from the store, or from Salesforce.

What is no longer fresh is asked for anew behind the caller's back; for what is older than a day the caller waits.
Whatever is asked of an org is an act like any other: with its intent on record.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from orgserver.model import names
from orgserver.model.audit import Action, Completion, Outcome
from orgserver.model.errors import CallError, Rejected, StoreError
from orgserver.model.names import SObjectName
from orgserver.model.orgs import Caller, Org
from orgserver.model.schema import ObjectList, Schema, SchemaLookup
from orgserver.salesforce.protocol import describe
from orgserver.services.calls.access import OrgSession
from orgserver.services.calls.plan import Call, Operation, Plan
from orgserver.services.calls.preflight import Preflight, refusal
from orgserver.services.describe import compression
from orgserver.services.describe.memory import (
    ALL,
    FRESH_SECONDS,
    STALE_SECONDS,
    Attempts,
    CachedDescribe,
    DescribeMemory,
    describe_key,
)
from orgserver.services.policies.limited_schemas import limit_objects, limit_schema
from orgserver.services.policies.uses import behind_formulas
from orgserver.store import describe_cache
from orgserver.store.describe_cache import DescribeKey, StoredDescribe
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

W = TypeVar("W", Schema, ObjectList)
logger = logging.getLogger("orgserver.metadata")

LOOK_SECONDS = 5.0
"""How long a call that would be refused waits for a describe that may know better."""
_TOOL = "metadata"
_MOST_PARENTS = 20
"""Objects behind formulas that one describe waits for."""


Run = Callable[[Call, Operation[Any]], Awaitable[Any]]
"""How a call of its own is made: ``Executor.run``."""


class Schemas:
    """Schemas by org, Salesforce user and object; ``memory`` has those that need no asking."""

    def __init__(self, store: Store, run: Run, memory: DescribeMemory | None = None) -> None:
        self._store = store
        self._run = run
        self.memory = memory or DescribeMemory(store.database.clock)
        self._org_attempts = Attempts()
        """Of asking Salesforce behind a caller's back."""
        self._locks: WeakValueDictionary[DescribeKey, asyncio.Lock] = WeakValueDictionary()
        self._behind: dict[DescribeKey, asyncio.Task[None]] = {}

    def lookup(self, org: Org) -> SchemaLookup:
        """The schemas of an org as far as memory has them, of whatever age."""
        return partial(self.memory.known, org)

    async def recall(self, org: Org, sobject: str = ALL) -> None:
        """Take an object's schema (or the list of objects) from the store into memory, if it is there and not here."""
        key = describe_key(org, sobject)
        if not self.memory.begin_recall(key):
            return
        describe = self.memory.get(key)
        try:
            async with self._store.database.reading() as connection:
                stored = await describe_cache.find(connection, key)
        except StoreError:
            return  # the call that follows says it better
        if stored is None or (describe is not None and stored.fetched_at <= describe.fetched_at):
            return
        content = await compression.unpack_in_thread(stored.body)
        if content is not None:
            self.memory.put(key, CachedDescribe(content, stored.last_modified, stored.fetched_at))
            await self._write(partial(describe_cache.touch_in, key=key))

    async def check_call(self, caller: Caller, org: Org, preflight: Preflight) -> None:
        """Raise InvalidArgument for a call that fresh describes show to be wrong.

        Nothing is fetched for a call that they find good. One that they would refuse may be about what was made since:
        they are asked for once more, by acts of their own, and where that fails Salesforce is the judge.
        """
        assert preflight.sobject is not None  # noqa: S101  # or memory would allow it
        await self.recall(org)
        await self.recall(org, preflight.sobject)
        problems, sobjects = self.memory.problems(org, preflight)
        if not problems or not await self._look_again(caller, org, sobjects):
            return
        problems, _ = self.memory.problems(org, preflight)
        if problems:
            raise refusal(problems)

    async def _look_again(self, caller: Caller, org: Org, sobjects: Iterable[str]) -> bool:
        """Ask for describes once more; False if one of them did not come."""
        for sobject in dict.fromkeys(sobjects):
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    if self.memory.fresh(org, sobject) is not None or sobject == ALL:
                        await self._ask_by_itself(caller, org, sobject)
            except (CallError, TimeoutError) as error:
                logger.debug("a describe did not come: %s", type(error).__name__)
                return False
        return True

    async def schema(
        self, session: OrgSession, caller: Caller, sobject: SObjectName, *, sure: bool = False, whole: bool = False
    ) -> Schema:
        """An object's schema, as far as its caller may know it, within a call that has its intent.

        ``sure``: true now, whatever that costs; ``whole``: read anew even where Salesforce says that it is unchanged.
        """

        def ask(version: str, sobject: SObjectName, since: str | None) -> Any:
            return describe.describe(version, sobject, None if whole else since)

        schema = await self._get(session, caller, sobject, ask, describe.read_schema, Schema, sure=sure or whole)
        if not session.limits.is_free:
            await self._learn_formulas(session, caller, schema)
        return limit_schema(session.limits, schema, session.schemas)

    async def _learn_formulas(self, session: OrgSession, caller: Caller, schema: Schema) -> None:
        """What an object's formulas are made from, as far as it can be had: the rest of them is not told."""
        for name in sorted(behind_formulas(schema, session.schemas))[:_MOST_PARENTS]:
            if names.is_field(name):
                with suppress(CallError):
                    await self._get(
                        session,
                        caller,
                        SObjectName(name),
                        describe.describe,
                        describe.read_schema,
                        Schema,
                        sure=False,
                    )

    async def objects(self, session: OrgSession, caller: Caller, *, sure: bool = False) -> ObjectList:
        """Every object of the org that its caller may know, within a call that has its intent."""

        def ask(version: str, _sobject: SObjectName, since: str | None) -> Any:
            return describe.objects(version, since)

        objects = await self._get(session, caller, ALL, ask, describe.read_objects, ObjectList, sure=sure)
        return limit_objects(session.limits, objects)

    async def ask_again(self, session: OrgSession, caller: Caller, sobject: str) -> None:
        """Learn an object's schema (or the list of objects) anew, within a call; at most once a minute."""
        if sobject and not names.is_field(sobject):
            return  # a word out of a query that is no object's name
        if not self._org_attempts.begin(describe_key(session.org, sobject), self._store.database.clock()):
            return
        if sobject == ALL:
            await self.objects(session, caller, sure=True)
        else:
            await self.schema(session, caller, SObjectName(sobject), sure=True)

    async def learn(self, caller: Caller, org: Org, sobject: str, *, anew: bool = False) -> None:
        """See that an object's schema is in memory, not older than a day: from the store, or by an act of its own.

        ``anew``: as it is now.
        """
        if self.memory.cached(org, sobject) is None:
            await self.recall(org, sobject)
        if anew or self.memory.cached(org, sobject) is None:
            await self._ask_by_itself(caller, org, sobject)

    async def learn_objects(self, caller: Caller, org: Org) -> None:
        """See that the list of an org's objects is in memory, not older than a day."""
        if self.memory.names(org) is None:
            await self.recall(org)
        if self.memory.names(org) is None:
            await self._ask_by_itself(caller, org, ALL)

    def renew(self, caller: Caller, org: Org, sobject: str) -> None:
        """Ask Salesforce anew behind the caller's back: an act of its own, on record, at most one a minute."""
        key = describe_key(org, sobject)
        if key in self._behind or not self._org_attempts.begin(key, self._store.database.clock()):
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
        """Ask Salesforce by an act that has its own intent. It is ours: nobody is shown what a policy hides of it."""
        name = SObjectName(sobject)

        def plan(_call: Call, _org: Org) -> Plan[Any]:
            async def send(session: OrgSession) -> Schema | ObjectList:
                if name == ALL:
                    return await self.objects(session, caller, sure=True)
                return await self.schema(session, caller, name, sure=True)

            return Plan(None, send, lambda _describe: Completion(Outcome.SUCCEEDED), uses=())

        await self._run(Call(caller, _TOOL, org.alias, name or None), Operation(Action.DESCRIBE, plan))

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
        key = describe_key(org, sobject)
        await self.recall(org, sobject)
        lock = self._locks.setdefault(key, asyncio.Lock())
        now = self._store.database.clock()
        cached = self.memory.get(key)
        if cached is not None and not sure and cached.is_within(STALE_SECONDS, now):
            if not cached.is_within(FRESH_SECONDS, now):
                self.renew(caller, org, sobject)
            return _content(kind, cached)
        async with lock:  # whoever waited here finds what the first one was told
            cached = self.memory.get(key)
            if cached is not None and (cached.fetched_at >= now or (not sure and cached.is_within(FRESH_SECONDS, now))):
                return _content(kind, cached)
            since = cached.last_modified if cached is not None else None
            asked_at = self._store.database.clock()
            try:
                reply = await session.call(ask(org.api_version, sobject, since), read)
            except Rejected as error:
                if error.category == "not_found":
                    await self._forget(key)
                raise
            return await self._learn(key, kind, cached, reply, asked_at)

    async def _learn(
        self,
        key: DescribeKey,
        kind: type[W],
        cached: CachedDescribe | None,
        reply: describe.Described[W],
        asked_at: int,
    ) -> W:
        if reply.what is None and cached is not None:
            self.memory.put(key, replace(cached, fetched_at=asked_at))
            await self._write(partial(describe_cache.confirm_in, key=key, fetched_at=asked_at))
            return _content(kind, cached)
        assert reply.what is not None  # noqa: S101  # 304 answers only a condition, which comes from what is cached
        self.memory.put(key, CachedDescribe(reply.what, reply.last_modified, asked_at))
        row = StoredDescribe(await compression.pack_in_thread(reply.what), reply.last_modified, asked_at)
        await self._write(partial(describe_cache.keep_in, key=key, describe=row))
        return reply.what

    async def _forget(self, key: DescribeKey) -> None:
        if self.memory.remove(key):
            await self._write(partial(describe_cache.forget_in, key=key))

    async def _write(self, change: Callable[[Transaction], object]) -> None:
        """Keep it, if the store can: a cache is no reason to fail."""
        try:
            await self._store.database.write(change)
        except StoreError as error:
            logger.warning("a describe could not be kept: %s", error)


def _content(kind: type[W], describe: CachedDescribe) -> W:
    assert isinstance(describe.content, kind)  # noqa: S101  # the empty name alone stands for the list
    return describe.content
