"""Which master keys the store needs, and giving it a new one while servers run and calls go on.

The store's own row moves last. While it is under another key than the first, a rotation has not come to its end,
and the next one goes on with it instead of making one more key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import KeyProblem, StoreBusy
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store.orgs.rewrapping import Page, Standing
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction
from orgserver.vault.keys import Key
from orgserver.vault.ring import retry_behind

PAGE = 100
"""Data keys in one transaction: a few milliseconds, which is what a call waits at most."""
_LASTS_SECONDS = 3_600
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did."""

    key: str
    """The id of the key that everything is under now."""
    made: bool
    """A new key was made and written to the ring's file; otherwise the ring had it already."""
    resumed: bool
    """An earlier rotation was cut off, and this one has finished it."""
    moved: int
    resealed: bool
    usage: Mapping[str, int]
    """Values under each key now, by key id."""
    unreadable: tuple[str, ...]
    """Orgs, people's logins, or ``sign-ins``, whose data key no key of the ring opens: they were left as they are."""
    source: str
    seconds: float


@dataclass(slots=True)
class _Work:
    to: Key
    reseal: bool
    page: int
    progress: Progress
    total: int = 0
    moved: int = 0
    unreadable: set[str] = field(default_factory=set)


class MasterKeys:
    """The master keys of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wrapped_keys = store.wrapped_keys

    @property
    def ring(self) -> tuple[str, ...]:
        """The ids of the keys at hand, the one that seals first."""
        return tuple(key.id.hex() for key in self._wrapped_keys.vault.ring)

    @property
    def source(self) -> str:
        """Where the ring comes from, for people; never a key."""
        return self._wrapped_keys.vault.source

    async def usage(self) -> dict[str, int]:
        """How many values each key seals, by key id; a key of the ring that seals none has 0."""
        standing = await self._standing()
        return dict.fromkeys(self.ring, 0) | dict(standing.usage)

    async def rotate(
        self,
        caller: Caller,
        *,
        reseal: bool = False,
        page: int = PAGE,
        progress: Progress = lambda _done, _total: None,
    ) -> Rotated:
        """Bring everything under the ring's first key, a new one if need be; ``reseal`` makes new data keys too.

        Raises KeyProblem, with one sentence: another rotation is at work, or only the operator can make the key.
        """
        started = time.monotonic()
        async with self._store.database.engine.exclusive("rotate") as is_mine:
            if not is_mine:
                raise KeyProblem(
                    "another rotate-key is at work on this store",
                    hint="wait until it has ended; what it leaves undone, the next one finishes",
                )
            await asyncio.to_thread(self._wrapped_keys.vault.read_again)  # an earlier rotation may have ended just now
            standing = await self._standing()
            made = self._needs_new_key(standing, reseal=reseal)
            resumed = not made and standing.usage.get(self.ring[0], 0) > 0
            if made:
                await asyncio.to_thread(self._wrapped_keys.vault.renew)
            first = self._wrapped_keys.vault.ring[0]
            work = _Work(first, reseal, page, progress)
            await self._on_record(caller, work)
        return Rotated(
            key=first.id.hex(),
            made=made,
            resumed=resumed,
            moved=work.moved,
            resealed=reseal,
            usage=await self.usage(),
            unreadable=await self._aliases(work.unreadable),
            source=self.source,
            seconds=time.monotonic() - started,
        )

    def _needs_new_key(self, standing: Standing, *, reseal: bool) -> bool:
        """Tell whether the first key has done its duty: then a new one begins; otherwise there is work left for it."""
        first, *others = self.ring
        fresh = standing.usage.get(first, 0) == 0
        unfinished = standing.store != {first}
        stragglers = any(standing.usage.get(other) for other in others)
        return not (fresh or unfinished or (stragglers and not reseal))

    async def _on_record(self, caller: Caller, work: _Work) -> None:
        """Do the work between its intent and its outcome in the audit log."""
        intent = Intent(
            id=new_id(),
            principal=caller.principal.name,
            transport=caller.transport,
            action=Action.KEY,
            tool="rotate-key --reseal" if work.reseal else "rotate-key",
            object=work.to.id.hex(),
        )
        await self._begin(intent)
        started = time.perf_counter()
        try:
            await self._move_all(work)
        except BaseException:
            with suppress(StoreBusy):  # it is written when the store closes, or found without its outcome
                await self._store.audit.finish(intent.id, _completion(Outcome.UNKNOWN, work, started, "INTERRUPTED"))
            raise
        with suppress(StoreBusy):
            await self._store.audit.finish(intent.id, _completion(Outcome.SUCCEEDED, work, started))

    async def _begin(self, intent: Intent) -> None:
        deadline = (time.time_ns() // 1_000) + _LASTS_SECONDS * 1_000_000
        while True:
            async with self._store.database.reading() as connection:
                version = await self._store.orgs.catalog_version(connection)
            begun = await self._store.audit.begin(intent, deadline=deadline, catalog_version=version)
            if begun.verdict == "begun":
                return

    async def _move_all(self, work: _Work) -> None:
        """Go through the data keys until nothing is left, for orgs may be added meanwhile; then the store's own."""
        while left := await retry_behind(lambda: self._left(work)):
            work.total = work.moved + left
            await self._pass(work)
        move = partial(self._wrapped_keys.move_store_in, to=work.to, reseal=work.reseal)
        work.moved += await self._store.database.write(move)

    async def _left(self, work: _Work) -> int:
        async with self._store.database.reading() as connection:
            return await self._wrapped_keys.left(connection, work.to, reseal=work.reseal)

    async def _pass(self, work: _Work) -> None:
        """Move everything once, page by page."""
        last: str | None = ""
        while last is not None:

            def change(tx: Transaction, after: str = last) -> Page:
                return self._wrapped_keys.move_in(tx, work.to, after, work.page, reseal=work.reseal)

            page = await self._store.database.write(change)
            last = page.last
            work.moved += page.moved
            work.unreadable.update(page.unreadable)
            work.progress(work.moved, work.total)

    async def _standing(self) -> Standing:
        async with self._store.database.reading() as connection:
            return await self._wrapped_keys.standing(connection)

    async def _aliases(self, owners: set[str]) -> tuple[str, ...]:
        if not owners:
            return ()
        async with self._store.database.reading() as connection:
            catalog = await self._store.orgs.catalog(connection)
        names = {str(org.row_id): alias for alias, org in catalog.by_alias.items()} | {self._store.id: "sign-ins"}
        for login in catalog.connections.values():
            names[login.id] = f"{login.principal}'s login to {names[login.row_id]}"
        return tuple(sorted(names.get(owner, owner) for owner in owners))


def _completion(outcome: Outcome, work: _Work, started: float, code: str | None = None) -> Completion:
    duration = int((time.perf_counter() - started) * 1_000_000)
    return Completion(outcome, error_code=code, row_count=work.moved, duration_us=duration)
