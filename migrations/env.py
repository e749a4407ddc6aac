"""Run migrations over the connection that the store gives, or over the URL of alembic.ini for developers."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from orgserver.store.signin import tables as signin_tables


def run() -> None:
    """Migrate."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, target_metadata=signin_tables.metadata, render_as_batch=True)
        context.run_migrations()
        return
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "")
    with engine.connect() as developer, developer.begin():
        context.configure(connection=developer, target_metadata=signin_tables.metadata, render_as_batch=True)
        context.run_migrations()


run()
