"""Run migrations over the connection that the store gives, or over the URL of alembic.ini for developers."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from orgserver.store.people import tables as people_tables


def run() -> None:
    """Migrate."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, target_metadata=people_tables.metadata, render_as_batch=True)
        context.run_migrations()
        return
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")
    with engine.connect() as developer, developer.begin():
        context.configure(connection=developer, target_metadata=people_tables.metadata, render_as_batch=True)
        context.run_migrations()


run()
