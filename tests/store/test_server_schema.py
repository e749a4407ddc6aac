"""What the migrations make of an empty database on a server is what the tables say, and orders as SQLite does."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from orgserver.store import tables
from tests.store_server import StoreServer

_TEXTS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'
"""
_SHORT = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name LIKE '%sequence' AND data_type <> 'bigint'
"""


async def test_the_migrations_make_the_tables_on_a_server_too(store_server: StoreServer, store_database: str) -> None:
    url = make_url(store_server.url(store_database)).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), tables.metadata)
        )
    assert differences == []


def test_every_text_of_a_store_on_a_server_is_ordered_by_its_bytes(
    store_server: StoreServer, store_database: str
) -> None:
    assert store_server.ask(store_database, _TEXTS) == []


def test_the_log_of_a_store_on_a_server_does_not_end_at_two_thousand_million(
    store_server: StoreServer, store_database: str
) -> None:
    assert store_server.ask(store_database, _SHORT) == []
