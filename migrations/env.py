"""Run migrations over the connection that the store gives, or over the URL of alembic.ini for developers."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine, text

from orgserver.store.signin import tables as signin_tables

_UNORDERED = text("""
    SELECT quote_ident(relname) AS "table",
        string_agg(format('ALTER COLUMN %I TYPE text COLLATE "C"', attname), ', ') AS changes
    FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid AND relkind = 'r'
    JOIN pg_namespace ON pg_namespace.oid = relnamespace AND nspname = current_schema()
    WHERE atttypid = 'text'::regtype AND attcollation <> 'pg_catalog."C"'::regcollation AND NOT attisdropped
    GROUP BY relname
""")


def _order_texts(connection: Connection) -> None:
    """Have PostgreSQL compare and fold texts by their bytes, as SQLite does, whatever the language of the database."""
    for row in connection.execute(_UNORDERED).all():
        connection.exec_driver_sql(f"ALTER TABLE {row.table} {row.changes}")


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=signin_tables.metadata, render_as_batch=True)
    context.run_migrations()
    if connection.dialect.name == "postgresql":
        _order_texts(connection)


def run() -> None:
    """Migrate."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")
    with engine.connect() as developer, developer.begin():
        _migrate(developer)


run()
