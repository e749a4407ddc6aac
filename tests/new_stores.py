"""New stores of tests: the migrations run once in each test process, later stores are made as that run left the first."""

import sqlite3

from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from orgserver.store import migration
from orgserver.store.files import APPLICATION_ID
from orgserver.store.sql.statements import SQLITE
from orgserver.store.sql.threads import run_in_thread
from tests.store_server import StoreServer

BEGIN, COMMIT = "BEGIN TRANSACTION;", "COMMIT;"


class Schema:
    """What the migrations make of an empty file."""

    def __init__(self) -> None:
        self._statements: list[str] = []
        self._migrate = migration.upgrade

    def upgrade(self, connection: Connection) -> None:
        """In place of ``migration.upgrade``: a store that has tables is migrated, an empty one gets them at once."""
        if connection.dialect.name != SQLITE:  # a server makes new stores as copies of one
            self._migrate(connection)
            return
        is_new = not connection.execute(text("SELECT count(*) FROM sqlite_master")).scalar_one()
        connection.rollback()
        if not (is_new and self._statements):
            self._migrate(connection)
            if is_new:
                self._statements = [each for each in _raw(connection).iterdump() if each not in (BEGIN, COMMIT)]
                connection.rollback()
            return
        with connection.begin():
            for statement in self._statements:
                connection.exec_driver_sql(statement)
            connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))

    def fill(self, server: StoreServer) -> str:
        """Make the database whose copies are new stores: its name."""
        name = server.database()
        engine = create_async_engine(
            make_url(server.url(name)).set(drivername="postgresql+asyncpg"), poolclass=NullPool
        ).sync_engine

        def migrate() -> None:
            with engine.connect() as connection:
                self._migrate(connection)

        run_in_thread(engine.dialect, migrate)
        return name


def _raw(connection: Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
