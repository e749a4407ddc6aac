"""A move is killed at a step or at any moment: never two stores that open, and run again it is finished and whole.

One store moves on and on, from its file to a server's database and from there to a file, each time to a new place.
"""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from orgserver.model.errors import StoreError
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from orgserver.store.moving import copy_marks
from orgserver.store.moving.move import move, url_of
from tests.store.moving.world import Home, read
from tests.store_server import StoreServer

from .forking import CONTEXT, ForkedProcess
from .store_places import StorePlace

STEPS = ("begin_copy", "set_verified", "mark_moved", "publish")
POINTS = (*(f"{side} {step}" for step in STEPS for side in ("before", "after")), "page")
"""Where a move kills itself: a step of ``copy_marks``, or the first page of the log."""
RANDOM = "random"
LOG = ("audit_events", "audit_head", "audit_entries", "audit_indexed", "audit_checkpoints")
_FIRST_SECONDS = 6.0
_LONGER = 1.2


@dataclass
class Moves:
    """What the kills did."""

    kills: Counter[str] = field(default_factory=Counter)
    """By what could be opened after each: the source, neither or the target."""
    steps: Counter[str] = field(default_factory=Counter)
    """By what was struck: a named step, or any moment."""
    late: int = 0
    """Moves that were over before they were to be killed, at no named step."""
    seconds: float = _FIRST_SECONDS
    """How long a move lasts here and now, as far as is known: random moments lie within."""
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.wrong and bool(self.kills)

    def __str__(self) -> str:
        return (
            f"{self.kills.total()} moves killed, {dict(self.kills)} could be opened; {self.late} were quicker; "
            f"struck at {dict(self.steps)}; "
            f"all finished by running them again; {len(self.wrong)} wrong {self.wrong[:4] or ''}"
        )


async def moving(points: Sequence[str], *, seed: int, place: StorePlace) -> Moves:
    """Kill a move at each of these points, one after the other, and judge."""
    assert place.server is not None
    chance, done = random.Random(seed), Moves()
    with tempfile.TemporaryDirectory() as folder:
        home = Home.make(Path(folder) / "home")
        here: StoreAddress = home.store
        await (await home.open(here)).close()  # which migrates it
        for number, point in enumerate(points):
            there = await _new_place(home, here, number, place.server)
            await _round(home, here, there, point, chance, done)
            if isinstance(here, ServerAddress):
                await asyncio.to_thread(place.server.drop, here.url.database or "")
            here = there
    return done


async def _new_place(home: Home, here: StoreAddress, number: int, server: StoreServer) -> StoreAddress:
    if isinstance(here, ServerAddress):
        return home.file(f"{number}.db")
    return home.database(server, await asyncio.to_thread(server.database))


async def _round(
    home: Home, source: StoreAddress, target: StoreAddress, point: str, chance: random.Random, done: Moves
) -> None:
    before = await read(source, *LOG)
    process = await _begin(home, source, target, point)
    if point == RANDOM:
        await _kill_at_some_moment(process, chance, done)
    code = await process.wait()
    opened = [await opens(home, each) for each in (source, target)]
    if code == -signal.SIGKILL:
        done.kills[{(True, False): "source", (False, False): "neither", (False, True): "target"}.get((*opened,), "both")] += 1  # fmt: skip
        done.steps[point] += 1
    done.late += code == 0 and point == RANDOM
    if code == 0 and point != RANDOM:
        done.wrong.append(f"{point}: the move never came there")
    if code not in (0, -signal.SIGKILL) or all(opened):
        done.wrong.append(f"{point}: ended with {code}, opened {opened}")
    await home.move(target, source)
    if [await opens(home, each) for each in (source, target)] != [False, True]:
        done.wrong.append(f"{point}: not finished by running it again")
    if await read(target, *LOG) != before:
        done.wrong.append(f"{point}: not what it was")


async def _begin(home: Home, source: StoreAddress, target: StoreAddress, point: str) -> ForkedProcess:
    """A process that has begun to move."""
    told, tell = CONTEXT.Pipe(duplex=False)
    arguments = (tell, str(home.folder), url_of(source), url_of(target), point)
    process = CONTEXT.Process(target=_move, args=arguments, daemon=True)
    process.start()
    tell.close()
    forked = ForkedProcess(process)
    with told, contextlib.suppress(EOFError):  # it ended before: its exit code says more
        await asyncio.to_thread(told.recv)
    return forked


async def _kill_at_some_moment(process: ForkedProcess, chance: random.Random, done: Moves) -> None:
    """Kill it within the time that a move lasts, which is learnt from those that end before."""
    began = time.monotonic()
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait({ended}, timeout=chance.uniform(0, done.seconds))  # the fault itself: its moment is random
    if ended.done():
        done.seconds = time.monotonic() - began
        return
    done.seconds *= _LONGER
    process.kill()
    await ended


async def opens(home: Home, address: StoreAddress) -> bool:
    """Whether a place can be opened as a store; one that nothing was written to would only be made now."""
    if not await has_tables(address):
        return False
    try:
        await (await home.open(address)).close()
    except StoreError:
        return False
    return True


async def has_tables(address: StoreAddress) -> bool:
    """Whether anything was written to a place."""
    if isinstance(address, FileAddress):
        with contextlib.closing(sqlite3.connect(address.file)) as connection:
            return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    import asyncpg

    session = await asyncpg.connect(address.url.render_as_string(), timeout=10, password="", ssl=False)
    try:
        return bool(await session.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
    finally:
        await session.close()


# -- the process that is killed


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(step: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        if before:
            _kill()
        result = step(*arguments)
        _kill()
        return result

    return run


def _address(home: Home, url: str) -> StoreAddress:
    if url.startswith("sqlite"):
        return FileAddress(Path(url.partition(":///")[2]))
    return ServerAddress(make_url(url), home.folder / f"postgresql-{url.rpartition('/')[2]}")


def _move(told: Connection, folder: str, source: str, target: str, point: str) -> None:
    home = Home(Path(folder))
    side, _, step = point.partition(" ")
    if step:
        setattr(copy_marks, step, _dying(getattr(copy_marks, step), before=side == "before"))

    def tell(table: str, _rows: int) -> None:
        if point == "page" and table == "audit_events":
            _kill()

    told.send(point)
    asyncio.run(move(home.order(_address(home, target), _address(home, source), tell)))
