"""Shipping: what lies at the place is looked at first, and what is missing there is put there, part by part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection, select

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import AuditBroken, OperatorError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.model.text import count_of
from orgserver.services.audit.shipping import parts as part_files
from orgserver.services.audit.shipping.lag import NO_LAG, SHIP, Lag, read_lag
from orgserver.services.audit.shipping.parts import LOG_FILE, Part, name_part, read_parts
from orgserver.services.audit.shipping.standing import Standing, compare, find_late
from orgserver.services.audit.shipping.targets import Listed, Target, TargetError
from orgserver.store import tables
from orgserver.store.audit import checkpoints, reader
from orgserver.store.audit.base import read_base_in
from orgserver.store.audit.checkpoints import Shippable
from orgserver.store.session import Store
from orgserver.vault.signed_notes import BadNote

_TASK = "shipping"
_MOST_REST = 1.0
_OWN_PLACE = "ship each store to a folder or a prefix of its own"
_PUT_BACK = "put the file back from a copy, or ship to a new folder or prefix"
_STRANGE = {
    "this": (f"{LOG_FILE} in {{}} was altered", _PUT_BACK),
    "other": ("{} holds the log of another store", _OWN_PLACE),
    "unknown": (f"{LOG_FILE} in {{}} was altered, or is of another store", f"{_PUT_BACK}; {_OWN_PLACE}"),
}
"""What is said of a place whose description is not this log's, by whose it is."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """What a run came to."""

    parts: int = 0
    events: int = 0
    last: int = 0
    """The sequence that everything is away up to."""
    problems: tuple[str, ...] = ()
    """What is wrong at the place: nothing was replaced there, and the rest was shipped all the same."""
    lag: Lag = NO_LAG
    busy: bool = False
    """Another process ships just now."""


