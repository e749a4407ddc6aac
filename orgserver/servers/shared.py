"""What both servers are made with: how they end, and which traces their calls may be a part of."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial

from orgserver.app import App
from orgserver.model.errors import OrgserverError, StoreError
from orgserver.services.connections.reachability import Reachability
from orgserver.serving.shutdown import DRAIN_SECONDS, Ending

_BUSY_SECONDS, _HASTE_SECONDS = 1.0, 0.3
"""How long the store is waited for when the server ends, and how long when that was in vain: 5 s in all."""


def end_by_signals(app: App) -> Ending | None:
    """How a server ends when a signal comes; None where the system has no such signals."""
    if sys.platform == "win32":
        return None
    ending = make_ending(app)
    ending.on_signals()
    return ending


def make_ending(app: App) -> Ending:
    """How a server ends when that is asked for."""
    return Ending(partial(_drain_seconds, app), app.services.executor.give_up)


@contextmanager
def looking_after_logins(app: App) -> Iterator[None]:
    """Keep logins alive, and end those that are over, beside a server."""
    works = (app.keep_alive.run(), app.revoker.run(), Reachability(app.store, app.access, app.observer).run())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()  # a refresh under way is waited for when the app closes


@asynccontextmanager
async def shipping(app: App) -> AsyncIterator[None]:
    """Ship the audit log beside a server, where that is set; ConfigError where it is set wrongly."""
    if app.ship_schedule is None:
        yield
        return
    task = asyncio.create_task(app.ship_schedule.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OrgserverError):  # what left is put on record before the store closes
            await task


def trace_members_past_sdk() -> frozenset[str] | None:
    """The members of a request that name a trace; None where another program's tracer is to see the SDK's spans."""
    from orgserver.telemetry.trace_context import has_spans_of_sdk, trace_members  # noqa: PLC0415  # with the SDK

    return None if has_spans_of_sdk() else trace_members()


async def _drain_seconds(app: App) -> float:
    """How long calls under way may take when the end was asked for: not long where the store is busy anyway."""
    app.store.database.hurry(_BUSY_SECONDS)
    try:
        await app.store.database.write(lambda _tx: None)
    except StoreError:
        app.store.database.hurry(_HASTE_SECONDS)
        return _HASTE_SECONDS
    return DRAIN_SECONDS
