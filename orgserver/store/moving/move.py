"""A store moved to another database: the servers stopped, all of it copied and verified, the source marked first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, select

from orgserver.model.audit import Action, Completion, Intent, Outcome
from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.model.orgs import Caller
from orgserver.store import tables
from orgserver.store.audit.anchors import Anchors
from orgserver.store.audit.verification import Verification
from orgserver.store.engines.address import FileAddress, StoreAddress
from orgserver.store.moving import copy_marks, local_files, rows
from orgserver.store.moving.copy_marks import Stage
from orgserver.store.moving.places import Place, look_at, open_source, open_target, scan
from orgserver.store.moving.rows import Step
from orgserver.store.moving.search_tables import copy_tables
from orgserver.store.session import Store, open_store
from orgserver.store.sql.threads import run_in_loop
from orgserver.vault.ring import Vault

T = TypeVar("T")
VERIFYING = "verifying"
"""In place of a table's name, while the audit log is verified in the copy."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied, as both databases say it."""

    orgs: int
    events: int
    rows: int = 0
    """In all tables, copied and compared now."""
    files: int = 0
    """Beside the database."""
    chain_problem: str | None = None
    """The first thing wrong with the audit log; it was so before, and is moved as it is: evidence."""


@dataclass(frozen=True, slots=True)
class Move:
    """From where to where, who moves, and who is told how far it is."""

    source: StoreAddress
    target: StoreAddress
    open_vault: Callable[[], Vault]
    caller: Caller
    tell: Step = lambda _table, _rows: None


async def move(order: Move) -> Copied:
    """Move the store, or go on with a move that was cut off, at whatever step.

    StoreError or KeyProblem with one sentence: then the source is still the store, unless it says that it was moved.
    """
    if str(order.source) == str(order.target):
        raise StoreError(f"{order.target} is the store itself", hint="name another database or file to copy it to")
    stop = threading.Event()
    result = await run_to_end(stop, lambda: _finish(order))
    if result is not None:
        return result
    store = await open_store(order.source, lambda _create: order.open_vault(), caller=order.caller)
    try:
        caller = order.caller
        intent = Intent(new_id(), caller.principal.name, caller.transport, Action.EXPORT, tool="store copy")
        await store.audit.record(intent, Completion(Outcome.SUCCEEDED))
    finally:
        await store.close()
    return await run_to_end(stop, lambda: _copy(order, store, stop))


def _finish(order: Move) -> Copied | None:
    """Look at both, and do the last step where the source is marked already; None where all is still to be copied."""
    with open_source(order.source) as source:
        state = copy_marks.read_source(source)
        with look_at(order.target) as place:
            stage = copy_marks.find_stage(state, copy_marks.read_target(place), _names(order))
        if stage is Stage.COPY:
            return None
        with open_target(order.target) as target:
            if stage is Stage.PUBLISH:
                copy_marks.publish(source, target)
            with target.using() as connection:
                orgs, events = (rows.count_rows(connection, table) for table in (tables.orgs, tables.audit_events))
    return Copied(orgs, events)


def _copy(order: Move, store: Store, stop: threading.Event) -> Copied:
    with open_source(order.source) as source, open_target(order.target) as target:
        state, target_state = copy_marks.read_source(source), copy_marks.read_target(target)
        if copy_marks.find_stage(state, target_state, _names(order)) is not Stage.COPY:
            raise StoreError("another process moved this store just now", hint="run this again")
        copy_id = copy_marks.begin_copy(target, state.store_id, target_state)
        copied = copy_all(source, target, store, _stoppable(order.tell, stop))
        copy_marks.set_verified(target, copy_id)
        copy_marks.mark_moved(source, copy_id, url_of(order.target))
        copy_marks.publish(source, target)
    return copied


def copy_all(source: Place, target: Place, store: Store, step: Step) -> Copied:
    """Copy every row and file into a copy that was begun, and verify the copy; StoreError if it is not the same."""
    contents = copy_tables(source, target, step)
    files = local_files.copy_files(source.address.beside, target.address.beside)
    problem = _verify(source, target, store, step)
    return Copied(
        contents[tables.orgs.name].rows,
        contents[tables.audit_events.name].rows,
        sum(each.rows for each in contents.values()),
        files,
        problem,
    )


def _verify(source: Place, target: Place, store: Store, step: Step) -> str | None:
    """Verify the whole chain in the copy, up to the head of the source; the first thing wrong with it."""
    state = Verification(store.id, store.audit.mac, store.audit.open_head, Anchors(store.audit.signer.verifier))

    def verify(connection: Connection) -> None:
        state.run(connection, lambda sequence: step(VERIFYING, sequence))

    scan(target.address, verify)
    with source.using() as connection:
        head = connection.execute(select(tables.audit_head.c.hash)).scalar_one()
    if state.problem is None and state.hash != head:
        return "the log in the copy ends elsewhere"
    return state.problem


def url_of(address: StoreAddress) -> str:
    """An address as ORGSERVER_DATABASE_URL names it."""
    if isinstance(address, FileAddress):
        return f"sqlite+aiosqlite:///{quote(str(address.file))}"
    return str(address)


def _names(order: Move) -> tuple[str, str]:
    return str(order.source), str(order.target)


def _stoppable(step: Step, stop: threading.Event) -> Step:
    def step_unless_stopped(table: str, count: int) -> None:
        if stop.is_set():
            raise StoreError("it was interrupted", hint="run it again: it goes on from there")
        step(table, count)

    return step_unless_stopped


async def run_to_end(stop: threading.Event, work: Callable[[], T]) -> T:
    """Run what blocks in a thread with an event loop of its own; an interrupted command waits until it has stopped."""
    task = asyncio.ensure_future(asyncio.to_thread(run_in_loop, work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({task})
        raise