class Shipper:
    """Ships one log to one place."""

    def __init__(self, store: Store, target: Target, *, rest: float = 0.0) -> None:
        """``rest``: for so many times as long as a part took, calls of this process have the machine for themselves."""
        self._store = store
        self._rest = rest
        self._target = target
        self._checked: dict[Listed, str | None] = {}
        """What was found in the content of parts, which holds for as long as they are not written again."""

    @property
    def target(self) -> str:
        """The place, as people call it."""
        return self._target.name

    async def ship(self, caller: Caller) -> Shipment:
        """Put there what is missing; on record, however it ends. TargetError where it cannot be done."""
        async with self._store.database.engine.exclusive(_TASK) as is_mine:
            if not is_mine:
                return replace(await self.look(), busy=True)
            standing, first, problems = await self._compare()
            has_news = (await self.read_lag(standing.last)).events > 0
            if has_news:
                await self._store.audit.look_after(idle_us=0)  # so that all that is there now is under a signature
                standing = compare(standing.parts, await self._read_log(), first)
            if not has_news and not standing.refilled:  # but what shipping itself has left in the log
                standing = replace(standing, spans=())
            return await self._put_all(caller, standing, first, problems)

    async def look(self) -> Shipment:
        """How it stands, without putting anything there."""
        standing, _, problems = await self._compare()
        return Shipment(0, 0, standing.last, tuple(problems), await self.read_lag(standing.last))

    async def read_lag(self, last: int) -> Lag:
        """The lag behind the last event that is known to be away, without a look at the place."""
        now = self._store.database.clock()
        return await self._store.database.scan(partial(read_lag, last=last, now=now))

    async def prove(self, first: int, last: int) -> None:
        """See that these events lie there, whole: OperatorError, in one line, where they do not."""
        parts = read_parts(await self._target.list_files())
        await self._find_beginning(parts, first)
        at = first - 1
        for part in (part for part in parts if first <= part.first and part.last <= last):
            problem = await self._check(part) if part.first == at + 1 else f"{part.file.name} does not follow {at:,}"
            if problem is not None:
                raise OperatorError(f"{self.target}: {problem}", hint="orgserver audit ship says what is wrong there")
            at = part.last
        if at != last:
            raise OperatorError(
                f"the events from {at + 1:,} to {last:,} have not been shipped to {self.target}",
                hint="orgserver audit ship ships them",
            )

    async def _compare(self) -> tuple[Standing, int, list[str]]:
        """What lies there, where it begins, and what is wrong. TargetError where it is the place of another log."""
        log = await self._read_log()
        parts = read_parts(await self._target.list_files())
        begin, problems = await self._find_beginning(parts, log.base + 1)
        standing = compare(parts, log, begin)
        for part in standing.strangers:
            await self._refuse_future(part, log)
            problems.append(f"{part.file.name} is no part of this log")
        for first, last in standing.lost:
            problems.append(f"the events from {first:,} to {last:,} are missing there, and no longer in the log")
        if standing.refilled:
            problems.append(f"{count_of(standing.refilled, 'part')} had been removed there, and the log still has them")
        for part in find_late(standing.parts):
            await self._check(part)
        results = (self._checked.get(part.file) for part in standing.parts)
        problems += [problem for problem in results if problem is not None]
        return standing, begin, problems

    async def _read_log(self) -> Shippable:
        return await self._store.database.scan(partial(_read_shippable, store_id=self._store.id))

    async def _find_beginning(self, parts: Sequence[Part], first: int) -> tuple[int, list[str]]:
        """From which event on the log lies there; ``first`` where nothing does yet."""
        content = await self._target.read(LOG_FILE)
        if content is None:
            problems = [f"{LOG_FILE} had been removed there"] if parts else []
            return min([first, *(part.first for part in parts)]), problems
        verifier = self._store.audit.signer.verifier
        try:
            return part_files.read_beginning(content, verifier), []
        except BadNote:
            reason, hint = _STRANGE[part_files.find_owner(content, verifier)]
        raise TargetError(f"{reason.format(self.target)}, so nothing was shipped there", hint=hint)

    async def _refuse_future(self, part: Part, log: Shippable) -> None:
        """A part of what this log does not have, signed by it: the store is a copy, older or another one."""
        if part.last <= log.base:
            return
        content = await self._read_content(part)
        if content.problem is None:
            raise TargetError(
                f"{self.target} holds events up to {part.last:,} that this log does not have, so nothing was shipped "
                "there: the store is an older copy, or another copy of it ships there",
                hint="ship a store that was put back from a backup to a new folder or prefix",
            )

    async def _check(self, part: Part) -> str | None:
        """What is wrong with a part's content."""
        if part.file in self._checked:
            return self._checked[part.file]
        content = await self._read_content(part)
        if content.problem is not None:
            self._checked[part.file] = f"{part.file.name} was altered there: {content.problem}"
            return self._checked[part.file]
        own = await self._store.database.scan(partial(_read_hash, sequence=part.last, store_id=self._store.id))
        if own is not None and own != content.last_hash:
            raise TargetError(
                f"{self.target} holds another course of this log up to event {part.last:,}, so nothing was shipped "
                "there: another copy of the store ships there",
                hint="let one copy ship there, and the other to a new folder or prefix",
            )
        self._checked[part.file] = None
        return None

    async def _read_content(self, part: Part) -> part_files.Content:
        content = await self._target.read(part.file.name)
        return await asyncio.to_thread(part_files.check, part, content, self._store.audit.signer.verifier)

    async def _put_all(self, caller: Caller, standing: Standing, begin: int, problems: list[str]) -> Shipment:
        count = events = 0
        newest = standing.last
        if standing.spans:
            await self._target.add(LOG_FILE, part_files.describe_log(self._store.audit.signer, begin))
        code: str | None = "AUDIT_SHIP"
        try:
            for first, last in standing.spans:
                began = time.monotonic()
                if await self._put(first, last):
                    count += 1
                    events += last - first + 1
                newest = max(newest, last)
                await asyncio.sleep(min(_MOST_REST, self._rest * (time.monotonic() - began)))
            code = None
        finally:
            if events:
                await self._record(caller, events, code)
        return Shipment(count, events, newest, tuple(problems), await self.read_lag(newest))

    async def _put(self, first: int, last: int) -> bool:
        content = await self._store.database.scan(partial(_pack, first=first, last=last, store_id=self._store.id))
        return await self._target.add(name_part(first, last), content)

    async def _record(self, caller: Caller, events: int, code: str | None) -> None:
        intent = Intent(new_id(), caller.principal.name, caller.transport, Action.EXPORT, tool=SHIP, label=self.target)
        await self._store.audit.record(intent, Completion(Outcome.SUCCEEDED, error_code=code, row_count=events))


def _read_shippable(connection: Connection, store_id: str) -> Shippable:
    with connection.begin():
        return checkpoints.read_shippable(connection, read_base_in(connection, store_id).sequence)


def _read_hash(connection: Connection, sequence: int, store_id: str) -> bytes | None:
    events = tables.audit_events.c
    with connection.begin():
        base = read_base_in(connection, store_id)
        hash_: bytes | None = connection.execute(select(events.hash).where(events.sequence == sequence)).scalar()
    return base.hash if sequence == base.sequence else hash_


def _pack(connection: Connection, first: int, last: int, store_id: str) -> bytes:
    with connection.begin():
        note = checkpoints.read_note(connection, last)
        events = reader.read_events_between(connection, first - 1, last, store_id)
    if note is None or [event["sequence"] for event in events] != [*range(first, last + 1)]:
        raise AuditBroken(
            f"the events from {first:,} to {last:,} are not whole in the log, so they were not shipped",
            hint="orgserver audit verify says what was done to it; or it was pruned just now: try again",
        )
    return part_files.pack(events, note)
