"""How the store gets its newest schema: Alembic, over a connection we already hold the lock for."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import orgserver
from orgserver.store.files import APPLICATION_ID, OLDEST_READER
from orgserver.store.signin import tables as signin_tables
from orgserver.store.sql.statements import SQLITE

_HAS_HEAD = text("SELECT to_regclass('public.audit_head') IS NOT NULL")
_LOCK_HEAD = text("SELECT 1 FROM audit_head FOR NO KEY UPDATE")
"""On a server, others may be writing: whoever holds the head's row is the only one."""
_SET_OLDEST_READER = text(
    "UPDATE store SET oldest_reader = :oldest_reader WHERE oldest_reader IS NULL OR oldest_reader < :oldest_reader"
)
"""Never lower: what is in a store may need a newer reader than its tables do."""


def scripts() -> Path:
    """The migrations: inside the wheel, or beside the package in a checkout."""
    package = Path(orgserver.__file__).parent
    in_wheel = package / "_migrations"
    return in_wheel if in_wheel.is_dir() else package.parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Bring the store to the newest schema, in one transaction."""
    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = signin_tables.metadata
    with connection.begin():
        if connection.dialect.name != SQLITE and connection.execute(_HAS_HEAD).scalar():
            connection.execute(_LOCK_HEAD)
        command.upgrade(config, "head")
        connection.execute(_SET_OLDEST_READER, {"oldest_reader": OLDEST_READER})
        if connection.dialect.name == SQLITE:
            connection.execute(text(f"PRAGMA application_id = {APPLICATION_ID}"))
