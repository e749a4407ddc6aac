"""The program as a next version would be, one migration further: `python -m tests.replicas.newer_program FOLDER …`.

The folder holds its migrations, as ``write_migrations`` makes them. All else is the code as it is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from orgserver.store import files, migration

NEWER = f"{int(files.SCHEMA) + 1:04}"
_ADDS = f"""
import sqlalchemy as sa
from alembic import op

revision = "{NEWER}"
down_revision = "{files.SCHEMA}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orgs", sa.Column("colour", sa.Text(), nullable=True))
    op.add_column("audit_events", sa.Column("colour", sa.Text(), nullable=True))
    op.create_index("ix_orgs_colour", "orgs", ["colour"])
    op.create_table("colours", sa.Column("name", sa.Text(), nullable=False), sa.PrimaryKeyConstraint("name"))
"""


def write_migrations(folder: Path) -> None:
    """Write all migrations, and one that only adds: a column to tables in constant use, an index, a table."""
    shutil.copytree(migration.scripts(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{NEWER}_colours.py").write_text(_ADDS, "utf-8")


def _become_newer(folder: Path) -> None:
    """Before what takes these names from their modules is imported."""
    files.OLDER_SCHEMAS = files.OLDER_SCHEMAS | {files.SCHEMA}
    files.SCHEMA = NEWER
    migration.scripts = lambda: folder


def _main() -> None:
    _become_newer(Path(sys.argv.pop(1)))
    from orgserver.__main__ import main

    main()


if __name__ == "__main__":
    _main()
