"""What is checked of a PostgreSQL server and its database before it is used, and how it gets the newest schema."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from orgserver.model.errors import StoreError
from orgserver.store.engines import schema
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.schema import OLDEST_READER_QUERY, is_newer, needs_upgrade
from orgserver.store.engines.server_connections import (
    ERRORS,
    LOCK_TIMEOUT,
    connect,
    lock_key,
    make_migration_engine,
)
from orgserver.store.engines.server_errors import LOCK_TIMEOUT as LOCK_TIMED_OUT
from orgserver.store.engines.server_errors import explain, sqlstate
from orgserver.store.engines.server_locks import end_session

OLDEST_SERVER = 14
_OURS = frozenset({"alembic_version", "store", "audit_head"})
"""Tables that every store of ours has, of whatever schema."""
_ABOUT_SESSION = """
    SELECT current_setting('lock_timeout'), current_setting('synchronous_commit'), pg_backend_pid(),
    current_setting('server_encoding')
"""
TABLES = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""
"""The tables of a database, but for those of extensions."""
_SCHEMA = "SELECT version_num FROM public.alembic_version"
_TAKE = "SELECT pg_advisory_lock($1)"
_IS_HELD = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
_OF_POOLERS = frozenset({"08P01", "26000", "42P05"})
"""A parameter that a pooler does not know, and a prepared statement that is another session's."""
_LONG_WAIT = "600s"
"""For another process that migrates."""
_SHORT_WAIT = "SET lock_timeout = '500ms'"
"""For what reads a table that is to be changed: who comes after us waits as long, and longer would be a deadlock."""
_TRIES = 40
_PAUSE_SECONDS = 1.0
"""Between them, so that everybody else goes on."""


async def check(address: ServerAddress, *, migrate: bool) -> bool:
    """Check the server, and that its database is a store of ours; whether it must be made or migrated.

    StoreError with one sentence where it cannot be used.
    """
    try:
        session = await connect(address)
    except ERRORS as error:
        raise _explain(error, address) from None
    try:
        await _check_server(session, address)
        version = await schema_in(session, str(address))
        oldest_reader = await find_oldest_reader(session, version)
    except ERRORS as error:
        raise _explain(error, address) from None
    finally:
        await end_session(session)
    return needs_upgrade(version, str(address), migrate=migrate, oldest_reader=oldest_reader)


async def find_oldest_reader(session: Any, version: str | None) -> str | None:
    """Who may go on with a session's store, if it has a newer schema."""
    return await session.fetchval(OLDEST_READER_QUERY) if is_newer(version) else None


async def schema_in(session: Any, name: str) -> str | None:
    """The schema of a session's database, None of one that is empty; StoreError for another program's."""
    tables = {str(row[0]) for row in await session.fetch(TABLES)}
    if schema.HEAD_OF_MOVED in tables:
        raise schema.moved_away(name, await session.fetchval(schema.MOVED_TO))
    version = await session.fetchval(_SCHEMA) if _is_ours(tables, name) else None
    return _schema(version, tables, name)


async def _check_server(session: Any, address: ServerAddress) -> None:
    lock_timeout, synchronous, pid, encoding = await session.fetchrow(_ABOUT_SESSION)
    if (lock_timeout, synchronous) != (LOCK_TIMEOUT, "on"):
        raise _behind_pooler(address)
    if pid != session.get_server_pid() and not await _keeps_session(session):
        raise _behind_pooler(address)
    version = session.get_server_version()
    if version.major < OLDEST_SERVER:
        raise StoreError(
            f"the store's server {address} is PostgreSQL {version.major}, and {OLDEST_SERVER} or later is needed",
            hint="update it",
        )
    if encoding != "UTF8":
        hint = "make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        raise StoreError(f"the database {address} is encoded in {encoding}, and UTF8 is needed", hint=hint)


async def _keeps_session(session: Any) -> bool:
    """Whether what one statement locks for the session is there for the next: a pool may keep sessions or not."""
    await session.fetchval(_TAKE, lock_key(f"pool/{session.get_server_pid()}"))
    try:
        return bool(await session.fetchval(_IS_HELD))
    finally:
        await session.fetchval("SELECT pg_advisory_unlock_all()")


def _behind_pooler(address: ServerAddress) -> StoreError:
    return StoreError(
        f"the store's server {address} is behind a pooler that does not keep a session and its settings"
        " (such as PgBouncer)",
        hint="give the server's own address, or a pool that keeps sessions and passes on every setting of ours",
    )


def _explain(error: BaseException, address: ServerAddress) -> StoreError:
    if sqlstate(error) in _OF_POOLERS:
        return _behind_pooler(address)
    return explain(error, str(address))


def _is_ours(tables: set[str], name: str) -> bool:
    """Whether tables are those of a store; False where there are none; StoreError for another program's."""
    schema.refuse_unfinished(tables, name)
    if not tables or tables >= _OURS:
        return bool(tables)
    if "alembic_version" in tables and tables & _OURS > {"alembic_version"}:
        raise _half_migrated(name)
    raise StoreError(
        f"{name} is the database of another program",
        hint="make a database for orgserver alone, and name it in ORGSERVER_DATABASE_URL",
    )


def _schema(version: object, tables: set[str], name: str) -> str | None:
    """The schema of a store that has tables, None of one that has none."""
    if tables and version is None:
        raise _half_migrated(name)
    return None if version is None else str(version)


def _half_migrated(name: str) -> StoreError:
    hint = "drop the database and make it anew, or restore it from a backup"
    return StoreError(f"the store {name} is half migrated: not all of its tables are there", hint=hint)


def upgrade(address: ServerAddress) -> None:
    """Bring the database to the newest schema, unless another process has meanwhile; within ``run_in_loop``."""
    engine = make_migration_engine(address, _LONG_WAIT)
    try:
        connection = engine.connect()
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": lock_key("migrate")})
            connection.execute(text(_SHORT_WAIT))
            connection.commit()
            _upgrade_patiently(connection, address)
        finally:
            connection.close()  # and with it the lock
    except (DBAPIError, OSError) as error:
        raise _explain(error, address) from None


def _upgrade_patiently(connection: Connection, address: ServerAddress) -> None:
    from orgserver.store.migration import upgrade as run_migrations  # noqa: PLC0415  # Alembic is slow to import

    if not _needs_upgrade(connection, str(address)):
        return
    for tries_left in reversed(range(_TRIES)):
        try:
            run_migrations(connection)
        except DBAPIError as error:
            if sqlstate(error) != LOCK_TIMED_OUT or not tries_left:
                raise
            time.sleep(_PAUSE_SECONDS)  # this thread does nothing else
        else:
            return


def _needs_upgrade(connection: Connection, name: str) -> bool:
    tables = set(connection.execute(text(TABLES)).scalars())
    version = connection.execute(text(_SCHEMA)).scalar() if _is_ours(tables, name) else None
    oldest_reader = connection.execute(text(OLDEST_READER_QUERY)).scalar() if is_newer(version) else None
    connection.rollback()
    return needs_upgrade(_schema(version, tables, name), name, migrate=True, oldest_reader=oldest_reader)
