"""A migration on a server gives way to whoever reads a table that it changes, and lets everybody else go on."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from orgserver.store import migration
from orgserver.store.engines import schema, server_checks
from orgserver.store.files import OLDER_SCHEMAS, SCHEMA
from orgserver.store.sql.threads import run_in_loop
from tests.both_stores import ServerPlace
from tests.replicas.newer_program import NEWER, write_migrations
from tests.store_server import StoreServer

READ, VERSION = "SELECT count(*) FROM orgs", "SELECT version_num FROM alembic_version"
WAITS = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = $1)"
)


async def test_a_migration_waits_for_a_long_read_and_others_read_meanwhile(
    store_server: StoreServer, store_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_migrations(tmp_path / "migrations")
    monkeypatch.setattr(migration, "scripts", lambda: tmp_path / "migrations")
    monkeypatch.setattr(schema, "SCHEMA", NEWER)
    monkeypatch.setattr(schema, "OLDER_SCHEMAS", OLDER_SCHEMAS | {SCHEMA})
    place = ServerPlace(store_server, store_database, tmp_path / "home" / "postgresql")
    report, other = [await asyncpg.connect(store_server.url(store_database), ssl=False) for _ in range(2)]
    try:
        reading = report.transaction(isolation="repeatable_read", readonly=True)
        await reading.start()
        await report.fetchval(READ)
        migrating = asyncio.create_task(asyncio.to_thread(run_in_loop, server_checks.upgrade, place.address))
        while not await other.fetchval(WAITS, store_database):
            await asyncio.sleep(0.01)  # until the migration waits for the report
        await other.fetchval(READ, timeout=30)  # waits behind it, until it gives way
        before = await other.fetchval(VERSION)
        assert not migrating.done()
        await reading.rollback()
        await migrating
        after = await other.fetchval(VERSION)
    finally:
        await report.close()
        await other.close()

    assert (before, after) == (SCHEMA, NEWER)
