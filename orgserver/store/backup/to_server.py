"""A backup put into a database of a server, and a database marked that the server's own tools have put back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select

from orgserver.model.errors import StoreError
from orgserver.model.orgs import Caller
from orgserver.private_files import staging_path
from orgserver.store import tables
from orgserver.store.backup import staging
from orgserver.store.backup.copy import StoreCopy, open_once, read_contents
from orgserver.store.backup.source import take_file
from orgserver.store.backup.strip import strip
from orgserver.store.engines import schema
from orgserver.store.engines.address import FileAddress, ServerAddress, StoreAddress
from orgserver.store.files import prepare_file
from orgserver.store.moving import copy_marks
from orgserver.store.moving.copy_marks import TargetState
from orgserver.store.moving.move import Copied, copy_all, run_to_end
from orgserver.store.moving.places import look_at, open_source, open_target
from orgserver.store.session import Store, open_store
from orgserver.store.transaction import Transaction, to_datetime
from orgserver.vault.ring import Vault


async def restore(file: Path, target: ServerAddress, open_vault: Callable[[], Vault], caller: Caller) -> StoreCopy:
    """Put a copy into an empty database as the store, with every refresh token held back; the copy stays as it is.

    It is opened and checked in a file first. Raises StoreError or KeyProblem: then there is no store there, and a
    restore that was cut off is finished by another.
    """
    stop = threading.Event()
    await run_to_end(stop, lambda: _refuse_occupied(target))
    staging_file = staging_path(target.beside)
    try:
        prepare_file(staging_file)
        source = await staging.run_to_end(take_file, file, staging_file)
        store, contents = await open_once(staging_file, open_vault, source, caller)
        copied = await run_to_end(stop, lambda: _put(staging_file, target, store))
    finally:
        staging.discard(staging_file)
    problem = contents.chain_problem or copied.chain_problem
    return StoreCopy(target.beside, to_datetime(source.made_at), contents.orgs, contents.events, 0, (), problem)


def _refuse_occupied(target: ServerAddress) -> None:
    with look_at(target) as place:
        _refuse(copy_marks.read_target(place), target)


def _refuse(state: TargetState, target: ServerAddress) -> None:
    """What a restore left unfinished is made anew; what a move has nearly finished may be all there is of a store."""
    if state.store_id is None or (state.copy_id is not None and not state.is_verified):
        return
    what = "a store that is nearly moved" if state.copy_id is not None else "a store"
    hint = "run that orgserver store copy again" if state.copy_id is not None else "name a database that is empty"
    raise StoreError(f"there is {what} in {target} already, and it is left as it is", hint=hint)


def _put(staging_file: Path, target: ServerAddress, store: Store) -> Copied:
    with open_source(FileAddress(staging_file)) as source, open_target(target) as place:
        state, target_state = copy_marks.read_source(source), copy_marks.read_target(place)
        _refuse(target_state, target)
        copy_marks.begin_copy(place, state.store_id, target_state)
        copied = copy_all(source, place, store, lambda _table, _rows: None)
        copy_marks.publish(source, place)
    return copied


async def mark(address: StoreAddress, open_vault: Callable[[], Vault], caller: Caller) -> StoreCopy:
    """Make a copy of ours of a store that was put back by other means: every refresh token in it is held back.

    StoreError where it is in use: then it was started before it was marked.
    """
    await run_to_end(threading.Event(), lambda: _refuse_used(address))
    store = await open_store(address, lambda _create: open_vault(), caller=caller)
    try:
        made_at = await store.database.write(_mark_in)
        await store.hold_copied(caller)
        contents = await store.database.scan(lambda connection: read_contents(connection, store))
    finally:
        await store.close()
    return StoreCopy(
        address.beside, to_datetime(made_at), contents.orgs, contents.events, 0, (), contents.chain_problem
    )


def _refuse_used(address: StoreAddress) -> None:
    with open_source(address) as source:
        state = copy_marks.read_source(source)
    if state.moved_to is not None:
        raise schema.moved_away(str(address), state.moved_to)


def _mark_in(tx: Transaction) -> int:
    """It is as old as the last thing it knows."""
    newest: int | None = tx.connection.execute(select(func.max(tables.audit_events.c.time))).scalar()
    made_at = newest if newest is not None else tx.now
    strip(tx.connection, made_at)
    return made_at
