"""Which of two databases is the store, at every moment of a move: what is written in each, and in which order.

The copy is marked as unfinished before anything else is in it. When it is whole and verified, that is written in it;
then the source is marked as moved to this very copy; then the copy becomes the store. Between any two of these steps
at most one of them can be opened, and from each of them the move goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import Boolean, Column, Connection, MetaData, Row, Table, Text, insert, select, text, update

from orgserver.model.errors import StoreError
from orgserver.model.names import new_id
from orgserver.store import tables
from orgserver.store.engines import schema
from orgserver.store.engines.schema import needs_upgrade
from orgserver.store.moving.places import Place

unfinished_copy = Table(
    schema.UNFINISHED,
    MetaData(),  # it is none of the store's tables
    Column("copy_id", Text, primary_key=True),
    Column("store_id", Text, nullable=False),
    Column("is_verified", Boolean, nullable=False),
)
_LOCK_SCHEMA = text("SELECT pg_advisory_xact_lock(:key)")
_LOCK_HEAD = text(f"LOCK TABLE {schema.HEAD} IN ACCESS EXCLUSIVE MODE")
"""As renaming it will: whoever waited for a row of it would stand in the way of that."""


class Stage(Enum):
    """What is left to do of a move."""

    COPY = auto()
    PUBLISH = auto()
    """The source is marked already."""
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class SourceState:
    """What the database is that a store is moved from."""

    store_id: str
    moved_to: str | None


@dataclass(frozen=True, slots=True)
class TargetState:
    """What the database is that a store is moved to; no store id where there is nothing."""

    store_id: str | None = None
    copy_id: str | None = None
    """Of a copy that is not finished."""
    is_verified: bool = False


def read_source(source: Place) -> SourceState:
    """Read what the source is, and keep its writers away; StoreError where it is no store."""
    names = source.table_names()
    schema.refuse_unfinished(names, str(source.address))
    if tables.store.name not in names:
        raise StoreError(f"there is no store at {source.address}", hint="set ORGSERVER_HOME, or ORGSERVER_DATABASE_URL")
    with source.using() as connection:
        if source.is_server and schema.HEAD in names:
            connection.execute(_LOCK_HEAD)
        row = _read_store(connection, names)
    if row is None:
        raise StoreError(f"there is no store at {source.address}", hint="add an org first, or restore a backup")
    return SourceState(row.store_id, row.moved_to)


def _read_store(connection: Connection, names: set[str]) -> Row[Any] | None:
    """Which store it is; one of an older schema does not have all of the columns, and was never moved."""
    if schema.HEAD_OF_MOVED in names:
        return connection.execute(text("SELECT store_id, moved_to FROM store")).first()
    return connection.execute(text("SELECT store_id, NULL AS moved_to FROM store")).first()


def read_target(target: Place | None) -> TargetState:
    """Read what the target is; StoreError where it is neither empty nor a store of ours."""
    names = target.table_names() if target is not None else set()
    if target is None or not names:
        return TargetState()
    with target.using() as connection:
        if schema.UNFINISHED in names:
            row = connection.execute(select(unfinished_copy)).first()
            if row is not None:
                return TargetState(row.store_id, row.copy_id, row.is_verified)
        elif {"alembic_version", tables.store.name} <= names:
            store_id = connection.execute(select(tables.store.c.store_id)).scalar()
            return TargetState(store_id or "")
    raise StoreError(
        f"{target.address} is not empty: another program has tables there",
        hint="name a database or a file that is new",
    )


def find_stage(source: SourceState, target: TargetState, names: tuple[str, str]) -> Stage:
    """What is left to do, by what both are; StoreError where they are not of one move."""
    source_name, target_name = names
    is_same_store = target.store_id == source.store_id
    if source.moved_to is None:
        if target.store_id is None or (target.copy_id is not None and is_same_store):
            return Stage.COPY
        raise _occupied(target_name, is_unfinished=target.copy_id is not None)
    if is_same_store and target.copy_id is None:
        return Stage.NOTHING
    copy_id, _ = schema.read_moved_to(source.moved_to)
    if is_same_store and target.is_verified and target.copy_id == copy_id:
        return Stage.PUBLISH
    raise schema.moved_away(source_name, source.moved_to)


def _occupied(name: str, *, is_unfinished: bool) -> StoreError:
    if is_unfinished:
        return StoreError(
            f"{name} is not empty: it holds a copy of another store that is not finished",
            hint="finish that copy, or name a database or a file that is new",
        )
    return StoreError(
        f"{name} is not empty: it holds a store, which is left as it is", hint="name a database or a file that is new"
    )


def begin_copy(target: Place, store_id: str, state: TargetState) -> str:
    """Mark the target as a copy of this store that is not finished, and give it the newest schema; the copy's id."""
    copy_id = new_id()
    with target.changing() as connection:
        if target.is_server:
            from orgserver.store.engines.server_connections import lock_key  # noqa: PLC0415  # as in ``places``

            connection.execute(_LOCK_SCHEMA, {"key": lock_key("migrate")})
        if state.copy_id is None:
            if target.table_names():  # somebody made a store there since it was looked at
                raise _occupied(str(target.address), is_unfinished=False)
            unfinished_copy.create(connection)
        else:
            connection.execute(unfinished_copy.delete())
        connection.execute(insert(unfinished_copy).values(copy_id=copy_id, store_id=store_id, is_verified=False))
    _bring_schema(target)
    return copy_id


def _bring_schema(target: Place) -> None:
    from orgserver.store.migration import upgrade  # noqa: PLC0415  # Alembic is slow to import

    names = target.table_names()
    version: str | None = None
    with target.using() as connection:
        if "alembic_version" in names:
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        connection.rollback()
        if needs_upgrade(version, str(target.address), migrate=True):
            upgrade(connection)


def set_verified(target: Place, copy_id: str) -> None:
    """Write that this copy is whole: from now on the source may be marked."""
    with target.changing() as connection:
        mine = unfinished_copy.columns.copy_id == copy_id
        if connection.execute(update(unfinished_copy).where(mine).values(is_verified=True)).rowcount != 1:
            raise StoreError(f"{target.address} holds another copy by now", hint="run the same command again")


def mark_moved(source: Place, copy_id: str, target_name: str) -> None:
    """Mark the source as moved, durably: it is no store any more, whoever has it open."""
    with source.using() as connection:
        connection.execute(update(tables.store).values(moved_to=schema.write_moved_to(copy_id, target_name)))
        connection.execute(text(f"ALTER TABLE {schema.HEAD} RENAME TO {schema.HEAD_OF_MOVED}"))
        connection.commit()


def publish(source: Place, target: Place) -> None:
    """Make the verified copy the store."""
    with source.using() as connection:
        row = connection.execute(select(tables.store)).one()
    with target.changing() as connection:
        connection.execute(insert(tables.store).values(row._asdict() | {"moved_to": None}))
        unfinished_copy.drop(connection)
