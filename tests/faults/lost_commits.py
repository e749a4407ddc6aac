"""COMMITs of a store on a server get no answer, again and again: each is looked up, and nothing is there twice or lost.

Callers write audited calls, and then count up a number in changes that leave no event. Between them and the server a
proxy takes a share of the COMMITs or of their replies out of the line (``commit_proxy``). No call may fail.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select, update

from orgserver.app import open_app
from orgserver.config import read_settings
from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.names import new_id
from orgserver.services.audit.log_reader import AuditLogReader
from orgserver.store import tables
from orgserver.store.session import Store
from orgserver.store.transaction import Transaction

from .commit_proxy import CommitProxy, commit_proxy
from .store_places import StorePlace, url_of

CALLERS = 12
FAR = 1 << 60


@dataclass
class LostCommits:
    """What was lost, and what is there."""

    lost: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    entries: int = 0
    counted: int = 0
    count: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.wrong and (self.entries, self.count) == (self.calls, self.counted)

    def __str__(self) -> str:
        return (
            f"{self.lost.total()} COMMITs lost {dict(self.lost)}; {self.calls} calls answered, {self.entries} on record; "
            f"{self.counted} changes without an event answered, {self.count} made; {len(self.wrong)} wrong {self.wrong[:4] or ''}"
        )


async def lost_commits(audited: int, counted: int, *, seed: int, place: StorePlace) -> LostCommits:
    """Lose so many of groups that append to the audit log, and of groups that do not, and judge."""
    done = LostCommits()
    assert place.server is not None
    assert place.url is not None
    database = place.url.rpartition("/")[2]
    with tempfile.TemporaryDirectory() as folder:
        async with commit_proxy(place.server.port, seed=seed) as proxy:
            settings = {"home": Path(folder) / "home", "database_url": url_of(place.server, database, proxy.port)}
            async with open_app(read_settings(settings | {"log_level": "error"}, {})) as app:
                await _lose(proxy, audited, lambda: _call(done, app.store))
                began = await app.store.database.write(_read_count)
                await _lose(proxy, counted, lambda: _count_up(done, app.store))
                done.count = await app.store.database.write(_read_count) - began
                await _judge(done, app.store)
            done.lost = proxy.lost
    return done


async def _lose(proxy: CommitProxy, commits: int, act: Callable[[], Awaitable[None]]) -> None:
    proxy.left = commits

    async def caller() -> None:
        while proxy.left:
            await act()
        await act()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _call(done: LostCommits, store: Store) -> None:
    intent = Intent(new_id(), "local:faults", "stdio", Action.CREATE, org="acme", object="Contact")
    begun = await store.audit.begin(intent, deadline=FAR, catalog_version=1)
    is_first = await store.audit.finish(intent.id, Completion(Outcome.SUCCEEDED))
    done.calls += 1
    if begun.verdict != "begun" or not is_first:
        done.wrong.append(f"{intent.id}: {begun.verdict}, {'first' if is_first else 'not the first'} outcome")


async def _count_up(done: LostCommits, store: Store) -> None:
    await store.database.write(_add_one)
    done.counted += 1


def _add_one(tx: Transaction) -> None:
    tx.connection.execute(update(tables.store).values(catalog_version=tables.store.c.catalog_version + 1))


def _read_count(tx: Transaction) -> int:
    return int(tx.connection.execute(select(tables.store.c.catalog_version)).scalar_one())


async def _judge(done: LostCommits, store: Store) -> None:
    found = await AuditLogReader(store).verify()
    done.entries = found.entries
    if found.problem is not None:
        done.wrong.append(f"the chain: {found.problem}")
    async with store.database.reading() as connection:
        pending = (await connection.execute(select(tables.audit_pending.c.entry_id))).scalars().all()
    if pending:
        done.wrong.append(f"{len(pending)} intents without an outcome")
