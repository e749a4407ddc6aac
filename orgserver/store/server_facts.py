"""What a PostgreSQL server says of itself, for whoever looks after it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from orgserver.model.errors import StoreError
from orgserver.store.engines.address import ServerAddress
from orgserver.store.engines.schema import is_readable
from orgserver.store.engines.server_checks import find_oldest_reader, schema_in
from orgserver.store.engines.server_connections import ERRORS, connect
from orgserver.store.engines.server_errors import explain
from orgserver.store.engines.server_locks import end_session
from orgserver.store.transaction import read_clock

_FACTS = """
    SELECT current_setting('server_version'), current_setting('fsync') = 'on',
    current_setting('full_page_writes') = 'on', current_setting('data_checksums') = 'on',
    current_setting('synchronous_standby_names') <> '', pg_database_size(current_database()),
    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
"""
_INTERFERENCE = """
    SELECT c.relname AS on_table, t.tgname AS name, 'trigger' AS kind
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT c.relname, r.rulename, 'rule'
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE c.relkind IN ('r', 'p') AND r.ev_enabled <> 'D' AND c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT c.relname, p.polname, 'policy'
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE c.relrowsecurity AND c.relnamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""
"""What of the owner's could swallow or change what is written, or hide what is there; migrations make none."""


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """A server that can be used."""

    version: str
    is_encrypted: bool
    """The way to it."""
    syncs: bool
    """What is committed is on the disk (``fsync``, ``full_page_writes``)."""
    has_checksums: bool
    has_standby: bool
    """A commit waits for one."""
    size: int
    """Of the database, in bytes."""
    ahead_us: int
    """By how much its clock is ahead of this machine's."""
    schema: str | None
    may_read: bool
    """Whether a newer schema lets this version go on."""
    interference: tuple[str, ...]
    """Triggers, rules and policies on its tables: ``trigger NAME on TABLE``."""


async def read_facts(address: ServerAddress) -> ServerFacts:
    """Ask it; StoreError where it is away, or its database is another program's."""
    try:
        session = await connect(address)
    except ERRORS as error:
        raise explain(error, str(address)) from None
    try:
        before = read_clock()
        version, fsync, full_pages, checksums, has_standby, size, instant = await session.fetchrow(_FACTS)
        ahead = instant - (before + read_clock()) // 2
        schema = await schema_in(session, str(address))
        interference = [
            f"{row['kind']} {row['name']} on {row['on_table']}" for row in await session.fetch(_INTERFERENCE)
        ]
        may_read = is_readable(await find_oldest_reader(session, schema))
    except ERRORS as error:
        raise explain(error, str(address)) from None
    finally:
        await end_session(session)
    is_encrypted = address.tls is not None
    syncs = fsync and full_pages
    return ServerFacts(
        version.split()[0],
        is_encrypted,
        syncs,
        checksums,
        has_standby,
        size,
        ahead,
        schema,
        may_read,
        tuple(interference),
    )


def has_tables(address: ServerAddress) -> bool:
    """Whether there may be a store: not in an empty database. Blocks, also where a loop runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_has_tables(address))).result()


async def _has_tables(address: ServerAddress) -> bool:
    try:
        session = await connect(address)
    except (*ERRORS, StoreError):
        return True  # whoever opens it says what is wrong
    try:
        return await schema_in(session, str(address)) is not None
    except (*ERRORS, StoreError):
        return True
    finally:
        await end_session(session)
